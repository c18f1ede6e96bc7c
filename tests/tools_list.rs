//! The tools as clients see them.

use serde_json::json;

use crate::support::{Stage, listed_tools, run};

#[test]
fn the_server_lists_what_the_code_says() {
    run(async {
        let listed = json!(listed_tools());
        let stage = Stage::builder().build().await;
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
        let answer = stage.post("/mcp", &body).await.json();
        assert_eq!(answer["result"]["tools"], listed);
        assert_eq!(stage.get("/mcp/tools").await.json(), json!({ "tools": listed }));
    });
}
