//! The tools as clients see them: one snapshot for each.

use serde_json::json;

use crate::support::{Stage, run};

#[test]
fn each_tool_is_as_its_snapshot() {
    run(async {
        let stage = Stage::builder().build().await;
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
        let tools = stage.post("/mcp", &body).await.json()["result"]["tools"].clone();
        assert_eq!(
            stage.get("/mcp/tools").await.json(),
            json!({ "tools": tools }),
            "both routes show the same"
        );
        let mut names = Vec::new();
        for tool in tools.as_array().expect("tools") {
            let name = tool["name"].as_str().expect("a name").to_owned();
            insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_json_snapshot!(name.clone(), tool);
            });
            names.push(name);
        }
        // Clients refuse results that lack a required member.
        let status = &tools[2]["outputSchema"]["properties"];
        assert_eq!(status["files"]["items"]["required"], json!(["path"]));
        assert_eq!(status["timing"].get("required"), None);
        assert_eq!(
            names,
            [
                "prompt_examples",
                "task_create",
                "task_status",
                "task_stop",
                "task_file_info"
            ]
        );
    });
}
