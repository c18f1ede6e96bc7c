//! Resources: what `resources/read` returns of a plan's files.

use base64ct::{Base64, Encoding as _};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::{
    download_entries::noise,
    support::{
        Stage, each_row, request, run,
        zips::{archive, deflated},
    },
};

/// Reads a resource in a revision; the whole answer.
async fn read(stage: &Stage, version: &str, uri: &str) -> Value {
    let mut params = json!({ "uri": uri });
    let mut headers = vec![
        ("content-type", "application/json"),
        ("x-api-key", "secret"),
        ("mcp-protocol-version", version),
    ];
    if version == "2026-07-28" {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        headers.extend([("mcp-method", "resources/read"), ("mcp-name", uri)]);
    }
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": params });
    let answer = stage
        .send(request(Method::POST, "/mcp", &headers, Bytes::from(body.to_string())))
        .await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json()
}

#[test]
fn text_comes_as_text_and_all_else_as_base64() {
    run(async {
        let stage = Stage::builder().with_key().build().await;
        let id = stage.create("p").await;
        let binary = noise(3000);
        stage
            .complete_with_zip(&archive(&[
                deflated("a b.md", "# Über".as_bytes()),
                deflated("x.bin", &binary),
                deflated("latin1.txt", b"\xDCber"),
                deflated("bytes.bin", b"plain"),
            ]))
            .await;
        stage
            .execute("UPDATE task_item SET generated_report_html = '<h1>Plan</h1>'", &[])
            .await;
        each_row(
            [
                (
                    "030-report.html",
                    "text/html; charset=utf-8",
                    13,
                    json!({ "text": "<h1>Plan</h1>" }),
                ),
                (
                    "a%20b.md",
                    "text/markdown; charset=utf-8",
                    7,
                    json!({ "text": "# Über" }),
                ),
                (
                    "x.bin",
                    "application/octet-stream",
                    3000,
                    json!({ "blob": Base64::encode_string(&binary) }),
                ),
                (
                    "latin1.txt",
                    "text/plain; charset=utf-8",
                    4,
                    json!({ "blob": "3GJlcg==" }),
                ),
                (
                    "bytes.bin",
                    "application/octet-stream",
                    5,
                    json!({ "blob": "cGxhaW4=" }),
                ),
            ],
            async |(file, mime_type, size, body)| {
                let uri = format!("planexe://task/{id}/{file}");
                let mut expected = json!({ "uri": uri, "mimeType": mime_type, "size": size });
                expected
                    .as_object_mut()
                    .expect("an object")
                    .extend(body.as_object().expect("an object").clone());
                let legacy = read(&stage, "2025-11-25", &uri).await;
                assert_eq!(legacy["result"], json!({ "contents": [expected] }));
                let modern = read(&stage, "2026-07-28", &uri).await;
                assert_eq!(modern["result"]["contents"], json!([expected]));
                assert_eq!(modern["result"]["cacheScope"], "private");
                assert_eq!(modern["result"]["ttlMs"], 3_600_000);
                assert_eq!(modern["result"]["resultType"], "complete");
            },
        )
        .await;
    });
}

#[test]
fn a_large_file_is_named_by_a_link_that_works() {
    run(async {
        let stage = Stage::builder().with_key().build().await;
        let id = stage.create("p").await;
        let large = noise((1 << 20) + 1);
        stage
            .complete_with_zip(&archive(&[
                deflated("a/large ü.json", &large),
                deflated("fits.json", &vec![b' '; 1 << 20]),
                deflated("b.md", b""),
            ]))
            .await;
        each_row(["2025-11-25", "2026-07-28"], async |version| {
            let fits = read(&stage, version, &format!("planexe://task/{id}/fits.json")).await;
            assert_eq!(fits["result"]["contents"][0]["size"], 1 << 20);
            let uri = format!("planexe://task/{id}/a%2Flarge%20%C3%BC.json");
            let error = read(&stage, version, &uri).await["error"].clone();
            assert_eq!(error["code"], -32602, "{error}");
            assert_eq!(error["data"]["uri"], uri);
            assert_eq!(error["data"]["size"], large.len());
            assert!(
                error["data"]["expires_at"]
                    .as_str()
                    .is_some_and(|time| time.ends_with('Z'))
            );
            let url = error["data"]["download_url"].as_str().expect("a link");
            assert!(error["message"].as_str().is_some_and(|message| message.ends_with(url)));
            let path = url
                .strip_prefix("http://test.local:3000")
                .expect("the request's origin");
            let file = stage.get(path).await;
            assert_eq!(file.status(), 200, "{path}");
            assert!(*file.bytes() == large, "other bytes");
        })
        .await;
    });
}

#[test]
fn what_is_not_there_yet_is_not_found_with_its_state() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        stage
            .execute("UPDATE task_item SET progress_percentage = 12.5", &[])
            .await;
        let uri = format!("planexe://task/{id}/030-report.html");
        each_row(
            [("2025-11-25", -32002), ("2026-07-28", -32602)],
            async |(version, code)| {
                let error = read(&stage, version, &uri).await["error"].clone();
                assert_eq!(error["code"], code, "{error}");
                let data = json!({ "uri": uri, "state": "pending", "progress_percentage": 12.5 });
                assert_eq!(error["data"], data);
            },
        )
        .await;
        stage.execute("UPDATE task_item SET state = 'processing'", &[]).await;
        stage.worker.add_files(&id, [("001-2-plan.txt", "the prompt")]);
        let uri = format!("planexe://task/{id}/001-2-plan.txt");
        let modern = read(&stage, "2026-07-28", &uri).await["result"].clone();
        assert_eq!(modern["contents"][0]["text"], "the prompt", "{modern}");
        assert_eq!(modern["ttlMs"], 0, "a file of a running task may change");
    });
}

#[test]
fn a_small_batch_has_no_large_answer() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        // A control character takes six bytes in JSON.
        for (character, whole, statements) in [("x", 7, 45), ("\u{1}", 1, 15)] {
            let report = "UPDATE task_item SET state = 'completed', generated_report_html = repeat($1, 1048576)";
            stage.execute(report, &[&character]).await;
            let read = |number: usize| {
                let params = json!({ "uri": format!("planexe://task/{id}/030-report.html") });
                json!({ "jsonrpc": "2.0", "id": number, "method": "resources/read", "params": params })
            };
            let create = json!({ "jsonrpc": "2.0", "id": "create", "method": "tools/call",
                "params": { "name": "task_create", "arguments": { "prompt": "too late" } } });
            let messages: Vec<_> = (0..49).map(read).chain([create]).collect();
            let answer = stage.post("/mcp", &Value::from(messages)).await;
            let size = answer.bytes().len();
            assert!(size < 8_000_000 + 50 * 250, "{size} bytes");
            let answers = answer.json();
            let answers = answers.as_array().expect("a list");
            assert_eq!(answers.len(), 50);
            let (results, errors) = answers.split_at(whole);
            assert!(results.iter().all(|answer| answer["result"].is_object()));
            for error in errors {
                assert_eq!(error["error"]["code"], -32600, "{}", error["id"]);
                let message = error["error"]["message"].as_str().expect("a message");
                assert!(message.contains("8 MB"), "{message}");
            }
            let log = stage.log_of(&answer).await;
            assert!(log["statements"].as_u64().expect("a number") <= statements, "{log}");
        }
        assert_eq!(stage.count("task_item").await, 1, "what has no room is not done");
    });
}
