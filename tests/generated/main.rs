//! What is made of the code when the project is tested: the list of the tools, the OpenAPI document, tables in the
//! documents. Each test compares a file with what the code says, or with `UPDATE_LISTS` set writes it:
//!
//! ```sh
//! UPDATE_LISTS=1 cargo test --locked --test generated
//! ```
//!
//! Needs no component, no host and no database.

#![expect(unreachable_pub, reason = "a test binary has no public interface")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests may fail loudly, and so may what they stand on"
)]

mod errors;
mod openapi;
mod tools;

use std::{
    fs,
    path::{Path, PathBuf},
};

const COMMAND: &str = "UPDATE_LISTS=1 cargo test --locked --test generated";

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn text(file: &str) -> String {
    fs::read_to_string(path(file)).expect("a readable file")
}

/// Compares a file with what it is made of, or writes it.
fn assert_file(file: &str, made: &str) {
    if std::env::var_os("UPDATE_LISTS").is_some() {
        fs::write(path(file), made).expect("a writable file");
    } else {
        assert!(text(file) == made, "{file} is not what the code says. Run: {COMMAND}");
    }
}

/// The same for what is between the markers `<!-- name -->` and `<!-- /name -->` of a file.
fn assert_part(file: &str, name: &str, made: &str) {
    let whole = text(file);
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = whole.split_once(&open).expect("the first marker");
    let (_, after) = rest.split_once(&close).expect("the second marker");
    assert_file(file, &format!("{before}{open}{made}\n{close}{after}"));
}
