//! The host's interfaces: all that the component asks of Spin. No other module names the crates that bind them. There is
//! one module for each generation of WASI, both of the same shape, and a feature of the crate chooses: `p2` for WASI 0.2,
//! which every Spin serves from 3.0 on, `p3` for WASI 0.3, which Spin serves from 4.1 on.
//!
//! | the host offers | here |
//! | --- | --- |
//! | requests | `serve!`, [`Request`] |
//! | application variables | [`variable`] |
//! | outbound Postgres | [`query`] with [`Parameter`], [`Rows`], [`Value`], [`Refusal`] |
//! | outbound HTTP | [`get`] with [`Answer`], [`Broken`], [`broken`] |
//! | time | [`sleep`] |
//! | standard error | [`write_log`] |
//!
//! Files, clocks and random bytes are those of the standard library and of `uuid`. Knows no other module.

pub mod leftover;
#[cfg(feature = "p2")]
pub mod p2;
#[cfg(feature = "p3")]
pub mod p3;

#[cfg(any(all(feature = "p2", feature = "p3"), not(any(feature = "p2", feature = "p3"))))]
compile_error!("choose one feature: p2, the default, or p3 with --no-default-features");

#[cfg(feature = "p2")]
use p2 as chosen;
#[cfg(feature = "p3")]
use p3 as chosen;

pub(crate) use chosen::serve;
pub use chosen::{Answer, BodyError, RequestBody, broken, get, query, sleep, variable, write_log};

/// A request to the component.
pub type Request = http::Request<leftover::Body<RequestBody>>;

/// A parameter of a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    /// NULL of any type.
    Null,
    /// `int4`.
    Int32(i32),
    /// `float8`.
    Float64(f64),
    /// `text`.
    Text(String),
}

/// A value in a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL of any type.
    Null,
    /// `bool`.
    Bool(bool),
    /// `int8`.
    Int64(i64),
    /// `float8`.
    Float64(f64),
    /// `text`.
    Text(String),
    /// `bytea`.
    Bytes(Vec<u8>),
    /// A type that no statement of the component returns.
    Other,
}

/// What a statement returns. A result without rows may have no columns either.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, each with a value for each column.
    pub values: Vec<Vec<Value>>,
}

/// Why a statement has no result. The texts are for the log: they may name hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no connection.
    Unconnected(String),
    /// Postgres refused the statement: SQLSTATE and message.
    State(String, String),
    /// The statement failed, and only a text says why.
    Text(String),
    /// A parameter or a value has a form that the interface does not carry.
    Misfit(String),
}

/// Why an outbound HTTP request has no answer, or the answer no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A time limit of the host.
    Timeout,
    /// The answer breaks HTTP, or is cut short.
    Protocol,
    /// Everything else: there is no connection.
    Unreachable,
}
