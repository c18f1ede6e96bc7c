//! Instances of the component: how they are made, reused and ended.
//!
//! As in Spin, requests share an instance of WASI 0.3: a new one starts when the others are busy, and one that traps takes
//! the requests that it serves along. An instance of WASI 0.2 serves one request.

use std::{
    future::pending,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::time::{Sleep, sleep};
use wasmtime::{
    Engine, Store, StoreContextMut,
    component::{GuestTaskId, ResourceTable},
};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    WasiHttpCtx, WasiHttpCtxView, WasiHttpView,
    handler::{HandlerState, Instance, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus},
};

use super::{
    bindings::SpinView,
    component::Component,
    outbound::{InboundHooks, OutboundHooks},
    report,
};

/// How long an instance without requests is kept: Spin's default, as the next two.
const IDLE: Duration = Duration::from_secs(1);
/// Requests that an instance serves before it is replaced.
const MAX_REQUESTS: usize = 128;
/// Requests that an instance serves at a time.
const MAX_CONCURRENT: usize = 16;

/// What an instance owns: the data of its store.
pub(super) struct InstanceState {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    inbound: InboundHooks,
    outbound: OutboundHooks,
    component: Arc<Component>,
}

impl InstanceState {
    fn new(component: &Arc<Component>) -> wasmtime::Result<Self> {
        let mut wasi = WasiCtx::builder();
        // Standard output belongs to this process alone: with stdio it is the protocol's.
        wasi.stdout(std::io::stderr()).inherit_stderr();
        for mount in &component.manifest.component.files {
            wasi.preopened_dir(&mount.source, &mount.destination, FsPerms::ReadOnly)?;
        }
        Ok(Self {
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            inbound: InboundHooks,
            outbound: OutboundHooks(component.clone()),
            component: component.clone(),
        })
    }

    pub(super) fn spin(&mut self) -> SpinView<'_> {
        SpinView {
            table: &mut self.table,
            component: &self.component,
        }
    }

    /// The view with which requests reach the component.
    fn incoming(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.inbound,
            table: &mut self.table,
            ctx: &mut self.http,
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
            hooks: &mut self.outbound,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

/// Makes the instances of the component.
pub(super) struct Instances {
    pub(super) engine: Engine,
    pub(super) pre: ProxyPre<InstanceState>,
    pub(super) component: Arc<Component>,
    /// Requests that an instance of WASI 0.3 serves before it is replaced, if not Spin's default.
    pub(super) max_requests: Option<usize>,
}

impl HandlerState for Instances {
    type StoreData = InstanceState;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<InstanceState, Expiration, Worker>> {
        let mut store = Store::new(&self.engine, InstanceState::new(&self.component)?);
        // A busy instance gives way to others at each tick.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let proxy = self.pre.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy,
            view: InstanceState::incoming,
            expiration: Expiration(Box::pin(sleep(Duration::MAX))),
            state: Worker {
                max_requests: match self.pre {
                    ProxyPre::P2(_) => 1,
                    ProxyPre::P3(_) => self.max_requests.unwrap_or(MAX_REQUESTS),
                },
            },
        })
    }
}

/// When an instance has been idle for long enough.
pub(super) struct Expiration(Pin<Box<Sleep>>);

impl WorkerExpiration for Expiration {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, status: WorkerStatus, since: Instant) -> Poll<()> {
        if status != WorkerStatus::Idle {
            return Poll::Pending;
        }
        let deadline = (since + IDLE).into();
        if self.0.deadline() != deadline {
            self.0.as_mut().reset(deadline);
        }
        self.0.as_mut().poll(cx)
    }
}

/// What one instance accepts, and the report of its end.
pub(super) struct Worker {
    max_requests: usize,
}

impl WorkerState for Worker {
    type StoreData = InstanceState;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.max_requests {
            ShouldAccept::Never
        } else if concurrent >= MAX_CONCURRENT {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    /// A request has no time limit.
    fn on_request_start(
        &self,
        _: StoreContextMut<'_, InstanceState>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(pending())
    }

    fn drop(&self, store: Store<InstanceState>, result: wasmtime::Result<()>) {
        if let Err(error) = result {
            // The handler says the same when the async runtime ends under an instance: that is not a failure.
            if std::thread::panicking() || error.to_string() != "worker panicked" {
                report(&format!("worker failed: {error:?}"));
            }
        }
        drop(store);
    }
}
