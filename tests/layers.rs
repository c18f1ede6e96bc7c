//! The modules of `src/` depend on each other in one direction.

use std::{collections::BTreeSet, fs, path::Path};

use crate::support::project;

/// The modules, from the top to the bottom. A module names those of the lines below its own.
const LAYERS: [&str; 15] = [
    "lib fuzzing",
    "router",
    "routes",
    "mcp",
    "tools",
    "actions",
    "artifacts catalogue",
    "db worker_plan",
    "request",
    "auth",
    "config",
    "log clock",
    "host",
    "render",
    "error",
];
/// The modules that all may name, and that name none.
const GROUND: [&str; 2] = ["json", "plan"];

fn layer(module: &str) -> usize {
    let layer = LAYERS
        .iter()
        .position(|layer| layer.split(' ').any(|name| name == module));
    layer.unwrap_or_else(|| {
        assert!(GROUND.contains(&module), "{module} has no layer");
        LAYERS.len()
    })
}

/// The modules that a text names after `crate::`, one by one or in braces.
fn named(text: &str) -> BTreeSet<&str> {
    let word = |text: &'_ str| {
        text.find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(text.len())
    };
    let mut names = BTreeSet::new();
    for rest in text.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            names.insert(&rest[..word(rest)]);
            continue;
        };
        let (mut depth, mut begins) = (0, true);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                c if begins && c.is_alphabetic() => {
                    names.insert(&list[at..at + word(&list[at..])]);
                    begins = false;
                }
                _ => {}
            }
        }
    }
    names
}

fn check(file: &Path, module: &str, wrong: &mut Vec<String>) {
    let text = fs::read_to_string(file).expect("a readable file");
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let code: Vec<_> = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    for name in named(&code.join("\n")) {
        if name != module && layer(name) <= layer(module) {
            wrong.push(format!("{} names {name}", file.display()));
        }
    }
}

fn check_all(folder: &Path, module: Option<&str>, wrong: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_str().expect("UTF-8").to_owned();
        let module = module.unwrap_or(&name);
        if path.is_dir() {
            check_all(&path, Some(module), wrong);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            check(&path, module, wrong);
        }
    }
}

#[test]
fn modules_name_only_those_below_them() {
    let mut wrong = Vec::new();
    check_all(&project().join("src"), None, &mut wrong);
    assert!(wrong.is_empty(), "{wrong:#?}");
}
