//! What the HTTP half answers, and how it fails on purpose.

use crate::support::{Database, ask, entries};
use anyhow::Result;
use chrono::{FixedOffset, Timelike, Utc};
use planexe_local::schema::Generation;
use planexe_local::worker::{Fault, Worker, WorkerOptions};
use std::time::{Duration, Instant, SystemTime};
use std::{io::Cursor, io::Write, path::Path};
use tokio::time::timeout;
use zip::write::SimpleFileOptions;

const REPORT: &str = Generation::Feb.report();
const TOKYO: FixedOffset = FixedOffset::east_opt(9 * 3600).unwrap();
/// Requests, statuses, a part of the head, bodies. Run `a` has a folder and no report, `b` is unknown.
const ROUTES: &str = r#"
GET /healthcheck|200|content-type: application/json|{"status":"ok","run_base_path":"/app/run"}
GET /runs/a/files|200|content-type: application/json|{"run_id":"a","run_dir":"/app/run/a","files":["10.md","2.md","log.txt","sub"]}
GET /runs/b/files|404|content-type: application/json|{"detail":"Run directory does not exist: /app/run/b"}
GET /runs/b/report|404|content-type: application/json|{"detail":"Run directory does not exist: /app/run/b"}
GET /runs/b/zip|404|content-type: application/json|{"detail":"Run directory does not exist: /app/run/b"}
GET /runs/a/report|404|content-type: application/json|{"detail":"Report file not found for run a"}
GET /runs/%2e%2E/zip|400|content-type: application/json|{"detail":"Invalid run directory."}
GET /runs/a/other|404|content-type: application/json|{"detail":"Not Found"}
GET /|404|content-type: application/json|{"detail":"Not Found"}
POST /runs/a/report|405|allow: GET|{"detail":"Method Not Allowed"}
HEAD /runs/a/zip|405|allow: GET|"#;
/// The same in May: its report has no number, and files have times.
const MAYS: [&str; 3] = [
    r#"GET /runs/a/report|404|json|{"detail":"Report file not found for run a"}"#,
    r#"GET /runs/c/report|200|filename="report.html"|x"#,
    r#"GET /runs/c/files|200|json|{"run_id":"c","run_dir":"/app/run/c","files":["030-report.html","report.html"],"files_with_timestamps":[{"name":"030-report.html","updated_at":"1970-01-01T00:00:00Z"},{"name":"report.html","updated_at":"1970-01-01T00:00:00Z"}]}"#,
];

async fn start(name: &str) -> Result<Worker> {
    let mut options = WorkerOptions::new("postgres://nowhere.invalid");
    (options.claim, options.offset) = (false, TOKYO);
    options.folder = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
    Worker::start(options).await
}

/// Asks as the first column of a line says, and expects the others.
async fn check(worker: &Worker, line: &str) -> Result<()> {
    let columns: Vec<&str> = line.split('|').collect();
    let [request, status, part, body] = columns[..] else {
        anyhow::bail!("not four columns: {line}")
    };
    let (found, head, content) = ask(worker, request).await?;
    assert_eq!((&*found, &*String::from_utf8(content)?), (status, body), "{line}");
    assert!(head.contains(part), "{line}: {head}");
    Ok(())
}

#[tokio::test]
async fn the_routes_answer_as_worker_plan_does() -> Result<()> {
    let worker = start("worker-routes").await?;
    worker.add_files("a", ["2.md", "10.md", "log.txt", "sub/x"].map(|name| (name, "x")));
    for line in ROUTES.lines().skip(1) {
        check(&worker, line).await?;
    }
    assert_eq!(worker.requests().get("/runs/a/files"), Some(&1));
    worker.upgrade();
    check(&worker, MAYS[0]).await?;
    worker.add_files("c", [("report.html", "x"), ("030-report.html", ""), ("sub/x", "x")]);
    for name in ["report.html", "030-report.html"] {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("worker-routes/c")
            .join(name);
        std::fs::File::options()
            .append(true)
            .open(path)?
            .set_modified(SystemTime::UNIX_EPOCH)?;
    }
    check(&worker, MAYS[1]).await?;
    check(&worker, MAYS[2]).await
}

#[tokio::test]
async fn archives_have_the_disks_order() -> Result<()> {
    let worker = start("worker-files").await?;
    worker.add_files("a", (0..40).map(|number| (format!("{number}-1.md"), "content")));
    worker.add_files("a", ["log.txt", "sub/log.txt", "sub/x"].map(|name| (name, "x")));
    let (_, head, bytes) = ask(&worker, "GET /runs/a/zip").await?;
    assert!(head.contains("attachment; filename=\"a.zip\"\r\n"), "{head}");
    let header = (bytes[6] & 8, &bytes[28..30]);
    assert_eq!(header, (0, &[0, 0][..]), "it has sizes, and no extra fields");
    let packed: Vec<String> = entries(&bytes)?.into_iter().map(|(name, _)| name).collect();
    let disk = std::fs::read_dir(Path::new(env!("CARGO_TARGET_TMPDIR")).join("worker-files/a"))?;
    let disk = disk.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files = disk.filter(|name| name != "log.txt" && name != "sub");
    assert_eq!(packed, files.chain(["sub/x".to_owned()]).collect::<Vec<_>>());
    let written = zip::ZipArchive::new(Cursor::new(bytes))?.by_index(0)?.last_modified();
    let (written, now) = (written.unwrap().hour(), Utc::now().with_timezone(&TOKYO).hour());
    let hours = [now, (now + 23) % 24];
    assert!(hours.contains(&written.into()), "{written} is no hour in Tokyo");
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
    database.is(report, REPORT).await?;
    options.serve = Some("/no/such/run".into());
    let error = format!("{:#}", Worker::start(options).await.err().unwrap());
    assert!(error.starts_with("cannot read the run /no/such/run"), "{error}");
    Ok(())
}
