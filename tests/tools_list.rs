//! The tools as clients see them.

use planexe_mcp::tools::{ALL, Family, Tool};
use serde_json::{Value, json};

use crate::support::{Stage, project, run};

#[test]
fn the_server_lists_what_the_code_says() {
    run(async {
        // tests/generated/tools.rs compares these files with the types of the tools.
        let read = |tool: &Tool| {
            let file = project().join(format!("src/tools/list/{}.json", tool.name));
            serde_json::from_str(&std::fs::read_to_string(file).expect("a readable file")).expect("JSON")
        };
        let listed: Vec<Value> = ALL
            .iter()
            .filter(|tool| tool.family == Family::Task)
            .map(read)
            .collect();
        let listed = Value::from(listed);
        let stage = Stage::builder().build().await;
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
        let answer = stage.post("/mcp", &body).await.json();
        assert_eq!(answer["result"]["tools"], listed);
        assert_eq!(stage.get("/mcp/tools").await.json(), json!({ "tools": listed }));
    });
}
