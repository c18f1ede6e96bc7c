//! A small MCP client: JSON-RPC over POST, one answer a request.
//!
//! Knows no tool by name.

use crate::https::{self, HttpsClient};
use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Error;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;
use tokio::time::timeout;

/// The revision asked for.
const VERSION: &str = "2025-11-25";
/// For one answer, or one piece of a download.
pub(super) const LIMIT: Duration = Duration::from_secs(30);
/// No JSON answer comes near this size.
const LARGEST: usize = 8 << 20;

/// An error that a tool reported.
#[derive(Debug)]
pub(super) struct Refusal {
    tool: String,
    code: String,
    message: String,
}

impl Refusal {
    /// Whether asking again is in vain.
    pub(super) fn is_final(&self) -> bool {
        !matches!(self.code.as_str(), "DATABASE_UNAVAILABLE" | "INTERNAL_ERROR")
    }

    fn advice(&self) -> &'static str {
        match self.code.as_str() {
            "DATABASE_UNAVAILABLE" => " Is its database running? scripts/up starts one.",
            "USER_API_KEY_REQUIRED" | "INVALID_USER_API_KEY" => {
                " This server wants a key of each user, which the demo does not have: start one without \
                 PLANEXE_MCP_REQUIRE_USER_KEY."
            }
            "content_unavailable" => " Is worker_plan running?",
            _ => "",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tool, code, message } = self;
        write!(formatter, "{tool} failed: {message} ({code}){}", self.advice())
    }
}

impl std::error::Error for Refusal {}

/// A conversation with one server.
pub(super) struct Session {
    http: HttpsClient,
    base: String,
    api_key: Option<String>,
    /// What the server agreed to, and its id of this conversation if it gave one.
    headers: Vec<(&'static str, HeaderValue)>,
    next_id: u64,
}

impl Session {
    /// A conversation that has not begun.
    pub(super) fn new(base_url: &str, api_key: Option<String>) -> Result<Self> {
        let base = base_url
            .trim()
            .trim_end_matches('/')
            .trim_end_matches("/mcp")
            .to_owned();
        let is_address = base.parse::<Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
        });
        if !is_address {
            bail!("“{base_url}” is no address of a server: give one such as http://127.0.0.1:8001");
        }
        Ok(Self {
            http: https::client()?,
            base,
            api_key: api_key.filter(|key| !key.is_empty()),
            headers: Vec::new(),
            next_id: 1,
        })
    }

    /// The address of the server, without a path.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Begins the conversation; name and version of the server.
    pub(super) async fn initialize(&mut self) -> Result<String> {
        let client = json!({"name": "planexe-demo", "version": env!("CARGO_PKG_VERSION")});
        let params = json!({"protocolVersion": VERSION, "capabilities": {}, "clientInfo": client});
        let result = self.ask("initialize", params).await?;
        let word = |path: &str| result.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let version = word("/protocolVersion").context("the server names no version of MCP: is it an MCP server?")?;
        self.headers.push((
            "mcp-protocol-version",
            version.parse().context("the server's version is no header")?,
        ));
        let (id, notification) = (None, "notifications/initialized");
        self.post(&json!({"jsonrpc": "2.0", "method": notification}), id)
            .await?;
        let (name, number) = (word("/serverInfo/name"), word("/serverInfo/version"));
        Ok(format!(
            "{} {} (MCP {version})",
            name.unwrap_or_default(),
            number.unwrap_or_default()
        ))
    }

    /// Calls a tool; its error is a [`Refusal`].
    pub(super) async fn call<T: DeserializeOwned>(&mut self, tool: &str, arguments: Value) -> Result<T> {
        let result = self
            .ask("tools/call", json!({"name": tool, "arguments": arguments}))
            .await?;
        let content = result.get("structuredContent").cloned().unwrap_or_default();
        let error = content.get("error").filter(|error| error.is_object());
        if error.is_some() || result.get("isError").is_some_and(|is_error| is_error == true) {
            let word = |name: &str| error.and_then(|error| error.get(name)).and_then(Value::as_str);
            let text = result
                .pointer("/content/0/text")
                .and_then(Value::as_str)
                .unwrap_or("it does not say why");
            let (code, message) = (word("code").unwrap_or("no code"), word("message").unwrap_or(text));
            let (tool, code, message) = (tool.to_owned(), code.to_owned(), message.to_owned());
            return Err(Refusal { tool, code, message }.into());
        }
        serde_json::from_value(content).with_context(|| format!("the answer to {tool} is not as expected"))
    }

    /// Asks for a file; its body is not read yet.
    pub(super) async fn get(&self, url: &str) -> Result<Response<Incoming>> {
        let request = Request::get(url)
            .body(Full::default())
            .context("the server gave a broken address")?;
        let response = self.send(request).await?;
        if !response.status().is_success() {
            return Err(complain(response).await);
        }
        Ok(response)
    }

    async fn ask(&mut self, method: &str, params: Value) -> Result<Value> {
        let id = self.next_id;
        self.next_id += 1;
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let mut answer = self.post(&message, Some(id)).await?;
        if let Some(error) = answer.get("error") {
            let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
            let message = error
                .get("message")
                .and_then(Value::as_str)
                .unwrap_or("it does not say why");
            bail!("the server refuses {method}: {message} ({code})");
        }
        Ok(answer.get_mut("result").map(Value::take).unwrap_or_default())
    }

    /// Sends one message; the answer with this id, or nothing for a notification.
    async fn post(&mut self, message: &Value, id: Option<u64>) -> Result<Value> {
        let mut request = Request::post(format!("{}/mcp", self.base))
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream");
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(key) = &self.api_key {
            let mut value = HeaderValue::try_from(format!("Bearer {key}")).context("the API key is no header value")?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let response = self.send(request.body(Full::from(message.to_string()))?).await?;
        let kind = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        let (is_stream, is_json) = (
            kind.starts_with("text/event-stream"),
            kind.starts_with("application/json"),
        );
        if let Some(session) = response.headers().get("mcp-session-id") {
            self.headers.retain(|(name, _)| *name != "mcp-session-id");
            self.headers.push(("mcp-session-id", session.clone()));
        }
        let status = response.status();
        let is_about_keys = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        // Other errors of JSON-RPC may come with an HTTP status of their own.
        if is_about_keys || (!status.is_success() && !is_json) {
            return Err(complain(response).await);
        }
        let text = read(response).await?;
        let Some(id) = id else {
            return Ok(Value::Null);
        };
        let answer = if is_stream {
            in_stream(&text, id)
        } else {
            serde_json::from_str(&text).ok()
        };
        match answer {
            Some(answer) if answer.get("jsonrpc").is_some() => Ok(answer),
            _ => Err(refused(status, &text)),
        }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        let place = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        match timeout(LIMIT, self.http.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(unreachable(&place, &error)),
            Err(_) => bail!(
                "the server at {place} did not answer within {} seconds: look at its log",
                LIMIT.as_secs()
            ),
        }
    }
}

fn unreachable(place: &str, error: &Error) -> anyhow::Error {
    if error.is_connect() {
        return anyhow!("no server answers at {place}: start it with scripts/up, or give its address");
    }
    anyhow!("the server at {place} broke off the connection: look at its log")
}

async fn read(response: Response<Incoming>) -> Result<String> {
    let body = Limited::new(response.into_body(), LARGEST).collect();
    let body = timeout(LIMIT, body)
        .await
        .map_err(|_| anyhow!("the server's answer did not come to an end"))?;
    let body = body.map_err(|error| anyhow!("the server's answer broke off: {error}"))?;
    Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
}

async fn complain(response: Response<Incoming>) -> anyhow::Error {
    let status = response.status();
    match read(response).await {
        Ok(text) => refused(status, &text),
        Err(error) => error,
    }
}

/// What a plain HTTP error means to the user.
fn refused(status: StatusCode, text: &str) -> anyhow::Error {
    match status {
        StatusCode::UNAUTHORIZED => {
            anyhow!("the server wants an API key: set PLANEXE_MCP_API_KEY to the one it was started with")
        }
        StatusCode::FORBIDDEN => {
            anyhow!("the server refuses the API key: PLANEXE_MCP_API_KEY must be the one it was started with")
        }
        _ => {
            let detail = serde_json::from_str::<Value>(text).unwrap_or_default();
            let detail = detail
                .get("detail")
                .and_then(Value::as_str)
                .unwrap_or("is it an MCP server?");
            anyhow!("the server answered {status}: {detail}")
        }
    }
}

/// The message with this id among the events of a stream.
fn in_stream(text: &str, id: u64) -> Option<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
    data.filter_map(|data| serde_json::from_str::<Value>(data).ok())
        .find(|message| message.get("id") == Some(&id.into()))
}
