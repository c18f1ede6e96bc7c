//! The log: one line of JSON on stderr for each request, for the operator. Never a key, a prompt, the text of a
//! request, or a raw path.

#[cfg(fuzzing)]
pub mod fuzzing;

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;

use crate::{
    auth::caller,
    clock::{self, Deadline},
    error::Error,
    plan::TaskId,
    render,
};

/// An answer begins within this time, or within what a last statement may take beyond it.
const LIMIT: Duration = Duration::from_secs(30);

/// Causes kept of one request, and characters of each.
const MAX_CAUSES: usize = 5;
const MAX_CAUSE: usize = 300;

/// What is measured of one request. Its line is written when the last who knows of it lets go: after the last byte of
/// the answer, or when the caller has gone.
#[derive(Debug)]
pub struct Record {
    begun: (SystemTime, Instant),
    id: String,
    method: &'static str,
    key: Option<String>,
    route: Cell<&'static str>,
    rpc: Cell<Option<&'static str>>,
    tool: Cell<Option<&'static str>>,
    outcome: RefCell<Option<Cow<'static, str>>>,
    causes: RefCell<Vec<String>>,
    status: Cell<Option<StatusCode>>,
    database: Cell<Duration>,
    statements: Cell<u32>,
    worker: Cell<Duration>,
    sent: Cell<Option<u64>>,
    cut: Cell<bool>,
}

impl Record {
    /// The record of a request that begins now.
    #[must_use]
    pub fn begin(method: &Method, headers: &HeaderMap) -> Self {
        Self {
            begun: (SystemTime::now(), Instant::now()),
            id: request_id(headers),
            method: known_method(method),
            key: caller::key_id(headers),
            route: Cell::new("unknown"),
            rpc: Cell::new(None),
            tool: Cell::new(None),
            outcome: RefCell::new(None),
            causes: RefCell::default(),
            status: Cell::new(None),
            database: Cell::default(),
            statements: Cell::default(),
            worker: Cell::default(),
            sent: Cell::new(None),
            cut: Cell::new(false),
        }
    }

    /// The id of the request: the caller's own if it sent a sane one, else a new one.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The end of a wait that may take `limit`, but not longer than the whole request may.
    #[must_use]
    pub fn deadline(&self, limit: Duration) -> Deadline {
        Deadline::after(limit.min(LIMIT.saturating_sub(self.begun.1.elapsed())))
    }

    /// Notes the route, by its template.
    pub fn route(&self, template: &'static str) {
        self.route.set(template);
    }

    /// Notes the method of MCP that is called; of a batch, the first.
    pub fn rpc(&self, name: &'static str) {
        self.rpc.set(self.rpc.get().or(Some(name)));
    }

    /// Notes the tool that is called; of a batch, the first.
    pub fn tool(&self, name: &'static str) {
        self.tool.set(self.tool.get().or(Some(name)));
    }

    /// Notes what the request has come to, when that is no success; of a batch, the first. The cause is kept when the
    /// operator has something to look into.
    pub fn error(&self, error: &Error) {
        self.outcome(error.code());
        self.cause(error);
    }

    /// Notes the code of what the request has come to.
    pub fn outcome(&self, code: impl Into<Cow<'static, str>>) {
        self.outcome.borrow_mut().get_or_insert_with(|| code.into());
    }

    /// Notes an error that the caller does not see, because something else took the place of what failed.
    pub fn cause(&self, error: &Error) {
        if error.is_fault() {
            self.note(&error.to_string());
        }
    }

    /// Notes what the operator should know of.
    pub fn note(&self, text: &str) {
        let mut causes = self.causes.borrow_mut();
        if causes.len() < MAX_CAUSES {
            causes.push(text.chars().take(MAX_CAUSE).collect());
        }
    }

    /// Notes the status of the answer.
    pub fn status(&self, status: StatusCode) {
        self.status.set(Some(status));
    }

    /// Notes time spent with the database, in one statement.
    pub fn add_database(&self, time: Duration) {
        self.database.set(self.database.get() + time);
        self.statements.set(self.statements.get().saturating_add(1));
    }

    /// Time spent with the database so far.
    #[must_use]
    pub fn database(&self) -> Duration {
        self.database.get()
    }

    /// Notes time spent with `worker_plan`.
    pub fn add_worker(&self, time: Duration) {
        self.worker.set(self.worker.get() + time);
    }

    /// Time spent with `worker_plan` so far.
    #[must_use]
    pub fn worker(&self) -> Duration {
        self.worker.get()
    }

    /// Notes bytes of a streamed body that have been handed on.
    pub fn add_sent(&self, bytes: usize) {
        self.sent.set(Some(self.sent.get().unwrap_or_default() + bytes as u64));
    }

    /// Notes whether a streamed body is still without its end.
    pub fn cut(&self, cut: bool) {
        self.cut.set(cut);
    }

    fn write(&self) {
        let status = self.status.get();
        let outcome = self.outcome.borrow();
        let outcome = match (outcome.as_deref(), status) {
            (Some(code), _) => code,
            (None, None) => "ABANDONED",
            (None, Some(_)) if self.cut.get() => "CUT",
            (None, Some(_)) => "ok",
        };
        let causes = self.causes.borrow();
        write(&Line {
            time: clock::rfc3339_millis(self.begun.0.duration_since(UNIX_EPOCH).unwrap_or_default()),
            level: if causes.is_empty() { "info" } else { "error" },
            request_id: &self.id,
            method: self.method,
            route: self.route.get(),
            rpc: self.rpc.get(),
            tool: self.tool.get(),
            key: self.key.as_deref(),
            status: status.map(|status| status.as_u16()),
            outcome,
            ms: millis(self.begun.1.elapsed()),
            database_ms: millis(self.database.get()),
            statements: self.statements.get(),
            worker_ms: millis(self.worker.get()),
            sent_bytes: self.sent.get(),
            causes: &causes,
        });
    }
}

/// The line of a request.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    level: &'static str,
    request_id: &'a str,
    method: &'static str,
    route: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rpc: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    outcome: &'a str,
    ms: f64,
    database_ms: f64,
    statements: u32,
    worker_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_bytes: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    causes: &'a [String],
}

impl Drop for Record {
    fn drop(&mut self) {
        self.write();
    }
}

/// Something that is allowed but unwise.
pub fn warning(text: &str) {
    write(&serde_json::json!({ "level": "warning", "message": text }));
}

/// In one call of the host, so that lines of requests that run side by side do not mix.
fn write(entry: &impl Serialize) {
    let mut line = render::to_json(entry);
    line.push('\n');
    #[cfg(target_family = "wasm")]
    if write_at_once(line.as_bytes()) {
        return;
    }
    #[expect(clippy::print_stderr, reason = "stderr is the host's log")]
    {
        eprint!("{line}");
    }
}

/// Writes a line when the host takes all of it now; false when it does not. The standard library's way waits for the
/// host instead, which costs an answer a tenth of its time even when there is nothing to wait for.
#[cfg(target_family = "wasm")]
fn write_at_once(line: &[u8]) -> bool {
    use wasip2::{cli::stderr::get_stderr, io::streams::OutputStream};
    thread_local! {
        static STDERR: OutputStream = get_stderr();
    }
    STDERR.with(|stderr| {
        let fits = stderr.check_write().is_ok_and(|room| line.len() as u64 <= room);
        fits && stderr.write(line).is_ok()
    })
}

/// Milliseconds with one decimal.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

/// `X-Request-Id` when it is one, else the trace id of `traceparent` (W3C Trace Context section 3.2), else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let sane = |id: &&str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
        (1..=64).contains(&id.len()) && id.bytes().all(allowed)
    };
    // A client that puts its key there by mistake shall not have it logged, however either was copied.
    let plain = |key: &[u8]| caller::normalise(&String::from_utf8_lossy(key));
    let key = super::auth::presented_key(headers).map(plain);
    let no_key = |id: &&str| key.as_deref() != Some(plain(id.as_bytes()).as_str());
    let own = text("x-request-id").filter(sane);
    let trace = || {
        let id = text("traceparent")?.split('-').nth(1)?;
        let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let valid = id.len() == 32 && id.bytes().all(hexadecimal) && id.bytes().any(|b| b != b'0');
        valid.then_some(id)
    };
    own.filter(no_key)
        .or_else(|| trace().filter(no_key))
        .map_or_else(|| TaskId::random().to_string(), str::to_owned)
}

fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_callers_id_is_taken_when_it_is_sane() {
        let id = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            request_id(&headers)
        };
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(id(&[("x-request-id", "call-7.a:b_c")]), "call-7.a:b_c");
        assert_eq!(
            id(&[("x-request-id", "a b"), ("traceparent", trace)]),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert_eq!(id(&[("x-request-id", "a"), ("traceparent", trace)]), "a");
        for pairs in [
            &[][..],
            &[("x-request-id", "")],
            &[("x-request-id", "{\"a\":1}")],
            &[("x-request-id", "secret"), ("x-api-key", "secret")],
            &[("x-request-id", "secret"), ("x-api-key", "\"secret\"")],
            &[("x-request-id", "Bearer:secret"), ("x-api-key", "secret")],
            &[
                ("traceparent", trace),
                ("x-api-key", "4bf92f3577b34da6a3ce929d0e0e4736"),
            ],
            &[("traceparent", "00-00000000000000000000000000000000-00f067aa0ba902b7-01")],
            &[("traceparent", "x")],
        ] {
            assert_eq!(id(pairs).len(), 36, "{pairs:?}");
        }
    }
}
