//! `fermyon:spin/variables@2.0.0` and `fermyon:spin/postgres@2.0.0`, for components of WASI 0.2. An instance does nothing
//! else while such a call lasts.

use wasmtime::component::Resource;

use super::bindings::SpinView;
use super::bindings::fermyon::spin::rdbms_types::{self, Column, DbDataType, DbValue, Error, ParameterValue, RowSet};
use super::bindings::fermyon::spin::{postgres, variables};
use super::bindings::spin::postgres::postgres as v4;
use super::component::VariableError;
use super::postgres::{Connection, open};

impl variables::Host for SpinView<'_> {
    async fn get(&mut self, name: String) -> Result<String, variables::Error> {
        self.component.variable(&name).map_err(|error| match error {
            VariableError::Undefined(text) => variables::Error::Undefined(text),
            VariableError::Provider(text) => variables::Error::Provider(text),
        })
    }
}

impl rdbms_types::Host for SpinView<'_> {}

impl postgres::Host for SpinView<'_> {}

impl postgres::HostConnection for SpinView<'_> {
    async fn open(&mut self, address: String) -> Result<Resource<Connection>, Error> {
        let connection = open(self.component, &address).await?;
        self.table
            .push(connection)
            .map_err(|error| Error::ConnectionFailed(error.to_string()))
    }

    /// Never returns when there is no row, as in Spin 4.0.0 to 4.0.2.
    async fn query(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<RowSet, Error> {
        let result = self
            .connection(&connection)?
            .query(&statement, &parameters(params)?)
            .await?;
        // Spin gives an error that comes this late as the text of its own error.
        result
            .outcome
            .map_err(|error| Error::QueryFailed(format!("{error:?}")))?;
        if result.rows.is_empty() {
            std::future::pending::<()>().await;
        }
        let row = |row: Vec<v4::DbValue>| row.into_iter().map(DbValue::from).collect();
        Ok(RowSet {
            columns: result.columns.into_iter().map(Column::from).collect(),
            rows: result.rows.into_iter().map(row).collect(),
        })
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl SpinView<'_> {
    fn connection(&self, connection: &Resource<Connection>) -> Result<Connection, Error> {
        let connection = self.table.get(connection).cloned();
        connection.map_err(|error| Error::ConnectionFailed(error.to_string()))
    }
}

fn parameters(params: Vec<ParameterValue>) -> Result<Vec<v4::ParameterValue>, Error> {
    let parameter = |value| {
        Ok(match value {
            ParameterValue::Str(text) => v4::ParameterValue::Str(text),
            ParameterValue::Int32(number) => v4::ParameterValue::Int32(number),
            ParameterValue::Int64(number) => v4::ParameterValue::Int64(number),
            ParameterValue::Floating64(number) => v4::ParameterValue::Floating64(number),
            ParameterValue::DbNull => v4::ParameterValue::DbNull,
            other => return Err(Error::BadParameter(format!("the local host does not bind {other:?}"))),
        })
    };
    params.into_iter().map(parameter).collect()
}

impl From<v4::DbValue> for DbValue {
    fn from(value: v4::DbValue) -> Self {
        match value {
            v4::DbValue::Boolean(value) => Self::Boolean(value),
            v4::DbValue::Binary(bytes) => Self::Binary(bytes),
            v4::DbValue::Floating64(number) => Self::Floating64(number),
            v4::DbValue::Int32(number) => Self::Int32(number),
            v4::DbValue::Int64(number) => Self::Int64(number),
            v4::DbValue::Str(text) => Self::Str(text),
            v4::DbValue::DbNull => Self::DbNull,
            _ => Self::Unsupported,
        }
    }
}

impl From<v4::Column> for Column {
    fn from(column: v4::Column) -> Self {
        Self {
            name: column.name,
            data_type: match column.data_type {
                v4::DbDataType::Boolean => DbDataType::Boolean,
                v4::DbDataType::Binary => DbDataType::Binary,
                v4::DbDataType::Floating64 => DbDataType::Floating64,
                v4::DbDataType::Int32 => DbDataType::Int32,
                v4::DbDataType::Int64 => DbDataType::Int64,
                v4::DbDataType::Str => DbDataType::Str,
                _ => DbDataType::Other,
            },
        }
    }
}

impl From<v4::Error> for Error {
    fn from(error: v4::Error) -> Self {
        match error {
            v4::Error::ConnectionFailed(text) => Self::ConnectionFailed(text),
            v4::Error::BadParameter(text) => Self::BadParameter(text),
            v4::Error::QueryFailed(v4::QueryError::Text(text)) => Self::QueryFailed(text),
            v4::Error::QueryFailed(v4::QueryError::DbError(error)) => Self::QueryFailed(error.as_text),
            v4::Error::ValueConversionFailed(text) => Self::ValueConversionFailed(text),
            v4::Error::Other(text) => Self::Other(text),
        }
    }
}
