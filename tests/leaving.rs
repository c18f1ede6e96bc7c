//! Clients that leave, at every stage of a request: what the host held for them is given back, the next one is served,
//! and nobody has paid for nothing. The stages are data.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures::future::join_all;
use http::Method;
use planexe_local::server::Server;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    download_entries::noise,
    support::{Link, Stage, own_cluster, request, run, settle},
};

/// What a client asks for.
#[derive(Clone, Copy, PartialEq)]
enum Asks {
    Plan,
    Download,
}

/// What of the request it sends.
#[derive(Clone, Copy)]
enum Sends {
    HalfOfTheHead,
    TheHead,
    HalfOfTheBody,
    All,
}

/// When it leaves after that.
#[derive(Clone, Copy)]
enum Leaves {
    AtOnce,
    WhileTheStatementRuns,
    WithTheAnswerUnread,
    InTheMiddleOfTheAnswer,
}

const STAGES: [(Asks, Sends, Leaves); 7] = [
    (Asks::Plan, Sends::HalfOfTheHead, Leaves::AtOnce),
    (Asks::Plan, Sends::TheHead, Leaves::AtOnce),
    (Asks::Plan, Sends::HalfOfTheBody, Leaves::AtOnce),
    (Asks::Plan, Sends::All, Leaves::AtOnce),
    (Asks::Plan, Sends::All, Leaves::WhileTheStatementRuns),
    (Asks::Plan, Sends::All, Leaves::WithTheAnswerUnread),
    (Asks::Download, Sends::All, Leaves::InTheMiddleOfTheAnswer),
];

/// Clients that leave at a stage, side by side.
const CLIENTS: usize = 8;
/// Bytes of the file that some of them begin to read.
const FILE: usize = 8_000_000;

/// The arguments of a client's call, by which a second call is known to be the same.
fn arguments(id: &str) -> Value {
    json!({ "prompt": id, "client_request_id": id })
}

/// Goes through a stage as one client: sends, and closes the connection; or resets it, as a program that dies with
/// bytes unread.
async fn come_and_go(
    stage: &Stage,
    address: SocketAddr,
    (asks, sends, leaves): (Asks, Sends, Leaves),
    what: &str,
    resets: bool,
) -> std::io::Result<()> {
    let (head, body) = match asks {
        Asks::Plan => {
            let params = json!({ "name": "task_create", "arguments": arguments(what) });
            let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string();
            let head = format!(
                "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-API-Key: pex_ann\r\n\
                 Content-Length: {}\r\n\r\n",
                body.len()
            );
            (head, body)
        }
        Asks::Download => {
            let head = format!("GET /download/{what}/run.zip HTTP/1.1\r\nHost: localhost\r\nX-API-Key: secret\r\n\r\n");
            (head, String::new())
        }
    };
    let mut stream = TcpStream::connect(address).await?;
    if resets {
        stream.set_zero_linger()?;
    }
    let sent = match sends {
        Sends::HalfOfTheHead => head[..head.len() / 2].to_owned(),
        Sends::TheHead => head,
        Sends::HalfOfTheBody => head + &body[..body.len() / 2],
        Sends::All => head + &body,
    };
    stream.write_all(sent.as_bytes()).await?;
    match leaves {
        Leaves::AtOnce => {}
        Leaves::WhileTheStatementRuns => settle(|| stage.host.stats().postgres_in_use >= CLIENTS / 2).await,
        Leaves::WithTheAnswerUnread => stream.readable().await?,
        Leaves::InTheMiddleOfTheAnswer => {
            let mut half = vec![0; FILE / 2];
            stream.read_exact(&mut half).await?;
            assert!(half.starts_with(b"HTTP/1.1 200 OK\r\n"));
        }
    }
    Ok(())
}

#[test]
fn who_leaves_at_any_stage_leaves_nothing_behind() {
    run(async {
        let cluster = own_cluster(&[]).await;
        let link = Link::to(cluster.port()).await;
        let stage = Stage::builder().with_users().postgres_at(link.port()).on(cluster).await;
        let user = stage.user("ann", 1_000).await;
        let created = stage.tool_as(&user.key, "task_create", arguments("finished")).await;
        let finished = created["task_id"].as_str().expect("an id").to_owned();
        stage.complete_with_zip(&noise(FILE)).await;
        let server = Server::bind(([127, 0, 0, 1], 0).into()).await.expect("a listener");
        let address = server.local_addr();
        let serving = tokio::spawn(server.serve(stage.host.clone(), std::future::pending()));
        let mut tasks = 1;
        for (number, of_stage) in STAGES.into_iter().enumerate() {
            for resets in [false, true] {
                let (asks, sends, leaves) = of_stage;
                if matches!(leaves, Leaves::WhileTheStatementRuns) {
                    link.delay(Duration::from_millis(100));
                }
                let ids: Vec<String> = (0..CLIENTS)
                    .map(|client| match asks {
                        Asks::Plan => format!("{number}/{resets}/{client}"),
                        Asks::Download => finished.clone(),
                    })
                    .collect();
                let clients = ids
                    .iter()
                    .map(|what| come_and_go(&stage, address, of_stage, what, resets));
                for left in join_all(clients).await {
                    left.expect("the client leaves, not the server");
                }
                link.heal();
                // Nothing is held any longer, and no connection is lost to the pool.
                settle(|| {
                    let stats = stage.host.stats();
                    (stats.postgres_in_use, stats.instances_alive) == (0, 0)
                })
                .await;
                let connections = "pg_stat_activity WHERE datname = current_database() AND \
                                   application_name = 'planexe-mcp'";
                assert_eq!(stage.count(connections).await, stage.host.stats().postgres_idle as i64);
                assert!(stage.host.stats().postgres_idle <= CLIENTS, "stage {number}");
                // The next one is served.
                let path = format!("/download/{finished}/run.zip");
                let headers = [("x-api-key", "secret"), ("range", "bytes=0-9")];
                let next = stage.send(request(Method::GET, &path, &headers, Bytes::new())).await;
                assert_eq!(next.status(), 206, "stage {number}");
                stage.assert_books_balance(1).await;
                if asks != Asks::Plan {
                    continue;
                }
                let made = stage.count("task_item").await - tasks;
                match (sends, leaves) {
                    (Sends::All, Leaves::WithTheAnswerUnread) => assert_eq!(made, CLIENTS as i64),
                    (Sends::All, _) => {}
                    _ => assert_eq!(made, 0, "stage {number}: half a request buys nothing"),
                }
                let mut repeated = 0;
                for id in &ids {
                    let again = stage.tool_as(&user.key, "task_create", arguments(id)).await;
                    assert!(again["task_id"].is_string(), "stage {number}: {again}");
                    repeated += i64::from(again.get("repeated").is_some());
                }
                println!("stage {number}, reset {resets}: {made} of {CLIENTS} had their task");
                assert_eq!(repeated, made, "who calls again gets the same task");
                tasks += CLIENTS as i64;
                assert_eq!(stage.count("task_item").await, tasks);
                stage.assert_books_balance(1).await;
            }
        }
        assert_eq!(stage.balance(&user).await, 1_000 - tasks);
        assert_eq!(stage.host.stats().traps, 0, "{:?}", stage.host.stats().last_trap);
        serving.abort();
    });
}
