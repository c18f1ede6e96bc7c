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
        assert_eq!(fresh.host.stats().instances_created, 9);
        assert_eq!(reused.host.stats().instances_created, 1);
    });
}

#[test]
fn an_open_server_says_so_in_the_line_of_each_call() {
    run(async {
        let stage = Stage::builder().build().await;
        for _ in 0..2 {
            stage.get("/mcp/tools").await;
        }
        assert_eq!(stage.log().matches("\"access\":\"open\"").count(), 2, "{}", stage.log());
        let guarded = Stage::builder().with_key().build().await;
        guarded.get_with_key("/mcp/tools").await;
        assert!(!guarded.log().contains("access"), "{}", guarded.log());
    });
}
