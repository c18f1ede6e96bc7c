//! What the HTTP half does wrong on purpose, and what it was asked: for tests.
//!
//! Knows no routes beyond their paths and no files.

use bytes::Bytes;
use futures::stream;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::header::{CONTENT_LENGTH, HeaderValue};
use hyper::{Response, StatusCode};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::sleep;

/// The body of every answer.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The size of the pieces of a slow body.
const PIECE: usize = 64 * 1024;
/// Sent bytes need a moment on their way before the connection is cut.
const FLUSH: Duration = Duration::from_millis(50);

/// One way to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// Works.
    #[default]
    None,
    /// Takes the request and never answers.
    Hang,
    /// Answers with this status and a JSON error.
    Status(u16),
    /// Declares the whole length and cuts the connection after this many bytes of the body.
    CutBody(usize),
    /// Declares 1024 bytes more than it sends.
    WrongLength,
    /// Waits this long before each 64 KiB of the body.
    SlowBody(Duration),
}

/// The switch for faults and the counter of requests. Copies share both.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    files: Fault,
    health: Fault,
    requests: BTreeMap<String, usize>,
}

impl Faults {
    /// From now on the routes that serve files do this.
    pub fn set(&self, fault: Fault) {
        self.state().files = fault;
    }

    /// From now on `/healthcheck` does this.
    pub fn set_health(&self, fault: Fault) {
        self.state().health = fault;
    }

    /// How often each path was asked for.
    pub fn requests(&self) -> BTreeMap<String, usize> {
        self.state().requests.clone()
    }

    /// Counts a request; the fault to answer with.
    pub(super) fn on_request(&self, path: &str) -> Fault {
        let mut state = self.state();
        *state.requests.entry(path.to_owned()).or_default() += 1;
        match path {
            "/healthcheck" => state.health,
            _ => state.files,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Turns an answer into what the fault makes of it; hangs if that is the fault.
pub(super) async fn distort(fault: Fault, answer: Response<Bytes>) -> Response<Body> {
    let (mut parts, content) = answer.into_parts();
    let length = content.len();
    let body = match fault {
        Fault::None => whole(content),
        Fault::Hang => std::future::pending().await,
        Fault::Status(status) => {
            parts.status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            parts.headers.clear();
            whole(Bytes::from_static(br#"{"detail":"a fault for tests"}"#))
        }
        Fault::CutBody(after) => cut(content.slice(..after.min(length))),
        Fault::WrongLength => cut(content),
        Fault::SlowBody(wait) => slow(content, wait),
    };
    match fault {
        Fault::CutBody(_) | Fault::SlowBody(_) => parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length)),
        Fault::WrongLength => parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length + 1024)),
        Fault::None | Fault::Hang | Fault::Status(_) => None,
    };
    Response::from_parts(parts, body)
}

fn whole(content: Bytes) -> Body {
    Full::new(content).map_err(|never| match never {}).boxed_unsync()
}

fn cut(content: Bytes) -> Body {
    StreamBody::new(stream::unfold(Some(content), |content| async move {
        match content {
            Some(content) if !content.is_empty() => Some((Ok(Frame::data(content)), Some(Bytes::new()))),
            _ => {
                sleep(FLUSH).await;
                Some((Err(io::Error::other("cut off on purpose")), None))
            }
        }
    }))
    .boxed_unsync()
}

fn slow(content: Bytes, wait: Duration) -> Body {
    StreamBody::new(stream::unfold(content, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        sleep(wait).await;
        let piece = rest.split_to(rest.len().min(PIECE));
        Some((Ok(Frame::data(piece)), rest))
    }))
    .boxed_unsync()
}
