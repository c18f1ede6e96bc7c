//! Queries. The headers are `address`, `sql`, and any number of `param: type:value`.

use spin_sdk::http::Request;
use spin_sdk::pg::wit::postgres::{self as wit, ParameterValue as P, RangeBoundKind};
use spin_sdk::pg::{Connection, Error, OpenOptions};

use crate::{argument, arguments, number, sleep};

fn parameters(request: &Request) -> Vec<P> {
    arguments(request, "param").map(|text| parameter(&text)).collect()
}

fn parameter(text: &str) -> P {
    let (kind, value) = text.split_once(':').expect("a parameter is type:value");
    let list = || value.split(',').map(|item| (item != "null").then_some(item));
    match kind {
        "null" => P::DbNull,
        "bool" => P::Boolean(value == "true"),
        "int8" => P::Int8(value.parse().expect("a number")),
        "int16" => P::Int16(value.parse().expect("a number")),
        "int32" => P::Int32(value.parse().expect("a number")),
        "int64" => P::Int64(value.parse().expect("a number")),
        "float32" => P::Floating32(value.parse().expect("a number")),
        "float64" => P::Floating64(value.parse().expect("a number")),
        "str" => P::Str(value.to_owned()),
        "binary" => P::Binary(value.as_bytes().to_vec()),
        "date" => P::Date((2026, 2, value.parse().expect("a day"))),
        "time" => P::Time((13, 14, value.parse().expect("a second"), 123_456_000)),
        "datetime" => P::Datetime((2026, 2, 3, 4, 5, value.parse().expect("a second"), 789_000_000)),
        "timestamp" => P::Timestamp(value.parse().expect("a number")),
        "uuid" => P::Uuid(value.to_owned()),
        "jsonb" => P::Jsonb(value.as_bytes().to_vec()),
        "decimal" => P::Decimal(value.to_owned()),
        "range32" => P::RangeInt32((
            Some((1, RangeBoundKind::Inclusive)),
            Some((5, RangeBoundKind::Inclusive)),
        )),
        "range64" => P::RangeInt64((None, Some((5, RangeBoundKind::Exclusive)))),
        "rangedecimal" => P::RangeDecimal((Some((value.to_owned(), RangeBoundKind::Exclusive)), None)),
        "array32" => P::ArrayInt32(list().map(|item| item.map(|n| n.parse().expect("a number"))).collect()),
        "array64" => P::ArrayInt64(list().map(|item| item.map(|n| n.parse().expect("a number"))).collect()),
        "arraydecimal" => P::ArrayDecimal(list().map(|item| item.map(str::to_owned)).collect()),
        "arraystr" => P::ArrayStr(list().map(|item| item.map(str::to_owned)).collect()),
        "interval" => P::Interval(wit::Interval {
            micros: 3,
            days: 2,
            months: 1,
        }),
        other => panic!("no parameter type {other}"),
    }
}

async fn connect(request: &Request) -> Result<Connection, Error> {
    Connection::open(argument(request, "address")).await
}

/// `columns | row | row`, or the error.
pub async fn query(request: &Request) -> String {
    let result = async {
        let result = connect(request)
            .await?
            .query(argument(request, "sql"), parameters(request))
            .await?;
        let columns = columns(result.columns());
        let (_, mut rows, outcome) = result.into_inner();
        let mut lines = vec![columns];
        while let Some(row) = rows.next().await {
            lines.push(format!("{row:?}"));
        }
        match outcome.await {
            Ok(()) => {}
            Err(error) => lines.push(format!("failed after {} rows: {error:?}", lines.len() - 1)),
        }
        Ok::<_, Error>(lines.join("\n"))
    };
    result.await.unwrap_or_else(|error| format!("{error:?}"))
}

fn columns(columns: &[wit::Column]) -> String {
    let columns: Vec<_> = columns
        .iter()
        .map(|c| format!("{} {:?}", c.name, c.data_type))
        .collect();
    format!("[{}]", columns.join(", "))
}

/// The same through the functions that block the instance.
pub fn query_sync(request: &Request) -> String {
    let result = || {
        let connection = wit::Connection::open(&argument(request, "address"))?;
        let set = connection.query(&argument(request, "sql"), &parameters(request))?;
        let mut lines = vec![columns(&set.columns)];
        lines.extend(set.rows.iter().map(|row| format!("{row:?}")));
        Ok::<_, wit::Error>(lines.join("\n"))
    };
    result().unwrap_or_else(|error: wit::Error| format!("{error:?}"))
}

/// Reads `count` rows, drops the rest, and closes the connection.
pub async fn query_first(request: &Request) -> String {
    let result = async {
        let mut result = connect(request).await?.query(argument(request, "sql"), []).await?;
        let mut seen = 0;
        while seen < number(request, "count") && result.next().await.is_some() {
            seen += 1;
        }
        Ok::<_, Error>(format!("{seen} rows"))
    };
    result.await.unwrap_or_else(|error| format!("{error:?}"))
}

/// Drops the rows, then asks for the outcome all the same.
pub async fn query_drop(request: &Request) -> String {
    let result = async {
        let result = connect(request).await?.query(argument(request, "sql"), []).await?;
        let (_, rows, outcome) = result.into_inner();
        drop(rows);
        Ok::<_, Error>(format!("{:?}", outcome.await))
    };
    result.await.unwrap_or_else(|error| format!("{error:?}"))
}

pub async fn execute(request: &Request) -> String {
    let result = async {
        connect(request)
            .await?
            .execute(argument(request, "sql"), parameters(request))
            .await
    };
    format!("{:?}", result.await)
}

pub async fn open(request: &Request) -> String {
    format!("{:?}", connect(request).await.map(|_| "open"))
}

pub async fn builder(request: &Request) -> String {
    let opened = Connection::open_with_options(argument(request, "address"), OpenOptions::default()).await;
    format!("{:?}", opened.map(|_| "open"))
}

/// Runs a statement and keeps the connection for `ms`.
pub async fn hold(request: &Request) -> String {
    let result = async {
        let connection = connect(request).await?;
        let changed = connection.execute(argument(request, "sql"), []).await?;
        sleep(number(request, "ms")).await;
        Ok::<_, Error>(changed)
    };
    format!("{:?}", result.await)
}
