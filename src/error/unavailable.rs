//! Why a file is not handed out.

use super::{Class, Mistake, Outage, Step};
use crate::plan::{Percentage, TaskState};

/// The message of every failure of `worker_plan` that is neither silence nor lateness.
const FAILED: &str =
    "The service that keeps this file failed to deliver it. Try again; if it stays, tell the operator.";

errors! {
    /// Why a file cannot be handed out. The code is one word for programs and for the log.
    #[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
    pub enum Unavailable {
        /// The run has no such file.
        #[error("the run has no such file")]
        NoSuchFile => {
            code: "no_such_file", class: Caller(NotFound), at: File,
            message: "This run has no such file.",
            samples: [NoSuchFile],
        }
        /// The file is in the archive, but not handed out by itself.
        #[error("the file is not handed out by itself")]
        Withheld => {
            code: "withheld", class: Caller(NotFound), at: File,
            message: "This file holds every prompt and answer of the language models. It is not handed out by \
                itself.",
            samples: [Withheld],
        }
        /// The plan is complete, but neither the database nor `worker_plan` has the file.
        #[error("the plan is complete, but its files were not stored")]
        NotStored => {
            code: "not_stored", class: Caller(Gone), at: File,
            message: "The plan is complete, but PlanExe did not store this file. Ask for the other artifact, report or \
                zip; if that was not stored either, call task_create for a new plan and tell the operator.",
            samples: [NotStored],
        }
        /// Nothing answers at the address of `worker_plan`.
        #[error("worker_plan cannot be reached")]
        WorkerUnreachable => {
            code: "worker_unreachable", class: Temporary(Upstream), at: File,
            message: "The service that keeps this file does not answer at the moment. Try again in a few seconds.",
            samples: [WorkerUnreachable],
        }
        /// `worker_plan` took longer than its time limit.
        #[error("worker_plan took too long")]
        WorkerTimeout => {
            code: "worker_timeout", class: Temporary(UpstreamTimeout), at: File,
            message: "The service that keeps this file took too long to answer. Try again in a few seconds.",
            samples: [WorkerTimeout],
        }
        /// `worker_plan` answered with this HTTP status.
        #[error("worker_plan answered {0}")]
        WorkerStatus(status: u16) => {
            code: "worker_failed", class: Temporary(Upstream), at: File,
            message: FAILED,
            samples: [WorkerStatus(500)],
        }
        /// What `worker_plan` sent was cut short or is not what it should be.
        #[error("worker_plan sent a broken answer")]
        WorkerBroken => {
            code: "worker_failed", class: Temporary(Upstream), at: File,
            message: FAILED,
            samples: [WorkerBroken],
        }
        /// The archive of the run cannot be read.
        #[error("the archive is broken")]
        ArchiveBroken => {
            code: "archive_broken", class: Permanent, at: File,
            message: "The archive of this run is damaged and cannot be read.",
            samples: [ArchiveBroken],
        }
        /// The file is in the archive in a form that is not read here.
        #[error("the entry is encrypted or packed by an unknown method")]
        EntryUnsupported => {
            code: "unsupported", class: Permanent, at: File,
            message: "This file is encrypted or packed by a method that this server does not read. Download run.zip \
                instead.",
            samples: [EntryUnsupported],
        }
        /// The file is larger than the bound.
        #[error("the file is too large")]
        TooLarge => {
            code: "too_large", class: Permanent, at: File,
            message: "This file is larger than the 100,000,000 bytes that this server hands out.",
            samples: [TooLarge],
        }
        /// The archive around the file is larger than the bound.
        #[error("the archive is too large")]
        ArchiveTooLarge => {
            code: "archive_too_large", class: Permanent, at: File,
            message: "The archive that this file is in is larger than the 100,000,000 bytes that this server reads.",
            samples: [ArchiveTooLarge],
        }
    }
}

impl Unavailable {
    /// Whether the same request may succeed a few seconds later.
    #[must_use]
    pub fn is_temporary(self) -> bool {
        matches!(self.class(), Class::Temporary(_))
    }
}

/// Why a task has not made a file, and what to do.
pub(super) fn not_ready(state: TaskState, progress: Percentage) -> String {
    let name = state.name();
    match state {
        TaskState::Pending | TaskState::Running | TaskState::Completed => format!(
            "This file does not exist yet: the task is {name}, at {progress} %. Ask task_status until it is completed."
        ),
        TaskState::Stopping => format!(
            "This file does not exist yet: the task is stopping, at {progress} %. It may still complete; else what has \
             been made so far will be in the zip. Ask task_status until it has ended."
        ),
        TaskState::Stopped | TaskState::Failed => format!(
            "This file was not made: the task was {name} at {progress} %. What had been made by then is in the zip, \
             where there is one. Call task_create for a new plan."
        ),
    }
}
