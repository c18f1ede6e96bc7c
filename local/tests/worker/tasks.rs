//! What becomes of a task, commit by commit.

use crate::support::{Database, get, start_cluster};
use anyhow::Result;
use planexe_local::worker::{Worker, WorkerOptions};
use std::path::Path;
use std::time::Duration;
use tokio::time::sleep;

const FAST: &str = "fast_but_skip_details";
const STOP: &str = "UPDATE task_item SET stop_requested = true, progress_message = 'Stop requested by user.'";

#[tokio::test]
async fn a_run_is_written_commit_by_commit() -> Result<()> {
    let database = Database::new("commits").await?;
    let id = database.add("A <b> & \"garden\"", FAST).await?;
    let mut options = database.options();
    options.post = Duration::from_secs(1);
    let worker = Worker::start(options).await?;
    database.line("TASK_COMPLETED%").await?;
    let path = format!("/runs/{id}/files");
    assert_eq!(get(&worker, &path).await?.status, 200, "until the POST has ended");
    let lines = database.ended().await?;
    while get(&worker, &path).await?.status == 200 {}
    let gone = format!("{{\"detail\":\"Run directory does not exist: /app/run/{id}\"}}");
    assert_eq!(get(&worker, &path).await?.text(), gone);

    let beat = format!("heartbeat {id}");
    let (calls, end) = lines[5..].split_at(142);
    assert_eq!(
        lines[..5].join("; "),
        format!(
            "GENERIC_EVENT Worker started; heartbeat -; processing 0.00 Picked up by server; {beat}; \
             TASK_PROCESSING Pending -> Processing"
        )
    );
    assert!(
        calls.iter().step_by(2).all(|line| *line == beat),
        "two commits a call: {calls:#?}"
    );
    let calls: Vec<&str> = calls.iter().skip(1).step_by(2).map(String::as_str).collect();
    assert_eq!(
        calls[..2],
        ["processing 1.80 2 of 111", "processing 3.60 4 of 111. Extra files: 1"]
    );
    let last = "96.40 107 of 111. Extra files: 13";
    assert_eq!(*calls.last().unwrap(), format!("processing {last}"));
    assert!(!calls.is_sorted_by_key(|line| line.split(' ').nth(2).unwrap().parse::<u32>().unwrap()));
    assert!(calls.windows(2).any(|pair| pair[0] == pair[1]));
    assert_eq!(
        end.join("; "),
        format!(
            "processing {last} +report +zip; completed {last} +report +zip; TASK_COMPLETED Processing -> Completed; \
             heartbeat -"
        )
    );
    let own = "SELECT count(DISTINCT transaction) = count(*) FROM journal";
    assert_eq!(database.one(own).await?, "true", "each write is a commit of its own");
    assert_eq!(
        database.one("SELECT last_seen_timestamp FROM task_item").await?,
        "2026-01-01 00:00:00"
    );

    for (kind, keys) in [
        (
            "GENERIC_EVENT",
            "WORKER_ID environment variable PLANEXE_WORKER_ID issue with worker_id pid",
        ),
        (
            "TASK_PROCESSING",
            "WORKER_ID duration_between_pending_and_processing run_id_dir speedvsdetail task_id user_id",
        ),
        (
            "TASK_COMPLETED",
            "WORKER_ID duration_between_processing_and_completion has_pipeline_complete_file has_report_file \
             has_stop_flag_file luigi_build_return_value number_of_files_in_run_id_dir run_id_dir speedvsdetail \
             stop_requested task_id user_id",
        ),
    ] {
        let context = database.contexts(kind).await?.remove(0);
        let context = context.as_object().unwrap();
        assert!(context.values().all(serde_json::Value::is_string), "{context:?}");
        let mut names: Vec<&str> = context.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names.join(" "), keys);
    }
    let report = database.one("SELECT generated_report_html FROM task_item").await?;
    assert!(report.contains("<pre>A &lt;b&gt; &amp; \"garden\"</pre>") && (4_000..11_000).contains(&report.len()));
    let zip: Vec<u8> = database
        .client
        .query_one("SELECT run_zip_snapshot FROM task_item", &[])
        .await?
        .get(0);
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(zip))?;
    assert_eq!(zip.len(), 111 + 13 + 1, "and expected_filenames1.json");
    let plan = std::io::read_to_string(zip.by_name("001-2-plan.txt")?)?;
    let wrapped = plan
        .strip_prefix("Plan:\nA <b> & \"garden\"\n\nToday's date:\n20")
        .unwrap();
    assert!(wrapped.ends_with("\n\nProject start ASAP"));
    let page = std::io::read_to_string(zip.by_name("025-2-executive_summary.md")?)?;
    assert!(page.contains("This is a sample made without a language model."));
    Ok(())
}

#[tokio::test]
async fn the_folder_comes_after_the_heartbeat_and_a_ping_is_never_stopped() -> Result<()> {
    let database = Database::new("ping").await?;
    let worker = Worker::start(WorkerOptions {
        step: Duration::from_millis(500),
        ..database.options()
    })
    .await?;
    database.line("heartbeat -").await?;
    let lock = Database::connect(database.url.clone()).await?;
    lock.client
        .batch_execute("BEGIN; LOCK TABLE workers IN SHARE MODE")
        .await?;
    let path = format!("/runs/{}/files", database.add("p", "ping_llm").await?);
    database.line("processing%").await?;
    assert_eq!(get(&worker, &path).await?.status, 404);
    lock.client.batch_execute("COMMIT").await?;
    database.line("TASK_PROCESSING%").await?;
    let first = "\"files\":[\"001-1-start_time.json\",\"001-2-plan.txt\"]}";
    assert!(get(&worker, &path).await?.text().ends_with(first));
    database.client.batch_execute(STOP).await?;
    let end = "0.00 Stop requested by user. +report +zip";
    let expected = format!("processing {end}; completed {end}; TASK_COMPLETED Processing -> Completed; heartbeat -");
    assert_eq!(database.ended().await?[6..].join("; "), expected);
    let context = database.contexts("TASK_COMPLETED").await?.remove(0);
    let counted = (
        &context["number_of_files_in_run_id_dir"],
        &context["luigi_build_return_value"],
    );
    assert_eq!(counted, (&"4".into(), &"None".into()));
    Ok(())
}

#[tokio::test]
async fn bad_ends_are_those_of_the_real_worker() -> Result<()> {
    let database = Database::new("ends").await?;
    let _worker = Worker::start(database.options()).await?;
    database.line("heartbeat -").await?;
    let unknown = "Unknown error happened while processing.";
    let unable = "Error. Unable to generate the report. Likely reasons: censorship, restricted content.";
    for (prompt, speed, lines, reason) in [
        (
            "[sample: fail]",
            FAST,
            "processing 2; processing 2; processing 2; processing 2 +zip; failed 2 +zip; -",
            unable,
        ),
        ("[sample: fail]", "ping_llm", "failed 0; -", unknown),
        ("unseen", FAST, "processing 0 +zip; failed 0 +zip; -", unable),
        (
            "unseen",
            "ping_llm",
            "processing 0 +report +zip; completed 0 +report +zip; +",
            "NULL",
        ),
        ("[sample: nul]", "ping_llm", "completed 0; +", "NULL"),
        (
            "[sample: badutf8]",
            "ping_llm",
            "processing 0 +zip; completed 0 +zip; +; failed 0 +zip; -",
            unknown,
        ),
        (
            "[sample: crlf]",
            "ping_llm",
            "processing 0 +report +zip; completed 0 +report +zip; +",
            "NULL",
        ),
    ] {
        database
            .client
            .batch_execute("DELETE FROM task_item; TRUNCATE journal, events")
            .await?;
        let insert = "INSERT INTO task_item (id, state, prompt, timestamp_created, last_seen_timestamp, parameters)
            VALUES (gen_random_uuid(), 'pending', $1, now(), CASE WHEN $1 <> 'unseen' THEN now() END,
                json_build_object('speed_vs_detail', $2::text))";
        database.client.execute(insert, &[&prompt, &speed]).await?;
        if prompt == "[sample: badutf8]" {
            database.line("TASK_FAILED%").await?;
        }
        let mut written = database.ended().await?;
        written.retain(|line| !line.starts_with("heartbeat"));
        let lines = lines
            .replace(" 0", " 0.00 Picked up by server")
            .replace(" 2", " 1.80 2 of 111");
        let lines = lines.replace("; -", "; TASK_FAILED Processing -> Failed");
        let lines = lines.replace("; +;", "; TASK_COMPLETED Processing -> Completed;");
        let lines = lines.strip_suffix("; +").map_or(lines.clone(), |rest| {
            format!("{rest}; TASK_COMPLETED Processing -> Completed")
        });
        assert_eq!(written[2..].join("; "), lines, "{prompt} {speed}");
        let last = "SELECT context ->> 'machai_error_message' FROM events ORDER BY id DESC LIMIT 1";
        assert_eq!(database.one(last).await?, reason, "{prompt} {speed}");
    }
    assert_eq!(
        database
            .one("SELECT strpos(generated_report_html, chr(13)) FROM task_item")
            .await?,
        "0"
    );
    let zip: Vec<u8> = database
        .client
        .query_one("SELECT run_zip_snapshot FROM task_item", &[])
        .await?
        .get(0);
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(zip))?;
    assert!(std::io::read_to_string(zip.by_name("030-report.html")?)?.contains("\r\n"));
    Ok(())
}

#[tokio::test]
async fn a_stop_is_seen_after_calls_and_a_task_that_waits_is_never_claimed() -> Result<()> {
    let database = Database::new("stop").await?;
    let waits = database.add("p", FAST).await?;
    database.client.batch_execute(STOP).await?;
    let id = database.add("p", FAST).await?;
    let _worker = Worker::start(WorkerOptions {
        step: Duration::from_millis(40),
        ..database.options()
    })
    .await?;
    database.line("%48 of 111%").await?;
    database
        .client
        .batch_execute(&format!("TRUNCATE journal; {STOP}"))
        .await?;
    let mut lines = database.ended().await?;
    lines.retain(|line| line.starts_with("processing") && !line.contains("+zip"));
    let kept = lines
        .iter()
        .filter(|line| line.contains("Stop requested by user."))
        .count();
    assert!(lines.len() > 3 && kept + 1 >= lines.len(), "{lines:#?}");
    assert!(lines.last().unwrap().ends_with("Stop requested by user."), "{lines:#?}");
    let row = "SELECT concat_ws(' ', state, progress_message, generated_report_html IS NULL, run_zip_snapshot IS NULL)
        FROM task_item WHERE id =";
    assert_eq!(
        database.one(&format!("{row} '{id}'")).await?,
        "failed Stop requested by user. t f"
    );
    assert_eq!(
        database.one(&format!("{row} '{waits}'")).await?,
        "pending Stop requested by user. t t"
    );
    let context = database.contexts("TASK_FAILED").await?.remove(0);
    assert_eq!(context["machai_error_message"], "Stopped by user.");
    assert_eq!(
        (&context["has_stop_flag_file"], &context["stop_requested"]),
        (&"True".into(), &"True".into())
    );
    Ok(())
}

#[tokio::test]
async fn a_killed_workers_task_stays_in_work_and_its_files_are_served() -> Result<()> {
    let database = Database::new("kill").await?;
    let id = database.add("p", "").await?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("worker-kill");
    let options = WorkerOptions {
        folder: Some(folder.clone()),
        ..database.options()
    };
    let first = Worker::start(options.clone()).await?;
    database.line("%36 of 111%").await?;
    first.stop().await;
    let later = database.add("p", "ping_llm").await?;
    let worker = Worker::start(WorkerOptions {
        id: Some("1".to_owned()),
        ..options
    })
    .await?;
    database.ended().await?;
    let state = format!("SELECT state FROM task_item WHERE id = '{id}'");
    assert_eq!(database.one(&state).await?, "processing");
    let files = get(&worker, &format!("/runs/{id}/files")).await?;
    assert!(
        files.status == 200 && files.text().contains("004-1"),
        "{}",
        files.text()
    );
    let named =
        "SELECT string_agg(length(id) || ' ' || coalesce(current_task_id, '-'), ', ' ORDER BY id = '1') FROM workers";
    assert_eq!(
        database.one(named).await?,
        format!("36 {id}, 1 -"),
        "no row is deleted, nor {later}"
    );
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

#[tokio::test]
async fn several_workers_share_the_tasks_the_oldest_first_and_beat_when_idle() -> Result<()> {
    let database = Database::new("share").await?;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(database.add("p", "ping_llm").await?);
    }
    let mut options = database.options();
    options.heartbeat = Duration::from_millis(60);
    let _workers = [Worker::start(options.clone()).await?, Worker::start(options).await?];
    database
        .until("6 = (SELECT count(*) FROM journal WHERE line LIKE 'TASK_COMPLETED%')")
        .await?;
    let claimed = database.contexts("TASK_PROCESSING").await?;
    assert_eq!(
        (claimed.len(), claimed[0]["task_id"].as_str()),
        (6, Some(ids[0].as_str()))
    );
    database.client.batch_execute("TRUNCATE journal").await?;
    database
        .until("4 <= (SELECT count(*) FROM journal WHERE line = 'heartbeat -')")
        .await
}

#[tokio::test]
async fn an_outage_of_the_database_fails_the_run() -> Result<()> {
    let cluster = start_cluster("outage").await?;
    let database = Database::within(&cluster, "outage").await?;
    let path = format!("/runs/{}/files", database.add("p", FAST).await?);
    let options = WorkerOptions {
        step: Duration::from_millis(50),
        poll: Duration::from_secs(3),
        ..database.options()
    };
    let worker = Worker::start(options).await?;
    database.line("%4 of 111%").await?;
    cluster.kill();
    sleep(Duration::from_millis(300)).await;
    cluster.restart().await?;
    let database = Database::connect(database.url).await?;
    database.line("TASK_FAILED%").await?;
    let row = "SELECT concat_ws(' ', state, generated_report_html IS NULL, run_zip_snapshot IS NULL) FROM task_item";
    assert_eq!(database.one(row).await?, "failed t t");
    let context = database.contexts("TASK_FAILED").await?.remove(0);
    assert_eq!(
        context["machai_error_message"],
        "Unknown error happened while processing."
    );
    database.ended().await?;
    while get(&worker, &path).await?.status == 200 {}
    let next = database.add("p", "ping_llm").await?;
    database
        .until(&format!(
            "(SELECT state = 'completed' FROM task_item WHERE id = '{next}')"
        ))
        .await?;
    worker.stop().await;
    cluster.stop().await;
    Ok(())
}
