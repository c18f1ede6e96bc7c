//! Queries, their rows and their errors.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::types::ToSql;
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, StreamProducer, StreamResult, VecBuffer};

use super::pool::Client;
use super::types::{columns, memory_size, parameter, row_values};
use crate::bindings::postgres::{Column, DbError, Error, ParameterValue, QueryError, Row, RowSet};

/// The most that a result held by the host may take, in bytes.
const MAX_RESULT: usize = 128 << 20;

/// Rows that wait for the guest.
const ROWS_AHEAD: usize = 64;

/// The result of a query while it is still coming in.
pub(super) struct QueryStream {
    /// Empty when there is no row.
    pub(super) columns: Vec<Column>,
    pub(super) rows: mpsc::Receiver<Row>,
    /// Says after the last row whether all of them came. It says nothing when the guest gave up the rows before: a guest
    /// that asks then traps, as in Spin.
    pub(super) outcome: oneshot::Receiver<Result<(), Error>>,
}

type Parameters = Vec<Box<dyn ToSql + Send + Sync>>;

fn parameters(values: &[ParameterValue]) -> anyhow::Result<Parameters> {
    values.iter().map(parameter).collect()
}

/// Runs a statement and counts the rows that it changed.
pub(super) async fn execute(client: &Client, statement: &str, params: &[ParameterValue]) -> Result<u64, Error> {
    let params = parameters(params).map_err(|error| Error::ValueConversionFailed(error_text(&error)))?;
    client
        .execute_raw(statement, params)
        .await
        .map_err(|error| query_failed(&error))
}

/// Runs a query and collects its rows, up to the limit.
pub(super) async fn query(client: &Client, statement: &str, params: &[ParameterValue]) -> Result<RowSet, Error> {
    let params = parameters(params).map_err(|error| Error::BadParameter(error_text(&error)))?;
    let stream = client
        .query_raw(statement, params)
        .await
        .map_err(|error| query_failed(&error))?;
    collect(stream).await.map_err(|error| text(error_text(&error)))
}

async fn collect(stream: tokio_postgres::RowStream) -> anyhow::Result<RowSet> {
    let mut stream = pin!(stream);
    let mut set = RowSet {
        columns: Vec::new(),
        rows: Vec::new(),
    };
    let mut size = size_of::<RowSet>();
    while let Some(row) = stream.try_next().await? {
        if set.rows.is_empty() {
            set.columns = columns(&row);
        }
        let values = row_values(&row)?;
        size += values.iter().map(memory_size).sum::<usize>();
        anyhow::ensure!(size <= MAX_RESULT, "query result exceeds limit of {MAX_RESULT} bytes");
        set.rows.push(values);
    }
    Ok(set)
}

/// Starts a query; its first row has come when this returns.
///
/// The connection is not kept for the rest: when the guest gives it back early, its next user waits until Postgres has
/// sent all rows.
pub(super) async fn query_stream(
    client: &Client,
    statement: &str,
    params: &[ParameterValue],
) -> Result<QueryStream, Error> {
    let params = parameters(params).map_err(|error| Error::BadParameter(error_text(&error)))?;
    let stream = client
        .query_raw(statement, params)
        .await
        .map_err(|error| query_failed(&error))?;
    let mut stream = Box::pin(stream);
    let (rows_in, rows) = mpsc::channel(ROWS_AHEAD);
    let (outcome_in, outcome) = oneshot::channel();
    let Some(first) = stream.next().await else {
        _ = outcome_in.send(Ok(()));
        return Ok(QueryStream {
            columns: Vec::new(),
            rows,
            outcome,
        });
    };
    let first = first.map_err(|error| query_failed(&error))?;
    let columns = columns(&first);
    tokio::spawn(async move {
        let mut next = Some(Ok(first));
        let result = loop {
            let Some(row) = next else { break Ok(()) };
            let row = row.map_err(|error| query_failed(&error));
            match row.and_then(|row| limited_values(&row)) {
                Ok(values) => {
                    if rows_in.send(values).await.is_err() {
                        return;
                    }
                }
                Err(error) => break Err(error),
            }
            next = stream.next().await;
        };
        _ = outcome_in.send(result);
    });
    Ok(QueryStream { columns, rows, outcome })
}

/// The values of a streamed row. The limit is one for each row: a stream as a whole may be of any size.
fn limited_values(row: &tokio_postgres::Row) -> Result<Row, Error> {
    let values = row_values(row).map_err(|error| text(error_text(&error)))?;
    if values.iter().map(memory_size).sum::<usize>() > MAX_RESULT {
        return Err(text(format!("query result exceeds limit of {MAX_RESULT} bytes")));
    }
    Ok(values)
}

/// Hands the rows to the guest as it asks for them.
pub(super) struct RowProducer(pub(super) mpsc::Receiver<Row>);

impl<D> StreamProducer<D> for RowProducer {
    type Item = Row;
    type Buffer = VecBuffer<Row>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Row, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let mut rows = Vec::new();
        match self.get_mut().0.poll_recv_many(cx, &mut rows, ROWS_AHEAD) {
            Poll::Ready(0) => Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Ready(_) => {
                destination.set_buffer(rows.into());
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Poll::Pending if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn text(text: String) -> Error {
    Error::QueryFailed(QueryError::Text(text))
}

fn query_failed(error: &tokio_postgres::Error) -> Error {
    let as_text = format!("{error:?}");
    let Some(cause) = error.as_db_error() else {
        return text(as_text);
    };
    let extras = [
        ("column", cause.column().map(str::to_owned)),
        ("constraint", cause.constraint().map(str::to_owned)),
        ("routine", cause.routine().map(str::to_owned)),
        ("hint", cause.hint().map(str::to_owned)),
        ("table", cause.table().map(str::to_owned)),
        ("datatype", cause.datatype().map(str::to_owned)),
        ("schema", cause.schema().map(str::to_owned)),
        ("file", cause.file().map(str::to_owned)),
        ("line", cause.line().map(|line| line.to_string())),
        ("where_", cause.where_().map(str::to_owned)),
    ];
    Error::QueryFailed(QueryError::DbError(DbError {
        as_text,
        severity: cause.severity().to_owned(),
        code: cause.code().code().to_owned(),
        message: cause.message().to_owned(),
        detail: cause.detail().map(str::to_owned),
        extras: extras
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect(),
    }))
}

/// An error and its causes in the form that anyhow gives them, never with a backtrace.
pub(super) fn error_text(error: &anyhow::Error) -> String {
    let causes: Vec<_> = error.chain().skip(1).map(ToString::to_string).collect();
    match causes.as_slice() {
        [] => error.to_string(),
        [cause] => format!("{error}\n\nCaused by:\n    {cause}"),
        causes => {
            let lines: Vec<_> = causes
                .iter()
                .enumerate()
                .map(|(n, cause)| format!("    {n}: {cause}"))
                .collect();
            format!("{error}\n\nCaused by:\n{}", lines.join("\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_texts() {
        let error = anyhow::anyhow!("inner");
        assert_eq!(error_text(&error), "inner");
        let error = error.context("middle");
        assert_eq!(error_text(&error), "middle\n\nCaused by:\n    inner");
        let error = error.context("outer");
        assert_eq!(error_text(&error), "outer\n\nCaused by:\n    0: middle\n    1: inner");
    }
}
