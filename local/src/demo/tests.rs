//! The demo against a server that plays the part: what it sends, what it saves, and what it says when
//! things go wrong.

use super::{DemoOptions, prompt, run, size};
use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

const TASK: &str = "5e2b2a7c-8b49-4d2f-9b8f-6a3c1f05b9a1";
const PAGE: &str = "<h1>A plan</h1>";

/// Answers a call of a tool: its result, or an error object. The number counts the calls of this tool.
type Script = fn(tool: &str, number: usize, base: &str) -> Value;

struct Stub {
    url: String,
    out: PathBuf,
    /// Method or tool, and the headers that it came with.
    seen: Arc<Mutex<Vec<(String, hyper::HeaderMap)>>>,
}

impl Stub {
    async fn start(name: &str, script: Script) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let out = std::env::temp_dir().join(format!("planexe-demo-{name}-{}", std::process::id()));
        let (base, log) = (url.clone(), seen.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (base, log) = (base.clone(), log.clone());
                let service = service_fn(move |request| {
                    let (base, log) = (base.clone(), log.clone());
                    async move { Ok::<_, Infallible>(answer(request, &base, &log, script).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self { url, out, seen })
    }

    fn options(&self) -> DemoOptions {
        DemoOptions {
            base_url: self.url.clone(),
            api_key: Some("key".to_owned()),
            goal: "Open a café".to_owned(),
            out: self.out.clone(),
            detail: "ping".to_owned(),
        }
    }

    async fn complaint(&self) -> String {
        let error = run(self.options()).await.unwrap_err();
        format!("{error:#}")
    }

    fn saved(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.out).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.out);
    }
}

type Log = Mutex<Vec<(String, hyper::HeaderMap)>>;

async fn answer(request: Request<Incoming>, base: &str, log: &Log, script: Script) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    if parts.uri.path() != "/mcp" {
        return Response::new(Full::from(PAGE));
    }
    let message: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
    let method = message["method"].as_str().unwrap();
    let tool = message["params"]["name"].as_str().unwrap_or(method).to_owned();
    let number = {
        let mut log = log.lock().unwrap();
        log.push((tool.clone(), parts.headers));
        log.iter().filter(|(name, _)| *name == tool).count()
    };
    let scripted = script(&tool, number, base);
    if let Some(status) = scripted.get("status").and_then(Value::as_u64) {
        let status = u16::try_from(status).unwrap();
        let body = Full::from(json!({"detail": "what went wrong"}).to_string());
        return Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .body(body)
            .unwrap();
    }
    let result = match (method, &scripted) {
        ("initialize", _) => json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
            "serverInfo": {"name": "stub", "version": "1"}}),
        (_, Value::Null) => json!({"structuredContent": usual(&tool, base), "isError": false}),
        (_, scripted) => json!({"structuredContent": scripted, "isError": scripted.get("error").is_some()}),
    };
    let reply = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
    Response::builder()
        .header("content-type", "application/json")
        .body(Full::from(reply.to_string()))
        .unwrap()
}

fn usual(tool: &str, base: &str) -> Value {
    let hash: String = Sha256::digest(PAGE).iter().map(|byte| format!("{byte:02x}")).collect();
    match tool {
        "prompt_examples" => json!({"samples": ["An example prompt"], "message": "m"}),
        "task_create" => json!({"task_id": TASK, "created_at": "2026-01-01T00:00:00Z"}),
        "task_status" => json!({"task_id": TASK, "state": "completed", "progress_percentage": 100.0,
            "progress_message": "done", "timing": {}, "files": [{"path": "030-report.html", "updated_at": null}]}),
        "task_file_info" => json!({"ready": true, "sha256": hash, "download_size": PAGE.len(),
            "download_url": format!("{base}/download/{TASK}/030-report.html?sig=1")}),
        _ => Value::Null,
    }
}

fn error(code: &str) -> Value {
    json!({"error": {"code": code, "message": "In plain words."}})
}

#[tokio::test]
async fn report_and_archive_are_saved_and_nothing_is_overwritten() -> Result<()> {
    let stub = Stub::start("saved", |_, _, _| Value::Null).await?;
    run(stub.options()).await?;
    run(stub.options()).await?;
    let names: Vec<_> = ["-2.zip", "-report-2.html", "-report.html", ".zip"]
        .map(|end| format!("{TASK}{end}"))
        .into();
    assert_eq!(stub.saved(), names);
    assert_eq!(
        std::fs::read_to_string(stub.out.join(format!("{TASK}-report.html")))?,
        PAGE
    );
    let seen = stub.seen.lock().unwrap();
    let order: Vec<_> = seen.iter().take(5).map(|(name, _)| name.as_str()).collect();
    let expected = [
        "initialize",
        "notifications/initialized",
        "prompt_examples",
        "task_create",
        "task_status",
    ];
    assert_eq!(order, expected);
    for (number, (_, headers)) in seen.iter().take(5).enumerate() {
        assert_eq!(headers["authorization"], "Bearer key");
        assert_eq!(headers["accept"], "application/json, text/event-stream");
        assert_eq!(headers.contains_key("mcp-protocol-version"), number > 0);
    }
    Ok(())
}

#[tokio::test]
async fn every_failure_is_a_sentence_that_says_what_to_do() -> Result<()> {
    let cases: [(&str, Script, &str); 8] = [
        (
            "wants",
            |_, _, _| json!({"status": 401}),
            "the server wants an API key: set PLANEXE_MCP_API_KEY to the one it was started with",
        ),
        (
            "refuses",
            |_, _, _| json!({"status": 403}),
            "the server refuses the API key: PLANEXE_MCP_API_KEY must be the one it was started with",
        ),
        (
            "broken",
            |_, _, _| json!({"status": 500}),
            "the server answered 500 Internal Server Error: what went wrong",
        ),
        (
            "tool",
            |tool, _, _| {
                if tool == "task_create" {
                    error("INVALID_ARGUMENT")
                } else {
                    Value::Null
                }
            },
            "task_create failed: In plain words. (INVALID_ARGUMENT)",
        ),
        (
            "database",
            |tool, _, _| {
                if tool == "task_create" {
                    error("DATABASE_UNAVAILABLE")
                } else {
                    Value::Null
                }
            },
            "task_create failed: In plain words. (DATABASE_UNAVAILABLE) Is its database running? scripts/up starts one.",
        ),
        (
            "failed",
            |tool, _, _| {
                if tool == "task_status" {
                    json!({"state": "failed", "progress_percentage": 3, "progress_message": "No money."})
                } else {
                    Value::Null
                }
            },
            "the plan failed: No money. Try again, and look at what the worker says.",
        ),
        (
            "notready",
            |tool, _, _| {
                if tool == "task_file_info" {
                    json!({"ready": false, "reason": "Too early."})
                } else {
                    Value::Null
                }
            },
            "the report of task 5e2b2a7c-8b49-4d2f-9b8f-6a3c1f05b9a1 is not there although the task is completed: Too early.",
        ),
        (
            "id",
            |tool, _, _| {
                if tool == "task_create" {
                    json!({"task_id": "../../etc/passwd"})
                } else {
                    Value::Null
                }
            },
            "the server gave a task id that is no UUID",
        ),
    ];
    for (name, script, expected) in cases {
        let stub = Stub::start(name, script).await?;
        let complaint = stub.complaint().await;
        assert!(complaint.starts_with(expected), "{name}: {complaint}");
        assert!(!complaint.contains('\n'), "{complaint}");
        assert_eq!(stub.saved(), Vec::<String>::new(), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_not_the_announced_one_is_not_kept() -> Result<()> {
    let cases: [(&str, Script); 3] = [
        ("hash", |tool, _, base| wrong(tool, base, PAGE.len())),
        ("long", |tool, _, base| wrong(tool, base, PAGE.len() - 1)),
        ("short", |tool, _, base| wrong(tool, base, PAGE.len() + 1)),
    ];
    for (name, script) in cases {
        let stub = Stub::start(name, script).await?;
        let complaint = stub.complaint().await;
        assert!(complaint.starts_with("cannot download the report: the "), "{complaint}");
        assert_eq!(stub.saved(), Vec::<String>::new());
    }
    Ok(())
}

fn wrong(tool: &str, base: &str, size: usize) -> Value {
    match tool {
        "task_file_info" => {
            json!({"ready": true, "sha256": "00", "download_size": size, "download_url": format!("{base}/download/x")})
        }
        _ => Value::Null,
    }
}

#[tokio::test]
async fn a_server_that_stumbles_is_asked_again_and_one_that_lies_there_is_not() -> Result<()> {
    let stumbles: Script = |tool, number, _| match (tool, number) {
        ("task_status", 1 | 2) => error("DATABASE_UNAVAILABLE"),
        _ => Value::Null,
    };
    run(Stub::start("stumbles", stumbles).await?.options()).await?;
    let lies: Script = |tool, _, _| {
        if tool == "task_status" {
            error("DATABASE_UNAVAILABLE")
        } else {
            Value::Null
        }
    };
    let stub = Stub::start("lies", lies).await?;
    assert!(
        stub.complaint()
            .await
            .starts_with(&format!("lost sight of task {TASK}: task_status failed"))
    );
    let asked = stub
        .seen
        .lock()
        .unwrap()
        .iter()
        .filter(|(name, _)| name == "task_status")
        .count();
    assert_eq!(asked, 5);
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() -> Result<()> {
    let nobody = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let out = std::env::temp_dir();
    let mut options = DemoOptions {
        base_url: format!("http://{nobody}/"),
        api_key: None,
        goal: "x".to_owned(),
        out,
        detail: "ping".to_owned(),
    };
    let complaint = format!("{:#}", run(options.clone()).await.unwrap_err());
    assert_eq!(
        complaint,
        format!("no server answers at {nobody}: start it with scripts/up, or give its address")
    );
    options.base_url = "localhost:3000".to_owned();
    let complaint = format!("{:#}", run(options.clone()).await.unwrap_err());
    assert!(complaint.contains("is no address of a server"), "{complaint}");
    options.goal = " ".to_owned();
    assert!(format!("{:#}", run(options).await.unwrap_err()).starts_with("the goal is empty"));
    Ok(())
}

#[test]
fn only_a_short_goal_is_made_longer() {
    assert!(prompt("Open a café").starts_with("Open a café.\n\nThere is no fixed team"));
    let long = "word ".repeat(40);
    assert_eq!(prompt(&long), long.trim());
}

#[test]
fn sizes_are_for_people() {
    assert_eq!(size(999), "999 bytes");
    assert_eq!(size(34_198), "34.2 kB");
    assert_eq!(size(2_421_814), "2.4 MB");
}
