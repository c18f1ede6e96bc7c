//! The sample worker on a real database: every write in its order, and what its HTTP half answers.
//!
//! Each test has a database of its own in one cluster.

mod http;
mod may;
mod support;
mod tasks;
