//! `spin:postgres@4.2.0` on tokio-postgres, as strict as Spin's own implementation.
//!
//! The types of parameters and columns are in `postgres/types.rs`; nothing here converts for convenience.

#![expect(clippy::result_large_err, reason = "the error of the interface has many fields")]

mod client;
mod pool;
mod types;

use std::sync::Arc;

use tokio_postgres::config::Host as ServerHost;
use wasmtime::component::{Accessor, FutureReader, Resource, ResourceTable, StreamReader};

use crate::bindings::postgres::{
    self as wit, Column, Error, HostConnection, HostConnectionBuilder, HostConnectionBuilderWithStore,
    HostConnectionWithStore, ParameterValue, Row, RowSet,
};
use crate::bindings::{Spin, SpinView};
use crate::component::{Component, Reach};
use client::RowProducer;
use pool::Client;
pub(crate) use pool::Pools;

/// A pooled connection that a guest holds.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Connection(Arc<Client>);

/// An address that a guest has not connected to yet.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct ConnectionBuilder {
    address: String,
}

impl wit::Host for SpinView<'_> {}

impl SpinView<'_> {
    async fn open(&mut self, address: &str) -> Result<Resource<Connection>, Error> {
        let client = self.component.shared.pools.get(address).await?;
        keep(self.table, client)
    }

    fn client(&self, connection: &Resource<Connection>) -> Result<Arc<Client>, Error> {
        let connection = self.table.get(connection);
        Ok(connection
            .map_err(|_| Error::ConnectionFailed("no connection found".to_owned()))?
            .0
            .clone())
    }

    fn address(&self, builder: &Resource<ConnectionBuilder>) -> Result<String, Error> {
        let builder = self.table.get(builder);
        Ok(builder
            .map_err(|_| Error::ConnectionFailed("no builder found".to_owned()))?
            .address
            .clone())
    }
}

fn keep(table: &mut ResourceTable, client: Client) -> Result<Resource<Connection>, Error> {
    let too_many = |_| Error::ConnectionFailed("too many connections".to_owned());
    table.push(Connection(Arc::new(client))).map_err(too_many)
}

impl HostConnectionBuilder for SpinView<'_> {
    async fn new(&mut self, address: String) -> wasmtime::Result<Resource<ConnectionBuilder>> {
        Ok(self.table.push(ConnectionBuilder { address })?)
    }

    async fn set_ca_root(&mut self, _: Resource<ConnectionBuilder>, _: String) -> Result<(), Error> {
        let reason = "invalid root certificate: the local host speaks no TLS to Postgres";
        Err(Error::Other(reason.to_owned()))
    }

    /// Does not check the allowed hosts. That is a gap of Spin's, kept so that a component behaves the same here.
    async fn build(&mut self, builder: Resource<ConnectionBuilder>) -> Result<Resource<Connection>, Error> {
        let address = self.address(&builder)?;
        self.open(&address).await
    }

    async fn drop(&mut self, builder: Resource<ConnectionBuilder>) -> wasmtime::Result<()> {
        self.table.delete(builder)?;
        Ok(())
    }
}

impl HostConnection for SpinView<'_> {
    async fn open(&mut self, address: String) -> Result<Resource<Connection>, Error> {
        check(&address, self.reach)?;
        self.open(&address).await
    }

    async fn query(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<RowSet, Error> {
        client::query(&*self.client(&connection)?, &statement, &params).await
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<u64, Error> {
        client::execute(&*self.client(&connection)?, &statement, &params).await
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl<T: Send> HostConnectionBuilderWithStore<T> for Spin {
    async fn build_async(
        accessor: &Accessor<T, Self>,
        builder: Resource<ConnectionBuilder>,
    ) -> Result<Resource<Connection>, Error> {
        let address = accessor.with(|mut access| access.get().address(&builder))?;
        open_async(accessor, &address).await
    }
}

impl<T: Send> HostConnectionWithStore<T> for Spin {
    async fn open_async(accessor: &Accessor<T, Self>, address: String) -> Result<Resource<Connection>, Error> {
        open_async(accessor, &address).await
    }

    async fn query_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<(Vec<Column>, StreamReader<Row>, FutureReader<Result<(), Error>>), Error> {
        let client = accessor.with(|mut access| access.get().client(&connection))?;
        let stream = client::query_stream(&client, &statement, &params).await?;
        accessor
            .with(|mut access| {
                let rows = StreamReader::new(&mut access, RowProducer(stream.rows))?;
                let outcome = FutureReader::new(&mut access, stream.outcome)?;
                wasmtime::error::Ok((stream.columns, rows, outcome))
            })
            .map_err(|error| Error::Other(error.to_string()))
    }

    async fn execute_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<u64, Error> {
        let client = accessor.with(|mut access| access.get().client(&connection))?;
        client::execute(&client, &statement, &params).await
    }
}

async fn open_async<T: Send>(accessor: &Accessor<T, Spin>, address: &str) -> Result<Resource<Connection>, Error> {
    let (component, reach): (Arc<Component>, Reach) = accessor.with(|mut access| {
        let view = access.get();
        (view.component.clone(), view.reach.clone())
    });
    check(address, &reach)?;
    let client = component.shared.pools.get(address).await?;
    accessor.with(|mut access| keep(access.get().table, client))
}

/// Checks every server of an address against the allowed hosts.
fn check(address: &str, reach: &Reach) -> Result<(), Error> {
    let config: tokio_postgres::Config = address
        .parse()
        .map_err(|error: tokio_postgres::Error| Error::ConnectionFailed(error.to_string()))?;
    let ports = config.get_ports();
    for (index, host) in config.get_hosts().iter().enumerate() {
        let host = match host {
            ServerHost::Tcp(host) => host,
            #[cfg(unix)]
            ServerHost::Unix(_) => {
                let reason = "Unix sockets are not supported on WebAssembly";
                return Err(Error::ConnectionFailed(reason.to_owned()));
            }
        };
        let port = match ports {
            [only] => Some(only),
            ports => ports.get(index),
        };
        let server = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        if !reach.allows(&server, "postgres").map_err(Error::Other)? {
            let reason = format!("address postgres://{server} is not permitted");
            return Err(Error::ConnectionFailed(reason));
        }
    }
    Ok(())
}
