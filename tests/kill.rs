//! The host killed at any moment: the database alone decides what has happened, and nothing happens by half.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use http::Method;
use serde_json::json;

use crate::{
    soak::Random,
    support::{Answer, Faults, Proxy, Stage, own_cluster, request, run_for, size, tool_call},
};

/// Calls of `task_create` that run side by side.
const CALLS: usize = 10;

/// The id of the task that a call has made, or nothing when its answer was lost with the host.
fn task_of(answer: Option<Answer>) -> Option<String> {
    let answer = answer.filter(|answer| answer.body.is_ok())?;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let result = &answer.json()["result"]["structuredContent"];
    let id = result["task_id"].as_str();
    Some(id.unwrap_or_else(|| panic!("{result}")).to_owned())
}

/// Sends the calls of a round; the tasks of those that were answered.
async fn buy(stage: &Stage, key: &str, round: usize) -> Vec<Option<String>> {
    let calls = (0..CALLS).map(|number| {
        let id = format!("{round}/{number}");
        let arguments = json!({ "prompt": id, "client_request_id": id });
        stage.try_send(tool_call(key, "task_create", &arguments))
    });
    let status = json!({ "task_id": "00000000-0000-4000-8000-000000000000" });
    let deep = request(Method::GET, "/healthcheck?deep=1", &[], Bytes::new());
    let others = [tool_call(key, "task_status", &status), deep].map(|other| stage.try_send(other));
    let (answers, others) = futures::join!(join_all(calls.map(Box::pin)), join_all(others));
    for answer in others.into_iter().flatten() {
        assert_eq!(answer.status(), 200);
    }
    answers.into_iter().map(|answer| task_of(answer.ok())).collect()
}

#[test]
fn a_host_killed_in_the_middle_of_calls_leaves_the_books_in_order() {
    run_for(Duration::from_secs(1_800), async {
        let cluster = own_cluster(&[]).await;
        let proxy = Proxy::to(cluster.port()).await;
        let builder = Stage::builder().with_users();
        let builder = builder.set("PLANEXE_POSTGRES_PORT", &proxy.port());
        let stage = builder.on(cluster).await;
        let user = stage.user("ann", 1_000_000).await;
        // Each statement is under way for a while, so that most moments are in the middle of some charge.
        proxy.inject(Faults {
            delay: Duration::from_millis(10),
            ..Faults::NONE
        });
        // How long a round takes that is not disturbed, with a new host.
        let mut undisturbed = Duration::ZERO;
        for round in 0..2 {
            stage.process.kill();
            stage.process.restart();
            let begun = Instant::now();
            assert!(buy(&stage, &user.key, round).await.iter().all(Option::is_some));
            undisturbed = begun.elapsed();
        }
        let rounds = size("PLANEXE_TEST_KILL_ROUNDS", 20);
        let mut random = Random(0x1057_ab1e_5eed);
        let (mut answered, mut lost, mut charged_and_lost) = (0, 0, 0);
        for round in 2..rounds + 2 {
            // A random moment of each part of the round in turn, and of the time after it.
            let part = undisturbed * 3 / 2 / u32::try_from(rounds).expect("few rounds");
            let moment = part * u32::try_from(round - 2).expect("few rounds")
                + Duration::from_micros(random.below(1 + part.as_micros() as u64));
            let killer = async {
                tokio::time::sleep(moment).await;
                stage.process.kill();
            };
            let (first, ()) = futures::join!(buy(&stage, &user.key, round), killer);
            answered += first.iter().flatten().count();
            // A statement that has arrived goes on without the host.
            stage.until_idle().await;
            stage.assert_books_balance(1).await;
            stage.process.restart();
            for (number, task) in first.iter().enumerate() {
                let id = format!("{round}/{number}");
                let arguments = json!({ "prompt": id, "client_request_id": id });
                let again = stage.tool_as(&user.key, "task_create", arguments).await;
                let repeated = again.get("repeated").is_some();
                match task {
                    Some(task) => assert_eq!((&again["task_id"], repeated), (&json!(task), true)),
                    None => {
                        lost += 1;
                        charged_and_lost += usize::from(repeated);
                    }
                }
            }
            stage.assert_books_balance(1).await;
        }
        let tasks = ((rounds + 2) * CALLS) as i64;
        assert_eq!(stage.count("task_item").await, tasks, "one task for each request id");
        assert_eq!(stage.balance(&user).await, 1_000_000 - stage.charge(tasks));
        println!(
            "{rounds} rounds of {CALLS} calls: {answered} answered, {lost} lost, {charged_and_lost} of them after the charge"
        );
        assert!(answered > 0 && lost > charged_and_lost && charged_and_lost > 0);
    });
}
