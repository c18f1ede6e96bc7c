//! `planexe-local demo`: the whole job against a server, as a person at a terminal sees it.

use crate::support::{
    Stage, run,
    stdio::{Plans, program},
};

/// What the demo writes to standard output and error, and whether it is content.
async fn demo(url: &str, key: &str, goal: &str, out: &Plans) -> (String, String, bool) {
    let mut command = program("demo", &[]);
    let command = command.args([
        "--url",
        url,
        "--key",
        key,
        "--detail",
        "ping",
        "--out",
        out.path(),
        goal,
    ]);
    let output = command.output().await.expect("a process");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.success())
}

#[test]
fn report_and_archive_are_saved_and_what_went_wrong_is_told() {
    run(async {
        let stage = Stage::builder().with_key().working().build().await;
        let url = format!("http://{}", stage.address());
        let plans = Plans::new("demo");

        let (told, complaints, is_well) = demo(&url, "secret", "Open a bakery in Lyon", &plans).await;
        assert!(is_well && complaints.is_empty(), "{told}{complaints}");
        let names = plans.names();
        assert_eq!(names.len(), 2);
        assert!(
            names[0].ends_with("-030-report.html") && names[1].ends_with(".zip"),
            "{names:?}"
        );
        for words in [
            "Connected to planexe-mcp-server",
            "prompt_examples: 5",
            "task_create",
            "completed 100 %",
            &names[0],
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }

        for (key, goal, words) in [
            ("", "Open a bakery", "wants an API key: set PLANEXE_MCP_API_KEY"),
            ("wrong", "Open a bakery", "refuses the key in PLANEXE_MCP_API_KEY"),
            ("secret", " ", "the goal is empty"),
        ] {
            let (_, complaint, is_well) = demo(&url, key, goal, &plans).await;
            assert!(!is_well && complaint.contains(words), "{complaint}");
        }
        stage.process.kill();
        let (_, complaint, is_well) = demo(&url, "secret", "Open a bakery", &plans).await;
        assert!(
            !is_well && complaint.contains("No server answers at 127.0.0.1:"),
            "{complaint}"
        );
        assert_eq!(plans.names().len(), 2);
    });
}
