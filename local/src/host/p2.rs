//! `fermyon:spin/variables@2.0.0` and `fermyon:spin/postgres@2.0.0`, for components of WASI 0.2. An instance does nothing
//! else while such a call lasts.

use wasmtime::component::Resource;

use super::{
    bindings::{
        SpinView,
        fermyon::spin::{
            postgres,
            rdbms_types::{self, Column, DbDataType, DbValue, Error, ParameterValue, RowSet},
            variables,
        },
        spin::postgres::postgres as v4,
    },
    postgres::{Connection, open},
};

impl variables::Host for SpinView<'_> {
    async fn get(&mut self, name: String) -> Result<String, variables::Error> {
        let value = self
            .component
            .variable(&name)
            .ok_or(variables::Error::Undefined(name))?;
        value.map_err(variables::Error::Provider)
    }
}

impl rdbms_types::Host for SpinView<'_> {}

impl postgres::Host for SpinView<'_> {}

impl postgres::HostConnection for SpinView<'_> {
    async fn open(&mut self, address: String) -> Result<Resource<Connection>, Error> {
        let connection = open(self.component, &address).await?;
        Ok(self.keep(connection)?)
    }

    /// Never returns when there is no row, as in Spin 4.0.0 to 4.0.2.
    async fn query(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<RowSet, Error> {
        let params = params.into_iter().map(parameter).collect::<Result<Vec<_>, _>>()?;
        let result = self.connection(&connection)?.query(&statement, &params).await?;
        if let Err(error) = result.outcome {
            // Spin gives an error that comes this late as the text of its own error.
            return Err(Error::QueryFailed(format!("{error:?}")));
        }
        if result.rows.is_empty() {
            std::future::pending::<()>().await;
        }
        let column = |column: v4::Column| Column {
            name: column.name,
            data_type: DbDataType::Other,
        };
        let row = |row: v4::Row| row.into_iter().map(value).collect();
        Ok(RowSet {
            columns: result.columns.into_iter().map(column).collect(),
            rows: result.rows.into_iter().map(row).collect(),
        })
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

fn parameter(parameter: ParameterValue) -> Result<v4::ParameterValue, Error> {
    Ok(match parameter {
        ParameterValue::Str(text) => v4::ParameterValue::Str(text),
        ParameterValue::Int32(number) => v4::ParameterValue::Int32(number),
        ParameterValue::Int64(number) => v4::ParameterValue::Int64(number),
        ParameterValue::Floating64(number) => v4::ParameterValue::Floating64(number),
        ParameterValue::DbNull => v4::ParameterValue::DbNull,
        other => return Err(Error::BadParameter(format!("the local host does not bind {other:?}"))),
    })
}

fn value(value: v4::DbValue) -> DbValue {
    match value {
        v4::DbValue::Boolean(value) => DbValue::Boolean(value),
        v4::DbValue::Binary(bytes) => DbValue::Binary(bytes),
        v4::DbValue::Floating64(number) => DbValue::Floating64(number),
        v4::DbValue::Int32(number) => DbValue::Int32(number),
        v4::DbValue::Int64(number) => DbValue::Int64(number),
        v4::DbValue::Str(text) => DbValue::Str(text),
        v4::DbValue::DbNull => DbValue::DbNull,
        _ => DbValue::Unsupported,
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
