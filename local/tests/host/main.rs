//! The local host, seen from the guest in `tests/guest` and from its clients.
#![cfg(test)]

mod http;
mod instances;
mod loading;
mod outbound;
mod postgres;
mod queries;
mod server;
mod support;
mod up;
mod variables;
