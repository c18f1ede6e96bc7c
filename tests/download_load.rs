//! Many large downloads at once: memory stays bounded, and connections are given back.

use std::time::Instant;

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::json;

use crate::{
    download_entries::noise,
    support::{
        Stage, request, run,
        zips::{archive, stored},
    },
};

/// Memory that the host may take for eight large downloads, its buffers included.
const MAX_MEMORY: usize = 64 << 20;
/// More downloads than a host keeps connections to the database.
const SLOW_READERS: usize = 66;

fn get(path: &str) -> http::Request<Bytes> {
    request(Method::GET, path, &[], Bytes::new())
}

/// Receives `wanted` bytes of a body and leaves; whether they are the first of the file.
async fn receive(stage: &Stage, path: &str, file: &[u8], wanted: usize) -> bool {
    let mut body = stage.begin(get(path)).await.into_body();
    let mut received = 0;
    while received < wanted {
        let frame = body.frame().await.expect("more").expect("more");
        let data = frame.into_data().expect("data");
        if file.get(received..received + data.len()) != Some(&data) {
            return false;
        }
        received += data.len();
    }
    true
}

#[test]
fn eight_downloads_of_90_megabytes_take_little_memory() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        let content = noise(90_000_000);
        let zip = archive(&[stored("a.bin", &content)]);
        stage.complete_with_zip(&zip).await;
        // A host that is built for debugging copies slowly; memory grows at once or not at all.
        let share = if cfg!(debug_assertions) { 30 } else { 1 };
        for (file, bytes) in [("run.zip", &zip), ("a.bin", &content)] {
            let path = format!("/download/{id}/{file}");
            let (began, wanted) = (Instant::now(), bytes.len() / share);
            let before = stage.process.memory().1;
            let received = (0..8).map(|_| receive(&stage, &path, bytes, wanted));
            let received = futures::future::join_all(received).await;
            assert!(received.iter().all(|right| *right), "{file}: other bytes");
            let grown = stage.process.memory().1 - before;
            println!(
                "8 × {wanted} bytes of {} of {file} in {:.1?}: {grown} bytes of memory",
                bytes.len(),
                began.elapsed(),
            );
            assert!(grown < MAX_MEMORY, "{file}: {grown} bytes of memory");
        }
    });
}

#[test]
fn slow_readers_hold_no_connection_and_leaving_frees_all() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        let zip = noise(20_000_000);
        stage.complete_with_zip(&zip).await;
        let path = format!("/download/{id}/run.zip");
        let mut bodies = Vec::new();
        for _ in 0..SLOW_READERS {
            let mut body = stage.begin(get(&path)).await.into_body();
            body.frame().await.expect("a frame").expect("the first slice");
            bodies.push(body);
        }
        // If each of them held one, no connection would be left for others.
        let status = stage.tool("task_status", json!({ "task_id": id })).await;
        assert_eq!(status["state"], "completed", "{status}");
        // One of them reads on; the others go.
        let body = bodies.pop().expect("a body");
        drop(bodies);
        assert!(body.collect().await.expect("the rest").to_bytes().len() > 19_000_000);
        stage.until_idle().await;
        let connections = stage.connections("true").await;
        assert!(connections < 10, "{connections} connections to the database");
    });
}
