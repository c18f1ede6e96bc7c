//! `task_create`: what stands in the database afterwards, column by column, and what refuses to create.

use serde_json::{Value, json};

use crate::support::{Schema, Stage, each_row, run};

/// The parameters of a plan with this detail, and its owner without a user's key. Today's workers read more of them.
fn stored(stage: &Stage, detail: &str) -> (Value, &'static str) {
    let parameters = json!({ "speed_vs_detail": detail });
    if stage.schema() == Schema::February {
        return (parameters, "mcp_user");
    }
    let mut todays = json!({ "model_profile": "baseline", "trigger_source": "mcp task_create", "pipeline_version": 2 });
    todays["speed_vs_detail"] = parameters["speed_vs_detail"].clone();
    (todays, "admin")
}

#[test]
fn a_task_has_every_column_that_workers_read() {
    run(async {
        let stage = Stage::builder().build().await;
        let created = stage
            .tool(
                "task_create",
                json!({ "prompt": "Open a bakery in Lyon", "speed_vs_detail": "all" }),
            )
            .await;
        let id = created["task_id"].as_str().expect("an id");
        let rows = stage
            .rows(
                "SELECT id, state, prompt, progress_percentage, progress_message, stop_requested, \
                 stop_requested_timestamp, user_id, parameters, generated_report_html, run_zip_snapshot, \
                 timestamp_created = last_seen_timestamp AS seen_at_creation, \
                 to_char(timestamp_created, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS created_at, \
                 abs(extract(epoch FROM timestamp_created - (now() AT TIME ZONE 'UTC'))) < 30 AS created_now \
                 FROM task_item",
            )
            .await;
        let (parameters, owner) = stored(&stage, "all_details_but_slow");
        let expected = json!([{
            "id": id,
            "state": "pending",
            "prompt": "Open a bakery in Lyon",
            "progress_percentage": 0.0,
            "progress_message": null,
            "stop_requested": false,
            "stop_requested_timestamp": null,
            "user_id": owner,
            "parameters": parameters,
            "generated_report_html": null,
            "run_zip_snapshot": null,
            "seen_at_creation": true,
            "created_at": created["created_at"],
            "created_now": true,
        }]);
        assert_eq!(rows, expected);
    });
}

#[test]
fn a_task_has_its_event() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("Open a bakery in Lyon").await;
        let rows = stage.rows("SELECT event_type, message, context FROM events").await;
        let (parameters, owner) = stored(&stage, "ping_llm");
        let mut context = json!({
            "task_handle": id,
            "prompt": "Open a bakery in Lyon",
            "user_id": owner,
            "config": { "speed_vs_detail": "ping" },
            "metadata": null,
            "parameters": parameters,
        });
        if stage.schema().has_plans() {
            (context["plan_id"], context["api_key_id"]) = (json!(id), Value::Null);
        } else {
            context["task_id"] = json!(id);
        }
        let message = "Enqueued task via MCP";
        let expected = json!([{ "event_type": "TASK_PENDING", "message": message, "context": context }]);
        assert_eq!(rows, expected);
    });
}

#[test]
fn each_detail_level_is_stored_under_its_name() {
    run(async {
        let stage = Stage::builder().build().await;
        each_row(
            [
                (json!({ "prompt": "p" }), "ping_llm"),
                (json!({ "prompt": "p", "speed_vs_detail": null }), "ping_llm"),
                (json!({ "prompt": "p", "speed_vs_detail": "ping" }), "ping_llm"),
                (
                    json!({ "prompt": "p", "speed_vs_detail": "fast" }),
                    "fast_but_skip_details",
                ),
                (
                    json!({ "prompt": "p", "speed_vs_detail": "all" }),
                    "all_details_but_slow",
                ),
            ],
            async |(given, stored)| {
                let created = stage.tool("task_create", given.clone()).await;
                let query = "SELECT parameters ->> 'speed_vs_detail' FROM task_item WHERE id = $1::text::uuid";
                let value = stage.value(query, &[&created["task_id"].as_str()]).await;
                assert_eq!(value.as_deref(), Some(stored), "{given}");
                let alias = given["speed_vs_detail"].as_str().unwrap_or("ping");
                let query = "SELECT context #>> '{config,speed_vs_detail}' FROM events";
                assert_eq!(stage.value(query, &[]).await.as_deref(), Some(alias), "{given}");
                stage.execute("DELETE FROM events", &[]).await;
                stage.execute("DELETE FROM task_item", &[]).await;
                stage.execute("DELETE FROM nonces", &[]).await;
            },
        )
        .await;
    });
}

#[test]
fn prompts_are_stored_as_they_are() {
    run(async {
        let stage = Stage::builder().build().await;
        each_row(
            [
                "'; DROP TABLE task_item; --",
                "Zürich — 東京 🚲 \u{2028}",
                "$1 {{ mcp_api_key }} %s \\x",
                "  padded\r\n",
            ],
            async |prompt| {
                let id = stage.create(prompt).await;
                let query = "SELECT prompt FROM task_item WHERE id = $1::text::uuid";
                assert_eq!(stage.value(query, &[&id]).await.as_deref(), Some(prompt));
            },
        )
        .await;
    });
}

#[test]
fn a_request_id_leads_to_the_first_task_for_ever() {
    run(async {
        let stage = Stage::builder().build().await;
        let arguments = json!({ "prompt": "Open a bakery", "client_request_id": "order-7" });
        let first = stage.tool("task_create", arguments.clone()).await;
        assert_eq!(first.get("repeated"), None);
        stage
            .execute(
                "UPDATE task_item SET timestamp_created = timestamp_created - interval '30 days'",
                &[],
            )
            .await;
        let second = stage.tool("task_create", arguments).await;
        assert_eq!(
            (&second["task_id"], &second["repeated"]),
            (&first["task_id"], &json!(true))
        );
        let other = stage
            .tool(
                "task_create",
                json!({ "prompt": "Open a bakery", "client_request_id": "order-8" }),
            )
            .await;
        assert_ne!(other["task_id"], first["task_id"]);
        assert_eq!(
            stage.rows("SELECT count(*) FROM task_item").await,
            json!([{ "count": 2 }])
        );
        assert_eq!(stage.rows("SELECT count(*) FROM events").await, json!([{ "count": 2 }]));
    });
}

#[test]
fn a_request_id_is_refused_for_another_plan() {
    run(async {
        let stage = Stage::builder().build().await;
        let first = json!({ "prompt": "SECRETPLAN", "speed_vs_detail": "fast", "client_request_id": "plan-1" });
        let created = stage.tool("task_create", first.clone()).await;
        each_row(
            [
                ("Open a café", "fast", "prompt differs", (false, true)),
                ("SECRETPLAN", "ping", "speed_vs_detail differs", (true, false)),
                (
                    "Open a café",
                    "all",
                    "prompt and speed_vs_detail differ",
                    (false, false),
                ),
            ],
            async |(prompt, detail, differs, same)| {
                let other = json!({ "prompt": prompt, "speed_vs_detail": detail, "client_request_id": "plan-1" });
                let answer = stage.tool("task_create", other).await;
                let error = &answer["error"];
                assert_eq!(error["code"], "CLIENT_REQUEST_ID_REUSED", "{answer}");
                let message = error["message"].as_str().expect("a message");
                assert!(message.contains(&format!(": {differs}.")), "{message}");
                assert!(message.contains("Choose a new client_request_id"), "{message}");
                assert_eq!(
                    error["details"],
                    json!({ "same_prompt": same.0, "same_speed_vs_detail": same.1 })
                );
                assert!(
                    !answer.to_string().contains("SECRETPLAN") || prompt == "SECRETPLAN",
                    "{answer}"
                );
                assert!(
                    !answer.to_string().contains(created["task_id"].as_str().expect("an id")),
                    "{answer}"
                );
            },
        )
        .await;
        assert_eq!(stage.count("task_item").await, 1);
        assert_eq!(stage.count("events").await, 1);
        let again = stage.tool("task_create", first).await;
        assert_eq!(
            (&again["task_id"], &again["repeated"]),
            (&created["task_id"], &json!(true))
        );
    });
}

#[test]
fn a_refused_request_id_costs_nothing() {
    run(async {
        let stage = Stage::builder().with_users().build().await;
        let (ann, bob) = (stage.user("ann", 5).await, stage.user("bob", 5).await);
        let create = |key: String, prompt: &str, id: &str| {
            let arguments = json!({ "prompt": prompt, "client_request_id": id });
            let stage = &stage;
            async move { stage.tool_as(&key, "task_create", arguments).await }
        };
        create(ann.key.clone(), "a", "plan-1").await;
        let refused = create(ann.key.clone(), "b", "plan-1").await;
        assert_eq!(refused["error"]["code"], "CLIENT_REQUEST_ID_REUSED");
        assert_eq!(
            create(bob.key.clone(), "b", "plan-1").await["credits_balance"],
            5 - stage.charge(1),
            "an id is its owner's"
        );
        for round in 0..10 {
            let id = format!("race-{round}");
            let mut stage_calls = Vec::new();
            for prompt in ["c", "d"] {
                stage_calls.push(create(bob.key.clone(), prompt, &id));
            }
            let answers = futures::future::join_all(stage_calls).await;
            let made = answers.iter().filter(|answer| answer["task_id"].is_string()).count();
            let refused = answers
                .iter()
                .filter(|answer| answer["error"]["code"] == "CLIENT_REQUEST_ID_REUSED");
            let insufficient = answers
                .iter()
                .filter(|answer| answer["error"]["code"] == "INSUFFICIENT_CREDITS");
            let is_paid = round < 4 || stage.charge(1) == 0;
            let expected = if is_paid { (1, 1, 0) } else { (0, 0, 2) };
            assert_eq!((made, refused.count(), insufficient.count()), expected, "{answers:?}");
        }
        let balances = (stage.balance(&ann).await, stage.balance(&bob).await);
        assert_eq!(balances, (5 - stage.charge(1), 5 - stage.charge(5)));
        stage.assert_books_balance(1).await;
    });
}

#[test]
fn wrong_arguments_create_nothing() {
    run(async {
        let stage = Stage::builder().build().await;
        each_row(
            [
                json!({}),
                json!({ "prompt": "" }),
                json!({ "prompt": " \n\t" }),
                json!({ "prompt": 7 }),
                json!({ "prompt": "p", "speed_vs_detail": "slow" }),
                json!({ "prompt": "p", "colour": "red" }),
                json!({ "prompt": "a\u{0}b" }),
            ],
            async |arguments| {
                let answer = stage.tool("task_create", arguments.clone()).await;
                assert_eq!(answer["error"]["code"], "INVALID_ARGUMENT", "{arguments}");
            },
        )
        .await;
        assert_eq!(
            stage.rows("SELECT count(*) FROM task_item").await,
            json!([{ "count": 0 }])
        );
    });
}

#[test]
fn a_server_for_known_users_wants_a_known_user() {
    run(async {
        let stage = Stage::builder()
            .with_key()
            .set("PLANEXE_MCP_REQUIRE_USER_KEY", "true")
            .build()
            .await;
        let code = |arguments| async { stage.tool("task_create", arguments).await["error"]["code"].clone() };
        assert_eq!(code(json!({ "prompt": "p" })).await, "USER_API_KEY_REQUIRED");
        assert_eq!(
            code(json!({ "prompt": "p", "user_api_key": "pex_unknown" })).await,
            "INVALID_USER_API_KEY"
        );
        assert_eq!(
            stage.rows("SELECT count(*) FROM task_item").await,
            json!([{ "count": 0 }])
        );
    });
}
