//! A `worker_plan` that fails: no status fails with it, and the deep healthcheck says so.

use std::time::{Duration, Instant};

use planexe_local::worker::Fault;
use serde_json::json;

use crate::support::{ANSWERED, Stage, each_row, run};

#[test]
fn the_deep_healthcheck_says_which_service_fails() {
    run(async {
        let stage = Stage::builder().build().await;
        let well = stage.get("/healthcheck?deep=1").await;
        assert_eq!(well.status(), 200);
        assert_eq!(
            (&well.json()["database"], &well.json()["worker_plan"]),
            (&json!("ok"), &json!("ok"))
        );
        each_row(
            [
                (Fault::Hang, "does not answer within 2 seconds"),
                (Fault::Status(500), "reports an error"),
            ],
            async |(fault, reason)| {
                stage.worker.faults().set_health(fault);
                let begun = Instant::now();
                let answer = stage.get("/healthcheck?deep=1").await;
                assert!(begun.elapsed() < ANSWERED);
                assert_eq!((answer.status(), answer.header("retry-after")), (503, "5"));
                let body = answer.json();
                assert_eq!(
                    (&body["status"], &body["database"], &body["worker_plan"]),
                    (&json!("unhealthy"), &json!("ok"), &json!(reason))
                );
                assert_eq!(
                    stage.get("/healthcheck").await.status(),
                    200,
                    "the plain one asks no other service"
                );
            },
        )
        .await;
        let stage = Stage::builder()
            .set("PLANEXE_POSTGRES_PORT", "1")
            .set("PLANEXE_WORKER_PLAN_URL", "http://127.0.0.1:1")
            .build()
            .await;
        let body = stage.get("/healthcheck?deep=1").await.json();
        assert_eq!(body["database"], "refuses connections or statements");
        assert_eq!(body["worker_plan"], "cannot be reached");
    });
}

#[test]
fn a_worker_that_fails_never_fails_a_status() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.completed_at_worker(&[("001-2-plan.txt", b"p")]).await;
        each_row(
            [
                Fault::Hang,
                Fault::Status(500),
                Fault::Status(302),
                Fault::CutBody(10),
                Fault::WrongLength,
                Fault::SlowBody(Duration::from_secs(5)),
            ],
            async |fault| {
                stage.worker.faults().set(fault);
                let begun = Instant::now();
                let status = stage.tool("task_status", json!({ "task_id": id })).await;
                let took = begun.elapsed();
                println!("| worker {fault:?} | task_status | 200 | ok | {} |", took.as_millis());
                assert_eq!(
                    (&status["state"], &status["files"]),
                    (&json!("completed"), &json!([])),
                    "{fault:?}"
                );
                assert!(took < ANSWERED, "{fault:?}: {took:?}");
            },
        )
        .await;
        stage.worker.faults().set(Fault::Hang);
        // The messages of a batch share the time that the worker gets.
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": { "name": "task_status", "arguments": { "task_id": id } } });
        let begun = Instant::now();
        let answer = stage.post("/mcp", &json!(vec![call; 20])).await;
        assert_eq!(answer.json().as_array().map(Vec::len), Some(20));
        assert!(begun.elapsed() < ANSWERED, "{:?}", begun.elapsed());
        stage.worker.faults().set(Fault::None);
        let status = stage.tool("task_status", json!({ "task_id": id })).await;
        assert_ne!(status["files"], json!([]));
    });
}
