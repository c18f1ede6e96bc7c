//! MCP over standard input and output, for clients that start a process: a bridge to a server, which is started first
//! when no address is given. Adds one tool, `task_download`, which saves plans on this machine.
//!
//! Standard output carries messages of the protocol and nothing else; everything for people goes to standard error.
//!
//! - `bridge`: the server on this side. `transport`: its input and output
//! - `client`: the client of the other side. `failure`: what it says when there is no answer
//! - `download`: the tool. `save`: its file

mod bridge;
mod transport;

pub(crate) mod client;
pub(crate) mod download;
mod failure;
mod save;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Result;
use rmcp::{ServiceExt as _, service::ServerInitializeError, transport::async_rw::AsyncRwTransport};
use uuid::Uuid;

use crate::{
    settings::Variables,
    up::{self, Engine, Up, UpOptions},
};
use bridge::Bridge;
use client::Client;
pub use client::http_client;
use failure::Failure;
use transport::AnswerAll;

/// The server's key.
const KEY: &str = "PLANEXE_MCP_API_KEY";

/// How to serve.
#[derive(Debug, clap::Args)]
pub struct StdioOptions {
    /// The server, such as `https://example.org/mcp`; its key is in `PLANEXE_MCP_API_KEY`. Without an address, one is
    /// started as `up` does.
    #[arg(long, env = "PLANEXE_URL")]
    pub url: Option<String>,
    /// Milliseconds that an LLM call of the sample worker takes.
    #[arg(long, default_value_t = 150)]
    pub step: u64,
    /// The folder with spin.toml [default: the checkout that this program was built in].
    #[arg(long)]
    pub project: Option<PathBuf>,
}

/// Serves standard input and output until the input has ended and every request has its answer, or until a signal.
/// `variables` is the environment; without an address, as [`crate::settings::of_project`] makes it.
///
/// # Errors
/// An address or a key that cannot be used, and a conversation that does not begin. The client is told of all else.
pub async fn run(options: StdioOptions, project: &Path, variables: Variables) -> Result<()> {
    let mut own = None;
    let served = tokio::select! {
        served = serve(options, project, variables, &mut own) => served,
        () = up::end_signal() => Ok(()),
    };
    if let Some(own) = own {
        own.stop().await;
    }
    served
}

async fn serve(options: StdioOptions, project: &Path, variables: Variables, own: &mut Option<Up>) -> Result<()> {
    let folder = variables.get("PLANEXE_PATH").cloned();
    let client = match &options.url {
        Some(url) => Ok(Client::new(url, variables.get(KEY).map(String::as_str))?),
        None => start(project, variables, options.step).await.map(|(client, server)| {
            *own = Some(server);
            client
        }),
    };
    match &client {
        Ok(client) => note(&format!("a bridge to {}", client.authority())),
        Err(error) => note(&format!("{error:#}")),
    }
    let not_started = |error| Failure::new("NOT_STARTED", format!("PlanExe could not be started: {error:#}."));
    let bridge = Bridge {
        client: client.map_err(not_started),
        folder,
    };
    let transport = AsyncRwTransport::new_server(tokio::io::stdin(), tokio::io::stdout());
    match bridge.serve(AnswerAll::new(transport)).await {
        Ok(service) => _ = service.waiting().await,
        // The input ended before the conversation began.
        Err(ServerInitializeError::ConnectionClosed(_)) => {}
        Err(ServerInitializeError::InitializeFailed(error)) => anyhow::bail!("{}", error.message),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Starts a server of our own, and a client of it.
async fn start(project: &Path, mut variables: Variables, step: u64) -> Result<(Client, Up)> {
    // Other programs of this machine reach the port too. They do not know this key, and a link is signed with it.
    let key = variables.get(KEY).map(|key| key.trim()).filter(|key| !key.is_empty());
    let key = key.map_or_else(|| format!("{}{}", Uuid::new_v4(), Uuid::new_v4()), ToOwned::to_owned);
    variables.insert(KEY.to_owned(), key.clone());
    // The address and the links of this server, not those that the settings are for.
    variables.remove("PLANEXE_MCP_HTTP_HOST");
    variables.remove("PLANEXE_MCP_PUBLIC_BASE_URL");
    let options = UpOptions {
        port: Some(0),
        engine: Engine::Local,
        fresh: false,
        step,
        serve: None,
        no_plans: false,
        planexe: crate::schema::Generation::default(),
        project: project.to_owned(),
    };
    let up = Up::start(options, variables, note).await?;
    Ok((Client::new(&up.url(), Some(&key))?, up))
}

/// A line for the person who looks into the client's log.
fn note(text: &str) {
    // A client may have closed it.
    _ = writeln!(std::io::stderr(), "planexe-local: {text}");
}
