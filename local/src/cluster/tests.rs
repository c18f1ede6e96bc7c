//! A real server: its data, its ends, and who may use it.

use super::{Cluster, ClusterOptions, FIND, TEMPLATE, output};
use anyhow::Result;
use std::{
    net::TcpStream,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_millis(300);

/// A folder among the machine's temporary files that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("planexe-cluster-{name}-{}", std::process::id())))
    }

    async fn start(&self) -> Result<Cluster> {
        Cluster::start(&self.0, options()).await
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

fn options() -> ClusterOptions {
    ClusterOptions {
        settings: vec![("fsync".to_owned(), "off".to_owned())],
        ..ClusterOptions::default()
    }
}

async fn count(cluster: &Cluster, database: &str, sql: &str) -> Result<i64> {
    let (client, _connection) = cluster.connect(database).await?;
    Ok(client.query_one(sql, &[]).await?.try_get(0)?)
}

#[tokio::test]
async fn data_survives_a_stop_and_fresh_forgets_it() -> Result<()> {
    let folder = Scratch::new("survive");
    let insert = "INSERT INTO nonces VALUES (DEFAULT, 'k', now(), now(), 1, NULL)";
    let rows = "SELECT count(*) FROM nonces";
    let cluster = folder.start().await?;
    cluster.create_database("a", Some(TEMPLATE)).await?;
    cluster.run("a", insert).await?;
    cluster.stop().await;
    let cluster = folder.start().await?;
    assert_eq!(count(&cluster, "a", rows).await?, 1);
    drop(cluster);
    let mut fresh = options();
    fresh.fresh = true;
    let cluster = Cluster::start(&folder.0, fresh).await?;
    assert!(count(&cluster, "a", rows).await.is_err());
    assert_eq!(count(&cluster, TEMPLATE, rows).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_folder_in_use_is_refused_in_one_line() -> Result<()> {
    let folder = Scratch::new("lock");
    let _cluster = folder.start().await?;
    let message = format!("{:#}", folder.start().await.err().expect("a refusal"));
    let expected = format!("in use by process {}", std::process::id());
    assert!(message.contains(&expected) && !message.contains('\n'), "{message}");
    let missing = output(Command::new("/bin/sh").args(["-c", FIND, "", "99"]));
    let missing = missing.unwrap_err().to_string();
    let expected = "PostgreSQL 99 (initdb, pg_ctl, postgres) is missing, found:";
    assert!(missing.starts_with(expected), "{missing}");
    Ok(())
}

#[tokio::test]
async fn only_the_known_account_with_its_password_gets_in_and_is_no_superuser() -> Result<()> {
    let folder = Scratch::new("access");
    let cluster = folder.start().await?;
    for refused in ["planexe:wrong", "postgres:planexe", "postgres"] {
        let url = format!("postgres://{refused}@127.0.0.1:{}/postgres", cluster.port());
        let connected = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
        assert!(connected.is_err(), "{refused}");
    }
    let superusers = "SELECT count(*) FROM pg_roles WHERE rolname = 'planexe' AND rolsuper";
    assert_eq!(count(&cluster, "postgres", superusers).await?, 0);
    let program = cluster.run("postgres", "COPY (SELECT 1) TO PROGRAM 'cat'").await;
    assert!(program.is_err());
    Ok(())
}

#[tokio::test]
async fn a_frozen_server_hangs_a_killed_one_refuses_and_both_come_back() -> Result<()> {
    let folder = Scratch::new("freeze");
    let cluster = folder.start().await?;
    let (open, _connection) = cluster.connect("postgres").await?;
    cluster.freeze();
    let query = timeout(LIMIT, open.query_one("SELECT 1", &[])).await;
    assert!(query.is_err(), "an open connection hangs");
    let connected = timeout(LIMIT, cluster.connect("postgres")).await;
    assert!(connected.is_err(), "a new connection hangs");
    cluster.thaw();
    assert_eq!(count(&cluster, "postgres", "SELECT 1::int8").await?, 1);

    let names: Vec<String> = (0..8).map(|number| format!("side \"{number}\"")).collect();
    let made = names.iter().map(|name| cluster.create_database(name, Some(TEMPLATE)));
    futures::future::try_join_all(made).await?;
    cluster.freeze();
    cluster.kill();
    let connected = timeout(LIMIT, cluster.connect(&names[0])).await?;
    assert!(connected.is_err(), "a new connection is refused");
    let query = open.query_one("SELECT 1", &[]).await;
    assert!(query.is_err(), "an open connection is broken");
    cluster.restart().await?;
    assert_eq!(count(&cluster, &names[0], "SELECT count(*) FROM task_item").await?, 0);
    cluster.drop_database(&names[0]).await?;
    assert!(cluster.connect(&names[0]).await.is_err());
    assert!(cluster.create_database(&names[1], None).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_server_ends_with_its_process_or_at_the_next_start() -> Result<()> {
    let folder = Scratch::new("orphan");
    let cluster = folder.start().await?;
    let (port, file) = (cluster.port(), cluster.data().join("postmaster.pid"));
    let runs = |port| TcpStream::connect(("127.0.0.1", port)).is_ok();
    // What happens when the process is killed; here with a frozen server.
    cluster.freeze();
    let shell = cluster.watch.lock().unwrap().take();
    assert!(shell.unwrap().wait()?.success());
    let end = Instant::now() + Duration::from_secs(30);
    while runs(port) {
        assert!(Instant::now() < end, "the server does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(cluster);

    let cluster = folder.start().await?;
    let port = cluster.port();
    // The shell is killed too.
    let mut shell = cluster.watch.lock().unwrap().take().unwrap();
    shell.kill().and_then(|()| shell.wait())?;
    drop(cluster);
    assert!(runs(port));
    drop(folder.start().await?);
    assert!(!runs(port));

    // The id in the file of a crashed server may by now be that of another program, which is left alone.
    let mut other = Command::new("sleep").arg("30").spawn()?;
    let (id, data) = (other.id(), file.parent().unwrap().display());
    std::fs::write(&file, format!("{id}\n{data}\n0\n{port}\n\n127.0.0.1\n"))?;
    drop(folder.start().await?);
    assert_eq!(other.try_wait()?, None);
    Ok(other.kill()?)
}
