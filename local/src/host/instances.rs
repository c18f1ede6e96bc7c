//! Instances of the component: how they are made, reused and ended.
//!
//! As in Spin, requests share an instance of WASI 0.3: a new one starts when the others are busy, and one that traps takes
//! the requests that it serves along. An instance of WASI 0.2 serves one request.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{Sleep, sleep};
use wasmtime::component::{GuestTaskId, ResourceTable};
use wasmtime::{Engine, Store, StoreContextMut};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::Reuse;
use super::bindings::SpinView;
use super::component::Component;
use super::counters::Life;
use super::outbound::{InboundHooks, OutboundHooks};

/// How long an instance without requests is kept.
const IDLE: Duration = Duration::from_secs(1);

/// What an instance owns: the data of its store.
pub(crate) struct InstanceState {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    inbound: InboundHooks,
    outbound: OutboundHooks,
    component: Arc<Component>,
    life: Life,
}

impl InstanceState {
    fn new(component: &Arc<Component>) -> wasmtime::Result<Self> {
        let mut wasi = WasiCtxBuilder::new();
        component.stdout.to_stdout_of(&mut wasi);
        component.stderr.to_stderr_of(&mut wasi);
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
            life: Life::new(&component.counters),
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

/// Makes the instances of the component.
pub(super) struct Instances {
    engine: Engine,
    pre: ProxyPre<InstanceState>,
    component: Arc<Component>,
    reuse: Reuse,
    /// Tells the instances that exist now to end at once; those to come get another.
    kill: Mutex<watch::Sender<()>>,
}

impl Instances {
    pub(super) fn new(engine: Engine, pre: ProxyPre<InstanceState>, component: Arc<Component>, reuse: Reuse) -> Self {
        let reuse = match pre {
            ProxyPre::P2(_) => Reuse {
                max_requests: 1,
                max_concurrent: 1,
            },
            ProxyPre::P3(_) => reuse,
        };
        Self {
            engine,
            pre,
            component,
            reuse,
            kill: Mutex::default(),
        }
    }

    /// Ends every instance that exists now, whatever it is doing. Returns when they are gone.
    pub(super) async fn kill(&self) {
        let kill = std::mem::take(&mut *self.kill.lock().unwrap_or_else(PoisonError::into_inner));
        kill.send_replace(());
        // Each instance holds a receiver for as long as it lives.
        kill.closed().await;
    }
}

impl HandlerState for Instances {
    type StoreData = InstanceState;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<InstanceState, Expiration, Worker>> {
        let killed = self.kill.lock().unwrap_or_else(PoisonError::into_inner).subscribe();
        let mut store = Store::new(&self.engine, InstanceState::new(&self.component)?);
        store.limiter(|state| &mut state.life);
        // A busy instance gives way to others at each tick.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let proxy = self.pre.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy,
            view: InstanceState::incoming,
            expiration: Expiration {
                sleep: Box::pin(sleep(Duration::MAX)),
                kill: {
                    let mut killed = killed.clone();
                    Box::pin(async move {
                        if killed.changed().await.is_err() {
                            // Nothing is left that could kill.
                            pending::<()>().await;
                        }
                    })
                },
            },
            state: Worker {
                component: self.component.clone(),
                reuse: self.reuse,
                killed,
            },
        })
    }
}

/// When an instance has lived long enough.
pub(super) struct Expiration {
    sleep: Pin<Box<Sleep>>,
    /// Completes when the instance is to end at once.
    kill: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl WorkerExpiration for Expiration {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, status: WorkerStatus, since: Instant) -> Poll<()> {
        let this = self.get_mut();
        if this.kill.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if status != WorkerStatus::Idle {
            return Poll::Pending;
        }
        let deadline = (since + IDLE).into();
        if this.sleep.deadline() != deadline {
            this.sleep.as_mut().reset(deadline);
        }
        this.sleep.as_mut().poll(cx)
    }
}

/// What one instance accepts, and the report of its end.
pub(super) struct Worker {
    component: Arc<Component>,
    reuse: Reuse,
    killed: watch::Receiver<()>,
}

impl WorkerState for Worker {
    type StoreData = InstanceState;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.reuse.max_requests {
            ShouldAccept::Never
        } else if concurrent >= self.reuse.max_concurrent {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    /// Requests have no time limit.
    fn on_request_start(
        &self,
        _: StoreContextMut<'_, InstanceState>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(pending())
    }

    fn drop(&self, store: Store<InstanceState>, result: Result<(), wasmtime::Error>) {
        // An error means that the one who killed has not waited for this end.
        if !matches!(self.killed.has_changed(), Ok(false)) {
            self.component.counters.kills.fetch_add(1, Relaxed);
        } else if let Err(error) = result {
            // The handler says the same when the async runtime ends under an instance: that is not a failure.
            let runtime_ended = error.to_string() == "worker panicked" && !std::thread::panicking();
            if !runtime_ended {
                let text = format!("{error:?}");
                self.component.stderr.line(&format!("worker failed: {text}"));
                self.component.counters.count_trap(text);
            }
        }
        drop(store);
    }
}
