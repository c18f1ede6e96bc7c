//! Postgres through the interface that every Spin has. A call there holds the whole instance until all rows have come.

use std::cell::Cell;

use super::{
    refusal::{from_text, without_address},
    spin::fermyon::spin::{
        postgres::Connection,
        rdbms_types::{DbValue, Error, ParameterValue},
    },
};
use crate::host::{Parameter, Refusal, Rows, Value};

/// Runs a statement and returns its whole result. `sent` is set once there is a connection: from then on, an error may
/// leave open whether the statement took effect. The future is ready when it is first polled: no limit of the component
/// ends it. What does stands in the address.
///
/// # Errors
/// What the host or Postgres reports.
pub async fn query(
    address: &str,
    statement: &str,
    parameters: Vec<Parameter>,
    sent: &Cell<bool>,
) -> Result<Rows, Refusal> {
    let connection = Connection::open(address).map_err(|error| refusal(error, address))?;
    sent.set(true);
    let parameters: Vec<_> = parameters.into_iter().map(parameter).collect();
    let result = connection.query(statement, &parameters);
    let result = result.map_err(|error| refusal(error, address))?;
    Ok(Rows {
        columns: result.columns.into_iter().map(|column| column.name).collect(),
        values: result
            .rows
            .into_iter()
            .map(|row| row.into_iter().map(value).collect())
            .collect(),
    })
}

fn parameter(parameter: Parameter) -> ParameterValue {
    match parameter {
        Parameter::Null => ParameterValue::DbNull,
        Parameter::Int32(number) => ParameterValue::Int32(number),
        Parameter::Float64(number) => ParameterValue::Floating64(number),
        Parameter::Text(text) => ParameterValue::Str(text),
    }
}

fn value(value: DbValue) -> Value {
    match value {
        DbValue::DbNull => Value::Null,
        DbValue::Boolean(value) => Value::Bool(value),
        DbValue::Int64(number) => Value::Int64(number),
        DbValue::Floating64(number) => Value::Float64(number),
        DbValue::Str(text) => Value::Text(text),
        DbValue::Binary(bytes) => Value::Bytes(bytes),
        _ => Value::Other,
    }
}

fn refusal(error: Error, address: &str) -> Refusal {
    match error {
        Error::ConnectionFailed(text) => Refusal::Unconnected(without_address(&text, address)),
        Error::QueryFailed(text) => from_text(text),
        Error::BadParameter(text) | Error::ValueConversionFailed(text) | Error::Other(text) => {
            Refusal::Misfit(without_address(&text, address))
        }
    }
}
