//! Serves a Spin application as `spin up` does, with a subset of its options under the same names. Settings come from the
//! environment; what the component writes to its standard error goes to that of this process.

use std::{io::Write as _, net::SocketAddr, path::PathBuf};

use anyhow::Result;

use crate::{
    host::{Host, HostOptions, server::Server},
    up,
};

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
    #[arg(long)]
    pub max_instance_reuse_count: Option<usize>,
}

/// Serves until Ctrl-C or a termination signal. Prints `Serving http://ADDRESS` when it is ready. Compiled machine code is
/// kept in `target/component-cache` beside the manifest.
///
/// # Errors
/// A manifest or component that cannot be loaded, and an address that is taken.
pub async fn run(options: ServeOptions) -> Result<()> {
    let options_of_host = HostOptions {
        manifest: options.from,
        runtime_config: options.runtime_config_file,
        environment: std::env::vars_os().collect(),
        max_requests: options.max_instance_reuse_count,
    };
    let host = Host::load(options_of_host).await?;
    let server = Server::bind(options.listen).await?;
    let mut stdout = std::io::stdout();
    // A closed standard output is no reason not to serve.
    _ = writeln!(stdout, "Serving http://{}", server.local_addr()).and_then(|()| stdout.flush());
    host.serve(server, up::end_signal()).await;
    Ok(())
}
