//! `planexe-local stdio`: the component over lines of text, in this process and behind a bridge.

use serde_json::{Value, json};

use crate::support::{
    Stage, run,
    stdio::{Client, Plans, check_saved, modern},
};

/// A line, and parts of the answer to it by their paths; none for no answer at all.
type Case = (&'static [u8], &'static [(&'static str, &'static str)]);

#[test]
fn lines_are_answered_as_messages() {
    const CASES: &[Case] = &[
        (b"nonsense", &[("/id", "null"), ("/error/code", "-32700")]),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":1,",
            &[("/id", "null"), ("/error/code", "-32700")],
        ),
        (b"\"\xff\"", &[("/id", "null"), ("/error/code", "-32700")]),
        (b"7", &[("/id", "null"), ("/error/code", "-32600")]),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}",
            &[("/id", "null"), ("/error/code", "-32600")],
        ),
        (
            b"{\"jsonrpc\":\"1.0\",\"id\":3,\"method\":\"ping\"}",
            &[("/id", "3"), ("/error/code", "-32600")],
        ),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"ping\"}\r",
            &[("/id", "0"), ("/result", "{}")],
        ),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":\"7\",\"method\":\"ping\"}",
            &[("/id", "\"7\""), ("/result", "{}")],
        ),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"server/discover\"}",
            &[("/error/code", "-32601")],
        ),
        (b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}", &[]),
        (b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/unknown\"}", &[]),
        (
            b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":99}}",
            &[],
        ),
        (b"{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{}}", &[]),
        (b"  ", &[]),
        (b"[]", &[("/id", "null"), ("/error/code", "-32600")]),
        (
            b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"},{\"jsonrpc\":\"2.0\",\"method\":\"x\"},\
              {\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\"}]",
            &[
                ("/0/id", "1"),
                ("/1/id", "2"),
                ("/1/result/tools/5/name", "\"task_download\""),
            ],
        ),
        (b"[{\"jsonrpc\":\"2.0\",\"method\":\"x\"}]", &[]),
        (
            b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\"}]",
            &[("/id", "null"), ("/error/code", "-32600")],
        ),
    ];
    run(async {
        let stage = Stage::builder().build().await;
        let mut client = Client::here(&stage, &[]).await;
        for (line, expected) in CASES {
            client.send(line).await;
            let text = String::from_utf8_lossy(line);
            if expected.is_empty() {
                // The next answer is the answer to the next request.
                client
                    .send(b"{\"jsonrpc\":\"2.0\",\"id\":\"next\",\"method\":\"ping\"}")
                    .await;
                assert_eq!(client.next().await["id"], "next", "{text}");
                continue;
            }
            let answer = client.next().await;
            for (path, value) in *expected {
                let value: Value = serde_json::from_str(value).expect("JSON");
                assert_eq!(answer.pointer(path), Some(&value), "{text} {path} {answer}");
            }
        }
        let mut long = vec![b' '; 4 << 20];
        long.extend_from_slice(b"{}");
        client.send(&long).await;
        assert_eq!(client.next().await["error"]["code"], -32600);
        // An id comes back digit by digit, which a parsed number would not.
        client
            .send(b"{\"jsonrpc\":\"2.0\",\"id\":123456789012345678901234567890,\"method\":\"tools/list\"}")
            .await;
        let line = client.output.next_line().await.expect("an output").expect("a line");
        assert!(line.contains("\"id\":123456789012345678901234567890,"), "{line:.100}");
        assert!(client.end().await.is_empty());
    });
}

#[test]
fn both_lifecycles_have_the_tool_and_are_told_of_it() {
    run(async {
        let stage = Stage::builder().build().await;
        let mut client = Client::here(&stage, &[]).await;
        let initialize = json!({ "protocolVersion": "2025-11-25", "capabilities": {} });
        let (hello, _) = client.ask("initialize", initialize).await;
        assert_eq!(hello["result"]["protocolVersion"], "2025-11-25");
        let (legacy, _) = client.ask("tools/list", json!({})).await;
        let (discovered, _) = client.ask("server/discover", modern(json!({}))).await;
        assert_eq!(discovered["result"]["resultType"], "complete");
        for words in [&hello["result"]["instructions"], &discovered["result"]["instructions"]] {
            assert!(
                words.as_str().is_some_and(|words| words.contains("task_download")),
                "{words}"
            );
        }
        let (newest, _) = client.ask("tools/list", modern(json!({}))).await;
        assert!(newest["result"]["ttlMs"].is_number());
        assert_eq!(legacy["result"]["tools"], newest["result"]["tools"]);
        let tools = legacy["result"]["tools"].as_array().expect("tools");
        assert_eq!(tools.len(), 6);
        insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_json_snapshot!("task_download", tools[5]);
        });
        // Batches belong to one revision only, which is not that of this handshake.
        client
            .send(b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]")
            .await;
        assert_eq!(client.next().await["error"]["code"], -32600);
        let name = json!({ "name": "task_download", "arguments": {} });
        let (answer, _) = client.ask("tools/call", modern(name)).await;
        assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
        assert_eq!(
            answer["result"]["structuredContent"]["error"]["code"],
            "INVALID_ARGUMENT"
        );
        let (answer, _) = client.ask("prompts/get", modern(json!({ "name": "é" }))).await;
        assert_eq!(answer["error"]["code"], -32602, "the header is encoded: {answer}");
        client.end().await;
    });
}

#[test]
fn the_end_of_the_input_waits_for_answers() {
    run(async {
        let stage = Stage::builder().build().await;
        let mut client = Client::here(&stage, &[]).await;
        for id in 0..40 {
            let call = json!({
                "jsonrpc": "2.0", "id": id, "method": "tools/call",
                "params": { "name": "task_create", "arguments": { "prompt": format!("plan {id}") } }
            });
            client.send(call.to_string().as_bytes()).await;
        }
        let answers = client.end().await;
        let mut ids: Vec<i64> = answers
            .iter()
            .map(|line| {
                serde_json::from_str::<Value>(line).expect("JSON")["id"]
                    .as_i64()
                    .expect("an id")
            })
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..40).collect::<Vec<_>>());
        let count = stage.value("SELECT count(*)::text FROM task_item", &[]).await;
        assert_eq!(count.as_deref(), Some("40"));
    });
}

#[test]
fn a_component_that_cannot_be_started_says_so_in_every_answer() {
    run(async {
        let mut client = Client::start(None, &[("SQLALCHEMY_DATABASE_URI", "mysql://h/d")]);
        let (answer, _) = client.ask("initialize", json!({})).await;
        let words = answer["error"]["message"].as_str().expect("words");
        assert!(
            words.contains("SQLALCHEMY_DATABASE_URI is no postgresql:// address"),
            "{words}"
        );
        let (answer, _) = client.ask("tools/call", json!({ "name": "task_status" })).await;
        assert_eq!(answer["result"]["structuredContent"]["error"]["code"], "NOT_STARTED");
        client.end().await;
    });
}

#[test]
fn a_bridge_to_a_server_with_a_key() {
    run(async {
        let stage = Stage::builder().with_key().working().build().await;
        let url = format!("http://{}/mcp", stage.address());
        let plans = Plans::new("bridge");

        for (key, at_first, at_a_call) in [
            (None, Value::Null, "API_KEY_MISSING"),
            (Some("wrong"), json!("API_KEY_REFUSED"), "API_KEY_REFUSED"),
        ] {
            let variables: Vec<_> = key.into_iter().map(|key| ("PLANEXE_MCP_API_KEY", key)).collect();
            let mut client = Client::to(&url, &variables);
            let (answer, _) = client
                .ask("initialize", json!({ "protocolVersion": "2025-11-25" }))
                .await;
            assert_eq!(answer["error"]["data"]["code"], at_first, "{answer}");
            let answer = client.tool("task_status", json!({ "task_id": "x" })).await;
            assert_eq!(answer["error"]["code"], at_a_call, "{answer}");
            client.end().await;
        }

        let variables = [("PLANEXE_MCP_API_KEY", "secret"), ("PLANEXE_PATH", plans.path())];
        let mut client = Client::to(&url, &variables);
        let initialize = json!({ "protocolVersion": "2025-06-18", "capabilities": {} });
        let (hello, _) = client.ask("initialize", initialize).await;
        assert_eq!(hello["result"]["protocolVersion"], "2025-06-18");
        client
            .send(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}")
            .await;
        let (tools, _) = client.ask("tools/list", modern(json!({}))).await;
        assert_eq!(tools["result"]["tools"].as_array().map(Vec::len), Some(6));
        let created = client.tool("task_create", json!({ "prompt": "Open a bakery" })).await;
        let saved = client
            .tool(
                "task_download",
                json!({ "task_id": created["task_id"], "wait_seconds": 60 }),
            )
            .await;
        check_saved(&saved);
        let requests = stage.value("SELECT count(*)::text FROM task_item", &[]).await;
        assert_eq!(requests.as_deref(), Some("1"));

        stage.process.kill();
        let lost = client
            .tool("task_status", json!({ "task_id": created["task_id"] }))
            .await;
        assert_eq!(lost["error"]["code"], "SERVER_UNREACHABLE");
        let (lost, _) = client.ask("ping", json!({})).await;
        assert_eq!(lost["error"]["data"]["code"], "SERVER_UNREACHABLE");
        client.end().await;
    });
}
