//! A database that fails: every route answers in time and with the right error, and works again without a restart when it
//! is back. The faults are data: a row is a fault, what causes it and what ends it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use http::Method;
use planexe_local::cluster::Cluster;
use serde_json::{Value, json};

use crate::support::{
    ANSWERED, Faults, Proxy, Stage, Subject, connect, each_row, is_skipped_on, own_cluster, request, run, tool_call,
    zips,
};

/// Why there is no answer on WASI 0.2.
pub const WAITED_FOR: &str = "a Postgres that takes its time is waited for";

/// Something that happens to the database.
#[derive(Debug, Clone, Copy)]
enum DatabaseFault {
    Frozen,
    Killed,
    Restarted,
    Cut,
    Slow,
    Throttled,
    AnswersCut,
    LockedTable,
    FullOfClients,
}

/// An application with a database that can fail.
struct Setup {
    stage: Stage,
    cluster: &'static Cluster,
    proxy: Proxy,
    /// Connections that take all places.
    crowd: Vec<tokio_postgres::Client>,
    locker: Option<tokio_postgres::Client>,
}

impl Setup {
    async fn new() -> Self {
        let cluster = own_cluster(&[("max_connections", "40"), ("superuser_reserved_connections", "3")]).await;
        let proxy = Proxy::to(cluster.port()).await;
        let stage = Stage::builder()
            .with_users()
            .set("PLANEXE_MCP_REPEAT_WINDOW_SECONDS", "60")
            .set("PLANEXE_POSTGRES_PORT", &proxy.port())
            .on(cluster)
            .await;
        Self {
            stage,
            cluster,
            proxy,
            crowd: Vec::new(),
            locker: None,
        }
    }

    async fn inject(&mut self, fault: DatabaseFault) {
        match fault {
            DatabaseFault::Frozen => self.cluster.freeze(),
            DatabaseFault::Killed => self.cluster.kill(),
            DatabaseFault::Restarted => self.cluster.restart().await.expect("Postgres starts again"),
            DatabaseFault::Cut => self.proxy.cut(),
            DatabaseFault::Slow => self.proxy.inject(Faults {
                delay: Duration::from_secs(5),
                ..Faults::NONE
            }),
            DatabaseFault::Throttled => self.proxy.inject(Faults {
                delay: Duration::from_millis(50),
                piece: 8,
                ..Faults::NONE
            }),
            DatabaseFault::AnswersCut => {
                self.proxy.cut();
                self.proxy.inject(Faults {
                    cut_after: 600,
                    ..Faults::NONE
                });
            }
            DatabaseFault::LockedTable => {
                let locker = connect(&self.stage.url).await.expect("a connection");
                let lock = self
                    .stage
                    .schema()
                    .sql("BEGIN; LOCK TABLE task_item IN ACCESS EXCLUSIVE MODE");
                locker.batch_execute(&lock).await.expect("a lock");
                self.locker = Some(locker);
            }
            DatabaseFault::FullOfClients => {
                self.proxy.cut();
                // The component's own connections leave their places first.
                tokio::time::sleep(Duration::from_millis(300)).await;
                while let Some(client) = connect(&self.stage.url).await {
                    self.crowd.push(client);
                }
                assert!(!self.crowd.is_empty());
            }
        }
    }

    async fn end(&mut self, fault: DatabaseFault) {
        self.proxy.inject(Faults::NONE);
        self.crowd.clear();
        self.locker = None;
        match fault {
            DatabaseFault::Frozen => self.cluster.thaw(),
            DatabaseFault::Killed => self.cluster.restart().await.expect("Postgres starts again"),
            // Places and locks become free a moment after the connection has gone.
            DatabaseFault::FullOfClients | DatabaseFault::LockedTable => {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            DatabaseFault::Restarted
            | DatabaseFault::Cut
            | DatabaseFault::Slow
            | DatabaseFault::Throttled
            | DatabaseFault::AnswersCut => {}
        }
    }
}

/// A request, and what of its answer the table shows.
async fn ask(stage: &Stage, route: &str, key: &str, task: &str) -> (u16, String, Duration) {
    let begun = Instant::now();
    let answer = match route {
        "GET /download" => {
            let path = format!("/download/{task}/run.zip");
            stage
                .send(request(Method::GET, &path, &[("x-api-key", key)], Bytes::new()))
                .await
        }
        "GET /mcp/tools" => {
            stage
                .send(request(Method::GET, "/mcp/tools", &[("x-api-key", key)], Bytes::new()))
                .await
        }
        "GET /healthcheck?deep=1" => stage.get("/healthcheck?deep=1").await,
        "GET /healthcheck" => stage.get("/healthcheck").await,
        "task_create" => {
            let arguments = json!({ "prompt": "Plan under fire", "client_request_id": "fire" });
            stage.send(tool_call(key, route, &arguments)).await
        }
        tool => stage.send(tool_call(key, tool, &json!({ "task_id": task }))).await,
    };
    let took = begun.elapsed();
    let status = answer.status();
    if status == 503 {
        assert_eq!(answer.header("retry-after"), "5", "{route}");
    }
    let body: Value = serde_json::from_slice(answer.bytes()).unwrap_or(Value::Null);
    let content = &body["result"]["structuredContent"];
    let code = match (content["error"]["code"].as_str(), body["database"].as_str()) {
        (Some(code), _) => {
            assert_eq!(body["result"]["isError"], json!(true));
            if code == "DATABASE_UNAVAILABLE" {
                assert_eq!(content["error"]["details"]["retry_after_sec"], 5);
            }
            code.to_owned()
        }
        (None, Some(state)) => state.to_owned(),
        (None, None) if status == 503 => "503".to_owned(),
        (None, None) => "ok".to_owned(),
    };
    for secret in ["127.0.0.1", "SELECT", "planexe:", "postgres"] {
        assert!(!answer.text().contains(secret), "{route}: {}", answer.text());
    }
    (status, code, took)
}

const ROUTES: [&str; 8] = [
    "task_create",
    "task_status",
    "task_stop",
    "task_file_info",
    "GET /download",
    "GET /mcp/tools",
    "GET /healthcheck",
    "GET /healthcheck?deep=1",
];

#[test]
fn every_fault_of_the_database_is_answered_in_time_and_passes() {
    run(async {
        let mut setup = Setup::new().await;
        let user = setup.stage.user("ann", 50).await;
        let created = setup
            .stage
            .tool_as(&user.key, "task_create", json!({ "prompt": "p" }))
            .await;
        let task = created["task_id"].as_str().expect("an id").to_owned();
        let zip = zips::archive(&[zips::deflated("001-2-plan.txt", b"p")]);
        let complete = "UPDATE task_item SET state = 'completed', generated_report_html = 'r', run_zip_snapshot = $1";
        setup.stage.execute(complete, &[&zip]).await;
        println!("| fault | route | status | code | ms |");
        let faults = [
            (DatabaseFault::Frozen, false),
            (DatabaseFault::Killed, false),
            (DatabaseFault::Restarted, true),
            (DatabaseFault::Cut, true),
            (DatabaseFault::Slow, false),
            (DatabaseFault::Throttled, false),
            (DatabaseFault::AnswersCut, false),
            (DatabaseFault::LockedTable, false),
            (DatabaseFault::FullOfClients, false),
        ];
        each_row(faults, async |(fault, heals_itself)| {
            let waits = matches!(fault, DatabaseFault::Frozen | DatabaseFault::Slow);
            if waits && is_skipped_on(Subject::Wasi02, WAITED_FOR) {
                return;
            }
            setup.inject(fault).await;
            let stage = &setup.stage;
            let asked = join_all(ROUTES.map(|route| ask(stage, route, &user.key, &task))).await;
            setup.end(fault).await;
            let stage = &setup.stage;
            // The first request afterwards.
            let mut after = Vec::new();
            for route in ROUTES {
                after.push(ask(stage, route, &user.key, &task).await);
            }
            for (route, (status, code, took)) in ROUTES.into_iter().zip(asked) {
                println!("| {fault:?} | {route} | {status} | {code} | {} |", took.as_millis());
                assert!(took < ANSWERED, "{route} took {took:?}");
                let is_tool = route.starts_with("task_");
                match code.as_str() {
                    "ok" => assert_eq!(status, 200, "{route}"),
                    "DATABASE_UNAVAILABLE" => assert_eq!((is_tool, status), (true, 200), "{route}"),
                    _ => assert_eq!((is_tool, status), (false, 503), "{route}: {code}"),
                }
                let untouched = route == "GET /healthcheck" || heals_itself;
                assert!(!untouched || code == "ok", "{route}: {code}");
            }
            for (route, (status, code, took)) in ROUTES.into_iter().zip(after) {
                let answer = (status, code.as_str());
                assert_eq!(answer, (200, "ok"), "afterwards: {route} in {took:?}: {}", stage.log());
            }
            let again = connect(&stage.url).await.expect("a connection");
            let count = "SELECT count(*), (SELECT coalesce(-sum(delta), 0)::int8 FROM credit_history) FROM task_item";
            let row = again.query_one(&stage.schema().sql(count), &[]).await.expect("counts");
            let counts: (i64, i64) = (row.get(0), row.get(1));
            assert_eq!(counts, (2, stage.charge(2)), "one task for one request id");
        })
        .await;
    });
}

#[test]
fn a_pool_without_a_free_connection_does_not_hold_callers_up() {
    if is_skipped_on(Subject::Wasi02, WAITED_FOR) {
        return;
    }
    run(async {
        let mut setup = Setup::new().await;
        let task = "00000000-0000-4000-8000-000000000000";
        let user = setup.stage.user("ann", 50).await;
        let other = own_cluster(&[]).await;
        let stage = Stage::builder().on(other).await;
        setup.inject(DatabaseFault::Frozen).await;
        other.freeze();
        // More than Spin's pool has.
        for (stage, key) in [(&setup.stage, user.key.as_str()), (&stage, "secret")] {
            let answers = join_all((0..65).map(|_| ask(stage, "task_status", key, task))).await;
            for (status, code, took) in answers {
                assert_eq!((status, code.as_str()), (200, "DATABASE_UNAVAILABLE"));
                assert!(took < ANSWERED, "{took:?}");
            }
        }
        setup.cluster.thaw();
        other.thaw();
        for (stage, key) in [(&setup.stage, user.key.as_str()), (&stage, "secret")] {
            let (status, code, _) = ask(stage, "task_status", key, task).await;
            assert_eq!((status, code.as_str()), (200, "TASK_NOT_FOUND"));
        }
    });
}

#[test]
fn three_retries_over_a_connection_that_drops_the_answer_are_one_task() {
    run(async {
        let cluster = own_cluster(&[]).await;
        for arguments in [
            json!({ "prompt": "p", "client_request_id": "order-7" }),
            json!({ "prompt": "the same prompt, within the window" }),
        ] {
            let proxy = Proxy::to(cluster.port()).await;
            let stage = Stage::builder()
                .with_users()
                .set("PLANEXE_MCP_REPEAT_WINDOW_SECONDS", "60")
                .set("PLANEXE_POSTGRES_PORT", &proxy.port())
                .on(cluster)
                .await;
            let user = stage.user("ann", 5).await;
            // As many bytes as pass before the answer to the statement: it is executed, and its answer is lost.
            let mut executed = 0;
            for cut_after in (300..1_100).step_by(20) {
                proxy.cut();
                proxy.inject(Faults {
                    cut_after,
                    ..Faults::NONE
                });
                for _ in 0..3 {
                    let answer = stage.tool_as(&user.key, "task_create", arguments.clone()).await;
                    if answer["error"]["code"] == "DATABASE_UNAVAILABLE" && stage.count("task_item").await == 1 {
                        executed += 1;
                        let unknown = &answer["error"]["details"]["outcome_unknown"];
                        assert!(unknown == true || executed > 1, "{answer}");
                    }
                }
            }
            assert!(executed > 0, "no answer was ever dropped");
            proxy.inject(Faults::NONE);
            let last = stage.tool_as(&user.key, "task_create", arguments.clone()).await;
            assert_eq!(
                (&last["repeated"], &last["credits_balance"]),
                (&json!(true), &json!(5 - stage.charge(1))),
                "{last}"
            );
            assert_eq!(stage.count("task_item").await, 1);
            assert_eq!(stage.balance(&user).await, 5 - stage.charge(1));
            stage.assert_books_balance(1).await;
        }
    });
}
