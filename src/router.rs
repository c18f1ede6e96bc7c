//! Dispatch from the rows of `routes::table` to handlers, and what every answer carries.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context as TaskContext, Poll},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{Either, Full};

use crate::{
    auth::{
        self, RequestOrigin,
        caller::{Claim, Key},
    },
    config::{self, Access},
    error::Error,
    host::Request,
    render::{self, Response},
    request,
    routes::{
        self,
        table::{self, Found, Handler},
    },
    tools::Context,
};

/// Answers a request. Cannot fail: every error has an answer.
pub async fn handle(request: Request) -> Response {
    let key = Key::presented(request.headers());
    let cx = Rc::new(request::Context::begin(
        request.method(),
        request.headers(),
        key.as_ref(),
    ));
    config::refresh(cx.begun());
    let uri = request.uri().clone();
    let is_head = request.method() == Method::HEAD;
    let found = table::find(plain(request.method()).as_str(), uri.path());
    let for_people =
        found.is_some_and(|found| found.row.has_pages) && routes::download::prefers_page(request.headers());
    let origin = request.headers().get(header::ORIGIN).cloned();
    let access = Access::read().await;
    let cors = match &origin {
        Some(origin) if origin_allowed(origin, &access) || Box::pin(is_own_origin(origin)).await => {
            Some(origin.clone())
        }
        _ => None,
    };
    let origin_allowed = origin.is_none() || cors.is_some();
    let answered = route(request, &uri, found, key.as_ref(), access, origin_allowed, &cx).await;
    let mut response = answered.unwrap_or_else(|error| {
        cx.error(&error);
        if for_people {
            render::page(&error)
        } else {
            render::http(&error)
        }
    });
    finish(&mut response, cors, is_head);
    observe(&mut response, &cx);
    response
}

/// Dispatch. What is asked of the caller is in the row of the route.
async fn route(
    request: Request,
    uri: &Uri,
    found: Option<Found<'_>>,
    key: Option<&Key>,
    access: Rc<Access>,
    origin_allowed: bool,
    cx: &Rc<request::Context>,
) -> Result<Response, Error> {
    let method = plain(request.method());
    if let Some(found) = found {
        cx.route(found.row.log);
        if found.row.access.checks_origin() && !origin_allowed {
            let unusable = access.cors_origins.as_ref().err();
            return Err(unusable.map_or(Error::OriginRefused, |error| (*error).into()));
        }
    }
    if *method == Method::OPTIONS {
        return Ok(preflight());
    }
    let Some(found) = found else {
        if is_sign_in(method, uri.path()) {
            cx.outcome(Error::NoSuchRoute.code());
            return Ok(no_sign_in());
        }
        return Err(Error::NoSuchRoute);
    };
    let Found { row, id, file } = found;
    let context = match row.access {
        table::Access::Lists | table::Access::Calls => Some(context(&request, key, Rc::clone(&access), cx).await?),
        table::Access::Open | table::Access::Link => None,
    };
    if method.as_str() != row.method {
        return Err(Error::MethodNotAllowed(found.allow()));
    }
    if let Some(context) = context.as_ref().filter(|_| row.access == table::Access::Calls) {
        // Before the body is read.
        context.caller.may_call()?;
    }
    let query = uri.query().unwrap_or_default();
    match (row.handler, &context) {
        (Handler::Index, _) => Ok(routes::index::get()),
        (Handler::Healthcheck, _) => Ok(Box::pin(routes::healthcheck::get(query, &access, cx)).await),
        (Handler::Mcp, Some(context)) => routes::mcp::post(request, context).await,
        (Handler::ToolList, Some(_)) => routes::tools::list().await,
        (Handler::ToolCall, Some(context)) => routes::tools::call(request, context).await,
        (Handler::Download, _) => {
            let wanted = routes::download::Wanted {
                is_head: request.method() == Method::HEAD,
                id,
                file,
                query,
            };
            // On the heap, since every other request would carry room for it.
            Box::pin(routes::download::get(wanted, request.headers(), key, &access, cx)).await
        }
        (Handler::OpenApi, _) => routes::docs::openapi(request.headers()),
        (Handler::Docs, _) => routes::docs::get(request.headers()),
        (Handler::Mcp | Handler::ToolList | Handler::ToolCall, None) => Err(Error::Internal(format!(
            "the row of {} does not ask for the caller",
            row.path
        ))),
    }
}

/// The method that a request is answered by: `HEAD` is a `GET` without the body.
fn plain(method: &Method) -> &Method {
    if *method == Method::HEAD { &Method::GET } else { method }
}

async fn context(
    request: &Request,
    key: Option<&Key>,
    access: Rc<Access>,
    cx: &Rc<request::Context>,
) -> Result<Context, Error> {
    let caller = routes::verify(Claim::of(key, &access).await?, cx).await?;
    caller.may_look(&access)?;
    if access.api_key.is_none() && access.require_user_key == Ok(false) {
        cx.open();
    }
    if let Some(error) = access.max_body_fault {
        cx.note(&error.to_string());
    }
    Ok(Context {
        caller,
        request: Rc::clone(cx),
        access,
        request_origin: RequestOrigin::of(request.headers(), request.uri()),
    })
}

/// Whether it is the origin that the operator gave this server: that of its own page, `/docs`. The request's `Host` does
/// not count: DNS rebinding makes that whatever a foreign page wants.
async fn is_own_origin(origin: &HeaderValue) -> bool {
    let base = config::public_base_url().await.ok().flatten();
    let url = base.and_then(|base| base.parse::<Uri>().ok());
    let own = url.and_then(|url| Some(format!("{}://{}", url.scheme_str()?, url.authority()?)));
    own.is_some_and(|own| own.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
}

fn origin_allowed(origin: &HeaderValue, access: &Access) -> bool {
    let allowed = access.cors_origins.as_deref().unwrap_or_default();
    origin
        .to_str()
        .is_ok_and(|origin| auth::origin_allowed(origin, allowed))
}

/// Whether it is where clients go that take a 401 for the beginning of an OAuth sign-in (RFC 7591, RFC 6749).
fn is_sign_in(method: &Method, path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    match *method {
        Method::POST => ["/register", "/token"].contains(&path),
        Method::GET => path == "/authorize",
        _ => false,
    }
}

/// Tells such clients in OAuth's own form what to do: any other answer they show as a fault in its syntax.
fn no_sign_in() -> Response {
    let body = "{\"error\":\"invalid_request\",\"error_description\":\"This server has no sign-in. Where it asks for a \
        key, send the API key as a header: Authorization: Bearer <key>, X-API-Key: <key> or API_KEY: <key>.\"}";
    render::json(StatusCode::NOT_FOUND, body)
}

/// The answer of a CORS preflight (Fetch standard, CORS protocol). Its headers are added with those of all answers.
fn preflight() -> Response {
    const HEADERS: &str = "Content-Type, Accept, Authorization, X-API-Key, API_KEY, MCP-Protocol-Version, Mcp-Method, \
        Mcp-Name, Mcp-Session-Id, Last-Event-ID, Range, If-Range, If-None-Match, X-Request-ID, traceparent";
    let mut response = render::empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(table::METHODS),
    );
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// What every answer carries.
fn finish(response: &mut Response, cors: Option<HeaderValue>, is_head: bool) {
    const EXPOSED: &str = "WWW-Authenticate, Content-Disposition, ETag, Accept-Ranges, Content-Range, Retry-After, \
        MCP-Protocol-Version, X-Request-Id";
    const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
    let length = match response.body() {
        Either::Left(whole) => whole.size_hint().exact(),
        Either::Right(_) => None,
    };
    // A 204 must not have the header, and that of a 304 would be the file's (RFC 9110 section 8.6).
    let length = length.filter(|_| ![StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&response.status()));
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    headers.append(header::VARY, HeaderValue::from_name(HeaderName::from_static("origin")));
    if let Some(length) = length {
        // The answer to a HEAD has the length already.
        headers.entry(header::CONTENT_LENGTH).or_insert(length.into());
    }
    if let Some(origin) = cors {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
    if is_head {
        *response.body_mut() = Either::Left(Full::default());
    }
}

/// Notes what the answer is, and tells the caller the request's id.
fn observe(response: &mut Response, cx: &Rc<request::Context>) {
    cx.status(response.status());
    if let Ok(id) = HeaderValue::from_str(cx.id()) {
        response.headers_mut().insert(request::X_REQUEST_ID, id);
    }
    let body = std::mem::replace(response.body_mut(), Either::Left(Full::default()));
    *response.body_mut() = match body {
        Either::Right(inner) => {
            cx.cut(true);
            Either::Right(Box::pin(Observed {
                inner,
                request: Rc::clone(cx),
            }))
        }
        whole @ Either::Left(_) => whole,
    };
}

/// A streamed body that is counted on its way.
struct Observed {
    inner: Pin<Box<dyn http_body::Body<Data = Bytes, Error = Error>>>,
    request: Rc<request::Context>,
}

impl http_body::Body for Observed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = self.inner.as_mut().poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.request.add_sent(frame.data_ref().map_or(0, Bytes::len)),
            Poll::Ready(Some(Err(error))) => self.request.error(error),
            Poll::Ready(None) => self.request.cut(false),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
