//! The states of PlanExe's database that operators have: February's, today's, and those that are made on the way.

use std::env;

use planexe_local::schema::{Generation, NEW_TABLES};

/// What a database is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// Made by the services of February 2026: `task_item`, whole credits.
    February,
    /// Made by those of April: `task_item` with all columns of today.
    Between,
    /// February's, after today's `mcp_cloud` has started: `plans`, whole credits.
    HalfUpgraded,
    /// February's, after all of today's services have started.
    Upgraded,
    /// Made by today's services.
    May,
    /// Made by today's worker alone: no `feedback_item` and no `nonces`.
    Headless,
    /// As [`Schema::Upgraded`], and an empty `task_item` beside `plans`.
    Both,
}

/// What today's services run on February's database when they start: `mcp_cloud` first, then the others.
const UPGRADE: [&str; 2] = [
    include_str!("../schemas/half_upgraded.sql"),
    include_str!("../schemas/upgraded.sql"),
];

impl Schema {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::February,
        Self::Between,
        Self::HalfUpgraded,
        Self::Upgraded,
        Self::May,
        Self::Headless,
        Self::Both,
    ];

    /// That of tests which choose none: what `PLANEXE_TEST_SCHEMA` names, such as `may`, else February's.
    pub fn of_tests() -> Self {
        let name = env::var("PLANEXE_TEST_SCHEMA").unwrap_or_default().replace('_', "");
        let mut all = Self::ALL.into_iter();
        let named = all.find(|schema| format!("{schema:?}").eq_ignore_ascii_case(&name));
        assert!(
            named.is_some() || name.is_empty(),
            "PLANEXE_TEST_SCHEMA names none of {:?}",
            Self::ALL
        );
        named.unwrap_or(Self::February)
    }

    /// Whether its plans are in `plans`, as today's `mcp_cloud` has them.
    pub fn has_plans(self) -> bool {
        !matches!(self, Self::February | Self::Between)
    }

    /// The generation of the worker beside it.
    pub fn generation(self) -> Generation {
        match self {
            Self::February => Generation::Feb,
            _ => Generation::May,
        }
    }

    /// The statements that make it in an empty database.
    pub fn tables(self) -> String {
        match self {
            Self::February | Self::May => self.generation().tables().to_owned(),
            Self::Between => Self::May.tables() + include_str!("../schemas/between.sql"),
            Self::Headless => Self::May.tables() + include_str!("../schemas/headless.sql"),
            Self::HalfUpgraded => [Generation::Feb.tables(), NEW_TABLES, UPGRADE[0]].concat(),
            Self::Upgraded => Self::HalfUpgraded.tables() + UPGRADE[1],
            Self::Both => Self::Upgraded.tables() + include_str!("../schemas/both.sql"),
        }
    }

    /// The statements that make [`Schema::Upgraded`] of [`Schema::February`], in their order.
    pub fn upgrade() -> impl Iterator<Item = &'static str> {
        let [first, last] = UPGRADE;
        [NEW_TABLES, first, last]
            .into_iter()
            .flat_map(|script| script.split_inclusive(";\n"))
    }

    /// A statement as this state takes it: tests name February's table, its type of states and its operator.
    pub fn sql(self, statement: &str) -> String {
        let (table, states, operator) = match self {
            Self::February => ("task_item", "taskstate", "'mcp_user'"),
            Self::Between => ("task_item", "planstate", "'admin'"),
            Self::HalfUpgraded | Self::Upgraded | Self::Both => ("plans", "taskstate", "'admin'"),
            Self::May | Self::Headless => ("plans", "planstate", "'admin'"),
        };
        let statement = statement.replace("task_item", table).replace("taskstate", states);
        statement.replace("'mcp_user'", operator)
    }
}
