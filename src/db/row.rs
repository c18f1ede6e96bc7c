//! The row of a result, decoded by the names of its columns.

use crate::{
    error::Error,
    host::{Rows, Value},
};

/// The row that a statement returns, read by the names of its columns.
#[derive(Debug)]
pub struct Row {
    columns: Vec<String>,
    values: Vec<Value>,
}

impl Row {
    pub(super) fn first(rows: Rows) -> Option<Self> {
        let values = rows.values.into_iter().next()?;
        let columns = rows.columns;
        Some(Self { columns, values })
    }

    /// Takes the value of a column out of the row, as a `T`.
    ///
    /// # Errors
    /// [`Error::Internal`] when the statement and its decoder do not fit together.
    pub fn take<T: FromValue>(&mut self, column: &str) -> Result<T, Error> {
        let place = self.columns.iter().position(|name| name == column);
        let value = place.and_then(|place| self.values.get_mut(place));
        let value = value.map(|value| std::mem::replace(value, Value::Other));
        let value = value.and_then(T::from_value);
        value.ok_or_else(|| Error::Internal(format!("column {column} is missing or has another type")))
    }
}

/// A Rust type that a database value becomes, without a copy.
pub trait FromValue: Sized {
    /// The value, `None` when it is of another type.
    fn from_value(value: Value) -> Option<Self>;
}

/// Each type has one form at the interface; a value of another form is a mistake in the SQL and not converted.
macro_rules! from_value {
    ($($rust:ty => $variant:ident),*) => {$(
        impl FromValue for $rust {
            fn from_value(value: Value) -> Option<Self> {
                if let Value::$variant(inner) = value { Some(inner) } else { None }
            }
        }
    )*};
}
from_value!(String => Text, i64 => Int64, f64 => Float64, bool => Bool, Vec<u8> => Bytes);

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Option<Self> {
        if matches!(value, Value::Null) {
            Some(None)
        } else {
            T::from_value(value).map(Some)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_strictly() {
        let mut row = Row {
            columns: ["id", "reason", "at", "size"].map(str::to_owned).to_vec(),
            values: vec![Value::Text("a".to_owned()), Value::Null, Value::Other],
        };
        assert_eq!(row.take::<Option<String>>("reason").ok(), Some(None));
        assert_eq!(row.take::<String>("id").ok().as_deref(), Some("a"));
        assert!(row.take::<String>("id").is_err(), "it has been taken");
        assert!(row.take::<i64>("at").is_err(), "it has another type");
        assert!(row.take::<i64>("size").is_err(), "it has no value");
        assert!(row.take::<i64>("name").is_err(), "there is no such column");
    }
}
