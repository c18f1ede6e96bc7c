//! The context of one request: its id, its time limits, and the measurements for its line in the log.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    time::{Duration, Instant, SystemTime},
};

use http::{HeaderMap, HeaderName, Method, StatusCode};
use uuid::Uuid;

use crate::{auth::caller::Key, clock, error::Error, json, log::Line};

/// The header with the id of a request, which callers may send and every answer has.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Time limit until an answer begins. A statement that has started may exceed it.
const LIMIT: Duration = Duration::from_secs(30);

/// Maximum number of causes in the log line of a request, and characters of each.
const MAX_CAUSES: usize = 5;
const MAX_CAUSE: usize = 300;

/// The context of one request. Its line in the log is written when the last reference is dropped: after the last byte of the
/// answer, or when the client has disconnected.
#[derive(Debug)]
pub struct Context {
    begun: Instant,
    time: SystemTime,
    id: String,
    method: &'static str,
    key: Option<String>,
    route: Cell<&'static str>,
    rpc: Cell<Option<&'static str>>,
    tool: Cell<Option<&'static str>>,
    outcome: RefCell<Option<Cow<'static, str>>>,
    reason: Cell<Option<&'static str>>,
    misconfigured: Cell<bool>,
    open: Cell<bool>,
    causes: RefCell<Vec<String>>,
    status: Cell<Option<StatusCode>>,
    database: Cell<Duration>,
    statements: Cell<u32>,
    worker: Cell<Duration>,
    sent: Cell<Option<u64>>,
    truncated: Cell<bool>,
}

impl Context {
    /// The context of a request that begins now.
    #[must_use]
    pub fn begin(method: &Method, headers: &HeaderMap, key: Option<&Key>) -> Self {
        let (begun, time) = clock::now();
        Self {
            begun,
            time,
            id: request_id(headers, key),
            method: known_method(method),
            key: key.map(Key::id),
            route: Cell::new("unknown"),
            rpc: Cell::new(None),
            tool: Cell::new(None),
            outcome: RefCell::new(None),
            reason: Cell::new(None),
            misconfigured: Cell::new(false),
            open: Cell::new(false),
            causes: RefCell::default(),
            status: Cell::new(None),
            database: Cell::default(),
            statements: Cell::default(),
            worker: Cell::default(),
            sent: Cell::new(None),
            truncated: Cell::new(false),
        }
    }

    /// The id of the request: the caller's own if it is valid, else a new one.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When the request began.
    #[must_use]
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// The time limit of a call that begins now: `limit`, or what is left of the limit of the request if that is less.
    #[must_use]
    pub fn left(&self, limit: Duration) -> Duration {
        limit.min(LIMIT.saturating_sub(self.begun.elapsed()))
    }

    /// Sets the route, as the log names it.
    pub fn set_route(&self, template: &'static str) {
        self.route.set(template);
    }

    /// Sets the method of MCP. In a batch the first one counts.
    pub fn set_rpc(&self, name: &'static str) {
        self.rpc.set(self.rpc.get().or(Some(name)));
    }

    /// Sets the tool. In a batch the first one counts.
    pub fn set_tool(&self, name: &'static str) {
        self.tool.set(self.tool.get().or(Some(name)));
    }

    /// Sets the error that the request ends with. In a batch the first one counts. An error that the operator has to
    /// investigate is also logged with its cause.
    pub fn fail(&self, error: &Error) {
        self.set_outcome(error.code());
        self.reason.set(self.reason.get().or(error.reason()));
        if matches!(error, Error::Misconfigured(_)) {
            self.misconfigured.set(true);
        }
        self.log_error(error);
    }

    /// Whether any part of the request failed because of an invalid setting.
    #[must_use]
    pub fn is_misconfigured(&self) -> bool {
        self.misconfigured.get()
    }

    /// Marks the request as sent to a server without a key, which anyone may call.
    pub fn set_open(&self) {
        self.open.set(true);
    }

    /// Sets the outcome of the request, a code. The first one counts.
    pub fn set_outcome(&self, code: impl Into<Cow<'static, str>>) {
        self.outcome.borrow_mut().get_or_insert_with(|| code.into());
    }

    /// Logs an error that the caller does not see, because the server recovered from it.
    pub fn log_error(&self, error: &Error) {
        if error.is_fault() {
            self.warn(&error.to_string());
        }
    }

    /// Logs a text for the operator.
    pub fn warn(&self, text: &str) {
        let mut causes = self.causes.borrow_mut();
        if causes.len() < MAX_CAUSES {
            causes.push(text.chars().take(MAX_CAUSE).collect());
        }
    }

    /// Sets the status of the answer.
    pub fn set_status(&self, status: StatusCode) {
        self.status.set(Some(status));
    }

    /// Adds the time of one statement.
    pub fn add_database(&self, time: Duration) {
        self.database.set(self.database.get() + time);
        self.statements.set(self.statements.get().saturating_add(1));
    }

    /// Total time of all statements so far.
    #[must_use]
    pub fn database(&self) -> Duration {
        self.database.get()
    }

    /// Adds the time of a call of `worker_plan`.
    pub fn add_worker(&self, time: Duration) {
        self.worker.set(self.worker.get() + time);
    }

    /// Total time of all calls of `worker_plan` so far.
    #[must_use]
    pub fn worker(&self) -> Duration {
        self.worker.get()
    }

    /// Adds bytes of a streamed body that have been sent.
    pub fn add_sent(&self, bytes: usize) {
        self.sent.set(Some(self.sent.get().unwrap_or_default() + bytes as u64));
    }

    /// Sets whether the end of a streamed body has not been sent yet.
    pub fn set_truncated(&self, truncated: bool) {
        self.truncated.set(truncated);
    }

    fn write(&self) {
        let status = self.status.get();
        let outcome = self.outcome.borrow();
        let outcome = match (outcome.as_deref(), status) {
            (Some(code), _) => code,
            (None, None) => "ABANDONED",
            (None, Some(_)) if self.truncated.get() => "CUT",
            (None, Some(_)) => "ok",
        };
        let causes = self.causes.borrow();
        let mut line = Line::default();
        line.word("time", clock::rfc3339_millis(self.time));
        line.word("level", if causes.is_empty() { "info" } else { "error" });
        line.word("request_id", &self.id);
        line.word("method", self.method);
        line.word("route", self.route.get());
        line.word_if("rpc", self.rpc.get());
        line.word_if("tool", self.tool.get());
        line.word_if("key", self.key.as_deref());
        line.word_if("access", self.open.get().then_some("open"));
        if let Some(status) = status {
            line.value("status", status.as_str());
        }
        line.word("outcome", outcome);
        line.word_if("reason", self.reason.get());
        line.millis("ms", self.begun.elapsed());
        line.millis("database_ms", self.database.get());
        line.value("statements", &self.statements.get().to_string());
        line.millis("worker_ms", self.worker.get());
        if let Some(sent) = self.sent.get() {
            line.value("sent_bytes", &sent.to_string());
        }
        if !causes.is_empty() {
            line.value("causes", &json::text(&*causes));
        }
        line.write();
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.write();
    }
}

/// The id of a request: a valid `X-Request-Id`, else the trace id of `traceparent` (W3C Trace Context section 3.2), else a
/// new one.
pub(crate) fn request_id(headers: &HeaderMap, key: Option<&Key>) -> String {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let valid = |id: &&str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
        (1..=64).contains(&id.len()) && id.bytes().all(allowed)
    };
    // A client may send its key here by mistake, which must not be logged.
    let no_key = |id: &&str| !key.is_some_and(|key| key.is_in(id));
    let own = text(&X_REQUEST_ID).filter(valid);
    let trace = || {
        let id = text(&TRACEPARENT)?.split('-').nth(1)?;
        let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let is_trace_id = id.len() == 32 && id.bytes().all(hexadecimal) && id.bytes().any(|b| b != b'0');
        is_trace_id.then_some(id)
    };
    own.filter(no_key)
        .or_else(|| trace().filter(no_key))
        .map_or_else(next_id, str::to_owned)
}

/// A unique id in the form of a UUID: a random one for the first request of an instance, then incremented. Unlike the ids
/// of tasks it may be guessable, which saves asking the host for random bytes in every request.
fn next_id() -> String {
    thread_local! {
        static LAST: Cell<Option<u128>> = const { Cell::new(None) };
    }
    let random = || Uuid::new_v4().as_u128();
    let id = LAST.get().map_or_else(random, |last| last.wrapping_add(1));
    LAST.set(Some(id));
    Uuid::from_u128(id).to_string()
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
    fn a_valid_id_of_the_caller_is_used() {
        let id = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            request_id(&headers, Key::presented(&headers).as_ref())
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
