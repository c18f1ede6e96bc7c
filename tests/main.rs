//! Tests of the built component in the local host, against a real Postgres and the sample worker: a module for each
//! route, protocol cases as data in `cases/`.
//!
//! Build the component first (`scripts/test` does): `scripts/build`.

#![expect(unreachable_pub, reason = "a test binary has no public interface")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests may fail loudly, and so may what they stand on"
)]

mod support;

mod cases;
mod client;
mod client_disconnects;
mod credits;
mod demo;
mod download;
mod download_conditions;
mod download_damage;
mod download_entries;
mod download_faults;
mod download_load;
mod faults;
mod hostile_input;
mod instances;
mod interfaces;
mod kill;
mod layers;
mod log;
mod openapi;
mod parsers;
mod plan_tools;
mod properties;
mod readme;
mod real_files;
mod real_run;
mod real_services;
mod resource_links;
mod resources;
mod schemas;
mod settings;
mod soak;
mod statements;
mod stdio;
mod stdio_download;
mod stdio_faults;
mod task_create;
mod task_file_info;
mod task_status;
mod task_stop;
mod tls;
mod tools_list;
mod users;
mod version;
mod worker_faults;
