//! The two vocabularies: `task_*` of February 2026 and `plan_*` of today.

use std::borrow::Cow;

use crate::{error::Error, plan::TaskState};

/// The words in which a tool speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Those of February 2026.
    Task,
    /// Those of today.
    Plan,
}

/// What texts say of the tools of February, and what they say of those of today.
const WORDS: [(&str, &str); 7] = [
    ("prompt_examples", "example_prompts"),
    ("Call task_create to try again", "Call plan_retry to try again"),
    (", the same client_request_id above all", ""),
    ("The call had no client_request_id: calling", "Calling"),
    ("No task has", "No plan has"),
    ("; task_create takes it as user_api_key too", ""),
    ("task_", "plan_"),
];

impl Family {
    /// A text about the tools of February, in the words of the family.
    #[must_use]
    pub fn words(self, text: Cow<'static, str>) -> Cow<'static, str> {
        if self == Self::Task {
            return text;
        }
        WORDS.iter().fold(text, |text, (february, today)| {
            if text.contains(february) {
                text.replace(february, today).into()
            } else {
                text
            }
        })
    }

    /// The code of an error.
    #[must_use]
    pub fn code(self, error: &Error) -> &'static str {
        match (self, error) {
            (Self::Plan, Error::TaskNotFound) => "PLAN_NOT_FOUND",
            (_, error) => error.code(),
        }
    }

    /// The name of a state.
    #[must_use]
    pub fn state(self, state: TaskState) -> &'static str {
        match (self, state) {
            (Self::Plan, TaskState::Running | TaskState::Stopping) => "processing",
            (_, state) => state.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_of_a_plan_tool_speaks_of_tasks() {
        for error in Error::samples() {
            let message = Family::Plan.words(error.message());
            for word in ["task_", "client_request_id", "prompt_examples"] {
                // The argument exists in the other family alone, and so does the error about it.
                let allowed = matches!(error, Error::RequestIdReused { .. } | Error::TablesMissing(_));
                assert!(allowed || !message.contains(word), "{message}");
            }
            assert_eq!(Family::Task.words(error.message()), error.message());
        }
    }
}
