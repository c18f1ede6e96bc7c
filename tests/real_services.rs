//! Rows as PlanExe's own services write them, and what the server says of them.

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    download_entries::noise,
    support::{Stage, each_row, request, run, zips},
};

/// Sets columns of the one task.
async fn set(stage: &Stage, columns: &str) {
    stage.execute(&format!("UPDATE task_item SET {columns}"), &[]).await;
}

async fn status(stage: &Stage, id: &str) -> Value {
    stage.tool("task_status", json!({ "task_id": id })).await
}

/// Writes the row of a worker that reported so many seconds ago.
async fn heartbeat(stage: &Stage, worker: &str, task: Option<&str>, seconds_ago: f64) {
    let report = "INSERT INTO workers (id, started_at, last_heartbeat_at, current_task_id) SELECT $1, at, at, $2 \
                  FROM (SELECT now() AT TIME ZONE 'UTC' - make_interval(secs => $3) AS at) now \
                  ON CONFLICT (id) DO UPDATE SET last_heartbeat_at = excluded.last_heartbeat_at, \
                  current_task_id = excluded.current_task_id";
    stage.execute(report, &[&worker, &task, &seconds_ago]).await;
}

async fn file_info(stage: &Stage, id: &str, artifact: &str) -> Value {
    stage
        .tool("task_file_info", json!({ "task_id": id, "artifact": artifact }))
        .await
}

#[test]
fn a_failure_carries_the_reason_of_its_last_event() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        set(
            &stage,
            "state = 'failed', progress_percentage = 1.80, progress_message = '2 of 111'",
        )
        .await;
        let text = |reason: &str| {
            format!(
                "The plan failed at 1.8 % (2 of 111). {reason} Call task_create to try again; if that fails too, change \
                 the prompt or tell the operator."
            )
        };
        let report = format!("/download/{id}/030-report.html");
        let expect = async |message: String| {
            let error = json!({ "code": "generation_failed", "message": message });
            assert_eq!(file_info(&stage, &id, "report").await, json!({ "error": error }));
            assert_eq!(status(&stage, &id).await["progress_message"], message);
            let answer = stage.get(&report).await;
            let body = json!({ "detail": message, "reason": "failed" });
            assert_eq!((answer.status(), answer.json()), (404, body));
        };
        expect(text("The reason is not known.")).await;
        stage
            .event(
                "00000000-0000-0000-0000-000000000000",
                "TASK_FAILED",
                0.0,
                Some("Another task's"),
            )
            .await;
        stage
            .event(&id, "TASK_FAILED", 2.0, Some("Unable to generate the report."))
            .await;
        expect(text("PlanExe's reason: Unable to generate the report.")).await;
        stage
            .event(
                &id,
                "TASK_FAILED",
                1.0,
                Some("Unknown error happened while processing."),
            )
            .await;
        expect(text("PlanExe's reason: Unknown error happened while processing.")).await;
    });
}

#[test]
fn an_event_is_found_among_many_with_the_optional_index_and_without() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        set(
            &stage,
            "state = 'failed', timestamp_created = (now() AT TIME ZONE 'UTC') - interval '1 hour'",
        )
        .await;
        stage.event(&id, "TASK_FAILED", 1800.0, Some("No quota")).await;
        let more = async |number: i32| {
            stage
                .execute(
                    "INSERT INTO events (timestamp, event_type, message, context) SELECT now() AT TIME ZONE 'UTC', \
                     'TASK_FAILED', 'Processing -> Failed', json_build_object('task_id', gen_random_uuid()) \
                     FROM generate_series(1, $1)",
                    &[&number],
                )
                .await;
        };
        more(9_999).await;
        let found = status(&stage, &id).await;
        assert!(
            found["progress_message"]
                .as_str()
                .is_some_and(|text| text.contains("No quota")),
            "{found}"
        );
        more(1).await;
        let lost = status(&stage, &id).await;
        assert!(
            lost["progress_message"]
                .as_str()
                .is_some_and(|text| text.contains("reason is not known")),
            "{lost}"
        );
        assert!(lost["timing"].get("elapsed_sec").is_none(), "{lost}");
        let index = include_str!("../deploy/postgres/indices.sql").replace("CONCURRENTLY ", "");
        for statement in index.split_inclusive(';').filter(|statement| statement.contains(';')) {
            stage.execute(statement, &[]).await;
        }
        let found = status(&stage, &id).await;
        assert!(
            found["progress_message"]
                .as_str()
                .is_some_and(|text| text.contains("No quota")),
            "{found}"
        );
        assert_eq!(found["timing"]["elapsed_sec"], 1800.0);
    });
}

#[test]
fn a_task_that_no_worker_has_gets_a_hint() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        let hint = async || status(&stage, &id).await.get("hint").cloned();
        assert_eq!(hint().await, None);
        set(&stage, "timestamp_created = timestamp_created - interval '6 minutes'").await;
        heartbeat(&stage, "a", None, 400.0).await;
        let text = hint().await.expect("no worker is alive");
        assert!(
            text.as_str()
                .is_some_and(|text| text.contains("No worker of PlanExe has reported")),
            "{text}"
        );
        heartbeat(&stage, "b", Some("another-task"), 100.0).await;
        assert_eq!(hint().await, None, "a worker is alive");

        // Claimed this moment: neither heartbeat nor event are written yet.
        set(&stage, "state = 'processing'").await;
        assert_eq!(hint().await, None);
        stage.event(&id, "TASK_PROCESSING", 590.0, None).await;
        assert_eq!(hint().await, None);
        stage
            .execute(
                "UPDATE events SET timestamp = timestamp - interval '20 s' WHERE event_type = 'TASK_PROCESSING'",
                &[],
            )
            .await;
        // Since then its worker was restarted under the same id.
        set(&stage, "timestamp_created = timestamp_created - interval '10 minutes'").await;
        let text = hint().await.expect("no row names the task");
        assert!(
            text.as_str()
                .is_some_and(|text| text.contains("No worker has this plan any more")),
            "{text}"
        );
        heartbeat(&stage, "a", Some(&id), 590.0).await;
        assert_eq!(hint().await, None, "its worker is slow");
        heartbeat(&stage, "a", Some(&id), 1300.0).await;
        let text = hint().await.expect("its worker is lost");
        assert!(
            text.as_str()
                .is_some_and(|text| text.contains("not reported for 21 minutes")),
            "{text}"
        );
        set(&stage, "state = 'completed'").await;
        assert_eq!(hint().await, None);
    });
}

#[test]
fn a_complete_plan_that_was_not_stored_is_gone() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        set(
            &stage,
            "state = 'completed', progress_percentage = 100, progress_message = 'Completed'",
        )
        .await;
        for artifact in ["report", "zip"] {
            let info = file_info(&stage, &id, artifact).await;
            assert_eq!(info["error"]["code"], "content_unavailable", "{info}");
            let message = info["error"]["message"].as_str().expect("a message");
            assert!(
                message.starts_with("The plan is complete, but PlanExe did not store this file"),
                "{message}"
            );
        }
        for file in ["030-report.html", "run.zip"] {
            let answer = stage.get(&format!("/download/{id}/{file}")).await;
            assert_eq!(
                (answer.status(), &answer.json()["reason"]),
                (410, &json!("not_stored")),
                "{file}"
            );
            assert!(!answer.has_header("retry-after"));
        }
        let answer = stage
            .send(crate::support::tool_call(
                "secret",
                "task_status",
                &json!({ "task_id": id }),
            ))
            .await;
        let content = answer.json()["result"]["content"].as_array().expect("content").len();
        assert_eq!(content, 1, "no link to a report that is not there");
    });
}

#[test]
fn what_only_worker_plan_has_is_announced_for_seconds() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        set(&stage, "state = 'completed'").await;
        stage
            .worker
            .add_files(&id, [("030-report.html", "<p>plan"), ("001-2-plan.txt", "p")]);
        let info = file_info(&stage, &id, "report").await;
        assert_eq!(
            (&info["ready"], &info["download_size"]),
            (&json!(true), &json!(7)),
            "{info}"
        );
        assert!(
            info["hint"]
                .as_str()
                .is_some_and(|hint| hint.contains("Download it now")),
            "{info}"
        );
        let expires = info["expires_at"].as_str().expect("a time");
        let left = stage
            .value(
                "SELECT (extract(epoch FROM $1::text::timestamp - now() AT TIME ZONE 'UTC') BETWEEN 0 AND 11)::text",
                &[&expires],
            )
            .await;
        assert_eq!(left.as_deref(), Some("true"), "{expires}");
    });
}

#[test]
fn a_report_that_is_only_in_the_archive_is_handed_out() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        let zip = zips::archive(&[
            zips::deflated("999-pipeline_complete.txt", b"done"),
            zips::deflated("030-report.html", b"<p>\xff plan"),
        ]);
        stage
            .execute("UPDATE task_item SET run_zip_snapshot = $1", &[&zip])
            .await;
        each_row(["completed", "failed"], async |state| {
            set(&stage, &format!("state = '{state}'")).await;
            let info = file_info(&stage, &id, "report").await;
            assert_eq!(
                (&info["ready"], &info["download_size"]),
                (&json!(true), &json!(9)),
                "{state}: {info}"
            );
            assert!(info.get("hint").is_none(), "{info}");
            let report = stage.get(&format!("/download/{id}/030-report.html")).await;
            assert_eq!(
                (report.status(), &report.bytes()[..]),
                (200, &b"<p>\xff plan"[..]),
                "{state}"
            );
            assert_eq!(report.header("content-type"), "text/html; charset=utf-8");
        })
        .await;
    });
}

#[test]
fn what_cannot_be_read_hides_nothing_else() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        set(&stage, "state = 'failed', run_zip_snapshot = 'not an archive'").await;
        let info = file_info(&stage, &id, "report").await;
        assert_eq!(info["error"]["code"], "generation_failed", "{info}");
        // The end of the task is in a table of its own; a file does not depend on it.
        set(
            &stage,
            "state = 'completed', generated_report_html = '<p>plan', run_zip_snapshot = NULL",
        )
        .await;
        stage.execute("ALTER TABLE events RENAME TO elsewhere", &[]).await;
        assert_eq!(status(&stage, &id).await["state"], "completed");
        let report = stage.get(&format!("/download/{id}/030-report.html")).await;
        assert_eq!((report.status(), report.has_header("last-modified")), (200, false));
        // One of the two artifacts can be missing.
        let zip = file_info(&stage, &id, "zip").await;
        let message = zip["error"]["message"].as_str().expect("a message");
        assert!(message.contains("Ask for the other artifact"), "{message}");
    });
}

#[test]
fn the_archive_of_an_unfinished_plan_is_given_only_when_a_part_is_asked_for() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        set(&stage, "state = 'processing'").await;
        stage.worker.add_files(&id, [("001-2-plan.txt", "p")]);
        each_row(["false", "true"], async |stop| {
            set(&stage, &format!("stop_requested = {stop}")).await;
            assert_eq!(file_info(&stage, &id, "zip").await["ready"], false);
            let answer = stage.get(&format!("/download/{id}/run.zip")).await;
            assert_eq!((answer.status(), &answer.json()["reason"]), (404, &json!("not_ready")));
            let part = stage.get(&format!("/download/{id}/run.zip?partial=1")).await;
            assert_eq!((part.status(), &part.bytes()[..2]), (200, &b"PK"[..]));
            assert_eq!(stage.get(&format!("/download/{id}/001-2-plan.txt")).await.text(), "p");
            let later = stage.get(&format!("/download/{id}/002-6-x.md")).await;
            assert_eq!(
                (later.status(), &later.json()["reason"]),
                (404, &json!("not_ready")),
                "not made yet"
            );
        })
        .await;
    });
}

#[test]
fn missing_tables_are_named_and_work_once_they_are_there() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        stage.execute("ALTER TABLE events RENAME TO elsewhere", &[]).await;
        stage.execute("ALTER TABLE workers RENAME TO nowhere", &[]).await;
        each_row(
            [
                ("task_create", json!({ "prompt": "p" })),
                ("task_status", json!({ "task_id": id })),
            ],
            async |(tool, arguments)| {
                let answer = stage.tool(tool, arguments).await;
                assert_eq!(answer["error"]["code"], "DATABASE_UNAVAILABLE", "{tool}: {answer}");
                let message = answer["error"]["message"].as_str().expect("a message");
                assert!(message.contains("lacks the tables events, workers"), "{message}");
            },
        )
        .await;
        let health = stage.get("/healthcheck?deep=1").await;
        assert_eq!(health.status(), 503);
        let database = health.json()["database"].as_str().expect("a reason").to_owned();
        assert!(database.starts_with("lacks the tables events, workers"), "{database}");
        stage.execute("ALTER TABLE elsewhere RENAME TO events", &[]).await;
        stage.execute("ALTER TABLE nowhere RENAME TO workers", &[]).await;
        assert_eq!(status(&stage, &id).await["state"], "pending");
        assert_eq!(stage.get("/healthcheck?deep=1").await.status(), 200);
    });
}

#[test]
fn rows_of_other_tasks_do_not_disturb() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        // A user of the web frontend can send a parameter with U+0000, which Postgres cannot turn into text.
        set(&stage, r#"parameters = '{"a": "\u0000"}'"#).await;
        let unknown = "5e2b2a7c-8b49-4d2f-9b8f-6a3c1f05b9a1";
        each_row(["task_status", "task_stop", "task_file_info"], async |tool| {
            let answer = stage.tool(tool, json!({ "task_id": unknown })).await;
            assert_eq!(answer["error"]["code"], "TASK_NOT_FOUND", "{tool}: {answer}");
        })
        .await;
        assert_eq!(status(&stage, &id).await["state"], "pending");
        // The schema allows a task without a state. No worker claims it.
        set(&stage, "state = NULL").await;
        assert_eq!(status(&stage, &id).await["state"], "pending");
        assert_eq!(file_info(&stage, &id, "report").await["state"], "pending");
        assert_eq!(
            stage.tool("task_stop", json!({ "task_id": id })).await["state"],
            "stopped"
        );
        assert_eq!(status(&stage, &id).await["state"], "stopped");
    });
}

#[test]
fn a_row_that_is_updated_breaks_no_download() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        let text = noise(3_000_000);
        let zip = zips::archive(&[zips::deflated("001-2-a.bin", &text), zips::stored("002-1-b.bin", &text)]);
        stage.complete_with_zip(&zip).await;
        let report = "<p>plan</p>\n".repeat(900_000);
        stage
            .execute("UPDATE task_item SET generated_report_html = $1", &[&report])
            .await;
        each_row(
            [
                ("run.zip", &zip[..]),
                ("001-2-a.bin", &text),
                ("002-1-b.bin", &text),
                ("030-report.html", report.as_bytes()),
            ],
            async |(file, expected)| {
                let path = format!("/download/{id}/{file}");
                let answer = stage.begin(request(Method::GET, &path, &[], Bytes::new())).await;
                let etag = answer.headers()["etag"].clone();
                let mut body = answer.into_body();
                let first = body
                    .frame()
                    .await
                    .expect("a frame")
                    .expect("bytes")
                    .into_data()
                    .expect("data");
                // What the web frontend does whenever a browser asks for the progress.
                set(&stage, "last_seen_timestamp = now() AT TIME ZONE 'UTC'").await;
                let rest = body.collect().await.expect("the rest").to_bytes();
                assert!([&first[..], &rest].concat() == expected, "{file}: other bytes");
                let again = stage.send(request(Method::HEAD, &path, &[], Bytes::new())).await;
                assert_eq!(again.header("etag"), etag, "{file}");
            },
        )
        .await;
    });
}

#[test]
fn the_list_of_a_running_plan_survives_its_end() {
    run(async {
        let worker = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", worker.local_addr().expect("an address"));
        let stage = Stage::builder().set("PLANEXE_WORKER_PLAN_URL", &url).build().await;
        let id = stage.create("p").await;
        set(&stage, "state = 'processing'").await;
        heartbeat(&stage, "a", Some(&id), 1.0).await;
        let zip = zips::archive(&[zips::deflated("001-2-plan.txt", b"p")]);
        // Between the reading of the row and the list, PlanExe's worker stores the archive and deletes its folder.
        let worker = async {
            let (mut stream, _) = worker.accept().await.expect("a connection");
            let _ = stream.read(&mut [0; 1024]).await.expect("a request");
            stage
                .execute("UPDATE task_item SET run_zip_snapshot = $1", &[&zip])
                .await;
            let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            stream.write_all(answer).await.expect("an open connection");
            stream.shutdown().await.expect("an open connection");
        };
        let (listed, ()) = futures::join!(status(&stage, &id), worker);
        assert_eq!(listed["state"], "running", "{listed}");
        assert_eq!(listed["files"][0]["path"], "001-2-plan.txt", "{listed}");
    });
}

#[test]
fn the_log_of_the_language_models_is_only_in_the_archive() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        let zip = zips::archive(&[
            zips::deflated("track_activity.jsonl", b"{}"),
            zips::deflated("001-2-plan.txt", b"p"),
        ]);
        stage.complete_with_zip(&zip).await;
        let listed = status(&stage, &id).await;
        assert_eq!(listed["files"].as_array().map(Vec::len), Some(1), "{listed}");
        let answer = stage.get(&format!("/download/{id}/track_activity.jsonl")).await;
        assert_eq!((answer.status(), &answer.json()["reason"]), (404, &json!("withheld")));
        let params = json!({ "uri": format!("planexe://task/{id}/track_activity.jsonl") });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": params });
        let answer = stage.post("/mcp", &body).await;
        assert_eq!(answer.json()["error"]["code"], -32002, "{}", answer.text());
        assert!(*stage.get(&format!("/download/{id}/run.zip")).await.bytes() == zip);
    });
}

#[test]
fn times_of_files_are_utc_whatever_the_zone_of_the_worker() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        let mut entry = zips::deflated("030-report.html", b"<p>plan");
        // 2026-01-31 20:59:58, in Tokyo.
        entry.modified = ((20 << 11) | (59 << 5) | 29, (46 << 9) | (1 << 5) | 31);
        stage.complete_with_zip(&zips::archive(&[entry])).await;
        let files = &status(&stage, &id).await["files"];
        assert_eq!(
            *files,
            json!([{ "path": "030-report.html", "updated_at": "2026-01-31T11:59:58Z" }])
        );
    });
}

#[test]
fn results_without_mcp_have_only_what_mcp_local_allows() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        let call = async |tool: &str, arguments: Value| {
            let answer = stage
                .post("/mcp/tools/call", &json!({ "tool": tool, "arguments": arguments }))
                .await;
            assert_eq!(answer.status(), 200);
            let body = answer.json();
            let text: Value = serde_json::from_str(body["content"][0]["text"].as_str().expect("text")).expect("JSON");
            assert_eq!(text, body["structuredContent"]);
            (text, body["error"].clone())
        };
        each_row(
            [
                ("pending", "NOT_READY"),
                ("processing", "NOT_READY"),
                ("failed", "generation_failed"),
            ],
            async |(state, code)| {
                set(&stage, &format!("state = '{state}'")).await;
                let (result, error) = call("task_file_info", json!({ "task_id": id })).await;
                assert_eq!(error["code"], code, "{state}");
                assert_eq!(result["error"], error, "{state}");
                assert!(
                    error["message"].as_str().is_some_and(|text| text.ends_with('.')),
                    "{error}"
                );
            },
        )
        .await;
        set(&stage, "state = 'processing'").await;
        stage.worker.add_files(&id, [("001-2-plan.txt", "p")]);
        let (running, _) = call("task_status", json!({ "task_id": id })).await;
        assert_eq!(
            running["files"],
            json!([{ "path": "001-2-plan.txt" }]),
            "updated_at is a string or left out"
        );
        set(&stage, "state = 'completed', generated_report_html = '<p>plan'").await;
        let (info, error) = call("task_file_info", json!({ "task_id": id })).await;
        let mut members: Vec<_> = info.as_object().expect("an object").keys().collect();
        members.sort();
        assert_eq!(members, ["content_type", "download_size", "download_url", "sha256"]);
        assert_eq!(error, Value::Null);
        let (ended, _) = call("task_status", json!({ "task_id": id })).await;
        assert!(
            ended["timing"].get("elapsed_sec").is_none(),
            "a number or left out: {ended}"
        );
    });
}
