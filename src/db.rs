//! The database through the host's Postgres interface: opening, time limits, decoding, errors. One file per table.
//!
//! The interface knows neither enums nor json nor `timestamptz`: the SQL casts them, both ways. Every statement is a file
//! of its own, names the columns that it returns, and returns one row, whatever it finds.

pub mod create;
pub mod feedback;
pub mod list;
pub mod parts;
pub mod queue;
mod row;
pub mod schema;
pub mod task;
pub mod user;

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

pub use row::{FromValue, Row};
use schema::{Schema, Table};

use crate::{
    clock,
    config::{self, Tools},
    error::Error,
    host::{self, Parameter, Refusal},
    plan::TaskState,
    request,
};

/// Time limit of all database calls of one request together. The caller gets an answer within three seconds.
const LIMIT: Duration = Duration::from_millis(2_500);

/// The tables that the statements name. PlanExe's web frontend creates them.
const TABLES: &str = "credit_history,events,nonces,task_item,user_account,user_api_key,workers";

/// A statement: the text of its file, and conditions of its marked lines that hold besides those of the schema (see
/// [`schema`]).
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a>(pub &'static str, pub &'a [&'a str]);

impl From<&'static str> for Statement<'_> {
    fn from(text: &'static str) -> Self {
        Self(text, &[])
    }
}

/// The database, for one request. A connection is opened for each statement: the host keeps them in a pool, and one
/// that is held while a client reads slowly would be missing there.
#[derive(Debug, Clone)]
pub struct Database {
    address: Rc<str>,
    request: Rc<request::Context>,
    /// The schema that the first statement is made for.
    schema: Schema,
    /// What the request may have spent with the database in the end.
    allowance: Duration,
}

/// Why an attempt has no result.
enum Failure {
    /// The statement did not run, or Postgres says that it undid it.
    Undone(Error),
    /// The statement was made for another schema: its SQLSTATE and the message of Postgres.
    Schema(String, String),
    /// Unknown: after the statement was sent, the connection broke or the time limit passed.
    Unknown {
        cause: String,
        /// The connection broke. A new one may well work.
        broken: bool,
    },
}

impl Database {
    /// The database of the settings. All that belong to the same request share its time limit.
    ///
    /// # Errors
    /// [`Error::Internal`] when the settings make no address.
    pub async fn configured(cx: &Rc<request::Context>) -> Result<Self, Error> {
        let schema = match Schema::learnt() {
            Some(schema) => schema,
            None => Schema::of(match config::tools().await {
                Ok(Tools::Plan | Tools::Both) => Table::Plans,
                Ok(Tools::Task) | Err(_) => Table::TaskItem,
            }),
        };
        Ok(Self {
            address: config::database_address().await?,
            request: Rc::clone(cx),
            schema,
            allowance: LIMIT,
        })
    }

    /// The same database with the time limit beginning anew: a download takes as long as its reader.
    #[must_use]
    pub fn renewed(&self) -> Self {
        Self {
            allowance: self.request.database() + LIMIT,
            ..self.clone()
        }
    }

    /// The same database with another time limit for all calls together.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self {
            allowance: self.request.database() + limit,
            ..self
        }
    }

    /// The request.
    #[must_use]
    pub fn request(&self) -> &Rc<request::Context> {
        &self.request
    }

    /// Runs a statement that changes nothing of weight, and returns its row. It is run again, once, when its
    /// connection breaks: the host's pool may have handed out one that died meanwhile.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] when no answer comes in time or the database refuses, [`Error::Internal`] when it
    /// rejects the statement.
    pub async fn query(&self, statement: impl Into<Statement<'_>>, parameters: Vec<Parameter>) -> Result<Row, Error> {
        self.run(statement.into(), parameters, true).await.map_err(unavailable)
    }

    /// Runs a statement that changes something, and returns its row. Only one that is `repeatable`, that is,
    /// changes nothing more when it is run twice, is run again when its connection breaks.
    ///
    /// # Errors
    /// As [`Database::query`], and [`Error::OutcomeUnknown`] when it is unknown whether it took effect.
    pub async fn change(
        &self,
        statement: impl Into<Statement<'_>>,
        parameters: Vec<Parameter>,
        repeatable: bool,
    ) -> Result<Row, Error> {
        match self.run(statement.into(), parameters, repeatable).await {
            Err(Failure::Unknown { cause, .. }) => Err(Error::OutcomeUnknown { cause, repeatable }),
            result => result.map_err(unavailable),
        }
    }

    /// Runs a statement as [`Database::run_again`] does. When it names a table that is missing, the statement is made for
    /// the schema that does without it; if there is no such schema, the error says which tables are missing.
    async fn run(
        &self,
        Statement(text, conditions): Statement<'_>,
        parameters: Vec<Parameter>,
        repeatable: bool,
    ) -> Result<Row, Failure> {
        let mut schema = Schema::learnt().unwrap_or(self.schema);
        let mut tables = vec![schema.table];
        loop {
            let statement = schema.render(text, conditions);
            match self.run_again(&statement, &parameters, repeatable).await {
                Err(Failure::Schema(code, message)) => match schema.after(&code, &message) {
                    Some(next) if next.table == schema.table || !tables.contains(&next.table) => {
                        tables.push(next.table);
                        schema = next;
                    }
                    _ if code == "42P01" => break,
                    _ => return Err(Failure::Schema(code, message)),
                },
                Ok(mut row) => match row.take("is_current") {
                    Ok(false) => schema = Schema::of(Table::Plans),
                    Ok(true) | Err(_) => {
                        schema.keep();
                        return Ok(row);
                    }
                },
                failure => return failure,
            }
        }
        Err(Failure::Undone(match self.check_tables().await {
            Ok(()) => Error::DatabaseUnavailable("a table was missing and is there now".to_owned()),
            Err(error) => error,
        }))
    }

    /// Runs a statement, and once more if it is `repeatable` and its connection breaks.
    async fn run_again(&self, statement: &str, parameters: &[Parameter], repeatable: bool) -> Result<Row, Failure> {
        match self.attempt(statement, parameters.to_vec()).await {
            Err(Failure::Unknown { cause, broken: true }) if repeatable => {
                self.request.warn(&format!("tried again after: {cause}"));
                // If the second attempt cannot connect, the outcome of the first one is still unknown.
                match self.attempt(statement, parameters.to_vec()).await {
                    Err(Failure::Undone(Error::DatabaseUnavailable(second))) => Err(Failure::Unknown {
                        cause: second,
                        broken: true,
                    }),
                    result => result,
                }
            }
            result => result,
        }
    }

    /// Asks the database whether all tables are there.
    ///
    /// # Errors
    /// [`Error::TablesMissing`], and those of [`Database::query`].
    pub async fn check_tables(&self) -> Result<(), Error> {
        let statement = include_str!("db/missing_tables.sql");
        let row = self.run_again(statement, &[text(TABLES)], true).await;
        let missing: String = row.map_err(unavailable)?.take("missing")?;
        if missing.is_empty() {
            Ok(())
        } else {
            Err(Error::TablesMissing(missing))
        }
    }

    /// One attempt, within what is left of the time.
    async fn attempt(&self, statement: &str, parameters: Vec<Parameter>) -> Result<Row, Failure> {
        let sent = Cell::new(false);
        let call = async {
            let rows = host::query(&self.address, statement, parameters, &sent).await;
            let row = Row::first(rows.map_err(|refusal| failure(refusal, sent.get()))?);
            row.ok_or_else(|| Failure::Undone(Error::Internal("a statement returned no row".to_owned())))
        };
        let begun = Instant::now();
        let left = self.allowance.saturating_sub(self.request.database());
        let result = clock::within(left, call).await;
        self.request.add_database(begun.elapsed());
        match result {
            Some(result) => result,
            None if sent.get() => Err(Failure::Unknown {
                cause: "no answer in time".to_owned(),
                broken: false,
            }),
            None => Err(Failure::Undone(Error::DatabaseUnavailable(
                "no connection in time".to_owned(),
            ))),
        }
    }
}

/// The error of a statement that changes nothing of weight: whether it took effect makes no difference.
fn unavailable(failure: Failure) -> Error {
    match failure {
        Failure::Undone(error) => error,
        // The message of a rejected statement may repeat a value of it: the code tells the operator enough.
        Failure::Schema(code, _) => Error::Internal(format!("SQLSTATE {code}")),
        Failure::Unknown { cause, .. } => Error::DatabaseUnavailable(cause),
    }
}

/// A text parameter.
#[must_use]
pub fn text(value: impl Into<String>) -> Parameter {
    Parameter::Text(value.into())
}

/// A text parameter that may be NULL.
#[must_use]
pub fn optional_text(value: Option<impl Into<String>>) -> Parameter {
    value.map_or(Parameter::Null, text)
}

/// Sizes and times as the database has them are signed.
fn unsigned(number: Option<i64>) -> Option<u64> {
    number.and_then(|number| u64::try_from(number).ok())
}

/// The row of a statement about one plan, if the plan is there.
fn found(mut row: Row) -> Result<Row, Error> {
    if row.take("found")? {
        Ok(row)
    } else {
        Err(Error::TaskNotFound)
    }
}

fn decode_state(state: &str, stop_requested: bool) -> Result<TaskState, Error> {
    let known = TaskState::from_database(state, stop_requested);
    known.ok_or_else(|| Error::Internal(format!("unknown task state {state}")))
}

/// What to do where Spin does not trust the certificate that Postgres shows.
pub const UNTRUSTED: &str = "Postgres offers TLS with a certificate that is not trusted here: install its authority on \
    the machine of Spin, or end SQLALCHEMY_DATABASE_URI with ?sslmode=disable";

/// Whether the host's text says that the certificate of Postgres does not hold.
fn is_untrusted(text: &str) -> bool {
    text.to_ascii_lowercase().contains("certificate")
}

/// What the host or Postgres reports. The texts are kept for the log only: they may carry host names.
fn error(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Unconnected(text) if is_untrusted(&text) => Error::DatabaseUnavailable(format!("{UNTRUSTED}: {text}")),
        Refusal::Unconnected(text) => Error::DatabaseUnavailable(text),
        Refusal::State(code, message) if is_passing(&code) => Error::DatabaseUnavailable(format!("{code}: {message}")),
        // The message of a rejected statement may repeat a value of it: the code tells the operator enough.
        Refusal::State(code, _) => Error::Internal(format!("SQLSTATE {code}")),
        Refusal::Text(text) if is_broken(&text) => Error::DatabaseUnavailable(text),
        Refusal::Text(text) | Refusal::Misfit(text) => Error::Internal(text),
    }
}

/// What an error says of the effect of a statement that may have been `sent`.
fn failure(refusal: Refusal, sent: bool) -> Failure {
    let broken = sent
        && match &refusal {
            Refusal::Unconnected(_) => true,
            Refusal::State(code, _) => ends_connection(code),
            Refusal::Text(text) => is_broken(text),
            Refusal::Misfit(_) => false,
        };
    let refusal = match refusal {
        Refusal::State(code, message) if schema::is_of_schema(&code) => return Failure::Schema(code, message),
        refusal => refusal,
    };
    match error(refusal) {
        Error::DatabaseUnavailable(cause) if broken => Failure::Unknown { cause, broken },
        error => Failure::Undone(error),
    }
}

/// Whether the host's text tells of a broken connection. It is the debug form of the driver's error, `kind: Closed` or
/// `kind: Io`; some hosts give its words.
fn is_broken(text: &str) -> bool {
    ["kind: Closed", "kind: Io", "connection closed", "error communicating"]
        .iter()
        .any(|sign| text.contains(sign))
}

/// Whether Postgres gives the connection up with this state, so that the statement may have ended before or after its
/// commit: connection exceptions, shutdowns. Of all other states it says that it has undone the statement.
fn ends_connection(sqlstate: &str) -> bool {
    sqlstate.starts_with("08") || ["57P01", "57P02", "57P05"].contains(&sqlstate)
}

/// Whether a later try may succeed: connection exceptions, insufficient resources, operator intervention (statement
/// time limit included), serialization failures and lock time limits (PostgreSQL documentation, appendix A).
fn is_passing(sqlstate: &str) -> bool {
    ["08", "53", "57", "40", "55P03"]
        .iter()
        .any(|class| sqlstate.starts_with(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passing_states_are_told_from_mistakes() {
        for state in ["08006", "53300", "57P01", "57014", "40001", "55P03"] {
            assert!(is_passing(state), "{state}");
        }
        for state in ["42601", "22021", "23505", "42P01"] {
            assert!(!is_passing(state), "{state}");
        }
    }

    #[test]
    fn a_lost_connection_leaves_the_outcome_open() {
        for (refusal, sent, unknown) in [
            (Refusal::Unconnected("x".to_owned()), true, true),
            (Refusal::Unconnected("x".to_owned()), false, false),
            (
                Refusal::Text("Error { kind: Closed, cause: None }".to_owned()),
                true,
                true,
            ),
            (
                Refusal::Text("Error { kind: ToSql(0), cause: None }".to_owned()),
                true,
                false,
            ),
            (Refusal::State("57P01".to_owned(), "x".to_owned()), true, true),
            (Refusal::State("57014".to_owned(), "x".to_owned()), true, false),
            (Refusal::Misfit("x".to_owned()), true, false),
        ] {
            let text = format!("{refusal:?}, sent: {sent}");
            assert_eq!(
                matches!(failure(refusal, sent), Failure::Unknown { .. }),
                unknown,
                "{text}"
            );
        }
        for (state, ends) in [
            ("57P01", true),
            ("08006", true),
            ("57014", false),
            ("40P01", false),
            ("53300", false),
        ] {
            assert_eq!(ends_connection(state), ends, "{state}");
        }
    }
}
