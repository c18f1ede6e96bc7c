//! The program `planexe-local` with the settings of a project: `.env`, blank variables, and what Spin gets of them.
#![cfg(test)]

use std::{
    fs::{create_dir_all, read_to_string, write},
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::json;

/// A `spin` that writes down what it was started with, and ends.
const SPIN: &str = r#"#!/bin/sh
if [ "$1" = --version ]; then
  echo "spin 4.1.0 (0000000 2026-01-01)"
  exit
fi
{ echo "$@"; pwd; env; } >"$SEEN"
exit 3
"#;

/// The folder of a project with this `.env`, and with the runtime configuration of this repository.
fn project(name: &str, dotenv: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("up").join(name);
    create_dir_all(folder.join("target")).unwrap();
    write(
        folder.join("runtime-config.toml"),
        include_str!("../../runtime-config.toml"),
    )
    .unwrap();
    write(folder.join(".env"), dotenv).unwrap();
    folder
}

/// The program, with no environment but these variables and a PATH.
fn program(path: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_planexe-local"));
    command
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", path.display()))
        .envs(variables.iter().copied());
    command
}

#[test]
fn spin_gets_the_environment_then_dotenv_and_nothing_blank() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dotenv = format!(
        "# comment\n\
         PLANEXE_MCP_API_KEY = first\n\
         export PLANEXE_MCP_API_KEY='key = #1'\n\
         PLANEXE_MCP_HTTP_PORT={port}\n\
         PLANEXE_POSTGRES_HOST=\"db.example\" # comment\n\
         PLANEXE_POSTGRES_PORT=\n\
         PLANEXE_WORKER_PLAN_URL='  '\n\
         PLANEXE_MCP_CORS_ORIGINS=http://file\n\
         OPENAI_API_KEY=other\n"
    );
    let folder = project("spin", &dotenv);
    let bin = folder.join("bin");
    create_dir_all(&bin).unwrap();
    write(bin.join("spin"), SPIN).unwrap();
    std::fs::set_permissions(bin.join("spin"), PermissionsExt::from_mode(0o755)).unwrap();
    let seen = folder.join("seen");
    let done = program(
        &bin,
        &[
            ("SEEN", seen.to_str().unwrap()),
            ("PLANEXE_MCP_API_KEY", " "),
            ("PLANEXE_MCP_CORS_ORIGINS", "http://environment"),
            ("PLANEXE_POSTGRES_DB", ""),
            ("SPIN_VARIABLE_POSTGRES_HOST", ""),
            ("SQLALCHEMY_DATABASE_URI", " "),
            ("PORT", ""),
        ],
    )
    .args(["up", "--host", "spin", "--planexe", "may", "--project"])
    .arg(&folder)
    .output()
    .unwrap();
    let error = String::from_utf8(done.stderr).unwrap();
    assert!(
        !done.status.success() && error.contains("spin ended before its first answer"),
        "{error}"
    );
    let seen = read_to_string(&seen).unwrap();
    let (mut settings, others): (Vec<_>, Vec<_>) = seen.lines().partition(|line| {
        ["PLANEXE_", "SPIN_VARIABLE_", "SQLALCHEMY_", "PORT="]
            .iter()
            .any(|start| line.starts_with(start))
    });
    settings.sort_unstable();
    let port = format!("PLANEXE_MCP_HTTP_PORT={port}");
    assert_eq!(
        settings,
        [
            "PLANEXE_MCP_API_KEY=key = #1",
            "PLANEXE_MCP_CORS_ORIGINS=http://environment",
            &port,
            "PLANEXE_MCP_TOOLS=plan",
            "PLANEXE_POSTGRES_HOST=db.example",
        ]
    );
    let listen = format!("--listen 127.0.0.1:{}", port.rsplit('=').next().unwrap());
    assert!(others[0].contains(&listen), "{}", others[0]);
    // In the project's folder it would read the blank lines of `.env`.
    assert_ne!(Path::new(others[1]), folder.canonicalize().unwrap());
    assert!(!seen.contains("OPENAI_API_KEY"));
}

#[test]
fn a_bridge_takes_no_key_from_dotenv() {
    let folder = project("bridge", "PLANEXE_MCP_API_KEY=of-the-server-here\n");
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", elsewhere.local_addr().unwrap());
    let mut bridge = program(&folder, &[])
        .args(["stdio", "--url", &url, "--project"])
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = bridge.stdin.take().unwrap();
    let hello = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" },
        },
    });
    writeln!(input, "{hello}").unwrap();
    let mut request = Vec::new();
    let (mut connection, _) = elsewhere.accept().unwrap();
    while !String::from_utf8_lossy(&request).contains("jsonrpc") {
        let mut part = [0; 4096];
        let length = connection.read(&mut part).unwrap();
        assert_ne!(length, 0, "the bridge sends no request");
        request.extend(&part[..length]);
    }
    bridge.kill().unwrap();
    bridge.wait().unwrap();
    assert!(!String::from_utf8_lossy(&request).contains("of-the-server-here"));
}
