//! Users' keys: where they are accepted, what they open, and what stays shut.

use bytes::Bytes;
use http::Method;
use planexe_mcp::auth::LinkKey;
use serde_json::{Value, json};

use crate::support::{Answer, Stage, each_row, request, run, tool_call};

#[test]
fn a_user_key_opens_the_door_where_users_are_required() {
    run(async {
        let stage = Stage::builder().with_users().build().await;
        let user = stage.user("ann", 5).await;
        let created = stage
            .tool_as(&user.key, "task_create", json!({ "prompt": "Open a bakery" }))
            .await;
        assert_eq!(created["credits_balance"], 5 - stage.charge(1));
        let id = created["task_id"].as_str().expect("an id");
        let owner = stage
            .value("SELECT user_id FROM task_item WHERE id = $1::text::uuid", &[&id])
            .await;
        assert_eq!(owner.as_deref(), Some(user.id.as_str()));
        each_row(
            [
                ("/mcp/tools", [("authorization", format!("Bearer {}", user.key))]),
                ("/mcp/tools", [("x-api-key", format!("\"{}\"", user.key))]),
                ("/mcp/tools", [("api_key", format!("Bearer '{}'", user.key))]),
            ],
            async |(path, headers)| {
                let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let answer = stage.send(request(Method::GET, path, &headers, Bytes::new())).await;
                assert_eq!(answer.status(), 200, "{headers:?}");
            },
        )
        .await;
        let used = stage.value("SELECT last_used_at::text FROM user_api_key", &[]).await;
        assert!(used.is_some(), "a use is noted");
    });
}

#[test]
fn keys_that_are_none_stay_outside() {
    run(async {
        let stage = Stage::builder().with_users().build().await;
        let user = stage.user("ann", 5).await;
        let gone = stage.user("gone", 5).await;
        stage
            .execute(
                "UPDATE user_api_key SET revoked_at = now() WHERE user_id = $1::text::uuid",
                &[&gone.id],
            )
            .await;
        let task = stage.tool_as(&user.key, "task_create", json!({ "prompt": "p" })).await["task_id"].clone();
        each_row(["wrong", gone.key.as_str(), "pex_ann'--", "%", "NULL"], async |key| {
            for (name, arguments) in [
                ("prompt_examples", json!({})),
                ("task_create", json!({ "prompt": "p" })),
                ("task_create", json!({ "prompt": "p", "user_api_key": user.key })),
                ("task_create", json!({ "prompt": "" })),
                ("task_status", json!({ "task_id": task })),
                ("task_stop", json!({ "task_id": task })),
                ("task_file_info", json!({ "task_id": task })),
                ("no_such_tool", json!({})),
            ] {
                let answer = stage.send(tool_call(key, name, &arguments)).await;
                assert_eq!(
                    (answer.status(), answer.json().get("result")),
                    (403, None),
                    "{key} {name}"
                );
            }
            for path in [
                "/mcp/tools",
                &format!("/download/{}/run.zip", task.as_str().expect("an id")),
                "/download/x/y",
            ] {
                let answer = stage
                    .send(request(Method::GET, path, &[("x-api-key", key)], Bytes::new()))
                    .await;
                assert_eq!(answer.status(), 403, "{key} {path}");
            }
        })
        .await;
        for (method, status) in [("tools/list", 200), ("tools/call", 401)] {
            let params = json!({ "name": "prompt_examples" });
            let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
            let headers = [("content-type", "application/json")];
            let answer = stage.send(request(Method::POST, "/mcp", &headers, body.into())).await;
            assert_eq!(answer.status(), status, "{method}");
        }
        assert_eq!(stage.count("task_item").await, 1);
        assert_eq!(stage.count("task_item WHERE stop_requested").await, 0);
        assert_eq!(stage.balance(&user).await, 5 - stage.charge(1));
    });
}

#[test]
fn user_keys_count_for_nothing_where_users_are_not_required() {
    run(async {
        let stage = Stage::builder().with_key().build().await;
        let user = stage.user("ann", 5).await;
        let answer = stage.send(tool_call(&user.key, "prompt_examples", &json!({}))).await;
        // Today's mcp_cloud takes them always.
        let status = if stage.schema().has_plans() { 200 } else { 403 };
        assert_eq!(answer.status(), status);
    });
}

#[test]
fn tasks_of_others_do_not_exist() {
    run(async {
        let stage = Stage::builder().with_users().working().build().await;
        let (ann, bob) = (stage.user("ann", 5).await, stage.user("bob", 5).await);
        let task = stage.tool_as(&ann.key, "task_create", json!({ "prompt": "p" })).await["task_id"].clone();
        let id = task.as_str().expect("an id");
        stage.wait_for(id, &["completed"]).await;
        let operators = stage.tool_as(&ann.key, "task_create", json!({ "prompt": "p" })).await["task_id"].clone();
        let operators = operators.as_str().expect("an id").to_owned();
        stage.wait_for(&operators, &["completed"]).await;
        stage
            .execute(
                "UPDATE task_item SET user_id = 'mcp_user' WHERE id = $1::text::uuid",
                &[&operators],
            )
            .await;
        let nobodys = "00000000-0000-4000-8000-000000000000";
        each_row(["task_status", "task_stop", "task_file_info"], async |tool| {
            let of = |key: &str, id: &str| stage.send(tool_call(key, tool, &json!({ "task_id": id })));
            let unknown = of(&bob.key, nobodys).await.text();
            assert!(unknown.contains("TASK_NOT_FOUND"), "{unknown}");
            assert_eq!(
                of(&bob.key, id).await.text(),
                unknown,
                "{tool}: the same answer, byte for byte"
            );
            assert_eq!(
                of(&ann.key, &operators).await.text(),
                unknown,
                "{tool}: the operator's tasks are not ann's"
            );
            assert!(
                !of(&ann.key, id).await.text().contains("error\""),
                "{tool}: ann sees her task"
            );
            assert!(
                !of("secret", id).await.text().contains("error\""),
                "{tool}: the operator sees all"
            );
        })
        .await;
        for file in ["030-report.html", "run.zip"] {
            let of = |key: String| {
                let path = format!("/download/{id}/{file}");
                let stage = &stage;
                async move {
                    stage
                        .send(request(Method::GET, &path, &[("x-api-key", &key)], Bytes::new()))
                        .await
                        .status()
                }
            };
            assert_eq!(of(ann.key.clone()).await, 200, "{file}");
            assert_eq!(of(bob.key.clone()).await, 404, "{file}");
            assert_eq!(of("secret".to_owned()).await, 200, "{file}");
        }
        let info = stage
            .tool_as(&ann.key, "task_file_info", json!({ "task_id": id }))
            .await;
        let url = info["download_url"].as_str().expect("a link");
        let path = url.split_once("3000").expect("the host of the tests").1;
        assert_eq!(stage.get(path).await.status(), 200, "the link needs no key");
        let answer = stage
            .send(request(Method::GET, path, &[("x-api-key", &bob.key)], Bytes::new()))
            .await;
        assert_eq!(answer.status(), 200, "the link alone opens the file");
    });
}

#[test]
fn the_key_in_the_call_pays() {
    run(async {
        let stage = Stage::builder().with_users().build().await;
        let (ann, bob) = (stage.user("ann", 5).await, stage.user("bob", 5).await);
        let copied = format!(" “Bearer {}”\r\n", bob.key);
        let create = json!({ "prompt": "p", "user_api_key": copied });
        for (key, plans) in [(ann.key.as_str(), 1), ("secret", 2), (bob.key.as_str(), 3)] {
            let created = stage.tool_as(key, "task_create", create.clone()).await;
            assert_eq!(created["credits_balance"], 5 - stage.charge(plans), "{key}");
        }
        assert_eq!(stage.balance(&ann).await, 5);
        let answer = stage
            .tool_as(
                &ann.key,
                "task_create",
                json!({ "prompt": "p", "user_api_key": "pex_unknown" }),
            )
            .await;
        assert_eq!(answer["error"]["code"], "INVALID_USER_API_KEY");
        assert_eq!(stage.count(&format!("task_item WHERE user_id = '{}'", bob.id)).await, 3);
        stage.assert_books_balance(1).await;
    });
}

/// A batch without a key.
async fn batch(stage: &Stage, calls: &[(&str, Value)]) -> Answer {
    let message = |(name, arguments): &(&str, Value)| json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": name, "arguments": arguments } });
    let body = Value::from_iter(calls.iter().map(message)).to_string();
    stage
        .send(request(
            Method::POST,
            "/mcp",
            &[("content-type", "application/json")],
            body.into(),
        ))
        .await
}

#[test]
fn without_an_api_key_tasks_are_for_users_alone() {
    run(async {
        let stage = Stage::builder()
            .set("PLANEXE_MCP_REQUIRE_USER_KEY", "true")
            .build()
            .await;
        let (ann, bob) = (stage.user("ann", 5).await, stage.user("bob", 5).await);
        let created = stage.tool_as(&ann.key, "task_create", json!({ "prompt": "p" })).await;
        let id = created["task_id"].as_str().expect("an id");
        let complete = "UPDATE task_item SET state = 'completed', generated_report_html = '<p>plan'";
        stage.execute(complete, &[]).await;
        let by_call = json!({ "prompt": "q", "user_api_key": ann.key });
        let without = request(
            Method::POST,
            "/mcp/tools/call",
            &[("content-type", "application/json")],
            json!({ "tool": "task_create", "arguments": by_call })
                .to_string()
                .into(),
        );
        let answer = stage.send(without).await;
        assert_eq!(
            answer.json()["structuredContent"]["credits_balance"],
            5 - stage.charge(2),
            "{}",
            answer.text()
        );
        // Nothing is bought of which the answer could not tell.
        let status = json!({ "task_id": id });
        let answer = batch(
            &stage,
            &[("task_create", by_call.clone()), ("task_status", status.clone())],
        )
        .await;
        assert_eq!(answer.status(), 401);
        assert_eq!(stage.balance(&ann).await, 5 - stage.charge(2));
        let path = format!("/download/{id}/030-report.html");
        each_row(
            [
                (None, 401),
                (Some(&ann.key), 200),
                (Some(&bob.key), 404),
                (Some(&"x".to_owned()), 403),
            ],
            async |(key, status)| {
                let headers: Vec<_> = key.iter().map(|key| ("x-api-key", key.as_str())).collect();
                let answer = stage.send(request(Method::GET, &path, &headers, Bytes::new())).await;
                assert_eq!(answer.status(), status, "{key:?}");
            },
        )
        .await;
        let info = stage.tool_as(&ann.key, "task_file_info", status).await;
        let link = info["download_url"].as_str().and_then(|url| url.split_once("3000"));
        assert_eq!(stage.get(link.expect("a link").1).await.status(), 200);
        // Signatures that anybody can make.
        for secret in ["", "secret", &ann.key] {
            let forged = LinkKey::new(secret).query(id, "030-report.html", u64::MAX);
            assert_eq!(stage.get(&format!("{path}?{forged}")).await.status(), 403, "{secret:?}");
        }
    });
}

#[test]
fn a_secret_for_links_protects_downloads_without_any_key() {
    run(async {
        let stage = Stage::builder()
            .set("PLANEXE_MCP_DOWNLOAD_SECRET", "links")
            .working()
            .build()
            .await;
        let id = stage.create("p").await;
        stage.wait_for(&id, &["completed"]).await;
        let path = format!("/download/{id}/run.zip");
        assert_eq!(stage.get(&path).await.status(), 401);
        let info = stage
            .tool("task_file_info", json!({ "task_id": id, "artifact": "zip" }))
            .await;
        let link = info["download_url"].as_str().and_then(|url| url.split_once("3000"));
        assert_eq!(stage.get(link.expect("a link").1).await.status(), 200);
        let forged = LinkKey::new("").query(&id, "run.zip", u64::MAX);
        assert_eq!(stage.get(&format!("{path}?{forged}")).await.status(), 403);
        // Where users have keys, theirs open their files without a signature.
        let stage = Stage::builder()
            .set("PLANEXE_MCP_DOWNLOAD_SECRET", "links")
            .set("PLANEXE_MCP_REQUIRE_USER_KEY", "true")
            .working()
            .build()
            .await;
        let ann = stage.user("ann", 5).await;
        let created = stage.tool_as(&ann.key, "task_create", json!({ "prompt": "p" })).await;
        let id = created["task_id"].as_str().expect("an id");
        stage.wait_for(id, &["completed"]).await;
        let path = format!("/download/{id}/run.zip");
        let headers = [("x-api-key", ann.key.as_str())];
        assert_eq!(
            stage
                .send(request(Method::GET, &path, &headers, Bytes::new()))
                .await
                .status(),
            200
        );
        assert_eq!(stage.get(&path).await.status(), 401);
    });
}

#[test]
fn with_an_api_key_either_key_is_accepted() {
    run(async {
        let stage = Stage::builder().with_users().build().await;
        let ann = stage.user("ann", 5).await;
        let created = stage.tool_as(&ann.key, "task_create", json!({ "prompt": "p" })).await;
        let task = json!({ "task_id": created["task_id"] });
        assert_eq!(
            stage.tool("task_create", json!({ "prompt": "p" })).await["error"]["code"],
            "USER_API_KEY_REQUIRED"
        );
        for key in ["secret", &ann.key] {
            assert_eq!(
                stage.tool_as(key, "task_status", task.clone()).await["state"],
                "pending"
            );
        }
        // A user's key in the call is no key of the connection.
        let call = json!({ "tool": "task_create", "arguments": { "prompt": "p", "user_api_key": ann.key } });
        let headers = [("content-type", "application/json")];
        let answer = stage
            .send(request(
                Method::POST,
                "/mcp/tools/call",
                &headers,
                call.to_string().into(),
            ))
            .await;
        assert_eq!(answer.status(), 401);
        assert_eq!(stage.balance(&ann).await, 5 - stage.charge(1));
    });
}

#[test]
fn a_users_key_is_checked_once_where_no_call_needs_it() {
    run(async {
        let stage = Stage::builder().with_users().build().await;
        let ann = stage.user("ann", 5).await;
        each_row([(ann.key.as_str(), 200), ("pex_unknown", 403)], async |(key, status)| {
            let body = json!([{ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }, { "jsonrpc": "2.0", "id": 2, "method": "ping" }]);
            let headers = [("content-type", "application/json"), ("x-api-key", key)];
            let answer = stage
                .send(request(Method::POST, "/mcp", &headers, body.to_string().into()))
                .await;
            assert_eq!(answer.status(), status);
            let line = stage.log_of(&answer).await;
            assert_eq!(line["statements"], 1, "{line}");
        }).await;
    });
}

#[test]
fn use_is_noted_once_a_minute() {
    run(async {
        let stage = Stage::builder().with_users().build().await;
        let user = stage.user("ann", 5).await;
        let task = stage.tool_as(&user.key, "task_create", json!({ "prompt": "p" })).await["task_id"].clone();
        let status = || stage.tool_as(&user.key, "task_status", json!({ "task_id": task }));
        let version = || stage.value("SELECT xmin::text FROM user_api_key", &[]);
        let first = version().await;
        status().await;
        assert_eq!(version().await, first, "noted a moment ago");
        stage
            .execute(
                "UPDATE user_api_key SET last_used_at = last_used_at - interval '2 minutes'",
                &[],
            )
            .await;
        status().await;
        let query = "SELECT (now() AT TIME ZONE 'UTC' - last_used_at < interval '30 seconds')::text FROM user_api_key";
        assert_eq!(stage.value(query, &[]).await.as_deref(), Some("true"));
    });
}
