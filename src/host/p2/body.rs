//! A body that comes from outside: that of a request, and that of the answer to an outbound one.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
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

/// A body as it arrives. The host wants its resources back in the order of the fields.
#[derive(Debug)]
pub struct Body {
    ready: Option<Ready>,
    stream: InputStream,
    _body: IncomingBody,
}

impl Body {
    /// Begins to read; `None` for a body that is read already.
    #[must_use]
    pub fn new(body: IncomingBody) -> Option<Self> {
        Some(Self {
            ready: None,
            stream: body.stream().ok()?,
            _body: body,
        })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if let Some(ready) = &mut self.ready {
                ready!(pin!(ready).poll(context));
                self.ready = None;
            }
            match self.stream.read(PIECE) {
                Ok(piece) if piece.is_empty() => self.ready = Some(Ready::new(self.stream.subscribe())),
                Ok(piece) => return Poll::Ready(Some(Ok(Frame::data(piece.into())))),
                Err(StreamError::Closed) => return Poll::Ready(None),
                Err(StreamError::LastOperationFailed(error)) => return Poll::Ready(Some(Err(code(&error)))),
            }
        }
    }
}

/// What the host says of an error of a stream. Whatever it is, the body is cut short.
fn code(error: &IoError) -> ErrorCode {
    http_error_code(error).unwrap_or(ErrorCode::HttpResponseIncomplete)
}
