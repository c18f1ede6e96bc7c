//! Serves a Spin application as `spin up` does, with a subset of its options under the same names. Settings come from the
//! environment; what the component writes to its standard error goes to that of this process.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::host::{Host, HostOptions, Reuse, Runtime};
use crate::manifest::Manifest;
use crate::server::Server;
use crate::up;

/// The options of `spin up` that this host has too.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeOptions {
    /// The application's manifest.
    #[arg(long, default_value = "spin.toml")]
    pub from: PathBuf,
    /// The address to listen on. Port 0 takes a free port.
    #[arg(long, default_value = "127.0.0.1:3000")]
    pub listen: SocketAddr,
    /// The runtime configuration: which environment variables the application's variables are read from.
    #[arg(long)]
    pub runtime_config_file: Option<PathBuf>,
    /// The number of requests that an instance serves before it is replaced.
    #[arg(long, default_value_t = Reuse::default().max_requests)]
    pub max_instance_reuse_count: usize,
}

/// Serves until Ctrl-C or a termination signal. Prints `Serving http://ADDRESS` when it is ready. Compiled machine code is
/// kept in `target/component-cache` beside the manifest.
///
/// # Errors
/// A manifest or component that cannot be loaded, and an address that is taken.
pub async fn run(options: ServeOptions) -> Result<()> {
    let manifest = Manifest::load(
        &std::path::absolute(options.from)?,
        options.runtime_config_file.as_deref(),
    )?;
    let cache = manifest.folder().join("target/component-cache");
    let (runtime, manifest) = tokio::task::spawn_blocking(move || {
        let runtime = Runtime::load(&manifest, Some(&cache));
        (runtime, manifest)
    })
    .await
    .context("the compilation was interrupted")?;
    let reuse = Reuse {
        max_requests: options.max_instance_reuse_count,
        ..Reuse::default()
    };
    let options_of_host = HostOptions {
        reuse,
        ..HostOptions::default()
    };
    let host = Host::new(&runtime?, &manifest, options_of_host)?;
    let server = Server::bind(options.listen).await?.with_grace(Duration::ZERO);
    let mut stdout = std::io::stdout();
    // A closed standard output is no reason not to serve.
    _ = writeln!(stdout, "Serving http://{}", server.local_addr()).and_then(|()| stdout.flush());
    server.serve(host, up::end_signal()).await
}
