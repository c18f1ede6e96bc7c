//! `task_stop`: what it changes, and what it leaves alone.

use serde_json::json;

use crate::support::{Stage, each_row, eventually, run};

#[test]
fn a_task_that_has_not_ended_is_asked_to_stop() {
    run(async {
        let stage = Stage::builder().build().await;
        // Today's plan is stopped at once, and its worker notices later.
        let at_once = stage.schema().has_plans();
        each_row([("pending", "stopped"), ("processing", "stopping")], async |(state, public)| {
            let (public, stays) = if at_once { ("stopped", "stopped") } else { (public, state) };
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
                "stop_requested": true, "progress_message": "Stop requested by user.", "state": stays, "now": true,
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
        let state = stage.tool("task_stop", ask.clone()).await["state"].clone();
        let at_once = stage.schema().has_plans();
        assert_eq!(state, if at_once { "stopped" } else { "stopping" });
        let at_work = "workers WHERE current_task_id IS NOT NULL";
        eventually("the worker ends", async || stage.count(at_work).await == 0).await;
        assert_eq!(stage.tool("task_status", ask).await["state"], "stopped");
    });
}
