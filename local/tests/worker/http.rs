//! What the HTTP half answers, and how it fails on purpose.

use crate::support::{Database, ask, entries};
use anyhow::Result;
use chrono::{FixedOffset, Timelike, Utc};
use planexe_local::schema::Generation;
use planexe_local::worker::{Fault, Worker, WorkerOptions};
use std::{io::Cursor, io::Write, path::Path, time::Duration, time::Instant};
use tokio::time::timeout;
use zip::write::SimpleFileOptions;

const REPORT: &str = Generation::Feb.report();
const TOKYO: FixedOffset = FixedOffset::east_opt(9 * 3600).unwrap();
/// Requests, statuses, a part of the head, bodies. Run `a` has a folder and no report, `b` is unknown.
const ROUTES: &str = r#"
GET /healthcheck|200|content-type: application/json|{"status":"ok","run_base_path":"/app/run"}
GET /runs/b|200|content-type: application/json|{"run_id":"b","run_dir":"/app/run/b","display_run_dir":"/app/run/b","run_dir_exists":false,"pid":null,"running":false,"returncode":null,"pipeline_complete":false,"stop_requested":false,"last_update_seconds_ago":null}
GET /runs/a/files|200|content-type: application/json|{"run_id":"a","run_dir":"/app/run/a","files":["10.md","2.md","log.txt","sub"]}
GET /runs/b/files|404|content-type: application/json|{"detail":"Run directory does not exist: /app/run/b"}
GET /runs/b/report|404|content-type: application/json|{"detail":"Run directory does not exist: /app/run/b"}
GET /runs/b/zip|404|content-type: application/json|{"detail":"Run directory does not exist: /app/run/b"}
GET /runs/a/report|404|content-type: application/json|{"detail":"Report file not found for run a"}
GET /runs/%2e%2E/zip|400|content-type: application/json|{"detail":"Invalid run directory."}
POST /runs/a/stop|404|content-type: application/json|{"detail":"Run not found: a"}
GET /runs/a/other|404|content-type: application/json|{"detail":"Not Found"}
GET /|404|content-type: application/json|{"detail":"Not Found"}
GET /runs/a/files/|307|location: http://h/runs/a/files|
POST /runs/a/report|405|allow: GET|{"detail":"Method Not Allowed"}
HEAD /runs/a/zip|405|allow: GET|"#;
/// The same for the report of a run, with headers.
const RANGES: &str = "
range: bytes=2-3|206|content-range: bytes 2-3/10|23
range: bytes=7-|206|content-range: bytes 7-9/10|789
range: bytes=-2|206|content-range: bytes 8-9/10|89
range: bytes=10-|416|content-range: */10|
range: bytes=x|400|content-type: text/plain|Malformed range header.
range: bytes=2-3\\nif-range: other|200|content-type: text/html; charset=utf-8|0123456789
accept: */*|200|content-disposition: attachment; filename=\"030-report.html\"|0123456789
accept: */*|200|accept-ranges: bytes|0123456789
if-none-match: ETAG|200|etag: ETAG|0123456789";

async fn start(name: &str) -> Result<Worker> {
    let mut options = WorkerOptions::new("postgres://nowhere.invalid");
    (options.claim, options.offset) = (false, TOKYO);
    options.folder = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
    Worker::start(options).await
}

/// Asks as the first column of a line says, after what all lines have in common, and expects the others.
async fn check(worker: &Worker, common: &str, line: &str) -> Result<()> {
    let columns: Vec<&str> = line.split('|').collect();
    let [request, status, part, body] = columns[..] else {
        anyhow::bail!("not four columns: {line}")
    };
    let answer = ask(worker, &format!("{common}{request}")).await?;
    assert_eq!(
        (answer.0.as_str(), String::from_utf8(answer.2)?.as_str()),
        (status, body),
        "{line}"
    );
    assert!(answer.1.contains(part), "{line}: {}", answer.1);
    Ok(())
}

#[tokio::test]
async fn the_routes_answer_as_worker_plan_does() -> Result<()> {
    let worker = start("worker-routes").await?;
    worker.add_files("a", ["2.md", "10.md", "log.txt", "sub/x"].map(|name| (name, "x")));
    for line in ROUTES.lines().skip(1) {
        check(&worker, "", line).await?;
    }
    let age = String::from_utf8(ask(&worker, "GET /runs/a").await?.2)?;
    assert!(
        age.contains("\"run_dir_exists\":true") && !age.contains("ago\":null"),
        "{age}"
    );
    assert_eq!(worker.requests().get("/runs/a/files"), Some(&1));
    Ok(())
}

#[tokio::test]
async fn files_have_ranges_and_archives_the_disks_order() -> Result<()> {
    let worker = start("worker-files").await?;
    worker.add_files("a", (0..40).map(|number| (format!("{number}-1.md"), "content")));
    worker.add_files(
        "a",
        [
            (REPORT, "0123456789"),
            ("log.txt", "l"),
            ("sub/log.txt", "l"),
            ("sub/x", "x"),
        ],
    );
    let etag = async |path| {
        let head = ask(&worker, path).await?.1;
        assert!(head.contains(" GMT\r\n"), "last-modified: {head}");
        anyhow::Ok(head.split("etag: ").nth(1).unwrap()[..34].to_owned())
    };
    let ranges = RANGES.replace("ETAG", &etag("GET /runs/a/report").await?);
    for line in ranges.split("\n").skip(1).map(|line| line.replace("\\n", "\n")) {
        check(&worker, "GET /runs/a/report\n", &line).await?;
    }
    assert_ne!(etag("GET /runs/a/zip").await?, etag("GET /runs/a/zip").await?);
    let (_, head, bytes) = ask(&worker, "GET /runs/a/zip").await?;
    assert!(
        head.contains("content-disposition: attachment; filename=\"a.zip\"\r\n"),
        "{head}"
    );
    assert_eq!(
        (bytes[6] & 8, &bytes[28..30]),
        (0, &[0, 0][..]),
        "sizes in the local header, no extra fields"
    );
    let packed: Vec<String> = entries(&bytes)?.into_iter().map(|(name, _)| name).collect();
    let disk = std::fs::read_dir(Path::new(env!("CARGO_TARGET_TMPDIR")).join("worker-files/a"))?;
    let disk = disk.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files = disk.filter(|name| name != "log.txt" && name != "sub");
    assert_eq!(packed, files.chain(["sub/x".to_owned()]).collect::<Vec<_>>());
    let written = zip::ZipArchive::new(Cursor::new(bytes))?.by_index(0)?.last_modified();
    let (written, now) = (written.unwrap().hour(), Utc::now().with_timezone(&TOKYO).hour());
    assert!(
        [now, (now + 23) % 24].contains(&written.into()),
        "{written} is no hour in Tokyo"
    );
    Ok(())
}

#[tokio::test]
async fn faults_do_what_they_say() -> Result<()> {
    let worker = start("worker-faults").await?;
    let (size, wait) = (200_000, Duration::from_millis(100));
    worker.add_files("a", [(REPORT, "x".repeat(size))]);
    let faults = worker.faults();
    let report = || ask(&worker, "GET /runs/a/report");
    let good = format!("content-length: {size}\r\n");
    faults.set(Fault::Status(500));
    assert_eq!(report().await?.0, "500");
    faults.set(Fault::CutBody(100));
    let (_, head, body) = report().await?;
    assert!(head.contains(&good) && body.len() == 100, "{head}");
    faults.set(Fault::WrongLength);
    let (_, head, body) = report().await?;
    assert!(
        head.contains("content-length: 201024\r\n") && body.len() == size,
        "{head}"
    );
    for (fault, least) in [(Fault::SlowBody(wait), wait * 4), (Fault::SlowStart(wait), wait)] {
        faults.set(fault);
        let began = Instant::now();
        assert!(report().await?.2.len() == size && began.elapsed() >= least, "{fault:?}");
    }
    faults.set(Fault::Vanishing);
    let (status, _, body) = ask(&worker, "GET /runs/a/zip").await?;
    assert!(status == "500" && body.starts_with(b"{\"detail\":\"Unable to create zip: "));
    faults.set(Fault::GoneAfterList);
    let statuses = [ask(&worker, "GET /runs/a/files").await?.0, report().await?.0];
    assert_eq!(statuses, ["200", "404"]);
    faults.set(Fault::Hang);
    assert!(timeout(wait, report()).await.is_err());
    assert_eq!(
        ask(&worker, "GET /healthcheck").await?.0,
        "200",
        "has a fault of its own"
    );
    faults.set(Fault::Refuse);
    while report().await.is_ok() {}
    assert!(format!("{:?}", report().await.err()).contains("refused"));
    faults.set(Fault::None);
    while report().await.is_err() {}
    assert!(report().await?.1.contains(&good));
    Ok(())
}

#[tokio::test]
async fn a_real_run_stands_for_every_result_in_the_order_of_the_work() -> Result<()> {
    let database = Database::new("serve").await?;
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("served-run.zip");
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path)?);
    let names = "001-2-plan.txt 002-3-premise_attack.json 002-14-strategic_decisions.md 029-7-viability.md .DS_Store";
    for name in names.split(' ').chain([REPORT]) {
        zip.start_file(format!("20250101_run/{name}"), SimpleFileOptions::default())?;
        zip.write_all(name.as_bytes())?;
    }
    zip.finish()?;
    let list = format!("GET /runs/{}/files", database.add("p", "").await?);
    let mut options = database.options();
    options.serve = Some(path);
    let worker = Worker::start(options.clone()).await?;
    let (mut seen, began) = (Vec::new(), Instant::now());
    while database.one("SELECT state FROM task_item").await? != "completed" {
        let files = String::from_utf8(ask(&worker, &list).await?.2)?;
        for name in ["002-3", "002-14", "029-7"] {
            if files.contains(name) && !seen.contains(&name) {
                seen.push(name);
            }
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{files}");
    }
    assert_eq!(seen, ["002-14", "002-3", "029-7"]);
    let report = "SELECT generated_report_html FROM task_item";
    assert_eq!(database.one(report).await?, REPORT);
    options.serve = Some("/no/such/run".into());
    let error = format!("{:#}", Worker::start(options).await.err().unwrap());
    assert!(error.starts_with("cannot read the run /no/such/run"), "{error}");
    Ok(())
}
