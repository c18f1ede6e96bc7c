//! Settings that are blank, padded, wrong or out of reach: what still works, what is refused, and what the log says.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::support::{
    ANSWERED, Answer, Stage, Subject, each_row, eventually, http_double, is_skipped_on, project, request, run, run_for,
    tool_call, variables,
};

/// Settings of which a test needs its own values to have a database and a worker.
const OF_THE_STAGE: [&str; 4] = ["postgres_host", "postgres_port", "postgres_db", "worker_plan_url"];

fn environment_name(variable: &str) -> String {
    match variable {
        "sqlalchemy_database_uri" => "SPIN_VARIABLE_SQLALCHEMY_DATABASE_URI".to_owned(),
        variable => format!("PLANEXE_{}", variable.to_uppercase()),
    }
}

async fn post(stage: &Stage, headers: &[(&str, &str)], body: Bytes) -> Answer {
    let headers = [&[("content-type", "application/json")], headers].concat();
    stage.send(request(Method::POST, "/mcp", &headers, body)).await
}

fn ping() -> Bytes {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })
        .to_string()
        .into()
}

async fn log_names(stage: &Stage, setting: &str) {
    eventually(&format!("the log names {setting}"), async || {
        stage.log().contains(setting)
    })
    .await;
}

#[test]
fn a_blank_setting_is_its_default() {
    run(async {
        each_row(["", " \t "], async |blank| {
            let mut builder = Stage::builder();
            for variable in variables().keys() {
                if !OF_THE_STAGE.contains(&variable.as_str()) {
                    builder = builder.set(&environment_name(variable), blank);
                }
            }
            let stage = builder.build().await;
            let health = stage.get("/healthcheck").await;
            assert_eq!(
                (health.status(), &health.json()["api_key_configured"]),
                (200, &json!(false))
            );
            assert_eq!(post(&stage, &[], ping()).await.status(), 200);
            for (origin, status) in [("http://localhost:6274", 200), ("http://evil.example", 403)] {
                assert_eq!(post(&stage, &[("origin", origin)], ping()).await.status(), status);
            }
            let large = post(&stage, &[], vec![b' '; 1_048_577].into()).await;
            assert_eq!(large.status(), 413);
            assert!(large.text().contains("1048576 bytes"), "{}", large.text());
            // Price and salt: the key is one under PlanExe's own default salt.
            let user = stage.user("ann", 5).await;
            let create = json!({ "prompt": "p", "user_api_key": user.key });
            let created = stage.tool("task_create", create.clone()).await;
            assert_eq!(created["credits_balance"], 5 - stage.charge(1), "{created}");
            assert_eq!(stage.tool("task_create", create).await["repeated"], true, "the window");
            let deep = stage.get("/healthcheck?deep=1").await;
            assert_eq!(deep.status(), 200, "user and password of the database: {}", deep.text());
            let info = json!({ "task_id": created["task_id"] });
            assert_eq!(stage.tool("task_status", info).await["state"], "pending");
            assert!(!stage.log().contains("\"level\":\"error\""), "{}", stage.log());
        })
        .await;
        let stage = Stage::builder().set("PLANEXE_POSTGRES_DB", " ").build().await;
        stage.get("/healthcheck?deep=1").await;
        log_names(&stage, "database \\\"planexe\\\" does not exist").await;
    });
}

#[test]
fn spaces_around_a_setting_are_dropped() {
    run(async {
        let mut builder = Stage::builder();
        for (name, value) in [
            ("PLANEXE_MCP_API_KEY", "secret"),
            ("PLANEXE_MCP_PUBLIC_BASE_URL", "https://plans.example/base/"),
            ("PLANEXE_MCP_CORS_ORIGINS", "https://a.example , https://b.example"),
            ("PLANEXE_MCP_MAX_BODY_BYTES", "1000"),
            ("PLANEXE_MCP_DOWNLOAD_SECRET", "links"),
            ("PLANEXE_MCP_REQUIRE_USER_KEY", "True"),
            ("PLANEXE_MCP_REPEAT_WINDOW_SECONDS", "60"),
            ("PLANEXE_CREDITS_PER_PLAN", "3"),
            ("PLANEXE_POSTGRES_USER", "planexe"),
        ] {
            builder = builder.set(name, &format!("  {value}\t\n"));
        }
        let stage = builder.working().build().await;
        for origin in ["https://a.example", "https://b.example:8443", "https://plans.example"] {
            let headers = [("origin", origin), ("x-api-key", "secret")];
            assert_eq!(post(&stage, &headers, ping()).await.status(), 200, "{origin}");
        }
        let headers = [("x-api-key", "secret")];
        assert_eq!(post(&stage, &headers, vec![b' '; 1_001].into()).await.status(), 413);
        let user = stage.user("ann", 5).await;
        let create = || stage.tool_as(&user.key, "task_create", json!({ "prompt": "p" }));
        let created = create().await;
        assert_eq!(created["credits_balance"], 5 - stage.charge(3), "{created}");
        assert_eq!(create().await["repeated"], true);
        let id = created["task_id"].as_str().expect("an id").to_owned();
        stage.wait_for(&id, &["completed"]).await;
        let info = stage.tool("task_file_info", json!({ "task_id": id })).await;
        let link = info["download_url"].as_str().expect("a link");
        let path = link.strip_prefix("https://plans.example/base").expect("the base URL");
        assert_eq!(stage.get(path).await.status(), 200);
        // PlanExe's web frontend hashes with the spaces, and a password may have some.
        let stage = Stage::builder()
            .with_users()
            .set("PLANEXE_API_KEY_SECRET", " dev-api-key-secret")
            .build()
            .await;
        let user = stage.user("ann", 5).await;
        let answer = stage
            .send(tool_call(&user.key, "task_create", &json!({ "prompt": "p" })))
            .await;
        assert_eq!(answer.status(), 403, "another salt");
    });
}

#[test]
fn a_wrong_limit_is_the_default_and_named_in_the_log() {
    run(async {
        each_row(["1 MB", "-1", "1e6", "18446744073709551616"], async |value| {
            let stage = Stage::builder().set("PLANEXE_MCP_MAX_BODY_BYTES", value).build().await;
            assert_eq!(post(&stage, &[], ping()).await.status(), 200, "{value}");
            let large = post(&stage, &[], vec![b' '; 1_048_577].into()).await;
            assert_eq!(large.status(), 413, "{value}");
            assert_eq!(stage.get("/healthcheck").await.status(), 200, "{value}");
            log_names(&stage, "PLANEXE_MCP_MAX_BODY_BYTES must be a whole number").await;
        })
        .await;
    });
}

/// A call of `task_create`: its HTTP status, and the code of its error.
async fn create(stage: &Stage, key: &str, more: Value) -> (u16, Value) {
    let mut arguments = more;
    arguments["prompt"] = json!("p");
    let answer = stage.send(tool_call(key, "task_create", &arguments)).await;
    let body: Value = serde_json::from_slice(answer.bytes()).unwrap_or_default();
    let code = body["result"]["structuredContent"]["error"]["code"].clone();
    if answer.status() == 503 && code.is_null() {
        let detail = body["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("misconfigured") && detail.contains("log"), "{body}");
    }
    (answer.status(), code)
}

#[test]
fn a_wrong_setting_refuses_the_calls_that_depend_on_it() {
    const REFUSED: &str = "SERVER_MISCONFIGURED";
    run(async {
        each_row(
            [
                ("PLANEXE_CREDITS_PER_PLAN", &["one", "-1", "1.5", "3000000000"][..]),
                ("PLANEXE_MCP_REPEAT_WINDOW_SECONDS", &["soon", "-1", "604801"]),
            ],
            async |(name, values)| {
                for value in values {
                    let stage = Stage::builder().with_key().set(name, value).build().await;
                    let user = stage.user("ann", 5).await;
                    let with_id = json!({ "client_request_id": "a" });
                    let by_user = json!({ "user_api_key": user.key });
                    let by_user_with_id = json!({ "user_api_key": user.key, "client_request_id": "a" });
                    for more in [json!({}), with_id, by_user, by_user_with_id] {
                        let refused = create(&stage, "secret", more.clone()).await;
                        assert_eq!(refused, (503, json!(REFUSED)), "{name}={value}: {more}");
                    }
                    assert_eq!(stage.count("task_item").await, 0);
                    assert_eq!(stage.get("/healthcheck").await.status(), 200);
                    log_names(&stage, name).await;
                }
            },
        )
        .await;
        // With an API key, only its holder is known without the setting.
        let stage = Stage::builder()
            .with_key()
            .set("PLANEXE_MCP_REQUIRE_USER_KEY", "maybe")
            .build()
            .await;
        assert_eq!(create(&stage, "secret", json!({})).await, (503, json!(REFUSED)));
        assert_eq!(create(&stage, "pex_ann", json!({})).await, (503, Value::Null));
        let closed = Stage::builder()
            .with_key()
            .set("PLANEXE_MCP_OPEN_LISTS", "maybe")
            .build()
            .await;
        assert_eq!(post(&closed, &[], ping()).await.status(), 503);
        assert_eq!(post(&closed, &[("x-api-key", "secret")], ping()).await.status(), 200);
        assert_eq!(closed.get("/healthcheck").await.status(), 200);
        log_names(&closed, "PLANEXE_MCP_OPEN_LISTS must be true or false").await;
        assert_eq!(
            stage.tool("task_status", json!({ "task_id": "x" })).await["error"]["code"],
            "TASK_NOT_FOUND"
        );
        let stage = Stage::builder()
            .set("PLANEXE_MCP_REQUIRE_USER_KEY", "maybe")
            .build()
            .await;
        assert_eq!(create(&stage, "pex_ann", json!({})).await, (503, Value::Null));
        assert_eq!(stage.get("/healthcheck").await.status(), 200);
        log_names(&stage, "PLANEXE_MCP_REQUIRE_USER_KEY must be true or false").await;
        let stage = Stage::builder()
            .set("SPIN_VARIABLE_SQLALCHEMY_DATABASE_URI", "mysql://h/d")
            .build()
            .await;
        assert_eq!(create(&stage, "secret", json!({})).await, (503, json!(REFUSED)));
        assert_eq!(stage.get("/healthcheck").await.status(), 200);
        log_names(&stage, "SQLALCHEMY_DATABASE_URI is no postgresql:// address").await;
    });
}

#[test]
fn a_setting_that_cannot_be_resolved_counts_as_wrong() {
    const DATABASE: [&str; 6] = [
        "sqlalchemy_database_uri",
        "postgres_host",
        "postgres_port",
        "postgres_db",
        "postgres_user",
        "postgres_password",
    ];
    run(async {
        each_row(variables().into_keys(), async |variable| {
            let setting = environment_name(&variable);
            let mut builder = Stage::builder().with_users();
            builder.settings.insert(setting.clone(), OsString::from_vec(vec![0xFF]));
            let stage = builder.build().await;
            let user = stage.user("ann", 5).await;
            // The host reads all variables before it lets the component reach the database: one failure fails them all.
            let unreached = (200, json!("INTERNAL_ERROR"));
            let refused = (503, json!("SERVER_MISCONFIGURED"));
            let shut = (503, Value::Null);
            let health = stage.get("/healthcheck").await;
            let configured = &health.json()["api_key_configured"];
            assert_eq!((health.status(), configured), (200, &json!(true)));
            // Whether it is a user's key, and what an unknown caller may see, cannot be known without the first four, nor
            // without the database.
            let expected = match variable.as_str() {
                "mcp_api_key" | "mcp_require_user_key" | "mcp_open_lists" | "api_key_secret" => &shut,
                name if DATABASE.contains(&name) => &shut,
                _ => &unreached,
            };
            assert_eq!(create(&stage, &user.key, json!({})).await, *expected);
            let by_operator = create(&stage, "secret", json!({ "user_api_key": user.key })).await;
            let expected = match variable.as_str() {
                "mcp_api_key" => &shut,
                "mcp_repeat_window_seconds" | "credits_per_plan" | "api_key_secret" => &refused,
                name if DATABASE.contains(&name) => &refused,
                _ => &unreached,
            };
            assert_eq!(by_operator, *expected);
            if by_operator != unreached || variable == "mcp_max_body_bytes" {
                log_names(&stage, &setting.replace("SPIN_VARIABLE_", "")).await;
            }
            let page = [("origin", "http://localhost"), ("x-api-key", "secret")];
            for (headers, needs) in [
                (&[][..], &["mcp_api_key", "mcp_open_lists", "mcp_require_auth"][..]),
                (&page[1..], &["mcp_api_key"]),
                (&page[..], &["mcp_api_key", "mcp_cors_origins"]),
            ] {
                let status = if needs.contains(&variable.as_str()) { 503 } else { 200 };
                assert_eq!(post(&stage, headers, ping()).await.status(), status, "{headers:?}");
            }
            let link = "/download/5e2b2a7c-8b49-4d2f-9b8f-6a3c1f05b9a1/run.zip?expires=1&signature=x";
            let needs = [
                "mcp_api_key",
                "mcp_require_auth",
                "mcp_download_secret",
                "download_token_secret",
            ];
            let status = if needs.contains(&variable.as_str()) { 503 } else { 403 };
            assert_eq!(stage.get(link).await.status(), status);
        })
        .await;
    });
}

/// A runtime configuration with a Vault that never answers about these variables, and does not have the others.
async fn hanging_vault(variables: &'static [&'static str]) -> PathBuf {
    let hangs = |path: &str| variables.iter().any(|name| path.ends_with(&format!("/{name}")));
    let vault = http_double(move |path| (!hangs(path)).then(|| (404, b"{\"errors\":[]}".to_vec()))).await;
    let config = format!(
        "[[variables_provider]]\ntype = \"vault\"\nurl = \"{vault}\"\ntoken = \"t\"\nmount = \"secret\"\n\
         [[variables_provider]]\ntype = \"env\"\nprefix = \"PLANEXE\"\n"
    );
    let file = project().join(format!("target/test-vault-{}.toml", variables.len()));
    std::fs::write(&file, config).expect("a writable folder");
    file
}

#[test]
fn a_setting_that_does_not_come_is_waited_for_two_seconds() {
    let reason = "its variables come from the environment, which always answers";
    if is_skipped_on(Subject::LocalHost, reason)
        || is_skipped_on(Subject::Wasi02, "the host waits for its provider and does nothing else")
    {
        return;
    }
    // Spin makes an HTTP client for each variable.
    run_for(Duration::from_secs(300), async {
        let rows = [
            (&["mcp_max_body_bytes"][..], (200, json!("DATABASE_UNAVAILABLE"))),
            (&["credits_per_plan"], (503, json!("SERVER_MISCONFIGURED"))),
            (
                &[
                    "mcp_api_key",
                    "mcp_cors_origins",
                    "mcp_max_body_bytes",
                    "mcp_open_lists",
                ],
                (503, Value::Null),
            ),
        ];
        each_row(rows, async |(variables, expected)| {
            let config = hanging_vault(variables).await;
            let mut builder = Stage::builder().with_users();
            builder.runtime_config = config;
            let stage = builder.build().await;
            let user = stage.user("ann", 5).await;
            let begun = Instant::now();
            assert_eq!(stage.get("/healthcheck").await.status(), 200);
            let by_operator = create(&stage, "secret", json!({ "user_api_key": user.key })).await;
            assert_eq!(by_operator, expected);
            let took = begun.elapsed();
            assert!(took < ANSWERED, "{took:?}");
            log_names(&stage, "was not resolved within 2 seconds").await;
        })
        .await;
    });
}
