//! What May's services write and answer where February's do not.

use crate::support::{Database, status};
use anyhow::Result;
use planexe_local::worker::Worker;
use std::time::Duration;

const FAST: &str = "fast_but_skip_details";
/// What `plan_stop` writes, and what `plan_resume` writes.
const STOP: &str = "UPDATE task_item SET stop_requested = true, state = 'stopped', progress_message = 'Stop!'";
const RESUME: &str = "UPDATE task_item SET state = 'pending', stop_requested = false,
    parameters = '{\"resume\": true, \"speed_vs_detail\": \"fast_but_skip_details\"}'";
/// What is written of the first two LLM calls, and from the last one on.
const BEGINNING: &str = "
heartbeat ID
processing 2.40 3 of 125. Extra files: 3 Screen Planning Prompt
usage_billing_progress plan_usage_in_progress -0.010000000
heartbeat ID
processing 4.00 5 of 125. Extra files: 3 Extract Constraints
usage_billing_progress plan_usage_in_progress -0.010000000
processing 4.00 5 of 125. Extra files: 3 Extract Constraints +zip";
const END: &str = "
processing 96.00 120 of 125. Extra files: 15 Self Audit +zip
usage_billing_progress plan_usage_in_progress -0.010000000
processing 96.00 120 of 125. Extra files: 15 Self Audit +report +zip
completed 96.00 120 of 125. Extra files: 15 Self Audit +report +zip
completed 100.00 Completed Completed +report +zip
usage_billing plan_created_with_usage_cost -1.000000000
TASK_COMPLETED Processing -> Completed
heartbeat -";

#[tokio::test]
async fn a_run_is_written_commit_by_commit() -> Result<()> {
    let database = Database::new("may_commits").await?;
    let account = "INSERT INTO user_account (id, is_admin, free_plan_used, credits_balance)
        VALUES (gen_random_uuid(), true, false, 1.5)";
    database.execute(account).await?;
    let id = database.add("A garden", FAST).await?;
    let worker = Worker::start(database.options()).await?;
    database.line("%5 of 125%").await?;
    assert_eq!(status(&worker, &id).await?, "404", "they share no folder");
    let lines = database.ended().await?;
    for (at, expected) in [(5, BEGINNING), (lines.len() - 8, END)] {
        let expected: Vec<String> = expected.lines().skip(1).map(|line| line.replace("ID", &id)).collect();
        assert_eq!(lines[at..at + expected.len()], expected, "{lines:#?}");
    }
    let row = "SELECT concat_ws(' ', steps_completed, steps_total, run_artifact_layout_version, failure_reason,
        run_track_activity_bytes = length(run_track_activity_jsonl), last_progress_at > timestamp_created) FROM task_item";
    database.is(row, "125 125 2 t t").await?;
    let paid = "SELECT 1.5 - credits_balance = -sum(delta) AND -sum(delta) =
        1 + (SELECT run_activity_overview_json ->> 'total_cost' FROM task_item)::numeric(18,9)
        FROM credit_history, user_account GROUP BY credits_balance";
    database.is(paid, "true").await?;
    let zip = database.zip().await?;
    assert_eq!(zip.len(), 125 + 12 + 4, "pieces, and four that are not expected");
    let has = |name| zip.iter().any(|(entry, _)| entry == name);
    for name in "report.html wbs_level3_2_raw.json planexe_metadata.json plan.txt".split(' ') {
        assert!(has(name), "{name}");
    }
    assert!(!has("track_activity.jsonl"));
    let context = database.context("TASK_COMPLETED").await?;
    assert_eq!(
        [&context["model_profile"], &context["billing_success_fee_usd"]],
        ["baseline", "1.0"]
    );
    Ok(())
}

#[tokio::test]
async fn a_stopped_plan_goes_on_where_it_was() -> Result<()> {
    let database = Database::new("may_stop").await?;
    let id = database.add("p", FAST).await?;
    let mut options = database.options();
    options.step = Duration::from_millis(20);
    let _worker = Worker::start(options).await?;
    database.line("%25 of 125%").await?;
    database.execute(STOP).await?;
    database.line("TASK_FAILED Processing -> Stopped").await?;
    database.line("heartbeat -").await?;
    let row = "SELECT concat_ws(' ', state, failure_reason, run_artifact_layout_version) FROM task_item";
    database.is(row, "stopped 2").await?;
    database.execute(&format!("TRUNCATE journal; {RESUME}")).await?;
    let lines = database.ended().await?;
    let done = |line: &String| line.split(' ').nth(2).and_then(|count| count.parse::<u32>().ok());
    let first = lines.iter().filter(|line| line.contains(" of 125")).find_map(done);
    assert!(first >= Some(25), "{lines:#?}");
    database.is("SELECT state FROM task_item", "completed").await?;

    let old = "run_zip_snapshot = decode('504b0506' || repeat('00', 18), 'hex'), current_step = 'Review Plan'";
    database.execute(&format!("TRUNCATE journal; {RESUME}, {old}")).await?;
    let text = "Not resumable: version mismatch (vNone vs v2). Use Retry.";
    let failed = format!("failed 0.00 {text} Review Plan version_mismatch%");
    database.line(&failed).await?;
    let row = "SELECT concat_ws(' ', failed_step, error_message, recoverable) FROM task_item";
    database.is(row, &format!("Review Plan {text} f")).await?;
    // Until it has been idle for a minute.
    database.is("SELECT current_task_id FROM workers", &id).await?;

    let date = r#"TRUNCATE journal; UPDATE task_item SET state = 'pending', parameters = '{"start_date": "garbage"}'"#;
    database.execute(date).await?;
    database.line("GENERIC_EVENT Worker started").await?;
    database.is("SELECT state FROM task_item", "processing").await
}
