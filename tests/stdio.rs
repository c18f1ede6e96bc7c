//! `planexe-local stdio` as a client starts it: a process with an input and an output.

use serde_json::{Value, json};

use crate::support::{
    Stage, json_file, listed_tools, run,
    stdio::{Client, Plans, check_saved, content, modern, program},
};

#[test]
fn both_lifecycles_have_the_tool_and_are_told_of_it() {
    run(async {
        let stage = Stage::builder().build().await;
        let mut legacy = Client::here(&stage, &[]).await;
        let hello = legacy.initialize("2025-06-18").await;
        assert_eq!(hello["result"]["protocolVersion"], "2025-06-18");
        assert_eq!(hello["result"]["serverInfo"]["name"], "planexe-mcp-server");
        let mut newest = Client::here(&stage, &[]).await;
        let (discovered, _) = newest.ask("server/discover", modern(json!({}))).await;
        assert_eq!(discovered["result"]["resultType"], "complete");
        for answer in [&hello, &discovered] {
            let words = answer["result"]["instructions"].as_str().expect("words");
            assert!(
                words.contains("prompt_examples") && words.contains("task_download"),
                "{words}"
            );
        }

        let (of_legacy, _) = legacy.ask("tools/list", json!({})).await;
        let (of_newest, _) = newest.ask("tools/list", modern(json!({}))).await;
        assert!(of_newest["result"]["ttlMs"].is_number());
        assert_eq!(of_newest["result"]["resultType"], "complete");
        assert_eq!(of_legacy["result"].get("resultType"), None);
        assert_eq!(of_legacy["result"]["tools"], of_newest["result"]["tools"]);
        let tools = of_legacy["result"]["tools"].as_array().expect("tools");
        let mut download = json_file("local/src/stdio/task_download.json");
        download["icons"] = tools[0]["icons"].clone();
        let mut expected = listed_tools();
        expected.push(download);
        assert_eq!(tools, &expected);

        let (answer, _) = newest
            .ask("tools/call", modern(json!({ "name": "task_download" })))
            .await;
        assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
        assert_eq!(content(&answer)["error"]["code"], "INVALID_ARGUMENT");
        let (answer, _) = newest.ask("prompts/get", modern(json!({ "name": "é" }))).await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
        let goal = json!({ "name": "plan_project", "arguments": { "goal": "Open a bakery" } });
        let (answer, _) = legacy.ask("prompts/get", goal).await;
        assert!(
            answer["result"]["messages"][0]["content"]["text"]
                .as_str()
                .expect("text")
                .contains("bakery")
        );
        for client in [legacy, newest] {
            assert_eq!(client.end().await, (vec![], true));
        }
    });
}

#[test]
fn a_line_that_is_not_a_message_does_not_end_the_conversation() {
    run(async {
        let stage = Stage::builder().build().await;
        let mut client = Client::here(&stage, &[]).await;
        client.initialize("2025-11-25").await;
        client.send("nonsense").await;
        let (pong, _) = client.ask("ping", json!({})).await;
        assert_eq!(pong["result"], json!({}));
        assert_eq!(client.end().await, (vec![], true));
    });
}

#[test]
fn the_end_of_the_input_waits_for_answers() {
    run(async {
        let stage = Stage::builder().build().await;
        let mut client = Client::here(&stage, &[]).await;
        for id in 0..40 {
            let call = json!({ "name": "task_create", "arguments": { "prompt": format!("plan {id}") } });
            let call = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": modern(call) });
            client.send(&call.to_string()).await;
        }
        let (answers, _) = client.end().await;
        let id = |line: &String| {
            serde_json::from_str::<Value>(line).expect("JSON")["id"]
                .as_i64()
                .expect("an id")
        };
        let mut ids: Vec<i64> = answers.iter().map(id).collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..40).collect::<Vec<_>>());
        assert_eq!(stage.count("task_item").await, 40);
    });
}

#[test]
fn a_signal_ends_the_process() {
    run(async {
        let stage = Stage::builder().build().await;
        let mut client = Client::here(&stage, &[]).await;
        client.initialize("2025-11-25").await;
        let id = client.process.id().expect("a process").to_string();
        let killed = std::process::Command::new("kill").arg(id).status().expect("kill");
        assert!(killed.success());
        assert!(client.process.wait().await.expect("an end").success());
    });
}

#[test]
fn a_server_that_cannot_be_started_is_told_in_every_answer() {
    run(async {
        let variables = [("SQLALCHEMY_DATABASE_URI", "mysql://h/d")];
        let mut client = Client::start(&[], &variables);
        let failed = client.tool("task_status", json!({})).await;
        assert_eq!(failed["error"]["code"], "NOT_STARTED");
        let words = failed["error"]["message"].as_str().expect("words");
        assert!(
            words.contains("SQLALCHEMY_DATABASE_URI is no postgresql:// address"),
            "{words}"
        );
        client.end().await;

        let mut client = Client::start(&[], &variables);
        let answer = client.initialize("2025-11-25").await;
        assert_eq!(answer["error"]["data"]["code"], "NOT_STARTED");
        assert_eq!(answer["error"]["message"], words);
        assert_eq!(client.end().await, (vec![], false));
    });
}

#[test]
fn an_address_or_a_key_that_cannot_be_used_is_told_at_once() {
    run(async {
        for (url, key, words) in [
            (
                "example.org",
                "k",
                "is not the address of a server: give one such as https://example.org/mcp",
            ),
            (
                "https://u:p@example.org",
                "k",
                "give the key in PLANEXE_MCP_API_KEY instead",
            ),
            ("https://example.org", "a\nb", "copy it again"),
        ] {
            let mut command = program("stdio", &[("PLANEXE_MCP_API_KEY", key)]);
            let output = command.args(["--url", url]).output().await.expect("a process");
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && output.stdout.is_empty(), "{url}");
            assert!(told.contains(words), "{told}");
        }
    });
}

#[test]
fn a_bridge_to_a_server_with_a_key() {
    run(async {
        let stage = Stage::builder().with_key().working().build().await;
        let url = format!("http://{}", stage.address());
        let plans = Plans::new("bridge");

        let mut client = Client::to(&url, &[]);
        assert_eq!(client.initialize("2025-11-25").await["error"], Value::Null);
        let (answer, _) = client.ask("tools/call", json!({ "name": "task_status" })).await;
        assert_eq!(content(&answer)["error"]["code"], "API_KEY_MISSING");
        client.end().await;
        let mut client = Client::to(&url, &[("PLANEXE_MCP_API_KEY", "wrong")]);
        assert_eq!(
            client.tool("task_status", json!({})).await["error"]["code"],
            "API_KEY_REFUSED"
        );
        let answer = client.initialize("2025-11-25").await;
        assert_eq!(answer["error"]["data"]["code"], "API_KEY_REFUSED", "{answer}");
        client.end().await;

        let variables = [("PLANEXE_MCP_API_KEY", " secret "), ("PLANEXE_PATH", plans.path())];
        let mut client = Client::to(&format!("{url}/mcp/"), &variables);
        let created = client.tool("task_create", json!({ "prompt": "Open a bakery" })).await;
        let wait = json!({ "task_id": created["task_id"], "wait_seconds": 60 });
        check_saved(&client.tool("task_download", wait).await);

        stage.process.kill();
        let lost = client
            .tool("task_status", json!({ "task_id": created["task_id"] }))
            .await;
        assert_eq!(lost["error"]["code"], "SERVER_UNREACHABLE");
        let (lost, _) = client.ask("prompts/list", modern(json!({}))).await;
        assert_eq!(lost["error"]["data"]["code"], "SERVER_UNREACHABLE");
        client.end().await;
    });
}

#[test]
fn the_same_call_made_twice_is_two_requests() {
    run(async {
        let stage = Stage::builder().build().await;
        let mut client = Client::here(&stage, &[("PLANEXE_MCP_REPEAT_WINDOW_SECONDS", "180")]).await;
        let prompt = json!({ "prompt": "Open a bakery" });
        let first = client.tool("task_create", prompt.clone()).await;
        client.tool("task_stop", json!({ "task_id": first["task_id"] })).await;
        let second = client.tool("task_create", prompt).await;
        assert!(second["task_id"].is_string(), "{second}");
        assert_ne!(first["task_id"], second["task_id"]);
        // The client's own id counts.
        let named = json!({ "prompt": "Open a café", "client_request_id": "c-1" });
        let first = client.tool("task_create", named.clone()).await;
        let again = client.tool("task_create", named).await;
        assert_eq!(
            (&first["task_id"], &json!(true)),
            (&again["task_id"], &again["repeated"])
        );
        client.end().await;
    });
}
