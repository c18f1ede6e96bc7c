//! Dispatches requests to the handlers of `routes::table`, and adds the headers that all answers have.

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
        caller::{Caller, Claim, Key},
    },
    config::{self, Access},
    error::Error,
    host::Request,
    render::{self, Response},
    request,
    routes::{
        self,
        table::{self, Handler, Match},
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
    let found = table::find_row(effective_method(request.method()).as_str(), uri.path());
    let as_page = found.is_some_and(|found| found.row.has_pages) && routes::download::prefers_page(request.headers());
    let origin = request.headers().get(header::ORIGIN).cloned();
    let access = Access::read().await;
    let cors = match &origin {
        Some(origin) if origin_allowed(origin).await || Box::pin(is_own_origin(origin)).await => Some(origin.clone()),
        _ => None,
    };
    let origin_allowed = origin.is_none() || cors.is_some();
    let answered = route(request, &uri, found, key.as_ref(), access, origin_allowed, &cx).await;
    let mut response = answered.unwrap_or_else(|error| {
        cx.fail(&error);
        if as_page {
            render::page(&error)
        } else {
            render::http(&error)
        }
    });
    add_common_headers(&mut response, cors, is_head);
    attach_log(&mut response, &cx);
    response
}

/// Checks the origin and the key as the row demands, and calls its handler.
async fn route(
    request: Request,
    uri: &Uri,
    found: Option<Match<'_>>,
    key: Option<&Key>,
    access: Rc<Access>,
    origin_allowed: bool,
    cx: &Rc<request::Context>,
) -> Result<Response, Error> {
    let method = effective_method(request.method());
    if let Some(found) = found {
        cx.set_route(found.row.log);
        if found.row.access.checks_origin() && !origin_allowed {
            config::cors_origins().await?;
            return Err(Error::OriginRefused);
        }
    }
    if *method == Method::OPTIONS {
        return Ok(preflight());
    }
    let Some(found) = found else {
        if is_oauth_request(method, uri.path()) {
            cx.set_outcome(Error::NoSuchRoute.code());
            return Ok(oauth_not_supported());
        }
        return Err(Error::NoSuchRoute);
    };
    let Match { row, id, file } = found;
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
            let wanted = routes::download::FileRequest {
                is_head: request.method() == Method::HEAD,
                id,
                file,
                query,
            };
            // Boxed: this future is large, and it would enlarge that of every other route.
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

/// The method to dispatch by: `HEAD` is handled as `GET`.
fn effective_method(method: &Method) -> &Method {
    if *method == Method::HEAD { &Method::GET } else { method }
}

async fn context(
    request: &Request,
    key: Option<&Key>,
    access: Rc<Access>,
    cx: &Rc<request::Context>,
) -> Result<Context, Error> {
    let caller = routes::verify(Claim::from_key(key, &access).await?, cx).await?;
    caller.may_list().await?;
    if access.api_key.is_none() && matches!(caller, Caller::Operator) && config::require_user_key().await == Ok(false) {
        cx.set_open();
    }
    if let Some(error) = access.max_body_fault {
        cx.warn(&error.to_string());
    }
    Ok(Context {
        caller,
        request: Rc::clone(cx),
        access,
        request_origin: RequestOrigin::from_request(request.headers(), request.uri()),
    })
}

/// Whether it is the origin of the public base URL, as for calls from `/docs`. The header `Host` is not compared, since DNS
/// rebinding lets a foreign page choose it.
async fn is_own_origin(origin: &HeaderValue) -> bool {
    let base = config::public_base_url().await.ok().flatten();
    let url = base.and_then(|base| base.parse::<Uri>().ok());
    let own = url.and_then(|url| Some(format!("{}://{}", url.scheme_str()?, url.authority()?)));
    own.is_some_and(|own| own.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
}

async fn origin_allowed(origin: &HeaderValue) -> bool {
    let allowed = config::cors_origins().await.unwrap_or_default();
    origin
        .to_str()
        .is_ok_and(|origin| auth::origin_allowed(origin, &allowed))
}

/// Whether it is a request of a client that starts an OAuth sign-in after a 401 (RFC 7591, RFC 6749).
fn is_oauth_request(method: &Method, path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    match *method {
        Method::POST => ["/register", "/token"].contains(&path),
        Method::GET => path == "/authorize",
        _ => false,
    }
}

/// The answer to such a request, as an OAuth error: clients report any other form as a syntax error.
fn oauth_not_supported() -> Response {
    let body = "{\"error\":\"invalid_request\",\"error_description\":\"This server has no sign-in. Where it asks for a \
        key, send the API key as a header: Authorization: Bearer <key>, X-API-Key: <key> or API_KEY: <key>.\"}";
    render::json(StatusCode::NOT_FOUND, body)
}

/// The answer to a CORS preflight (Fetch standard, CORS protocol). The allowed origin is added with the common headers.
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

/// Adds the headers that all answers have.
fn add_common_headers(response: &mut Response, cors: Option<HeaderValue>, is_head: bool) {
    const EXPOSED: &str = "WWW-Authenticate, Content-Disposition, ETag, Accept-Ranges, Content-Range, Retry-After, \
        MCP-Protocol-Version, X-Request-Id";
    const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
    let length = match response.body() {
        Either::Left(whole) => whole.size_hint().exact(),
        Either::Right(_) => None,
    };
    // No Content-Length on 204, nor on 304, where it would be that of the file (RFC 9110 section 8.6).
    let length = length.filter(|_| ![StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&response.status()));
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    headers.append(header::VARY, HeaderValue::from_name(HeaderName::from_static("origin")));
    if let Some(length) = length {
        // The answer to HEAD already has it.
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

/// Logs the status, adds the request's id, and measures a streamed body.
fn attach_log(response: &mut Response, cx: &Rc<request::Context>) {
    cx.set_status(response.status());
    if let Ok(id) = HeaderValue::from_str(cx.id()) {
        response.headers_mut().insert(request::X_REQUEST_ID, id);
    }
    let body = std::mem::replace(response.body_mut(), Either::Left(Full::default()));
    *response.body_mut() = match body {
        Either::Right(inner) => {
            cx.set_truncated(true);
            Either::Right(Box::pin(LoggedBody {
                inner,
                request: Rc::clone(cx),
            }))
        }
        whole @ Either::Left(_) => whole,
    };
}

/// A streamed body whose length, error and end are logged.
struct LoggedBody {
    inner: Pin<Box<dyn http_body::Body<Data = Bytes, Error = Error>>>,
    request: Rc<request::Context>,
}

impl http_body::Body for LoggedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = self.inner.as_mut().poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.request.add_sent(frame.data_ref().map_or(0, Bytes::len)),
            Poll::Ready(Some(Err(error))) => self.request.fail(error),
            Poll::Ready(None) => self.request.set_truncated(false),
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
