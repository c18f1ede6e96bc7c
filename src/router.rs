//! The one table from method and path to handler, and what every answer carries.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::Body as _;
use http_body_util::{Either, Full};
use spin_sdk::http::Request;

use crate::{
    auth,
    config::Access,
    error::Error,
    log,
    render::{self, Response},
    routes,
    tools::Context,
};

/// The routes, as `GET /` shows them.
pub const TABLE: [&str; 9] = [
    "GET /",
    "GET /healthcheck",
    "POST /mcp",
    "GET /mcp/tools",
    "POST /mcp/tools/call",
    "GET /download/{task_id}/030-report.html",
    "GET /download/{task_id}/run.zip",
    "GET /download/{task_id}/{file}",
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
}

impl<'a> Route<'a> {
    /// A trailing slash is the same route.
    fn find(path: &'a str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        if let Some((id, file)) = path.strip_prefix("/download/").and_then(|rest| rest.split_once('/')) {
            return Some(Self::Download { id, file });
        }
        Some(match path.split('/').skip(1).collect::<Vec<_>>().as_slice() {
            [] => Self::Index,
            ["healthcheck"] => Self::Healthcheck,
            ["mcp"] => Self::Mcp,
            ["mcp", "tools"] => Self::Tools,
            ["mcp", "tools", "call"] => Self::ToolsCall,
            _ => return None,
        })
    }

    /// Methods that the route takes, besides `OPTIONS`.
    fn allow(self) -> &'static str {
        match self {
            Self::Mcp | Self::ToolsCall => "POST",
            Self::Index | Self::Healthcheck | Self::Tools | Self::Download { .. } => "GET, HEAD",
        }
    }

    /// Whether browsers of any origin are kept out (DNS rebinding) and the API key is asked for here. Downloads look at
    /// the key themselves: a signed link stands in for it.
    fn is_mcp(self) -> bool {
        matches!(self, Self::Mcp | Self::Tools | Self::ToolsCall)
    }
}

/// Answers a request. Cannot fail: every error has an answer.
pub async fn handle(request: Request) -> Response {
    let is_head = request.method() == Method::HEAD;
    let for_people = matches!(Route::find(request.uri().path()), Some(Route::Download { .. }))
        && routes::download::prefers_page(request.headers());
    let origin = request.headers().get(header::ORIGIN).cloned();
    let access = Access::read().await;
    let cors = match (&origin, &access) {
        (Some(origin), Ok(access)) if origin_allowed(origin, access) => Some(origin.clone()),
        _ => None,
    };
    let answered = match access {
        Ok(access) => route(request, access, origin.is_none() || cors.is_some()).await,
        Err(error) => Err(error),
    };
    let mut response = answered.unwrap_or_else(|error| {
        log::fault(&error);
        if for_people {
            render::page(&error)
        } else {
            render::http(&error)
        }
    });
    finish(&mut response, cors, is_head);
    response
}

/// The table.
async fn route(request: Request, access: Access, origin_allowed: bool) -> Result<Response, Error> {
    let uri = request.uri().clone();
    let route = Route::find(uri.path());
    if route.is_some_and(Route::is_mcp) && !origin_allowed {
        return Err(Error::OriginRefused);
    }
    if request.method() == Method::OPTIONS {
        return Ok(preflight());
    }
    let route = route.ok_or(Error::NoSuchRoute)?;
    if route.is_mcp() {
        auth::check_api_key(request.headers(), access.api_key.as_deref())?;
        warn_if_open(&access);
    }
    let method = if request.method() == Method::HEAD {
        Method::GET
    } else {
        request.method().clone()
    };
    match (route, method) {
        (Route::Index, Method::GET) => Ok(routes::index::get()),
        (Route::Healthcheck, Method::GET) => Ok(routes::healthcheck::get(&access)),
        (Route::Mcp, Method::POST) => {
            let context = context(&request, access);
            routes::mcp::post(request, &context).await
        }
        (Route::Tools, Method::GET) => Ok(routes::tools::list()),
        (Route::ToolsCall, Method::POST) => {
            let context = context(&request, access);
            routes::tools::call(request, &context).await
        }
        (Route::Download { id, file }, Method::GET) => {
            let wanted = routes::download::Wanted {
                is_head: request.method() == Method::HEAD,
                id,
                file,
                query: uri.query().unwrap_or_default(),
            };
            routes::download::get(wanted, request.headers(), &access).await
        }
        (route, _) => Err(Error::MethodNotAllowed(route.allow())),
    }
}

fn context(request: &Request, access: Access) -> Context {
    Context {
        access,
        request_origin: request_origin(request.headers(), request.uri()),
    }
}

/// Scheme and host of the request as the host reports them. A client may send the header too: the host's copy is last.
fn request_origin(headers: &HeaderMap, uri: &http::Uri) -> String {
    let origin = |url: &http::Uri| Some(format!("{}://{}", url.scheme_str()?, url.authority()?));
    let reported = headers
        .get_all("spin-full-url")
        .iter()
        .next_back()
        .and_then(|value| value.to_str().ok());
    let reported = reported.and_then(|url| origin(&url.parse().ok()?));
    reported.or_else(|| origin(uri)).unwrap_or_default()
}

fn origin_allowed(origin: &HeaderValue, access: &Access) -> bool {
    origin
        .to_str()
        .is_ok_and(|origin| auth::origin_allowed(origin, &access.cors_origins))
}

/// Says once for each instance that anybody may call.
fn warn_if_open(access: &Access) {
    static WARNED: std::sync::Once = std::sync::Once::new();
    if access.api_key.is_none() {
        WARNED.call_once(|| log::warning("PLANEXE_MCP_API_KEY is not set: anybody who reaches this server may use it"));
    }
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
        MCP-Protocol-Version";
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

    #[test]
    fn the_hosts_own_header_counts() {
        let mut headers = HeaderMap::new();
        let uri = http::Uri::from_static("http://127.0.0.1:3000/mcp");
        assert_eq!(request_origin(&headers, &uri), "http://127.0.0.1:3000");
        assert_eq!(request_origin(&headers, &http::Uri::from_static("/mcp")), "");
        headers.append("spin-full-url", HeaderValue::from_static("http://evil.example/mcp"));
        headers.append(
            "spin-full-url",
            HeaderValue::from_static("http://127.0.0.1:3000/mcp?x=1"),
        );
        assert_eq!(request_origin(&headers, &uri), "http://127.0.0.1:3000");
    }
}
