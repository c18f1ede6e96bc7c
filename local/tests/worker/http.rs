//! What the HTTP half answers, and how it fails on purpose.

use crate::support::{Database, ask, get};
use anyhow::{Context, Result};
use hyper::StatusCode;
use planexe_local::worker::{Fault, REPORT, Worker, WorkerOptions};
use std::io::{Cursor, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};
use zip::write::SimpleFileOptions;

#[tokio::test]
async fn a_real_run_stands_for_every_result_and_the_database_can_stay_empty() -> Result<()> {
    let database = Database::new("serve").await?;
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.add_directory("20250101_run/", SimpleFileOptions::default())?;
    for name in [
        "20250101_run/001-2-plan.txt",
        "20250101_run/030-report.html",
        "__MACOSX/20250101_run/._030-report.html",
    ] {
        zip.start_file(name, SimpleFileOptions::default())?;
        zip.write_all(name.as_bytes())?;
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("served-run.zip");
    std::fs::write(&path, zip.finish()?.into_inner())?;

    let id = database.add("A prompt", "ping_llm").await?;
    let options = WorkerOptions {
        serve: Some(path),
        store_in_database: false,
        ..database.options()
    };
    let worker = Worker::start(options).await?;
    let row = database.ended(&id).await?;
    assert_eq!(
        (row.get::<_, Option<&str>>(4), row.get::<_, Option<&[u8]>>(5)),
        (None, None)
    );
    let files = get(&worker, &format!("/runs/{id}/files")).await?.json()?;
    assert_eq!(
        files["files"],
        serde_json::json!(["001-2-plan.txt", "030-report.html", "log.txt"])
    );
    let report = get(&worker, &format!("/runs/{id}/report")).await?;
    assert_eq!(report.body?, "20250101_run/030-report.html");

    let missing = WorkerOptions {
        serve: Some("/no/such/run".into()),
        ..database.options()
    };
    assert!(Worker::start(missing).await.is_err());
    Ok(())
}

#[tokio::test]
async fn the_routes_answer_as_worker_plan_does() -> Result<()> {
    let database = Database::new("routes").await?;
    let worker = Worker::start(WorkerOptions {
        claim: false,
        ..database.options()
    })
    .await?;
    worker.add_files("a", [("b.md", "b"), ("a.md", "a")]);
    assert_eq!(get(&worker, "/healthcheck").await?.status, StatusCode::OK);
    assert_eq!(
        get(&worker, "/runs/a/files").await?.json()?["files"],
        serde_json::json!(["a.md", "b.md"])
    );
    for path in [
        "/runs/nobody/files",
        "/runs/a/report",
        "/runs/a",
        "/runs/a/other",
        "/",
        "/healthcheck/x",
        "/runs/%00/zip",
    ] {
        let answer = get(&worker, path).await?;
        assert_eq!(
            (answer.status, answer.kind.as_str()),
            (StatusCode::NOT_FOUND, "application/json"),
            "{path}"
        );
        assert!(answer.json()?["detail"].is_string());
    }
    assert_eq!(
        ask("POST", format!("{}/runs/a/files", worker.url())).await?.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(worker.requests().get("/runs/a/files"), Some(&2));
    assert_eq!(worker.requests().get("/runs/b/files"), None);
    Ok(())
}

#[tokio::test]
async fn faults_do_what_they_say() -> Result<()> {
    let database = Database::new("faults").await?;
    let worker = Worker::start(WorkerOptions {
        claim: false,
        ..database.options()
    })
    .await?;
    let page = "x".repeat(200_000);
    worker.add_files("a", [(REPORT, page.clone())]);
    let faults = worker.faults().clone();
    let path = "/runs/a/report";

    faults.set(Fault::Status(500));
    assert_eq!(get(&worker, path).await?.status, StatusCode::INTERNAL_SERVER_ERROR);
    faults.set(Fault::CutBody(100));
    let answer = get(&worker, path).await?;
    assert_eq!((answer.status, answer.length), (StatusCode::OK, Some(200_000)));
    assert!(answer.body.is_err());
    faults.set(Fault::WrongLength);
    let answer = get(&worker, path).await?;
    assert_eq!((answer.length, answer.body.is_err()), (Some(201_024), true));
    faults.set(Fault::SlowBody(Duration::from_millis(100)));
    let began = Instant::now();
    assert_eq!(get(&worker, path).await?.body?, page);
    assert!(began.elapsed() >= Duration::from_millis(400), "four pieces");
    faults.set(Fault::Hang);
    assert!(timeout(Duration::from_millis(200), get(&worker, path)).await.is_err());
    assert_eq!(
        get(&worker, "/healthcheck").await?.status,
        StatusCode::OK,
        "has a fault of its own"
    );
    faults.set_health(Fault::Status(503));
    assert_eq!(
        get(&worker, "/healthcheck").await?.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    faults.set(Fault::None);
    assert_eq!(get(&worker, path).await?.body?, page);

    faults.set(Fault::Hang);
    let url = format!("{}{path}", worker.url());
    let hanging = tokio::spawn(ask("GET", url));
    sleep(Duration::from_millis(50)).await;
    timeout(Duration::from_secs(4), worker.stop())
        .await
        .context("a hanging request holds up the stop")?;
    assert!(hanging.await?.is_err());
    Ok(())
}
