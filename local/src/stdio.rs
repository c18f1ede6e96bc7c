//! MCP over standard input and output, for clients that start a process: the component in this process with all it
//! needs, or a bridge to a server elsewhere. Adds one tool, `task_download`, which saves plans on this machine.
//!
//! Standard output carries messages of the protocol and nothing else; everything for people goes to standard error.
//!
//! - `lines`: the framing. `message`: what a message is. `bridge`: the conversation
//! - `upstream`: the server behind it; `remote`: one elsewhere. `create`: which requests can be sent once more
//! - `download`: the tool. `save`: its file. `results`: results of tools

mod bridge;
mod create;
mod download;
mod lines;
mod message;
mod remote;
mod results;
mod save;
mod upstream;

#[cfg(test)]
mod stub;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::host::Output;
use crate::server::Server;
use crate::settings::Variables;
use crate::stack::{self, Stack};
use crate::up::{self, Engine, UpOptions};
use remote::Remote;
use upstream::{Failure, Here, Upstream};

/// The server's key.
const KEY: &str = "PLANEXE_MCP_API_KEY";
/// How long downloads by link may go on when everything ends.
const GRACE: Duration = Duration::from_millis(500);

/// How to serve.
#[derive(Debug, Clone)]
pub struct StdioOptions {
    /// The folder with `spin.toml`.
    pub project: PathBuf,
    /// The environment; without `url`, as [`crate::settings::of_project`] makes it.
    pub variables: Variables,
    /// The address of a server elsewhere; without it, the component runs here.
    pub url: Option<String>,
    /// Time of one LLM call of the sample worker.
    pub step: Duration,
}

/// Serves standard input and output until the client closes its end and has its answers, or until a signal.
///
/// # Errors
/// An address or a key that cannot be one, and input that cannot be read. What fails later, the client is told.
pub async fn run(options: StdioOptions) -> Result<()> {
    tokio::select! {
        served = serve(options, tokio::io::stdin(), tokio::io::stdout()) => served,
        () = up::end_signal() => Ok(()),
    }
}

/// The same for any input and output. Ends what it started, also when it is dropped.
///
/// # Errors
/// As [`run`].
pub async fn serve(
    options: StdioOptions,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
) -> Result<()> {
    let folder = options.variables.get("PLANEXE_PATH").cloned();
    let (ready, upstream) = watch::channel(None);
    if let Some(url) = &options.url {
        let remote = Remote::new(url, options.variables.get(KEY).map(String::as_str))?;
        note(&format!("a bridge to {}", remote.authority()));
        return bridge::serve(input, output, folder, |aside| {
            ready.send_replace(Some(Ok(Arc::new(Upstream::remote(remote, aside)))));
            upstream
        })
        .await
        .context("cannot read standard input");
    }
    let (aside_sender, aside) = oneshot::channel();
    let serving = bridge::serve(input, output, folder, |aside| {
        _ = aside_sender.send(aside);
        upstream
    });
    let mut local = None;
    let starting = async {
        let Ok(aside) = aside.await else { return };
        let started = start(options, aside).await;
        ready.send_replace(Some(match started {
            Ok((started, upstream)) => {
                local = Some(started);
                Ok(Arc::new(upstream))
            }
            Err(error) => {
                note(&format!("{error:#}"));
                Err(Failure::new(
                    "NOT_STARTED",
                    format!("PlanExe could not be started: {error:#}."),
                ))
            }
        }));
        // Requests that are under way need it.
        std::future::pending::<()>().await;
    };
    let served = tokio::select! {
        served = serving => served,
        () = starting => Ok(()),
    };
    if let Some(local) = local {
        local.stop().await;
    }
    served.context("cannot read standard input")
}

/// What runs in this process.
struct Local {
    stack: Stack,
    stop: oneshot::Sender<()>,
    links: JoinHandle<()>,
}

impl Local {
    async fn stop(self) {
        _ = self.stop.send(());
        _ = self.links.await;
        self.stack.stop().await;
    }
}

/// Starts the component with all it needs, and a listener on this machine for the links that it hands out.
async fn start(options: StdioOptions, aside: mpsc::Sender<String>) -> Result<(Local, Upstream)> {
    let StdioOptions {
        project,
        mut variables,
        step,
        ..
    } = options;
    let stack = UpOptions {
        port: None,
        engine: Engine::Local,
        fresh: false,
        step: step.as_millis().try_into()?,
        serve: None,
        no_plans: false,
        project: project.clone(),
    };
    let stack = Stack::start(&stack, &mut variables, note).await?;
    // Other programs of this machine reach the listener too. They do not know this key, and a link is signed with it.
    let key = variables.get(KEY).map(|key| key.trim()).filter(|key| !key.is_empty());
    let key = key.map_or_else(|| format!("{}{}", Uuid::new_v4(), Uuid::new_v4()), ToOwned::to_owned);
    variables.insert(KEY.to_owned(), key.clone());
    let key = HeaderValue::try_from(key).with_context(|| format!("{KEY} holds characters that no key has"))?;
    let host = stack::load(&project, &variables, Output::Null).await?;
    let links = Server::bind(([127, 0, 0, 1], 0).into()).await?.with_grace(GRACE);
    let address = links.local_addr();
    let (stop, stopped) = oneshot::channel();
    let serving = host.clone();
    let links = tokio::spawn(async move {
        let stopped = async { stopped.await.unwrap_or_default() };
        if let Err(error) = links.serve(serving, stopped).await {
            note(&format!("links do not work any more: {error:#}"));
        }
    });
    note(&format!("ready; download links lead to http://{address}"));
    let upstream = Upstream::here(Here::new(host, address, key), aside);
    Ok((Local { stack, stop, links }, upstream))
}

/// A line for the person who looks into the client's log.
fn note(text: &str) {
    // A client may have closed it.
    _ = writeln!(std::io::stderr(), "planexe-local: {text}");
}
