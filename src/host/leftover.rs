//! The rest of a request's body. Where a request is refused before all of it has come, the end of the connection reaches a
//! client that is still sending, and it never sees the answer: so the rest is read first, within limits.

use std::{
    cell::RefCell,
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::select;
use http::{Method, Request, header};
use http_body::Frame;
use http_body_util::BodyExt as _;

/// How long, and how many bytes, a body is read on for.
const TIME: Duration = Duration::from_secs(3);
const BYTES: usize = 16 << 20;

/// The body of a request. Clones read on where the others stopped.
#[derive(Debug)]
pub struct Body<B>(Rc<RefCell<Rest<B>>>);

#[derive(Debug)]
struct Rest<B> {
    body: B,
    /// Bytes that are still to come, where that is known.
    left: Option<u64>,
}

/// Has a request answered, and reads what is left of its body.
pub async fn answer<B, A>(request: Request<B>, handle: impl FnOnce(Request<Body<B>>) -> A) -> A::Output
where
    B: http_body::Body<Data = Bytes> + Unpin,
    A: Future,
{
    let headers = request.headers();
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let has_none = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    // A client that waits to be asked for its body is not asked (RFC 9110 section 10.1.1).
    let sends = !headers.contains_key(header::EXPECT);
    let left = length.or(has_none.then_some(0));
    let request = request.map(|body| Body(Rc::new(RefCell::new(Rest { body, left }))));
    let rest = sends.then(|| Body(Rc::clone(&request.body().0)));
    let answer = handle(request).await;
    if let Some(rest) = rest {
        read_on(rest).await;
    }
    answer
}

async fn read_on<B>(mut body: Body<B>)
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let reading = async {
        let mut read = 0;
        while read < BYTES
            && let Some(Ok(frame)) = body.frame().await
        {
            read += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    select(pin!(reading), pin!(super::sleep(TIME))).await;
}

impl<B> http_body::Body for Body<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let rest = &mut *self.0.borrow_mut();
        // The host need not be asked whether that was the end: the question costs as much as the body itself.
        if rest.left == Some(0) {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut rest.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                rest.left = rest.left.map(|left| left.saturating_sub(length));
            }
            Poll::Ready(_) => rest.left = Some(0),
            Poll::Pending => {}
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use http_body_util::Full;

    use super::*;

    /// Bytes of the body that are left when the handler has taken one frame, or none, and the answer is there.
    fn left(head: http::request::Builder, takes: bool) -> Option<u64> {
        let request = head.body(Full::new(Bytes::from_static(b"12345"))).expect("a request");
        let rest = block_on(answer(request, |mut request| async move {
            if takes {
                request.body_mut().frame().await;
            }
            request.into_body()
        }));
        rest.0.borrow().left
    }

    #[test]
    fn what_the_handler_leaves_is_read() {
        for takes in [true, false] {
            assert_eq!(left(Request::post("/").header("content-length", "5"), takes), Some(0));
            assert_eq!(left(Request::post("/"), false), Some(0));
        }
        assert_eq!(
            left(
                Request::post("/")
                    .header("content-length", "5")
                    .header("expect", "100-continue"),
                false
            ),
            Some(5)
        );
    }
}
