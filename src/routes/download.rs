//! `GET /download/{task_id}/{file}`: the files of a plan.

pub(crate) mod conditions;
use std::rc::Rc;

use conditions::{Decision, FileMeta, evaluate};
use futures::{StreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body::Frame;
use http_body_util::{Either, StreamBody};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{quality, verify};
use crate::{
    artifacts::{self, ByteStream},
    auth::{
        LinkKey,
        caller::{Caller, Claim, Key},
    },
    clock,
    config::{self, Access},
    db::Database,
    error::{Error, LinkFault, Unavailable},
    json,
    plan::{Artifact, RunFile, TaskId},
    render::{self, Response},
    request,
};

/// Pages of a run are written by language models and served from the API's own origin. The policy gives them an opaque
/// origin. They may run inline scripts and the Gantt chart library of the report, and open other pages, but cannot send
/// requests.
const PAGE_POLICY: &str = "sandbox allow-scripts allow-popups; default-src 'none'; \
    script-src 'unsafe-inline' https://cdn.jsdelivr.net; style-src 'unsafe-inline' https://cdn.jsdelivr.net; \
    img-src data: blob:; font-src data: https://cdn.jsdelivr.net; base-uri 'none'; form-action 'none'";

/// The path and the query of a request for a file.
#[derive(Debug, Clone, Copy)]
pub struct FileRequest<'a> {
    /// Whether it is a `HEAD` request.
    pub is_head: bool,
    /// The task's id, as in the path.
    pub id: &'a str,
    /// The file's name, as in the path.
    pub file: &'a str,
    /// The query of the address; blank without one.
    pub query: &'a str,
}

/// Begins the download of a file.
///
/// # Errors
/// Those of the key or link, of the task, of the file.
pub async fn get(
    wanted: FileRequest<'_>,
    headers: &HeaderMap,
    key: Option<&Key>,
    access: &Access,
    cx: &Rc<request::Context>,
) -> Result<Response, Error> {
    let name = percent_decode_str(wanted.file).decode_utf8();
    let name = name.map_err(|_| Unavailable::NoSuchFile)?;
    let caller = authorise(wanted, &name, key, access, cx).await?;
    let id = TaskId::parse(wanted.id).ok_or(Error::TaskNotFound)?;
    let file = RunFile::parse(&name).ok_or(Unavailable::NoSuchFile)?;
    let partial = wanted.query.split('&').any(|pair| pair == "partial=1");
    let database = Database::configured(cx).await?;
    let download = artifacts::open_file(&database, id, caller.owner(), &file, partial).await?;
    let etag = download.validator.as_ref().map(|validator| format!("\"{validator}\""));
    let modified = download.end(&database, id).await.map(clock::http_date);
    let meta = FileMeta {
        etag: etag.as_deref(),
        modified: modified.as_deref(),
        size: download.size.filter(|_| download.supports_ranges()),
    };
    let accept_ranges = if download.supports_ranges() { "bytes" } else { "none" };
    let size = download.size;
    let mut response = match evaluate(headers, wanted.is_head, meta) {
        Decision::NotModified => render::empty(StatusCode::NOT_MODIFIED),
        Decision::RangeNotSatisfiable => range_not_satisfiable(size),
        // An empty stream: unlike an empty body it does not set `Content-Length` to 0.
        Decision::Full if wanted.is_head => with_stream(file_headers(&file, id, size), stream::empty().boxed_local()),
        Decision::Full => with_stream(file_headers(&file, id, size), download.into_stream(None).await?),
        Decision::Partial(range) => {
            let mut response = file_headers(&file, id, Some(range.end - range.start));
            let total = size.unwrap_or(range.end);
            let content_range = format!("bytes {}-{}/{total}", range.start, range.end.saturating_sub(1));
            set(&mut response, header::CONTENT_RANGE, &content_range);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            with_stream(response, download.into_stream(Some(range)).await?)
        }
    };
    set(&mut response, header::ACCEPT_RANGES, accept_ranges);
    set(&mut response, header::CACHE_CONTROL, "private, no-cache");
    // A page may link to other sites, which must not receive the signed address.
    set(&mut response, header::REFERRER_POLICY, "no-referrer");
    for (name, value) in [(header::ETAG, etag), (header::LAST_MODIFIED, modified)] {
        if let Some(value) = value {
            set(&mut response, name, &value);
        }
    }
    Ok(response)
}

/// Authorises a download. A valid signed link is sufficient for its file. Without one the request needs a key, unless the
/// server has neither a key nor a secret for links.
async fn authorise(
    wanted: FileRequest<'_>,
    name: &str,
    key: Option<&Key>,
    access: &Access,
    cx: &Rc<request::Context>,
) -> Result<Caller, Error> {
    let claim = Claim::from_key(key, access).await;
    match claim {
        Ok(Claim::Known(Caller::Operator)) if access.api_key.is_some() => return Ok(Caller::Operator),
        // Signatures may be derived from the API key, so they cannot be checked without it.
        Err(error @ Error::Misconfigured(_)) => return Err(error),
        _ => {}
    }
    let link_key = LinkKey::configured(access.api_key.as_deref()).await?;
    let claim = match (link_key.check(wanted.query, wanted.id, name, clock::unix_time()), claim) {
        (Some(Ok(())), _) => return Ok(Caller::Operator),
        (Some(Err(_)), Ok(claim @ Claim::UserKey { .. })) => claim,
        (Some(Err(fault)), _) => return Err(fault.into()),
        (None, claim) => claim?,
    };
    let caller = verify(claim, cx).await?;
    if matches!(caller, Caller::Operator) && config::download_secret().await?.is_some() {
        return Err(LinkFault::Missing.into());
    }
    caller.may_reach_tasks().map(|()| caller)
}

/// An empty answer with the headers that describe a file. `length` is that of the body, in bytes.
pub(crate) fn file_headers(file: &RunFile, id: TaskId, length: Option<u64>) -> Response {
    let mut response = render::empty(StatusCode::OK);
    set(&mut response, header::CONTENT_TYPE, file.content_type());
    let disposition = match file {
        RunFile::Artifact(Artifact::Zip, _) => disposition("attachment", &format!("{id}.zip")),
        file if file.is_text() => disposition("inline", file.name()),
        file => disposition("attachment", file.name()),
    };
    set(&mut response, header::CONTENT_DISPOSITION, &disposition);
    if file.is_active() {
        set(&mut response, header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
    }
    if let Some(length) = length {
        set(&mut response, header::CONTENT_LENGTH, &length.to_string());
    }
    response
}

/// `Content-Disposition` with the last part of a name: in ASCII, and if that differs also in UTF-8 (RFC 6266 section 4.3).
fn disposition(kind: &str, name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or(name);
    let plain = |c: char| {
        if c.is_ascii_graphic() && !"\"\\%".contains(c) || c == ' ' {
            c
        } else {
            '_'
        }
    };
    let ascii: String = name.chars().map(plain).collect();
    if ascii == name {
        format!("{kind}; filename=\"{ascii}\"")
    } else {
        let encoded = utf8_percent_encode(name, NON_ALPHANUMERIC);
        format!("{kind}; filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
    }
}

/// The answer with this stream as its body.
fn with_stream(response: Response, content: ByteStream) -> Response {
    let body = StreamBody::new(content.map(|chunk| chunk.map(Frame::data)));
    response.map(|_| Either::Right(Box::pin(body) as _))
}

/// The answer to a range that is outside the file.
fn range_not_satisfiable(size: Option<u64>) -> Response {
    let size = size.unwrap_or_default();
    let body = render::ErrorBody {
        detail: format!("The file has {size} bytes: this range is not among them.").into(),
        reason: None,
    };
    let mut response = render::json(StatusCode::RANGE_NOT_SATISFIABLE, json::text(&body));
    set(&mut response, header::CONTENT_RANGE, &format!("bytes */{size}"));
    response
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    // All values here are ASCII without control characters, so the conversion does not fail.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Whether errors are sent as a page: browsers prefer `text/html`, programs prefer JSON or send no `Accept`.
pub fn prefers_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let (mut html, mut json) = (0, 0);
    for range in accept.unwrap_or_default().split(',') {
        let mut parts = range.split(';');
        match parts.next().map(str::trim) {
            Some("text/html" | "application/xhtml+xml") => html = quality(parts).max(html),
            Some("application/json") => json = quality(parts).max(json),
            _ => {}
        }
    }
    html > json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_get_pages_and_programs_json() {
        for (accept, page) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("text/html;q=0.5, application/json;q=0.4", true),
            ("text/html, application/json", false),
            ("application/json", false),
            ("*/*", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(prefers_page(&headers), page, "{accept}");
        }
        assert!(!prefers_page(&HeaderMap::new()));
    }

    #[test]
    fn names_in_headers_are_ascii() {
        for (name, header) in [
            ("a b.md", "inline; filename=\"a b.md\""),
            ("folder/x.md", "inline; filename=\"x.md\""),
            ("ü\".md", "inline; filename=\"__.md\"; filename*=UTF-8''%C3%BC%22%2Emd"),
        ] {
            assert_eq!(disposition("inline", name), header);
        }
    }
}
