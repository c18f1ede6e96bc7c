//! `task_download`, the tool that only stdio has: what is saved, what never is, and what is said then.

use serde_json::json;

use crate::support::{
    ANSWERED, Stage, run,
    stdio::{Client, Plans, check_saved, content, modern},
};

#[test]
fn a_plan_is_waited_for_and_saved_once() {
    run(async {
        let stage = Stage::builder().working().build().await;
        let plans = Plans::new("once");
        let mut client = Client::here(&stage, &[("PLANEXE_PATH", plans.path())]).await;
        let created = client.tool("task_create", json!({ "prompt": "Open a bakery" })).await;
        let id = created["task_id"].as_str().expect("a task").to_owned();
        let call = json!({
            "name": "task_download", "arguments": { "task_id": id, "wait_seconds": 60 }, "_meta": { "progressToken": 7 }
        });
        let (answer, progress) = client.ask("tools/call", modern(call)).await;
        let saved = content(&answer);
        check_saved(&saved);
        assert_eq!(saved["content_type"], "text/html; charset=utf-8");
        let mut last = -1.0;
        for notification in &progress {
            assert_eq!(notification["method"], "notifications/progress");
            assert_eq!(notification["params"]["progressToken"], 7);
            let now = notification["params"]["progress"].as_f64().expect("a number");
            assert!(now > last, "{progress:?}");
            last = now;
        }
        assert!(!progress.is_empty());
        let report = format!("{id}-030-report.html");
        assert_eq!(plans.names(), std::slice::from_ref(&report));

        // The same file again is found; another one of the name is left alone.
        let again = client.tool("task_download", json!({ "task_id": id })).await;
        assert_eq!(
            (&again["saved_path"], &again["already_saved"]),
            (&saved["saved_path"], &json!(true))
        );
        std::fs::write(plans.0.join(&report), "notes of the user").expect("a file");
        let beside = client
            .tool("task_download", json!({ "task_id": id.to_uppercase() }))
            .await;
        check_saved(&beside);
        assert_eq!(plans.names(), [format!("{id}-030-report-1.html"), report.clone()]);
        let kept = std::fs::read_to_string(plans.0.join(&report)).expect("a file");
        assert_eq!(kept, "notes of the user");

        // So is a link, which may lead anywhere.
        let elsewhere = plans.0.join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, plans.0.join(format!("{id}.zip"))).expect("a link");
        let zip = client
            .tool("task_download", json!({ "task_id": id, "artifact": "zip" }))
            .await;
        check_saved(&zip);
        assert!(!elsewhere.exists());
        assert!(
            zip["saved_path"]
                .as_str()
                .is_some_and(|path| path.ends_with(&format!("/{id}-1.zip")))
        );

        // The link for people leads to this process, and only with its signature.
        let info = client.tool("task_file_info", json!({ "task_id": id })).await;
        let url = info["download_url"].as_str().expect("a link");
        assert_eq!(status_of(url).await, 200);
        assert_eq!(status_of(url.split('?').next().expect("a path")).await, 401);
        client.end().await;
    });
}

/// The status of a `GET` over TCP.
async fn status_of(url: &str) -> u16 {
    use http_body_util::Empty;
    use hyper_util::{client::legacy::Client, rt::TokioExecutor};
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
    client
        .get(url.parse().expect("an address"))
        .await
        .expect("an answer")
        .status()
        .as_u16()
}

#[test]
fn what_cannot_be_saved_is_said() {
    run(async {
        let stage = Stage::builder().build().await;
        let plans = Plans::new("unset");
        let id = stage.create("x").await;
        let file = plans.0.join("file");
        std::fs::write(&file, "").expect("a file");
        for (path, code) in [
            (None, "PLANEXE_PATH_UNSET"),
            (Some(" "), "PLANEXE_PATH_UNSET"),
            (Some("/nowhere/at/all"), "PLANEXE_PATH_NO_FOLDER"),
            (file.to_str(), "PLANEXE_PATH_NO_FOLDER"),
        ] {
            let variables: Vec<_> = path.into_iter().map(|path| ("PLANEXE_PATH", path)).collect();
            let mut client = Client::here(&stage, &variables).await;
            let refused = client.tool("task_download", json!({ "task_id": id })).await;
            assert_eq!(refused["error"]["code"], code);
            let words = refused["error"]["message"].as_str().expect("words");
            assert!(words.contains("set"), "{words}");
            client.end().await;
        }
        let mut client = Client::here(&stage, &[("PLANEXE_PATH", plans.path())]).await;
        for (arguments, code) in [
            (json!({}), "INVALID_ARGUMENT"),
            (json!({ "task_id": 7 }), "INVALID_ARGUMENT"),
            (json!({ "task_id": id, "artifact": "pdf" }), "INVALID_ARGUMENT"),
            (json!({ "task_id": id, "wait_seconds": 3601 }), "INVALID_ARGUMENT"),
            (json!({ "task_id": id, "wait_seconds": -1 }), "INVALID_ARGUMENT"),
            (json!({ "task_id": id, "path": "/etc" }), "INVALID_ARGUMENT"),
            (json!({ "task_id": null }), "INVALID_ARGUMENT"),
            (json!({ "task_id": "../../etc/passwd" }), "TASK_NOT_FOUND"),
            (json!({ "task_id": format!("../{id}") }), "TASK_NOT_FOUND"),
            (json!({ "task_id": "" }), "TASK_NOT_FOUND"),
            (
                json!({ "task_id": "5e2b2a7c-8b49-4d2f-9b8f-6a3c1f05b9a1" }),
                "TASK_NOT_FOUND",
            ),
        ] {
            let refused = client.tool("task_download", arguments.clone()).await;
            assert_eq!(refused["error"]["code"], code, "{arguments}");
        }
        // A file that is not ready is told as task_file_info tells it.
        let waiting = client
            .tool("task_download", json!({ "task_id": id, "artifact": null }))
            .await;
        assert_eq!(waiting, client.tool("task_file_info", json!({ "task_id": id })).await);
        assert_eq!(waiting["ready"], false);
        assert_eq!(plans.names(), ["file"]);
        client.end().await;
    });
}

#[test]
fn a_cancelled_request_has_no_answer_and_others_go_on() {
    run(async {
        let stage = Stage::builder().build().await;
        let plans = Plans::new("cancel");
        let mut client = Client::here(&stage, &[("PLANEXE_PATH", plans.path())]).await;
        let id = stage.create("no worker has it").await;
        let params = json!({
            "name": "task_download", "arguments": { "task_id": id, "wait_seconds": 3600 }, "_meta": { "progressToken": "t" }
        });
        let call = json!({ "jsonrpc": "2.0", "id": "slow", "method": "tools/call", "params": modern(params) });
        client.send(&call.to_string()).await;
        assert_eq!(client.next().await["params"]["progressToken"], "t");
        // It is still waiting, and others are served beside it.
        client.tool("prompt_examples", json!({})).await;
        client
            .send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"slow"}}"#)
            .await;
        // The end waits for all that has not been cancelled.
        let rest = tokio::time::timeout(ANSWERED, client.end()).await.expect("the end");
        assert_eq!(rest, (vec![], true));
    });
}
