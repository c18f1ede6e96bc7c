//! Requests to the component, and its answers.

use std::future::Future;

use bytes::Bytes;
use http::{Uri, uri};
use http_body_util::BodyExt as _;
use wasi::http::types::{
    ErrorCode, Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam, Scheme,
};

use super::{Body, executor, headers};
use crate::host::{Request, leftover};

/// Serves one request.
pub fn serve<A, B>(incoming: IncomingRequest, answer: ResponseOutparam, handle: impl FnOnce(Request) -> A)
where
    A: Future<Output = http::Response<B>>,
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let served = executor::block_on(async {
        let Some(request) = request(&incoming) else {
            return ResponseOutparam::set(answer, Err(ErrorCode::HttpRequestUriInvalid));
        };
        drop(incoming);
        respond(leftover::answer(request, handle).await, answer).await;
    });
    debug_assert!(
        served.is_some(),
        "the answer waits for something that the host does not know of"
    );
}

/// The request in the terms of `http`; `None` when it is not valid HTTP, which the host has checked already.
fn request(incoming: &IncomingRequest) -> Option<http::Request<Body>> {
    let mut uri = Uri::builder().path_and_query(incoming.path_with_query().unwrap_or_default());
    // Both or none: a URI is absolute or a path.
    if let (Some(scheme), Some(authority)) = (incoming.scheme(), incoming.authority()) {
        let scheme = match scheme {
            Scheme::Http => uri::Scheme::HTTP,
            Scheme::Https => uri::Scheme::HTTPS,
            Scheme::Other(name) => name.parse().ok()?,
        };
        uri = uri.scheme(scheme).authority(authority);
    }
    let mut request = http::Request::new(Body::new(incoming.consume().ok()?)?);
    *request.headers_mut() = headers(&incoming.headers())?;
    *request.uri_mut() = uri.build().ok()?;
    *request.method_mut() = match incoming.method() {
        Method::Get => http::Method::GET,
        Method::Head => http::Method::HEAD,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Delete => http::Method::DELETE,
        Method::Connect => http::Method::CONNECT,
        Method::Options => http::Method::OPTIONS,
        Method::Trace => http::Method::TRACE,
        Method::Patch => http::Method::PATCH,
        Method::Other(name) => name.parse().ok()?,
    };
    Some(request)
}

/// Sends an answer. A whole body is written before its head leaves, so that both leave in one packet: a client would wait
/// for the second one as long as it delays its acknowledgement of the first. A body that breaks off, or that is not as long
/// as its head says, breaks the connection.
async fn respond<B>(response: http::Response<B>, answer: ResponseOutparam)
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let (head, mut content) = response.into_parts();
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    let Ok(headers) = Fields::from_list(&headers.collect::<Vec<_>>()) else {
        return ResponseOutparam::set(answer, Err(ErrorCode::InternalError(None)));
    };
    let outgoing = OutgoingResponse::new(headers);
    // Every status of the crate is one for the host.
    let _ = outgoing.set_status_code(head.status.as_u16());
    // The answer to a HEAD keeps its length only without a body.
    let body = if content.is_end_stream() {
        None
    } else {
        outgoing.body().ok()
    };
    let stays = content.size_hint().exact().is_some();
    let mut head = Some((answer, outgoing));
    let mut leave = || {
        if let Some((answer, outgoing)) = head.take() {
            ResponseOutparam::set(answer, Ok(outgoing));
        }
    };
    let Some(body) = body else { return leave() };
    if !stays {
        leave();
    }
    let Some(()) = write(&body, &mut content, &mut leave).await else {
        return leave();
    };
    // That fails where the length is not the announced one, and the host then breaks the connection.
    let _ = OutgoingBody::finish(body, None);
    leave();
}

/// Writes what a body has; `None` when it breaks off or the client is gone. `leave` lets the head go where the host takes
/// no more without it.
async fn write<B>(body: &OutgoingBody, content: &mut B, mut leave: impl FnMut()) -> Option<()>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let stream = body.write().ok()?;
    while let Some(frame) = content.frame().await {
        // Every other frame holds trailers, which no answer has.
        let Ok(mut data) = frame.ok()?.into_data() else {
            continue;
        };
        while !data.is_empty() {
            let room = usize::try_from(stream.check_write().ok()?).unwrap_or(usize::MAX);
            if room == 0 {
                leave();
                executor::Ready::new(stream.subscribe()).await;
                continue;
            }
            stream.write(&data.split_to(room.min(data.len()))).ok()?;
        }
    }
    Some(())
}
