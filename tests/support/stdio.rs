//! A client that starts `planexe-local stdio`, and the folder that it has plans saved to.

use std::{path::PathBuf, time::Duration};

use planexe_local::stdio::{self, StdioOptions};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf, duplex, split,
    },
    task::JoinHandle,
};

use super::{ANSWERED, Stage, cluster, project};

/// A client that has started the process.
pub struct Client {
    pub input: WriteHalf<DuplexStream>,
    pub output: Lines<BufReader<ReadHalf<DuplexStream>>>,
    serving: JoinHandle<anyhow::Result<()>>,
}

impl Client {
    /// The component in the process, with the stage's database.
    pub async fn here(stage: &Stage, more: &[(&str, &str)]) -> Self {
        let port = cluster().await.port().to_string();
        let mut variables = vec![
            ("PLANEXE_POSTGRES_HOST", "127.0.0.1"),
            ("PLANEXE_POSTGRES_PORT", &port),
            ("PLANEXE_POSTGRES_DB", stage.database()),
            ("PLANEXE_MCP_REPEAT_WINDOW_SECONDS", "0"),
        ];
        let worker = stage.worker.url();
        variables.push(("PLANEXE_WORKER_PLAN_URL", &worker));
        variables.extend(more);
        Self::start(None, &variables)
    }

    /// A bridge.
    pub fn to(url: &str, variables: &[(&str, &str)]) -> Self {
        Self::start(Some(url.to_owned()), variables)
    }

    pub fn start(url: Option<String>, variables: &[(&str, &str)]) -> Self {
        let (client, server) = duplex(1 << 16);
        let options = StdioOptions {
            project: project().to_path_buf(),
            variables: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            url,
            step: Duration::from_millis(5),
        };
        let (input, output) = split(server);
        let serving = tokio::spawn(stdio::serve(options, input, output));
        let (output, input) = split(client);
        Self {
            input,
            output: BufReader::new(output).lines(),
            serving,
        }
    }

    pub async fn send(&mut self, line: &[u8]) {
        self.input.write_all(line).await.expect("an open input");
        self.input.write_all(b"\n").await.expect("an open input");
    }

    pub async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(ANSWERED, self.output.next_line()).await;
        let line = line.expect("an answer in time").expect("an output").expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The answer to a request, with the notifications before it.
    pub async fn ask(&mut self, method: &str, params: Value) -> (Value, Vec<Value>) {
        let request = json!({ "jsonrpc": "2.0", "id": "q", "method": method, "params": params });
        self.send(request.to_string().as_bytes()).await;
        let mut before = Vec::new();
        loop {
            let message = self.next().await;
            if message["id"] == "q" {
                return (message, before);
            }
            before.push(message);
        }
    }

    pub async fn tool(&mut self, name: &str, arguments: Value) -> Value {
        let (answer, _) = self
            .ask("tools/call", json!({ "name": name, "arguments": arguments }))
            .await;
        let result = &answer["result"];
        let text = result["content"][0]["text"]
            .as_str()
            .unwrap_or_else(|| panic!("no text: {answer}"));
        assert_eq!(
            serde_json::from_str::<Value>(text).expect("JSON"),
            result["structuredContent"]
        );
        assert_eq!(
            result["isError"],
            json!(result["structuredContent"].get("error").is_some())
        );
        result["structuredContent"].clone()
    }

    /// Closes the input; what is still written until the end.
    pub async fn end(mut self) -> Vec<String> {
        self.input.shutdown().await.expect("an open input");
        let mut rest = Vec::new();
        while let Some(line) = self.output.next_line().await.expect("an output") {
            rest.push(line);
        }
        self.serving.await.expect("no panic").expect("a clean end");
        rest
    }
}

/// A folder for plans, gone with this value.
pub struct Plans(pub PathBuf);

impl Plans {
    pub fn new(name: &str) -> Self {
        let folder = project()
            .join("target")
            .join(format!("plans-{name}-{}", std::process::id()));
        _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }

    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("the folder").flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Plans {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Compares a saved file with what was said of it.
pub fn check_saved(saved: &Value) {
    let bytes = std::fs::read(
        saved["saved_path"]
            .as_str()
            .unwrap_or_else(|| panic!("not saved: {saved}")),
    )
    .expect("a file");
    assert_eq!(saved["download_size"], bytes.len());
    let hash: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(saved["sha256"], hash);
}

pub fn modern(mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}
    });
    params
}
