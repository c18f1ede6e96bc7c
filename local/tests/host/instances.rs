//! The reuse of instances, and how they end.

use std::time::{Duration, Instant};

use futures::future::join_all;
use http_body_util::BodyExt as _;

use crate::support::{eventually, manifest, request, runtime, tested, tested_with, text};
use planexe_local::host::{Host, HostOptions};

#[tokio::test]
async fn an_instance_is_reused() {
    let tested = tested();
    for count in 1..=5 {
        assert_eq!(tested.ok("/count", &[]).await, count.to_string());
    }
    let stats = tested.stats();
    assert_eq!(
        (
            stats.requests,
            stats.instances_created,
            stats.instances_alive,
            stats.traps
        ),
        (5, 1, 1, 0)
    );
    assert!(stats.peak_memory >= 1 << 20, "{}", stats.peak_memory);
}

#[tokio::test]
async fn an_instance_is_replaced_after_its_last_request() {
    let tested = tested();
    for _ in 0..128 {
        tested.ok("/count", &[]).await;
    }
    assert_eq!(tested.ok("/count", &[]).await, "1");
    assert_eq!(tested.stats().instances_created, 2);
}

#[tokio::test]
async fn reuse_can_be_off() {
    let tested = tested_with(|options| options.reuse.max_requests = 1);
    assert_eq!(tested.ok("/count", &[]).await, "1");
    assert_eq!(tested.ok("/count", &[]).await, "1");
}

#[tokio::test]
async fn an_idle_instance_ends() {
    let tested = tested_with(|options| options.reuse.idle = Duration::from_millis(50));
    tested.ok("/plain", &[]).await;
    eventually("no instance", || tested.stats().instances_alive == 0).await;
    assert_eq!((tested.stats().traps, tested.stderr().as_str()), (0, ""));
}

#[tokio::test]
async fn many_requests_share_few_instances() {
    let tested = tested();
    tested.ok("/plain", &[]).await;
    let started = Instant::now();
    join_all((0..32).map(async |n| {
        tokio::time::sleep(Duration::from_millis(5 * n)).await;
        tested.ok("/sleep", &[("ms", "400")]).await
    }))
    .await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    // Sixteen at a time, and now and then one more instance when the others were busy just then.
    assert!(
        (2..32).contains(&tested.stats().instances_created),
        "{:?}",
        tested.stats()
    );
}

#[tokio::test]
async fn failures_are_empty_answers() {
    let tested = tested();
    for (path, traps, reason) in [
        ("/error", 0, "error processing request: "),
        ("/trap", 1, "asked to"),
        ("/exit", 2, "Exited with i32 exit status 1"),
    ] {
        assert_eq!(
            tested.get(path, &[]).await,
            (500.try_into().unwrap(), String::new()),
            "{path}"
        );
        eventually("the trap is counted", || tested.stats().traps == traps).await;
        let stderr = tested.stderr();
        assert!(stderr.contains(reason), "{path}: {stderr}");
        assert_eq!(tested.ok("/plain", &[]).await, "plain", "after {path}");
    }
    let stats = tested.stats();
    assert!(
        stats
            .last_trap
            .is_some_and(|text| text.contains("wasm backtrace") || text.contains("exit"))
    );
}

#[tokio::test]
async fn a_trap_takes_its_neighbours_along() {
    let tested = tested();
    let neighbour = tested.send(request("/stream", &[("count", "50"), ("ms", "20")])).await;
    assert_eq!(tested.get("/trap", &[]).await.0, 500);
    // As on Spin, a chunked body ends as if it were complete.
    let seen = text(neighbour.into_body()).await.unwrap();
    assert!(seen.lines().count() < 50, "{seen}");
}

#[tokio::test]
async fn a_trap_after_the_answer_began_looks_like_an_end() {
    let tested = tested();
    let seen = tested.ok("/trap-later", &[]).await;
    assert_eq!(seen, "0\n1\n2\n");
    eventually("the trap is counted", || tested.stats().traps == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_instance_takes_its_requests_along_and_is_replaced() {
    let tested = tested();
    tested.host.kill_instances().await;
    assert_eq!(tested.ok("/plain", &[]).await, "plain", "there was nothing to kill");
    let answering = tested.send(request("/stream", &[("count", "500"), ("ms", "20")])).await;
    // The busy one may be waiting for its instance yet when the first is killed.
    let killer = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            tested.host.kill_instances().await;
        }
    };
    let answers = async { futures::join!(tested.get("/sleep", &[("ms", "60000")]), tested.get("/loop", &[])) };
    let (waiting, busy) = tokio::select! {
        answers = answers => answers,
        () = killer => unreachable!(),
    };
    assert_eq!((waiting.0.as_u16(), busy.0.as_u16()), (500, 500));
    let seen = text(answering.into_body()).await.unwrap();
    assert!(seen.lines().count() < 500, "{seen}");
    eventually("no instance", || tested.stats().instances_alive == 0).await;
    assert_eq!(tested.ok("/count", &[]).await, "1", "a new instance");
    let stats = tested.stats();
    assert_eq!((stats.traps, tested.stderr().as_str()), (0, ""));
    assert_eq!(stats.kills, stats.instances_created - 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_guest_holds_nobody_up() {
    let tested = tested_with(|options| options.reuse.request_timeout = Some(Duration::from_secs(2)));
    let started = Instant::now();
    let busy = tested.get("/loop", &[]);
    let others = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        for _ in 0..5 {
            assert_eq!(tested.ok("/plain", &[]).await, "plain");
        }
        started.elapsed()
    };
    let ((status, _), others) = futures::join!(busy, others);
    assert_eq!(status, 500);
    assert!(others < Duration::from_millis(1800), "{others:?}");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    eventually("the loop is gone", || tested.stats().traps == 1).await;
}

#[tokio::test]
async fn a_request_can_time_out() {
    let tested = tested_with(|options| options.reuse.request_timeout = Some(Duration::from_millis(100)));
    assert_eq!(tested.get("/sleep", &[("ms", "5000")]).await.0, 500);
    assert_eq!(tested.ok("/plain", &[]).await, "plain");
}

#[test]
fn the_end_of_the_runtime_ends_a_busy_guest() {
    let tested = tested();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let host = tested.host.clone();
    runtime.spawn(async move {
        host.handle(crate::support::client(), request("/loop", &[]))
            .await
            .status()
    });
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(tested.stats().instances_alive, 1);
    let started = Instant::now();
    runtime.shutdown_timeout(Duration::from_secs(5));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    let stats = tested.stats();
    assert_eq!(
        (stats.instances_alive, stats.traps, tested.stderr().as_str()),
        (0, 0, "")
    );
}

#[tokio::test]
async fn memory_can_be_limited() {
    let tested = tested_with(|options| options.max_memory = Some(32 << 20));
    assert_eq!(tested.ok("/grow", &[("mb", "8")]).await, (8 << 20).to_string());
    assert_eq!(tested.get("/grow", &[("mb", "64")]).await.0, 500);
    let peak = tested.stats().peak_memory;
    assert!((8 << 20..=32 << 20).contains(&peak), "{peak}");
}

#[tokio::test]
async fn hosts_of_one_runtime_are_apart() {
    let (one, two) = (tested(), tested());
    assert_eq!(one.ok("/count", &[]).await, "1");
    assert_eq!(two.ok("/count", &[]).await, "1");
    assert_eq!((one.stats().requests, two.stats().requests), (1, 1));
}

#[test]
fn one_host_works_on_two_async_runtimes() {
    let host = Host::new(runtime(), manifest(), HostOptions::default()).unwrap();
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let answer = runtime.block_on(host.handle(crate::support::client(), request("/plain", &[])));
        assert_eq!(answer.status(), 200);
        drop(runtime.block_on(answer.into_body().collect()));
    }
}
