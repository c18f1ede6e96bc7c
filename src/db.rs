//! The database through the host's Postgres interface: opening, time limits, decoding, errors. One file per table.
//!
//! The interface knows neither enums nor json nor `timestamptz`: the SQL casts them, both ways. What a statement
//! returns is read by position, so that every statement names its columns in the order of its decoder. Every statement returns
//! one row, whatever it finds.

pub mod task;
pub mod user;

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use spin_sdk::pg::{Connection, DbValue, ParameterValue, PgError, QueryError};

use crate::{clock, config, error::Error, log::Record};

/// Time limit of all database calls of one request together. The caller gets an answer within three seconds.
const LIMIT: Duration = Duration::from_millis(2_500);

/// The tables that the statements name. PlanExe's web frontend creates them.
const TABLES: &str = "credit_history,events,nonces,task_item,user_account,user_api_key,workers";

/// The database, for one request. A connection is opened for each statement: the host keeps them in a pool, and one
/// that is held while a client reads slowly would be missing there.
#[derive(Debug, Clone)]
pub struct Database {
    address: Rc<str>,
    record: Rc<Record>,
    /// What the request may have spent with the database in the end.
    allowance: Duration,
}

/// Why an attempt has no result.
enum Failure {
    /// The statement did not run, or Postgres says that it undid it.
    Undone(Error),
    /// Nobody knows: the connection or our patience ended after the statement was sent.
    Unknown {
        cause: String,
        /// The connection broke. A new one may well work.
        broken: bool,
    },
}

impl Database {
    /// The database of the settings. All that use the same record share its time limit.
    ///
    /// # Errors
    /// [`Error::Internal`] when the settings make no address.
    pub async fn configured(record: &Rc<Record>) -> Result<Self, Error> {
        Ok(Self {
            address: config::database_address().await?,
            record: Rc::clone(record),
            allowance: LIMIT,
        })
    }

    /// The same database with the time limit beginning anew: a download takes as long as its reader.
    #[must_use]
    pub fn renewed(&self) -> Self {
        Self {
            allowance: self.record.database() + LIMIT,
            ..self.clone()
        }
    }

    /// The same database with another time limit for all calls together.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self {
            allowance: self.record.database() + limit,
            ..self
        }
    }

    /// The record of the request.
    #[must_use]
    pub fn record(&self) -> &Rc<Record> {
        &self.record
    }

    /// Runs a statement that changes nothing of weight, and returns its row. It is run again, once, when its
    /// connection breaks: the host's pool may have handed out one that died meanwhile.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] when no answer comes in time or the database refuses, [`Error::Internal`] when it
    /// rejects the statement.
    pub async fn query(&self, statement: &str, parameters: Vec<ParameterValue>) -> Result<Row, Error> {
        self.run(statement, parameters, true).await.map_err(unavailable)
    }

    /// Runs a statement that changes something, and returns its row. Only one that is `repeatable`, that is,
    /// changes nothing more when it is run twice, is run again when its connection breaks.
    ///
    /// # Errors
    /// As [`Database::query`], and [`Error::OutcomeUnknown`] when nobody knows whether it took effect.
    pub async fn change(
        &self,
        statement: &str,
        parameters: Vec<ParameterValue>,
        repeatable: bool,
    ) -> Result<Row, Error> {
        match self.run(statement, parameters, repeatable).await {
            Ok(row) => Ok(row),
            Err(Failure::Undone(error)) => Err(error),
            Err(Failure::Unknown { cause, .. }) => Err(Error::OutcomeUnknown { cause, repeatable }),
        }
    }

    /// Runs a statement as [`Database::run_again`] does. Says which tables are missing if it names one that is.
    async fn run(&self, statement: &str, parameters: Vec<ParameterValue>, repeatable: bool) -> Result<Row, Failure> {
        match self.run_again(statement, parameters, repeatable).await {
            Err(Failure::Undone(Error::TablesMissing(_))) => Err(Failure::Undone(match self.check_tables().await {
                Ok(()) => Error::DatabaseUnavailable("a table was missing and is there now".to_owned()),
                Err(error) => error,
            })),
            result => result,
        }
    }

    /// Runs a statement, and once more if it is `repeatable` and its connection breaks.
    async fn run_again(
        &self,
        statement: &str,
        parameters: Vec<ParameterValue>,
        repeatable: bool,
    ) -> Result<Row, Failure> {
        let again = repeatable.then(|| parameters.clone());
        match (self.attempt(statement, parameters).await, again) {
            (Err(Failure::Unknown { cause, broken: true }), Some(parameters)) => {
                self.record.note(&format!("tried again after: {cause}"));
                // If the second attempt cannot connect, the outcome of the first one is still unknown.
                match self.attempt(statement, parameters).await {
                    Err(Failure::Undone(Error::DatabaseUnavailable(second))) => Err(Failure::Unknown {
                        cause: second,
                        broken: true,
                    }),
                    result => result,
                }
            }
            (result, _) => result,
        }
    }

    /// Asks the database whether all tables are there.
    ///
    /// # Errors
    /// [`Error::TablesMissing`], and those of [`Database::query`].
    pub async fn check_tables(&self) -> Result<(), Error> {
        let statement = include_str!("db/missing_tables.sql");
        let row = self.run_again(statement, vec![text(TABLES)], true).await;
        let missing: String = row.map_err(unavailable)?.next("missing")?;
        if missing.is_empty() {
            Ok(())
        } else {
            Err(Error::TablesMissing(missing))
        }
    }

    /// One attempt, within what is left of the time.
    async fn attempt(&self, statement: &str, parameters: Vec<ParameterValue>) -> Result<Row, Failure> {
        let sent = Cell::new(false);
        let call = async {
            let connection = Connection::open(&*self.address).await;
            let connection = connection.map_err(|error| Failure::Undone(from_sdk(error)))?;
            sent.set(true);
            let result = connection
                .query(statement, parameters)
                .await
                .map_err(|error| match error {
                    spin_sdk::pg::Error::PgError(error) => failure(error),
                    spin_sdk::pg::Error::Decode(text) => Failure::Undone(Error::Internal(text)),
                })?;
            let (_, mut stream, end) = result.into_inner();
            let mut row = None;
            while let Some(values) = stream.next().await {
                row = row.or_else(|| Some(Row(values.into_iter())));
            }
            // Errors after the first row are known only here.
            end.await.map_err(failure)?;
            row.ok_or_else(|| Failure::Undone(Error::Internal("a statement returned no row".to_owned())))
        };
        let begun = Instant::now();
        let left = self.allowance.saturating_sub(self.record.database());
        let result = clock::within(left, call).await;
        self.record.add_database(begun.elapsed());
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
        Failure::Unknown { cause, .. } => Error::DatabaseUnavailable(cause),
    }
}

/// A row, read value by value in the order of the statement's columns.
#[derive(Debug)]
pub struct Row(std::vec::IntoIter<DbValue>);

impl Row {
    /// The next value as a `T`; the column's name is for the error alone.
    ///
    /// # Errors
    /// [`Error::Internal`] when the statement and its decoder do not fit together.
    pub fn next<T: FromValue>(&mut self, column: &str) -> Result<T, Error> {
        let value = self.0.next().and_then(T::from_value);
        value.ok_or_else(|| Error::Internal(format!("column {column} is missing or has another type")))
    }
}

/// A Rust type that a database value becomes, without a copy.
pub trait FromValue: Sized {
    /// The value, `None` when it is of another type.
    fn from_value(value: DbValue) -> Option<Self>;
}

/// Each type has one form at the interface; a value of another form is a mistake in the SQL and not converted.
macro_rules! from_value {
    ($($rust:ty => $variant:ident),*) => {$(
        impl FromValue for $rust {
            fn from_value(value: DbValue) -> Option<Self> {
                if let DbValue::$variant(inner) = value { Some(inner) } else { None }
            }
        }
    )*};
}
from_value!(String => Str, i64 => Int64, f64 => Floating64, bool => Boolean, Vec<u8> => Binary);

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: DbValue) -> Option<Self> {
        if matches!(value, DbValue::DbNull) {
            Some(None)
        } else {
            T::from_value(value).map(Some)
        }
    }
}

/// A text parameter.
#[must_use]
pub fn text(value: impl Into<String>) -> ParameterValue {
    ParameterValue::Str(value.into())
}

/// A text parameter that may be NULL.
#[must_use]
pub fn optional_text(value: Option<impl Into<String>>) -> ParameterValue {
    value.map_or(ParameterValue::DbNull, text)
}

fn from_sdk(error: spin_sdk::pg::Error) -> Error {
    match error {
        spin_sdk::pg::Error::PgError(error) => from_host(error),
        spin_sdk::pg::Error::Decode(text) => Error::Internal(text),
    }
}

/// What the host or Postgres reports. The texts are kept for the log only: they may carry host names.
fn from_host(error: PgError) -> Error {
    match error {
        PgError::ConnectionFailed(text) => Error::DatabaseUnavailable(text),
        PgError::QueryFailed(QueryError::DbError(error)) if is_passing(&error.code) => {
            Error::DatabaseUnavailable(format!("{}: {}", error.code, error.message))
        }
        // Which tables are missing is asked afterwards: the text of Postgres depends on its language.
        PgError::QueryFailed(QueryError::DbError(error)) if error.code == "42P01" => {
            Error::TablesMissing(String::new())
        }
        // The message of a rejected statement may repeat a value of it: the code tells the operator enough.
        PgError::QueryFailed(QueryError::DbError(error)) => Error::Internal(format!("SQLSTATE {}", error.code)),
        PgError::QueryFailed(QueryError::Text(text)) if is_broken(&text) => Error::DatabaseUnavailable(text),
        PgError::QueryFailed(QueryError::Text(text)) => Error::Internal(text),
        PgError::BadParameter(text) | PgError::ValueConversionFailed(text) | PgError::Other(text) => {
            Error::Internal(text)
        }
    }
}

/// What an error after the statement was sent says of its effect.
fn failure(error: PgError) -> Failure {
    let broken = match &error {
        PgError::ConnectionFailed(_) => true,
        PgError::QueryFailed(QueryError::DbError(error)) => ends_connection(&error.code),
        PgError::QueryFailed(QueryError::Text(text)) => is_broken(text),
        PgError::BadParameter(_) | PgError::ValueConversionFailed(_) | PgError::Other(_) => false,
    };
    match from_host(error) {
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
        for (error, unknown) in [
            (PgError::ConnectionFailed("x".to_owned()), true),
            (
                PgError::QueryFailed(QueryError::Text("Error { kind: Closed, cause: None }".to_owned())),
                true,
            ),
            (
                PgError::QueryFailed(QueryError::Text("Error { kind: ToSql(0), cause: None }".to_owned())),
                false,
            ),
            (PgError::BadParameter("x".to_owned()), false),
        ] {
            let text = format!("{error:?}");
            assert_eq!(matches!(failure(error), Failure::Unknown { .. }), unknown, "{text}");
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

    #[test]
    fn a_row_is_read_strictly() {
        let mut row = Row(vec![DbValue::Str("a".to_owned()), DbValue::DbNull, DbValue::Int32(1)].into_iter());
        assert_eq!(row.next::<String>("first").ok().as_deref(), Some("a"));
        assert_eq!(row.next::<Option<String>>("second").ok(), Some(None));
        assert!(row.next::<i64>("third").is_err(), "an int4 is no int8");
        assert!(row.next::<i64>("fourth").is_err(), "there is no fourth");
    }
}
