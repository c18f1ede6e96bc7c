//! `planexe-local stdio` in front of a server whose connection breaks, or that answers what it must not.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::support::{
    Stage, run,
    stdio::{Client, Plans, check_saved, modern},
};

/// What becomes of a request.
enum Act {
    /// The server's answer.
    Pass,
    /// The connection closes after the server has answered.
    Lose,
    /// The connection closes before the end of the server's answer.
    Cut,
    /// The server's answer with another body.
    Change(Box<dyn Fn(&str) -> String + Send>),
    /// This answer.
    Answer(String),
}

/// A proxy between the process and a server. It has one request in a connection.
struct Proxy {
    address: SocketAddr,
    /// The requests so far.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// A proxy in front of a stage's server.
    async fn start(stage: &Stage, act: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        let target = stage.address();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (address, seen) = (listener.local_addr().expect("an address"), Arc::default());
        let (log, act) = (Arc::clone(&seen), Arc::new(act));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (log, act) = (Arc::clone(&log), Arc::clone(&act));
                tokio::spawn(exchange(client, target, log, act));
            }
        });
        Self { address, seen }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far that contain these words.
    fn seen(&self, words: &str) -> Vec<String> {
        let seen = self.seen.lock().expect("no panic");
        seen.iter().filter(|request| request.contains(words)).cloned().collect()
    }
}

async fn exchange(
    mut client: TcpStream,
    target: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    act: Arc<impl Fn(&str) -> Act>,
) -> std::io::Result<()> {
    let mut request = String::new();
    loop {
        let mut piece = [0; 4096];
        let read = client.read(&mut piece).await?;
        request.push_str(&String::from_utf8_lossy(&piece[..read]));
        let Some((head, body)) = request.split_once("\r\n\r\n") else {
            if read == 0 {
                return Ok(());
            }
            continue;
        };
        let length = head.to_lowercase();
        let length = length
            .split_once("content-length: ")
            .map_or("0", |(_, rest)| rest.lines().next().unwrap_or("0"));
        if body.len() >= length.parse().expect("a length") {
            break;
        }
    }
    let act = act(&request);
    log.lock().expect("no panic").push(request.clone());
    if let Act::Answer(answer) = act {
        return client.write_all(answer.as_bytes()).await;
    }
    let mut server = TcpStream::connect(target).await?;
    server
        .write_all(request.replacen("\r\n", "\r\nconnection: close\r\n", 1).as_bytes())
        .await?;
    let mut whole = Vec::new();
    server.read_to_end(&mut whole).await?;
    match act {
        Act::Change(change) => {
            let whole = String::from_utf8(whole).expect("text");
            let (head, body) = whole.split_once("\r\n\r\n").expect("a head");
            let length = |body: &str| format!("content-length: {}\r\n", body.len());
            let (head, body) = (format!("{head}\r\n"), (change(body), length(body)));
            assert!(head.contains(&body.1), "{head}");
            let head = head.replace(&body.1, &length(&body.0));
            client.write_all(format!("{head}\r\n{}", body.0).as_bytes()).await
        }
        Act::Cut => client.write_all(&whole[..whole.len() - 9]).await,
        Act::Lose => Ok(()),
        Act::Pass | Act::Answer(_) => client.write_all(&whole).await,
    }
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

#[test]
fn failures_have_words_and_a_code() {
    const DETAIL: &str = r#"{"detail":"Said by the server."}"#;
    run(async {
        let stage = Stage::builder().build().await;
        for (status, kind, body, key, code, words) in [
            (
                "401 Unauthorized",
                "application/json",
                "{}",
                "",
                "API_KEY_MISSING",
                "set PLANEXE_MCP_API_KEY",
            ),
            (
                "401 Unauthorized",
                "application/json",
                "{}",
                "k",
                "API_KEY_REFUSED",
                "refuses the key",
            ),
            (
                "403 Forbidden",
                "application/json",
                DETAIL,
                "k",
                "API_KEY_REFUSED",
                "Said by the server.",
            ),
            (
                "200 OK",
                "text/html",
                "<html>",
                "",
                "NOT_AN_MCP_SERVER",
                "check the address",
            ),
            (
                "200 OK",
                "application/json",
                "[]",
                "",
                "NOT_AN_MCP_SERVER",
                "check the address",
            ),
            ("404 Not Found", "text/plain", "no", "", "NOT_AN_MCP_SERVER", "404"),
            (
                "429 Too Many Requests",
                "text/plain",
                "no",
                "",
                "TOO_MANY_REQUESTS",
                "wait",
            ),
            (
                "413 Payload Too Large",
                "application/json",
                DETAIL,
                "",
                "MESSAGE_TOO_LARGE",
                "Said by the server.",
            ),
            (
                "503 Service Unavailable",
                "application/json",
                DETAIL,
                "",
                "SERVER_FAILED",
                "503",
            ),
        ] {
            let reply = answer(status, kind, body);
            let proxy = Proxy::start(&stage, move |request| match request.contains("prompt_examples") {
                true => Act::Answer(reply.clone()),
                false => Act::Pass,
            })
            .await;
            let mut client = Client::to(&proxy.url(), &[("PLANEXE_MCP_API_KEY", key)]);
            let failed = client.tool("prompt_examples", json!({})).await;
            assert_eq!(failed["error"]["code"], code, "{status} {failed}");
            assert!(
                failed["error"]["message"].as_str().expect("words").contains(words),
                "{status} {failed}"
            );
            client.end().await;
            // The same from the first request on.
            let reply = answer(status, kind, body);
            let proxy = Proxy::start(&stage, move |_| Act::Answer(reply.clone())).await;
            let mut client = Client::to(&proxy.url(), &[("PLANEXE_MCP_API_KEY", key)]);
            let (failed, _) = client.ask("server/discover", modern(json!({}))).await;
            assert_eq!(failed["error"]["data"]["code"], code, "{status} {failed}");
            client.end().await;
        }
    });
}

#[test]
fn a_server_that_is_not_there_and_one_without_tls_are_told_apart() {
    run(async {
        let stage = Stage::builder().build().await;
        let unused = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port")
            .local_addr()
            .expect("an address");
        let served = stage.address();
        for (url, code) in [
            (format!("http://{unused}"), "SERVER_UNREACHABLE"),
            (format!("https://{served}/mcp"), "TLS_FAILED"),
        ] {
            let mut client = Client::to(&url, &[]);
            let answer = client.initialize("2025-11-25").await;
            assert_eq!(answer["error"]["data"]["code"], code, "{answer}");
            client.end().await;
        }
    });
}

#[test]
fn a_lost_connection_buys_one_plan() {
    run(async {
        let stage = Stage::builder().build().await;
        let count = async || stage.count("task_item").await;
        let first = Mutex::new(true);
        let proxy = Proxy::start(&stage, move |request| {
            let is_create = request.contains("task_create") && std::mem::take(&mut *first.lock().expect("no panic"));
            if is_create { Act::Lose } else { Act::Pass }
        })
        .await;
        let mut client = Client::to(&proxy.url(), &[]);
        let created = client.tool("task_create", json!({ "prompt": "Open a bakery" })).await;
        assert_eq!(created["repeated"], true, "{created}");
        assert_eq!((proxy.seen("task_create").len(), count().await), (2, 1));
        client.end().await;

        // Two lost connections are too many.
        let proxy = Proxy::start(&stage, |request| {
            if request.contains("task_create") {
                Act::Lose
            } else {
                Act::Pass
            }
        })
        .await;
        let mut client = Client::to(&proxy.url(), &[]);
        let lost = client.tool("task_create", json!({ "prompt": "Open a café" })).await;
        assert_eq!(lost["error"]["code"], "SERVER_UNREACHABLE");
        assert_eq!((proxy.seen("task_create").len(), count().await), (2, 2));
        client.end().await;

        // A server that does not know ids would make two plans.
        let proxy = Proxy::start(&stage, |request| {
            if request.contains("task_create") {
                return Act::Lose;
            }
            Act::Change(Box::new(|body| body.replace("client_request_id", "request_number")))
        })
        .await;
        let mut client = Client::to(&proxy.url(), &[]);
        let lost = client.tool("task_create", json!({ "prompt": "Open a shop" })).await;
        assert_eq!(lost["error"]["code"], "SERVER_UNREACHABLE");
        assert_eq!((proxy.seen("task_create").len(), count().await), (1, 3));
        client.end().await;
    });
}

#[test]
fn the_key_does_not_follow_redirects_elsewhere() {
    run(async {
        let stage = Stage::builder().with_key().build().await;
        let key = [("PLANEXE_MCP_API_KEY", "secret")];
        let elsewhere = Proxy::start(&stage, |_| Act::Pass).await;
        let other = format!("{}/mcp", elsewhere.url());
        for (status, target) in [("307 x", &*other), ("302 x", "/elsewhere"), ("308 x", "/mcp")] {
            let reply =
                format!("HTTP/1.1 {status}\r\nlocation: {target}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let proxy = Proxy::start(&stage, move |_| Act::Answer(reply.clone())).await;
            let mut client = Client::to(&proxy.url(), &key);
            let failed = client.tool("prompt_examples", json!({})).await;
            assert_eq!(failed["error"]["code"], "SERVER_REDIRECTS", "{status} {failed}");
            client.end().await;
        }
        assert!(elsewhere.seen("").is_empty());
        let proxy = Proxy::start(&stage, |request| match request.starts_with("POST /mcp ") {
            true => Act::Answer(answer("307 x", "text/plain\r\nlocation: /mcp/", "")),
            false => Act::Pass,
        })
        .await;
        let mut client = Client::to(&proxy.url(), &key);
        assert!(client.tool("prompt_examples", json!({})).await["samples"].is_array());
        client.end().await;
    });
}

#[test]
fn what_differs_from_its_description_is_not_saved() {
    type Row = (&'static str, fn() -> Act, &'static str);
    let acts: [Row; 4] = [
        (
            "GET /",
            || Act::Change(Box::new(|body| body.replacen("<h", "<H", 1))),
            "DOWNLOAD_DIFFERS",
        ),
        ("GET /", || Act::Cut, "DOWNLOAD_FAILED"),
        (
            "task_file_info",
            || {
                Act::Change(Box::new(|body| {
                    body.replace("\"download_size\":", "\"download_size\":1")
                }))
            },
            "DOWNLOAD_DIFFERS",
        ),
        (
            "task_file_info",
            || Act::Change(Box::new(|body| body.replace("sha256", "sha1"))),
            "DOWNLOAD_UNCHECKED",
        ),
    ];
    run(async {
        let stage = Stage::builder().working().build().await;
        let plans = Plans::new("differs");
        let id = stage.create("Open a bakery").await;
        for (words, act, code) in acts {
            let proxy = Proxy::start(&stage, move |request| match request.contains(words) {
                true => act(),
                false => Act::Pass,
            })
            .await;
            let mut client = Client::to(&proxy.url(), &[("PLANEXE_PATH", plans.path())]);
            let refused = client
                .tool("task_download", json!({ "task_id": id, "wait_seconds": 60 }))
                .await;
            assert_eq!(refused["error"]["code"], code, "{refused}");
            assert_eq!(plans.names(), [""; 0]);
            client.end().await;
        }
    });
}

#[test]
fn a_file_elsewhere_is_fetched_without_the_key() {
    run(async {
        let stage = Stage::builder().with_key().working().build().await;
        let plans = Plans::new("elsewhere");
        let id = stage.create("Open a bakery").await;
        let elsewhere = Proxy::start(&stage, |_| Act::Pass).await;
        let other = elsewhere.url();
        let proxy = Proxy::start(&stage, move |request| {
            let own = request.split_once("host: ").and_then(|(_, rest)| rest.lines().next());
            let (own, other) = (format!("http://{}", own.expect("a host")), other.clone());
            match request.contains("task_file_info") {
                true => Act::Change(Box::new(move |body| body.replace(&own, &other))),
                false => Act::Pass,
            }
        })
        .await;
        let variables = [("PLANEXE_MCP_API_KEY", "secret"), ("PLANEXE_PATH", plans.path())];
        let mut client = Client::to(&proxy.url(), &variables);
        check_saved(
            &client
                .tool("task_download", json!({ "task_id": id, "wait_seconds": 60 }))
                .await,
        );
        client.end().await;
        let key = "authorization: Bearer secret";
        assert!(proxy.seen("tools/call").iter().all(|request| request.contains(key)));
        let fetched = elsewhere.seen("GET /download/");
        assert!(
            !fetched.is_empty() && fetched.iter().all(|request| !request.contains("secret")),
            "{fetched:?}"
        );
    });
}
