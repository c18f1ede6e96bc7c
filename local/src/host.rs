//! The host itself: [`Runtime`] compiles an application's components, [`Host`] answers requests with them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use wasmtime::component::Linker;
use wasmtime::{
    Cache, CacheConfig, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, ProfilingStrategy,
};
use wasmtime_wasi_http::handler::{ProxyHandler, TrapOrPanicError};
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::bindings;
use crate::component::{Component, InstanceState, Shared};
use crate::counters::Counters;
use crate::inbound;
use crate::instances::Instances;
pub use crate::instances::Reuse;
use crate::manifest::Manifest;
use crate::outbound_http::Client;
pub use crate::output::Output;
use crate::postgres::Pools;
use crate::routes::{self, RouteMatch};
use crate::variables::Resolver;
pub use crate::variables::{Environment, VariableFault};

/// The body of a request or response. It streams.
pub type Body = UnsyncBoxBody<Bytes, wasmtime_wasi_http::Error>;

/// A body of bytes that are there already.
pub fn body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Instances that there may be at a time.
const MAX_INSTANCES: u32 = 1000;

/// How often a busy guest gives way to others.
const TICK: Duration = Duration::from_millis(10);

/// The compiled components of an application. Expensive to make, cheap to clone; many [`Host`]s can share it.
#[derive(Clone)]
pub struct Runtime(Arc<Compiled>);

struct Compiled {
    engine: Engine,
    services: BTreeMap<String, ServicePre<InstanceState>>,
    imports: BTreeSet<String>,
    exports: BTreeSet<String>,
}

impl Runtime {
    /// Compiles the components of a manifest. `cache_dir` keeps the machine code for the next time.
    ///
    /// # Errors
    /// When a file is missing or is not a component that this host can run; the error says which import is lacking.
    pub fn load(manifest: &Manifest, cache_dir: Option<&Path>) -> anyhow::Result<Self> {
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
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
        bindings::add_to_linker(&mut linker)?;
        let mut compiled = Compiled {
            engine,
            services: BTreeMap::new(),
            imports: BTreeSet::new(),
            exports: BTreeSet::new(),
        };
        for (id, component) in manifest.components() {
            let source = component.source();
            compiled
                .add(id, source, &linker)
                .with_context(|| format!("cannot load the component {id:?} from {}", source.display()))?;
        }
        Ok(Self(Arc::new(compiled)))
    }

    /// The names of the interfaces that the components import and export, sorted.
    #[must_use]
    pub fn component_interfaces(&self) -> (Vec<String>, Vec<String>) {
        (
            self.0.imports.iter().cloned().collect(),
            self.0.exports.iter().cloned().collect(),
        )
    }
}

impl Compiled {
    fn add(&mut self, id: &str, source: &Path, linker: &Linker<InstanceState>) -> anyhow::Result<()> {
        let bytes = std::fs::read(source)?;
        let component = wasmtime::component::Component::new(&self.engine, bytes)?;
        let types = component.component_type();
        self.imports
            .extend(types.imports(&self.engine).map(|(name, _)| name.to_owned()));
        self.exports
            .extend(types.exports(&self.engine).map(|(name, _)| name.to_owned()));
        let service = ServicePre::new(linker.instantiate_pre(&component)?)?;
        self.services.insert(id.to_owned(), service);
        Ok(())
    }
}

/// An engine that keeps memories and stacks ready for instances to come, as Spin's does. That takes terabytes of address
/// space: where they are not to be had, each instance gets its own when it is made, as in Spin.
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
        .max_core_instances_per_component(200)
        .max_tables_per_component(64)
        .max_memories_per_component(32)
        .max_tables_per_module(2)
        .max_memories_per_module(2)
        .max_memory_size(4 << 30)
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(1 << 19);
    let alone = config.clone();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).or_else(|_| Engine::new(&alone))
}

/// Interrupts busy guests for as long as the engine lives.
fn tick(engine: &Engine) -> anyhow::Result<()> {
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

/// The settings of a [`Host`]. The defaults are Spin's.
#[derive(Clone)]
pub struct HostOptions {
    /// Values of application variables, as `spin up --variable name=value` has them. They win over the environment.
    pub variables: BTreeMap<String, String>,
    /// What the environment providers read.
    pub environment: Environment,
    /// Variables that guests cannot read.
    pub variable_faults: BTreeMap<String, VariableFault>,
    /// How instances are reused.
    pub reuse: Reuse,
    /// The most linear memory that an instance may have, in bytes. `None`: no limit but that of 32 bits.
    pub max_memory: Option<usize>,
    /// Where the guest's standard output goes.
    pub stdout: Output,
    /// Where the guest's standard error goes, and the host's reports of failures.
    pub stderr: Output,
    /// Connections kept for each Postgres address. A guest that wants one more waits without limit.
    pub postgres_pool_size: usize,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            variables: BTreeMap::new(),
            environment: Environment::default(),
            variable_faults: BTreeMap::new(),
            reuse: Reuse::default(),
            max_memory: None,
            stdout: Output::default(),
            stderr: Output::default(),
            postgres_pool_size: 64,
        }
    }
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
    /// Instances that ended by a trap, an exit, a timeout or a panic of the host.
    pub traps: u64,
    /// The text of the last such end, with the guest's backtrace.
    pub last_trap: Option<String>,
    /// Instances that [`Host::kill_instances`] has ended.
    pub kills: u64,
    /// The most linear memory that one instance has had, in bytes.
    pub peak_memory: usize,
    /// Postgres connections that guests hold or that are being made ready.
    pub postgres_in_use: usize,
    /// Postgres connections that wait in the pools.
    pub postgres_idle: usize,
}

/// A running application: routes, instances, connection pools. A clone is the same application.
#[derive(Clone)]
pub struct Host(Arc<Application>);

struct Application {
    manifest: Manifest,
    handlers: BTreeMap<String, ProxyHandler<Instances>>,
    shared: Arc<Shared>,
}

impl Host {
    /// Makes a host. Nothing runs yet; instances and connections are made when requests need them.
    ///
    /// # Errors
    /// When the runtime was loaded from another manifest, or a folder of `files` does not exist.
    pub fn new(runtime: &Runtime, manifest: &Manifest, options: HostOptions) -> anyhow::Result<Self> {
        let HostOptions {
            variables,
            environment,
            variable_faults,
            reuse,
            max_memory,
            stdout,
            stderr,
            postgres_pool_size,
        } = options;
        let prefixes = manifest.env_prefixes();
        let shared = Arc::new(Shared {
            resolver: Resolver::new(manifest.variables().clone(), variables, prefixes, environment),
            variable_faults,
            pools: Pools::new(postgres_pool_size),
            http: Client::new(manifest.connection_pooling())?,
            counters: Arc::new(Counters::default()),
            stdout,
            stderr,
            max_memory,
        });
        let mut handlers = BTreeMap::new();
        for (id, component) in manifest.components() {
            for mount in component.files() {
                let source = mount.source.display();
                ensure!(
                    mount.source.is_dir(),
                    "component {id:?}: files: {source} is not a folder"
                );
            }
            let service = runtime.0.services.get(id);
            let service = service
                .with_context(|| format!("the runtime has no component {id:?}"))?
                .clone();
            let component = Arc::new(Component::new(id, component, shared.clone()));
            let engine = runtime.0.engine.clone();
            let instances = Instances::new(engine, service, component, reuse.clone());
            handlers.insert(id.clone(), ProxyHandler::new(instances));
        }
        Ok(Self(Arc::new(Application {
            manifest: manifest.clone(),
            handlers,
            shared,
        })))
    }

    /// Answers a request, as the server does for a connection from `client`. A failure becomes an empty answer with
    /// status 500, and is reported on the host's standard error.
    ///
    /// The request needs an authority: a `Host` header, or a URI such as `http://test/path`.
    pub async fn handle(&self, client: SocketAddr, request: Request<Body>) -> Response<Body> {
        self.respond(client, request).await.unwrap_or_else(|error| {
            self.report(&error);
            inbound::empty(StatusCode::INTERNAL_SERVER_ERROR)
        })
    }

    /// Ends every instance that exists now, in the middle of whatever it is doing, as a platform may at any time. The
    /// requests that they serve fail; the next one gets a new instance. Returns when they are gone.
    pub async fn kill_instances(&self) {
        for handler in self.0.handlers.values() {
            handler.state().kill().await;
        }
    }

    /// What the host has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counters = &self.0.shared.counters;
        let (postgres_in_use, postgres_idle) = self.0.shared.pools.in_use_and_idle();
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

    /// Like [`Host::handle`], but with an error for a request to which Spin gives no answer at all.
    pub(crate) async fn respond(&self, client: SocketAddr, request: Request<Body>) -> anyhow::Result<Response<Body>> {
        self.0.shared.counters.requests.fetch_add(1, Relaxed);
        let path = request.uri().path().to_owned();
        if let Some(answer) = inbound::well_known(&path, &self.0.manifest) {
            return answer;
        }
        let Some(found) = routes::find(self.0.manifest.routes(), &path) else {
            return Ok(inbound::empty(StatusCode::NOT_FOUND));
        };
        let request = inbound::absolute(request)?;
        Ok(self.call(client, request, &found).await.unwrap_or_else(|error| {
            self.report(&error);
            inbound::empty(StatusCode::INTERNAL_SERVER_ERROR)
        }))
    }

    async fn call(
        &self,
        client: SocketAddr,
        request: Request<Body>,
        found: &RouteMatch<'_>,
    ) -> anyhow::Result<Response<Body>> {
        let request = inbound::describe(request, found, client)?;
        let id = found.route.component();
        let handler = self
            .0
            .handlers
            .get(id)
            .with_context(|| format!("unknown component {id:?}"))?;
        match handler.handle((), request).await {
            // A trap has its own report, with the guest's backtrace.
            Err(error) if error.is::<TrapOrPanicError>() => Ok(inbound::empty(StatusCode::INTERNAL_SERVER_ERROR)),
            answer => Ok(answer?),
        }
    }

    pub(crate) fn report(&self, error: &anyhow::Error) {
        self.0
            .shared
            .stderr
            .line(&format!("error processing request: {error:#}"));
    }
}
