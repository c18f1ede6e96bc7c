//! The floor of the benchmark: what an answer costs when nothing is done for it but what it cannot do without.
//!
//! `/LENGTH` answers with so many bytes. `/LENGTH/NAME` first takes the steps that the variable `NAME` lists, and where
//! the length is 0 it answers with the bytes in the first columns of the rows that it got. The floor checks nothing, and
//! an error ends it: a benchmark with errors has no result.
//!
//! Between two steps stands U+001E. A step is an address of the worker to ask, or a statement, followed by its
//! parameters, each with U+001F before it and four letters for its type.

#[cfg_attr(feature = "p2", path = "p2.rs")]
#[cfg_attr(not(feature = "p2"), path = "p3.rs")]
mod host;

use host::{DbValue, ParameterValue, Request};

/// Takes the steps that a path names, and returns the body of the answer.
async fn answer(path: &str, request: Request) -> Vec<u8> {
    let (length, name) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let length = length.parse().or_end();
    let mut answer = vec![b' '; length];
    if name.is_empty() {
        return answer;
    }
    let address = host::variable("database_url").await;
    let steps = host::variable(name).await;
    let body = if steps.contains("\u{1f}body") {
        String::from_utf8(host::body(request).await).or_end()
    } else {
        String::new()
    };
    for step in steps.split('\u{1e}') {
        let mut parts = step.split('\u{1f}');
        let text = parts.next().or_end();
        if text.starts_with("http://") {
            host::get(text).await;
            continue;
        }
        let parameters = parts.map(|part| parameter(part, &body)).collect();
        for row in host::query(&address, text, parameters).await {
            if let (0, Some(DbValue::Binary(bytes))) = (length, row.into_iter().next()) {
                answer.extend(bytes);
            }
        }
    }
    answer
}

fn parameter(part: &str, body: &str) -> ParameterValue {
    match part.split_at(4) {
        ("text", text) => ParameterValue::Str(text.to_owned()),
        ("int4", number) => ParameterValue::Int32(number.parse().or_end()),
        ("bits", number) => ParameterValue::Floating64(f64::from_bits(number.parse().or_end())),
        ("body", _) => ParameterValue::Str(body.to_owned()),
        ("uuid", _) => ParameterValue::Str(new_id()),
        _ => ParameterValue::DbNull,
    }
}

/// Random digits as Postgres reads them for a UUID.
fn new_id() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    let random = || RandomState::new().hash_one(());
    format!("{:016x}{:016x}", random(), random())
}

/// Ends the instance where there is no value. Unlike a panic it brings no texts: they would make up a quarter of the
/// component.
trait OrEnd<T> {
    fn or_end(self) -> T;
}

impl<T, E> OrEnd<T> for Result<T, E> {
    fn or_end(self) -> T {
        self.unwrap_or_else(|_| std::process::abort())
    }
}

impl<T> OrEnd<T> for Option<T> {
    fn or_end(self) -> T {
        self.unwrap_or_else(|| std::process::abort())
    }
}
