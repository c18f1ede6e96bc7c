//! What the instances of a component share, and what each of them owns.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::allowed_hosts::{Address, AllowedHosts, Entry};
use crate::bindings::SpinView;
use crate::counters::{Counters, Life};
use crate::manifest::{self, FileMount};
use crate::outbound_http::{Client, InboundHooks, OutboundHooks};
use crate::output::Output;
use crate::postgres::Pools;
use crate::variables::{Resolver, Template, VariableError, VariableFault};

/// What all components of a host share.
pub(crate) struct Shared {
    pub(crate) resolver: Resolver,
    pub(crate) variable_faults: BTreeMap<String, VariableFault>,
    pub(crate) pools: Pools,
    pub(crate) http: Client,
    pub(crate) counters: Arc<Counters>,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
    pub(crate) max_memory: Option<usize>,
}

/// A component of a host.
pub(crate) struct Component {
    id: String,
    variables: BTreeMap<String, Template>,
    environment: BTreeMap<String, String>,
    files: Vec<FileMount>,
    allowed_hosts: Vec<Entry>,
    pub(crate) shared: Arc<Shared>,
}

impl Component {
    pub(crate) fn new(id: &str, component: &manifest::Component, shared: Arc<Shared>) -> Self {
        Self {
            id: id.to_owned(),
            variables: component.variables().clone(),
            environment: component.environment().clone(),
            files: component.files().to_vec(),
            allowed_hosts: component.allowed_hosts.clone(),
            shared,
        }
    }

    /// The value of one of the component's variables.
    pub(crate) fn variable(&self, name: &str) -> Result<String, VariableError> {
        let template = self
            .variables
            .get(name)
            .ok_or_else(|| VariableError::Undefined(format!("no variable for {:?}.{name:?}", self.id)))?;
        self.shared.resolver.template(template)
    }
}

/// The addresses that one instance may reach: found out at its first outbound call, then kept, as in Spin.
#[derive(Clone)]
pub(crate) struct Reach(Arc<ReachState>);

struct ReachState {
    component: Arc<Component>,
    resolved: OnceLock<Result<AllowedHosts, String>>,
}

impl Reach {
    fn new(component: &Arc<Component>) -> Self {
        Self(Arc::new(ReachState {
            component: component.clone(),
            resolved: OnceLock::new(),
        }))
    }

    /// Whether the instance may reach the address, a URL or `host[:port]` with the given scheme.
    ///
    /// # Errors
    /// When an entry or a variable of the application cannot be resolved: then nothing can be reached.
    pub(crate) fn allows(&self, address: &str, scheme: &str) -> Result<bool, String> {
        let Ok(parsed) = Address::parse(address, scheme) else {
            return Ok(false);
        };
        let Component {
            allowed_hosts, shared, ..
        } = &*self.0.component;
        let resolved = self.0.resolved.get_or_init(|| {
            let values = shared.resolver.all().map_err(|error| error.to_string())?;
            AllowedHosts::resolve(allowed_hosts, &values).map_err(|error| error.to_string())
        });
        let allowed = resolved.as_ref().map_err(|error| {
            shared
                .stderr
                .line(&format!("allowed_outbound_hosts cannot be resolved: {error}"));
            error.clone()
        })?;
        let allows = allowed.allow(&parsed);
        if !allows {
            let id = &self.0.component.id;
            shared.stderr.line(&format!(
                "the component {id:?} may not reach {parsed}: its allowed_outbound_hosts do not permit it"
            ));
        }
        Ok(allows)
    }
}

/// What an instance owns: the data of its store.
pub(crate) struct InstanceState {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    outbound: OutboundHooks,
    inbound: InboundHooks,
    reach: Reach,
    component: Arc<Component>,
    pub(crate) life: Life,
}

impl InstanceState {
    pub(crate) fn new(component: &Arc<Component>) -> wasmtime::Result<Self> {
        let shared = &component.shared;
        let mut wasi = WasiCtxBuilder::new();
        shared.stdout.to_stdout_of(&mut wasi);
        shared.stderr.to_stderr_of(&mut wasi);
        for (name, value) in &component.environment {
            wasi.env(name, value);
        }
        for mount in &component.files {
            wasi.preopened_dir(&mount.source, &mount.destination, FsPerms::ReadOnly)?;
        }
        let reach = Reach::new(component);
        Ok(Self {
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            outbound: OutboundHooks::new(reach.clone(), shared.http.clone()),
            inbound: InboundHooks,
            reach,
            component: component.clone(),
            life: Life::new(&shared.counters, shared.max_memory),
        })
    }

    pub(crate) fn spin(&mut self) -> SpinView<'_> {
        SpinView {
            table: &mut self.table,
            component: &self.component,
            reach: &self.reach,
        }
    }

    /// The view with which incoming requests are handed to the guest.
    pub(crate) fn incoming(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.inbound,
        }
    }
}

impl WasiView for InstanceState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for InstanceState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.outbound,
        }
    }
}
