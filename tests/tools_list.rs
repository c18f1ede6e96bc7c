//! The tools as clients see them.

use serde_json::{Value, json};

use crate::support::{Stage, project, run};

#[test]
fn the_server_lists_what_the_code_says() {
    run(async {
        // tests/generated/tools.rs compares this file with the types of the tools.
        let listed = std::fs::read_to_string(project().join("src/tools/list.json")).expect("a readable file");
        let listed: Value = serde_json::from_str(&listed).expect("JSON");
        let stage = Stage::builder().build().await;
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
        let answer = stage.post("/mcp", &body).await.json();
        assert_eq!(answer["result"]["tools"], listed);
        assert_eq!(stage.get("/mcp/tools").await.json(), json!({ "tools": listed }));
    });
}
