//! `spin:variables@3.0.0` and `spin:postgres@4.2.0`, for components of WASI 0.3.

#![expect(clippy::result_large_err, reason = "the error of the interface")]

use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use super::{
    bindings::{
        Spin, SpinView,
        spin::{
            postgres::postgres::{self, Column, Error, HostConnection, ParameterValue, Row},
            variables::variables,
        },
    },
    postgres::{Connection, open},
};

impl variables::Host for SpinView<'_> {}

impl<T: Send> variables::HostWithStore<T> for Spin {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> Result<String, variables::Error> {
        let component = accessor.with(|mut access| access.get().component.clone());
        let value = component.variable(&name).ok_or(variables::Error::Undefined(name))?;
        value.map_err(variables::Error::Provider)
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
        accessor.with(|mut access| access.get().keep(connection))
    }

    async fn query_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<(Vec<Column>, StreamReader<Row>, FutureReader<Result<(), Error>>), Error> {
        let connection = accessor.with(|mut access| access.get().connection(&connection))?;
        let result = connection.query(&statement, &params).await?;
        let streams = accessor.with(|mut access| {
            let rows = StreamReader::new(&mut access, result.rows)?;
            let outcome = FutureReader::new(&mut access, async { wasmtime::error::Ok(result.outcome) })?;
            wasmtime::error::Ok((result.columns, rows, outcome))
        });
        streams.map_err(|error| Error::Other(error.to_string()))
    }
}
