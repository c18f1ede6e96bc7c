//! Waiting for the host. WASI 0.2 has one way to wait: to give the host a list of pollables and to stop until one of them
//! is ready. `spin-executor` does the same, but takes what it waits for anew at each turn and panics where it finds
//! nothing to wait for.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::{Pin, pin},
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
};

use wasi::io::poll::{Pollable, poll};

thread_local! {
    /// All that some future waits for.
    static AWAITED: RefCell<Vec<Weak<Awaited>>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug)]
struct Awaited {
    pollable: Pollable,
    ready: Cell<bool>,
}

/// A future that is done when the host is ready. It must be dropped before the resource that its pollable is of: the host
/// traps otherwise.
#[derive(Debug)]
pub(super) struct Ready(Rc<Awaited>);

impl Ready {
    /// Waits for a pollable.
    #[must_use]
    pub(super) fn new(pollable: Pollable) -> Self {
        let awaited = Rc::new(Awaited {
            pollable,
            ready: Cell::new(false),
        });
        AWAITED.with_borrow_mut(|all| all.push(Rc::downgrade(&awaited)));
        Self(awaited)
    }
}

impl Future for Ready {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.0.ready.get() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// Runs a future to its end. `None` when it waits and nothing is there that the host could wake it for.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    // Nothing is woken: after each wait the whole future is asked again.
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        wait()?;
    }
}

/// Stops until one of the pollables is ready. `None` when there is no pollable.
fn wait() -> Option<()> {
    AWAITED.with_borrow_mut(|all| {
        let waiting: Vec<_> = all.iter().filter_map(Weak::upgrade).collect();
        if waiting.is_empty() {
            return None;
        }
        let pollables: Vec<_> = waiting.iter().map(|awaited| &awaited.pollable).collect();
        for index in poll(&pollables) {
            if let Some(awaited) = waiting.get(index as usize) {
                awaited.ready.set(true);
            }
        }
        *all = waiting
            .iter()
            .filter(|awaited| !awaited.ready.get())
            .map(Rc::downgrade)
            .collect();
        Some(())
    })
}
