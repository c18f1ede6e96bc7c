//! MCP server for PlanExe: a stateless WebAssembly component for Spin.
//!
//! | module | owns |
//! | --- | --- |
//! | [`router`] | dispatch, and what every answer carries |
//! | [`routes`] | the table of the routes, and one file for each: parse, call, render |
//! | [`mcp`] | the protocol: messages, revisions, methods |
//! | [`tools`] | the tools: definitions, schemas, arguments, one file per tool |
//! | [`actions`] | what the tools do, apart from the words of either family |
//! | [`plan`] | the domain: ids, states, names |
//! | [`artifacts`] | the files of a run: database first, `worker_plan` second, archives |
//! | [`db`] | statements, schemas, decoding, time limits |
//! | [`worker_plan`] | the service that keeps the files of runs |
//! | [`catalogue`] | example prompts, finished plans, models: files that an operator can replace |
//! | [`auth`] | API key, signed links, origins |
//! | [`request`] | one request: its id, its time limits, what is measured of it |
//! | [`config`] | settings |
//! | [`host`] | what the component asks of Spin: the only module that names its interfaces |
//! | [`clock`] | time limits and dates |
//! | [`json`] | JSON texts |
//! | [`error`] | every error, a row for each |
//! | [`render`] | answers, and an error as one |
//! | [`log`] | lines for the operator |
//!
//! Modules name each other in one direction, which a test holds: router, routes, mcp, tools, actions, artifacts and catalogue,
//! db and `worker_plan`, request, auth, config, log and clock, host, render, error; json and plan below all.

pub mod actions;
pub mod artifacts;
pub mod auth;
pub mod catalogue;
pub mod clock;
pub mod config;
pub mod db;
pub mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod host;
pub mod json;
pub mod log;
pub mod mcp;
pub mod plan;
pub mod render;
pub mod request;
pub mod router;
pub mod routes;
pub mod tools;
pub mod worker_plan;

// The entry point of the component. It cannot fail: an error from here would become an empty 500 of the host.
host::serve!(router::handle);
