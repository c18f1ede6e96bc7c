//! Hostile or broken input: every request gets a valid answer, and the database stays consistent.

use std::{
    collections::BTreeSet,
    io,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::join_all;
use http::Method;
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{ANSWERED, Stage, each_row, request, run, tool_call};

/// What is sent at once of a large body.
static PIECE: [u8; 64 * 1024] = [b' '; 64 * 1024];

const HOSTILE_TEXTS: [&str; 14] = [
    "'; DROP TABLE task_item; --",
    "' OR '1'='1",
    "\\'; SELECT pg_sleep(10); --",
    "$1 $2::text $tag$ $$",
    "{{ mcp_api_key }}",
    "%00%27%22",
    "\u{202e}\u{feff}\u{200b}",
    "\r\nSet-Cookie: a=b\r\n\r\n<script>",
    "\u{1f980}\u{301}\u{fffd}",
    "../../../../etc/passwd",
    "${jndi:ldap://x}",
    "NULL",
    "\u{1}\u{7f}\u{9f}",
    "E'\\\\'; COPY task_item TO PROGRAM 'id'; --",
];

#[test]
fn metacharacters_have_no_effect() {
    run(async {
        let stage = Stage::builder().with_users().build().await;
        let user = stage.user("ann", 1_000).await;
        let schema = "SELECT md5(string_agg(table_name || column_name, ',' ORDER BY table_name, column_name)) \
                      FROM information_schema.columns WHERE table_schema = 'public'";
        let before = stage.value(schema, &[]).await;
        each_row(HOSTILE_TEXTS, async |text| {
            let prompt = json!({ "prompt": text });
            let created = stage.tool_as(&user.key, "task_create", prompt).await;
            let id = created["task_id"]
                .as_str()
                .unwrap_or_else(|| panic!("{text:?}: {created}"));
            let query = "SELECT prompt FROM task_item WHERE id = $1::text::uuid";
            assert_eq!(stage.value(query, &[&id]).await.as_deref(), Some(text));
            let request_id = json!({ "prompt": "p", "client_request_id": text });
            let first = stage.tool_as(&user.key, "task_create", request_id.clone()).await;
            let second = stage.tool_as(&user.key, "task_create", request_id).await;
            assert_eq!(
                (&first["task_id"], &second["repeated"]),
                (&second["task_id"], &json!(true)),
                "{text:?}"
            );
            each_row(
                [
                    (
                        "task_create",
                        json!({ "prompt": "p", "user_api_key": text }),
                        "INVALID_USER_API_KEY",
                    ),
                    (
                        "task_create",
                        json!({ "prompt": "p", "speed_vs_detail": text }),
                        "INVALID_ARGUMENT",
                    ),
                    (
                        "task_create",
                        json!({ "prompt": "p", (text): text }),
                        "INVALID_ARGUMENT",
                    ),
                    ("task_status", json!({ "task_id": text }), "TASK_NOT_FOUND"),
                    ("task_stop", json!({ "task_id": text }), "TASK_NOT_FOUND"),
                    ("task_file_info", json!({ "task_id": text }), "TASK_NOT_FOUND"),
                    (
                        "task_file_info",
                        json!({ "task_id": id, "artifact": text }),
                        "INVALID_ARGUMENT",
                    ),
                ],
                async |(tool, arguments, code)| {
                    // Of some texts nothing is left once a key is normalised: then the connection's own key counts.
                    let answer = stage.tool_as(&user.key, tool, arguments.clone()).await;
                    let is_blank_key = code == "INVALID_USER_API_KEY" && answer.get("error").is_none();
                    assert!(is_blank_key || answer["error"]["code"] == code, "{arguments}: {answer}");
                },
            )
            .await;
            let answer = stage.send(tool_call(&user.key, text, &json!({}))).await;
            assert_eq!(
                (answer.status(), &answer.json()["error"]["code"]),
                (200, &json!(-32602))
            );
        })
        .await;
        assert_eq!(stage.value(schema, &[]).await, before);
        stage.assert_books_balance(1).await;
    });
}

#[test]
fn deep_and_long_bodies_are_answered() {
    run(async {
        let stage = Stage::builder().build().await;
        let deep = |count: usize| format!("{}{}", "[".repeat(count), "]".repeat(count));
        let objects = |count: usize| format!("{}1{}", "{\"a\":".repeat(count), "}".repeat(count));
        let long_number = "9".repeat(200_000);
        let long_text = "x".repeat(500_000);
        each_row([
            (deep(400_000), 200),
            (objects(100_000), 400),
            ("[".repeat(1_000_000), 400),
            (
                format!(
                    r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"task_status","arguments":{}}}}}"#,
                    objects(120)
                ),
                200,
            ),
            (
                format!(
                    r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"task_status","arguments":{}}}}}"#,
                    objects(5_000)
                ),
                200,
            ),
            (
                format!(
                    r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"_meta":{}}}}}"#,
                    deep(100)
                ),
                200,
            ),
            (
                format!(r#"{{"jsonrpc":"2.0","id":{long_number},"method":"ping"}}"#),
                200,
            ),
            (
                format!(r#"{{"jsonrpc":"2.0","id":"{long_text}","method":"ping"}}"#),
                200,
            ),
            (format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{long_text}"}}"#), 200),
            (
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{long_text}"}}}}"#),
                200,
            ),
            (
                format!(
                    r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"task_status","arguments":{{"task_id":"{long_text}"}}}}}}"#
                ),
                200,
            ),
            (
                format!(
                    r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"task_status","arguments":{{"task_id":{long_number}}}}}}}"#
                ),
                200,
            ),
        ], async |(body, status)| {
            let begun = Instant::now();
            let answer = stage
                .send(request(
                    Method::POST,
                    "/mcp",
                    &[("content-type", "application/json")],
                    body.clone().into(),
                ))
                .await;
            assert_eq!(answer.status(), status, "{}", &body[..80.min(body.len())]);
            // Numbers may be longer than any number type.
            let raw = serde_json::from_slice::<&serde_json::value::RawValue>(answer.bytes());
            assert!(raw.is_ok(), "the answer is JSON");
            assert!(begun.elapsed() < ANSWERED);
        }).await;
    });
}

#[test]
fn a_body_that_does_not_arrive_times_out() {
    run(async {
        let stage = Stage::builder().build().await;
        let headers = [("content-type", "application/json"), ("content-length", "1000")];
        let bodies: [(&str, Option<Duration>); 2] = [("silence", None), ("drops", Some(Duration::from_millis(200)))];
        let asked = bodies.map(|(name, every)| {
            let request = request(Method::POST, "/mcp", &headers, Bytes::new());
            let pieces = futures::stream::unfold(0, move |sent| async move {
                match every {
                    Some(every) => tokio::time::sleep(every).await,
                    None => std::future::pending().await,
                }
                Some((
                    Ok::<_, io::Error>(http_body::Frame::data(Bytes::from_static(b" "))),
                    sent + 1,
                ))
            });
            let body = StreamBody::new(pieces).boxed_unsync();
            let stage = &stage;
            async move {
                let begun = Instant::now();
                let response = stage.try_begin(request.map(|_| body)).await.expect("a response");
                let status = response.status();
                let text = response.into_body().collect().await.expect("a body").to_bytes();
                assert_eq!(status, 408, "{name}");
                let json: Value = serde_json::from_slice(&text).expect("JSON");
                assert!(json["detail"].is_string());
                assert!(
                    (14..20).contains(&begun.elapsed().as_secs()),
                    "{name}: {:?}",
                    begun.elapsed()
                );
            }
        });
        join_all(asked).await;
    });
}

/// A client that sends all of its body before it looks for an answer.
#[test]
fn a_client_that_is_still_sending_gets_the_refusal() {
    run(async {
        let stage = Stage::builder().with_key().build().await;
        each_row(
            [
                ("application/json", "secret", 2 << 20, 0, 413),
                ("application/json", "secret", 12 << 20, 0, 413),
                ("application/json", "secret", 2 << 20, 20, 413),
                ("text/plain", "secret", 2 << 20, 20, 415),
                ("application/json", "wrong", 2 << 20, 20, 403),
            ],
            async |(content_type, key, size, pause, status)| {
                let mut connection = TcpStream::connect(stage.address()).await.expect("a connection");
                let head = format!(
                    "POST /mcp HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-type: {content_type}\r\n\
                 content-length: {size}\r\nconnection: close\r\n\r\n"
                );
                connection.write_all(head.as_bytes()).await.expect("the head is taken");
                for _ in 0..size / PIECE.len() {
                    let taken = connection.write_all(&PIECE).await;
                    taken.unwrap_or_else(|error| panic!("{status} of {size}: {error}"));
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                let mut answer = String::new();
                connection.read_to_string(&mut answer).await.expect("an answer");
                assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            },
        )
        .await;
    });
}

#[test]
fn concurrent_calls_keep_tasks_consistent() {
    run(async {
        let stage = Stage::builder().with_users().working().build().await;
        let user = stage.user("ann", 1_000).await;
        let calls = (0..30).map(|number| {
            let (stage, user) = (&stage, &user);
            async move {
                let create = json!({ "prompt": "storm", "client_request_id": format!("s{}", number % 6) });
                let created = stage.send(tool_call(&user.key, "task_create", &create)).await.json();
                let id = created["result"]["structuredContent"]["task_id"].clone();
                let ask = json!({ "task_id": id });
                let others = ["task_stop", "task_status", "task_file_info", "task_stop", "task_status"];
                let others = others.map(|tool| stage.send(tool_call(&user.key, tool, &ask)));
                for answer in join_all(others).await {
                    assert_eq!(answer.status(), 200);
                }
                id.as_str().map(str::to_owned)
            }
        });
        let ids: BTreeSet<_> = join_all(calls).await.into_iter().flatten().collect();
        assert_eq!(ids.len(), 6);
        assert_eq!(stage.count("task_item").await, 6);
        stage.assert_books_balance(1).await;
    });
}

#[test]
fn cancelled_calls_charge_only_for_tasks() {
    run(async {
        let stage = Stage::builder().with_users().build().await;
        let user = stage.user("ann", 1_000).await;
        for patience in 0..60 {
            let call = tool_call(&user.key, "task_create", &json!({ "prompt": format!("{patience}") }));
            // Half of the callers go before the answer, at another stage each.
            let _ = tokio::time::timeout(Duration::from_micros(patience * 500), stage.send(call)).await;
        }
        // What runs still may end.
        tokio::time::sleep(Duration::from_secs(1)).await;
        stage.assert_books_balance(1).await;
        let tasks = stage.count("task_item").await;
        assert_eq!(stage.balance(&user).await, 1_000 - stage.charge(tasks));
        let answer = stage
            .tool_as(&user.key, "task_create", json!({ "prompt": "still there?" }))
            .await;
        assert_eq!(answer["credits_balance"], 1_000 - stage.charge(tasks + 1));
        stage.until_idle().await;
    });
}

#[test]
fn terminated_backends_keep_the_ledger_consistent() {
    run(async {
        let stage = Stage::builder().with_users().build().await;
        let user = stage.user("ann", 1_000).await;
        let terminate = "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity \
                         WHERE datname = current_database() AND application_name = 'planexe-mcp'";
        for round in 0..10 {
            let calls = (0..20).map(|number| {
                stage.send(tool_call(
                    &user.key,
                    "task_create",
                    &json!({ "prompt": format!("{round}/{number}") }),
                ))
            });
            let killer = async {
                tokio::time::sleep(Duration::from_millis(round * 7)).await;
                stage.value(terminate, &[]).await
            };
            let (answers, _) = futures::join!(join_all(calls), killer);
            for answer in answers {
                assert_eq!(answer.status(), 200);
                let code = answer.json()["result"]["structuredContent"]["error"]["code"].clone();
                assert!(
                    code.is_null() || code == "DATABASE_UNAVAILABLE",
                    "{code}: {}",
                    stage.log()
                );
            }
            stage.assert_books_balance(1).await;
        }
        let tasks = stage.count("task_item").await;
        assert_eq!(stage.balance(&user).await, 1_000 - stage.charge(tasks));
        assert_eq!(
            stage
                .tool_as(&user.key, "task_create", json!({ "prompt": "p" }))
                .await
                .get("error"),
            None
        );
    });
}
