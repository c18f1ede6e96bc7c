//! Rows as PlanExe's own services write them, and what the server says of them.

use serde_json::{Value, json};

use crate::support::{Stage, each_row, run};

/// Sets columns of the one task.
pub async fn set(stage: &Stage, columns: &str) {
    stage.execute(&format!("UPDATE task_item SET {columns}"), &[]).await;
}

pub async fn status(stage: &Stage, id: &str) -> Value {
    stage.tool("task_status", json!({ "task_id": id })).await
}

/// Writes the row of a worker that reported so many seconds ago.
pub async fn heartbeat(stage: &Stage, worker: &str, task: Option<&str>, seconds_ago: f64) {
    let report = "INSERT INTO workers (id, started_at, last_heartbeat_at, current_task_id) SELECT $1, at, at, $2 \
                  FROM (SELECT now() AT TIME ZONE 'UTC' - make_interval(secs => $3) AS at) now \
                  ON CONFLICT (id) DO UPDATE SET last_heartbeat_at = excluded.last_heartbeat_at, \
                  current_task_id = excluded.current_task_id";
    stage.execute(report, &[&worker, &task, &seconds_ago]).await;
}

pub async fn file_info(stage: &Stage, id: &str, artifact: &str) -> Value {
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
                    "INSERT INTO events (timestamp, event_type, message, context) SELECT now() AT TIME ZONE 'UTC' - interval '50 minutes', \
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
        let file = &running["files"][0];
        assert_eq!(file["path"], "001-2-plan.txt");
        // Today's worker_plan tells the time.
        let is_allowed = file.get("updated_at").is_none_or(Value::is_string);
        assert!(is_allowed, "updated_at is a string or left out: {file}");
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
