//! The host killed at any moment: the database alone decides what has happened, and it never happened by half.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use futures::future::join_all;
use planexe_local::worker::{Worker, WorkerOptions};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    credits::rounds,
    support::{Stage, own_cluster, project, run_for},
};

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // SIGKILL on Unix.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn post(port: u16, key: &str, prompt: &str) -> Option<String> {
    let params = json!({ "name": "task_create", "arguments": { "prompt": prompt } });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string();
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-API-Key: {key}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

#[test]
#[ignore = "a proof that takes minutes: PLANEXE_TEST_KILL_ROUNDS=200, needs target/debug/planexe-local"]
fn a_host_killed_at_any_moment_leaves_the_books_in_order() {
    run_for(Duration::from_secs(1_800), async {
        let cluster = own_cluster(&[]).await;
        let stage = Stage::builder().with_users().on(cluster).await;
        let user = stage.user("ann", 1_000_000).await;
        let worker = Worker::start({
            let mut options = WorkerOptions::new(cluster.url(stage.database()));
            options.claim = false;
            options
        })
        .await
        .expect("a worker");
        let rounds = rounds("PLANEXE_TEST_KILL_ROUNDS", 3);
        let (mut answered, mut lost) = (0, 0);
        for round in 0..rounds {
            let port = TcpListener::bind("127.0.0.1:0")
                .expect("a port")
                .local_addr()
                .expect("an address")
                .port();
            let server = Command::new(project().join("target/debug/planexe-local"))
                .args(["up", "--host", "local", "--port", &port.to_string()])
                .current_dir(project())
                .env("PLANEXE_MCP_API_KEY", "secret")
                .env("PLANEXE_MCP_REQUIRE_USER_KEY", "true")
                .env("PLANEXE_MCP_REPEAT_WINDOW_SECONDS", "0")
                .env("PLANEXE_POSTGRES_HOST", "127.0.0.1")
                .env("PLANEXE_POSTGRES_PORT", cluster.port().to_string())
                .env("PLANEXE_POSTGRES_DB", stage.database())
                .env("PLANEXE_WORKER_PLAN_URL", worker.url())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("target/debug/planexe-local; run: cargo build --package planexe-local");
            let server = Server(server);
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // The first call makes an instance and connections, so that the others are anywhere when the host dies.
            assert!(post(port, &user.key, &format!("{round}/first")).await.is_some());
            let calls = (0..12).map(|number| {
                let key = &user.key;
                async move { post(port, key, &format!("{round}/{number}")).await }
            });
            let moment = Duration::from_micros((round as u64).wrapping_mul(7_919) % 800_000);
            let killer = async {
                tokio::time::sleep(moment).await;
                drop(server);
            };
            let (answers, ()) = futures::join!(join_all(calls), killer);
            let done = answers
                .iter()
                .flatten()
                .filter(|answer| answer.contains("task_id"))
                .count();
            answered += done + 1;
            lost += answers.len() - done;
        }
        // Statements that were under way when the last host died end by themselves.
        tokio::time::sleep(Duration::from_secs(1)).await;
        stage.assert_books_balance(1).await;
        let tasks = stage.count("task_item").await;
        assert!(tasks >= answered as i64, "an answered task is there");
        assert_eq!(stage.balance(&user).await, 1_000_000 - tasks);
        println!("{rounds} rounds: {answered} answered, {lost} lost, {tasks} tasks, as many charges");
    });
}
