//! The bridge in front of a server that plays the part: what it sends on, what it makes of failures, and what it
//! never does. The component itself behind the bridge is tested with the component.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;

use super::stub::{Act, PAGE, PING, Stub, TASK, call, converse, info, say};
use super::{StdioOptions, serve};
use crate::settings::Variables;

/// A folder for plans, gone with this value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("planexe-stdio-{name}-{}", std::process::id()));
        _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn files(&self) -> usize {
        std::fs::read_dir(&self.0).unwrap().count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn failures_have_words_and_a_code() {
    let html = say(200, "text/html", "<html>");
    let detail = r#"{"detail":"The database is away."}"#;
    let key = [("PLANEXE_MCP_API_KEY", "k")];
    for (act, variables, code, words) in [
        (
            say(401, "application/json", "{}"),
            &[][..],
            "API_KEY_MISSING",
            "set PLANEXE_MCP_API_KEY",
        ),
        (
            say(401, "application/json", "{}"),
            &key[..],
            "API_KEY_REFUSED",
            "refuses the key",
        ),
        (
            say(403, "application/json", detail),
            &key[..],
            "API_KEY_REFUSED",
            "The database is away.",
        ),
        (html, &[][..], "NOT_AN_MCP_SERVER", "check the address"),
        (say(404, "text/plain", "no"), &[][..], "NOT_AN_MCP_SERVER", "404"),
        (say(429, "text/plain", "no"), &[][..], "TOO_MANY_REQUESTS", "Wait"),
        (
            say(503, "application/json", detail),
            &[][..],
            "SERVER_FAILED",
            "The database is away.",
        ),
    ] {
        let stub = Stub::start(&[act.clone(), act]).await;
        let lines = format!("{PING}\n{}\n", call("task_status", &json!({})));
        let answers = stub.converse(variables, &lines).await;
        let ping = answers.iter().find(|answer| answer["id"] == "p").expect("an answer");
        assert_eq!(ping["error"]["data"]["code"], code, "{ping}");
        assert_eq!(ping["error"]["code"], -32603);
        assert!(ping["error"]["message"].as_str().unwrap().contains(words), "{ping}");
        let tool = answers.iter().find(|answer| answer["id"] == 1).expect("an answer");
        assert_eq!(tool["result"]["isError"], true);
        assert_eq!(tool["result"]["structuredContent"]["error"]["code"], code, "{tool}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_and_one_without_tls_are_told_apart() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let stub = Stub::start(&[]).await;
    for (url, code) in [
        (format!("http://{nobody}"), "SERVER_UNREACHABLE"),
        (format!("https://{}/mcp", stub.address), "TLS_FAILED"),
    ] {
        let answers = converse(&url, &[], PING).await;
        assert_eq!(answers[0]["error"]["data"]["code"], code, "{answers:?}");
    }
}

#[tokio::test]
async fn a_lost_connection_buys_one_plan() {
    let prompt = call("task_create", &json!({ "prompt": "p" }));
    let stub = Stub::start(&[Act::Drop]).await;
    let answers = stub.converse(&[], &prompt).await;
    assert_eq!(answers[0]["result"]["structuredContent"]["task_id"], TASK);
    let ids = stub.created();
    assert_eq!(ids.len(), 2, "{ids:?}");
    assert!(ids[0].as_str().is_some_and(|id| id.len() == 36));
    assert_eq!(ids[0], ids[1]);

    // The client's own id is the better one.
    let own = call("task_create", &json!({ "prompt": "p", "client_request_id": "mine" }));
    let stub = Stub::start(&[Act::Drop]).await;
    stub.converse(&[], &own).await;
    assert_eq!(stub.created(), ["mine", "mine"]);

    // A server that does not know ids would make two plans.
    for call in [&prompt, &own] {
        let stub = Stub::with(&[Act::Drop], false).await;
        let answers = stub.converse(&[], call).await;
        assert_eq!(
            answers[0]["result"]["structuredContent"]["error"]["code"],
            "SERVER_UNREACHABLE"
        );
        assert_eq!(stub.created().len(), 1, "{}", stub.knows_ids);
    }

    // Two lost connections are too many.
    let stub = Stub::start(&[Act::Drop, Act::Drop, Act::Well]).await;
    stub.converse(&[], &prompt).await;
    assert_eq!((stub.created().len(), stub.acts.lock().unwrap().len()), (2, 1));
}

#[tokio::test]
async fn the_same_prompt_again_is_the_same_request() {
    let (one, other) = (json!({ "prompt": "p" }), json!({ "prompt": "q" }));
    let lines = [&one, &one, &other]
        .map(|arguments| call("task_create", arguments))
        .join("\n");
    let stub = Stub::start(&[]).await;
    stub.converse(&[], &lines).await;
    let mut ids: Vec<_> = stub.created().iter().map(ToString::to_string).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 2);
}

#[tokio::test]
async fn the_key_does_not_follow_redirects_elsewhere() {
    let key = [("PLANEXE_MCP_API_KEY", "k")];
    let other = Stub::start(&[]).await;
    let elsewhere = format!("http://{}/mcp", other.address);
    for (status, target) in [(307, elsewhere.as_str()), (302, "/elsewhere"), (308, "ftp://x/")] {
        let act = Act::Say(status, "location", target.to_owned(), String::new());
        let stub = Stub::start(&[act]).await;
        let answers = stub.converse(&key, PING).await;
        assert_eq!(answers[0]["error"]["data"]["code"], "SERVER_REDIRECTS", "{answers:?}");
    }
    assert!(other.seen.lock().unwrap().is_empty());

    let act = Act::Say(307, "location", "/mcp/".to_owned(), String::new());
    let stub = Stub::start(&[act]).await;
    assert_eq!(stub.converse(&key, PING).await[0]["result"], json!({}));
    assert_eq!(stub.header("/mcp/", "authorization"), [Some("Bearer k".to_owned())]);
}

#[tokio::test]
async fn a_file_elsewhere_is_fetched_without_the_key() {
    let folder = Folder::new("elsewhere");
    let key = [
        ("PLANEXE_MCP_API_KEY", "k"),
        ("PLANEXE_PATH", folder.0.to_str().unwrap()),
    ];
    let other = Stub::start(&[]).await;
    let url = format!("http://{}/file?sig=1", other.address);
    let stub = Stub::start(&[Act::Tool(info(&url))]).await;
    let answers = stub
        .converse(&key, &call("task_download", &json!({ "task_id": TASK })))
        .await;
    let saved = &answers[0]["result"]["structuredContent"];
    assert_eq!(
        std::fs::read_to_string(saved["saved_path"].as_str().unwrap()).unwrap(),
        PAGE
    );
    assert_eq!(other.header("/file", "authorization"), [None]);
    // Relative addresses are those of older servers, which want the key.
    let stub = Stub::start(&[Act::Tool(info("/download/y"))]).await;
    let answers = stub
        .converse(&key, &call("task_download", &json!({ "task_id": TASK })))
        .await;
    assert_eq!(
        answers[0]["result"]["structuredContent"]["already_saved"], true,
        "{answers:?}"
    );
    std::fs::remove_file(saved["saved_path"].as_str().unwrap()).unwrap();
    let stub = Stub::start(&[Act::Tool(info("/download/y"))]).await;
    stub.converse(&key, &call("task_download", &json!({ "task_id": TASK })))
        .await;
    assert_eq!(
        stub.header("/download/y", "authorization"),
        [Some("Bearer k".to_owned())]
    );
}

#[tokio::test]
async fn bytes_that_differ_are_not_saved() {
    let folder = Folder::new("differ");
    let path = [("PLANEXE_PATH", folder.0.to_str().unwrap())];
    for (bytes, code) in [
        ("<h1>A plaN</h1>", "DOWNLOAD_DIFFERS"),
        ("<h1>", "DOWNLOAD_DIFFERS"),
        ("<h1>A plan</h1> and more", "DOWNLOAD_DIFFERS"),
    ] {
        let stub = Stub::start(&[Act::Well, say(200, "text/html", bytes)]).await;
        let answers = stub
            .converse(&path, &call("task_download", &json!({ "task_id": TASK })))
            .await;
        assert_eq!(answers[0]["result"]["isError"], true);
        assert_eq!(answers[0]["result"]["structuredContent"]["error"]["code"], code);
    }
    let unchecked = json!({ "ready": true, "download_url": "/download/x" });
    let stub = Stub::start(&[Act::Tool(unchecked)]).await;
    let answers = stub
        .converse(&path, &call("task_download", &json!({ "task_id": TASK })))
        .await;
    assert_eq!(
        answers[0]["result"]["structuredContent"]["error"]["code"],
        "DOWNLOAD_UNCHECKED"
    );
    assert_eq!(folder.files(), 0);
}

#[tokio::test]
async fn sessions_and_streams_of_other_servers_are_understood() {
    let stream = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n\
        data: {\"jsonrpc\":\"2.0\",\"id\":\"p\",\ndata: \"result\":{\"a\":1}}\n\n";
    let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;
    let session = json!({ "jsonrpc": "2.0", "id": 0, "result": { "protocolVersion": "2025-06-18" } });
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let stub = Stub::start(&[
        Act::Say(200, "mcp-session-id", "s1".to_owned(), session.to_string()),
        Act::Say(202, "x-nothing", "1".to_owned(), String::new()),
        say(200, "text/event-stream", stream),
    ])
    .await;
    let answers = stub.converse(&[], &[initialize, initialized, PING].join("\n")).await;
    assert_eq!(answers.len(), 3, "{answers:?}");
    assert!(
        answers[0]["result"]["instructions"]
            .as_str()
            .unwrap()
            .contains("task_download")
    );
    assert_eq!(answers[1]["method"], "notifications/message");
    assert_eq!(answers[2], json!({ "jsonrpc": "2.0", "id": "p", "result": { "a": 1 } }));
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(stub.header("/mcp", "mcp-session-id"), [None, some("s1"), some("s1")]);
    assert_eq!(
        stub.header("/mcp", "mcp-protocol-version"),
        [None, some("2025-06-18"), some("2025-06-18")]
    );
}

#[tokio::test]
async fn a_client_that_reads_no_more_is_the_end() {
    let stub = Stub::start(&[]).await;
    let (client, server) = tokio::io::duplex(64);
    drop(client);
    let options = StdioOptions {
        project: PathBuf::new(),
        variables: Variables::new(),
        url: Some(format!("http://{}", stub.address)),
        step: Duration::ZERO,
    };
    let (reader, writer) = tokio::io::split(server);
    serve(options, tokio::io::AsyncReadExt::chain(PING.as_bytes(), reader), writer)
        .await
        .unwrap();
}
