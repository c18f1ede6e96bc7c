//! A real server: its life, its deaths, and who may use it.

use super::{Cluster, ClusterOptions, TEMPLATE};
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// A folder among the machine's temporary files that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("planexe-cluster-{name}-{}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn quick() -> ClusterOptions {
    ClusterOptions {
        settings: vec![("fsync".to_owned(), "off".to_owned())],
        ..ClusterOptions::default()
    }
}

async fn count(cluster: &Cluster, database: &str, sql: &str) -> Result<i64> {
    let (client, _driver) = cluster.connect(database).await?;
    Ok(client.query_one(sql, &[]).await?.try_get(0)?)
}

fn gone(pid: i32) -> bool {
    let end = Instant::now() + Duration::from_secs(15);
    while super::server::alive(pid) {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

#[tokio::test]
async fn data_and_port_survive_a_restart_and_fresh_forgets_the_data() -> Result<()> {
    let folder = Scratch::new("survive");
    let began = Instant::now();
    let cluster = Cluster::start(&folder.0, quick()).await?;
    println!("first start: {:?}", began.elapsed());
    assert!(!cluster.has_database("a").await?);
    let began = Instant::now();
    cluster.create_database("a", Some(TEMPLATE)).await?;
    println!("database from the template: {:?}", began.elapsed());
    assert!(cluster.has_database("a").await?);
    cluster
        .run("a", "INSERT INTO nonces VALUES (DEFAULT, 'k', now(), now(), 1, NULL)")
        .await?;
    let (port, pid) = (cluster.port(), cluster.pid());
    let began = Instant::now();
    cluster.stop().await;
    println!("stop: {:?}", began.elapsed());
    assert!(gone(pid));

    let began = Instant::now();
    let cluster = Cluster::start(&folder.0, quick()).await?;
    println!("warm start: {:?}", began.elapsed());
    assert_eq!(cluster.port(), port);
    assert_eq!(count(&cluster, "a", "SELECT count(*) FROM nonces").await?, 1);
    cluster.stop().await;

    let cluster = Cluster::start(&folder.0, ClusterOptions { fresh: true, ..quick() }).await?;
    assert!(!cluster.has_database("a").await?);
    assert!(cluster.has_database(TEMPLATE).await?);
    Ok(())
}

#[tokio::test]
async fn a_folder_and_a_port_in_use_are_refused_in_one_line() -> Result<()> {
    let folder = Scratch::new("lock");
    let cluster = Cluster::start(&folder.0, quick()).await?;
    let refused = Cluster::start(&folder.0, quick())
        .await
        .err()
        .context("two servers in one folder")?;
    let message = format!("{refused:#}");
    assert!(
        message.contains(&format!("in use by process {}", std::process::id())),
        "{message}"
    );
    assert!(!message.contains('\n'), "{message}");

    let other = Scratch::new("port");
    let options = ClusterOptions {
        port: Some(cluster.port()),
        ..quick()
    };
    let refused = Cluster::start(&other.0, options)
        .await
        .err()
        .context("two servers at one port")?;
    assert!(
        format!("{refused:#}").contains(&format!("port {} is taken", cluster.port())),
        "{refused:#}"
    );
    Ok(())
}

#[tokio::test]
async fn only_the_known_account_with_its_password_gets_in_and_is_no_superuser() -> Result<()> {
    let folder = Scratch::new("access");
    let cluster = Cluster::start(&folder.0, quick()).await?;
    for refused in ["planexe:wrong", "postgres:planexe", "postgres"] {
        let url = format!("postgres://{refused}@127.0.0.1:{}/postgres", cluster.port());
        assert!(
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.is_err(),
            "{refused}"
        );
    }
    assert_eq!(
        count(
            &cluster,
            "postgres",
            "SELECT count(*) FROM pg_roles WHERE rolname = 'planexe' AND rolsuper"
        )
        .await?,
        0
    );
    assert!(
        cluster
            .run("postgres", "COPY (SELECT 1) TO PROGRAM 'cat'")
            .await
            .is_err()
    );
    Ok(())
}

#[tokio::test]
async fn a_frozen_server_hangs_a_killed_one_refuses_and_both_come_back() -> Result<()> {
    let folder = Scratch::new("freeze");
    let cluster = Cluster::start(&folder.0, quick()).await?;
    let (open, _driver) = cluster.connect("postgres").await?;
    cluster.freeze();
    let limit = Duration::from_millis(300);
    assert!(
        timeout(limit, open.query_one("SELECT 1", &[])).await.is_err(),
        "an open connection hangs"
    );
    assert!(
        timeout(limit, cluster.connect("postgres")).await.is_err(),
        "a new connection hangs"
    );
    cluster.thaw();
    assert_eq!(count(&cluster, "postgres", "SELECT 1::int8").await?, 1);

    cluster.create_database("kept", Some(TEMPLATE)).await?;
    cluster.kill();
    assert!(
        timeout(limit, cluster.connect("kept")).await?.is_err(),
        "a new connection is refused"
    );
    assert!(
        open.query_one("SELECT 1", &[]).await.is_err(),
        "an open connection is broken"
    );
    cluster.restart().await?;
    assert_eq!(count(&cluster, "kept", "SELECT count(*) FROM task_item").await?, 0);
    cluster.drop_database("kept").await?;
    assert!(!cluster.has_database("kept").await?);

    let pid = cluster.pid();
    cluster.freeze();
    drop(cluster);
    assert!(gone(pid), "a frozen server ends too");
    Ok(())
}

#[tokio::test]
async fn databases_are_made_side_by_side() -> Result<()> {
    let folder = Scratch::new("many");
    let cluster = Cluster::start(&folder.0, quick()).await?;
    let names: Vec<String> = (0..8).map(|n| format!("side \"{n}\"")).collect();
    futures::future::try_join_all(names.iter().map(|name| cluster.create_database(name, Some(TEMPLATE)))).await?;
    assert!(cluster.create_database("side \"1\"", None).await.is_err());
    cluster.stop().await;
    Ok(())
}

/// Not a test by itself: the process that the next one kills.
#[tokio::test]
async fn victim() -> Result<()> {
    let Some(folder) = std::env::var_os("PLANEXE_TEST_VICTIM") else {
        return Ok(());
    };
    let cluster = Cluster::start(&PathBuf::from(folder), quick()).await?;
    if std::env::var_os("PLANEXE_TEST_FROZEN").is_some() {
        cluster.freeze();
    }
    std::fs::write(cluster.folder().join("ready"), cluster.pid().to_string())?;
    tokio::time::sleep(Duration::from_secs(60)).await;
    bail!("nobody killed this process")
}

#[tokio::test]
async fn the_server_ends_when_its_process_is_killed() -> Result<()> {
    for frozen in [false, true] {
        let folder = Scratch::new(if frozen { "orphan-frozen" } else { "orphan" });
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["--exact", "cluster::tests::victim"])
            .env("PLANEXE_TEST_VICTIM", &folder.0);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        if frozen {
            command.env("PLANEXE_TEST_FROZEN", "1");
        }
        let mut victim = command.spawn()?;
        let end = Instant::now() + Duration::from_secs(30);
        let server = loop {
            let text = std::fs::read_to_string(folder.0.join("ready")).unwrap_or_default();
            if let Ok(pid) = text.parse::<i32>() {
                break pid;
            }
            if Instant::now() > end {
                bail!("the other process did not start a server");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        victim.kill()?;
        victim.wait()?;
        if frozen {
            // The next start need not wait for the watchdog.
            Cluster::start(&folder.0, quick()).await?.stop().await;
        }
        assert!(gone(server), "frozen: {frozen}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_without_a_watchdog_is_ended_by_the_next_start() -> Result<()> {
    let folder = Scratch::new("stale");
    let cluster = Cluster::start(&folder.0, quick()).await?;
    let pid = cluster.pid();
    let file = cluster.home.data().join("postmaster.pid");
    let data = cluster.home.data();
    // Neither stopped nor watched over any more.
    std::mem::forget(cluster.server().take());
    super::server::end_orphan(&data)?;
    assert!(gone(pid));
    assert!(!file.exists());

    // The id in a left-over file may by now be that of another program, which is left alone.
    let mut bystander = Command::new("sleep").arg("30").spawn()?;
    std::fs::write(&file, format!("{}\n", bystander.id()))?;
    super::server::end_orphan(&data)?;
    assert!(!file.exists());
    assert_eq!(
        kill(Pid::from_raw(i32::try_from(bystander.id())?), None::<Signal>),
        Ok(())
    );
    bystander.kill()?;
    bystander.wait()?;
    Ok(())
}
