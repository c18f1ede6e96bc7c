//! The domain: task ids, states, detail levels, artifact names. Pure: no serde, no async, no I/O.

mod amount;
mod date;
mod file;

use std::fmt;

pub use amount::{Credits, Percentage};
pub use date::is_start_date;
pub use file::{REPORT_NAMES, RunFile, is_inside, is_withheld, stage};
use uuid::Uuid;

/// The id of a task: a UUID, written in lower-case hyphenated form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskId(Uuid);

impl TaskId {
    /// A new random id (UUID version 4), so that ids cannot be guessed.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// Reads an id in any form in which UUIDs are written; `None` when it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text.trim()).ok().map(Self)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// What a caller is told about a task: the database's state and its stop flag, taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// Waits for a worker.
    Pending,
    /// A worker makes the plan.
    Running,
    /// A worker makes the plan and has been asked to stop.
    Stopping,
    /// Ended before the plan was complete because somebody asked for it.
    Stopped,
    /// The plan is complete.
    Completed,
    /// The worker gave up.
    Failed,
}

impl TaskState {
    /// Reads the state of the database, of all its schemas; `None` for a value that this version does not know.
    #[must_use]
    pub fn from_database(state: &str, stop_requested: bool) -> Option<Self> {
        Some(match (state, stop_requested) {
            ("pending", false) => Self::Pending,
            ("processing", false) => Self::Running,
            ("processing", true) => Self::Stopping,
            ("completed", _) => Self::Completed,
            // No worker claims a pending task that is to stop.
            ("pending" | "failed", true) | ("stopped", _) => Self::Stopped,
            ("failed", false) => Self::Failed,
            _ => return None,
        })
    }

    /// Whether a worker has the task.
    #[must_use]
    pub fn is_in_work(self) -> bool {
        matches!(self, Self::Running | Self::Stopping)
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Stopped | Self::Completed | Self::Failed)
    }

    /// The public name of the state.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// The steps that are done and all steps, out of a worker's progress text: `2 of 111. Extra files: 1`.
#[must_use]
pub fn steps(message: &str) -> Option<(i64, i64)> {
    let (completed, rest) = message.split_once(" of ")?;
    let total = rest.split('.').next()?;
    Some((completed.parse().ok()?, total.parse().ok()?))
}

/// What a caller is told about a plan that failed: how far it came, why, and what to do.
///
/// `message` is the worker's last progress text, such as `2 of 111. Extra files: 1`; PlanExe's reason is in an event and
/// may be unknown.
#[must_use]
pub fn failure(percentage: Percentage, message: &str, reason: Option<&str>) -> String {
    // These texts say only that a worker had begun, or that none had.
    let is_progress = ![
        "",
        "Picked up by server",
        "Awaiting server to start…",
        "Stop requested by user.",
    ]
    .contains(&message);
    let progress = if is_progress {
        format!(" ({})", message.trim_end_matches('.'))
    } else {
        String::new()
    };
    let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
    let reason = reason.map_or_else(
        || "The reason is not known.".to_owned(),
        |reason| format!("PlanExe's reason: {}.", reason.trim_end_matches('.')),
    );
    format!(
        "The plan failed at {percentage} %{progress}. {reason} Call task_create to try again; if that fails too, change \
         the prompt or tell the operator."
    )
}

/// How much work a plan is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// A dummy plan that proves that the pipeline works.
    Ping,
    /// A real plan without its details.
    Fast,
    /// A real plan with all its details.
    All,
}

impl Detail {
    /// The name that callers use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Fast => "fast",
            Self::All => "all",
        }
    }

    /// The value that workers read in `task_item.parameters.speed_vs_detail`.
    #[must_use]
    pub fn stored(self) -> &'static str {
        match self {
            Self::Ping => "ping_llm",
            Self::Fast => "fast_but_skip_details",
            Self::All => "all_details_but_slow",
        }
    }
}

/// Which models make a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Cheap and fast.
    Baseline,
    /// Better and dearer.
    Premium,
    /// The best there are.
    Frontier,
    /// Those that the operator has chosen.
    Custom,
}

impl Profile {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Baseline, Self::Premium, Self::Frontier, Self::Custom];

    /// The name that callers use and workers read in `parameters.model_profile`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Premium => "premium",
            Self::Frontier => "frontier",
            Self::Custom => "custom",
        }
    }
}

/// How a plan is put into the queue again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// From its beginning, without what the earlier run has made.
    Retry,
    /// So that the worker goes on with the files of the earlier run.
    Resume,
}

/// The version of the files of a run that today's workers can go on with: `parameters.pipeline_version`.
pub const PIPELINE_VERSION: i32 = 2;

/// The two files that a finished plan is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Artifact {
    /// The plan as one HTML page.
    Report,
    /// Every file of the run in one archive.
    Zip,
}

impl Artifact {
    /// Last part of the download path.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Report => REPORT_NAMES[0],
            Self::Zip => "run.zip",
        }
    }

    /// Media type, as in `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Report => "text/html; charset=utf-8",
            Self::Zip => "application/zip",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_database_state_has_its_public_state() {
        for (database, stop, public) in [
            ("pending", false, "pending"),
            ("pending", true, "stopped"),
            ("processing", false, "running"),
            ("processing", true, "stopping"),
            ("completed", false, "completed"),
            ("completed", true, "completed"),
            ("failed", false, "failed"),
            ("failed", true, "stopped"),
            ("stopped", true, "stopped"),
            ("stopped", false, "stopped"),
        ] {
            let state = TaskState::from_database(database, stop).map(TaskState::name);
            assert_eq!(state, Some(public), "{database}, stop requested: {stop}");
        }
        assert_eq!(TaskState::from_database("archived", false), None);
    }

    #[test]
    fn a_failure_says_how_far_the_plan_came_and_why() {
        for (percentage, message, reason, text) in [
            (
                1.8,
                "2 of 111",
                Some("Error. Unable to generate the report."),
                "The plan failed at 1.8 % (2 of 111). PlanExe's reason: Error. Unable to generate the report. Call ",
            ),
            (
                0.0,
                "Picked up by server",
                Some(" "),
                "The plan failed at 0 %. The reason is not known. Call ",
            ),
            (0.0, "", None, "The plan failed at 0 %. The reason is not known. Call "),
        ] {
            let told = failure(Percentage::new(percentage), message, reason);
            assert!(told.starts_with(text), "{told}");
        }
    }

    #[test]
    fn steps_are_read_out_of_progress_texts() {
        for (message, read) in [
            ("2 of 111", Some((2, 111))),
            ("2 of 111. Extra files: 1", Some((2, 111))),
            ("Picked up by server", None),
            ("", None),
            ("one of 111", None),
        ] {
            assert_eq!(steps(message), read, "{message}");
        }
    }

    #[test]
    fn ids_are_read_in_every_written_form_and_shown_in_one() {
        let id = "5e2b2a7c-8b49-4d2f-9b8f-6a3c1f05b9a1";
        for text in [
            id,
            "5E2B2A7C-8B49-4D2F-9B8F-6A3C1F05B9A1",
            "5e2b2a7c8b494d2f9b8f6a3c1f05b9a1",
            " 5e2b2a7c-8b49-4d2f-9b8f-6a3c1f05b9a1\n",
        ] {
            assert_eq!(
                TaskId::parse(text).map(|id| id.to_string()).as_deref(),
                Some(id),
                "{text:?}"
            );
        }
        for text in [
            "",
            "mcp_user",
            "../../etc/passwd",
            "5e2b2a7c-8b49-4d2f-9b8f",
            "' OR 1=1 --",
        ] {
            assert_eq!(TaskId::parse(text), None, "{text:?}");
        }
    }
}
