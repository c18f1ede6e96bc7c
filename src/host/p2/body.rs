//! A body that comes from outside: that of a request, and that of the answer to an outbound one.

use std::{
    cell::RefCell,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_LENGTH};
use http_body::Frame;
use wasi::{
    http::types::{ErrorCode, IncomingBody, http_error_code},
    io::{error::Error as IoError, streams::InputStream, streams::StreamError},
};

use super::executor::Ready;

/// What breaks a [`Body`].
pub type BodyError = ErrorCode;

/// Bytes that are read at once, at most.
const PIECE: u64 = 64 * 1024;

/// A body as it arrives. Clones read on where the others stopped.
#[derive(Debug, Clone)]
pub struct Body(Rc<RefCell<Arriving>>);

/// The host wants its resources back in the order of the fields.
#[derive(Debug)]
struct Arriving {
    ready: Option<Ready>,
    stream: InputStream,
    _body: IncomingBody,
    /// Bytes that are still to come, where the head says how many.
    left: Option<u64>,
}

impl Body {
    /// Begins to read a body under these headers; `None` for one that is read already.
    #[must_use]
    pub fn new(body: IncomingBody, headers: &HeaderMap) -> Option<Self> {
        let stream = body.stream().ok()?;
        let length = headers.get(CONTENT_LENGTH);
        Some(Self(Rc::new(RefCell::new(Arriving {
            ready: None,
            stream,
            _body: body,
            left: length.and_then(|length| length.to_str().ok()?.parse().ok()),
        }))))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let arriving = &mut *self.0.borrow_mut();
        loop {
            if let Some(ready) = &mut arriving.ready {
                ready!(pin!(ready).poll(context));
                arriving.ready = None;
            }
            // The host need not be asked whether that was the end.
            if arriving.left == Some(0) {
                return Poll::Ready(None);
            }
            match arriving.stream.read(PIECE) {
                Ok(piece) if piece.is_empty() => arriving.ready = Some(Ready::new(arriving.stream.subscribe())),
                Ok(piece) => {
                    arriving.left = arriving.left.map(|left| left.saturating_sub(piece.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(piece.into()))));
                }
                Err(StreamError::Closed) => arriving.left = Some(0),
                Err(StreamError::LastOperationFailed(error)) => {
                    arriving.left = Some(0);
                    return Poll::Ready(Some(Err(code(&error))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.borrow().left == Some(0)
    }
}

/// What the host says of an error of a stream.
fn code(error: &IoError) -> ErrorCode {
    http_error_code(error).unwrap_or(ErrorCode::InternalError(None))
}
