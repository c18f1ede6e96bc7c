//! The files of the runs, in memory, shared by both halves of the worker.
//!
//! Knows no tasks, no HTTP and no archive format.

use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use time::OffsetDateTime;

/// One file of a run.
#[derive(Debug, Clone)]
pub(super) struct RunFile {
    /// What is in it.
    pub(super) content: Bytes,
    /// When it was written.
    pub(super) written: OffsetDateTime,
}

/// The files of one run by name.
pub(super) type RunFiles = BTreeMap<String, RunFile>;

/// All runs by task id. Copies share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Runs(Arc<Mutex<HashMap<String, RunFiles>>>);

impl Runs {
    /// Writes files of a run, which begins with its first one.
    pub(super) fn add(&self, run: &str, files: impl IntoIterator<Item = (String, Bytes)>) {
        let written = OffsetDateTime::now_utc();
        let files = files
            .into_iter()
            .map(|(name, content)| (name, RunFile { content, written }));
        self.all().entry(run.to_owned()).or_default().extend(files);
    }

    /// Adds to the end of a file of a run.
    pub(super) fn append(&self, run: &str, name: &str, text: &str) {
        let before = self
            .files(run)
            .and_then(|mut files| files.remove(name))
            .map(|file| file.content);
        let content = [before.unwrap_or_default().as_ref(), text.as_bytes()].concat();
        self.add(run, [(name.to_owned(), content.into())]);
    }

    /// The files of a run so far; `None` for one that nobody began.
    pub(super) fn files(&self, run: &str) -> Option<RunFiles> {
        self.all().get(run).cloned()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, RunFiles>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
