//! What the documents say of routes, settings and the errors of stdio is what there is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{read_dir, read_to_string},
};

use planexe_local::settings;

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

#[test]
fn every_error_of_stdio_is_described() {
    let mut wanted = BTreeSet::new();
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
    // The server's errors are described too: tests/generated/errors.rs.
    let page = text("docs/troubleshooting.md");
    let described = |name| -> BTreeSet<String> {
        let lines = between(&page, name).lines();
        let codes = lines.filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned));
        codes.collect()
    };
    wanted.retain(|code| !described("errors").contains(code));
    assert_eq!(described("stdio errors"), wanted);
}

#[test]
fn every_route_is_described() {
    run(async {
        let stage = Stage::builder().build().await;
        let index = stage.get("/").await.json();
        let reference = text("docs/reference.md");
        for route in index["routes"].as_array().expect("routes") {
            let route = route.as_str().expect("text");
            assert!(
                route == "OPTIONS *" || reference.contains(&format!("| `{route}` |")),
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
    let reference = text("docs/reference.md");
    for name in variables().keys() {
        let setting = setting(name);
        // One line of the table names the five parts of the address.
        let short = setting.replace("PLANEXE_POSTGRES", "");
        assert!(
            reference.contains(&format!("| `{setting}` |"))
                || reference.contains(&format!("`{short}`"))
                || reference.contains(&format!("| `{setting}`, `_PORT`")),
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
