//! What a host counts, and the accounting of an instance's memory.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::ResourceLimiter;

/// The counts of one host since it was made.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) instances_created: AtomicU64,
    pub(crate) instances_alive: AtomicUsize,
    pub(crate) traps: AtomicU64,
    pub(crate) kills: AtomicU64,
    pub(crate) peak_memory: AtomicUsize,
    last_trap: Mutex<Option<String>>,
}

impl Counters {
    pub(crate) fn count_trap(&self, text: String) {
        self.traps.fetch_add(1, Relaxed);
        *self.last_trap.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    pub(crate) fn last_trap(&self) -> Option<String> {
        self.last_trap.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The life of an instance: counted from its making to its drop, with its linear memory measured.
pub(crate) struct Life {
    counters: Arc<Counters>,
    memory: usize,
}

impl Life {
    pub(crate) fn new(counters: &Arc<Counters>) -> Self {
        counters.instances_created.fetch_add(1, Relaxed);
        counters.instances_alive.fetch_add(1, Relaxed);
        Self {
            counters: counters.clone(),
            memory: 0,
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.counters.instances_alive.fetch_sub(1, Relaxed);
    }
}

impl ResourceLimiter for Life {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let memory = self.memory.saturating_sub(current).saturating_add(desired);
        self.memory = memory;
        self.counters.peak_memory.fetch_max(memory, Relaxed);
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_all_memories_counts() {
        let counters = Arc::new(Counters::default());
        let mut life = Life::new(&counters);
        assert!(life.memory_growing(0, 100, None).unwrap());
        assert!(life.memory_growing(0, 100, None).unwrap());
        assert!(life.memory_growing(100, 200, None).unwrap());
        assert_eq!(counters.peak_memory.load(Relaxed), 300);
        assert_eq!(counters.instances_alive.load(Relaxed), 1);
        drop(life);
        assert_eq!(counters.instances_alive.load(Relaxed), 0);
        assert_eq!(counters.instances_created.load(Relaxed), 1);
    }
}
