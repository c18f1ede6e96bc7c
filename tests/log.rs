//! The log: a line for each request with what an operator needs, and no secret.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::support::{Stage, each_row, request, run, tool_call};

/// The lines of the log, which are so many.
async fn lines(stage: &Stage, count: usize) -> Vec<Value> {
    let lines = stage.log_lines(count).await;
    assert_eq!(lines.len(), count, "{}", stage.log());
    lines
}

#[test]
fn a_line_tells_what_happened() {
    run(async {
        let stage = Stage::builder().with_key().working().build().await;
        let id = stage.create("Open a bakery").await;
        stage.wait_for(&id, &["completed"]).await;
        let body = json!({ "tool": "task_status", "arguments": { "task_id": id } }).to_string();
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let headers = [
            ("content-type", "application/json"),
            ("authorization", "Bearer secret"),
            ("traceparent", trace),
        ];
        let answer = stage
            .send(request(Method::POST, "/mcp/tools/call/", &headers, body.into()))
            .await;
        assert_eq!(answer.header("x-request-id"), "4bf92f3577b34da6a3ce929d0e0e4736");
        let answer = stage
            .send(request(
                Method::GET,
                "/nothing/here?x=1",
                &[("x-request-id", "call-7")],
                Bytes::new(),
            ))
            .await;
        assert_eq!(answer.header("x-request-id"), "call-7");
        let download = format!("/download/{id}/run.zip");
        let size = stage.get_with_key(&download).await.bytes().len();
        let lines = lines(&stage, 4).await;
        // The first statement of an instance may learn that the table has its new name.
        let statements = if stage.schema().has_plans() { 2 } else { 1 };
        for (line, expected) in lines.iter().zip([
            json!({ "level": "info", "method": "POST", "route": "/mcp", "rpc": "tools/call", "tool": "task_create",
                "outcome": "ok", "status": 200, "statements": statements, "key": "2bb80d53" }),
            json!({ "route": "/mcp/tools/call", "tool": "task_status", "outcome": "ok", "status": 200,
                "request_id": "4bf92f3577b34da6a3ce929d0e0e4736", "key": "2bb80d53" }),
            json!({ "method": "GET", "route": "unknown", "outcome": "NO_SUCH_ROUTE", "status": 404, "statements": 0,
                "request_id": "call-7" }),
            json!({ "route": "/download/{task_id}/{file}", "outcome": "ok", "status": 200, "sent_bytes": size }),
        ]) {
            for (name, value) in expected.as_object().expect("an object") {
                assert_eq!(&line[name], value, "{name}: {line}");
            }
            let parts = line["database_ms"].as_f64().expect("ms") + line["worker_ms"].as_f64().expect("ms");
            assert!(line["ms"].as_f64().expect("ms") >= parts - 0.2, "{line}");
            assert_eq!(line["time"].as_str().map(str::len), Some(24), "{line}");
        }
        assert!(lines[2].get("key").is_none());
    });
}

#[test]
fn a_fault_has_its_cause_in_the_line_of_the_request() {
    run(async {
        let stage = Stage::builder().set("PLANEXE_POSTGRES_PORT", "1").build().await;
        stage
            .tool(
                "task_status",
                json!({ "task_id": "5e2b2a7c-8b49-4d2f-9b8f-6a3c1f05b9a1" }),
            )
            .await;
        let line = &lines(&stage, 1).await[0];
        assert_eq!(
            (&line["level"], &line["outcome"]),
            (&json!("error"), &json!("DATABASE_UNAVAILABLE"))
        );
        assert!(
            line["causes"][0]
                .as_str()
                .is_some_and(|cause| cause.starts_with("database unavailable: ")),
            "{line}"
        );
    });
}

#[test]
fn no_secret_and_no_prompt_is_ever_in_the_log() {
    run(async {
        let operator = "OPERATORSECRET0123456789";
        let builder = Stage::builder()
            .set("PLANEXE_MCP_API_KEY", operator)
            .set("PLANEXE_MCP_REQUIRE_USER_KEY", "true")
            .set("PLANEXE_MCP_DOWNLOAD_SECRET", "LINKSECRET0123456789")
            .set("PLANEXE_API_KEY_SECRET", "dev-api-key-secret")
            .working();
        let stage = builder.build().await;
        let user = stage.user("USERSECRET0123456789", 50).await;
        let prompt = "PROMPTTEXT \u{202e}\r\n{\"level\":\"error\"} [31m";
        let created = stage
            .tool_as(
                &user.key,
                "task_create",
                json!({ "prompt": prompt, "client_request_id": "REQUESTTEXT" }),
            )
            .await;
        let id = created["task_id"].as_str().expect("an id").to_owned();
        stage.wait_for(&id, &["completed"]).await;
        let info = stage
            .tool_as(&user.key, "task_file_info", json!({ "task_id": id }))
            .await;
        let link = info["download_url"]
            .as_str()
            .and_then(|url| url.split_once("3000"))
            .expect("a link")
            .1
            .to_owned();
        let mut requests = vec![
            request(Method::GET, &link, &[], Bytes::new()),
            request(Method::GET, &format!("{link}0"), &[], Bytes::new()),
            request(
                Method::GET,
                &format!("/mcp/tools?api_key={operator}"),
                &[],
                Bytes::new(),
            ),
            request(Method::GET, &format!("/{operator}/PROMPTTEXT"), &[], Bytes::new()),
            request(
                Method::GET,
                "/mcp/tools",
                &[("x-request-id", operator), ("x-api-key", operator)],
                Bytes::new(),
            ),
            request(
                Method::GET,
                "/mcp/tools",
                &[("authorization", "Basic OPERATORSECRET0123456789")],
                Bytes::new(),
            ),
            request(
                Method::from_bytes(b"PROMPTTEXT").expect("a method"),
                "/mcp",
                &[],
                Bytes::new(),
            ),
            request(
                Method::GET,
                "/mcp/tools",
                &[("origin", "http://PROMPTTEXT")],
                Bytes::new(),
            ),
        ];
        for key in [operator, user.key.as_str(), "WRONGSECRET0123456789"] {
            for (tool, arguments) in [
                ("task_create", json!({ "prompt": prompt })),
                ("task_create", json!({ "prompt": prompt, "user_api_key": user.key })),
                (
                    "task_create",
                    json!({ "prompt": prompt, "user_api_key": "WRONGSECRET0123456789" }),
                ),
                (
                    "task_create",
                    json!({ "prompt": prompt, "speed_vs_detail": "PROMPTTEXT" }),
                ),
                ("task_create", json!({ "PROMPTTEXT": prompt })),
                ("task_status", json!({ "task_id": "PROMPTTEXT" })),
                ("task_status", json!({ "task_id": id })),
                ("PROMPTTEXT\n{}", json!({})),
            ] {
                requests.push(tool_call(key, tool, &arguments));
            }
            let headers = [
                ("content-type", "application/json"),
                ("x-api-key", key),
                ("mcp-protocol-version", "PROMPTTEXT"),
            ];
            for body in [
                r#"{"jsonrpc":"2.0","id":"PROMPTTEXT","method":"PROMPTTEXT"}"#,
                r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":"PROMPTTEXT"}"#,
                r#"{"PROMPTTEXT"#,
                r#"[{"PROMPTTEXT":1}]"#,
            ] {
                requests.push(request(Method::POST, "/mcp", &headers, body.into()));
                requests.push(request(Method::POST, "/mcp/tools/call", &headers, body.into()));
            }
        }
        let count = requests.len() + 2;
        for request in requests {
            let answer = stage.send(request).await;
            assert!(answer.status() < 500, "{}", answer.text());
        }
        // Statements that Postgres rejects: its own words may repeat values.
        stage
            .execute(
                "ALTER TABLE events ADD CONSTRAINT refuse CHECK (message = 'no') NOT VALID",
                &[],
            )
            .await
            .to_string();
        let answer = stage
            .tool_as(&user.key, "task_create", json!({ "prompt": prompt }))
            .await;
        assert_eq!(answer["error"]["code"], "INTERNAL_ERROR");
        lines(&stage, count + 1).await;
        let log = stage.log().to_lowercase();
        let signature = link.split_once("signature=").expect("a signature").1;
        each_row(
            [
                "operatorsecret",
                "usersecret",
                "linksecret",
                "wrongsecret",
                "prompttext",
                "requesttext",
                "planexe:planexe",
                signature,
                "expires=",
                &id,
            ],
            async |text| {
                assert!(!log.contains(&text.to_lowercase()), "{text}");
            },
        )
        .await;
    });
}
