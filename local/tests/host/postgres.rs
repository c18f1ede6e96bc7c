//! Connections through `spin:postgres`: who may connect where, the pool, and what the end of an instance leaves.

use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::queries::query;
use crate::support::{environment, eventually, tested, tested_with, tested_with_database};

#[tokio::test]
async fn addresses_that_are_refused() {
    let tested = tested();
    for (address, error) in [
        (
            "postgres://u:p@127.0.0.1:5433/d",
            "address postgres://127.0.0.1:5433 is not permitted",
        ),
        (
            "postgres://u:p@localhost:5432/d",
            "address postgres://localhost:5432 is not permitted",
        ),
        (
            "postgres://u:p@elsewhere/d",
            "address postgres://elsewhere:5432 is not permitted",
        ),
        (
            "postgres://u:p@127.0.0.1,elsewhere/d",
            "address postgres://elsewhere:5432 is not permitted",
        ),
        ("host=/tmp user=u", "Unix sockets are not supported on WebAssembly"),
        ("mysql://127.0.0.1", "invalid connection string"),
        (
            "postgres://127.0.0.1/d?sslmode=verify-full",
            "invalid connection string",
        ),
    ] {
        for path in ["/open", "/builder", "/query-sync"] {
            let seen = tested.ok(path, &[("address", address), ("sql", "select 1")]).await;
            assert!(
                seen.contains("ConnectionFailed") && seen.contains(error),
                "{path} {address}: {seen}"
            );
        }
    }
    let seen = tested
        .ok("/again/open", &[("address", "postgres://127.0.0.1:5432/d")])
        .await;
    assert!(seen.contains("is not permitted"), "{seen}");
}

#[tokio::test]
async fn connections_that_fail() {
    let (tested, address) = tested_with_database(|_| {}).await;
    for (address, error) in [
        (
            address.replace("planexe:planexe@", "planexe:wrong@"),
            "password authentication failed",
        ),
        (address.replace("/host_tests", "/no_such_database"), "does not exist"),
        (format!("{address}?sslmode=require"), "TLS"),
    ] {
        let seen = tested.ok("/open", &[("address", &address)]).await;
        assert!(
            seen.contains("ConnectionFailed") && seen.contains(error),
            "{address}: {seen}"
        );
    }
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let tested = tested_with(|options| {
        options
            .variables
            .insert("database_port".to_owned(), closed.port().to_string());
    });
    let seen = tested
        .ok("/open", &[("address", &format!("postgres://u:p@{closed}/d"))])
        .await;
    assert!(
        seen.contains("ConnectionFailed") && seen.contains("Connection refused"),
        "{seen}"
    );
}

#[tokio::test]
async fn a_variable_without_value_closes_the_database_too() {
    let (tested, address) = tested_with_database(|options| options.environment = environment(&[])).await;
    let seen = tested.ok("/open", &[("address", &address)]).await;
    assert_eq!(
        seen,
        r#"Err(PgError(Error::Other("provider error: no provider resolved required variable \"api_key\"")))"#
    );
}

#[tokio::test]
async fn a_connection_is_kept_and_reset() {
    let (tested, address) = tested_with_database(|_| {}).await;
    let pid = query(&tested, &address, "select pg_backend_pid() as v", &[]).await;
    tested
        .ok(
            "/execute",
            &[("address", &address), ("sql", "set application_name = 'changed'")],
        )
        .await;
    let name = query(
        &tested,
        &address,
        "select current_setting('application_name') as v",
        &[],
    )
    .await;
    assert!(name.ends_with("Str(\"\")]"), "{name}");
    assert_eq!(query(&tested, &address, "select pg_backend_pid() as v", &[]).await, pid);
    let stats = tested.stats();
    assert_eq!((stats.postgres_in_use, stats.postgres_idle), (0, 1));
    // Another address string is another pool, even for the same server.
    query(&tested, &format!("{address}?connect_timeout=3"), "select 1", &[]).await;
    assert_eq!(tested.stats().postgres_idle, 2);
}

#[tokio::test]
async fn who_finds_the_pool_empty_waits() {
    let (tested, address) = tested_with_database(|options| options.postgres_pool_size = 2).await;
    tested.ok("/plain", &[]).await;
    let started = Instant::now();
    let hold = [("address", address.as_str()), ("sql", "select 1"), ("ms", "300")];
    let answers = join_all((0..4).map(|_| tested.ok("/hold", &hold))).await;
    assert!(answers.iter().all(|answer| answer == "Ok(1)"), "{answers:?}");
    assert!(
        started.elapsed() >= Duration::from_millis(600),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(tested.stats().postgres_idle, 2);
}

#[tokio::test]
async fn a_connection_whose_rows_were_dropped_is_busy() {
    let (tested, address) = tested_with_database(|options| options.postgres_pool_size = 1).await;
    let headers = [
        ("address", address.as_str()),
        (
            "sql",
            "select n, repeat('x', 2000), case when n = 2000 then pg_sleep(1) end from generate_series(1, 2000) n",
        ),
        ("count", "1"),
    ];
    assert_eq!(tested.ok("/query-first", &headers).await, "1 rows");
    let started = Instant::now();
    query(&tested, &address, "select 1", &[]).await;
    assert!(
        started.elapsed() >= Duration::from_millis(500),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn asking_for_the_outcome_of_dropped_rows_is_a_trap() {
    let (tested, address) = tested_with_database(|_| {}).await;
    let headers = [
        ("address", address.as_str()),
        ("sql", "select generate_series(1, 100000)"),
    ];
    assert_eq!(tested.get("/query-drop", &headers).await.0, 500);
    eventually("the trap is counted", || tested.stats().traps == 1).await;
}

#[tokio::test]
async fn a_trap_gives_the_connection_back_without_rollback() {
    let (tested, address) = tested_with_database(|options| options.postgres_pool_size = 1).await;
    let hold = [("address", address.as_str()), ("sql", "begin"), ("ms", "5000")];
    let held = tested.get("/hold", &hold);
    let trap = async {
        eventually("a connection in use", || tested.stats().postgres_in_use == 1).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        tested.get("/trap", &[]).await
    };
    let ((held, _), (trapped, _)) = futures::join!(held, trap);
    assert_eq!((held, trapped), (500.try_into().unwrap(), 500.try_into().unwrap()));
    let sql = "select now() = statement_timestamp() as v";
    let seen = query(&tested, &address, sql, &[]).await;
    assert!(
        seen.ends_with("Boolean(false)]"),
        "the transaction is still open: {seen}"
    );
}

#[tokio::test]
async fn a_server_that_comes_back() {
    let (tested, address) = tested_with_database(|_| {}).await;
    let kill = "select pg_terminate_backend(pg_backend_pid())";
    let seen = query(&tested, &address, kill, &[]).await;
    assert!(seen.contains("57P01") || seen.contains("Closed"), "{seen}");
    assert!(
        query(&tested, &address, "select 1 as v", &[])
            .await
            .ends_with("Int32(1)]")
    );
}
