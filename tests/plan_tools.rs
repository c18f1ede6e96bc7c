//! The tools of today's PlanExe, on every schema that its databases have.

use serde_json::{Value, json};

use crate::support::{Schema, Stage, each_row, eventually, run, tool_call};

/// Builds an application with the tools of today listed, on one schema.
async fn stage(schema: Schema) -> Stage {
    Stage::builder()
        .schema(schema)
        .with_key()
        .set("PLANEXE_MCP_TOOLS", "plan")
        .set("PLANEXE_DEDUP_WINDOW_SECONDS", "0")
        .build()
        .await
}

/// Creates a plan; its id.
async fn create(stage: &Stage, prompt: &str) -> String {
    let created = stage.tool("plan_create", json!({ "prompt": prompt })).await;
    created["plan_id"]
        .as_str()
        .unwrap_or_else(|| panic!("{created}"))
        .to_owned()
}

/// Sets the state of all plans, as a worker does.
async fn set(stage: &Stage, state: &str, more: &str) {
    let update = format!("UPDATE task_item SET state = $1::text::taskstate{more}");
    stage.execute(&update, &[&state]).await;
}

#[test]
fn a_plan_goes_through_its_life_on_every_schema() {
    run(async {
        each_row(Schema::ALL, async |schema| {
            let stage = stage(schema).await;
            let arguments = json!({ "prompt": "p", "model_profile": "premium", "start_date": "2027-06-15", "more": 1 });
            let created = stage.tool("plan_create", arguments).await;
            let id = created["plan_id"].as_str().expect("an id").to_owned();
            assert_eq!(created.get("deduplicated"), None);
            let parameters = stage.value("SELECT parameters::text FROM task_item", &[]).await.expect("JSON");
            let parameters: Value = serde_json::from_str(&parameters).expect("JSON");
            assert_eq!(
                parameters,
                json!({ "model_profile": "premium", "start_date": "2027-06-15", "trigger_source": "mcp plan_create",
                    "pipeline_version": 2 })
            );
            let owner = stage.value("SELECT user_id FROM task_item", &[]).await;
            let expected = if schema == Schema::February { "mcp_user" } else { "admin" };
            assert_eq!(owner.as_deref(), Some(expected));

            let plan = json!({ "plan_id": id });
            let status = stage.tool("plan_status", plan.clone()).await;
            assert_eq!(status["state"], "pending", "{status}");
            assert_eq!(status["steps_total"], Value::Null);
            assert_eq!(stage.tool("task_status", json!({ "task_id": id })).await["state"], "pending");

            let stopped = stage.tool("plan_stop", plan.clone()).await;
            assert_eq!(stopped, json!({ "state": "stopped", "stop_requested": true }));
            let again = stage.tool("plan_stop", plan.clone()).await;
            assert_eq!(again["state"], "stopped");
            assert_eq!(stage.tool("plan_status", plan.clone()).await["state"], "stopped");
            let file = stage.tool("plan_file_info", plan.clone()).await;
            assert_eq!(file, json!({ "ready": false, "reason": "stopped" }));

            // A worker that has not noticed the stop holds the plan.
            stage
                .execute(
                    "INSERT INTO workers (id, started_at, last_heartbeat_at, current_task_id) \
                     VALUES ('w', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC', $1)",
                    &[&id],
                )
                .await;
            let refused = stage.tool("plan_retry", plan.clone()).await;
            assert_eq!(refused["error"]["code"], "PLAN_NOT_FAILED", "{refused}");
            stage
                .execute("UPDATE workers SET last_heartbeat_at = now() AT TIME ZONE 'UTC' - interval '1 hour'", &[])
                .await;
            let more = if schema == Schema::February { "" } else { ", steps_completed = 7, steps_total = 9, error_message = 'e'" };
            stage.execute(&format!("UPDATE task_item SET generated_report_html = 'x'{more}"), &[]).await;
            let retried = stage.tool("plan_retry", json!({ "plan_id": id, "model_profile": "frontier" })).await;
            assert_eq!(
                (&retried["plan_id"], &retried["state"], &retried["model_profile"]),
                (&json!(id), &json!("pending"), &json!("frontier")),
                "{retried}"
            );
            let status = stage.tool("plan_status", plan.clone()).await;
            assert_eq!((&status["state"], &status["steps_completed"]), (&json!("pending"), &Value::Null), "{status}");
            assert_eq!(stage.value("SELECT generated_report_html FROM task_item", &[]).await, None);
            let refused = stage.tool("plan_retry", plan.clone()).await;
            assert_eq!(refused["error"]["code"], "PLAN_NOT_FAILED");

            set(&stage, "failed", "").await;
            let resumed = stage.tool("plan_resume", plan.clone()).await;
            if schema == Schema::February {
                assert_eq!(resumed["error"]["code"], "PLAN_NOT_RESUMABLE", "{resumed}");
            } else {
                assert_eq!((&resumed["state"], &resumed["resume_count"]), (&json!("pending"), &json!(1)), "{resumed}");
                set(&stage, "failed", "").await;
                assert_eq!(stage.tool("plan_resume", plan.clone()).await["resume_count"], 2);
                // The files of an older pipeline cannot be gone on with.
                set(&stage, "failed", ", parameters = '{\"model_profile\": \"baseline\"}'").await;
                let refused = stage.tool("plan_resume", plan.clone()).await;
                assert_eq!(refused["error"]["code"], "PIPELINE_VERSION_MISMATCH", "{refused}");
            }
            set(&stage, "completed", "").await;
            stage.execute("UPDATE task_item SET generated_report_html = '<p>plan</p>'", &[]).await;
            for tool in ["plan_retry", "plan_resume"] {
                assert!(stage.tool(tool, plan.clone()).await["error"]["code"].is_string());
            }
            let file = stage.tool("plan_file_info", plan.clone()).await;
            assert_eq!(file["download_size"], 11, "{file}");
            let url = file["download_url"].as_str().expect("an address");
            assert!(url.contains("/report.html?"), "{url}");
            let listed = stage.tool("plan_list", json!({})).await;
            assert_eq!(listed["plans"][0]["plan_id"], json!(id));
            assert_eq!(listed["plans"][0]["state"], "completed");
            let feedback = json!({ "category": "plan", "message": "good", "rating": 5, "plan_id": id });
            let received = stage.tool("send_feedback", feedback).await;
            assert!(received["feedback_id"].is_string(), "{received}");
            if schema.has_plans() && schema != Schema::Headless {
                let saved = stage.rows("SELECT category, message, rating, plan_id, plan_state FROM feedback_item").await;
                assert_eq!(
                    saved,
                    json!([{ "category": "plan", "message": "good", "rating": 5, "plan_id": id, "plan_state": "completed" }])
                );
            } else if schema != Schema::Between {
                let is_logged = async || stage.log().contains("category \\\"plan\\\": \\\"good\\\"");
                eventually("the feedback is in the log", is_logged).await;
            }
            let lost = json!({ "plan_id": "5e2b2a7c-8b49-4d2f-9b8f-6a3c1f05b9a1" });
            for tool in ["plan_status", "plan_stop", "plan_retry", "plan_resume", "plan_file_info"] {
                assert_eq!(stage.tool(tool, lost.clone()).await["error"]["code"], "PLAN_NOT_FOUND", "{tool}");
            }
        })
        .await;
    });
}

#[test]
fn users_see_their_own_plans_and_the_operator_sees_all() {
    run(async {
        let stage = stage(Schema::May).await;
        let (ann, bob) = (stage.user("ann", 5).await, stage.user("bob", 0).await);
        let created = stage.tool_as(&ann.key, "plan_create", json!({ "prompt": "p" })).await;
        let plan = json!({ "plan_id": created["plan_id"] });
        let owner = stage
            .rows("SELECT user_id, api_key_id IS NOT NULL AS has_key FROM task_item")
            .await;
        assert_eq!(owner, json!([{ "user_id": ann.id, "has_key": true }]));
        assert_eq!(stage.balance(&ann).await, 5, "the worker bills");
        let refused = stage.tool_as(&bob.key, "plan_create", json!({ "prompt": "p" })).await;
        assert_eq!(refused["error"]["code"], "INSUFFICIENT_CREDITS", "{refused}");
        set(&stage, "failed", "").await;
        for tool in [
            "plan_status",
            "plan_stop",
            "plan_retry",
            "plan_resume",
            "plan_file_info",
        ] {
            let refused = stage.tool_as(&bob.key, tool, plan.clone()).await;
            assert_eq!(refused["error"]["code"], "PLAN_NOT_FOUND", "{tool}: {refused}");
        }
        let lists = [(&bob.key, 0), (&ann.key, 1), (&"secret".to_owned(), 1)];
        for (key, count) in lists {
            let listed = stage.tool_as(key, "plan_list", json!({})).await;
            assert_eq!(listed["plans"].as_array().map(Vec::len), Some(count));
        }
        assert_eq!(stage.tool_as(&ann.key, "plan_status", plan).await["state"], "failed");
        let wrong = stage.send(tool_call("pex_unknown", "plan_list", &json!({}))).await;
        assert_eq!(wrong.status(), 403);
    });
}

#[test]
fn the_same_prompt_twice_is_one_plan() {
    run(async {
        each_row([Schema::February, Schema::May, Schema::Headless], async |schema| {
            let stage = Stage::builder().schema(schema).with_key().build().await;
            let arguments = json!({ "prompt": "p" });
            let calls = (0..8).map(|_| stage.tool("plan_create", arguments.clone()));
            let created = if schema == Schema::Headless {
                // Without nonces only a later call finds the plan.
                vec![
                    stage.tool("plan_create", arguments.clone()).await,
                    stage.tool("plan_create", arguments.clone()).await,
                ]
            } else {
                futures::future::join_all(calls).await
            };
            let ids: std::collections::BTreeSet<_> = created.iter().map(|plan| plan["plan_id"].to_string()).collect();
            assert_eq!(ids.len(), 1, "{created:?}");
            let new = created.iter().filter(|plan| plan.get("deduplicated").is_none());
            assert_eq!(new.count(), 1, "{created:?}");
            let other = stage
                .tool("plan_create", json!({ "prompt": "p", "model_profile": "premium" }))
                .await;
            assert_eq!(other.get("deduplicated"), None);
            set(&stage, "completed", "").await;
            let later = stage.tool("plan_create", arguments.clone()).await;
            assert_eq!(later.get("deduplicated"), None, "only a plan in work is the same");
        })
        .await;
    });
}

#[test]
fn a_status_has_what_todays_worker_writes() {
    run(async {
        let stage = stage(Schema::May).await;
        let id = create(&stage, "p").await;
        set(
            &stage,
            "failed",
            ", progress_percentage = 42.5, steps_completed = 3, steps_total = 9, current_step = 'SWOT Analysis', \
             timestamp_created = '2026-05-01 10:00', last_progress_at = '2026-05-01 10:10', \
             failure_reason = 'generation_error', failed_step = 'SWOT Analysis', error_message = 'No LLM.', recoverable = true",
        )
        .await;
        let status = stage.tool("plan_status", json!({ "plan_id": id })).await;
        assert_eq!(
            status,
            json!({
                "plan_id": id, "state": "failed", "progress_percentage": 42.5, "steps_completed": 3, "steps_total": 9,
                "current_step": "SWOT Analysis",
                "timing": { "started_at": "2026-05-01T10:00:00Z", "elapsed_sec": 600.0,
                    "last_progress_at": "2026-05-01T10:10:00Z" },
                "files_count": 0, "files": [],
                "error": { "failure_reason": "generation_error", "failed_step": "SWOT Analysis", "recoverable": true,
                    "message": status["error"]["message"] },
            })
        );
        let message = status["error"]["message"].as_str().expect("a message");
        assert!(
            message.contains("No LLM") && message.contains("plan_retry"),
            "{message}"
        );
        assert!(!message.contains("task_"), "{message}");
    });
}

#[test]
fn the_list_is_that_of_the_setting() {
    run(async {
        each_row([("task", 5), ("plan", 11), ("both", 16)], async |(choice, count)| {
            let stage = Stage::builder().set("PLANEXE_MCP_TOOLS", choice).build().await;
            let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
            let list = stage.post("/mcp", &body).await.json();
            assert_eq!(list["result"]["tools"].as_array().map(Vec::len), Some(count));
            let plain = stage.get("/mcp/tools").await.json();
            assert_eq!(plain["tools"], list["result"]["tools"]);
            // Every tool can be called, also one that is not listed.
            let plans = stage.tool("plan_list", json!({})).await;
            assert_eq!(plans["plans"], json!([]));
            let profiles = stage.tool("model_profiles", json!({})).await;
            assert_eq!(profiles["default_profile"], "baseline", "{profiles}");
            assert!(stage.tool("example_plans", json!({})).await["plans"][0]["report_url"].is_string());
            assert!(stage.tool("example_prompts", json!({})).await["samples"][4].is_string());
        })
        .await;
    });
}

#[test]
fn wrong_arguments_have_the_code_of_their_tool() {
    run(async {
        let stage = stage(Schema::May).await;
        each_row(
            [
                ("plan_create", json!({ "prompt": " " }), "INVALID_ARGUMENT"),
                (
                    "plan_create",
                    json!({ "prompt": "p", "start_date": "garbage" }),
                    "INVALID_ARGUMENT",
                ),
                (
                    "plan_create",
                    json!({ "prompt": "p", "model_profile": "best" }),
                    "INVALID_ARGUMENT",
                ),
                ("plan_list", json!({ "limit": 0 }), "INVALID_ARGUMENTS"),
                ("plan_list", json!({ "limit": 51 }), "INVALID_ARGUMENTS"),
                ("send_feedback", json!({ "category": "plan" }), "INVALID_FEEDBACK"),
                (
                    "send_feedback",
                    json!({ "category": "plan", "message": "m", "rating": 6 }),
                    "INVALID_FEEDBACK",
                ),
            ],
            async |(tool, arguments, code)| {
                let refused = stage.tool(tool, arguments).await;
                assert_eq!(refused["error"]["code"], code, "{refused}");
            },
        )
        .await;
        assert_eq!(stage.count("task_item").await, 0);
    });
}

#[test]
fn an_upgrade_behind_the_server_is_noticed() {
    run(async {
        let stage = Stage::builder().schema(Schema::February).with_key().build().await;
        let id = stage.create("p").await;
        let calls = async {
            for _ in 0..200 {
                let status = stage.tool("task_status", json!({ "task_id": id })).await;
                assert_eq!(status["state"], "pending", "{status}");
            }
        };
        futures::join!(calls, stage.upgrade());
        assert_eq!(
            stage.tool("plan_status", json!({ "plan_id": id })).await["state"],
            "pending"
        );
        let new = stage.create("after").await;
        assert_eq!(stage.count("task_item").await, 2);
        let owner = stage
            .value("SELECT user_id FROM task_item WHERE id = $1::text::uuid", &[&new])
            .await;
        assert_eq!(owner.as_deref(), Some("admin"));
    });
}
