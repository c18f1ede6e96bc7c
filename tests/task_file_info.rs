//! `task_file_info`: a link, size and hash when the file is there, and why when it is not.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{Schema, Stage, each_row, run};

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The path and query of a link.
fn path(info: &Value) -> String {
    let url = info["download_url"]
        .as_str()
        .unwrap_or_else(|| panic!("no link: {info}"));
    url.strip_prefix("http://test.local:3000")
        .expect("the request's own origin")
        .to_owned()
}

#[test]
fn a_finished_plan_has_links_that_need_no_key() {
    run(async {
        each_row([true, false], async |is_stored| {
            let stage = Stage::builder().with_key();
            let stage = if is_stored { stage.working() } else { stage }.build().await;
            let id = if is_stored {
                let id = stage.create("Open a bakery in Lyon").await;
                stage.wait_for(&id, &["completed"]).await;
                id
            } else {
                stage.completed_at_worker(&[("030-report.html", b"<p>plan")]).await
            };
            for (artifact, content_type) in [("report", "text/html; charset=utf-8"), ("zip", "application/zip")] {
                let info = stage
                    .tool("task_file_info", json!({ "task_id": id, "artifact": artifact }))
                    .await;
                assert_eq!(info["ready"], true, "{info}");
                assert_eq!(info["content_type"], content_type);
                assert!(
                    info["expires_at"].as_str().is_some_and(|time| time.ends_with('Z')),
                    "{info}"
                );
                let file = stage.get(&path(&info)).await;
                assert_eq!(file.status(), 200, "{}", file.text());
                assert_eq!(file.header("content-type"), content_type);
                let size = json!(file.bytes().len());
                // What is left out of a worker's archive, where the database knows layouts, is known only at its end.
                let is_changed = artifact == "zip" && !is_stored && stage.schema() != Schema::February;
                let expected = if is_changed { Value::Null } else { size };
                assert_eq!(info["download_size"], expected, "{artifact}");
                if artifact == "report" {
                    // An archive is packed afresh for each call where the database does not have it.
                    assert_eq!(sha256(file.bytes()), info["sha256"], "{artifact}");
                }
            }
        })
        .await;
    });
}

#[test]
fn a_plan_that_is_not_there_says_why() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        each_row(
            [
                ("state = 'pending'", "pending", 0.0),
                ("state = 'processing', progress_percentage = 47.2", "running", 47.2),
                ("stop_requested = true", "stopping", 47.2),
                ("state = 'failed'", "stopped", 47.2),
            ],
            async |(set, state, percentage)| {
                stage.execute(&format!("UPDATE task_item SET {set}"), &[]).await;
                for artifact in ["report", "zip"] {
                    let info = stage
                        .tool("task_file_info", json!({ "task_id": id, "artifact": artifact }))
                        .await;
                    assert_eq!(info["ready"], false, "{info}");
                    assert_eq!(info["state"], state);
                    assert_eq!(info["progress_percentage"], percentage);
                    assert!(
                        info["reason"].as_str().is_some_and(|reason| reason.ends_with('.')),
                        "{info}"
                    );
                }
            },
        )
        .await;
    });
}

#[test]
fn links_begin_with_the_public_base_url() {
    run(async {
        let stage = Stage::builder()
            .set("PLANEXE_MCP_PUBLIC_BASE_URL", "https://plans.example.org/")
            .working()
            .build()
            .await;
        let id = stage.create("p").await;
        stage.wait_for(&id, &["completed"]).await;
        let info = stage.tool("task_file_info", json!({ "task_id": id })).await;
        let url = info["download_url"].as_str().expect("a link");
        assert!(
            url.starts_with(&format!(
                "https://plans.example.org/download/{id}/030-report.html?expires="
            )),
            "{url}"
        );
    });
}
