//! Links to the report in results: for revisions that know them, after the text.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::support::{Stage, each_row, run};

/// The content blocks of a call in a revision.
async fn content(stage: &Stage, version: &str, tool: &str, id: &str) -> Value {
    let mut params = json!({ "name": tool, "arguments": { "task_id": id } });
    let mut headers = vec![("content-type", "application/json")];
    if !version.is_empty() {
        headers.push(("mcp-protocol-version", version));
    }
    if version == "2026-07-28" {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        headers.extend([("mcp-method", "tools/call"), ("mcp-name", tool)]);
    }
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let request = crate::support::request(Method::POST, "/mcp", &headers, Bytes::from(body.to_string()));
    stage.send(request).await.json()["result"]["content"].clone()
}

#[test]
fn a_finished_plan_links_to_its_report() {
    run(async {
        let stage = Stage::builder().working().build().await;
        let id = stage.create("Open a bakery in Lyon").await;
        stage.wait_for(&id, &["completed"]).await;
        for tool in ["task_file_info", "task_status"] {
            each_row(
                [
                    ("", false),
                    ("2025-03-26", false),
                    ("2025-06-18", true),
                    ("2025-11-25", true),
                    ("2026-07-28", true),
                ],
                async |(version, linked)| {
                    let content = content(&stage, version, tool, &id).await;
                    assert_eq!(content[0]["type"], "text", "{tool} {version}");
                    assert_eq!(
                        content.as_array().map(Vec::len),
                        Some(if linked { 2 } else { 1 }),
                        "{tool} {version}"
                    );
                    if linked {
                        assert_eq!(content[1]["type"], "resource_link");
                        assert_eq!(content[1]["uri"], format!("planexe://task/{id}/030-report.html"));
                        assert_eq!(content[1]["mimeType"], "text/html; charset=utf-8");
                    }
                },
            )
            .await;
        }
    });
}

#[test]
fn a_plan_that_is_not_complete_links_to_nothing() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        for tool in ["task_file_info", "task_status"] {
            assert_eq!(
                content(&stage, "2025-11-25", tool, &id).await.as_array().map(Vec::len),
                Some(1),
                "{tool}"
            );
        }
    });
}
