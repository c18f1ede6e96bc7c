//! Queries through `spin:postgres`: parameters, values, rows, errors.

use std::time::{Duration, Instant};

use crate::support::{Tested, tested_with_database};

/// Runs a query with parameters and gives its columns and rows, or its error, as the guest's words.
pub(crate) async fn query(tested: &Tested, address: &str, sql: &str, params: &[&str]) -> String {
    let mut headers = vec![("address", address), ("sql", sql)];
    headers.extend(params.iter().map(|param| ("param", *param)));
    tested.ok("/query", &headers).await
}

#[tokio::test]
async fn columns() {
    let (tested, address) = tested_with_database(|_| {}).await;
    for (sql, expected) in [
        ("true", "Boolean Boolean(true)"),
        ("7::int2", "Int16 Int16(7)"),
        ("7::int4", "Int32 Int32(7)"),
        ("7::int8", "Int64 Int64(7)"),
        ("1.5::float4", "Floating32 Floating32(1.5)"),
        ("1.5::float8", "Floating64 Floating64(1.5)"),
        ("'a'::text", r#"Str Str("a")"#),
        ("'a'::varchar", r#"Str Str("a")"#),
        ("'a'::char(3)", r#"Str Str("a  ")"#),
        ("'\\x0102'::bytea", "Binary Binary([1, 2])"),
        ("date '2026-02-03'", "Date Date((2026, 2, 3))"),
        ("time '04:05:06.789'", "Time Time((4, 5, 6, 789000000))"),
        (
            "timestamp '2026-02-03 04:05:06.789'",
            "Datetime Datetime((2026, 2, 3, 4, 5, 6, 789000000))",
        ),
        (
            "'6f9619ff-8b86-d011-b42d-00c04fc964ff'::uuid",
            r#"Uuid Uuid("6f9619ff-8b86-d011-b42d-00c04fc964ff")"#,
        ),
        ("12.340::numeric", r#"Decimal Decimal("12.340")"#),
        (
            "int4range(1, 5)",
            "RangeInt32 RangeInt32((Some((1, RangeBoundKind::Inclusive)), Some((5, RangeBoundKind::Exclusive))))",
        ),
        (
            "int8range(null, 5)",
            "RangeInt64 RangeInt64((None, Some((5, RangeBoundKind::Exclusive))))",
        ),
        ("int4range(5, 5)", "RangeInt32 RangeInt32((None, None))"),
        (
            "numrange(1.5, 2, '(]')",
            r#"RangeDecimal RangeDecimal((Some(("1.5", RangeBoundKind::Exclusive)), Some(("2", RangeBoundKind::Inclusive))))"#,
        ),
        ("array[1, null]::int4[]", "ArrayInt32 ArrayInt32([Some(1), None])"),
        ("array[1]::int8[]", "ArrayInt64 ArrayInt64([Some(1)])"),
        ("array[1.5]::numeric[]", r#"ArrayDecimal ArrayDecimal([Some("1.5")])"#),
        ("array['a', null]::text[]", r#"ArrayStr ArrayStr([Some("a"), None])"#),
        (
            "interval '1 month 2 days 3 us'",
            "Interval Interval(Interval { micros: 3, days: 2, months: 1 })",
        ),
        ("null::int4", "Int32 DbNull"),
        ("'a'::\"char\"", r#"Other("char") Unsupported([97])"#),
        (
            "'{\"b\": 1}'::json",
            r#"Other("json") Unsupported([123, 34, 98, 34, 58, 32, 49, 125])"#,
        ),
        (
            "point '(0,0)'",
            "Other(\"point\") Unsupported([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])",
        ),
    ] {
        let (data_type, value) = expected.split_once(' ').unwrap();
        let expected = format!("[v DbDataType::{data_type}]\n[DbValue::{value}]");
        assert_eq!(
            query(&tested, &address, &format!("select {sql} as v"), &[]).await,
            expected,
            "{sql}"
        );
    }
}

#[tokio::test]
async fn jsonb_is_written_anew() {
    let (tested, address) = tested_with_database(|_| {}).await;
    let seen = query(
        &tested,
        &address,
        r#"select '{"b" : 1, "a": [1.50, null]}'::jsonb as v"#,
        &[],
    )
    .await;
    let bytes = br#"{"a":[1.5,null],"b":1}"#.to_vec();
    assert_eq!(seen, format!("[v DbDataType::Jsonb]\n[DbValue::Jsonb({bytes:?})]"));
}

#[tokio::test]
async fn enums_are_bytes_and_take_no_strings() {
    let (tested, address) = tested_with_database(|_| {}).await;
    let make = "create type mood as enum ('glad')";
    assert_eq!(
        tested.ok("/execute", &[("address", &address), ("sql", make)]).await,
        "Ok(0)"
    );
    let seen = query(&tested, &address, "select 'glad'::mood as v", &[]).await;
    assert_eq!(
        seen,
        "[v DbDataType::Other(\"mood\")]\n[DbValue::Unsupported([103, 108, 97, 100])]"
    );
    let seen = query(&tested, &address, "select $1::mood as v", &["str:glad"]).await;
    assert!(seen.contains("WrongType"), "{seen}");
    let seen = query(&tested, &address, "select ($1::text)::mood::text as v", &["str:glad"]).await;
    assert!(seen.ends_with("Str(\"glad\")]"), "{seen}");
}

#[tokio::test]
async fn parameters() {
    let (tested, address) = tested_with_database(|_| {}).await;
    for (param, sql, shown) in [
        ("bool:true", "$1::bool", "true"),
        ("int8:7", "$1::\"char\"", "\u{7}"),
        ("int16:7", "$1::int2", "7"),
        ("int32:7", "$1::int4", "7"),
        ("int64:7", "$1::int8", "7"),
        ("float32:1.5", "$1::float4", "1.5"),
        ("float64:1.5", "$1::float8", "1.5"),
        ("str:a", "$1::text", "a"),
        ("str:a", "$1::varchar", "a"),
        ("binary:ab", "$1::bytea", "\\\\x6162"),
        ("date:3", "$1::date", "2026-02-03"),
        ("time:15", "$1::time", "13:14:15.123456"),
        ("datetime:6", "$1::timestamp", "2026-02-03 04:05:06.789"),
        ("timestamp:86400", "$1::timestamptz", "1970-01-02 00:00:00+00"),
        (
            "uuid:6f9619ff-8b86-d011-b42d-00c04fc964ff",
            "$1::uuid",
            "6f9619ff-8b86-d011-b42d-00c04fc964ff",
        ),
        ("jsonb:[1]", "$1::jsonb", "[1]"),
        ("jsonb:[1]", "$1::json", "[1]"),
        ("decimal:12.340", "$1::numeric", "12.340"),
        ("range32:", "$1::int4range", "[1,6)"),
        ("range64:", "$1::int8range", "(,5)"),
        ("rangedecimal:1.5", "$1::numrange", "(1.5,)"),
        ("array32:1,null", "$1::int4[]", "{1,NULL}"),
        ("array64:1", "$1::int8[]", "{1}"),
        ("arraydecimal:1.5,null", "$1::numeric[]", "{1.5,NULL}"),
        ("arraystr:a,null", "$1::text[]", "{a,NULL}"),
        ("interval:", "$1::interval", "1 mon 2 days 00:00:00.000003"),
    ] {
        let seen = query(&tested, &address, &format!("select ({sql})::text as v"), &[param]).await;
        let expected = format!("[v DbDataType::Str]\n[DbValue::Str(\"{shown}\")]");
        assert_eq!(seen.replace("\\u{7}", "\u{7}"), expected, "{param} {sql}");
        let seen = query(&tested, &address, &format!("select ({sql}) is null as v"), &["null:"]).await;
        assert_eq!(seen, "[v DbDataType::Boolean]\n[DbValue::Boolean(true)]", "null {sql}");
    }
}

#[tokio::test]
async fn parameters_fit_their_own_types_only() {
    let (tested, address) = tested_with_database(|_| {}).await;
    for (param, sql, pg, rust) in [
        ("int64:7", "$1::int4", "Int4", "i64"),
        ("int32:7", "$1::int8", "Int8", "i32"),
        (
            "str:6f9619ff-8b86-d011-b42d-00c04fc964ff",
            "$1::uuid",
            "Uuid",
            "alloc::string::String",
        ),
        ("str:{}", "$1::jsonb", "Jsonb", "alloc::string::String"),
        ("str:{}", "$1::json", "Json", "alloc::string::String"),
        (
            "str:2026-01-01",
            "$1::timestamptz",
            "Timestamptz",
            "alloc::string::String",
        ),
        (
            "datetime:1",
            "$1::timestamptz",
            "Timestamptz",
            "chrono::naive::datetime::NaiveDateTime",
        ),
        (
            "timestamp:1",
            "$1::timestamp",
            "Timestamp",
            "chrono::datetime::DateTime<chrono::offset::utc::Utc>",
        ),
    ] {
        let seen = query(&tested, &address, &format!("select {sql} as v"), &[param]).await;
        let expected = format!(
            r#"PgError(Error::QueryFailed(QueryError::Text("Error {{ kind: ToSql(0), cause: Some(WrongType {{ postgres: {pg}, rust: \"{rust}\" }}) }}")))"#
        );
        assert_eq!(seen, expected, "{param} {sql}");
    }
}

#[tokio::test]
async fn values_that_are_none_of_their_type() {
    let (tested, address) = tested_with_database(|_| {}).await;
    for (param, text) in [
        ("date:31", "invalid date y=2026, m=2, d=31"),
        ("time:61", "invalid time 13:14:61:123456000"),
        ("uuid:x", "invalid UUID x"),
        ("jsonb:{", "invalid JSON {"),
        ("decimal:x", "invalid decimal x"),
        (
            "timestamp:9223372036854775807",
            "invalid epoch timestamp 9223372036854775807",
        ),
    ] {
        let seen = query(&tested, &address, "select $1", &[param]).await;
        assert!(seen.contains(&format!("BadParameter(\"{text}")), "{param}: {seen}");
        let headers = [("address", address.as_str()), ("sql", "select $1"), ("param", param)];
        let seen = tested.ok("/execute", &headers).await;
        assert!(
            seen.contains(&format!("ValueConversionFailed(\"{text}")),
            "{param}: {seen}"
        );
    }
}

#[tokio::test]
async fn an_empty_result_has_no_columns() {
    let (tested, address) = tested_with_database(|_| {}).await;
    assert_eq!(query(&tested, &address, "select 1 as v where false", &[]).await, "[]");
}

#[tokio::test]
async fn timestamptz_cannot_be_read() {
    let (tested, address) = tested_with_database(|_| {}).await;
    for value in ["timestamptz '2026-02-03 04:05:06+00'", "null::timestamptz"] {
        let seen = query(&tested, &address, &format!("select 1 as n, {value} as v"), &[]).await;
        let (columns, outcome) = seen.split_once('\n').unwrap();
        assert_eq!(columns, "[n DbDataType::Int32, v DbDataType::Datetime]");
        assert_eq!(
            outcome,
            "failed after 0 rows: Error::QueryFailed(QueryError::Text(\"error deserializing column 1\\n\\nCaused by:\\n    \
             cannot convert between the Rust type `core::option::Option<chrono::naive::datetime::NaiveDateTime>` \
             and the Postgres type `timestamptz`\"))"
        );
    }
}

#[tokio::test]
async fn database_errors() {
    let (tested, address) = tested_with_database(|_| {}).await;
    let seen = query(&tested, &address, "selec 1", &[]).await;
    assert!(
        seen.starts_with("PgError(Error::QueryFailed(QueryError::DbError(DbError { as-text: "),
        "{seen}"
    );
    for part in [
        r#"severity: "ERROR", code: "42601""#,
        r#"message: "syntax error at or near \"selec\"", detail: None"#,
        r#"("routine", "scanner_yyerror")"#,
        r#"("file", "scan.l")"#,
    ] {
        assert!(seen.contains(part), "{part}: {seen}");
    }
    let sql = "select 10 / (5 - n) from generate_series(1, 9) n";
    let seen = query(&tested, &address, sql, &[]).await;
    assert!(seen.contains("failed after 4 rows") && seen.contains("22012"), "{seen}");
    let seen = query(
        &tested,
        &address,
        "select 10 / (1 - n) from generate_series(1, 9) n",
        &[],
    )
    .await;
    assert!(seen.starts_with("PgError") && seen.contains("22012"), "{seen}");
}

#[tokio::test]
async fn execute_counts() {
    let (tested, address) = tested_with_database(|_| {}).await;
    for (sql, result) in [
        ("create table counted (n int4 unique)", "Ok(0)"),
        ("insert into counted select generate_series(1, 5)", "Ok(5)"),
        ("update counted set n = n + 10 where n > 3", "Ok(2)"),
    ] {
        assert_eq!(
            tested.ok("/execute", &[("address", &address), ("sql", sql)]).await,
            result,
            "{sql}"
        );
    }
    let again = [("address", address.as_str()), ("sql", "insert into counted values (1)")];
    let seen = tested.ok("/execute", &again).await;
    for part in [
        r#"code: "23505""#,
        "(n)=(1) already exists",
        r#"("constraint", "counted_n_key")"#,
    ] {
        assert!(seen.contains(part), "{part}: {seen}");
    }
}

#[tokio::test]
async fn the_blocking_functions_do_the_same() {
    let (tested, address) = tested_with_database(|_| {}).await;
    let run = async |sql: &str| tested.ok("/query-sync", &[("address", &address), ("sql", sql)]).await;
    assert_eq!(
        run("select 1 as n union all select 2").await,
        "[n DbDataType::Int32]\n[DbValue::Int32(1)]\n[DbValue::Int32(2)]"
    );
    assert_eq!(run("select 1 where false").await, "[]");
    assert!(run("selec").await.contains("42601"));
    assert!(run("select now()").await.contains("NaiveDateTime"));
    let seen = run("select repeat('x', 1 << 20) from generate_series(1, 200)").await;
    assert_eq!(
        seen,
        "Error::QueryFailed(QueryError::Text(\"query result exceeds limit of 134217728 bytes\"))"
    );
}

#[tokio::test]
async fn rows_arrive_while_the_query_runs() {
    let (tested, address) = tested_with_database(|_| {}).await;
    let headers = [
        ("address", address.as_str()),
        (
            "sql",
            "select n, pg_sleep(case when n > 1000 then 5 else 0 end) from generate_series(1, 1001) n",
        ),
        ("count", "3"),
    ];
    let started = Instant::now();
    assert_eq!(tested.ok("/query-first", &headers).await, "3 rows");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test]
async fn ten_thousand_rows() {
    let (tested, address) = tested_with_database(|_| {}).await;
    let headers = [
        ("address", address.as_str()),
        ("sql", "select n from generate_series(1, 10000) n"),
        ("count", "10000"),
    ];
    assert_eq!(tested.ok("/query-first", &headers).await, "10000 rows");
}
