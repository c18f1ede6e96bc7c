//! `spin:variables@3.0.0` and `spin:postgres@4.2.0`, for components of WASI 0.3.

use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use super::bindings::spin::postgres::postgres::{self, Column, Error, HostConnection, ParameterValue, Row};
use super::bindings::spin::variables::variables;
use super::bindings::{Spin, SpinView};
use super::component::VariableError;
use super::postgres::{Connection, open};

impl variables::Host for SpinView<'_> {}

impl<T: Send> variables::HostWithStore<T> for Spin {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> Result<String, variables::Error> {
        let component = accessor.with(|mut access| access.get().component.clone());
        component.variable(&name).map_err(|error| match error {
            VariableError::Undefined(text) => variables::Error::Undefined(text),
            VariableError::Provider(text) => variables::Error::Provider(text),
        })
    }
}

impl postgres::Host for SpinView<'_> {}

impl HostConnection for SpinView<'_> {
    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl<T: Send> postgres::HostConnectionWithStore<T> for Spin {
    async fn open_async(accessor: &Accessor<T, Self>, address: String) -> Result<Resource<Connection>, Error> {
        let component = accessor.with(|mut access| access.get().component.clone());
        let connection = open(&component, &address).await?;
        let kept = accessor.with(|mut access| access.get().table.push(connection));
        kept.map_err(|error| Error::ConnectionFailed(error.to_string()))
    }

    async fn query_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<(Vec<Column>, StreamReader<Row>, FutureReader<Result<(), Error>>), Error> {
        let connection = accessor.with(|mut access| access.get().table.get(&connection).cloned());
        let connection = connection.map_err(|error| Error::ConnectionFailed(error.to_string()))?;
        let result = connection.query(&statement, &params).await?;
        let streams = accessor.with(|mut access| {
            let rows = StreamReader::new(&mut access, result.rows)?;
            let outcome = FutureReader::new(&mut access, async { wasmtime::error::Ok(result.outcome) })?;
            wasmtime::error::Ok((result.columns, rows, outcome))
        });
        streams.map_err(|error| Error::Other(error.to_string()))
    }
}
