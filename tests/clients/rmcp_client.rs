//! The official Rust SDK, put through the same steps as the other clients here; `scripts/clients` runs it:
//! `rmcp_client URL initialize|auto|discover`, with the server's key in `MCP_KEY`. Each step prints one line of JSON.

#![expect(clippy::print_stdout, reason = "its lines are what it is for")]
#![expect(clippy::indexing_slicing, reason = "a member that JSON lacks reads as null")]

use std::{future::Future, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use planexe_local::stdio::http_client;
use planexe_mcp::tools::{ALL, Family};
use rmcp::{
    ClientLifecycleMode, ClientServiceExt as _, RoleClient,
    model::{CallToolRequestParams, ClientConfig, GetPromptRequestParams, JsonObject, ProtocolVersion},
    service::RunningService,
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// How long it may take for everything.
const LIMIT: Duration = Duration::from_secs(120);
/// How often it asks for the state of a task.
const POLL: Duration = Duration::from_millis(100);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().context("the server's address is missing")?;
    let mode = arguments.next().context("the mode is missing")?;
    let key = std::env::var("MCP_KEY").context("MCP_KEY is not set")?;
    let version = std::env::var("RMCP_VERSION").unwrap_or_default();
    say(&json!({
        "step": "start", "ok": true, "client": "rmcp", "version": version, "key": "Authorization", "mode": mode,
    }));
    match tokio::time::timeout(LIMIT, connect(url, &mode, key))
        .await
        .map_err(Into::into)
        .flatten()
    {
        Ok(session) => {
            let walked = tokio::time::timeout(LIMIT, walk(&session)).await.map_err(Into::into);
            let ended = session.cancel().await.map(drop).map_err(Into::into);
            report("end", &walked.and(ended));
        }
        Err(error) => report("connect", &Err(error)),
    }
    Ok(())
}

type Session = RunningService<RoleClient, ClientConfig>;

async fn connect(url: String, mode: &str, key: String) -> Result<Session> {
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    let lifecycle = match mode {
        "initialize" => ClientLifecycleMode::Initialize,
        "discover" => ClientLifecycleMode::Discover { preferred_versions },
        "auto" => ClientLifecycleMode::Auto {
            preferred_versions,
            legacy_version: None,
        },
        other => bail!("there is no mode {other}"),
    };
    let config = StreamableHttpClientTransportConfig::with_uri(url).auth_header(key);
    let transport = StreamableHttpClientTransport::with_client(http_client()?, config);
    Ok(ClientConfig::default()
        .serve_with_lifecycle(transport, lifecycle)
        .await?)
}

/// All steps after the connection.
async fn walk(session: &Session) {
    let revision = session.peer_info().map(|info| info.protocol_version.to_string());
    say(&json!({ "step": "connect", "ok": true, "revision": revision }));
    step("list", list(session)).await;
    step("good", good_call(session)).await;
    step("bad", bad_call(session)).await;
    step("prompt", prompt(session)).await;
    let request = json!({
        "prompt": format!("Open a bakery. {}", Uuid::new_v4()),
        "speed_vs_detail": "ping",
        "client_request_id": Uuid::new_v4().to_string(),
    });
    let mut task = None;
    step("plan", plan(session, &request, &mut task)).await;
    step("retry", retry(session, &request, task)).await;
}

async fn list(session: &Session) -> Result<()> {
    let tools = session.list_all_tools().await?;
    // Those that are listed where mcp_tools is not set.
    for known in ALL.iter().filter(|tool| tool.family == Family::Task) {
        ensure!(
            tools.iter().any(|tool| tool.name == known.name),
            "{} is not listed",
            known.name
        );
    }
    let is_object = |schema: &JsonObject| schema.get("type") == Some(&json!("object"));
    for tool in tools {
        let output = tool.output_schema.as_deref();
        ensure!(
            is_object(&tool.input_schema) && output.is_some_and(is_object),
            "{} lacks a schema",
            tool.name
        );
    }
    Ok(())
}

async fn good_call(session: &Session) -> Result<()> {
    let examples = good(session, "prompt_examples", json!({})).await?;
    ensure!(
        examples["samples"]
            .as_array()
            .is_some_and(|samples| !samples.is_empty()),
        "no examples"
    );
    Ok(())
}

async fn bad_call(session: &Session) -> Result<()> {
    let result = call(session, "task_create", json!({ "speed_vs_detail": "slow" })).await?;
    ensure!(result["isError"] == true, "wrong arguments are not seen as an error");
    let code = &result["structuredContent"]["error"]["code"];
    ensure!(code == "INVALID_ARGUMENT", "the error has another code: {code}");
    Ok(())
}

async fn prompt(session: &Session) -> Result<()> {
    let prompts = session.list_all_prompts().await?;
    ensure!(
        prompts.iter().any(|prompt| prompt.name == "plan_project"),
        "plan_project is not listed"
    );
    let params =
        GetPromptRequestParams::new("plan_project").with_arguments(object(json!({ "goal": "Open a bakery in Lyon" })));
    let prompt = serde_json::to_value(session.get_prompt(params).await?)?;
    let text = prompt["messages"][0]["content"]["text"].as_str();
    ensure!(
        text.is_some_and(|text| text.contains("bakery")),
        "the prompt does not have its argument"
    );
    Ok(())
}

async fn plan(session: &Session, request: &Value, task: &mut Option<Value>) -> Result<()> {
    let created = good(session, "task_create", request.clone()).await?;
    let id = task.insert(created["task_id"].clone());
    loop {
        tokio::time::sleep(POLL).await;
        let status = good(session, "task_status", json!({ "task_id": id })).await?;
        match status["state"].as_str() {
            Some("completed") => break,
            Some("pending" | "running") => {}
            _ => bail!("the task is {}", status["state"]),
        }
    }
    for artifact in ["report", "zip"] {
        let info = good(
            session,
            "task_file_info",
            json!({ "task_id": id, "artifact": artifact }),
        )
        .await?;
        download(&info).await?;
    }
    Ok(())
}

async fn retry(session: &Session, request: &Value, task: Option<Value>) -> Result<()> {
    let again = good(session, "task_create", request.clone()).await?;
    ensure!(
        task.is_some_and(|task| task == again["task_id"]) && again["repeated"] == true,
        "a repeated call made a second task"
    );
    Ok(())
}

/// Fetches a file as a browser does, without the key, and compares it with its description.
async fn download(info: &Value) -> Result<()> {
    ensure!(info["ready"] == true, "the file of a completed task is not ready");
    let url = info["download_url"].as_str().context("no link")?.parse()?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
    let response = client.get(url).await?;
    ensure!(response.status() == 200, "the download answers {}", response.status());
    let content = response.into_body().collect().await?.to_bytes();
    ensure!(info["download_size"] == content.len(), "the download has another size");
    let digest: String = Sha256::digest(&content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    ensure!(info["sha256"] == digest, "the download has another SHA-256");
    Ok(())
}

/// The result of a call that goes well: text and structure say the same.
async fn good(session: &Session, name: &'static str, arguments: Value) -> Result<Value> {
    let result = call(session, name, arguments).await?;
    ensure!(result["isError"] != true, "{name} fails: {}", result["content"]);
    let text = result["content"][0]["text"].as_str().context("no text")?;
    let text: Value = serde_json::from_str(text)?;
    let structured = result["structuredContent"].clone();
    ensure!(structured.is_object(), "no structuredContent");
    ensure!(text == structured, "text and structuredContent differ");
    Ok(structured)
}

async fn call(session: &Session, name: &'static str, arguments: Value) -> Result<Value> {
    let params = CallToolRequestParams::new(name).with_arguments(object(arguments));
    Ok(serde_json::to_value(session.call_tool(params).await?)?)
}

fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        _ => JsonObject::new(),
    }
}

async fn step(name: &str, work: impl Future<Output = Result<()>>) {
    report(name, &work.await);
}

/// Prints what a step comes to.
fn report(name: &str, outcome: &Result<()>) {
    match outcome {
        Ok(()) => say(&json!({ "step": name, "ok": true })),
        Err(error) => say(&json!({ "step": name, "ok": false, "why": format!("{error:#}") })),
    }
}

fn say(line: &Value) {
    println!("{line}");
}
