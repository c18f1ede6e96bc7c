//! Postgres types and the WIT types that carry them.
//!
//! As in Spin, each parameter type binds to its own Postgres types only, and `timestamptz` columns cannot be read.

use anyhow::{Context as _, anyhow};
use bytes::BytesMut;
use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, Timelike as _, Utc};
use postgres_range::{BoundSided, BoundType, Normalizable, Range, RangeBound};
use rust_decimal::Decimal;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::bindings::postgres::{Column, DbDataType, DbValue, Interval, ParameterValue, RangeBoundKind};

type BoxError = Box<dyn std::error::Error + Sync + Send>;
type Bound<T> = Option<(T, RangeBoundKind)>;

/// The columns of a row.
pub(super) fn columns(row: &tokio_postgres::Row) -> Vec<Column> {
    let column = |column: &tokio_postgres::Column| Column {
        name: column.name().to_owned(),
        data_type: data_type(column.type_()),
    };
    row.columns().iter().map(column).collect()
}

fn data_type(column: &Type) -> DbDataType {
    match *column {
        Type::BOOL => DbDataType::Boolean,
        Type::BYTEA => DbDataType::Binary,
        Type::FLOAT4 => DbDataType::Floating32,
        Type::FLOAT8 => DbDataType::Floating64,
        Type::INT2 => DbDataType::Int16,
        Type::INT4 => DbDataType::Int32,
        Type::INT8 => DbDataType::Int64,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => DbDataType::Str,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => DbDataType::Datetime,
        Type::DATE => DbDataType::Date,
        Type::TIME => DbDataType::Time,
        Type::UUID => DbDataType::Uuid,
        Type::JSONB => DbDataType::Jsonb,
        Type::NUMERIC => DbDataType::Decimal,
        Type::INT4_RANGE => DbDataType::RangeInt32,
        Type::INT8_RANGE => DbDataType::RangeInt64,
        Type::NUM_RANGE => DbDataType::RangeDecimal,
        Type::INT4_ARRAY => DbDataType::ArrayInt32,
        Type::INT8_ARRAY => DbDataType::ArrayInt64,
        Type::NUMERIC_ARRAY => DbDataType::ArrayDecimal,
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY => DbDataType::ArrayStr,
        Type::INTERVAL => DbDataType::Interval,
        _ => DbDataType::Other(column.name().to_owned()),
    }
}

/// The values of a row.
pub(super) fn row_values(row: &tokio_postgres::Row) -> anyhow::Result<Vec<DbValue>> {
    row.columns()
        .iter()
        .enumerate()
        .map(|(index, column)| value(row, index, column.type_()))
        .collect()
}

fn value(row: &tokio_postgres::Row, index: usize, column: &Type) -> anyhow::Result<DbValue> {
    /// Reads a value of the Rust type `T`, which must fit the column's type.
    fn read<'a, T: FromSql<'a>>(
        row: &'a tokio_postgres::Row,
        index: usize,
        convert: impl FnOnce(T) -> DbValue,
    ) -> anyhow::Result<DbValue> {
        Ok(row.try_get::<_, Option<T>>(index)?.map_or(DbValue::DbNull, convert))
    }
    match *column {
        Type::BOOL => read(row, index, DbValue::Boolean),
        Type::BYTEA => read(row, index, DbValue::Binary),
        Type::FLOAT4 => read(row, index, DbValue::Floating32),
        Type::FLOAT8 => read(row, index, DbValue::Floating64),
        Type::INT2 => read(row, index, DbValue::Int16),
        Type::INT4 => read(row, index, DbValue::Int32),
        Type::INT8 => read(row, index, DbValue::Int64),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => read(row, index, DbValue::Str),
        Type::TIMESTAMP | Type::TIMESTAMPTZ => read(row, index, datetime_value),
        Type::DATE => read(row, index, |date| DbValue::Date(date_tuple(date))),
        Type::TIME => read(row, index, |time| DbValue::Time(time_tuple(time))),
        Type::UUID => read(row, index, |uuid: Uuid| DbValue::Uuid(uuid.to_string())),
        Type::JSONB => read(row, index, |json: serde_json::Value| {
            DbValue::Jsonb(json.to_string().into_bytes())
        }),
        Type::NUMERIC => read(row, index, |decimal: Decimal| DbValue::Decimal(decimal.to_string())),
        Type::INT4_RANGE => read(row, index, |range| DbValue::RangeInt32(bounds(&range, |n| *n))),
        Type::INT8_RANGE => read(row, index, |range| DbValue::RangeInt64(bounds(&range, |n| *n))),
        Type::NUM_RANGE => read(row, index, |range| {
            DbValue::RangeDecimal(bounds(&range, |n: &RangeDecimal| n.0.to_string()))
        }),
        Type::INT4_ARRAY => read(row, index, DbValue::ArrayInt32),
        Type::INT8_ARRAY => read(row, index, DbValue::ArrayInt64),
        Type::NUMERIC_ARRAY => read(row, index, |decimals: Vec<Option<Decimal>>| {
            DbValue::ArrayDecimal(decimals.iter().map(|d| d.map(|d| d.to_string())).collect())
        }),
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY => read(row, index, DbValue::ArrayStr),
        Type::INTERVAL => read(row, index, |interval: PgInterval| DbValue::Interval(interval.0)),
        _ => read(row, index, |bytes: Raw| DbValue::Unsupported(bytes.0)),
    }
}

/// A parameter as the driver takes it.
///
/// # Errors
/// When the value is not one of its type, such as a month 13.
pub(super) fn parameter(value: &ParameterValue) -> anyhow::Result<Box<dyn ToSql + Send + Sync>> {
    Ok(match value {
        ParameterValue::Boolean(v) => Box::new(*v),
        ParameterValue::Int8(v) => Box::new(*v),
        ParameterValue::Int16(v) => Box::new(*v),
        ParameterValue::Int32(v) => Box::new(*v),
        ParameterValue::Int64(v) => Box::new(*v),
        ParameterValue::Floating32(v) => Box::new(*v),
        ParameterValue::Floating64(v) => Box::new(*v),
        ParameterValue::Str(v) => Box::new(v.clone()),
        ParameterValue::Binary(v) => Box::new(v.clone()),
        ParameterValue::Date(v) => Box::new(date(*v)?),
        ParameterValue::Time(v) => Box::new(time(*v)?),
        ParameterValue::Datetime((y, mon, d, h, min, s, ns)) => {
            Box::new(NaiveDateTime::new(date((*y, *mon, *d))?, time((*h, *min, *s, *ns))?))
        }
        ParameterValue::Timestamp(v) => {
            Box::new(DateTime::<Utc>::from_timestamp(*v, 0).ok_or_else(|| anyhow!("invalid epoch timestamp {v}"))?)
        }
        ParameterValue::Uuid(v) => Box::new(Uuid::parse_str(v).with_context(|| format!("invalid UUID {v}"))?),
        ParameterValue::Jsonb(v) => Box::new(
            serde_json::from_slice::<serde_json::Value>(v)
                .with_context(|| format!("invalid JSON {}", String::from_utf8_lossy(v)))?,
        ),
        ParameterValue::Decimal(v) => Box::new(decimal(v)?),
        ParameterValue::RangeInt32((lower, upper)) => Box::new(Range::new(
            lower.map(|b| bound(b.0, b.1)),
            upper.map(|b| bound(b.0, b.1)),
        )),
        ParameterValue::RangeInt64((lower, upper)) => Box::new(Range::new(
            lower.map(|b| bound(b.0, b.1)),
            upper.map(|b| bound(b.0, b.1)),
        )),
        ParameterValue::RangeDecimal((lower, upper)) => Box::new(Range::new(
            decimal_bound(lower.as_ref())?,
            decimal_bound(upper.as_ref())?,
        )),
        ParameterValue::ArrayInt32(v) => Box::new(v.clone()),
        ParameterValue::ArrayInt64(v) => Box::new(v.clone()),
        ParameterValue::ArrayDecimal(v) => Box::new(
            v.iter()
                .map(|d| d.as_deref().map(decimal).transpose())
                .collect::<anyhow::Result<Vec<_>>>()?,
        ),
        ParameterValue::ArrayStr(v) => Box::new(v.clone()),
        ParameterValue::Interval(v) => Box::new(PgInterval(*v)),
        ParameterValue::DbNull => Box::new(Null),
    })
}

/// The size by which a value counts against the limit of a result, in bytes.
pub(super) fn memory_size(value: &DbValue) -> usize {
    let strings = |list: &[Option<String>]| -> usize {
        list.iter()
            .map(|s| size_of::<Option<String>>() + s.as_ref().map_or(0, String::len))
            .sum()
    };
    let heap = match value {
        DbValue::Str(text) | DbValue::Uuid(text) | DbValue::Decimal(text) => text.len(),
        DbValue::Jsonb(bytes) | DbValue::Binary(bytes) | DbValue::Unsupported(bytes) => bytes.len(),
        DbValue::ArrayInt32(list) => size_of_val(list.as_slice()),
        DbValue::ArrayInt64(list) => size_of_val(list.as_slice()),
        DbValue::ArrayDecimal(list) | DbValue::ArrayStr(list) => strings(list),
        _ => 0,
    };
    size_of::<DbValue>() + heap
}

fn date((year, month, day): (i32, u8, u8)) -> anyhow::Result<NaiveDate> {
    NaiveDate::from_ymd_opt(year, month.into(), day.into())
        .ok_or_else(|| anyhow!("invalid date y={year}, m={month}, d={day}"))
}

fn time((hour, minute, second, nanosecond): (u8, u8, u8, u32)) -> anyhow::Result<NaiveTime> {
    NaiveTime::from_hms_nano_opt(hour.into(), minute.into(), second.into(), nanosecond)
        .ok_or_else(|| anyhow!("invalid time {hour}:{minute}:{second}:{nanosecond}"))
}

fn decimal(text: &str) -> anyhow::Result<Decimal> {
    Decimal::from_str_exact(text).with_context(|| format!("invalid decimal {text}"))
}

fn date_tuple(date: NaiveDate) -> (i32, u8, u8) {
    (date.year(), small(date.month()), small(date.day()))
}

fn time_tuple(time: NaiveTime) -> (u8, u8, u8, u32) {
    (
        small(time.hour()),
        small(time.minute()),
        small(time.second()),
        time.nanosecond(),
    )
}

fn datetime_value(datetime: NaiveDateTime) -> DbValue {
    let (year, month, day) = date_tuple(datetime.date());
    let (hour, minute, second, nanosecond) = time_tuple(datetime.time());
    DbValue::Datetime((year, month, day, hour, minute, second, nanosecond))
}

/// A part of a date or a time of day, all of which are below 60.
fn small(part: u32) -> u8 {
    u8::try_from(part).unwrap_or(u8::MAX)
}

fn bound<S: BoundSided, T: PartialOrd + Normalizable>(value: T, kind: RangeBoundKind) -> RangeBound<S, T> {
    let kind = match kind {
        RangeBoundKind::Inclusive => BoundType::Inclusive,
        RangeBoundKind::Exclusive => BoundType::Exclusive,
    };
    RangeBound::new(value, kind)
}

fn decimal_bound<S: BoundSided>(
    value: Option<&(String, RangeBoundKind)>,
) -> anyhow::Result<Option<RangeBound<S, RangeDecimal>>> {
    value
        .map(|(text, kind)| Ok(bound(RangeDecimal(decimal(text)?), *kind)))
        .transpose()
}

/// The bounds of a range. An empty range has none, like one without limits.
fn bounds<T: PartialOrd + Normalizable, U>(range: &Range<T>, convert: impl Fn(&T) -> U) -> (Bound<U>, Bound<U>) {
    let kind = |kind: BoundType| match kind {
        BoundType::Inclusive => RangeBoundKind::Inclusive,
        BoundType::Exclusive => RangeBoundKind::Exclusive,
    };
    (
        range.lower().map(|bound| (convert(&bound.value), kind(bound.type_))),
        range.upper().map(|bound| (convert(&bound.value), kind(bound.type_))),
    )
}

/// A decimal as the bound of a range.
#[derive(Debug, PartialEq, PartialOrd)]
struct RangeDecimal(Decimal);

impl Normalizable for RangeDecimal {
    fn normalize<S: BoundSided>(bound: RangeBound<S, Self>) -> RangeBound<S, Self> {
        bound
    }
}

impl ToSql for RangeDecimal {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        self.0.to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        <Decimal as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for RangeDecimal {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, BoxError> {
        Decimal::from_sql(ty, raw).map(Self)
    }

    fn accepts(ty: &Type) -> bool {
        <Decimal as FromSql>::accepts(ty)
    }
}

/// An interval: its microseconds, days and months, in the order of the wire.
#[derive(Debug)]
struct PgInterval(Interval);

impl ToSql for PgInterval {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        out.extend_from_slice(&self.0.micros.to_be_bytes());
        out.extend_from_slice(&self.0.days.to_be_bytes());
        out.extend_from_slice(&self.0.months.to_be_bytes());
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::INTERVAL
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for PgInterval {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, BoxError> {
        let (micros, rest) = raw.split_first_chunk().ok_or("an interval is too short")?;
        let (days, rest) = rest.split_first_chunk().ok_or("an interval is too short")?;
        Ok(Self(Interval {
            micros: i64::from_be_bytes(*micros),
            days: i32::from_be_bytes(*days),
            months: i32::from_be_bytes(rest.try_into()?),
        }))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::INTERVAL
    }
}

/// NULL, for a parameter of any type.
#[derive(Debug)]
struct Null;

impl ToSql for Null {
    fn to_sql(&self, _: &Type, _: &mut BytesMut) -> Result<IsNull, BoxError> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The bytes of a value of any type, as Postgres sends them.
struct Raw(Vec<u8>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, BoxError> {
        Ok(Self(raw.to_owned()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let own = size_of::<DbValue>();
        for (value, heap) in [
            (DbValue::DbNull, 0),
            (DbValue::Int64(1), 0),
            (DbValue::Str("abc".to_owned()), 3),
            (DbValue::Unsupported(vec![0; 5]), 5),
            (DbValue::ArrayInt32(vec![Some(1), None]), 2 * size_of::<Option<i32>>()),
            (
                DbValue::ArrayStr(vec![Some("ab".to_owned()), None]),
                2 * size_of::<Option<String>>() + 2,
            ),
        ] {
            assert_eq!(memory_size(&value), own + heap, "{value:?}");
        }
    }

    #[test]
    fn ranges_with_crossed_bounds_are_empty() {
        let at = |n: i32, kind| Some(bound(n, kind));
        let range = |lower, upper| bounds(&Range::<i32>::new(lower, upper), |n| *n);
        use RangeBoundKind::{Exclusive, Inclusive};
        let seen = range(at(1, Exclusive), Some(bound(3, Inclusive)));
        assert!(matches!(seen, (Some((2, Inclusive)), Some((4, Exclusive)))), "{seen:?}");
        let seen = range(at(3, Inclusive), Some(bound(1, Inclusive)));
        assert!(matches!(seen, (None, None)), "{seen:?}");
    }

    #[test]
    fn intervals_are_sixteen_bytes() {
        let interval = Interval {
            micros: -3,
            days: 2,
            months: 1,
        };
        let mut bytes = BytesMut::new();
        PgInterval(interval).to_sql(&Type::INTERVAL, &mut bytes).unwrap();
        assert_eq!(bytes.len(), 16);
        let read = PgInterval::from_sql(&Type::INTERVAL, &bytes).unwrap().0;
        assert_eq!((read.micros, read.days, read.months), (-3, 2, 1));
        assert!(PgInterval::from_sql(&Type::INTERVAL, &bytes[..15]).is_err());
    }
}
