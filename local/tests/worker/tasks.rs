//! What becomes of a task, commit by commit.

use crate::support::{Database, ask, gone, start_cluster, status};
use anyhow::Result;
use planexe_local::worker::Worker;
use serde_json::Value;
use std::{collections::BTreeSet, path::Path, time::Duration};
use tokio::time::sleep;

const FAST: &str = "fast_but_skip_details";
const STOP: &str = "UPDATE task_item SET stop_requested = true, progress_message = 'Stop requested by user.'";
/// The types of events and the keys of their contexts.
const CONTEXTS: &str = "
GENERIC_EVENT|WORKER_ID,environment variable PLANEXE_WORKER_ID,issue with worker_id,pid
TASK_PROCESSING|WORKER_ID,duration_between_pending_and_processing,run_id_dir,speedvsdetail,task_id,user_id
TASK_COMPLETED|WORKER_ID,duration_between_processing_and_completion,has_pipeline_complete_file,has_report_file,has_stop_flag_file,luigi_build_return_value,number_of_files_in_run_id_dir,run_id_dir,speedvsdetail,stop_requested,task_id,user_id";
/// Bad ends: prompt, level of detail, reason in the last event, and what is written after the event of the beginning.
/// 0 and 2 stand for the two progress texts, C and F for the events of the end.
const ENDS: &str = "
[sample: fail]|fast_but_skip_details|Error. Unable to generate the report. Likely reasons: censorship, restricted content.|processing 2; processing 2; processing 2; processing 2 +zip; failed 2 +zip; F
[sample: fail]|ping_llm|Unknown error happened while processing.|failed 0; F
unseen|fast_but_skip_details|Error. Unable to generate the report. Likely reasons: censorship, restricted content.|processing 0 +zip; failed 0 +zip; F
unseen|ping_llm|NULL|processing 0 +report +zip; completed 0 +report +zip; C
[sample: nul]|ping_llm|NULL|completed 0; C
[sample: badutf8]|ping_llm|Unknown error happened while processing.|processing 0 +zip; completed 0 +zip; C; failed 0 +zip; F
[sample: crlf]|ping_llm|NULL|processing 0 +report +zip; completed 0 +report +zip; C";
/// The same in May. H stands for the progress of the end.
const MAYS: &str = "
[sample: fail]|ping_llm|Unknown error happened while processing.|failed 0; failed 0 worker_error; F
unseen|fast_but_skip_details|Error. Unable to generate the report. Likely reasons: censorship, restricted content.|processing 0 +zip; failed 0 +zip; failed 0 generation_error +zip; F
[sample: nul]|ping_llm|NULL|completed 0; H; C
[sample: badutf8]|ping_llm|NULL|processing 0 +zip; completed 0 +zip; H +zip; C
[sample: crlf]|ping_llm|NULL|processing 0 +report +zip; completed 0 +report +zip; H +report +zip; C";

#[tokio::test]
async fn a_run_is_written_commit_by_commit() -> Result<()> {
    let database = Database::new("commits").await?;
    let id = database.add("A <b> & \"garden\"", FAST).await?;
    let mut options = database.options();
    options.post = Duration::from_secs(1);
    let worker = Worker::start(options).await?;
    database.line("TASK_COMPLETED%").await?;
    assert_eq!(status(&worker, &id).await?, "200", "until the POST has ended");
    let lines = database.ended().await?;
    gone(&worker, &id).await?;

    let beat = format!("heartbeat {id}");
    let (calls, end) = lines[5..].split_at(142);
    let start = format!("heartbeat -; processing 0.00 Picked up by server; {beat}; TASK_PROCESSING");
    let start = format!("GENERIC_EVENT Worker started; {start} Pending -> Processing");
    assert_eq!(lines[..5].join("; "), start);
    let last = "96.40 107 of 111. Extra files: 13";
    let stored = format!("processing {last} +report +zip; completed {last} +report +zip; ");
    let stored = stored + "TASK_COMPLETED Processing -> Completed; heartbeat -";
    assert_eq!(end.join("; "), stored);
    let is_beat = calls.iter().step_by(2).all(|line| *line == beat);
    assert!(is_beat, "two commits a call: {calls:#?}");
    let calls: Vec<&String> = calls.iter().skip(1).step_by(2).collect();
    assert_eq!(calls[0], "processing 1.80 2 of 111");
    assert_eq!(calls[1], "processing 3.60 4 of 111. Extra files: 1");
    assert_eq!(*calls[70], format!("processing {last}"));
    let done = |line: &&String| line.split(' ').nth(2).unwrap().parse::<u32>().unwrap();
    let repeats = calls.windows(2).any(|pair| pair[0] == pair[1]);
    assert!(repeats && !calls.is_sorted_by_key(done), "{calls:#?}");
    // Each write is a commit of its own.
    let own = "SELECT count(DISTINCT transaction) = count(*) FROM journal";
    database.is(own, "true").await?;
    // Never written.
    let seen = "SELECT last_seen_timestamp FROM task_item";
    database.is(seen, "2026-01-01 00:00:00").await?;

    for line in CONTEXTS.lines().skip(1) {
        let (kind, keys) = line.split_once('|').unwrap();
        let context = database.context(kind).await?;
        let context = context.as_object().unwrap();
        assert!(context.values().all(Value::is_string), "{context:?}");
        let names: BTreeSet<&str> = context.keys().map(String::as_str).collect();
        assert_eq!(names, keys.split(',').collect(), "{kind}");
    }
    let text = "SELECT context FROM events WHERE message = 'Processing -> Completed'";
    let text = database.one(text).await?;
    assert!(text.contains("\"has_report_file\": \"True\", "), "{text}");
    assert!(text.contains("\"SpeedVsDetailEnum.FAST_BUT_SKIP_DETAILS\""), "{text}");
    let report = "SELECT generated_report_html FROM task_item";
    let report = database.one(report).await?;
    assert!(report.contains("<pre>A &lt;b&gt; &amp; \"garden\"</pre>"), "{report}");
    let zip = database.zip().await?;
    assert_eq!(zip.len(), 111 + 13 + 1, "and expected_filenames1.json");
    let content = |name: &str| zip.iter().find(|(entry, _)| entry == name).unwrap().1.as_str();
    let plan = content("001-2-plan.txt");
    assert!(
        plan.starts_with("Plan:\nA <b> & \"garden\"\n\nToday's date:\n20"),
        "{plan}"
    );
    assert!(plan.ends_with("\n\nProject start ASAP"), "{plan}");
    let summary = content("025-2-executive_summary.md");
    assert!(summary.contains("This is a sample made without a language model."));
    Ok(())
}

#[tokio::test]
async fn the_folder_comes_after_the_heartbeat_and_a_ping_is_never_stopped() -> Result<()> {
    let database = Database::new("ping").await?;
    let mut options = database.options();
    options.step = Duration::from_millis(500);
    let worker = Worker::start(options).await?;
    database.line("heartbeat -").await?;
    let lock = Database::connect(database.url.clone()).await?;
    let exclusive = "BEGIN; LOCK TABLE workers IN SHARE MODE";
    lock.client.batch_execute(exclusive).await?;
    let id = database.add("p", "ping_llm").await?;
    database.line("processing%").await?;
    assert_eq!(status(&worker, &id).await?, "404");
    lock.client.batch_execute("COMMIT").await?;
    database.line("TASK_PROCESSING%").await?;
    let files = ask(&worker, &format!("GET /runs/{id}/files")).await?.2;
    let first = br#""files":["001-1-start_time.json","001-2-plan.txt"]}"#;
    assert!(files.ends_with(first));
    database.client.batch_execute(STOP).await?;
    let end = "0.00 Stop requested by user. +report +zip";
    let end = format!("processing {end}; completed {end}; TASK_COMPLETED Processing -> Completed; heartbeat -");
    assert_eq!(database.ended().await?[6..].join("; "), end);
    let context = database.context("TASK_COMPLETED").await?;
    assert_eq!(context["number_of_files_in_run_id_dir"], "4");
    assert_eq!(context["luigi_build_return_value"], "None");
    Ok(())
}

#[tokio::test]
async fn bad_ends_are_those_of_the_real_worker() -> Result<()> {
    for (name, ends) in [("ends", ENDS), ("may_ends", MAYS)] {
        let database = Database::new(name).await?;
        let _worker = Worker::start(database.options()).await?;
        database.line("heartbeat -").await?;
        for line in ends.lines().skip(1) {
            let [prompt, speed, reason, writes] = line.split('|').collect::<Vec<_>>().try_into().unwrap();
            let reset = "DELETE FROM task_item; TRUNCATE journal, events";
            database.execute(reset).await?;
            database.add(prompt, speed).await?;
            let writes = writes.replace(" 0", " 0.00 Picked up by server");
            let writes = writes.replace(" 2", " 1.80 2 of 111");
            let writes = writes.replace('F', "TASK_FAILED Processing -> Failed");
            let writes = writes.replace('C', "TASK_COMPLETED Processing -> Completed");
            let writes = writes.replace('H', "completed 100.00 Completed Completed");
            database.line(writes.rsplit("; ").next().unwrap()).await?;
            let mut written = database.ended().await?;
            written.retain(|line| !line.starts_with("heartbeat"));
            assert_eq!(written[2..].join("; "), writes, "{line}");
            let last = "SELECT context ->> 'machai_error_message' FROM events ORDER BY id DESC LIMIT 1";
            database.is(last, reason).await?;
        }
        let returns = "SELECT strpos(generated_report_html, chr(13)) FROM task_item";
        database.is(returns, "0").await?;
        let zip = database.zip().await?;
        assert!(zip.iter().any(|(_, content)| content.contains("\r\n")));
    }
    Ok(())
}

#[tokio::test]
async fn a_stop_is_seen_after_calls_and_a_task_that_waits_is_never_claimed() -> Result<()> {
    let database = Database::new("stop").await?;
    database.add("waits", FAST).await?;
    database.client.batch_execute(STOP).await?;
    database.add("stops", FAST).await?;
    let mut options = database.options();
    options.step = Duration::from_millis(40);
    let _worker = Worker::start(options).await?;
    database.line("%48 of 111%").await?;
    let stop = format!("TRUNCATE journal; {STOP}");
    database.client.batch_execute(&stop).await?;
    let mut lines = database.ended().await?;
    lines.retain(|line| line.starts_with("processing") && !line.contains("+zip"));
    let kept = lines.iter().filter(|line| line.ends_with("Stop requested by user."));
    assert!(lines.len() > 3 && kept.count() + 1 >= lines.len(), "{lines:#?}");
    let rows =
        "SELECT string_agg(concat_ws(' ', prompt, state, generated_report_html IS NULL, run_zip_snapshot IS NULL,
        progress_message), ' ' ORDER BY prompt) FROM task_item";
    let expected = "stops failed t f Stop requested by user. waits pending t t Stop requested by user.";
    database.is(rows, expected).await?;
    let context = database.context("TASK_FAILED").await?;
    assert_eq!(context["machai_error_message"], "Stopped by user.");
    assert_eq!(context["has_stop_flag_file"], "True");
    Ok(())
}

#[tokio::test]
async fn a_killed_workers_task_stays_in_work_and_its_files_are_served() -> Result<()> {
    let database = Database::new("kill").await?;
    let id = database.add("p", "").await?;
    let mut options = database.options();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("worker-kill");
    options.folder = Some(folder.clone());
    let first = Worker::start(options.clone()).await?;
    database.line("%36 of 111%").await?;
    first.stop().await;
    database.add("p", "ping_llm").await?;
    options.id = Some("1".to_owned());
    let worker = Worker::start(options).await?;
    database.ended().await?;
    let state = format!("SELECT state FROM task_item WHERE id = '{id}'");
    database.is(&state, "processing").await?;
    let files = ask(&worker, &format!("GET /runs/{id}/files")).await?.2;
    assert!(String::from_utf8(files)?.contains("004-1-pre_project_assessment_raw.json"));
    let rows =
        "SELECT string_agg(length(id) || ' ' || coalesce(current_task_id, '-'), ', ' ORDER BY id = '1') FROM workers";
    database.is(rows, &format!("36 {id}, 1 -")).await?;
    Ok(std::fs::remove_dir_all(folder)?)
}

#[tokio::test]
async fn several_workers_share_the_tasks_the_oldest_first_and_beat_when_idle() -> Result<()> {
    let database = Database::new("share").await?;
    let oldest = database.add("p", "ping_llm").await?;
    for _ in 1..6 {
        database.add("p", "ping_llm").await?;
    }
    let one = Worker::start(database.options()).await?;
    database.line("TASK_PROCESSING%").await?;
    assert_eq!(database.context("TASK_PROCESSING").await?["task_id"], oldest);
    let _other = Worker::start(database.options()).await?;
    let count = "(SELECT count(*) FROM journal WHERE line LIKE";
    database.until(&format!("6 = {count} 'TASK_COMPLETED%')")).await?;
    let claims = format!("SELECT {count} 'TASK_PROCESSING%')");
    database.is(&claims, "6").await?;
    one.stop().await;
    database.client.batch_execute("TRUNCATE journal").await?;
    database.until(&format!("2 = {count} 'heartbeat -')")).await
}

#[tokio::test]
async fn an_outage_of_the_database_fails_the_run() -> Result<()> {
    let cluster = start_cluster("outage").await?;
    let database = Database::within(&cluster, "outage").await?;
    let id = database.add("p", FAST).await?;
    let mut options = database.options();
    (options.step, options.poll) = (Duration::from_millis(50), Duration::from_secs(3));
    let worker = Worker::start(options).await?;
    database.line("%4 of 111%").await?;
    cluster.kill();
    sleep(Duration::from_millis(300)).await;
    cluster.restart().await?;
    let database = Database::connect(database.url).await?;
    database.ended().await?;
    let row = "SELECT concat_ws(' ', state, generated_report_html IS NULL, run_zip_snapshot IS NULL) FROM task_item";
    database.is(row, "failed t t").await?;
    let reason = &database.context("TASK_FAILED").await?["machai_error_message"];
    assert_eq!(reason, "Unknown error happened while processing.");
    gone(&worker, &id).await?;
    let next = database.add("p", "ping_llm").await?;
    let completed = format!("(SELECT state = 'completed' FROM task_item WHERE id = '{next}')");
    database.until(&completed).await?;
    worker.stop().await;
    cluster.stop().await;
    Ok(())
}
