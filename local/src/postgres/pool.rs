//! One pool of connections for each address string.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use tokio_postgres::NoTls;

use super::client::error_text;
use crate::bindings::postgres::Error;

/// A connection on loan from its pool.
pub(super) type Client = Object;

/// The pools of one host.
pub(crate) struct Pools {
    size: usize,
    by_address: Mutex<HashMap<String, Pool>>,
}

impl Pools {
    /// `size` is the most connections of one pool.
    pub(crate) fn new(size: usize) -> Self {
        Self {
            size,
            by_address: Mutex::default(),
        }
    }

    /// Takes a connection: one that is free, after a query that resets its session, or a new one. Waits without limit
    /// when all are taken.
    pub(super) async fn get(&self, address: &str) -> Result<Client, Error> {
        let failed = |error: anyhow::Error| Error::ConnectionFailed(error_text(&error));
        let pool = self
            .pool(address)
            .context("establishing PostgreSQL connection pool")
            .map_err(failed)?;
        pool.get().await.map_err(|error| failed(error.into()))
    }

    fn pool(&self, address: &str) -> anyhow::Result<Pool> {
        let mut pools = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(address) {
            return Ok(pool.clone());
        }
        let config: tokio_postgres::Config = address.parse().context("parsing Postgres connection string")?;
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Clean,
        };
        let manager = Manager::from_config(config, NoTls, recycling);
        let pool = Pool::builder(manager).max_size(self.size).build()?;
        pools.insert(address.to_owned(), pool.clone());
        Ok(pool)
    }

    /// The connections on loan and those that wait, over all pools.
    pub(crate) fn in_use_and_idle(&self) -> (usize, usize) {
        let pools = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        pools.values().map(Pool::status).fold((0, 0), |(in_use, idle), status| {
            (
                in_use + status.size.saturating_sub(status.available),
                idle + status.available,
            )
        })
    }
}
