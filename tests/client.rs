//! A real client, the official Rust SDK's, walks the main job: initialize, list, create, poll, download.

use rmcp::{
    ServiceExt as _,
    model::{CallToolRequestParams, ClientConfig},
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

use crate::support::{Stage, run};

#[test]
fn the_official_sdk_gets_a_plan() {
    run(async {
        let stage = Stage::builder().with_key().working().build().await;
        walk(&stage, None).await;
    });
}

/// The main job through the SDK; the report's size where it is known.
pub async fn walk(stage: &Stage, report_size: Option<u64>) {
    let url = format!("http://{}/mcp", stage.address());
    let config = StreamableHttpClientTransportConfig::with_uri(url).auth_header("secret");
    let transport = StreamableHttpClientTransport::from_config(config);
    let client = ClientConfig::default().serve(transport).await.expect("initialize");
    let info = client.peer_info().expect("server info").clone();
    assert_eq!(info.server_info.as_ref().expect("a name").name, "planexe-mcp-server");
    assert!(
        info.instructions
            .as_ref()
            .is_some_and(|text| text.contains("prompt_examples"))
    );
    let tools = client.list_all_tools().await.expect("tools/list");
    assert_eq!(tools.len(), 5);
    let call = |name: &'static str, arguments: Value| {
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        client.call_tool(CallToolRequestParams::new(name).with_arguments(arguments))
    };
    let examples = call("prompt_examples", json!({}))
        .await
        .expect("a result")
        .structured_content
        .expect("an object");
    assert_eq!(examples["samples"].as_array().map(Vec::len), Some(5));
    let prompt = examples["samples"][0].as_str().expect("a prompt");
    let created = call("task_create", json!({ "prompt": prompt }))
        .await
        .expect("a result");
    let created = created.structured_content.expect("an object");
    let id = json!({ "task_id": created["task_id"] });
    loop {
        let status = call("task_status", id.clone())
            .await
            .expect("a result")
            .structured_content
            .expect("an object");
        match status["state"].as_str() {
            Some("completed") => break,
            Some("pending" | "running") => tokio::time::sleep(Duration::from_millis(50)).await,
            other => panic!("{other:?}: {status}"),
        }
    }
    for artifact in ["report", "zip"] {
        let arguments = json!({ "task_id": created["task_id"], "artifact": artifact });
        let info = call("task_file_info", arguments)
            .await
            .expect("a result")
            .structured_content
            .expect("an object");
        let url = info["download_url"]
            .as_str()
            .unwrap_or_else(|| panic!("no link: {info}"));
        let bytes = download(url).await;
        assert_eq!(bytes.len() as u64, info["download_size"]);
        let digest: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(digest, info["sha256"]);
        if artifact == "report" {
            assert!(report_size.is_none_or(|size| bytes.len() as u64 == size));
        }
    }
    client.cancel().await.expect("the end");
}

/// A browser's download: no key, only the link.
async fn download(url: &str) -> bytes::Bytes {
    use http_body_util::BodyExt as _;
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let request = http::Request::get(url)
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .expect("a valid link");
    let response = client.request(request).await.expect("an answer");
    assert_eq!(response.status(), 200, "{url}");
    response.into_body().collect().await.expect("a whole body").to_bytes()
}
