//! Files of a run where PlanExe's own services leave them, and when.

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    download_entries::noise,
    real_services::{file_info, heartbeat, set, status},
    support::{Stage, each_row, request, run, zips},
};

#[test]
fn a_complete_plan_that_was_not_stored_is_gone() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        set(
            &stage,
            "state = 'completed', progress_percentage = 100, progress_message = 'Completed'",
        )
        .await;
        for artifact in ["report", "zip"] {
            let info = file_info(&stage, &id, artifact).await;
            assert_eq!(info["error"]["code"], "content_unavailable", "{info}");
            let message = info["error"]["message"].as_str().expect("a message");
            assert!(
                message.starts_with("The plan is complete, but PlanExe did not store this file"),
                "{message}"
            );
        }
        for file in ["030-report.html", "run.zip"] {
            let answer = stage.get(&format!("/download/{id}/{file}")).await;
            assert_eq!(
                (answer.status(), &answer.json()["reason"]),
                (410, &json!("not_stored")),
                "{file}"
            );
            assert!(!answer.has_header("retry-after"));
        }
        let answer = stage
            .send(crate::support::tool_call(
                "secret",
                "task_status",
                &json!({ "task_id": id }),
            ))
            .await;
        let content = answer.json()["result"]["content"].as_array().expect("content").len();
        assert_eq!(content, 1, "no link to a report that is not there");
    });
}

#[test]
fn what_only_worker_plan_has_is_announced_for_seconds() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage
            .completed_at_worker(&[("030-report.html", b"<p>plan"), ("001-2-plan.txt", b"p")])
            .await;
        let info = file_info(&stage, &id, "report").await;
        assert_eq!(
            (&info["ready"], &info["download_size"]),
            (&json!(true), &json!(7)),
            "{info}"
        );
        assert!(
            info["hint"]
                .as_str()
                .is_some_and(|hint| hint.contains("Download it now")),
            "{info}"
        );
        let expires = info["expires_at"].as_str().expect("a time");
        let left = stage
            .value(
                "SELECT (extract(epoch FROM $1::text::timestamp - now() AT TIME ZONE 'UTC') BETWEEN 0 AND 11)::text",
                &[&expires],
            )
            .await;
        assert_eq!(left.as_deref(), Some("true"), "{expires}");
    });
}

#[test]
fn a_report_that_is_only_in_the_archive_is_handed_out() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        let zip = zips::archive(&[
            zips::deflated("999-pipeline_complete.txt", b"done"),
            zips::deflated("030-report.html", b"<p>\xff plan"),
        ]);
        stage
            .execute("UPDATE task_item SET run_zip_snapshot = $1", &[&zip])
            .await;
        each_row(["completed", "failed"], async |state| {
            set(&stage, &format!("state = '{state}'")).await;
            let info = file_info(&stage, &id, "report").await;
            assert_eq!(
                (&info["ready"], &info["download_size"]),
                (&json!(true), &json!(9)),
                "{state}: {info}"
            );
            assert!(info.get("hint").is_none(), "{info}");
            let report = stage.get(&format!("/download/{id}/030-report.html")).await;
            assert_eq!(
                (report.status(), &report.bytes()[..]),
                (200, &b"<p>\xff plan"[..]),
                "{state}"
            );
            assert_eq!(report.header("content-type"), "text/html; charset=utf-8");
        })
        .await;
    });
}

#[test]
fn the_archive_of_an_unfinished_plan_is_given_only_when_a_part_is_asked_for() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        set(&stage, "state = 'processing'").await;
        stage.worker.add_files(&id, [("001-2-plan.txt", "p")]);
        each_row(["false", "true"], async |stop| {
            set(&stage, &format!("stop_requested = {stop}")).await;
            assert_eq!(file_info(&stage, &id, "zip").await["ready"], false);
            let answer = stage.get(&format!("/download/{id}/run.zip")).await;
            assert_eq!((answer.status(), &answer.json()["reason"]), (404, &json!("not_ready")));
            let part = stage.get(&format!("/download/{id}/run.zip?partial=1")).await;
            assert_eq!((part.status(), &part.bytes()[..2]), (200, &b"PK"[..]));
            assert_eq!(stage.get(&format!("/download/{id}/001-2-plan.txt")).await.text(), "p");
            let later = stage.get(&format!("/download/{id}/002-6-x.md")).await;
            assert_eq!(
                (later.status(), &later.json()["reason"]),
                (404, &json!("not_ready")),
                "not made yet"
            );
        })
        .await;
    });
}

#[test]
fn a_row_that_is_updated_breaks_no_download() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        let text = noise(3_000_000);
        let zip = zips::archive(&[zips::deflated("001-2-a.bin", &text), zips::stored("002-1-b.bin", &text)]);
        stage.complete_with_zip(&zip).await;
        let report = "<p>plan</p>\n".repeat(900_000);
        stage
            .execute("UPDATE task_item SET generated_report_html = $1", &[&report])
            .await;
        each_row(
            [
                ("run.zip", &zip[..]),
                ("001-2-a.bin", &text),
                ("002-1-b.bin", &text),
                ("030-report.html", report.as_bytes()),
            ],
            async |(file, expected)| {
                let path = format!("/download/{id}/{file}");
                let answer = stage.begin(request(Method::GET, &path, &[], Bytes::new())).await;
                let etag = answer.headers()["etag"].clone();
                let mut body = answer.into_body();
                let first = body
                    .frame()
                    .await
                    .expect("a frame")
                    .expect("bytes")
                    .into_data()
                    .expect("data");
                // What the web frontend does whenever a browser asks for the progress.
                set(&stage, "last_seen_timestamp = now() AT TIME ZONE 'UTC'").await;
                let rest = body.collect().await.expect("the rest").to_bytes();
                assert!([&first[..], &rest].concat() == expected, "{file}: other bytes");
                let again = stage.send(request(Method::HEAD, &path, &[], Bytes::new())).await;
                assert_eq!(again.header("etag"), etag, "{file}");
            },
        )
        .await;
    });
}

#[test]
fn the_list_of_a_running_plan_survives_its_end() {
    run(async {
        let worker = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", worker.local_addr().expect("an address"));
        let stage = Stage::builder().set("PLANEXE_WORKER_PLAN_URL", &url).build().await;
        let id = stage.create("p").await;
        set(&stage, "state = 'processing'").await;
        heartbeat(&stage, "a", Some(&id), 1.0).await;
        let zip = zips::archive(&[zips::deflated("001-2-plan.txt", b"p")]);
        // Between the reading of the row and the list, PlanExe's worker stores the archive and deletes its folder.
        let worker = async {
            let (mut stream, _) = worker.accept().await.expect("a connection");
            let _ = stream.read(&mut [0; 1024]).await.expect("a request");
            stage
                .execute("UPDATE task_item SET run_zip_snapshot = $1", &[&zip])
                .await;
            let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            stream.write_all(answer).await.expect("an open connection");
            stream.shutdown().await.expect("an open connection");
        };
        let (listed, ()) = futures::join!(status(&stage, &id), worker);
        assert_eq!(listed["state"], "running", "{listed}");
        assert_eq!(listed["files"][0]["path"], "001-2-plan.txt", "{listed}");
    });
}

#[test]
fn the_log_of_the_language_models_is_only_in_the_archive() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        let zip = zips::archive(&[
            zips::deflated("track_activity.jsonl", b"{}"),
            zips::deflated("001-2-plan.txt", b"p"),
        ]);
        stage.complete_with_zip(&zip).await;
        let listed = status(&stage, &id).await;
        assert_eq!(listed["files"].as_array().map(Vec::len), Some(1), "{listed}");
        let answer = stage.get(&format!("/download/{id}/track_activity.jsonl")).await;
        assert_eq!((answer.status(), &answer.json()["reason"]), (404, &json!("withheld")));
        let params = json!({ "uri": format!("planexe://task/{id}/track_activity.jsonl") });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": params });
        let answer = stage.post("/mcp", &body).await;
        assert_eq!(answer.json()["error"]["code"], -32002, "{}", answer.text());
        assert!(*stage.get(&format!("/download/{id}/run.zip")).await.bytes() == zip);
    });
}

#[test]
fn times_of_files_are_utc_whatever_the_zone_of_the_worker() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        let mut entry = zips::deflated("030-report.html", b"<p>plan");
        // 2026-01-31 20:59:58, in Tokyo.
        entry.modified = ((20 << 11) | (59 << 5) | 29, (46 << 9) | (1 << 5) | 31);
        stage.complete_with_zip(&zips::archive(&[entry])).await;
        let expected = json!([{ "path": "030-report.html", "updated_at": "2026-01-31T11:59:58Z" }]);
        assert_eq!(status(&stage, &id).await["files"], expected);
        // The event is of another state: only today's row says when the worker was last at work.
        if stage.schema().has_plans() {
            set(&stage, "state = 'stopped'").await;
            assert_eq!(status(&stage, &id).await["files"], expected);
        }
    });
}
