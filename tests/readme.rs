//! What README says of routes, settings and clients is what there is.

use std::fs::read_to_string;

use crate::support::{Stage, manifest, project, run};

fn text(file: &str) -> String {
    read_to_string(project().join(file)).expect("a readable file")
}

#[test]
fn every_route_is_described() {
    run(async {
        let stage = Stage::builder().build().await;
        let index = stage.get("/").await.json();
        let readme = text("README.md");
        for route in index["routes"].as_array().expect("routes") {
            let route = route.as_str().expect("text");
            assert!(
                route == "OPTIONS *" || readme.contains(&format!("| `{route}` |")),
                "{route}"
            );
        }
    });
}

#[test]
fn every_setting_is_described() {
    let readme = text("README.md");
    for name in manifest().variables().keys() {
        let setting = match name.as_str() {
            "sqlalchemy_database_uri" => "SQLALCHEMY_DATABASE_URI".to_owned(),
            name => format!("PLANEXE_{}", name.to_uppercase()),
        };
        // One line of the table names the five parts of the address.
        let short = setting.replace("PLANEXE_POSTGRES", "");
        assert!(
            readme.contains(&format!("| `{setting}` |"))
                || readme.contains(&format!("`{short}`"))
                || readme.contains(&format!("| `{setting}`, `_PORT`")),
            "{setting}"
        );
    }
}

#[test]
fn the_clients_are_those_that_were_run() {
    let readme = text("README.md");
    let shown = readme
        .split("<!-- clients -->\n")
        .nth(1)
        .and_then(|rest| rest.split("<!-- /clients -->").next());
    let results = text("clients/RESULTS.md");
    let run: Vec<&str> = results.lines().take_while(|line| line.starts_with('|')).collect();
    assert_eq!(shown.expect("the markers").trim_end(), run.join("\n"));
}
