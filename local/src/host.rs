//! The host itself: [`Runtime`] compiles the component, [`Host`] answers requests with it.

mod bindings;
mod component;
mod counters;
mod inbound;
mod instances;
pub mod manifest;
mod outbound;
mod output;
mod p2;
mod p3;
mod postgres;
pub mod server;
mod variables;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use wasmtime::component::Linker;
use wasmtime::{
    Cache, CacheConfig, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, ProfilingStrategy,
};
use wasmtime_wasi_http::handler::{ProxyHandler, ProxyPre, TrapOrPanicError};
use wasmtime_wasi_http::{p2 as http_p2, p3 as http_p3};

use component::Component;
use instances::{InstanceState, Instances};
use manifest::Manifest;
pub use output::Output;

/// The body of a request or response. It streams.
pub type Body = UnsyncBoxBody<Bytes, wasmtime_wasi_http::Error>;

/// A body of bytes that are there already.
pub fn body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Instances that there may be at a time.
const MAX_INSTANCES: u32 = 1000;

/// How often a busy instance gives way to others.
const TICK: Duration = Duration::from_millis(10);

/// The compiled component. Expensive to make, cheap to clone; many [`Host`]s can share it.
#[derive(Clone)]
pub struct Runtime {
    engine: Engine,
    component: wasmtime::component::Component,
    linker: Arc<Linker<InstanceState>>,
}

impl Runtime {
    /// Compiles the component of a manifest. `cache_dir` keeps the machine code for the next time.
    ///
    /// # Errors
    /// When the file is missing or is not a component that this host can run; the error says which import is lacking.
    pub fn load(manifest: &Manifest, cache_dir: Option<&Path>) -> Result<Self> {
        let mut config = Config::new();
        config.wasm_component_model_async(true).epoch_interruption(true);
        // For perf: which machine code is which function of the component. See docs/performance.md.
        if std::env::var_os("PLANEXE_LOCAL_PERF_MAP").is_some() {
            config.profiler(ProfilingStrategy::PerfMap);
        }
        if let Some(folder) = cache_dir {
            let folder = std::path::absolute(folder)?;
            std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
            let mut cache = CacheConfig::new();
            cache.with_directory(folder);
            config.cache(Some(Cache::new(cache)?));
        }
        let engine = engine(config)?;
        tick(&engine)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        http_p2::add_only_http_to_linker_async(&mut linker)?;
        http_p3::add_to_linker(&mut linker)?;
        bindings::add_to_linker(&mut linker)?;
        let source = manifest.source();
        let component = std::fs::read(source)
            .map_err(anyhow::Error::from)
            .and_then(|bytes| Ok(wasmtime::component::Component::new(&engine, bytes)?))
            .with_context(|| format!("cannot load the component from {}", source.display()))?;
        let linker = Arc::new(linker);
        Ok(Self {
            engine,
            component,
            linker,
        })
    }

    fn pre(&self) -> Result<ProxyPre<InstanceState>> {
        let pre = self.linker.instantiate_pre(&self.component)?;
        let (_, exports) = self.component_interfaces();
        if exports
            .iter()
            .any(|name| name.starts_with("wasi:http/incoming-handler@0.2"))
        {
            return Ok(ProxyPre::P2(http_p2::bindings::ProxyPre::new(pre)?));
        }
        Ok(ProxyPre::P3(http_p3::bindings::ServicePre::new(pre)?))
    }

    /// The names of the interfaces that the component imports and exports.
    #[must_use]
    pub fn component_interfaces(&self) -> (Vec<String>, Vec<String>) {
        let types = self.component.component_type();
        let imports = types.imports(&self.engine).map(|(name, _)| name.to_owned()).collect();
        let exports = types.exports(&self.engine).map(|(name, _)| name.to_owned()).collect();
        (imports, exports)
    }
}

/// An engine that keeps memories and stacks ready for instances to come, as Spin's does. That takes terabytes of address
/// space: on a machine that has less, each instance gets its own when it is made, as in Spin.
fn engine(mut config: Config) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(MAX_INSTANCES)
        .total_memories(MAX_INSTANCES)
        .total_tables(2 * MAX_INSTANCES)
        .total_stacks(MAX_INSTANCES)
        .total_core_instances(4 * MAX_INSTANCES)
        .table_elements(100_000)
        .max_component_instance_size(10 << 20)
        .max_core_instance_size(10 << 20)
        .max_tables_per_module(2)
        .max_memories_per_module(2)
        .max_memory_size(4 << 30)
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(1 << 19);
    let alone = config.clone();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).or_else(|_| Engine::new(&alone))
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

/// How instances of WASI 0.3 are reused.
#[derive(Clone, Copy, Debug)]
pub struct Reuse {
    /// Requests that an instance serves before it is replaced.
    pub max_requests: usize,
    /// Requests that an instance serves at a time.
    pub max_concurrent: usize,
}

impl Default for Reuse {
    /// Spin's defaults.
    fn default() -> Self {
        Self {
            max_requests: 128,
            max_concurrent: 16,
        }
    }
}

/// What the environment providers read.
#[derive(Clone)]
pub enum Environment {
    /// Exactly these environment variables, whatever the machine has.
    Fixed(BTreeMap<String, String>),
}

impl From<Environment> for BTreeMap<String, String> {
    fn from(Environment::Fixed(variables): Environment) -> Self {
        variables
    }
}

impl Default for Environment {
    fn default() -> Self {
        Self::Fixed(BTreeMap::new())
    }
}

/// What a component meets that asks for a variable whose provider is a service elsewhere, and that service fails: for
/// tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableFault {
    /// The provider has an error.
    Fails,
    /// The provider never answers.
    Hangs,
}

/// The settings of a [`Host`]. The defaults are Spin's.
#[derive(Clone, Default)]
pub struct HostOptions {
    /// What the environment providers read.
    pub environment: Environment,
    /// Variables that the component cannot read.
    pub variable_faults: BTreeMap<String, VariableFault>,
    /// How instances are reused.
    pub reuse: Reuse,
    /// Where the component's standard output goes.
    pub stdout: Output,
    /// Where the component's standard error goes, and the host's reports of failures.
    pub stderr: Output,
}

/// What a [`Host`] has done since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests received, the host's own paths included.
    pub requests: u64,
    /// Instances made.
    pub instances_created: u64,
    /// Instances that exist now.
    pub instances_alive: usize,
    /// Instances that ended by a trap, an exit or a panic of the host.
    pub traps: u64,
    /// The text of the last such end, with the component's backtrace.
    pub last_trap: Option<String>,
    /// Instances that [`Host::kill_instances`] has ended.
    pub kills: u64,
    /// The most linear memory that one instance has had, in bytes.
    pub peak_memory: usize,
    /// Postgres connections that instances hold or that are being made ready.
    pub postgres_in_use: usize,
    /// Postgres connections that wait in the pools.
    pub postgres_idle: usize,
}

/// A running application. A clone is the same application.
#[derive(Clone)]
pub struct Host {
    component: Arc<Component>,
    handler: ProxyHandler<Instances>,
}

impl Host {
    /// Makes a host. Nothing runs yet; instances and connections are made when requests need them.
    ///
    /// # Errors
    /// When the component has another kind of entry point than this host serves.
    pub fn new(runtime: &Runtime, manifest: &Manifest, options: HostOptions) -> Result<Self> {
        // Several crates of the process may each bring a provider of their own; one must be chosen, once.
        _ = rustls::crypto::ring::default_provider().install_default();
        let reuse = options.reuse;
        let component = Arc::new(Component::new(manifest.clone(), options));
        let instances = Instances::new(runtime.engine.clone(), runtime.pre()?, component.clone(), reuse);
        Ok(Self {
            component,
            handler: ProxyHandler::new(instances),
        })
    }

    /// Answers a request, as the server does for a connection from `client`. A failure becomes an empty answer with
    /// status 500, and is reported on the host's standard error.
    ///
    /// The request needs an authority: a `Host` header, or a URI such as `http://test/path`.
    pub async fn handle(&self, client: SocketAddr, request: Request<Body>) -> Response<Body> {
        let failed = || inbound::empty(StatusCode::INTERNAL_SERVER_ERROR);
        self.respond(client, request).await.unwrap_or_else(|_| failed())
    }

    /// Ends every instance that exists now, in the middle of whatever it is doing, as a platform may at any time. The
    /// requests that they serve fail; the next one gets a new instance. Returns when they are gone.
    pub async fn kill_instances(&self) {
        self.handler.state().kill().await;
    }

    /// What the host has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counters = &self.component.counters;
        let (postgres_in_use, postgres_idle) = self.component.pools.in_use_and_idle();
        Stats {
            requests: counters.requests.load(Relaxed),
            instances_created: counters.instances_created.load(Relaxed),
            instances_alive: counters.instances_alive.load(Relaxed),
            traps: counters.traps.load(Relaxed),
            last_trap: counters.last_trap(),
            kills: counters.kills.load(Relaxed),
            peak_memory: counters.peak_memory.load(Relaxed),
            postgres_in_use,
            postgres_idle,
        }
    }

    /// Answers a request; failures are reported.
    ///
    /// # Errors
    /// When the request gets no answer at all, as in Spin.
    pub(crate) async fn respond(&self, client: SocketAddr, request: Request<Body>) -> Result<Response<Body>> {
        self.component.counters.requests.fetch_add(1, Relaxed);
        if let Some(answer) = inbound::well_known(request.uri().path(), &self.component.manifest) {
            return Ok(answer);
        }
        let request = inbound::absolute(request).inspect_err(|error| self.report(error))?;
        let answered = self.call(client, request).await;
        Ok(answered.unwrap_or_else(|error| {
            // A trap has its own report, with the component's backtrace.
            if !error.is::<TrapOrPanicError>() {
                self.report(&error);
            }
            inbound::empty(StatusCode::INTERNAL_SERVER_ERROR)
        }))
    }

    async fn call(&self, client: SocketAddr, mut request: Request<Body>) -> Result<Response<Body>> {
        inbound::describe(&mut request, client)?;
        Ok(self.handler.handle((), request).await?)
    }

    fn report(&self, error: &anyhow::Error) {
        let text = format!("error processing request: {error:#}");
        self.component.stderr.line(&text);
    }
}
