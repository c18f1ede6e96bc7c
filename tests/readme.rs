//! What the documents say of routes, settings, tools, errors and clients is what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{read_dir, read_to_string, write};

use planexe_local::settings;
use serde_json::Value;

use crate::support::{Stage, project, run, variables};

fn text(file: &str) -> String {
    read_to_string(project().join(file)).expect("a readable file")
}

/// What stands between the markers `<!-- name -->` and `<!-- /name -->`.
fn between<'a>(document: &'a str, name: &str) -> &'a str {
    let rest = document.split(&format!("<!-- {name} -->\n")).nth(1);
    let part = rest.and_then(|rest| rest.split(&format!("<!-- /{name} -->")).next());
    part.expect("the markers").trim_end()
}

/// A row of the table of tools.
fn tool_row(tool: &Value, place: &str) -> String {
    let name = tool["name"].as_str().expect("a name");
    let description = tool["description"].as_str().expect("a description");
    let first = description.split_inclusive(". ").next().unwrap_or_default().trim_end();
    let required = tool["inputSchema"]["required"].as_array();
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|required| required == name));
    let arguments = tool["inputSchema"]["properties"].as_object();
    let mut arguments: Vec<_> = arguments.into_iter().flatten().collect();
    arguments.sort_by_key(|(name, _)| !is_required(name));
    let arguments: Vec<_> = arguments
        .into_iter()
        .map(|(name, schema)| {
            let choices = schema["enum"].as_array().into_iter().flatten();
            let choices: Vec<_> = choices
                .map(|choice| format!("`{}`", choice.as_str().expect("text")))
                .collect();
            let choices = if choices.is_empty() {
                String::new()
            } else {
                format!(": {}", choices.join(", "))
            };
            let optional = if is_required(name) { "" } else { "?" };
            format!("`{name}`{optional}{choices}")
        })
        .collect();
    let hint = |name: &str| tool["annotations"][name] == true;
    let changes = match (hint("readOnlyHint"), hint("destructiveHint"), hint("idempotentHint")) {
        (true, _, _) => "reads",
        (false, true, _) => "ends something",
        (false, false, true) => "writes once",
        (false, false, false) => "makes something each time",
    };
    format!("| `{name}`{place} | {} | {first} | {changes} |", arguments.join("; "))
}

#[test]
fn the_tools_are_those_that_clients_see() {
    let tools: Value = serde_json::from_str(&text("src/tools/list.json")).expect("JSON");
    let download: Value = serde_json::from_str(&text("local/src/stdio/task_download.json")).expect("JSON");
    let mut rows = vec![
        "| tool | arguments | does | effect |".to_owned(),
        "| --- | --- | --- | --- |".to_owned(),
    ];
    rows.extend(tools.as_array().expect("tools").iter().map(|tool| tool_row(tool, "")));
    rows.push(tool_row(&download, " (stdio)"));
    let readme = text("README.md");
    let (shown, rows) = (between(&readme, "tools"), rows.join("\n"));
    if std::env::var_os("UPDATE_LISTS").is_some() {
        let (before, rest) = readme.split_once("<!-- tools -->\n").expect("the marker");
        let (_, after) = rest.split_once("<!-- /tools -->").expect("the marker");
        let readme = format!("{before}<!-- tools -->\n{rows}\n<!-- /tools -->{after}");
        write(project().join("README.md"), readme).expect("a writable file");
        return;
    }
    assert_eq!(shown, rows, "run UPDATE_LISTS=1 cargo test --test component readme");
}

/// The words in quotation marks in a piece of code that are written as codes of errors are.
fn codes(code: &str) -> impl Iterator<Item = String> {
    let is_code = |word: &&str| {
        word.len() > 5 && word.contains('_') && word.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
    };
    code.split('"').skip(1).step_by(2).filter(is_code).map(str::to_owned)
}

#[test]
fn every_error_is_described() {
    let errors = text("src/error.rs");
    let (_, of_the_server) = errors.split_once("pub fn code(").expect("the codes");
    let (of_the_server, _) = of_the_server.split_once("pub fn message(").expect("the messages");
    let mut wanted: BTreeSet<_> = codes(of_the_server).collect();
    assert!(wanted.len() > 20, "{wanted:?}");
    let of_stdio = read_dir(project().join("local/src/stdio")).expect("a folder");
    let mut files: Vec<_> = of_stdio.map(|entry| entry.expect("an entry").path()).collect();
    files.push(project().join("local/src/stdio.rs"));
    for file in files {
        let code = read_to_string(file).expect("a readable file");
        // A code is followed by its text; the name of a setting is not.
        let words = code
            .match_indices("\",")
            .filter_map(|(end, _)| code[..end].rsplit('"').next());
        let is_code = |word: &&str| word.contains('_') && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        wanted.extend(words.filter(is_code).map(str::to_owned));
    }
    let page = text("docs/troubleshooting.md");
    let described: BTreeSet<_> = between(&page, "errors")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned))
        .collect();
    assert_eq!(described, wanted);
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

/// The environment's name of a variable of `spin.toml`.
fn setting(variable: &str) -> String {
    match variable {
        "sqlalchemy_database_uri" => "SQLALCHEMY_DATABASE_URI".to_owned(),
        variable => format!("PLANEXE_{}", variable.to_uppercase()),
    }
}

#[test]
fn every_setting_is_described() {
    let readme = text("README.md");
    for name in variables().keys() {
        let setting = setting(name);
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
fn the_example_of_dotenv_has_every_setting_with_its_default() {
    let example = text(".env.example");
    let lines: Vec<&str> = example.lines().collect();
    let mut shown = BTreeMap::new();
    for pair in lines.windows(2) {
        let setting = pair[1].strip_prefix('#').filter(|line| !line.starts_with(' '));
        if let Some((name, value)) = setting.and_then(|line| line.split_once('=')) {
            assert!(pair[0].starts_with("# "), "{name} is not explained");
            shown.insert(name.to_owned(), value.to_owned());
        }
    }
    let mut settings: BTreeMap<_, _> = variables()
        .into_iter()
        .map(|(name, default)| (setting(&name), default))
        .collect();
    let address = settings::listener(&settings::Variables::new()).expect("an address");
    settings.insert("PLANEXE_MCP_HTTP_HOST".to_owned(), address.ip().to_string());
    settings.insert("PLANEXE_MCP_HTTP_PORT".to_owned(), address.port().to_string());
    settings.insert("PORT".to_owned(), String::new());
    assert_eq!(shown, settings);
    // A copy of it changes nothing.
    assert!(lines.iter().all(|line| line.is_empty() || line.starts_with('#')));
}

#[test]
fn the_clients_are_those_that_were_run() {
    let page = text("docs/clients.md");
    let results = text("clients/RESULTS.md");
    let run: Vec<&str> = results.lines().take_while(|line| line.starts_with('|')).collect();
    assert_eq!(between(&page, "clients"), run.join("\n"));
}
