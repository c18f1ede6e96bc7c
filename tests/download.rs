//! `GET /download/{task_id}/{file}`: bytes, headers, keys, links.

use serde_json::json;

use crate::support::{Stage, each_row, run};

#[test]
fn files_come_whole_with_their_headers() {
    run(async {
        let stage = Stage::builder().with_key().working().build().await;
        let id = stage.create("Open a bakery in Lyon").await;
        stage.wait_for(&id, &["completed"]).await;
        let report = stage.get_with_key(&format!("/download/{id}/030-report.html")).await;
        let stored = stage
            .value("SELECT generated_report_html FROM task_item", &[])
            .await
            .expect("a report");
        assert_eq!(report.text(), stored);
        assert_eq!(report.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(
            report.header("content-disposition"),
            "inline; filename=\"030-report.html\""
        );
        assert_eq!(report.header("content-length"), stored.len().to_string());
        assert_eq!(report.header("x-content-type-options"), "nosniff");
        assert!(
            report
                .header("content-security-policy")
                .starts_with("sandbox allow-scripts")
        );
        let zip = stage.get_with_key(&format!("/download/{id}/run.zip/")).await;
        let digest = stage
            .value("SELECT encode(sha256(run_zip_snapshot), 'hex') FROM task_item", &[])
            .await;
        assert_eq!(zip.header("content-type"), "application/zip");
        assert_eq!(
            zip.header("content-disposition"),
            format!("attachment; filename=\"{id}.zip\"")
        );
        assert_eq!(zip.header("etag"), format!("\"{}\"", digest.unwrap_or_default()));
        assert_eq!(zip.bytes().slice(..2), "PK");
    });
}

#[test]
fn without_key_or_link_nothing_is_handed_out() {
    run(async {
        let stage = Stage::builder().with_key().working().build().await;
        let id = stage.create("p").await;
        stage.wait_for(&id, &["completed"]).await;
        let report = format!("/download/{id}/030-report.html");
        assert_eq!(stage.get(&report).await.status(), 401);
        let info = stage.tool("task_file_info", json!({ "task_id": id })).await;
        let url = info["download_url"].as_str().expect("a link");
        let query = url.split_once('?').expect("a query").1;
        assert_eq!(stage.get(&format!("{report}?{query}")).await.status(), 200);
        each_row(
            [
                (format!("/download/{id}/run.zip"), query.to_owned()),
                (report.clone(), query.replace("expires=", "expires=1")),
                (report.clone(), query.replace("signature=", "signature=0")),
                (report.clone(), changed_at_the_end(query)),
            ],
            async |(path, query)| {
                let answer = stage.get(&format!("{path}?{query}")).await;
                assert_eq!(answer.status(), 403, "{path}?{query}: {}", answer.text());
            },
        )
        .await;
    });
}

#[test]
fn what_is_not_there_is_404_with_a_reason() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        each_row(
            [
                (
                    "state = 'pending'",
                    format!("/download/{id}/030-report.html"),
                    "the task is pending, at 0 %",
                ),
                (
                    "progress_percentage = 12.5",
                    format!("/download/{id}/run.zip"),
                    "the task is pending, at 12.5 %",
                ),
                (
                    "state = 'processing'",
                    format!("/download/{id}/030-report.html"),
                    "the task is running, at 12.5 %",
                ),
                (
                    "state = 'processing'",
                    format!("/download/{id}/run.zip"),
                    "the task is running, at 12.5 %",
                ),
                (
                    "state = 'processing'",
                    format!("/download/{id}/run.zip?partial=1"),
                    "the task is running, at 12.5 %",
                ),
                (
                    "stop_requested = true",
                    format!("/download/{id}/002-6-x.md"),
                    "It may still complete",
                ),
                (
                    "stop_requested = true, state = 'failed'",
                    format!("/download/{id}/030-report.html"),
                    "the task was stopped at 12.5 %",
                ),
                (
                    "progress_message = '14 of 111', stop_requested = false",
                    format!("/download/{id}/030-report.html"),
                    "The plan failed at 12.5 % (14 of 111).",
                ),
                (
                    "state = 'completed'",
                    "/download/no-uuid/030-report.html".to_owned(),
                    "No task has this task_id.",
                ),
                (
                    "state = 'completed'",
                    "/download/5e2b2a7c-8b49-4d2f-9b8f-6a3c1f05b9a1/run.zip".to_owned(),
                    "No task has this task_id.",
                ),
            ],
            async |(set, path, detail)| {
                stage.execute(&format!("UPDATE task_item SET {set}"), &[]).await;
                let answer = stage.get(&path).await;
                assert_eq!(answer.status(), 404, "{set} {path}");
                let found = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
                assert!(found.contains(detail), "{set} {path}: {found}");
            },
        )
        .await;
    });
}

/// The query with another last digit.
fn changed_at_the_end(query: &str) -> String {
    let (rest, last) = query.split_at(query.len() - 1);
    format!("{rest}{}", if last == "0" { "1" } else { "0" })
}
