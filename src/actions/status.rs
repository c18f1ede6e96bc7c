//! How far a plan is: its row, its event where that is needed, its files.

use super::Context;
use crate::{
    artifacts::{self, File, RunFiles},
    db::task::{self, Event, Status},
    error::Error,
    plan::{TaskId, TaskState},
};

/// Seconds after which a pending plan without any living worker is waiting in vain. A worker without a plan reports about
/// once a minute.
const PENDING_LIMIT: f64 = 300.0;
/// Seconds after which a plan whose worker does not report is abandoned. A worker reports with each LLM call.
const SILENCE_LIMIT: f64 = 600.0;

/// Files in an answer.
const MAX_FILES: usize = 10;

/// How far a plan is.
pub struct Snapshot {
    /// Its id.
    pub id: TaskId,
    /// Its row.
    pub status: Status,
    /// The event of its state, where it was needed.
    pub event: Event,
    /// Seconds from its creation to now or to its end; `None` where the end is not known.
    pub elapsed: Option<f64>,
    /// Whether a report can be read.
    pub has_report: bool,
    /// The files of the run.
    files: RunFiles,
    /// Unix time of the plan's end, where it is known.
    ended: Option<u64>,
}

/// What is wrong with a plan that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It waits, and no worker has reported for some minutes.
    NoWorker,
    /// Its worker has not reported for so many minutes.
    WorkerSilent(u64),
    /// No worker has it any more.
    Abandoned,
}

impl Trouble {
    /// What is wrong, with what to do about a plan that its worker has left.
    #[must_use]
    pub fn told(self, advice: &str) -> String {
        match self {
            Self::NoWorker => {
                "No worker of PlanExe has reported for 5 minutes. The plan stays in the queue and begins when \
                the operator starts a worker: tell the user."
                    .to_owned()
            }
            Self::WorkerSilent(minutes) => format!(
                "The worker of this plan has not reported for {minutes} minutes, and no other takes the plan up. {advice}"
            ),
            Self::Abandoned => format!("No worker has this plan any more, and none takes it up. {advice}"),
        }
    }
}

/// Reads how far a plan is; `all_columns` as in [`task::find_status`].
///
/// # Errors
/// [`Error::TaskNotFound`], and those of the database.
pub async fn read(id: &str, all_columns: bool, context: &Context) -> Result<Snapshot, Error> {
    let (id, database) = context.find(id).await?;
    let owner = context.caller.owner();
    let mut status = task::find_status(&database, id, owner, artifacts::END_LENGTH, all_columns).await?;
    let archive = status.archive.take();
    let is_in_work = status.progress.state.is_in_work();
    let needs_event = status.elapsed.is_none() || (is_in_work && status.worker_seen.is_none());
    let event = if needs_event {
        task::find_event(&database, id).await
    } else {
        Event::default()
    };
    let ended = event.at.or(status.progressed).filter(|_| !is_in_work);
    let mut files = RunFiles::list(&database, &status.progress, archive).await;
    if is_in_work && files.is_gone && !needs_event {
        // The worker may have stored the files and deleted its folder since the row was read.
        let later = task::find_status(&database, id, owner, artifacts::END_LENGTH, all_columns).await?;
        if later.archive.is_some() {
            files = RunFiles::list(&database, &later.progress, later.archive).await;
        }
    }
    Ok(Snapshot {
        id,
        elapsed: status.elapsed.or(event.elapsed).map(|seconds| seconds.max(0.0).floor()),
        has_report: status.has_report || files.has_report(),
        files,
        ended,
        status,
        event,
    })
}

impl Snapshot {
    /// What is wrong with a plan that has not ended.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        trouble(&self.status, &self.event)
    }

    /// The newest files of the run.
    #[must_use]
    pub fn newest_files(&self) -> Vec<File> {
        self.files.newest(self.ended, MAX_FILES)
    }

    /// How many files of the run can be downloaded by name.
    #[must_use]
    pub fn files_count(&self) -> usize {
        self.files.count()
    }

    /// Why the plan failed, in PlanExe's words.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        let reason = self.status.columns.error_message.as_deref();
        reason.or(self.event.reason.as_deref())
    }
}

fn trouble(status: &Status, event: &Event) -> Option<Trouble> {
    match status.progress.state {
        TaskState::Pending => {
            let waits = status.elapsed.is_some_and(|seconds| seconds > PENDING_LIMIT);
            let no_worker = status.worker_seen.is_none_or(|seconds| seconds > PENDING_LIMIT);
            (waits && no_worker).then_some(Trouble::NoWorker)
        }
        TaskState::Running | TaskState::Stopping => {
            let silent = status.worker_seen.or(event.age)?;
            let trouble = match status.worker_seen {
                Some(_) => Trouble::WorkerSilent((silent / 60.0) as u64),
                None => Trouble::Abandoned,
            };
            (silent > SILENCE_LIMIT).then_some(trouble)
        }
        TaskState::Stopped | TaskState::Completed | TaskState::Failed => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        db::task::{Columns, Progress},
        plan::Percentage,
    };

    fn status(state: TaskState, elapsed: f64, worker_seen: Option<f64>) -> Status {
        Status {
            progress: Progress {
                id: TaskId::random(),
                state,
                percentage: Percentage::new(0.0),
                message: String::new(),
            },
            created_at: None,
            elapsed: Some(elapsed),
            progressed: None,
            worker_seen,
            archive: None,
            has_report: false,
            columns: Columns::default(),
        }
    }

    #[test]
    fn a_plan_that_no_worker_has_is_in_trouble() {
        use TaskState::{Completed, Pending, Running, Stopped, Stopping};
        for (state, elapsed, seen, claimed, expected) in [
            (Pending, 299.0, None, None, None),
            (Pending, 301.0, None, None, Some(Trouble::NoWorker)),
            (Pending, 9000.0, Some(299.0), None, None),
            (Pending, 9000.0, Some(301.0), None, Some(Trouble::NoWorker)),
            (Running, 9000.0, Some(599.0), None, None),
            (Running, 9000.0, Some(601.0), None, Some(Trouble::WorkerSilent(10))),
            (Stopping, 9000.0, Some(661.0), None, Some(Trouble::WorkerSilent(11))),
            // The row of a restarted worker names the plan no longer: the time since the claim counts.
            (Running, 9000.0, None, Some(599.0), None),
            (Running, 9000.0, None, Some(601.0), Some(Trouble::Abandoned)),
            // Between the claim and the first heartbeat there is neither row nor event.
            (Running, 9000.0, None, None, None),
            (Completed, 9000.0, Some(601.0), None, None),
            (Stopped, 9000.0, None, None, None),
        ] {
            let event = Event {
                age: claimed,
                ..Event::default()
            };
            let found = trouble(&status(state, elapsed, seen), &event);
            assert_eq!(found, expected, "{state:?} {elapsed} {seen:?} {claimed:?}");
        }
    }
}
