//! One request: its id, its time limits, and what is measured of it for its line in the log.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    time::{Duration, Instant, SystemTime},
};

use http::{HeaderMap, HeaderName, Method, StatusCode};
use uuid::Uuid;

use crate::{auth::caller::Key, clock, error::Error, json, log::Line};

/// The id of a request: the caller's own, and in every answer.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// An answer begins within this time, or within what a last statement may take beyond it.
const LIMIT: Duration = Duration::from_secs(30);

/// Causes kept of one request, and characters of each.
const MAX_CAUSES: usize = 5;
const MAX_CAUSE: usize = 300;

/// What is known and measured of one request. Its line in the log is written when the last reference is dropped: after
/// the last byte of the answer, or when the caller has gone.
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
    cut: Cell<bool>,
}

impl Context {
    /// A request that begins now.
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
            cut: Cell::new(false),
        }
    }

    /// The id of the request: the caller's own if it sent a sane one, else a new one.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When the request began.
    #[must_use]
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// How long a call may take that begins now: `limit`, but not longer than the whole request may.
    #[must_use]
    pub fn left(&self, limit: Duration) -> Duration {
        limit.min(LIMIT.saturating_sub(self.begun.elapsed()))
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

    /// Notes the error that the request ends with; of a batch, the first. The cause is kept when the operator has to look
    /// into it.
    pub fn error(&self, error: &Error) {
        self.outcome(error.code());
        self.reason.set(self.reason.get().or(error.reason()));
        if matches!(error, Error::Misconfigured(_)) {
            self.misconfigured.set(true);
        }
        self.cause(error);
    }

    /// Whether a setting that cannot be used has refused a part of the request.
    #[must_use]
    pub fn is_misconfigured(&self) -> bool {
        self.misconfigured.get()
    }

    /// Notes that anybody may send such a request: the server has no key.
    pub fn open(&self) {
        self.open.set(true);
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

    /// Notes bytes of a streamed body that have been sent on.
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

/// `X-Request-Id` when it is one, else the trace id of `traceparent` (W3C Trace Context section 3.2), else a new one.
pub(crate) fn request_id(headers: &HeaderMap, key: Option<&Key>) -> String {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let sane = |id: &&str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
        (1..=64).contains(&id.len()) && id.bytes().all(allowed)
    };
    // A client that puts its key there by mistake shall not have it logged.
    let no_key = |id: &&str| !key.is_some_and(|key| key.is_in(id));
    let own = text(&X_REQUEST_ID).filter(sane);
    let trace = || {
        let id = text(&TRACEPARENT)?.split('-').nth(1)?;
        let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let valid = id.len() == 32 && id.bytes().all(hexadecimal) && id.bytes().any(|b| b != b'0');
        valid.then_some(id)
    };
    own.filter(no_key)
        .or_else(|| trace().filter(no_key))
        .map_or_else(next_id, str::to_owned)
}

/// An id that no other request has, of the form of a UUID: a random one for each instance, counted on from request to
/// request. Unlike the ids of tasks it may be guessed, so that the host need not be asked for each.
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
    fn the_callers_id_is_taken_when_it_is_sane() {
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
