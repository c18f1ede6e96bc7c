//! The host's interfaces: all that the component asks of Spin. No other module names the crates that bind them, so that
//! another generation of WASI is another file of the same shape beside `p3`.
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

mod p3;

pub(crate) use p3::serve;
pub use p3::{Answer, BodyError, Request, broken, get, query, sleep, variable, write_log};

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
