//! A server that plays the part, for the tests of the bridge.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

use super::{StdioOptions, serve};
use crate::settings::Variables;

pub(super) const TASK: &str = "5e2b2a7c-8b49-4d2f-9b8f-6a3c1f05b9a1";
pub(super) const PAGE: &str = "<h1>A plan</h1>";

/// What the server does with the next request.
#[derive(Clone)]
pub(super) enum Act {
    /// Answers as a server does that is well.
    Well,
    /// Closes the connection without an answer.
    Drop,
    /// This status, this header, this body.
    Say(u16, &'static str, String, String),
    /// This result of a tool.
    Tool(Value),
}

#[derive(Debug)]
pub(super) struct Seen {
    pub(super) path: String,
    headers: HeaderMap,
    message: Value,
}

/// A server. Acts are taken one after the other; without one it does well.
pub(super) struct Stub {
    pub(super) address: String,
    pub(super) acts: Arc<Mutex<VecDeque<Act>>>,
    pub(super) seen: Arc<Mutex<Vec<Seen>>>,
    pub(super) knows_ids: bool,
}

impl Stub {
    pub(super) async fn start(acts: &[Act]) -> Self {
        Self::with(acts, true).await
    }

    pub(super) async fn with(acts: &[Act], knows_ids: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let acts = Arc::new(Mutex::new(acts.iter().cloned().collect::<VecDeque<_>>()));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, plan, base) = (seen.clone(), acts.clone(), address.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, plan, base) = (log.clone(), plan.clone(), base.clone());
                let service = service_fn(move |request| {
                    let (log, plan, base) = (log.clone(), plan.clone(), base.clone());
                    async move { answer(request, &log, &plan, &base, knows_ids).await }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self {
            address,
            acts,
            seen,
            knows_ids,
        }
    }

    /// What the bridge writes when it is given these lines.
    pub(super) async fn converse(&self, variables: &[(&str, &str)], lines: &str) -> Vec<Value> {
        converse(&format!("http://{}", self.address), variables, lines).await
    }

    /// Headers of the requests to a path.
    pub(super) fn header(&self, path: &str, name: &str) -> Vec<Option<String>> {
        let seen = self.seen.lock().unwrap();
        let requests = seen.iter().filter(|seen| seen.path.starts_with(path));
        let values = requests.map(|seen| seen.headers.get(name).map(|value| value.to_str().unwrap().to_owned()));
        values.collect()
    }

    pub(super) fn created(&self) -> Vec<Value> {
        let seen = self.seen.lock().unwrap();
        let calls = seen
            .iter()
            .filter(|seen| seen.message["params"]["name"] == "task_create");
        calls
            .map(|seen| seen.message["params"]["arguments"]["client_request_id"].clone())
            .collect()
    }
}

pub(super) async fn converse(url: &str, variables: &[(&str, &str)], lines: &str) -> Vec<Value> {
    let options = StdioOptions {
        project: PathBuf::new(),
        variables: variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<Variables>(),
        url: Some(url.to_owned()),
        step: Duration::ZERO,
    };
    let mut written = Vec::new();
    let served = serve(options, lines.as_bytes(), &mut written);
    tokio::time::timeout(Duration::from_secs(60), served)
        .await
        .expect("an end")
        .unwrap();
    let text = String::from_utf8(written).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

type Plan = Mutex<VecDeque<Act>>;

async fn answer(
    request: Request<Incoming>,
    log: &Mutex<Vec<Seen>>,
    plan: &Plan,
    base: &str,
    knows_ids: bool,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let message: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let method = message["method"].as_str().unwrap_or_default().to_owned();
    let tool = message["params"]["name"].as_str().unwrap_or_default().to_owned();
    let id = message["id"].clone();
    // What the bridge asks for itself is not part of the plan.
    let is_planned = method != "tools/list" || id != "planexe-local";
    log.lock().unwrap().push(Seen {
        path: parts.uri.path().to_owned(),
        headers: parts.headers,
        message,
    });
    let act = is_planned.then(|| plan.lock().unwrap().pop_front()).flatten();
    let json = |result: Value| {
        let reply = json!({ "jsonrpc": "2.0", "id": id, "result": result });
        let reply = Response::builder()
            .header("content-type", "application/json")
            .body(Full::from(reply.to_string()));
        Ok(reply.unwrap())
    };
    let tool_result = |content: Value| {
        let text = json!([{ "type": "text", "text": content.to_string() }]);
        json(json!({ "content": text, "structuredContent": content, "isError": false }))
    };
    match act.unwrap_or(Act::Well) {
        Act::Drop => return Err(std::io::Error::other("gone")),
        Act::Say(status, header, value, body) => {
            let mut reply = Response::new(Full::from(body));
            *reply.status_mut() = StatusCode::from_u16(status).unwrap();
            reply.headers_mut().insert(header, value.parse().unwrap());
            return Ok(reply);
        }
        Act::Tool(content) => return tool_result(content),
        Act::Well => {}
    }
    if parts.method == "GET" {
        return Ok(Response::new(Full::from(PAGE)));
    }
    match (method.as_str(), tool.as_str()) {
        ("initialize", _) => json(json!({ "protocolVersion": "2025-06-18", "instructions": "Words." })),
        ("tools/list", _) => {
            let id = if knows_ids {
                json!({ "client_request_id": {} })
            } else {
                json!({})
            };
            let create = json!({ "name": "task_create", "inputSchema": { "properties": id } });
            json(json!({ "tools": [create] }))
        }
        (_, "task_create") => tool_result(json!({ "task_id": TASK })),
        (_, "task_file_info") => tool_result(info(&format!("http://{base}/download/x?sig=1"))),
        _ => json(json!({})),
    }
}

pub(super) fn info(url: &str) -> Value {
    let hash: String = Sha256::digest(PAGE).iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "ready": true, "content_type": "text/html", "sha256": hash, "download_size": PAGE.len(), "download_url": url })
}

pub(super) fn call(tool: &str, arguments: &Value) -> String {
    let params = json!({ "name": tool, "arguments": arguments });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string()
}

pub(super) fn say(status: u16, kind: &str, body: &str) -> Act {
    Act::Say(status, "content-type", kind.to_owned(), body.to_owned())
}

pub(super) const PING: &str = r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#;
