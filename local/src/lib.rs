//! A host for the machine a person sits at: it runs the component on wasmtime, for tests, development and stdio. It is
//! never the production engine; that is Spin.
//!
//! - `host`, as the command [`serve`] and below [`up`]: reads `spin.toml` and serves its component over HTTP, of WASI 0.2
//!   (`wasi:http/incoming-handler@0.2`, `fermyon:spin@2.0.0`) or WASI 0.3 (`wasi:http/handler@0.3.0`,
//!   `spin:postgres@4.2.0`, `spin:variables@3.0.0`)
//! - [`stdio`]: MCP over standard input and output, as a bridge to the same or to a remote server
//! - [`cluster`]: a private Postgres, with the tables of [`schema`]. [`worker`]: a double of the two services that make plans
//!
//! # Where the host differs from Spin
//!
//! It behaves like Spin 4.1, and for WASI 0.2 like Spin 4.0.2, but for this:
//!
//! - Manifest: version 2, one component from a file, one trigger with the route `/...`, folders as `files`. Runtime
//!   configuration: the provider `env`. Whatever else stands there is an error at start.
//! - `allowed_outbound_hosts`: `scheme://host[:port]`, with templates; no wildcards, ranges and networks.
//! - To clients HTTP/1.1 without TLS. No time limit of a request.
//! - Outbound HTTP makes a connection for each request, trusts the authorities of Mozilla, and blocks no network.
//! - Postgres: parameters are text, int4, int8, float8 and NULL; results text, int4, int8, float8, bool, bytea and NULL.
//!   Any other parameter is refused, any other result `unsupported`. The type of a column is not told. All rows of a
//!   result are there when the component gets the first one, and they may be of any size. Of an error only severity,
//!   code, message and detail are given.
//! - TLS to Postgres is rustls: the text of its errors is not OpenSSL's, and a certificate needs a `subjectAltName`.
//! - The component's standard output and error go to those of this process.
//!
//! Of Spin's interfaces it has the functions in `wit/`.

mod faults;
mod host;
mod stack;

pub mod cluster;
pub mod demo;
pub mod schema;
pub mod serve;
pub mod settings;
pub mod stdio;
pub mod up;
pub mod worker;
