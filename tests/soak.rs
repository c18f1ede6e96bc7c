//! Very many requests of every kind, a fifth of them given up on: nothing leaks, and nothing is refused that
//! should not be.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{Method, Request};
use serde_json::json;

use crate::support::{Stage, request, run_for, size, tool_call};

/// A small random number generator (xorshift): a failure can be repeated with its seed.
pub struct Random(pub u64);

impl Random {
    /// A number below the bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn any_request(random: &mut Random, keys: &[String], tasks: &[String]) -> Request<Bytes> {
    let pick = |random: &mut Random, from: &[String]| from[random.below(from.len() as u64) as usize].clone();
    let key = pick(random, keys);
    let task = pick(random, tasks);
    let ask = json!({ "task_id": task });
    match random.below(20) {
        0 | 1 => tool_call(
            &key,
            "task_create",
            &json!({ "prompt": format!("{}", random.below(20)) }),
        ),
        2 => {
            let id = format!("{}", random.below(10));
            tool_call(&key, "task_create", &json!({ "prompt": "p", "client_request_id": id }))
        }
        3..=6 => tool_call(&key, "task_status", &ask),
        7 => tool_call(&key, "task_stop", &ask),
        8 | 9 => tool_call(&key, "task_file_info", &ask),
        10 => tool_call(&key, "prompt_examples", &json!({})),
        11 => tool_call(&key, "task_create", &json!({ "prompt": 7 })),
        12 => request(
            Method::GET,
            &format!("/download/{task}/030-report.html"),
            &[("x-api-key", &key)],
            Bytes::new(),
        ),
        13 => request(
            Method::GET,
            &format!("/download/{task}/run.zip"),
            &[("x-api-key", &key)],
            Bytes::new(),
        ),
        14 => request(Method::GET, "/healthcheck?deep=1", &[], Bytes::new()),
        15 => request(Method::GET, "/mcp/tools", &[("x-api-key", &key)], Bytes::new()),
        16 => request(
            Method::OPTIONS,
            "/mcp",
            &[("origin", "http://localhost:1")],
            Bytes::new(),
        ),
        17 => request(
            Method::POST,
            "/mcp",
            &[("content-type", "application/json"), ("x-api-key", &key)],
            "[".into(),
        ),
        18 => request(Method::GET, "/nothing", &[], Bytes::new()),
        _ => request(Method::HEAD, "/", &[], Bytes::new()),
    }
}

#[test]
fn a_random_mix_leaves_nothing_behind() {
    run_for(Duration::from_secs(3_600), async {
        let count = size("PLANEXE_TEST_SOAK_REQUESTS", 1_000);
        let stage = Stage::builder()
            .with_users()
            // New tasks all the time would be what grows.
            .set("PLANEXE_MCP_REPEAT_WINDOW_SECONDS", "604800")
            .working()
            .build()
            .await;
        let (ann, bob) = (stage.user("ann", 1_000_000).await, stage.user("bob", 20).await);
        let mut tasks = vec!["00000000-0000-4000-8000-000000000000".to_owned(), "no-id".to_owned()];
        for number in 0..8 {
            let arguments = json!({ "prompt": format!("first {number}") });
            let created = stage.tool_as(&ann.key, "task_create", arguments).await;
            tasks.push(created["task_id"].as_str().expect("an id").to_owned());
        }
        for id in &tasks[2..] {
            stage.wait_for(id, &["completed"]).await;
        }
        let keys = [
            "secret".to_owned(),
            ann.key.clone(),
            ann.key.clone(),
            bob.key.clone(),
            "wrong".to_owned(),
        ];
        let mut random = Random(0x5eed_1234_abcd);
        let (gone, busy, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let (mut sizes, begun) = (vec![stage.process.memory().0], Instant::now());
        for part in 0..10 {
            let requests: Vec<_> = (0..count / 10)
                .map(|_| {
                    let patience = (random.below(5) == 0).then(|| Duration::from_micros(random.below(20_000)));
                    (any_request(&mut random, &keys, &tasks), patience)
                })
                .collect();
            stream::iter(requests)
                .for_each_concurrent(16, |(request, patience)| {
                    let (stage, gone, busy, done) = (&stage, &gone, &busy, &done);
                    async move {
                        let what = format!("{} {}", request.method(), request.uri());
                        let sent = stage.send(request);
                        let answer = match patience {
                            Some(patience) => tokio::time::timeout(patience, sent).await.ok(),
                            None => Some(sent.await),
                        };
                        let Some(answer) = answer else {
                            gone.fetch_add(1, Relaxed);
                            return;
                        };
                        assert!(answer.body.is_ok(), "{what}: {:?}", answer.body);
                        if answer.status() >= 500 || answer.text().contains("DATABASE_UNAVAILABLE") {
                            busy.fetch_add(1, Relaxed);
                            println!("{what}: {} {}", answer.status(), answer.text());
                        }
                        done.fetch_add(1, Relaxed);
                    }
                })
                .await;
            let memory = stage.process.memory().0;
            sizes.push(memory);
            println!("{} requests, {} MB", (part + 1) * count / 10, memory >> 20);
        }
        let rate = count as f64 / begun.elapsed().as_secs_f64();
        stage.until_idle().await;
        println!("{done:?} answered, {gone:?} given up, {busy:?} refused, {rate:.0}/s, memory {sizes:?}");
        assert_eq!(busy.into_inner(), 0);
        // What the first part needs stays; after that, nothing grows with the requests.
        let growth = sizes[10].saturating_sub(sizes[3]);
        assert!(growth < 32 << 20, "{growth} bytes of memory more: {sizes:?}");
        assert!(stage.connections("true").await <= 64);
        stage.assert_books_balance(1).await;
        let entered = "SELECT (credits_balance = 20 + coalesce( \
                       (SELECT sum(delta) FROM credit_history h WHERE h.user_id = a.id), 0))::text \
                       FROM user_account a WHERE id = $1::text::uuid";
        let entered = stage.value(entered, &[&bob.id]).await;
        assert_eq!(entered.as_deref(), Some("true"), "each charge has its entry");
    });
}
