//! The schemas of PlanExe, and one text of a statement for all of them.
//!
//! | schema | since | what it is here |
//! | --- | --- | --- |
//! | `task_item` | February 2026 | what the `.sql` files are written for; later builds add columns to it |
//! | `plans` | 21 April 2026 | the same table under a new name, with all columns of today |
//!
//! A `.sql` file is valid on the oldest schema. Some of its lines are for one schema alone, and are marked with a
//! condition:
//!
//! - `--[stopped] state = 'stopped',` counts where the condition `stopped` holds, and is a comment elsewhere;
//! - `'mcp_user' --[task_item]` is left out where `task_item` does not hold;
//! - `--[retry, steps_total] steps_total = NULL,` counts where both hold, `--[no nonces]` where there is no such table.
//!
//! Which schema a database has is guessed, and the guess is corrected by the error that a wrong one leads to: Postgres
//! names the table that is missing. Where a database has both tables, `task_item` is a leftover that today's workers never
//! read. Statements for it that only read say so in the column `is_current`; those that write raise an error about
//! `task_item_was_renamed`. An instance keeps what it has learnt for a minute.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// How long an instance keeps what it has learnt of the database.
const KEPT: Duration = Duration::from_secs(60);

/// The columns that builds after February 2026 have added. `plans` has all of them.
pub const COLUMNS: [&str; 13] = [
    "api_key_id",
    "current_step",
    "error_message",
    "failed_step",
    "failure_reason",
    "last_progress_at",
    "recoverable",
    "run_activity_overview_json",
    "run_artifact_layout_version",
    "run_track_activity_bytes",
    "run_track_activity_jsonl",
    "steps_completed",
    "steps_total",
];

/// The table of the plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// That of February 2026.
    TaskItem,
    /// That of today.
    Plans,
}

/// What a statement has to know of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// The table of the plans.
    pub table: Table,
    /// Whether the table `nonces` is there. Only PlanExe's web frontend makes it.
    has_nonces: bool,
    /// Whether the table `feedback_item` is there.
    has_feedback: bool,
    /// Whether `plans` has not all columns and states yet.
    lacks_columns: bool,
}

/// Whether a SQLSTATE says that a statement was made for another schema: an undefined table or column, or a state that the
/// type of states does not have.
#[must_use]
pub fn is_of_schema(sqlstate: &str) -> bool {
    ["42P01", "42703", "22P02"].contains(&sqlstate)
}

thread_local! {
    static LEARNT: Cell<Option<(Schema, Instant)>> = const { Cell::new(None) };
}

impl Schema {
    /// The schema of a database with this table that has all that usually goes with it.
    #[must_use]
    pub const fn of(table: Table) -> Self {
        Self {
            table,
            has_nonces: true,
            has_feedback: matches!(table, Table::Plans),
            lacks_columns: false,
        }
    }

    /// What this instance has learnt of the database.
    pub(super) fn learnt() -> Option<Self> {
        let (schema, since) = LEARNT.get()?;
        (since.elapsed() < KEPT).then_some(schema)
    }

    /// Keeps this schema as that of the database.
    pub(super) fn keep(self) {
        // An upgrade is over in a moment.
        if !self.lacks_columns {
            LEARNT.set(Some((self, Instant::now())));
        }
    }

    /// The schema to try after this one, when Postgres refuses a statement with this SQLSTATE and this message; `None` when
    /// no schema takes it.
    #[must_use]
    pub fn after(self, code: &str, message: &str) -> Option<Self> {
        if code != "42P01" {
            // In the middle of an upgrade the table has its new name, and not yet all columns and states.
            let is_upgraded = self.table == Table::Plans && !self.lacks_columns;
            return is_upgraded.then_some(Self {
                lacks_columns: true,
                ..self
            });
        }
        match self.table {
            Table::TaskItem if message.contains("task_item") => Some(Self::of(Table::Plans)),
            // Postgres names the first table that is missing: `task_item` may be missing too.
            Table::TaskItem if message.contains("nonces") => Some(Self {
                has_nonces: false,
                ..Self::of(Table::Plans)
            }),
            Table::Plans if message.contains("plans") => Some(Self::of(Table::TaskItem)),
            Table::Plans if self.has_nonces && message.contains("nonces") => Some(Self {
                has_nonces: false,
                ..self
            }),
            _ if self.has_feedback && message.contains("feedback_item") => Some(Self {
                has_feedback: false,
                ..self
            }),
            _ => None,
        }
    }

    /// Whether a condition of a marked line holds. `conditions` are those of the caller.
    fn holds(self, condition: &str, conditions: &[&str]) -> bool {
        let is_complete = self.table == Table::Plans && !self.lacks_columns;
        let lacking = || !is_complete && (self.lacks_columns || conditions.contains(&"lacking"));
        match condition {
            // The statement is asked for columns that the table may lack.
            "lacking" => lacking(),
            // The statement has those columns.
            "columns" => is_complete || lacking(),
            // The type of states has the state `stopped`.
            "stopped" => is_complete,
            "task_item" => self.table == Table::TaskItem,
            "plans" => self.table == Table::Plans,
            "nonces" => self.has_nonces,
            "feedback_item" => self.has_feedback,
            other => conditions.contains(&other) || is_complete && COLUMNS.contains(&other),
        }
    }

    /// The text of a statement for this schema, without its comments. `conditions` hold besides those of the schema.
    #[must_use]
    pub fn render(self, statement: &str, conditions: &[&str]) -> String {
        let holds = |marked: &str| {
            marked.split(", ").all(|condition| {
                let bare = condition.strip_prefix("no ").unwrap_or(condition);
                self.holds(bare, conditions) == (bare == condition)
            })
        };
        let mut text = String::with_capacity(statement.len());
        for line in statement.lines().map(str::trim_start) {
            let line = if let Some(marked) = line.strip_prefix("--[") {
                marked
                    .split_once("] ")
                    .filter(|(condition, _)| holds(condition))
                    .map(|(_, line)| line)
            } else if line.starts_with("--") {
                None
            } else if let Some((line, marked)) = line.rsplit_once(" --[") {
                holds(marked.trim_end_matches(']')).then_some(line)
            } else {
                Some(line)
            };
            let Some(line) = line else { continue };
            if self.table == Table::Plans && line.contains("task_item") {
                text.push_str(&line.replace("task_item", "plans"));
            } else {
                text.push_str(line);
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_lines_count_where_their_condition_holds() {
        let statement = "-- A comment.\nSELECT\n    'a', --[task_item]\n    --[plans] 'b',\n    --[user] 'c',\n    1\nFROM task_item t\n";
        for (table, conditions, text) in [
            (Table::TaskItem, &[][..], "SELECT\n'a',\n1\nFROM task_item t\n"),
            (Table::Plans, &[], "SELECT\n'b',\n1\nFROM plans t\n"),
            (Table::Plans, &["user"], "SELECT\n'b',\n'c',\n1\nFROM plans t\n"),
        ] {
            assert_eq!(Schema::of(table).render(statement, conditions), text);
        }
    }

    #[test]
    fn the_missing_table_leads_to_the_next_schema() {
        let (february, today) = (Schema::of(Table::TaskItem), Schema::of(Table::Plans));
        let headless = Schema {
            has_nonces: false,
            ..today
        };
        for (schema, missing, next) in [
            (february, "task_item", Some(today)),
            (february, "task_item_was_renamed", Some(today)),
            (february, "nonces", Some(headless)),
            (february, "events", None),
            (today, "plans", Some(february)),
            (today, "nonces", Some(headless)),
            (headless, "nonces", None),
            (
                headless,
                "feedback_item",
                Some(Schema {
                    has_feedback: false,
                    ..headless
                }),
            ),
            (today, "workers", None),
        ] {
            let message = format!("relation \"{missing}\" does not exist");
            assert_eq!(schema.after("42P01", &message), next, "{schema:?}, {missing}");
        }
        let half = today.after("42703", "").expect("a schema");
        assert_eq!((half.after("22P02", ""), february.after("42703", "")), (None, None));
        let statement = "--[plans, stopped] a\n--[no stopped] b\n--[lacking] c\n--[steps_total] d\n";
        assert_eq!(half.render(statement, &[]), "b\nc\n");
    }
}
