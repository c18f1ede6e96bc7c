//! The generations of PlanExe that people run, and the tables of each.

/// A generation of PlanExe: its tables, and what its worker writes and answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Generation {
    /// February 2026: the table `task_item`.
    #[default]
    Feb,
    /// May 2026: the table `plans`.
    May,
}

/// What makes the tables that May has and February has not.
pub const NEW_TABLES: &str = include_str!("schema/new_tables.sql");

impl Generation {
    /// The statements that make its tables in an empty database, as its own services do.
    #[must_use]
    pub const fn tables(self) -> &'static str {
        match self {
            Self::Feb => include_str!("schema/february.sql"),
            Self::May => concat!(
                include_str!("schema/february.sql"),
                include_str!("schema/new_tables.sql"),
                include_str!("schema/may.sql")
            ),
        }
    }

    /// The name of the report among the files of a run.
    #[must_use]
    pub const fn report(self) -> &'static str {
        match self {
            Self::Feb => "030-report.html",
            Self::May => "report.html",
        }
    }
}
