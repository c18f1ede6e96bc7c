//! The sample worker on a real database: what becomes of a task, and what its HTTP half answers.
//!
//! Each test has a database of its own in one cluster.

mod http;
mod support;
mod tasks;
