//! A host for the machine a person sits at: it runs a Spin application's components on wasmtime, for tests,
//! development and stdio. It is never the production engine; that is Spin.
//!
//! It reads the same `spin.toml` and serves the same interfaces as Spin 4.1: WASI 0.2 and 0.3, `wasi:http`
//! (components that export `wasi:http/handler@0.3.0`), `spin:postgres@4.2.0`, and `spin:variables@3.0.0`.
//! Where Spin is strict, so is this host. It speaks no TLS and no HTTP/2 to its clients, and no TLS to Postgres.
//!
//! - [`manifest`]: `spin.toml` and the runtime configuration. [`variables`], [`routes`]: parts of it
//! - [`host`]: [`host::Runtime`] compiles, [`host::Host`] answers requests, in-process
//! - [`server`]: the same over TCP. [`serve`]: a subset of `spin up`
//! - [`stdio`]: MCP over standard input and output, as a bridge to the same or to a remote server
//! - [`cluster`]: a private Postgres. [`worker`]: a double of the two services that make plans

mod allowed_hosts;
mod bindings;
mod component;
mod counters;
mod faults;
mod inbound;
mod instances;
mod outbound_http;
mod output;
mod postgres;
mod stack;

pub mod cluster;
pub mod demo;
pub mod host;
pub mod manifest;
pub mod routes;
pub mod serve;
pub mod server;
pub mod settings;
pub mod stdio;
pub mod up;
pub mod variables;
pub mod worker;
