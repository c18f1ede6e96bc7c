//! `GET /download/{task_id}/{file}`: bytes, headers, keys, links.

use serde_json::json;

use crate::support::{
    Schema, Stage, each_row, run,
    zips::{archive, deflated},
};

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

#[test]
fn the_report_has_two_names() {
    run(async {
        for schema in [Schema::February, Schema::May] {
            let stage = Stage::builder().schema(schema).with_key().build().await;
            let at_worker = stage
                .completed_at_worker(&[("030-report.html", b"<p>at the worker")])
                .await;
            let (mut plans, page) = (vec![(at_worker, "<p>at the worker")], "<p>in the archive");
            for packed in ["030-report.html", "report.html"] {
                let id = stage.create(packed).await;
                let zip = archive(&[deflated("a.md", b"a"), deflated(packed, page.as_bytes())]);
                let set = "UPDATE task_item SET state = 'completed', run_zip_snapshot = $2 WHERE id = $1::text::uuid";
                stage.execute(set, &[&id, &zip]).await;
                plans.push((id, page));
            }
            let id = stage.create("q").await;
            let set = "UPDATE task_item SET state = 'completed', generated_report_html = '<p>in its column' \
                 WHERE id = $1::text::uuid";
            stage.execute(set, &[&id]).await;
            plans.push((id, "<p>in its column"));
            let tools = [
                ("task_file_info", "task_id", "030-report.html"),
                ("plan_file_info", "plan_id", "report.html"),
            ];
            for (id, page) in plans {
                for (tool, argument, name) in tools {
                    let report = stage.get_with_key(&format!("/download/{id}/{name}")).await;
                    assert_eq!(report.text(), page, "{schema:?} {name}");
                    let disposition = format!("inline; filename=\"{name}\"");
                    assert_eq!(report.header("content-disposition"), disposition, "{schema:?}");
                    let link = stage.tool(tool, json!({ argument: id })).await["download_url"].clone();
                    let link = link.as_str().unwrap_or_default().replace("http://test.local:3000", "");
                    assert!(link.contains(&format!("/{name}?")), "{schema:?} {tool}: {link}");
                    assert_eq!(stage.get(&link).await.text(), page, "{schema:?} {name}");
                    let params = json!({ "uri": format!("planexe://task/{id}/{name}") });
                    let read = json!({ "jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": params });
                    let answer = stage.post("/mcp", &read).await.json();
                    assert_eq!(
                        answer["result"]["contents"][0]["text"], page,
                        "{schema:?} {name}: {answer}"
                    );
                }
            }
        }
    });
}

#[test]
fn the_row_says_when_and_why_a_plan_of_today_ended() {
    run(async {
        let stage = Stage::builder().schema(Schema::May).build().await;
        let id = stage.create("p").await;
        stage.complete_with_zip(&archive(&[deflated("a.md", b"a")])).await;
        stage.execute("DELETE FROM events", &[]).await;
        let zip = stage.get(&format!("/download/{id}/run.zip")).await;
        assert_eq!(zip.header("last-modified"), "Sat, 31 Jan 2026 12:00:00 GMT");
        let failed = "UPDATE task_item SET state = 'failed', error_message = 'The model did not answer'";
        stage.execute(failed, &[]).await;
        let report = stage.get(&format!("/download/{id}/report.html")).await;
        let detail = report.json()["detail"].to_string();
        assert!(
            detail.contains("PlanExe's reason: The model did not answer. "),
            "{detail}"
        );
        for answer in [zip, report] {
            let statements = stage.log_of(&answer).await["statements"].as_u64();
            assert!(statements <= Some(3), "the event is not looked for: {statements:?}");
        }
    });
}

/// The query with another last digit.
fn changed_at_the_end(query: &str) -> String {
    let (rest, last) = query.split_at(query.len() - 1);
    format!("{rest}{}", if last == "0" { "1" } else { "0" })
}
