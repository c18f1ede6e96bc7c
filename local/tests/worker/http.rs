//! What the HTTP half answers, and how it fails on purpose.

use crate::support::{Database, ask, get};
use anyhow::Result;
use planexe_local::worker::{Fault, REPORT, Worker, WorkerOptions};
use std::io::{Cursor, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use time::UtcOffset;
use tokio::time::timeout;
use zip::write::SimpleFileOptions;

async fn start(name: &str) -> Result<Worker> {
    let mut options = WorkerOptions::new("postgres://nowhere.invalid");
    options.claim = false;
    options.offset = UtcOffset::from_hms(9, 0, 0)?;
    options.folder = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
    Worker::start(options).await
}

#[tokio::test]
async fn the_routes_answer_as_worker_plan_does() -> Result<()> {
    let worker = start("worker-routes").await?;
    worker.add_files(
        "a",
        [
            ("2.md", "b"),
            ("10.md", "a"),
            ("log.txt", "l"),
            ("sub/log.txt", "l"),
            ("sub/x", "x"),
        ],
    );
    let status = "{\"run_id\":\"b\",\"run_dir\":\"/app/run/b\",\"display_run_dir\":\"/app/run/b\",\"run_dir_exists\":false,\
        \"pid\":null,\"running\":false,\"returncode\":null,\"pipeline_complete\":false,\"stop_requested\":false,\
        \"last_update_seconds_ago\":null}";
    let missing = "{\"detail\":\"Run directory does not exist: /app/run/b\"}";
    let invalid = "{\"detail\":\"Invalid run directory.\"}";
    for (request, code, body) in [
        (
            "GET /healthcheck",
            200,
            "{\"status\":\"ok\",\"run_base_path\":\"/app/run\"}",
        ),
        ("GET /runs/b", 200, status),
        (
            "GET /runs/a/files",
            200,
            "{\"run_id\":\"a\",\"run_dir\":\"/app/run/a\",\"files\":[\"10.md\",\"2.md\",\"log.txt\",\"sub\"]}",
        ),
        ("GET /runs/b/files", 404, missing),
        ("GET /runs/b/report", 404, missing),
        ("GET /runs/b/zip", 404, missing),
        (
            "GET /runs/a/report",
            404,
            "{\"detail\":\"Report file not found for run a\"}",
        ),
        ("GET /runs/%2e%2E/zip", 400, invalid),
        ("POST /runs/a/stop", 404, "{\"detail\":\"Run not found: a\"}"),
        ("GET /runs/a/other", 404, "{\"detail\":\"Not Found\"}"),
        ("GET /", 404, "{\"detail\":\"Not Found\"}"),
        ("GET /runs/a/files/", 307, ""),
        ("POST /runs/a/report", 405, "{\"detail\":\"Method Not Allowed\"}"),
    ] {
        let (method, path) = request.split_once(' ').unwrap();
        let answer = ask(&worker, method, path, None).await?;
        assert_eq!((answer.status, answer.text().as_str()), (code, body), "{request}");
        match code {
            307 => assert_eq!(answer.header("location"), format!("{}/runs/a/files", worker.url())),
            405 => assert_eq!(answer.header("allow"), "GET"),
            _ => assert_eq!(answer.header("content-type"), "application/json"),
        }
    }
    let age = get(&worker, "/runs/a").await?.text();
    assert!(
        age.contains("\"run_dir_exists\":true") && !age.contains("ago\":null"),
        "{age}"
    );
    assert_eq!(ask(&worker, "HEAD", "/runs/a/zip", None).await?.status, 405);
    assert_eq!(worker.requests().get("/runs/a/files"), Some(&1));
    Ok(())
}

#[tokio::test]
async fn files_have_conditions_and_ranges_and_archives_the_disks_order() -> Result<()> {
    let worker = start("worker-files").await?;
    let names: Vec<String> = (0..40).map(|number| format!("{number}-1.md")).collect();
    worker.add_files("a", names.iter().map(|name| (name, "content of a file")));
    worker.add_files(
        "a",
        [
            (REPORT, "0123456789"),
            ("log.txt", "l"),
            ("sub/log.txt", "l"),
            ("sub/x", "x"),
        ],
    );
    let report = get(&worker, "/runs/a/report").await?;
    let etag = report.header("etag").to_owned();
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("content-disposition", "attachment; filename=\"030-report.html\""),
        ("accept-ranges", "bytes"),
        ("content-length", "10"),
    ] {
        assert_eq!(report.header(name), value);
    }
    assert!(report.header("last-modified").ends_with(" GMT") && etag.len() == 34);
    for (name, value, status, range, body) in [
        ("if-none-match", etag.as_str(), 200, "", "0123456789"),
        ("range", "bytes=2-3", 206, "bytes 2-3/10", "23"),
        ("range", "bytes=7-", 206, "bytes 7-9/10", "789"),
        ("range", "bytes=-2", 206, "bytes 8-9/10", "89"),
        ("range", "bytes=10-", 416, "*/10", ""),
        ("range", "bytes=x", 400, "", "Malformed range header."),
    ] {
        let answer = ask(&worker, "GET", "/runs/a/report", Some((name, value))).await?;
        let found = (answer.status, answer.header("content-range"), answer.text());
        assert_eq!(found, (status, range, body.to_owned()), "{name}: {value}");
    }

    let answers = [get(&worker, "/runs/a/zip").await?, get(&worker, "/runs/a/zip").await?];
    assert_ne!(answers[0].header("etag"), answers[1].header("etag"));
    assert_eq!(
        answers[0].header("content-disposition"),
        "attachment; filename=\"a.zip\""
    );
    let bytes = answers[0].body.as_ref().unwrap();
    assert_eq!(
        (bytes[6] & 8, &bytes[28..30]),
        (0, &[0, 0][..]),
        "sizes in the local header, no extra fields"
    );
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes.clone()))?;
    let packed: Vec<String> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
    let disk = std::fs::read_dir(Path::new(env!("CARGO_TARGET_TMPDIR")).join("worker-files/a"))?;
    let disk = disk.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let expected: Vec<String> = disk
        .filter(|name| name != "log.txt" && name != "sub")
        .chain(["sub/x".to_owned()])
        .collect();
    assert_eq!(packed, expected);
    let written = zip.by_index(0)?.last_modified().unwrap();
    let tokyo = time::OffsetDateTime::now_utc().to_offset(UtcOffset::from_hms(9, 0, 0)?);
    assert!(
        (i16::from(written.hour()) - i16::from(tokyo.hour())).rem_euclid(23) <= 1,
        "{written:?}"
    );
    Ok(())
}

#[tokio::test]
async fn faults_do_what_they_say() -> Result<()> {
    let worker = start("worker-faults").await?;
    let page = "x".repeat(200_000);
    worker.add_files("a", [(REPORT, &page)]);
    let faults = worker.faults().clone();
    let report = || get(&worker, "/runs/a/report");
    faults.set(Fault::Status(500));
    assert_eq!(report().await?.status, 500);
    for (fault, length) in [(Fault::CutBody(100), "200000"), (Fault::WrongLength, "201024")] {
        faults.set(fault);
        let answer = report().await?;
        assert!(
            answer.header("content-length") == length && answer.body.is_err(),
            "{fault:?}"
        );
    }
    let wait = Duration::from_millis(100);
    for (fault, least) in [(Fault::SlowBody(wait), wait * 4), (Fault::SlowStart(wait), wait)] {
        faults.set(fault);
        let began = Instant::now();
        assert_eq!(report().await?.text(), page);
        assert!(began.elapsed() >= least, "{fault:?}");
    }
    faults.set(Fault::Vanishing);
    let failed = get(&worker, "/runs/a/zip").await?;
    assert!(failed.status == 500 && failed.text().starts_with("{\"detail\":\"Unable to create zip: "));
    faults.set(Fault::GoneAfterList);
    assert_eq!(
        (get(&worker, "/runs/a/files").await?.status, report().await?.status),
        (200, 404)
    );
    faults.set(Fault::Hang);
    assert!(timeout(wait, report()).await.is_err());
    assert_eq!(
        get(&worker, "/healthcheck").await?.status,
        200,
        "has a fault of its own"
    );
    faults.set(Fault::Refuse);
    while report().await.is_ok() {}
    assert!(format!("{:?}", report().await.err()).contains("refused"));
    faults.set(Fault::None);
    while report().await.is_err() {}
    assert_eq!(report().await?.text(), page);
    Ok(())
}

#[tokio::test]
async fn a_real_run_stands_for_every_result_in_the_order_of_the_work() -> Result<()> {
    let database = Database::new("serve").await?;
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for name in [
        "001-2-plan.txt",
        "002-3-premise_attack.json",
        "002-14-strategic_decisions.md",
        "029-7-viability.md",
        REPORT,
        ".DS_Store",
    ] {
        zip.start_file(format!("20250101_run/{name}"), SimpleFileOptions::default())?;
        zip.write_all(name.as_bytes())?;
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("served-run.zip");
    std::fs::write(&path, zip.finish()?.into_inner())?;
    let id = database.add("p", "").await?;
    let options = WorkerOptions {
        serve: Some(path),
        ..database.options()
    };
    let worker = Worker::start(options.clone()).await?;
    let (mut seen, list) = (Vec::new(), format!("/runs/{id}/files"));
    while database.one("SELECT state FROM task_item").await? != "completed" {
        let files = get(&worker, &list).await?.text();
        for name in ["002-3", "002-14", "029-7", "030"] {
            if files.contains(name) && !seen.contains(&name) {
                seen.push(name);
            }
        }
    }
    assert_eq!(seen[..3], ["002-14", "002-3", "029-7"]);
    assert_eq!(
        database.one("SELECT generated_report_html FROM task_item").await?,
        REPORT
    );
    let missing = WorkerOptions {
        serve: Some("/no/such/run".into()),
        ..options
    };
    let error = Worker::start(missing).await.err().unwrap();
    assert!(
        format!("{error:#}").starts_with("cannot read the run /no/such/run"),
        "{error:#}"
    );
    Ok(())
}
