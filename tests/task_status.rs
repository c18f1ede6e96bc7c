//! `task_status`: every state, times, files.

use planexe_local::schema::Generation;
use serde_json::{Value, json};

use crate::support::{Stage, each_row, http_double, run};

#[test]
fn every_state_of_the_database_has_its_public_one() {
    run(async {
        let stage = Stage::builder().build().await;
        each_row([
            ("pending", Some(false), "pending", 42.5),
            ("pending", None, "pending", 42.5),
            ("pending", Some(true), "stopped", 42.5),
            ("processing", Some(false), "running", 42.5),
            ("processing", Some(true), "stopping", 42.5),
            ("completed", Some(false), "completed", 100.0),
            ("completed", Some(true), "completed", 100.0),
            ("failed", Some(false), "failed", 42.5),
            ("failed", Some(true), "stopped", 42.5),
        ], async |(state, stop, public, percentage)| {
            let id = stage.create("p").await;
            stage
                .execute(
                    "UPDATE task_item SET state = $2::text::taskstate, stop_requested = $3, progress_percentage = 42.5, \
                     progress_message = '42 of 89. Extra files: 8' WHERE id = $1::text::uuid",
                    &[&id, &state, &stop],
                )
                .await;
            let status = stage.tool("task_status", json!({ "task_id": id })).await;
            assert_eq!(status["state"], public, "{state}, {stop:?}");
            assert_eq!(status["progress_percentage"], percentage, "{state}");
            let message = match public {
                "stopped" => "The plan was stopped at 42.5 %.",
                "completed" => "The plan is complete.",
                "failed" => {
                    "The plan failed at 42.5 % (42 of 89. Extra files: 8). The reason is not known. Call task_create to try \
                     again; if that fails too, change the prompt or tell the operator."
                }
                _ => "42 of 89. Extra files: 8",
            };
            assert_eq!(status["progress_message"], message);
            assert_eq!(status["task_id"], id.as_str());
        }).await;
    });
}

#[test]
fn time_stops_when_the_task_ends() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        let elapsed = async |set: &str| {
            // The web frontend sets last_seen_timestamp whenever a browser looks: it says nothing of the end.
            let update = format!(
                "UPDATE task_item SET timestamp_created = (now() AT TIME ZONE 'UTC') - interval '100 s', \
                 last_seen_timestamp = now() AT TIME ZONE 'UTC', {set}"
            );
            stage.execute(&update, &[]).await;
            let status = stage.tool("task_status", json!({ "task_id": id })).await;
            let started = status["timing"]["started_at"].as_str();
            assert!(started.is_some_and(|time| time.ends_with('Z')), "{status}");
            status["timing"]
                .get("elapsed_sec")
                .map(|seconds| seconds.as_f64().expect("seconds"))
        };
        let in_work = elapsed("state = 'processing'").await.expect("seconds");
        assert!((100.0..130.0).contains(&in_work), "{in_work}");
        assert_eq!(elapsed("state = 'completed'").await, None, "there is no event");
        stage.event(&id, "TASK_COMPLETED", 40.0, None).await;
        let completed = elapsed("state = 'completed'").await.expect("seconds");
        assert!((45.0..=60.0).contains(&completed), "{completed}");
        // After a completion that fails in its last step there are two events: that of the state counts.
        stage.event(&id, "TASK_FAILED", 20.0, Some("Unknown error")).await;
        let failed = elapsed("state = 'failed'").await.expect("seconds");
        assert!((65.0..=80.0).contains(&failed), "{failed}");
        let stopped = "state = 'pending', stop_requested = true, \
                       stop_requested_timestamp = (now() AT TIME ZONE 'UTC') - interval '70 s'";
        assert_eq!(elapsed(stopped).await, Some(30.0));
    });
}

#[test]
fn a_finished_plan_shows_its_ten_newest_files() {
    run(async {
        let stage = Stage::builder().working().build().await;
        let id = stage.create("Open a bakery in Lyon").await;
        stage.wait_for(&id, &["completed"]).await;
        let status = stage.tool("task_status", json!({ "task_id": id })).await;
        assert_eq!(status["state"], "completed");
        let names: Vec<&str> = status["files"]
            .as_array()
            .expect("files")
            .iter()
            .filter_map(|f| f["path"].as_str())
            .collect();
        assert!((3..=10).contains(&names.len()), "{names:?}");
        assert!(names.contains(&stage.report()), "{names:?}");
        assert!(!names.contains(&"log.txt"), "{names:?}");
        assert!(
            stage.worker.requests().is_empty(),
            "the database has the files: {:?}",
            stage.worker.requests()
        );
    });
}

#[test]
fn a_running_plan_shows_the_files_of_the_worker() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        stage.execute("UPDATE task_item SET state = 'processing'", &[]).await;
        stage.worker.add_files(
            &id,
            [("001-2-plan.txt", "p"), ("005-2-levers.md", "# L"), ("log.txt", "x")],
        );
        let status = stage.tool("task_status", json!({ "task_id": id })).await;
        let files = status["files"].as_array().expect("files");
        let paths: Vec<_> = files.iter().map(|file| &file["path"]).collect();
        assert_eq!(paths, ["005-2-levers.md", "001-2-plan.txt"]);
        // Today's worker_plan tells their times.
        let is_today = stage.schema().generation() == Generation::May;
        assert!(
            files.iter().all(|file| file.get("updated_at").is_some() == is_today),
            "{status}"
        );
    });
}

#[test]
fn unknown_tasks_are_not_found() {
    run(async {
        let stage = Stage::builder().build().await;
        each_row(["task_status", "task_stop", "task_file_info"], async |tool| {
            for id in [
                "5e2b2a7c-8b49-4d2f-9b8f-6a3c1f05b9a1",
                "",
                "no uuid",
                "' OR 1=1 --",
                "../../etc/passwd",
            ] {
                let answer: Value = stage.tool(tool, json!({ "task_id": id })).await;
                assert_eq!(answer["error"]["code"], "TASK_NOT_FOUND", "{tool} {id:?}: {answer}");
            }
            let answer = stage.tool(tool, json!({})).await;
            assert_eq!(answer["error"]["code"], "INVALID_ARGUMENT", "{tool}");
        })
        .await;
    });
}

#[test]
fn the_times_of_a_running_plan_are_those_of_the_worker() {
    run(async {
        let body = json!({
            "files": ["a.md", "b.md", "c.md", "log.txt", "track_activity.jsonl"],
            "files_with_timestamps": [
                { "name": "a.md", "updated_at": "2026-03-08T23:49:54Z" },
                { "name": "b.md", "updated_at": "2026-03-08T23:49:52Z" },
                { "name": "c.md", "updated_at": "yesterday" },
            ],
        });
        let worker = http_double(move |_| Some((200, body.to_string().into()))).await;
        let stage = Stage::builder().set("PLANEXE_WORKER_PLAN_URL", &worker).build().await;
        let id = stage.create("p").await;
        stage.execute("UPDATE task_item SET state = 'processing'", &[]).await;
        let status = stage.tool("task_status", json!({ "task_id": id })).await;
        let mut expected = vec![
            json!({ "path": "a.md", "updated_at": "2026-03-08T23:49:54Z" }),
            json!({ "path": "b.md", "updated_at": "2026-03-08T23:49:52Z" }),
        ];
        expected.extend(status["files"].get(2).cloned());
        assert_eq!(status["files"], json!(expected), "{status}");
        assert_eq!(status["files"][2]["path"], "c.md", "{status}");
    });
}
