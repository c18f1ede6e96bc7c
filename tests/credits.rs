//! Credits and repeated calls: never a charge without its task, a task without its charge, or a plan bought twice.

use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{AppBuilder, Schema, Stage, each_row, eventually, run, run_for, size, tool_call};

/// Sends calls at once; the results. As clients do, it calls again where the database was too busy to answer.
async fn at_once(stage: &Stage, count: usize, key: &str, arguments: impl Fn(usize) -> Value) -> Vec<Value> {
    join_all((0..count).map(|number| {
        let arguments = arguments(number);
        async move {
            for _ in 0..5 {
                let answer = stage.send(tool_call(key, "task_create", &arguments)).await.json();
                let result = answer["result"]["structuredContent"].clone();
                if result["error"]["code"] != "DATABASE_UNAVAILABLE" {
                    return result;
                }
            }
            panic!("the database does not answer: {}", stage.log());
        }
    }))
    .await
}

/// Where the server charges: elsewhere PlanExe's worker bills.
fn charging() -> AppBuilder {
    Stage::builder().schema(Schema::February).with_users()
}

fn ids(results: &[Value]) -> BTreeSet<&str> {
    results.iter().filter_map(|result| result["task_id"].as_str()).collect()
}

#[test]
fn one_credit_buys_one_plan_however_many_ask() {
    run_for(Duration::from_secs(1_800), async {
        let rounds = size("PLANEXE_TEST_RACE_ROUNDS", 10);
        for reuse in [true, false] {
            let stage = if reuse { charging() } else { charging().without_reuse() }
                .build()
                .await;
            for round in 0..rounds {
                let user = stage.user(&format!("u{round}"), 1).await;
                let results = at_once(
                    &stage,
                    50,
                    &user.key,
                    |number| json!({ "prompt": format!("{round}/{number}") }),
                )
                .await;
                assert_eq!(ids(&results).len(), 1, "round {round}");
                let refused = results
                    .iter()
                    .filter(|result| result["error"]["code"] == "INSUFFICIENT_CREDITS");
                assert_eq!(refused.count(), 49, "round {round}: {results:?}");
                assert_eq!(stage.balance(&user).await, 0);
            }
            assert_eq!(stage.count("task_item").await, rounds as i64);
            assert_eq!(stage.count("credit_history").await, rounds as i64);
            stage.assert_books_balance(1).await;
        }
    });
}

#[test]
fn every_credit_buys_its_plan() {
    run(async {
        let stage = charging().set("PLANEXE_CREDITS_PER_PLAN", "3").build().await;
        let user = stage.user("ann", 100).await;
        let second = "pex_second";
        stage.add_key(&user.id, second).await;
        let (one, two) = futures::join!(
            at_once(
                &stage,
                25,
                &user.key,
                |number| json!({ "prompt": format!("a{number}") })
            ),
            at_once(&stage, 25, second, |number| json!({ "prompt": format!("b{number}") })),
        );
        assert_eq!(ids(&one).len() + ids(&two).len(), 33);
        assert_eq!(stage.balance(&user).await, 1);
        let told = one.iter().chain(&two).filter_map(|r| r["credits_balance"].as_i64());
        assert_eq!(told.collect::<BTreeSet<_>>(), (0..33).map(|n| 1 + 3 * n).collect());
        stage.assert_books_balance(3).await;
    });
}

#[test]
fn a_refusal_tells_balance_and_price() {
    run(async {
        let stage = charging().set("PLANEXE_CREDITS_PER_PLAN", "3").build().await;
        each_row([2, 0, -4], async |balance| {
            let user = stage.user(&format!("u{balance}"), balance).await;
            let error = stage.tool_as(&user.key, "task_create", json!({ "prompt": "p" })).await["error"].clone();
            assert_eq!(error["code"], "INSUFFICIENT_CREDITS");
            let details = json!({ "credits_balance": balance, "credits_per_plan": 3 });
            assert_eq!(error["details"], details);
            let text = error["message"].to_string();
            let told = format!("costs 3 credits and your balance is {balance}.");
            assert!(text.contains(&told), "{text}");
            assert_eq!(stage.balance(&user).await, i64::from(balance));
        })
        .await;
        assert_eq!(stage.count("task_item").await, 0);
        assert_eq!(stage.count("nonces").await, 0);
    });
}

#[test]
fn a_free_plan_costs_nothing_and_leaves_no_ledger() {
    run(async {
        let stage = charging().set("PLANEXE_CREDITS_PER_PLAN", "0").build().await;
        each_row([0, 5, -4], async |balance| {
            let user = stage.user(&format!("u{balance}"), balance).await;
            let created = stage.tool_as(&user.key, "task_create", json!({ "prompt": "p" })).await;
            assert_eq!(created["credits_balance"], balance);
        })
        .await;
        assert_eq!(stage.count("credit_history").await, 0);
    });
}

#[test]
fn where_the_worker_bills_a_plan_needs_a_balance_above_zero() {
    run(async {
        for schema in [Schema::Between, Schema::May] {
            let stage = Stage::builder().schema(schema).with_users();
            let stage = stage.set("PLANEXE_CREDITS_PER_PLAN", "3").build().await;
            let calls = [("task_create", "task_id"), ("plan_create", "plan_id")];
            each_row([5.0, 0.5, 1e-9, 0.0, -0.25], async |balance| {
                let user = stage.user(&format!("u{balance}"), balance).await;
                for (tool, id) in calls {
                    let answer = stage.tool_as(&user.key, tool, json!({ "prompt": tool })).await;
                    let error = &answer["error"];
                    assert_eq!(answer[id].is_string(), balance > 0.0, "{schema:?}: {answer}");
                    if balance <= 0.0 {
                        assert_eq!(error["code"], "INSUFFICIENT_CREDITS", "{answer}");
                        let message = error["message"].to_string();
                        assert!(message.contains(&format!("your balance is {balance}. ")), "{message}");
                    }
                    let shown = if balance > 0.0 { &answer } else { &error["details"] };
                    assert!(tool == "plan_create" || shown["credits_balance"] == balance, "{answer}");
                }
                let same = format!("user_account WHERE id = '{}' AND credits_balance = {balance}", user.id);
                assert_eq!(stage.count(&same).await, 1, "the balance stays");
            })
            .await;
            assert_eq!(stage.count("task_item").await, 6, "{schema:?}");
            assert_eq!(stage.count("credit_history").await, 0, "{schema:?}");
        }
    });
}

#[test]
fn what_the_worker_bills_stays_as_it_is() {
    run(async {
        let builder = Stage::builder().schema(Schema::May).with_users();
        let stage = builder.working().build().await;
        let user = stage.user("ann", 5).await;
        let create = || stage.tool_as(&user.key, "task_create", json!({ "prompt": "p" }));
        let created = create().await;
        assert_eq!(created["credits_balance"], 5);
        let is_billed = async || stage.count("credit_history").await == 1;
        eventually("the worker bills", is_billed).await;
        let bills = async || {
            let rows = "SELECT h.*, a.credits_balance FROM credit_history h JOIN user_account a ON a.id = h.user_id";
            stage.rows(rows).await
        };
        let before = bills().await;
        assert_eq!(before[0]["credits_balance"], 4.99, "{before}");
        for tool in ["task_status", "task_stop", "task_file_info"] {
            let arguments = json!({ "task_id": created["task_id"] });
            stage.tool_as(&user.key, tool, arguments).await;
        }
        assert_eq!(bills().await, before);
        assert_eq!(create().await["credits_balance"], 4.99);
        stage.assert_books_balance(1).await;
    });
}

#[test]
fn a_key_without_an_account_buys_nothing() {
    run(async {
        let stage = Stage::builder().with_users().build().await;
        let key = "pex_orphan";
        stage.add_key("22222222-2222-4222-8222-222222222222", key).await;
        let answer = stage
            .tool("task_create", json!({ "prompt": "p", "user_api_key": key }))
            .await;
        assert_eq!(answer["error"]["code"], "INVALID_USER_API_KEY");
        assert_eq!(stage.count("task_item").await, 0);
    });
}

#[test]
fn a_request_id_is_one_task_in_every_race() {
    run(async {
        for (reuse, window) in [(true, "0"), (false, "0"), (true, "60")] {
            let builder = Stage::builder()
                .with_users()
                .set("PLANEXE_MCP_REPEAT_WINDOW_SECONDS", window);
            let stage = if reuse { builder } else { builder.without_reuse() }.build().await;
            let user = stage.user("ann", 3).await;
            stage.add_key(&user.id, "pex_second").await;
            let plans = if stage.charge(1) > 0 { 3 } else { 5 };
            for round in 0..5 {
                // Three plans ask for the same id.
                let arguments = |number: usize| json!({ "prompt": format!("{}", number % 3), "client_request_id": format!("r{round}") });
                let (mut all, others) = futures::join!(
                    at_once(&stage, 25, &user.key, arguments),
                    at_once(&stage, 25, "pex_second", arguments),
                );
                all.extend(others);
                if round < plans {
                    assert_eq!(ids(&all).len(), 1, "{all:?}");
                    let (made, refused): (Vec<_>, Vec<_>) =
                        all.iter().partition(|result| result["task_id"].is_string());
                    let first = made.iter().filter(|result| result.get("repeated").is_none());
                    assert!(first.count() <= 1, "{made:?}");
                    assert!(
                        (16..=18).contains(&made.len()),
                        "only the first plan of three: {made:?}"
                    );
                    assert!(
                        refused
                            .iter()
                            .all(|result| result["error"]["code"] == "CLIENT_REQUEST_ID_REUSED"),
                        "{refused:?}"
                    );
                } else {
                    assert_eq!(ids(&all).len(), 0, "the credits are spent");
                }
            }
            let again = at_once(
                &stage,
                3,
                &user.key,
                |number| json!({ "prompt": format!("{number}"), "client_request_id": "r0" }),
            )
            .await;
            let first: Vec<_> = again.iter().filter(|result| result["repeated"] == true).collect();
            assert_eq!(first.len(), 1, "{again:?}");
            assert_eq!(first[0]["credits_balance"], 3 - stage.charge(3));
            assert_eq!(stage.count("task_item").await, plans);
            stage.assert_books_balance(1).await;
        }
    });
}

#[test]
fn request_ids_of_different_callers_do_not_meet() {
    run(async {
        let stage = Stage::builder().with_users().build().await;
        let (ann, bob) = (stage.user("ann", 3).await, stage.user("bob", 3).await);
        let arguments = json!({ "prompt": "p", "client_request_id": "order-1" });
        let one = stage.tool_as(&ann.key, "task_create", arguments.clone()).await;
        let two = stage.tool_as(&bob.key, "task_create", arguments).await;
        assert_ne!(one["task_id"], two["task_id"]);
        assert_eq!((one.get("repeated"), two.get("repeated")), (None, None));
    });
}

#[test]
fn the_same_prompt_within_the_window_is_one_task() {
    run(async {
        for reuse in [true, false] {
            let builder = Stage::builder()
                .with_users()
                .set("PLANEXE_MCP_REPEAT_WINDOW_SECONDS", "");
            let stage = if reuse { builder } else { builder.without_reuse() }.build().await;
            let user = stage.user("ann", 10).await;
            let all = at_once(&stage, 50, &user.key, |_| json!({ "prompt": "same" })).await;
            assert_eq!(ids(&all).len(), 1, "{all:?}");
            assert!(all.iter().filter(|result| result.get("repeated").is_none()).count() <= 1);
            let by_operator = at_once(
                &stage,
                50,
                "secret",
                |_| json!({ "prompt": "same", "user_api_key": user.key }),
            )
            .await;
            assert_eq!(ids(&by_operator), ids(&all), "the payer counts");
            let other = |arguments| async { stage.tool_as(&user.key, "task_create", arguments).await };
            for arguments in [
                json!({ "prompt": "same", "speed_vs_detail": "all" }),
                json!({ "prompt": "same " }),
                json!({ "prompt": "same", "client_request_id": "on purpose" }),
            ] {
                assert_eq!(other(arguments.clone()).await.get("repeated"), None, "{arguments}");
            }
            // The last repeat of PlanExe's own client comes after 123 s.
            stage
                .execute(
                    "UPDATE nonces SET created_at = created_at - interval '170 seconds'",
                    &[],
                )
                .await;
            assert_eq!(other(json!({ "prompt": "same" })).await["repeated"], true);
            stage
                .execute(
                    "UPDATE nonces SET created_at = created_at - interval '181 seconds'",
                    &[],
                )
                .await;
            let later = other(json!({ "prompt": "same" })).await;
            assert_eq!(later.get("repeated"), None, "the window is over");
            let again = other(json!({ "prompt": "same" })).await;
            assert_eq!(
                (&again["task_id"], &again["repeated"]),
                (&later["task_id"], &json!(true))
            );
            assert_eq!(stage.count("task_item").await, 5);
            stage.assert_books_balance(1).await;
        }
    });
}

#[test]
fn only_a_live_task_is_repeated() {
    run(async {
        let stage = Stage::builder()
            .with_users()
            .set("PLANEXE_MCP_REPEAT_WINDOW_SECONDS", "60")
            .build()
            .await;
        let user = stage.user("ann", 100).await;
        each_row(
            [
                ("UPDATE task_item SET state = 'processing'", true),
                ("UPDATE task_item SET state = 'completed'", true),
                ("UPDATE task_item SET state = 'completed', stop_requested = true", true),
                ("UPDATE task_item SET stop_requested = NULL", true),
                ("UPDATE task_item SET stop_requested = true", false),
                (
                    "UPDATE task_item SET state = 'processing', stop_requested = true",
                    false,
                ),
                ("UPDATE task_item SET state = 'failed'", false),
                ("UPDATE task_item SET state = NULL", false),
                ("DELETE FROM task_item", false),
            ],
            async |(change, live)| {
                // At once: all calls have seen the same end of the first task.
                for calls in [1, 20] {
                    let create = || stage.tool_as(&user.key, "task_create", json!({ "prompt": "same" }));
                    let first = create().await;
                    assert_eq!(first.get("repeated"), None, "{change}");
                    stage.execute(change, &[]).await;
                    let all = at_once(&stage, calls, &user.key, |_| json!({ "prompt": "same" })).await;
                    let ids = ids(&all);
                    assert_eq!(ids.len(), 1, "{change}: one plan: {all:?}");
                    let is_first = ids.first().copied() == first["task_id"].as_str();
                    assert_eq!(is_first, live, "{change}: {all:?}");
                    let again = create().await;
                    assert_eq!(again["task_id"].as_str(), ids.first().copied(), "{change}");
                    stage.execute("DELETE FROM task_item", &[]).await;
                    stage.execute("DELETE FROM nonces", &[]).await;
                }
            },
        )
        .await;
    });
}

#[test]
fn the_last_credit_leads_to_its_plan_while_that_is_live() {
    run(async {
        let stage = charging().set("PLANEXE_MCP_REPEAT_WINDOW_SECONDS", "60").build().await;
        let user = stage.user("ann", 1).await;
        let create = || stage.tool_as(&user.key, "task_create", json!({ "prompt": "p" }));
        let first = create().await;
        let second = create().await;
        assert_eq!(
            (&second["task_id"], &second["repeated"]),
            (&first["task_id"], &json!(true))
        );
        let stop = json!({ "task_id": first["task_id"] });
        stage.tool_as(&user.key, "task_stop", stop).await;
        assert_eq!(create().await["error"]["code"], "INSUFFICIENT_CREDITS");
    });
}

#[test]
fn the_window_holds_for_the_operator_and_can_be_closed() {
    run(async {
        for (window, tasks) in [("60", 1), ("0", 20)] {
            let stage = Stage::builder()
                .set("PLANEXE_MCP_REPEAT_WINDOW_SECONDS", window)
                .build()
                .await;
            let all = at_once(&stage, 20, "secret", |_| json!({ "prompt": "same" })).await;
            assert_eq!(ids(&all).len(), tasks);
            assert_eq!(stage.count("task_item").await, tasks as i64);
        }
    });
}
