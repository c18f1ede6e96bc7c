//! Clients that disconnect at each stage of a request. Afterwards no statement runs and no connection is lost, the next
//! client is served, and each charge has its task. The stages are data.

use bytes::Bytes;
use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    download_entries::noise,
    support::{Stage, connect, eventually, own_cluster, request, run},
};

/// What a client asks for.
#[derive(Clone, Copy, PartialEq)]
enum Target {
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

/// When it disconnects after that.
#[derive(Clone, Copy)]
enum Leaves {
    AtOnce,
    WhileTheStatementRuns,
    WithTheAnswerUnread,
    InTheMiddleOfTheAnswer,
}

const STAGES: [(Target, Sends, Leaves); 7] = [
    (Target::Plan, Sends::HalfOfTheHead, Leaves::AtOnce),
    (Target::Plan, Sends::TheHead, Leaves::AtOnce),
    (Target::Plan, Sends::HalfOfTheBody, Leaves::AtOnce),
    (Target::Plan, Sends::All, Leaves::AtOnce),
    (Target::Plan, Sends::All, Leaves::WhileTheStatementRuns),
    (Target::Plan, Sends::All, Leaves::WithTheAnswerUnread),
    (Target::Download, Sends::All, Leaves::InTheMiddleOfTheAnswer),
];

/// Clients that disconnect at the same stage, concurrently.
const CLIENTS: usize = 8;
/// Connections that the host keeps.
const POOL: i64 = 64;
/// Bytes of the file that some of them begin to read.
const FILE: usize = 8_000_000;

/// The arguments of a client's call, by which a second call is known to be the same.
fn arguments(id: &str) -> Value {
    json!({ "prompt": id, "client_request_id": id })
}

/// Acts as one client of a stage: sends, then closes the connection; or resets it, as the system does for a process that
/// ends with unread bytes.
async fn send_and_disconnect(
    stage: &Stage,
    (asks, sends, leaves): (Target, Sends, Leaves),
    what: &str,
    resets: bool,
) -> std::io::Result<()> {
    let (head, body) = match asks {
        Target::Plan => {
            let params = json!({ "name": "task_create", "arguments": arguments(what) });
            let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string();
            let head = format!(
                "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-API-Key: pex_ann\r\n\
                 Content-Length: {}\r\n\r\n",
                body.len()
            );
            (head, body)
        }
        Target::Download => {
            let head = format!("GET /download/{what}/run.zip HTTP/1.1\r\nHost: localhost\r\nX-API-Key: secret\r\n\r\n");
            (head, String::new())
        }
    };
    let mut stream = TcpStream::connect(stage.address()).await?;
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
        Leaves::WhileTheStatementRuns => {
            let waiting = async || stage.connections("wait_event_type = 'Lock'").await >= CLIENTS as i64 / 2;
            eventually("statements wait for the lock", waiting).await;
        }
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
fn a_disconnect_at_any_stage_leaves_nothing_behind() {
    run(async {
        let cluster = own_cluster(&[]).await;
        let stage = Stage::builder().with_users().on(cluster).await;
        let locker = connect(&stage.url).await.expect("a connection");
        let user = stage.user("ann", 1_000).await;
        let created = stage.tool_as(&user.key, "task_create", arguments("finished")).await;
        let finished = created["task_id"].as_str().expect("an id").to_owned();
        stage.complete_with_zip(&noise(FILE)).await;
        let mut tasks = 1;
        for (number, of_stage) in STAGES.into_iter().enumerate() {
            for resets in [false, true] {
                let (asks, sends, leaves) = of_stage;
                if matches!(leaves, Leaves::WhileTheStatementRuns) {
                    let lock = stage
                        .schema()
                        .sql("BEGIN; LOCK TABLE task_item IN ACCESS EXCLUSIVE MODE");
                    locker.batch_execute(&lock).await.expect("a lock");
                }
                let ids: Vec<String> = (0..CLIENTS)
                    .map(|client| match asks {
                        Target::Plan => format!("{number}/{resets}/{client}"),
                        Target::Download => finished.clone(),
                    })
                    .collect();
                let clients = ids
                    .iter()
                    .map(|what| send_and_disconnect(&stage, of_stage, what, resets));
                for left in join_all(clients).await {
                    left.expect("the client leaves, not the server");
                }
                // Where there is no transaction, it is a warning.
                locker.batch_execute("ROLLBACK").await.expect("no lock");
                // No statement runs any longer, and no connection is lost to the pool.
                stage.until_idle().await;
                let connections = stage.connections("true").await;
                // The call of a client that has left may go on: then the next calls take other connections.
                assert!(connections <= POOL, "stage {number}: {connections} connections");
                // The next one is served.
                let path = format!("/download/{finished}/run.zip");
                let headers = [("x-api-key", "secret"), ("range", "bytes=0-9")];
                let next = stage.send(request(Method::GET, &path, &headers, Bytes::new())).await;
                assert_eq!(next.status(), 206, "stage {number}");
                stage.assert_books_balance(1).await;
                if asks != Target::Plan {
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
        assert_eq!(stage.balance(&user).await, 1_000 - stage.charge(tasks));
    });
}
