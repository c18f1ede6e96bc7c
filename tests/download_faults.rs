//! What clients see when Postgres or the worker fails: each fault ends within its limit, and nothing cut short looks complete.

use std::time::Instant;

use http_body_util::BodyExt as _;
use planexe_local::worker::Fault;
use serde_json::json;

use crate::{
    download_entries::noise,
    faults::WAITED_FOR,
    support::{ANSWERED, Stage, Subject, each_row, is_skipped_on, own_cluster, request, run},
};

/// A completed task whose files only the worker has, the files large enough to be cut.
async fn at_worker() -> (Stage, String) {
    let stage = Stage::builder().build().await;
    let (small, large) = (noise(300_000), noise(400_000));
    let files = [
        ("001-one.bin", &*small),
        ("030-report.html", &large),
        ("040-other.bin", &small),
    ];
    let id = stage.completed_at_worker(&files).await;
    (stage, id)
}

#[test]
fn a_failing_worker_is_told_of_and_nothing_looks_complete() {
    run(async {
        let (stage, id) = at_worker().await;
        let files = ["030-report.html", "run.zip", "001-one.bin", "040-other.bin"];
        for file in files {
            let whole = stage.get(&format!("/download/{id}/{file}")).await;
            assert_eq!(whole.status(), 200);
            assert!(whole.bytes().len() >= 300_000);
        }
        // Where in the archive an entry begins: the order is the disk's.
        let zip = stage.get(&format!("/download/{id}/run.zip")).await.bytes().clone();
        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(zip)).expect("an archive");
        let begins = files.map(|file| {
            zip.by_name(file)
                .map_or(0, |entry| entry.data_start().unwrap_or_default())
        });
        // What does not come at all has a status; what has begun breaks off.
        each_row(
            [
                (Fault::Status(500), None),
                (Fault::CutBody(0), Some(0)),
                (Fault::CutBody(100_000), Some(100_000)),
                (Fault::CutBody(350_000), Some(350_000)),
                (Fault::WrongLength, Some(u64::MAX)),
            ],
            async |(fault, arrives)| {
                stage.worker.faults().set(fault);
                for (file, begins) in files.into_iter().zip(begins) {
                    let is_entry = file.ends_with(".bin");
                    let comes = arrives.is_some_and(|arrives| !is_entry || begins < arrives);
                    let status = if comes { 200 } else { 502 };
                    let answer = stage.get(&format!("/download/{id}/{file}")).await;
                    assert_eq!(answer.status(), status, "{fault:?} {file}");
                    if status == 200 {
                        // Entries that came before the cut are right and complete.
                        let complete = answer.body.as_ref().is_ok_and(|body| body.len() == 300_000);
                        assert!(
                            answer.body.is_err() || (is_entry && complete),
                            "{fault:?} {file} looks complete"
                        );
                    } else {
                        let detail = answer.json()["detail"].as_str().expect("a detail").to_owned();
                        assert!(
                            detail.contains("service that keeps this file") || detail.contains("damaged"),
                            "{detail}"
                        );
                    }
                }
                let info = stage.tool("task_file_info", json!({ "task_id": id })).await;
                assert_eq!(info["error"]["code"], "content_unavailable", "{fault:?}: {info}");
                let status = stage.tool("task_status", json!({ "task_id": id })).await;
                assert_eq!(status["state"], "completed", "{fault:?}: {status}");
            },
        )
        .await;
    });
}

#[test]
fn a_worker_that_hangs_is_waited_for_no_longer_than_its_limit() {
    run(async {
        let (stage, id) = at_worker().await;
        stage.worker.faults().set(Fault::Hang);
        let began = Instant::now();
        let status = stage.tool("task_status", json!({ "task_id": id })).await;
        assert_eq!((&status["state"], &status["files"]), (&json!("completed"), &json!([])));
        assert!(
            (1800..3000).contains(&began.elapsed().as_millis()),
            "{:?}",
            began.elapsed()
        );
        let began = Instant::now();
        let paths = ["030-report.html", "run.zip", "001-one.bin"].map(|file| format!("/download/{id}/{file}"));
        let [report, zip, entry] = &paths;
        let (report, zip, entry, info) = futures::join!(
            stage.get(report),
            stage.get(zip),
            stage.get(entry),
            stage.tool("task_file_info", json!({ "task_id": id }))
        );
        assert_eq!([report.status(), zip.status(), entry.status()], [504, 504, 504]);
        assert_eq!(info["error"]["code"], "content_unavailable");
        assert!((9..13).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    });
}

#[test]
fn a_worker_that_refuses_connections_is_reported_at_once() {
    run(async {
        let stage = Stage::builder()
            .set("PLANEXE_WORKER_PLAN_URL", "http://127.0.0.1:9")
            .build()
            .await;
        let id = stage.create("p").await;
        let began = Instant::now();
        // While the plan is made, the file may be there later. Of a complete plan, worker_plan has nothing any more.
        each_row(
            [
                (
                    "processing",
                    &["run.zip?partial=1", "001-first.bin"][..],
                    502,
                    "worker_unreachable",
                    "5",
                ),
                (
                    "completed",
                    &["030-report.html", "run.zip", "001-first.bin"],
                    410,
                    "not_stored",
                    "",
                ),
            ],
            async |(state, files, status, reason, retry)| {
                stage
                    .execute("UPDATE task_item SET state = $1::text::taskstate", &[&state])
                    .await;
                for file in files {
                    let answer = stage.get(&format!("/download/{id}/{file}")).await;
                    assert_eq!(
                        (answer.status(), answer.header("retry-after")),
                        (status, retry),
                        "{file}"
                    );
                    assert_eq!(answer.json()["reason"], reason, "{file}");
                }
            },
        )
        .await;
        // What the database has needs no worker.
        stage
            .execute("UPDATE task_item SET generated_report_html = '<p>plan'", &[])
            .await;
        assert_eq!(
            stage.get(&format!("/download/{id}/030-report.html")).await.text(),
            "<p>plan"
        );
        assert!(began.elapsed() < ANSWERED);
    });
}

#[test]
fn a_database_that_goes_away_breaks_the_download_off() {
    run(async {
        let cluster = own_cluster(&[]).await;
        let stage = Stage::builder().on(cluster).await;
        let id = stage.create("p").await;
        let bytes = noise(20_000_000);
        stage.complete_with_zip(&bytes).await;
        let path = format!("/download/{id}/run.zip");
        let get = || request(http::Method::GET, &path, &[], bytes::Bytes::new());
        for freeze in [true, false] {
            if freeze && is_skipped_on(Subject::Wasi02, WAITED_FOR) {
                continue;
            }
            let mut body = stage.begin(get()).await.into_body();
            let first = body.frame().await.expect("a frame").expect("the first slice");
            let mut received = first.into_data().expect("data").len();
            if freeze {
                cluster.freeze();
            } else {
                cluster.kill();
            }
            let began = Instant::now();
            let error = loop {
                match body.frame().await {
                    Some(Ok(frame)) => received += frame.into_data().map_or(0, |data| data.len()),
                    Some(Err(error)) => break Some(error),
                    None => break None,
                }
            };
            assert!(error.is_some(), "it looks complete");
            assert!(received < bytes.len(), "{received}");
            assert!(began.elapsed() < ANSWERED, "{:?}", began.elapsed());
            let answer = stage.send(get()).await;
            assert_eq!((answer.status(), answer.header("retry-after")), (503, "5"));
            cluster.thaw();
        }
        cluster.restart().await.expect("Postgres again");
        let answer = stage.send(get()).await;
        assert!(
            answer.status() == 200 && *answer.bytes() == bytes,
            "it goes on after the restart"
        );
    });
}

#[test]
fn a_plan_that_is_made_anew_does_not_mix_with_the_old_one() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        stage.complete_with_zip(&noise(20_000_000)).await;
        let path = format!("/download/{id}/run.zip");
        let mut body = stage
            .begin(request(http::Method::GET, &path, &[], bytes::Bytes::new()))
            .await
            .into_body();
        body.frame().await.expect("a frame").expect("the first slice");
        stage.complete_with_zip(&vec![0; 20_000_000]).await;
        assert!(body.collect().await.is_err(), "two archives in one answer");
    });
}
