//! The making, reuse and end of instances.
//!
//! Requests share instances as in Spin: a new one starts when the others are busy, and one that traps takes the
//! requests it is serving along. So does one that is killed, which platforms do at any time, and tests here.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{Sleep, sleep};
use wasmtime::component::GuestTaskId;
use wasmtime::{Engine, Store, StoreContextMut};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, Proxy, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::component::{Component, InstanceState};

/// How many requests an instance serves, and for how long it lives.
#[derive(Clone, Debug)]
pub struct Reuse {
    /// Requests that an instance serves before it is replaced.
    pub max_requests: usize,
    /// Requests that an instance serves at a time.
    pub max_concurrent: usize,
    /// How long an instance without requests is kept.
    pub idle: Duration,
    /// How long a request may take. As in Spin the limit covers the streaming of the body too. `None`: no limit.
    pub request_timeout: Option<Duration>,
}

impl Default for Reuse {
    /// Spin's defaults: 128 requests, 16 at a time, 1 s, no limit.
    fn default() -> Self {
        Self {
            max_requests: 128,
            max_concurrent: 16,
            idle: Duration::from_secs(1),
            request_timeout: None,
        }
    }
}

/// Makes the instances of one component.
pub(crate) struct Instances {
    engine: Engine,
    service: ServicePre<InstanceState>,
    component: Arc<Component>,
    reuse: Reuse,
    /// Tells the instances that exist now to end at once; those to come get another.
    kill: Mutex<watch::Sender<()>>,
}

impl Instances {
    pub(crate) fn new(
        engine: Engine,
        service: ServicePre<InstanceState>,
        component: Arc<Component>,
        reuse: Reuse,
    ) -> Self {
        Self {
            engine,
            service,
            component,
            reuse,
            kill: Mutex::default(),
        }
    }

    /// Ends every instance that exists now, whatever it is doing. Returns when they are gone.
    pub(crate) async fn kill(&self) {
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
        // A busy guest gives way to others at each tick.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let service = self.service.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy: Proxy::P3(service),
            view: InstanceState::incoming,
            expiration: Expiration {
                idle: self.reuse.idle,
                request: self.reuse.request_timeout,
                sleep: Box::pin(sleep(Duration::MAX)),
                kill: {
                    let mut killed = killed.clone();
                    Box::pin(async move {
                        if killed.changed().await.is_err() {
                            // Nobody is left who could kill.
                            std::future::pending::<()>().await;
                        }
                    })
                },
            },
            state: Worker {
                killed,
                component: self.component.clone(),
                reuse: self.reuse.clone(),
            },
        })
    }
}

/// When an instance has lived long enough.
pub(crate) struct Expiration {
    idle: Duration,
    request: Option<Duration>,
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
        let limit = match status {
            WorkerStatus::Idle => Some(this.idle),
            WorkerStatus::Requests | WorkerStatus::PostReturn => this.request,
        };
        let Some(deadline) = limit.and_then(|limit| since.checked_add(limit)) else {
            return Poll::Pending;
        };
        let deadline = deadline.into();
        if this.sleep.deadline() != deadline {
            this.sleep.as_mut().reset(deadline);
        }
        this.sleep.as_mut().poll(cx)
    }
}

/// What one instance accepts, and the account of its end.
pub(crate) struct Worker {
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

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, InstanceState>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(sleep(self.reuse.request_timeout.unwrap_or(Duration::MAX)))
    }

    fn drop(&self, store: Store<InstanceState>, result: Result<(), wasmtime::Error>) {
        // An error means that whoever killed has not waited for this end.
        if !matches!(self.killed.has_changed(), Ok(false)) {
            self.component.shared.counters.kills.fetch_add(1, Relaxed);
        } else if let Err(error) = result {
            // The handler says the same words when the async runtime ends under an instance: that is no failure.
            let runtime_ended = error.to_string() == "worker panicked" && !std::thread::panicking();
            if !runtime_ended {
                let shared = &self.component.shared;
                let text = format!("{error:?}");
                shared.stderr.line(&format!("worker failed: {text}"));
                shared.counters.count_trap(text);
            }
        }
        drop(store);
    }
}
