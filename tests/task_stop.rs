//! `task_stop`: what it changes, and what it leaves alone.

use serde_json::json;

use crate::support::{Stage, each_row, run};

#[test]
fn a_task_that_has_not_ended_is_asked_to_stop() {
    run(async {
        let stage = Stage::builder().build().await;
        each_row([("pending", "stopped"), ("processing", "stopping")], async |(state, public)| {
            let id = stage.create("p").await;
            stage
                .execute("UPDATE task_item SET state = $1::text::taskstate", &[&state])
                .await;
            assert_eq!(
                stage.tool("task_stop", json!({ "task_id": id })).await,
                json!({ "state": public })
            );
            let query = "SELECT stop_requested, progress_message, state, \
                 abs(extract(epoch FROM stop_requested_timestamp - (now() AT TIME ZONE 'UTC'))) < 30 AS now FROM task_item";
            let expected = json!([{
                "stop_requested": true, "progress_message": "Stop requested by user.", "state": state, "now": true,
            }]);
            assert_eq!(stage.rows(query).await, expected);
            // Again: the same state, and the first request's time stays.
            stage
                .execute("UPDATE task_item SET stop_requested_timestamp = '2026-01-01'", &[])
                .await;
            assert_eq!(
                stage.tool("task_stop", json!({ "task_id": id })).await,
                json!({ "state": public })
            );
            let time = stage
                .value("SELECT stop_requested_timestamp::text FROM task_item", &[])
                .await;
            assert_eq!(time.as_deref(), Some("2026-01-01 00:00:00"));
            stage.execute("DELETE FROM task_item", &[]).await;
        }).await;
    });
}

#[test]
fn a_task_that_has_ended_stays_as_it_is() {
    run(async {
        let stage = Stage::builder().build().await;
        each_row(
            [("completed", "completed"), ("failed", "failed")],
            async |(state, public)| {
                let id = stage.create("p").await;
                stage
                    .execute(
                        "UPDATE task_item SET state = $1::text::taskstate, progress_message = 'end'",
                        &[&state],
                    )
                    .await;
                let before = stage.rows("SELECT * FROM task_item").await;
                assert_eq!(
                    stage.tool("task_stop", json!({ "task_id": id })).await,
                    json!({ "state": public })
                );
                assert_eq!(stage.rows("SELECT * FROM task_item").await, before);
                stage.execute("DELETE FROM task_item", &[]).await;
            },
        )
        .await;
    });
}

#[test]
fn a_worker_stops_when_it_is_asked() {
    run(async {
        let stage = Stage::builder().working().build().await;
        let arguments = json!({ "prompt": "Open a bakery in Lyon", "speed_vs_detail": "fast" });
        let id = stage.tool("task_create", arguments).await["task_id"].clone();
        let id = id.as_str().expect("an id");
        stage.wait_for(id, &["processing"]).await;
        let ask = json!({ "task_id": id });
        assert_eq!(
            stage.tool("task_stop", ask.clone()).await,
            json!({ "state": "stopping" })
        );
        stage.wait_for(id, &["failed", "completed"]).await;
        assert_eq!(stage.tool("task_status", ask).await["state"], "stopped");
    });
}
