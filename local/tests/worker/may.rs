//! What May's services write and answer where February's do not.

use crate::support::{Database, ask};
use anyhow::Result;
use planexe_local::schema::Generation::May;
use planexe_local::worker::Worker;
use std::time::Duration;

const FAST: &str = "fast_but_skip_details";
/// What `plan_stop` writes, and what `plan_resume` writes.
const STOP: &str = "UPDATE task_item SET stop_requested = true, state = 'stopped', progress_message = 'Stop!'";
const RESUME: &str = "UPDATE task_item SET state = 'pending', stop_requested = false,
    parameters = '{\"resume\": true, \"speed_vs_detail\": \"fast_but_skip_details\"}'";
/// Ends: prompt, level of detail, and what is written after the event of the beginning, without heartbeats and charges.
const ENDS: &str = "
p|ping_llm|processing 0 +report +zip; completed 0 +report +zip; completed 100.00 Completed Completed +report +zip; TASK_COMPLETED Processing -> Completed
[sample: nul]|ping_llm|completed 0; completed 100.00 Completed Completed; TASK_COMPLETED Processing -> Completed
[sample: badutf8]|ping_llm|processing 0 +zip; completed 0 +zip; completed 100.00 Completed Completed +zip; TASK_COMPLETED Processing -> Completed
[sample: fail]|ping_llm|failed 0; failed 0 worker_error; TASK_FAILED Processing -> Failed
unseen|fast_but_skip_details|processing 0 +zip; failed 0 +zip; failed 0 generation_error +zip; TASK_FAILED Processing -> Failed
";

#[tokio::test]
async fn a_run_is_written_commit_by_commit() -> Result<()> {
    let database = Database::of(May, "may_commits").await?;
    let account = "INSERT INTO user_account (id, is_admin, free_plan_used, credits_balance)
        VALUES (gen_random_uuid(), true, false, 1.5)";
    database.execute(account).await?;
    let id = database.add("A garden", FAST).await?;
    let worker = Worker::start(database.options()).await?;
    database.line("%6 of 125%").await?;
    let files = ask(&worker, &format!("GET /runs/{id}/files")).await?;
    assert_eq!(files.0, "404", "they share no folder");
    let lines = database.ended().await?;
    let beat = format!("heartbeat {id}");
    let charge = "usage_billing_progress plan_usage_in_progress -0.010000000";
    let first = "processing 2.40 3 of 125. Extra files: 3 Screen Planning Prompt";
    assert_eq!(lines[5..8], [&beat, first, charge]);
    let first = "processing 4.00 5 of 125. Extra files: 3 Extract Constraints";
    assert_eq!(lines[8..12], [&beat, first, charge, &format!("{first} +zip")]);
    let last = "96.00 120 of 125. Extra files: 15 Self Audit +zip";
    let stored = last.replace("+zip", "+report +zip");
    let completed = "completed 100.00 Completed Completed +report +zip";
    let end = [
        &format!("processing {last}"),
        charge,
        &format!("processing {stored}"),
        &format!("completed {stored}"),
        completed,
        "usage_billing plan_created_with_usage_cost -1.000000000",
        "TASK_COMPLETED Processing -> Completed",
        "heartbeat -",
    ];
    assert_eq!(lines[lines.len() - 8..], end, "{lines:#?}");
    let row = "SELECT concat_ws(' ', steps_completed, steps_total, run_artifact_layout_version, failure_reason,
        run_track_activity_bytes = length(run_track_activity_jsonl), last_progress_at > timestamp_created) FROM task_item";
    assert_eq!(database.one(row).await?, "125 125 2 t t");
    let paid = "SELECT 1.5 - credits_balance = -sum(delta) AND -sum(delta) =
        1 + (SELECT run_activity_overview_json ->> 'total_cost' FROM task_item)::numeric(18,9)
        FROM credit_history, user_account GROUP BY credits_balance";
    assert_eq!(database.one(paid).await?, "true");
    let zip = database.zip().await?;
    let names: Vec<&str> = zip.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), 125 + 12 + 4, "{names:?}");
    for name in [
        "report.html",
        "wbs_level3_2_raw.json",
        "planexe_metadata.json",
        "plan.txt",
        "activity_overview.json",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    assert!(!names.contains(&"track_activity.jsonl"));
    let context = database.context("TASK_COMPLETED").await?;
    assert_eq!(
        (&context["model_profile"], &context["billing_success_fee_usd"]),
        (&"baseline".into(), &"1.0".into())
    );
    Ok(())
}

#[tokio::test]
async fn ends_are_those_of_the_real_worker() -> Result<()> {
    let database = Database::of(May, "may_ends").await?;
    let _worker = Worker::start(database.options()).await?;
    database.line("heartbeat -").await?;
    for line in ENDS.trim().lines() {
        let [prompt, speed, writes] = line.split('|').collect::<Vec<_>>().try_into().unwrap();
        database.execute("DELETE FROM task_item; TRUNCATE journal").await?;
        database.add(prompt, speed).await?;
        let writes = writes.replace(" 0", " 0.00 Picked up by server");
        let mut written = database.ended().await?;
        written.retain(|line| !line.starts_with("heartbeat"));
        assert_eq!(written[2..].join("; "), writes, "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn a_stopped_plan_goes_on_where_it_was() -> Result<()> {
    let database = Database::of(May, "may_stop").await?;
    let id = database.add("p", FAST).await?;
    let mut options = database.options();
    options.step = Duration::from_millis(20);
    let _worker = Worker::start(options).await?;
    database.line("%25 of 125%").await?;
    database.execute(STOP).await?;
    database.line("TASK_FAILED Processing -> Stopped").await?;
    database.line("heartbeat -").await?;
    let row = "SELECT concat_ws(' ', state, failure_reason, run_artifact_layout_version) FROM task_item";
    assert_eq!(database.one(row).await?, "stopped 2");
    database.execute(&format!("TRUNCATE journal; {RESUME}")).await?;
    let lines = database.ended().await?;
    let done = |line: &String| line.split(' ').nth(2).and_then(|count| count.parse::<u32>().ok());
    let first = lines
        .iter()
        .filter(|line| line.contains(" of 125"))
        .find_map(done)
        .unwrap();
    assert!(first >= 25, "{lines:#?}");
    assert_eq!(database.one("SELECT state FROM task_item").await?, "completed");

    let old = "run_zip_snapshot = decode('504b0506' || repeat('00', 18), 'hex'), current_step = 'Review Plan'";
    database.execute(&format!("TRUNCATE journal; {RESUME}, {old}")).await?;
    let text = "Not resumable: version mismatch (vNone vs v2). Use Retry.";
    database
        .line(&format!("failed 0.00 {text} Review Plan version_mismatch%"))
        .await?;
    let row = "SELECT concat_ws(' ', failed_step, error_message, recoverable) FROM task_item";
    assert_eq!(database.one(row).await?, format!("Review Plan {text} f"));
    assert_eq!(
        database.one("SELECT current_task_id FROM workers").await?,
        id,
        "until it is idle for a minute"
    );

    let date = r#"TRUNCATE journal; UPDATE task_item SET state = 'pending', parameters = '{"start_date": "garbage"}'"#;
    database.execute(date).await?;
    database.line("GENERIC_EVENT Worker started").await?;
    assert_eq!(
        database.one("SELECT state FROM task_item").await?,
        "processing",
        "for ever"
    );
    Ok(())
}
