//! The version is that of Cargo.toml wherever it is said. What no server says is compared by scripts/lib/version.py.

use serde_json::{Value, json};

use crate::support::{Stage, each_row, run};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Every place that says it: what is asked, and where in the answer it stands. A further one is one line here.
fn places() -> [(&'static str, Option<Value>, &'static str); 4] {
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}
    }});
    [
        ("/", None, "/version"),
        ("/healthcheck", None, "/version"),
        ("/openapi.json", None, "/info/version"),
        ("/mcp", Some(initialize), "/result/serverInfo/version"),
    ]
}

#[test]
fn it_is_the_same_everywhere() {
    run(async {
        let stage = Stage::builder().build().await;
        each_row(places(), async |(path, body, pointer)| {
            let reply = match body {
                Some(body) => stage.post(path, &body).await,
                None => stage.get(path).await,
            };
            let answer = reply.json();
            assert_eq!(answer.pointer(pointer), Some(&json!(VERSION)), "{path}: {answer}");
        })
        .await;
    });
}
