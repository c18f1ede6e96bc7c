//! Serves the application of a `spin.toml` as Spin does. Where it differs from Spin is listed in the documentation of this
//! crate.

mod bindings;
mod component;
mod inbound;
mod instances;
mod manifest;
mod outbound;
mod p2;
mod p3;
mod postgres;
pub(crate) mod server;
mod variables;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use tokio::task::spawn_blocking;
use wasmtime::{
    Cache, CacheConfig, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, ProfilingStrategy,
    component::{Component as Wasm, Linker},
};
use wasmtime_wasi_http::{
    handler::{ProxyHandler, ProxyPre, TrapOrPanicError},
    p2 as http_p2, p3 as http_p3,
};

use component::Component;
use instances::{InstanceState, Instances};
use manifest::Manifest;
pub(crate) use manifest::RuntimeConfig;
use server::Server;

/// The body of a request or response. It streams.
type Body = UnsyncBoxBody<Bytes, wasmtime_wasi_http::Error>;

/// What a component of WASI 0.2 exports, without the patch version.
const EXPORT_OF_P2: &str = "wasi:http/incoming-handler@0.2";

/// How often a busy instance gives way to others.
const TICK: Duration = Duration::from_millis(10);

/// Which application to serve.
#[derive(Debug, Default)]
pub(crate) struct HostOptions {
    /// The manifest. Compiled machine code is kept in `target/component-cache` beside it.
    pub(crate) manifest: PathBuf,
    /// The runtime configuration.
    pub(crate) runtime_config: Option<PathBuf>,
    /// The environment from which the application's variables get their values.
    pub(crate) environment: BTreeMap<OsString, OsString>,
    /// Requests that an instance of WASI 0.3 serves before it is replaced. The default is Spin's.
    pub(crate) max_requests: Option<usize>,
}

/// An application that can answer requests. A clone is the same application.
#[derive(Clone)]
pub(crate) struct Host {
    component: Arc<Component>,
    handler: ProxyHandler<Instances>,
}

impl Host {
    /// Reads the manifest and compiles its component, or takes the machine code of an earlier time.
    ///
    /// # Errors
    /// When a file is missing, or has what this host does not serve; the error names it.
    pub(crate) async fn load(options: HostOptions) -> Result<Self> {
        let loaded = spawn_blocking(|| Self::load_now(options)).await;
        loaded.context("the compilation was interrupted")?
    }

    fn load_now(options: HostOptions) -> Result<Self> {
        // Several crates of this process bring a provider of their own; one must be chosen, once.
        _ = rustls::crypto::ring::default_provider().install_default();
        let manifest = Manifest::load(&options.manifest, options.runtime_config.as_deref())?;
        let source = manifest.component.source.clone();
        ensure!(source.is_file(), "{} is missing: run scripts/build", source.display());
        let engine = engine(&manifest.folder.join("target/component-cache"))?;
        tick(&engine)?;
        let pre = link(&engine, &source).with_context(|| format!("cannot load {}", source.display()))?;
        let component = Arc::new(Component::new(manifest, options.environment));
        let handler = ProxyHandler::new(Instances {
            engine,
            pre,
            component: component.clone(),
            max_requests: options.max_requests,
        });
        Ok(Self { component, handler })
    }

    /// Serves at an address until `shutdown` completes.
    pub(crate) async fn serve(self, server: Server, shutdown: impl Future<Output = ()>) {
        let answer = move |client, request| {
            let host = self.clone();
            async move { host.respond(client, request).await }
        };
        server.serve(answer, shutdown).await;
    }

    /// Answers a request. A failure becomes an empty answer with status 500, and is reported.
    ///
    /// # Errors
    /// When the request gets no answer at all, as in Spin.
    async fn respond(&self, client: SocketAddr, request: Request<Incoming>) -> Result<Response<Body>> {
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        if let Some(answer) = inbound::well_known(request.uri().path(), &self.component.manifest) {
            return Ok(answer);
        }
        let request = inbound::absolute(request)?;
        Ok(self.call(client, request).await.unwrap_or_else(|error| {
            // A trap has its own report, with the component's backtrace.
            if !error.is::<TrapOrPanicError>() {
                report(&format!("Error processing request: {error:#}"));
            }
            response(StatusCode::INTERNAL_SERVER_ERROR, "")
        }))
    }

    async fn call(&self, client: SocketAddr, mut request: Request<Body>) -> Result<Response<Body>> {
        inbound::describe(&mut request, client)?;
        Ok(self.handler.handle((), request).await?)
    }
}

/// A whole response.
fn response(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    response
}

/// Writes a line to standard error, if that is open.
fn report(text: &str) {
    _ = writeln!(std::io::stderr(), "{text}");
}

/// The component with all that it imports.
fn link(engine: &Engine, source: &Path) -> Result<ProxyPre<InstanceState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    http_p2::add_only_http_to_linker_async(&mut linker)?;
    http_p3::add_to_linker(&mut linker)?;
    bindings::add_to_linker(&mut linker)?;
    let component = Wasm::from_file(engine, source)?;
    let pre = linker.instantiate_pre(&component)?;
    let types = component.component_type();
    let is_p2 = types.exports(engine).any(|(name, _)| name.starts_with(EXPORT_OF_P2));
    Ok(if is_p2 {
        ProxyPre::P2(http_p2::bindings::ProxyPre::new(pre)?)
    } else {
        ProxyPre::P3(http_p3::bindings::ServicePre::new(pre)?)
    })
}

/// An engine that keeps memories and stacks ready for 1,000 instances, as Spin's does. That takes terabytes of address
/// space: on a machine that has less, each instance gets its own when it is made, as in Spin.
fn engine(cache_folder: &Path) -> Result<Engine> {
    std::fs::create_dir_all(cache_folder).with_context(|| format!("cannot make {}", cache_folder.display()))?;
    let mut cache = CacheConfig::new();
    cache.with_directory(cache_folder);
    let mut config = Config::new();
    config.cache(Some(Cache::new(cache)?));
    config.wasm_component_model_async(true).epoch_interruption(true);
    // For perf: which machine code is which function of the component. See docs/performance.md.
    if std::env::var_os("PLANEXE_LOCAL_PERF_MAP").is_some() {
        config.profiler(ProfilingStrategy::PerfMap);
    }
    // The component has two tables and three core modules, of which two are adapters.
    let mut pool = PoolingAllocationConfig::default();
    pool.total_tables(2_000)
        .total_core_instances(4_000)
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(1 << 19);
    let alone = config.clone();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Ok(Engine::new(&config).or_else(|_| Engine::new(&alone))?)
}

/// Interrupts busy instances for as long as the engine lives.
fn tick(engine: &Engine) -> Result<()> {
    let engine = engine.weak();
    std::thread::Builder::new().name("epoch".to_owned()).spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    })?;
    Ok(())
}
