//! The one table from method and path to handler, and what every answer carries.

#[cfg(fuzzing)]
pub mod fuzzing;

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context as TaskContext, Poll},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
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
    log::{self, Record},
    render::{self, Response},
    routes,
    tools::Context,
};

/// The routes, as `GET /` shows them.
pub const TABLE: [&str; 11] = [
    "GET /",
    "GET /healthcheck",
    "POST /mcp",
    "GET /mcp/tools",
    "POST /mcp/tools/call",
    "GET /download/{task_id}/030-report.html",
    "GET /download/{task_id}/run.zip",
    "GET /download/{task_id}/{file}",
    "GET /openapi.json",
    "GET /docs",
    "OPTIONS *",
];

/// A path that leads somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route<'a> {
    Index,
    Healthcheck,
    Mcp,
    Tools,
    ToolsCall,
    Download { id: &'a str, file: &'a str },
    OpenApi,
    Docs,
}

impl<'a> Route<'a> {
    /// A trailing slash is the same route.
    fn find(path: &'a str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        if let Some((id, file)) = path.strip_prefix("/download/").and_then(|rest| rest.split_once('/')) {
            return Some(Self::Download { id, file });
        }
        Some(match path {
            "" => Self::Index,
            "/healthcheck" => Self::Healthcheck,
            "/mcp" => Self::Mcp,
            "/mcp/tools" => Self::Tools,
            "/mcp/tools/call" => Self::ToolsCall,
            "/openapi.json" => Self::OpenApi,
            "/docs" => Self::Docs,
            _ => return None,
        })
    }

    /// How the log names it.
    fn template(self) -> &'static str {
        match self {
            Self::Index => "/",
            Self::Healthcheck => "/healthcheck",
            Self::Mcp => "/mcp",
            Self::Tools => "/mcp/tools",
            Self::ToolsCall => "/mcp/tools/call",
            Self::Download { .. } => "/download/{task_id}/{file}",
            Self::OpenApi => "/openapi.json",
            Self::Docs => "/docs",
        }
    }

    /// Methods that the route takes, besides `OPTIONS`.
    fn allow(self) -> &'static str {
        match self {
            Self::Mcp | Self::ToolsCall => "POST",
            Self::Index | Self::Healthcheck | Self::Tools | Self::Download { .. } | Self::OpenApi | Self::Docs => {
                "GET, HEAD"
            }
        }
    }

    /// Whether browsers of other origins are kept out (DNS rebinding) and the key is looked at here. Downloads look at it
    /// themselves: a signed link is enough there.
    fn is_mcp(self) -> bool {
        matches!(self, Self::Mcp | Self::Tools | Self::ToolsCall)
    }
}

/// Answers a request. Cannot fail: every error has an answer.
pub async fn handle(request: Request) -> Response {
    let key = Key::presented(request.headers());
    let record = Rc::new(Record::begin(request.method(), request.headers(), key.as_ref()));
    config::refresh(record.begun());
    let is_head = request.method() == Method::HEAD;
    let for_people = matches!(
        Route::find(request.uri().path()),
        Some(Route::Download { .. } | Route::Docs)
    ) && routes::download::prefers_page(request.headers());
    let origin = request.headers().get(header::ORIGIN).cloned();
    let access = Access::read().await;
    let cors = match &origin {
        Some(origin) if origin_allowed(origin, &access) || Box::pin(is_own_origin(origin)).await => {
            Some(origin.clone())
        }
        _ => None,
    };
    let origin_allowed = origin.is_none() || cors.is_some();
    let answered = route(request, key.as_ref(), access, origin_allowed, &record).await;
    let mut response = answered.unwrap_or_else(|error| {
        record.error(&error);
        if for_people {
            render::page(&error)
        } else {
            render::http(&error)
        }
    });
    finish(&mut response, cors, is_head);
    observe(&mut response, &record);
    response
}

/// The table.
async fn route(
    request: Request,
    key: Option<&Key>,
    access: Rc<Access>,
    origin_allowed: bool,
    record: &Rc<Record>,
) -> Result<Response, Error> {
    let uri = request.uri().clone();
    let route = Route::find(uri.path());
    if let Some(route) = route {
        record.route(route.template());
    }
    if route.is_some_and(Route::is_mcp) && !origin_allowed {
        return Err(access
            .cors_origins
            .as_ref()
            .err()
            .map_or(Error::OriginRefused, |error| (*error).into()));
    }
    if request.method() == Method::OPTIONS {
        return Ok(preflight());
    }
    let method = if request.method() == Method::HEAD {
        Method::GET
    } else {
        request.method().clone()
    };
    let Some(route) = route else {
        if is_sign_in(&method, uri.path()) {
            record.outcome(Error::NoSuchRoute.code());
            return Ok(no_sign_in());
        }
        return Err(Error::NoSuchRoute);
    };
    let query = uri.query().unwrap_or_default();
    match (route, method) {
        (Route::Index, Method::GET) => Ok(routes::index::get()),
        (Route::Healthcheck, Method::GET) => Ok(Box::pin(routes::healthcheck::get(query, &access, record)).await),
        (Route::OpenApi, Method::GET) => routes::docs::openapi(request.headers()),
        (Route::Docs, Method::GET) => routes::docs::get(request.headers()),
        (Route::Download { id, file }, Method::GET) => {
            let wanted = routes::download::Wanted {
                is_head: request.method() == Method::HEAD,
                id,
                file,
                query,
            };
            // On the heap, since every other request would carry room for it.
            Box::pin(routes::download::get(wanted, request.headers(), key, &access, record)).await
        }
        (route, method) if route.is_mcp() => {
            let context = context(&request, key, access, record).await?;
            match (route, method) {
                (Route::Mcp, Method::POST) => routes::mcp::post(request, &context).await,
                (Route::Tools, Method::GET) => Ok(routes::tools::list()),
                (Route::ToolsCall, Method::POST) => {
                    // Before the body is read: every call there needs the key.
                    context.caller.may_call()?;
                    routes::tools::call(request, &context).await
                }
                (route, _) => Err(Error::MethodNotAllowed(route.allow())),
            }
        }
        (route, _) => Err(Error::MethodNotAllowed(route.allow())),
    }
}

async fn context(
    request: &Request,
    key: Option<&Key>,
    access: Rc<Access>,
    record: &Rc<Record>,
) -> Result<Context, Error> {
    let caller = routes::verify(Claim::of(key, &access).await?, record).await?;
    caller.may_look(&access)?;
    if access.api_key.is_none() && access.require_user_key == Ok(false) {
        record.open();
    }
    if let Some(error) = access.max_body_fault {
        record.note(&error.to_string());
    }
    Ok(Context {
        caller,
        record: Rc::clone(record),
        access,
        request_origin: RequestOrigin::of(request.headers(), request.uri()),
    })
}

/// Whether it is the origin that the operator gave this server: that of its own page, `/docs`. The request's `Host` does
/// not count: DNS rebinding makes that whatever a foreign page wants.
async fn is_own_origin(origin: &HeaderValue) -> bool {
    let base = config::public_base_url().await.ok().flatten();
    let url = base.and_then(|base| base.parse::<http::Uri>().ok());
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
        HeaderValue::from_static("GET, HEAD, POST, OPTIONS"),
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

/// Tells the record what the answer is, and the caller the request's id.
fn observe(response: &mut Response, record: &Rc<Record>) {
    record.status(response.status());
    if let Ok(id) = HeaderValue::from_str(record.id()) {
        response.headers_mut().insert(log::X_REQUEST_ID, id);
    }
    let body = std::mem::replace(response.body_mut(), Either::Left(Full::default()));
    *response.body_mut() = match body {
        Either::Right(inner) => {
            record.cut(true);
            Either::Right(Box::pin(Observed {
                inner,
                record: Rc::clone(record),
            }))
        }
        whole @ Either::Left(_) => whole,
    };
}

/// A streamed body that is counted on its way.
struct Observed {
    inner: Pin<Box<dyn http_body::Body<Data = Bytes, Error = Error>>>,
    record: Rc<Record>,
}

impl http_body::Body for Observed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = self.inner.as_mut().poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.record.add_sent(frame.data_ref().map_or(0, Bytes::len)),
            Poll::Ready(Some(Err(error))) => self.record.error(error),
            Poll::Ready(None) => self.record.cut(false),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_their_routes() {
        for (path, route) in [
            ("/", Some(Route::Index)),
            ("", Some(Route::Index)),
            ("/mcp", Some(Route::Mcp)),
            ("/mcp/", Some(Route::Mcp)),
            ("/mcp//", None),
            ("//mcp", None),
            ("/MCP", None),
            ("/mcp/tools", Some(Route::Tools)),
            ("/mcp/tools/", Some(Route::Tools)),
            ("/mcp/tools/call", Some(Route::ToolsCall)),
            ("/mcp/tools/list", None),
            ("/healthcheck/", Some(Route::Healthcheck)),
            ("/openapi.json", Some(Route::OpenApi)),
            ("/docs/", Some(Route::Docs)),
            ("/docs/x", None),
            (
                "/download/a/run.zip",
                Some(Route::Download {
                    id: "a",
                    file: "run.zip",
                }),
            ),
            ("/download/a", None),
            ("/download/a/b/c", Some(Route::Download { id: "a", file: "b/c" })),
            ("/download/a/", None),
            ("/.well-known/oauth-protected-resource", None),
        ] {
            assert_eq!(Route::find(path), route, "{path}");
        }
    }
}
