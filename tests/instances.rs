//! Instances: what is the same with and without reuse, and what the log says once.

use serde_json::{Value, json};

use crate::support::{Stage, Subject, is_skipped_on, run};

/// How many instances have said that the server is open, in a log of so many lines.
async fn instances(stage: &Stage, lines: usize) -> usize {
    let lines = stage.log_lines(lines).await;
    let is_warning = |line: &&Value| line.to_string().contains("PLANEXE_MCP_API_KEY is not set");
    lines.iter().filter(is_warning).count()
}

#[test]
fn a_new_instance_for_each_request_answers_the_same() {
    if is_skipped_on(Subject::Wasi02, "no instance is reused") {
        return;
    }
    run(async {
        let (fresh, reused) = (
            Stage::builder().without_reuse().build().await,
            Stage::builder().build().await,
        );
        for body in [
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }),
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "prompt_examples" } }),
            json!({ "jsonrpc": "2.0", "id": 1, "method": "prompts/list" }),
        ] {
            for _ in 0..3 {
                assert_eq!(
                    fresh.post("/mcp", &body).await.text(),
                    reused.post("/mcp", &body).await.text()
                );
            }
        }
        // Each instance says once that the server is open.
        assert_eq!(instances(&fresh, 9 + 9).await, 9);
        assert_eq!(instances(&reused, 9 + 1).await, 1);
    });
}

#[test]
fn an_open_server_says_so_once_for_each_instance() {
    if is_skipped_on(Subject::Wasi02, "no instance is reused") {
        return;
    }
    run(async {
        let stage = Stage::builder().build().await;
        for _ in 0..5 {
            stage.get("/mcp/tools").await;
        }
        assert_eq!(instances(&stage, 5 + 1).await, 1);
        let guarded = Stage::builder().with_key().build().await;
        let answer = guarded.get_with_key("/mcp/tools").await;
        guarded.log_of(&answer).await;
        assert!(!guarded.log().contains("warning"), "{}", guarded.log());
    });
}
