//! What an HTTP server does wrong on purpose, and what it was asked: for tests. Knows no routes and no files.

use bytes::Bytes;
use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{Response, StatusCode, header::CONTENT_LENGTH};
use std::{collections::BTreeMap, io, sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};

/// The body of every answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The size of the pieces of a body.
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
    /// Refuses connections to all routes, and cuts those that are open.
    Refuse,
    /// Answers with this status and a JSON error.
    Status(u16),
    /// Declares the whole length and cuts the connection after this many bytes of the body.
    CutBody(usize),
    /// Declares 1024 bytes more than it sends.
    WrongLength,
    /// Waits this long before the first byte of the answer.
    SlowStart(Duration),
    /// Waits this long before each 64 KiB of the body.
    SlowBody(Duration),
    /// Answers for a zip as when a file vanishes while it is packed: 500.
    Vanishing,
    /// Lists the files of a run, then answers for them as when its folder is gone: 404.
    GoneAfterList,
}

/// The switch for faults and the counter of requests. Copies share both.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<watch::Sender<State>>);

#[derive(Debug, Default)]
struct State {
    files: Fault,
    health: Fault,
    requests: BTreeMap<String, usize>,
}

impl Faults {
    /// From now on the routes of runs do this.
    pub fn set(&self, fault: Fault) {
        self.0.send_modify(|state| state.files = fault);
    }

    /// From now on `/healthcheck` does this.
    pub fn set_health(&self, fault: Fault) {
        self.0.send_modify(|state| state.health = fault);
    }

    /// How often each path was asked for.
    pub fn requests(&self) -> BTreeMap<String, usize> {
        self.0.borrow().requests.clone()
    }

    /// Counts a request; the fault to answer with.
    pub(crate) fn on_request(&self, path: &str) -> Fault {
        let count = |state: &mut State| *state.requests.entry(path.to_owned()).or_default() += 1;
        self.0.send_modify(count);
        let state = self.0.borrow();
        let is_health = path == "/healthcheck";
        if is_health { state.health } else { state.files }
    }

    /// Waits until connections are refused, or until they are not.
    pub(crate) async fn until(&self, refused: bool) {
        let is_refused = |state: &State| [state.files, state.health].contains(&Fault::Refuse);
        // It cannot fail: the sender is this value.
        _ = self.0.subscribe().wait_for(|state| is_refused(state) == refused).await;
    }
}

/// Turns an answer into what the fault makes of it; hangs if that is the fault.
pub(crate) async fn distort(fault: Fault, answer: Response<Bytes>) -> Response<Body> {
    let (mut parts, mut content) = answer.into_parts();
    let (mut extra, mut wait, mut is_cut) = (0, Duration::ZERO, false);
    match fault {
        Fault::None | Fault::Refuse | Fault::Vanishing | Fault::GoneAfterList => {}
        Fault::Hang => std::future::pending().await,
        Fault::SlowStart(time) => sleep(time).await,
        Fault::SlowBody(time) => wait = time,
        Fault::Status(status) => {
            parts.status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            parts.headers.clear();
            content = Bytes::from_static(br#"{"detail":"a fault for tests"}"#);
        }
        Fault::CutBody(after) => {
            extra = content.len().saturating_sub(after);
            content.truncate(after);
            is_cut = true;
        }
        Fault::WrongLength => (extra, is_cut) = (1024, true),
    }
    parts.headers.insert(CONTENT_LENGTH, (content.len() + extra).into());
    Response::from_parts(parts, body(content, wait, is_cut))
}

fn body(content: Bytes, wait: Duration, is_cut: bool) -> Body {
    let next = move |mut rest: Bytes| async move {
        if !rest.is_empty() {
            sleep(wait).await;
            let piece = rest.split_to(rest.len().min(PIECE));
            return Some((Ok(Frame::data(piece)), rest));
        }
        sleep(if is_cut { FLUSH } else { return None }).await;
        Some((Err(io::Error::other("cut off on purpose")), rest))
    };
    StreamBody::new(stream::unfold(content, next)).boxed_unsync()
}
