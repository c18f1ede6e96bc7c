//! Connections to Postgres, and statements on them, in the terms of `spin:postgres@4.2.0`. As strict as Spin: each
//! parameter type binds to its own Postgres type only, and nothing is converted.

#![expect(clippy::result_large_err, reason = "the error of the interface")]

use std::{
    collections::HashMap,
    net::Ipv6Addr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use bytes::BytesMut;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use futures::StreamExt as _;
use tokio_postgres::{
    Config, NoTls, Row,
    config::{Host, SslMode},
    types::{FromSql, IsNull, ToSql, Type, to_sql_checked},
};
use tokio_postgres_rustls::MakeRustlsConnect;
use wasmtime::component::Resource;

use super::{
    bindings::{
        SpinView,
        spin::postgres::postgres::{Column, DbDataType, DbError, DbValue, Error, ParameterValue, QueryError},
    },
    component::Component,
    outbound::Server,
};

/// Connections kept for each address. A component that wants one more waits without limit.
const POOL_SIZE: usize = 64;

/// A pooled connection that a component holds.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
#[derive(Clone)]
pub struct Connection(Arc<Object>);

/// One pool of connections for each address.
#[derive(Default)]
pub(super) struct Pools(Mutex<HashMap<String, Pool>>);

impl Pools {
    /// Takes a connection: one that is free, after a round trip that resets its session, or a new one.
    async fn get(&self, address: &str) -> anyhow::Result<Object> {
        Ok(self.pool(address)?.get().await?)
    }

    fn pool(&self, address: &str) -> anyhow::Result<Pool> {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(address) {
            return Ok(pool.clone());
        }
        let config: Config = address.parse().context("parsing Postgres connection string")?;
        let recycling_method = RecyclingMethod::Clean;
        let recycling = ManagerConfig { recycling_method };
        let manager = match config.get_ssl_mode() {
            SslMode::Disable => Manager::from_config(config, NoTls, recycling),
            _ => Manager::from_config(config, tls(), recycling),
        };
        let pool = Pool::builder(manager).max_size(POOL_SIZE).build()?;
        pools.insert(address.to_owned(), pool.clone());
        Ok(pool)
    }
}

/// TLS with the system's certificate authorities. Certificate and name of the server are verified.
fn tls() -> MakeRustlsConnect {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = rustls::ClientConfig::builder().with_root_certificates(roots);
    MakeRustlsConnect::new(config.with_no_client_auth())
}

/// Opens a connection if the component may reach every server of the address.
///
/// # Errors
/// When it may not, or there is no connection; with the text that Spin gives.
pub(super) async fn open(component: &Component, address: &str) -> Result<Connection, Error> {
    let config = address.parse::<Config>().map_err(unconnected)?;
    let ports = config.get_ports();
    for (index, host) in config.get_hosts().iter().enumerate() {
        let Host::Tcp(host) = host else {
            return Err(unconnected("Unix sockets are not supported on WebAssembly"));
        };
        let ipv6 = host.parse::<Ipv6Addr>().map(|address| format!("[{address}]"));
        let port = ports.get(index).or(ports.first()).copied();
        let server = Server::new("postgres", ipv6.as_ref().unwrap_or(host), port);
        let server = server.ok_or_else(|| unconnected("the address has no port"))?;
        if !component.may_reach(&server).map_err(Error::Other)? {
            return Err(unconnected(format!("address {server} is not permitted")));
        }
    }
    let client = component.pools.get(address).await;
    let client = client.map_err(|error| unconnected(format!("{error:?}")))?;
    Ok(Connection(Arc::new(client)))
}

#[expect(clippy::needless_pass_by_value, reason = "it maps errors")]
fn unconnected(reason: impl ToString) -> Error {
    Error::ConnectionFailed(reason.to_string())
}

impl SpinView<'_> {
    /// Keeps a connection for the component.
    pub(super) fn keep(&mut self, connection: Connection) -> Result<Resource<Connection>, Error> {
        self.table.push(connection).map_err(unconnected)
    }

    /// A connection that the component has.
    pub(super) fn connection(&self, connection: &Resource<Connection>) -> Result<Connection, Error> {
        self.table.get(connection).cloned().map_err(unconnected)
    }
}

/// What a query gave.
pub(super) struct Rows {
    /// Empty when there is no row.
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<DbValue>>,
    /// Whether these are all rows.
    pub(super) outcome: Result<(), Error>,
}

impl Connection {
    /// Prepares and runs a statement, and collects its rows.
    ///
    /// # Errors
    /// What Postgres and the driver report before they would send the first row. Later ones are in [`Rows::outcome`].
    pub(super) async fn query(&self, statement: &str, params: &[ParameterValue]) -> Result<Rows, Error> {
        let stream = self
            .0
            .query_raw(statement, parameters(params).map_err(Error::BadParameter)?)
            .await;
        let mut stream = pin!(stream.map_err(|error| failed(&error))?);
        let (mut columns, mut rows) = (Vec::new(), Vec::new());
        let outcome = loop {
            match stream.next().await {
                None => break Ok(()),
                Some(Err(error)) => break Err(failed(&error)),
                Some(Ok(row)) => {
                    if rows.is_empty() {
                        columns = row.columns().iter().map(column).collect();
                    }
                    match (0..row.len()).map(|index| value(&row, index)).collect() {
                        Ok(values) => rows.push(values),
                        Err(error) => break Err(failed(&error)),
                    }
                }
            }
        };
        Ok(Rows { columns, rows, outcome })
    }
}

fn failed(error: &tokio_postgres::Error) -> Error {
    let as_text = format!("{error:?}");
    Error::QueryFailed(match error.as_db_error() {
        None => QueryError::Text(as_text),
        Some(cause) => QueryError::DbError(DbError {
            as_text,
            severity: cause.severity().to_owned(),
            code: cause.code().code().to_owned(),
            message: cause.message().to_owned(),
            detail: cause.detail().map(str::to_owned),
            extras: Vec::new(),
        }),
    })
}

type Parameter = Box<dyn ToSql + Send + Sync>;

/// The parameters, or why one cannot be bound.
fn parameters(values: &[ParameterValue]) -> Result<Vec<Parameter>, String> {
    let parameter = |value: &ParameterValue| -> Result<Parameter, String> {
        Ok(match value {
            ParameterValue::Str(text) => Box::new(text.clone()),
            ParameterValue::Int32(number) => Box::new(*number),
            ParameterValue::Int64(number) => Box::new(*number),
            ParameterValue::Floating64(number) => Box::new(*number),
            ParameterValue::DbNull => Box::new(Any(Vec::new())),
            other => return Err(format!("the local host does not bind {other:?}")),
        })
    };
    values.iter().map(parameter).collect()
}

fn column(column: &tokio_postgres::Column) -> Column {
    Column {
        name: column.name().to_owned(),
        data_type: DbDataType::Other(column.type_().name().to_owned()),
    }
}

fn value(row: &Row, index: usize) -> Result<DbValue, tokio_postgres::Error> {
    fn read<'a, T: FromSql<'a>>(
        row: &'a Row,
        index: usize,
        wrap: impl FnOnce(T) -> DbValue,
    ) -> Result<DbValue, tokio_postgres::Error> {
        Ok(row.try_get::<_, Option<T>>(index)?.map_or(DbValue::DbNull, wrap))
    }
    match row.columns().get(index).map(tokio_postgres::Column::type_) {
        Some(&Type::BOOL) => read(row, index, DbValue::Boolean),
        Some(&Type::BYTEA) => read(row, index, DbValue::Binary),
        Some(&Type::FLOAT8) => read(row, index, DbValue::Floating64),
        Some(&Type::INT4) => read(row, index, DbValue::Int32),
        Some(&Type::INT8) => read(row, index, DbValue::Int64),
        Some(&(Type::TEXT | Type::VARCHAR | Type::BPCHAR)) => read(row, index, DbValue::Str),
        _ => read(row, index, |any: Any| DbValue::Unsupported(any.0)),
    }
}

/// A value of any type: as a parameter NULL, as a result the bytes that Postgres sends.
#[derive(Debug)]
struct Any(Vec<u8>);

impl ToSql for Any {
    fn to_sql(&self, _: &Type, _: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Any {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw.to_owned()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
