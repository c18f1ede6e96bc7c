//! A client that starts `planexe-local stdio`, and the folder that it has plans saved to.

use std::{path::PathBuf, process::Stdio};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::{ANSWERED, Stage, cluster, process::planexe_local, project};

/// The program with an environment of its own.
pub fn program(subcommand: &str, variables: &[(&str, &str)]) -> Command {
    let program = planexe_local();
    assert!(program.is_file(), "{} is missing: run scripts/build", program.display());
    let mut command = Command::new(program);
    command.arg(subcommand).env_clear().envs(variables.iter().copied());
    command
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A client that has started the process.
pub struct Client {
    pub process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Client {
    /// A process that starts its own server, with the stage's database.
    pub async fn here(stage: &Stage, more: &[(&str, &str)]) -> Self {
        let (port, worker) = (cluster().await.port().to_string(), stage.worker.url());
        let mut variables = vec![
            ("PLANEXE_POSTGRES_HOST", "127.0.0.1"),
            ("PLANEXE_POSTGRES_PORT", &port),
            ("PLANEXE_POSTGRES_DB", &stage.database),
            ("PLANEXE_MCP_REPEAT_WINDOW_SECONDS", "0"),
            ("PLANEXE_WORKER_PLAN_URL", &worker),
        ];
        variables.extend(more);
        Self::start(&[], &variables)
    }

    /// A bridge to a server.
    pub fn to(url: &str, variables: &[(&str, &str)]) -> Self {
        Self::start(&["--url", url], variables)
    }

    pub fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = program("stdio", variables);
        // What it says for people is shown where a test fails.
        command.args(arguments).stdin(Stdio::piped()).stderr(Stdio::inherit());
        let mut process = command.spawn().expect("a process");
        Self {
            input: process.stdin.take().expect("an input"),
            output: BufReader::new(process.stdout.take().expect("an output")).lines(),
            process,
        }
    }

    pub async fn send(&mut self, line: &str) {
        self.input
            .write_all(format!("{line}\n").as_bytes())
            .await
            .expect("an open input");
    }

    pub async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(ANSWERED, self.output.next_line()).await;
        let line = line.expect("an answer in time").expect("an output").expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The answer to a request, with the notifications before it.
    pub async fn ask(&mut self, method: &str, params: Value) -> (Value, Vec<Value>) {
        let request = json!({ "jsonrpc": "2.0", "id": "q", "method": method, "params": params });
        self.send(&request.to_string()).await;
        let mut before = Vec::new();
        loop {
            let message = self.next().await;
            if message["id"] == "q" {
                return (message, before);
            }
            before.push(message);
        }
    }

    /// Shakes hands in the revision.
    pub async fn initialize(&mut self, revision: &str) -> Value {
        let client = json!({ "name": "test", "version": "1" });
        let params = json!({ "protocolVersion": revision, "capabilities": {}, "clientInfo": client });
        let (answer, _) = self.ask("initialize", params).await;
        if answer.get("error").is_none() {
            self.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
                .await;
        }
        answer
    }

    /// Calls a tool in the revision without a handshake.
    pub async fn tool(&mut self, name: &str, arguments: Value) -> Value {
        let call = modern(json!({ "name": name, "arguments": arguments }));
        let (answer, _) = self.ask("tools/call", call).await;
        content(&answer)
    }

    /// Closes the input; what is still written until the end, and how the process ends.
    pub async fn end(mut self) -> (Vec<String>, bool) {
        drop(self.input);
        let mut rest = Vec::new();
        while let Some(line) = self.output.next_line().await.expect("an output") {
            rest.push(line);
        }
        (rest, self.process.wait().await.expect("an end").success())
    }
}

/// The content of the answer to a call, which says the same in its text and its structure.
pub fn content(answer: &Value) -> Value {
    let result = &answer["result"];
    let text = result["content"][0]["text"].as_str();
    let text = text.unwrap_or_else(|| panic!("no text: {answer}"));
    let content = &result["structuredContent"];
    assert_eq!(serde_json::from_str::<Value>(text).expect("JSON"), *content);
    assert_eq!(result["isError"], json!(content.get("error").is_some()));
    content.clone()
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
    let path = saved["saved_path"]
        .as_str()
        .unwrap_or_else(|| panic!("not saved: {saved}"));
    let bytes = std::fs::read(path).expect("a file");
    assert_eq!(saved["download_size"], bytes.len());
    let hash: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(saved["sha256"], hash);
}

pub fn modern(mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    params
}
