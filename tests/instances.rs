//! Instances: what is the same with and without reuse, and what the log says of an open server.

use serde_json::json;
use uuid::Uuid;

use crate::support::{Answer, Stage, Subject, each_row, run};

/// How many instances have served these requests, one after the other: each counts on from its first request's id.
fn instances(answers: &[Answer]) -> usize {
    let id = |answer: &Answer| Uuid::parse_str(answer.header("x-request-id")).expect("an id").as_u128();
    let ids: Vec<_> = answers.iter().map(id).collect();
    1 + ids.windows(2).filter(|pair| pair[1] != pair[0].wrapping_add(1)).count()
}

#[test]
fn a_new_instance_for_each_request_answers_the_same() {
    run(async {
        let fresh = Stage::builder().without_reuse().build().await;
        let reused = Stage::builder().build().await;
        let (mut by_fresh, mut by_reused) = (Vec::new(), Vec::new());
        for body in [
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }),
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "prompt_examples" } }),
            json!({ "jsonrpc": "2.0", "id": 1, "method": "prompts/list" }),
        ] {
            for _ in 0..3 {
                by_fresh.push(fresh.post("/mcp", &body).await);
                by_reused.push(reused.post("/mcp", &body).await);
            }
        }
        for (one, other) in by_fresh.iter().zip(&by_reused) {
            assert_eq!(one.text(), other.text());
        }
        assert_eq!(instances(&by_fresh), 9);
        assert_eq!(instances(&by_reused), if Subject::Wasi02.is_tested() { 9 } else { 1 });
    });
}

#[test]
fn an_open_server_says_so_in_the_line_of_each_call() {
    run(async {
        each_row([(false, Some("open")), (true, None)], async |(has_key, access)| {
            let builder = Stage::builder();
            let builder = if has_key { builder.with_key() } else { builder };
            let stage = builder.build().await;
            let answer = stage.get_with_key("/mcp/tools").await;
            let line = stage.log_of(&answer).await;
            assert_eq!(line.get("access").and_then(|access| access.as_str()), access, "{line}");
        })
        .await;
    });
}
