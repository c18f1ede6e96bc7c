//! The database through the host's Postgres interface: opening, time limits, decoding, errors. One file per table.
//!
//! The interface knows neither enums nor json nor `timestamptz`: the SQL casts them, both ways. What a statement
//! returns is read by position, so that every statement names its columns in the order of its decoder.

pub mod task;

use std::time::Duration;

use spin_sdk::pg::{Connection, DbValue, ParameterValue, PgError, QueryError};

use crate::{clock::Deadline, config, error::Error};

/// What all database calls of one request may take together. The caller hears from us within three seconds.
const LIMIT: Duration = Duration::from_millis(2_500);

/// The database, for one request. A connection is opened for each statement: the host keeps them in a pool, and one
/// that is held while a client reads slowly would be missing there.
#[derive(Debug)]
pub struct Database {
    address: String,
    deadline: Deadline,
}

impl Database {
    /// The database of the settings, with the time limit of one request beginning now.
    ///
    /// # Errors
    /// [`Error::Internal`] when the settings make no address.
    pub async fn configured() -> Result<Self, Error> {
        Ok(Self {
            address: config::database_address().await?,
            deadline: Deadline::after(LIMIT),
        })
    }

    /// The same database with the time limit beginning anew: a download takes as long as its reader.
    #[must_use]
    pub fn renewed(&self) -> Self {
        Self {
            address: self.address.clone(),
            deadline: Deadline::after(LIMIT),
        }
    }

    /// Runs one statement and returns all of its rows.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] when no answer comes in time or the database refuses, [`Error::Internal`] when it
    /// rejects the statement.
    pub async fn query(&self, statement: &str, parameters: Vec<ParameterValue>) -> Result<Vec<Row>, Error> {
        let call = async {
            let connection = Connection::open(self.address.as_str()).await.map_err(from_sdk)?;
            let result = connection.query(statement, parameters).await.map_err(from_sdk)?;
            let (_, mut stream, end) = result.into_inner();
            let mut rows = Vec::new();
            while let Some(values) = stream.next().await {
                rows.push(Row(values.into_iter()));
            }
            // Errors after the first row are known only here.
            end.await.map_err(from_host)?;
            Ok(rows)
        };
        match self.deadline.race(call).await {
            Some(result) => result,
            None => Err(Error::DatabaseUnavailable("no answer in time".to_owned())),
        }
    }

    /// Runs a statement that returns one row at the most.
    ///
    /// # Errors
    /// As [`Database::query`].
    pub async fn query_optional(&self, statement: &str, parameters: Vec<ParameterValue>) -> Result<Option<Row>, Error> {
        Ok(self.query(statement, parameters).await?.into_iter().next())
    }
}

/// A row, read value by value in the order of the statement's columns.
#[derive(Debug)]
pub struct Row(std::vec::IntoIter<DbValue>);

impl Row {
    /// The next value as a `T`; the column's name is for the error alone.
    ///
    /// # Errors
    /// [`Error::Internal`] when the statement and its decoder do not fit together.
    pub fn next<T: FromValue>(&mut self, column: &str) -> Result<T, Error> {
        let value = self.0.next().and_then(T::from_value);
        value.ok_or_else(|| Error::Internal(format!("column {column} is missing or has another type")))
    }
}

/// A Rust type that a database value becomes, without a copy.
pub trait FromValue: Sized {
    /// The value, `None` when it is of another type.
    fn from_value(value: DbValue) -> Option<Self>;
}

/// Each type has one form at the interface; a value of another form is a mistake in the SQL and not converted.
macro_rules! from_value {
    ($($rust:ty => $variant:ident),*) => {$(
        impl FromValue for $rust {
            fn from_value(value: DbValue) -> Option<Self> {
                if let DbValue::$variant(inner) = value { Some(inner) } else { None }
            }
        }
    )*};
}
from_value!(String => Str, i64 => Int64, f64 => Floating64, bool => Boolean, Vec<u8> => Binary);

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: DbValue) -> Option<Self> {
        if matches!(value, DbValue::DbNull) {
            Some(None)
        } else {
            T::from_value(value).map(Some)
        }
    }
}

/// A text parameter.
#[must_use]
pub fn text(value: impl Into<String>) -> ParameterValue {
    ParameterValue::Str(value.into())
}

/// A text parameter that may be NULL.
#[must_use]
pub fn optional_text(value: Option<impl Into<String>>) -> ParameterValue {
    value.map_or(ParameterValue::DbNull, text)
}

fn from_sdk(error: spin_sdk::pg::Error) -> Error {
    match error {
        spin_sdk::pg::Error::PgError(error) => from_host(error),
        spin_sdk::pg::Error::Decode(text) => Error::Internal(text),
    }
}

/// What the host or Postgres reports. The texts are kept for the log only: they may carry host names.
fn from_host(error: PgError) -> Error {
    match error {
        PgError::ConnectionFailed(text) => Error::DatabaseUnavailable(text),
        PgError::QueryFailed(QueryError::DbError(error)) if is_passing(&error.code) => {
            Error::DatabaseUnavailable(format!("{}: {}", error.code, error.message))
        }
        // The message of a rejected statement may repeat a value of it: the code tells the operator enough.
        PgError::QueryFailed(QueryError::DbError(error)) => Error::Internal(format!("SQLSTATE {}", error.code)),
        PgError::QueryFailed(QueryError::Text(text)) if text.contains("closed") || text.contains("communicating") => {
            Error::DatabaseUnavailable(text)
        }
        PgError::QueryFailed(QueryError::Text(text)) => Error::Internal(text),
        PgError::BadParameter(text) | PgError::ValueConversionFailed(text) | PgError::Other(text) => {
            Error::Internal(text)
        }
    }
}

/// Whether a later try may succeed: connection exceptions, insufficient resources, operator intervention (statement
/// time limit included), serialization failures and lock time limits (PostgreSQL documentation, appendix A).
fn is_passing(sqlstate: &str) -> bool {
    ["08", "53", "57", "40", "55P03"]
        .iter()
        .any(|class| sqlstate.starts_with(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passing_states_are_told_from_mistakes() {
        for state in ["08006", "53300", "57P01", "57014", "40001", "55P03"] {
            assert!(is_passing(state), "{state}");
        }
        for state in ["42601", "22021", "23505", "42P01"] {
            assert!(!is_passing(state), "{state}");
        }
    }

    #[test]
    fn a_row_is_read_strictly() {
        let mut row = Row(vec![DbValue::Str("a".to_owned()), DbValue::DbNull, DbValue::Int32(1)].into_iter());
        assert_eq!(row.next::<String>("first").ok().as_deref(), Some("a"));
        assert_eq!(row.next::<Option<String>>("second").ok(), Some(None));
        assert!(row.next::<i64>("third").is_err(), "an int4 is no int8");
        assert!(row.next::<i64>("fourth").is_err(), "there is no fourth");
    }
}
