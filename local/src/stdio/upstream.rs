//! The server behind the bridge: the component in this process, or a server elsewhere. One message in, one answer out.
//!
//! Knows HTTP and what its failures mean to people; knows no tool.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use serde_json::{Value, json};
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::time::timeout;

use super::message::Envelope;
use super::remote::Remote;
use crate::host::{Host, body};

/// For a whole answer, or one piece of a download.
pub(super) const LIMIT: Duration = Duration::from_secs(60);
/// The longest answer, in bytes. Files are not part of answers.
const LARGEST: usize = 16 << 20;
/// Requests that are under way at the same time; further ones wait.
const PARALLEL: usize = 32;

/// Why a request has no answer, for people and for programs.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// Stable.
    pub(super) code: &'static str,
    /// What happened and what to do.
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message }
    }

    /// As the member `error` of a tool's result.
    pub(super) fn to_json(&self) -> Value {
        json!({ "error": { "code": self.code, "message": self.message } })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.message, self.code)
    }
}

/// A body that streams; its error is for people.
pub(super) type Stream = UnsyncBoxBody<Bytes, String>;

/// The component in this process.
pub(super) struct Here {
    host: Host,
    /// Where its links lead.
    address: SocketAddr,
    key: HeaderValue,
}

impl Here {
    pub(super) fn new(host: Host, address: SocketAddr, mut key: HeaderValue) -> Self {
        key.set_sensitive(true);
        Self { host, address, key }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Response<Stream> {
        let (mut parts, bytes) = request.into_parts();
        let authority = HeaderValue::try_from(self.address.to_string()).ok();
        parts.headers.extend(authority.map(|authority| (HOST, authority)));
        parts
            .headers
            .insert(HeaderName::from_static("x-api-key"), self.key.clone());
        let bytes = bytes.collect().await.map(http_body_util::Collected::to_bytes);
        let request = Request::from_parts(parts, body(bytes.unwrap_or_default()));
        let response = self.host.handle(([127, 0, 0, 1], 0).into(), request).await;
        response.map(|body| body.map_err(|error| error.to_string()).boxed_unsync())
    }
}

enum Place {
    Here(Box<Here>),
    Remote(Box<Remote>),
}

/// A server.
pub(super) struct Upstream {
    place: Place,
    permits: Semaphore,
    /// What a server with sessions calls this one.
    session: Mutex<Option<HeaderValue>>,
    /// For messages that come with an answer.
    aside: mpsc::Sender<String>,
}

impl Upstream {
    /// The component in this process.
    pub(super) fn here(here: Here, aside: mpsc::Sender<String>) -> Self {
        Self::new(Place::Here(Box::new(here)), aside)
    }

    /// A server elsewhere.
    pub(super) fn remote(remote: Remote, aside: mpsc::Sender<String>) -> Self {
        Self::new(Place::Remote(Box::new(remote)), aside)
    }

    fn new(place: Place, aside: mpsc::Sender<String>) -> Self {
        Self {
            place,
            permits: Semaphore::new(PARALLEL),
            session: Mutex::new(None),
            aside,
        }
    }

    /// Whether the answer can be lost on its way.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self.place, Place::Remote(_))
    }

    /// Posts a message; the JSON text of the answer, `None` when there is none to be had. `repeatable`: it does no harm
    /// when it arrives twice.
    ///
    /// # Errors
    /// What became of it, when that is no answer of the protocol.
    pub(super) async fn post(
        &self,
        message: &str,
        envelope: &Envelope,
        repeatable: bool,
    ) -> Result<Option<String>, Failure> {
        let _permit = self.permits.acquire().await;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        for (name, value) in &envelope.0 {
            // One that is no header value is missed by the server, which says so.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(*name, value);
            }
        }
        if let Some(session) = &*self.session.lock().await {
            headers.insert("mcp-session-id", session.clone());
        }
        match self.post_once(message, headers.clone()).await {
            Err((failure, true)) if repeatable => {
                super::note(&format!("once more, since the connection was lost: {failure}"));
                self.post_once(message, headers).await.map_err(|(failure, _)| failure)
            }
            answer => answer.map_err(|(failure, _)| failure),
        }
    }

    /// The answer, or the failure and whether it is that of a lost connection.
    async fn post_once(&self, message: &str, headers: HeaderMap) -> Result<Option<String>, (Failure, bool)> {
        let bytes = Bytes::copy_from_slice(message.as_bytes());
        let whole = timeout(LIMIT, async {
            let response = match &self.place {
                Place::Here(here) => {
                    let request = request(Method::POST, Uri::from_static("/mcp"), headers, bytes);
                    here.send(request).await
                }
                Place::Remote(remote) => remote.post(headers, bytes).await?,
            };
            let (parts, body) = response.into_parts();
            if let Some(session) = parts.headers.get("mcp-session-id") {
                *self.session.lock().await = Some(session.clone());
            }
            let text = Limited::new(body, LARGEST).collect().await.map_err(|error| {
                let text = format!("The answer of {} broke off: {error}. Try again.", self.name());
                (Failure::new("SERVER_UNREACHABLE", text), true)
            })?;
            Ok((parts, text.to_bytes()))
        });
        let (parts, text) = whole.await.unwrap_or_else(|_| {
            let text = format!(
                "{} did not answer within {} seconds. Try again.",
                self.name(),
                LIMIT.as_secs()
            );
            Err((Failure::new("SERVER_TOO_SLOW", text), false))
        })?;
        if parts.status == StatusCode::ACCEPTED {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let answer = match kind.unwrap_or_default() {
            kind if kind.starts_with("text/event-stream") => self.in_stream(&text).await,
            _ => Some(text.clone()).filter(|text| is_answer(text)),
        };
        let has_no_key = matches!(parts.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        match answer {
            Some(answer) if !has_no_key => Ok(Some(answer)),
            _ => Err((self.refused(parts.status, &text), false)),
        }
    }

    /// The answer in a stream of events; messages that come with it are passed on.
    async fn in_stream(&self, text: &str) -> Option<String> {
        let text = text.replace("\r\n", "\n");
        let events = text.split("\n\n").map(|event| {
            let data = event.lines().filter_map(|line| line.strip_prefix("data:"));
            data.map(|data| data.strip_prefix(' ').unwrap_or(data))
                .collect::<Vec<_>>()
                .join("\n")
        });
        let mut answer = None;
        for data in events.filter(|data| is_answer(data)) {
            let message: Value = serde_json::from_str(&data).unwrap_or_default();
            match (message.get("method"), message.get("id")) {
                (None, _) => answer = Some(data),
                (Some(_), None) => _ = self.aside.send(data).await,
                // The way back of a request to the client is not there.
                (Some(_), Some(_)) => {}
            }
        }
        answer
    }

    /// Asks for a file. `url` is where the server says it is.
    ///
    /// # Errors
    /// Why it does not come.
    pub(super) async fn get(&self, url: &str) -> Result<Stream, Failure> {
        let response = match &self.place {
            // The address is that of a listener of ours, or of a proxy in front of it: the path is what counts.
            Place::Here(here) => {
                let path = url.parse::<Uri>().ok().and_then(|uri| uri.path_and_query().cloned());
                let path = path.ok_or_else(|| Failure::new("DOWNLOAD_FAILED", "The address of the file is broken."))?;
                here.send(request(Method::GET, path.into(), HeaderMap::new(), Bytes::new()))
                    .await
            }
            Place::Remote(remote) => {
                let response = timeout(LIMIT, remote.get(url)).await;
                let slow = |_| Failure::new("SERVER_TOO_SLOW", format!("The download of {url} does not begin."));
                response.map_err(slow)?.map_err(|(failure, _)| failure)?
            }
        };
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response.into_body());
        }
        let text = timeout(LIMIT, Limited::new(response.into_body(), LARGEST).collect()).await;
        let text = text.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes);
        let text = text.unwrap_or_default();
        Err(self.refused(status, &String::from_utf8_lossy(&text)))
    }

    fn name(&self) -> String {
        match &self.place {
            Place::Here(_) => "The server".to_owned(),
            Place::Remote(remote) => format!("The server at {}", remote.authority()),
        }
    }

    /// What an answer outside of the protocol means.
    fn refused(&self, status: StatusCode, text: &str) -> Failure {
        let name = self.name();
        let detail = serde_json::from_str::<Value>(text).unwrap_or_default();
        let detail = detail.get("detail").and_then(Value::as_str).unwrap_or_default();
        let has_key = match &self.place {
            Place::Here(_) => true,
            Place::Remote(remote) => remote.has_key(),
        };
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if has_key => Failure::new(
                "API_KEY_REFUSED",
                format!("{name} refuses the key in PLANEXE_MCP_API_KEY ({status}). {detail}").trim_end(),
            ),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::new(
                "API_KEY_MISSING",
                format!(
                    "{name} wants an API key ({status}): set PLANEXE_MCP_API_KEY in the environment that your client \
                     starts planexe-local with."
                ),
            ),
            StatusCode::PAYLOAD_TOO_LARGE => Failure::new(
                "MESSAGE_TOO_LARGE",
                format!("{name} takes no message of this length. {detail}").trim_end(),
            ),
            StatusCode::TOO_MANY_REQUESTS => Failure::new(
                "TOO_MANY_REQUESTS",
                format!("{name} takes no more requests for now ({status}). Wait a minute and try again."),
            ),
            status if status.is_server_error() => Failure::new(
                "SERVER_FAILED",
                format!("{name} failed ({status}). Try again; if it stays, tell its operator. {detail}").trim_end(),
            ),
            _ => Failure::new(
                "NOT_AN_MCP_SERVER",
                format!("{name} answers, but not as an MCP server ({status}): check the address. {detail}").trim_end(),
            ),
        }
    }
}

/// A request of ours.
pub(super) fn request(method: Method, uri: Uri, headers: HeaderMap, bytes: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::from(bytes));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    request
}

/// Whether a text is a message, or a batch of them.
fn is_answer(text: &str) -> bool {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(message)) => message.contains_key("jsonrpc"),
        Ok(Value::Array(messages)) => !messages.is_empty(),
        _ => false,
    }
}
