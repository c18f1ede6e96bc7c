//! What becomes of a task.

use crate::support::{Database, entries, get, start_cluster};
use anyhow::Result;
use hyper::StatusCode;
use planexe_local::worker::{FAIL_MARKER, REPORT, Worker};
use std::time::Duration;
use tokio::time::sleep;
use tokio_postgres::NoTls;

const PROMPT: &str = "Build a garden with 40 beds in 9 months for 25,000 EUR.";

#[tokio::test]
async fn a_task_is_completed_and_its_files_are_stored_and_served() -> Result<()> {
    let database = Database::new("complete").await?;
    let id = database.add(PROMPT, "all_details_but_slow").await?;
    let worker = Worker::start(database.options()).await?;
    let early = database.wait(&id, |_, message| message.contains(" of ")).await?;
    assert_eq!(early.get::<_, &str>(0), "processing");
    let row = database.ended(&id).await?;
    assert_eq!((row.get::<_, &str>(0), row.get::<_, f64>(2)), ("completed", 100.0));
    let message: &str = row.get(1);
    assert!(
        message.ends_with(". Extra files: 4") && message.contains(" of 3"),
        "{message}"
    );
    assert_eq!(database.events(&id).await?, ["TASK_PROCESSING", "TASK_COMPLETED"]);

    let files = get(&worker, &format!("/runs/{id}/files")).await?.json()?;
    let names: Vec<&str> = files["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    assert!(
        names.is_sorted() && names.contains(&"001-2-plan.txt") && names.contains(&REPORT),
        "{names:?}"
    );
    assert!(names.contains(&"log.txt"));
    assert_eq!(files["run_id"], id.as_str());

    let (report, zip): (String, Vec<u8>) = (row.get(4), row.get(5));
    let served = get(&worker, &format!("/runs/{id}/report")).await?;
    assert_eq!(
        (served.status, served.kind.as_str()),
        (StatusCode::OK, "text/html; charset=utf-8")
    );
    assert_eq!(served.length, Some(report.len() as u64));
    assert_eq!(served.body?, report);
    let served = get(&worker, &format!("/runs/{id}/zip")).await?;
    assert_eq!(served.kind, "application/zip");
    let inside = entries(&zip)?;
    assert_eq!(inside, entries(&served.body?)?);
    assert_eq!(inside.len() + 1, names.len(), "all but the log");
    assert!(inside.iter().all(|(name, _)| !name.contains('/') && name != "log.txt"));
    worker.stop().await;
    Ok(())
}

#[tokio::test]
async fn ping_makes_the_short_form() -> Result<()> {
    let database = Database::new("short").await?;
    let id = database.add(PROMPT, "ping_llm").await?;
    let _worker = Worker::start(database.options()).await?;
    let row = database.ended(&id).await?;
    assert_eq!(row.get::<_, &str>(1), "7 of 7. Extra files: 3");
    assert_eq!(entries(row.get(5))?.len(), 9);
    Ok(())
}

#[tokio::test]
async fn a_stop_is_honoured_between_steps_and_before_the_claim() -> Result<()> {
    let database = Database::new("stop").await?;
    let never = database.add(PROMPT, "ping_llm").await?;
    let stop = "UPDATE task_item SET stop_requested = true, progress_message = 'Stop requested by user.'";
    database.client.batch_execute(stop).await?;
    let id = database.add(PROMPT, "all_details_but_slow").await?;
    let worker = Worker::start(database.slow()).await?;
    database.under_way(&id).await?;
    database.client.batch_execute(stop).await?;
    let row = database.ended(&id).await?;
    assert_eq!(
        (row.get::<_, &str>(0), row.get::<_, &str>(1)),
        ("failed", "Stopped by user.")
    );
    assert!(row.get::<_, bool>(3), "the request stays on record");
    assert_eq!(row.get::<_, Option<&str>>(4), None);
    assert_eq!(database.events(&id).await?, ["TASK_PROCESSING", "TASK_FAILED"]);
    assert_eq!(database.task(&never).await?.get::<_, &str>(0), "pending");
    assert_eq!(get(&worker, &format!("/runs/{id}/files")).await?.status, StatusCode::OK);
    assert_eq!(
        get(&worker, &format!("/runs/{id}/report")).await?.status,
        StatusCode::NOT_FOUND
    );
    Ok(())
}

#[tokio::test]
async fn a_task_fails_when_its_prompt_says_so_or_the_row_is_incomplete() -> Result<()> {
    let database = Database::new("fail").await?;
    let told = database.add(&format!("{PROMPT} {FAIL_MARKER}"), "ping_llm").await?;
    let row = {
        let _worker = Worker::start(database.options()).await?;
        database.ended(&told).await?
    };
    assert_eq!((row.get::<_, &str>(0), row.get::<_, bool>(3)), ("failed", false));
    assert!(row.get::<_, &str>(1).starts_with("Failed after 4 of 7"), "{row:?}");

    let bare = database.add(PROMPT, "ping_llm").await?;
    database
        .client
        .batch_execute("UPDATE task_item SET last_seen_timestamp = NULL")
        .await?;
    let _worker = Worker::start(database.options()).await?;
    assert!(
        database
            .ended(&bare)
            .await?
            .get::<_, &str>(1)
            .contains("last_seen_timestamp")
    );
    Ok(())
}

#[tokio::test]
async fn two_workers_share_the_tasks_the_oldest_first() -> Result<()> {
    let database = Database::new("share").await?;
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(database.add(&format!("{number}"), "ping_llm").await?);
    }
    let _one = Worker::start(database.options()).await?;
    let _other = Worker::start(database.options()).await?;
    for id in &ids {
        database.ended(id).await?;
        assert_eq!(database.events(id).await?, ["TASK_PROCESSING", "TASK_COMPLETED"]);
    }
    let sql = "SELECT context ->> 'task_id' FROM events WHERE event_type = 'TASK_PROCESSING' ORDER BY id";
    let claimed: Vec<String> = database
        .client
        .query(sql, &[])
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!((claimed.first(), claimed.len()), (ids.first(), 6));
    Ok(())
}

#[tokio::test]
async fn the_worker_outlives_the_database() -> Result<()> {
    let cluster = start_cluster("outage").await?;
    let database = Database::in_cluster(&cluster, "outage").await?;
    let id = database.add(PROMPT, "all_details_but_slow").await?;
    let worker = Worker::start(database.slow()).await?;
    database.under_way(&id).await?;
    cluster.kill();
    sleep(Duration::from_millis(300)).await;
    assert_eq!(get(&worker, &format!("/runs/{id}/files")).await?.status, StatusCode::OK);
    cluster.restart().await?;
    let (client, connection) = tokio_postgres::connect(&database.url, NoTls).await?;
    tokio::spawn(async move { drop(connection.await) });
    let database = Database { client, ..database };
    assert_eq!(database.ended(&id).await?.get::<_, &str>(0), "completed");
    assert_eq!(database.events(&id).await?, ["TASK_PROCESSING", "TASK_COMPLETED"]);
    worker.stop().await;
    cluster.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_stopped_worker_gives_its_task_back_and_a_later_one_serves_the_run() -> Result<()> {
    let database = Database::new("back").await?;
    let id = database.add(PROMPT, "all_details_but_slow").await?;
    let worker = Worker::start(database.slow()).await?;
    database.under_way(&id).await?;
    worker.stop().await;
    let row = database.task(&id).await?;
    assert_eq!((row.get::<_, &str>(0), row.get::<_, f64>(2)), ("pending", 0.0));

    Worker::start(database.options()).await?.stop().await;
    {
        let _second = Worker::start(database.options()).await?;
        database.ended(&id).await?;
    }
    let third = database.later_worker().await?;
    assert_eq!(get(&third, &format!("/runs/{id}/report")).await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn earlier_runs_are_served_again_when_the_database_is_back() -> Result<()> {
    let cluster = start_cluster("earlier").await?;
    let database = Database::in_cluster(&cluster, "earlier").await?;
    let ids = [
        database.add(PROMPT, "ping_llm").await?,
        database.add(PROMPT, "ping_llm").await?,
    ];
    let first = Worker::start(database.options()).await?;
    for id in &ids {
        database.ended(id).await?;
    }
    first.stop().await;
    let worker = database.later_worker().await?;
    let status = async |id: &str| anyhow::Ok(get(&worker, &format!("/runs/{id}/files")).await?.status);
    assert_eq!(status(&ids[0]).await?, StatusCode::OK);
    assert_eq!(
        status("00000000-0000-4000-8000-000000000000").await?,
        StatusCode::NOT_FOUND
    );
    cluster.kill();
    assert_eq!(status(&ids[1]).await?, StatusCode::NOT_FOUND);
    cluster.restart().await?;
    assert_eq!(status(&ids[1]).await?, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_task_that_a_dead_worker_left_is_taken_up() -> Result<()> {
    let database = Database::new("dead").await?;
    let id = database.add(PROMPT, "ping_llm").await?;
    let sql =
        "UPDATE task_item SET state = 'processing', last_seen_timestamp = last_seen_timestamp - interval '1 hour'";
    database.client.batch_execute(sql).await?;
    let _worker = Worker::start(database.options()).await?;
    assert_eq!(database.ended(&id).await?.get::<_, &str>(0), "completed");
    Ok(())
}
