//! Instances: what is the same with and without reuse, and what the log says of an open server.

use serde_json::json;

use crate::support::{Stage, run};

#[test]
fn a_new_instance_for_each_request_answers_the_same() {
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
    });
}

#[test]
fn an_open_server_says_so_in_the_line_of_each_call() {
    run(async {
        for (builder, access) in [
            (Stage::builder(), json!("open")),
            (Stage::builder().with_key(), json!(null)),
        ] {
            let stage = builder.build().await;
            let answer = stage.get_with_key("/mcp/tools").await;
            assert_eq!(stage.log_of(&answer).await["access"], access);
        }
    });
}
