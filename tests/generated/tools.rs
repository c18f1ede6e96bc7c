//! How clients see the tools, made of their types: `src/tools/list/`, which the component carries, and the table in
//! README.md.

use planexe_mcp::tools::{ALL, Family, Tool, icon};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

use crate::{assert_file, assert_part, text};

/// Every tool as `tools/list` shows it.
pub fn list() -> Vec<Value> {
    ALL.iter().map(describe).collect()
}

fn describe(tool: &Tool) -> Value {
    let about = &tool.about;
    json!({
        "name": tool.name,
        "title": about.title,
        "description": about.description,
        "inputSchema": schema(about.arguments),
        "outputSchema": with_error(schema(about.output)),
        "annotations": about.annotations,
        "icons": [icon()],
    })
}

/// The JSON schema of a type.
pub fn schema_of<T: JsonSchema>() -> Value {
    schema(SchemaGenerator::into_root_schema_for::<T>)
}

/// A JSON schema (2020-12): one flat object, since some clients drop tools whose schemas hold references.
fn schema(make: fn(SchemaGenerator) -> Schema) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = make(settings.into_generator()).to_value();
    if let Some(object) = schema.as_object_mut() {
        object.remove("title");
        object.remove("description");
    }
    tidy(&mut schema);
    schema
}

/// Takes off what strict validators refuse: formats that name Rust's number types, and the default null of what is left
/// out, which its type does not allow.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.get("format").is_some_and(Value::is_string) {
                object.remove("format");
            }
            if object.contains_key("type") && object.get("default").is_some_and(Value::is_null) {
                object.remove("default");
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The schema of a result: that of the success with the error beside it. Nothing is required, because clients check
/// errors against it too.
fn with_error(mut schema: Value) -> Value {
    let object = schema.as_object_mut().expect("an object");
    object.remove("required");
    object.remove("additionalProperties");
    let mut error = json!({
        "type": "object",
        "description": "Set when the call failed; nothing else is set then.",
        "properties": {
            "code": { "type": "string", "description": "Stable code, for programs." },
            "message": { "type": "string", "description": "What happened and what to do." },
            "details": { "type": "object", "description": "What a program can make use of." },
        },
    });
    // A result may have an error of its own, with other members.
    let own = schema["properties"]["error"]["properties"].as_object().cloned();
    if let Some(own) = own {
        error["description"] = json!("Set when the call failed, or the plan.");
        for (name, property) in own {
            error["properties"][name] = property;
        }
    } else {
        error["required"] = json!(["code", "message"]);
    }
    schema["properties"]["error"] = error;
    schema
}

/// A row of the table of tools.
fn row(tool: &Value, place: &str) -> String {
    let word = |name: &str| tool[name].as_str().expect("text");
    let first = word("description")
        .split_inclusive(". ")
        .next()
        .unwrap_or_default()
        .trim_end();
    let required = tool["inputSchema"]["required"].as_array();
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|required| required == name));
    let mut arguments: Vec<_> = tool["inputSchema"]["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .collect();
    arguments.sort_by_key(|(name, _)| !is_required(name));
    let arguments: Vec<_> = arguments
        .into_iter()
        .map(|(name, schema)| {
            let choices = schema["enum"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            let choices: Vec<_> = choices.map(|choice| format!("`{choice}`")).collect();
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
    format!(
        "| `{}`{place} | {} | {first} | {changes} |",
        word("name"),
        arguments.join("; ")
    )
}

#[test]
fn the_list_is_as_the_types_have_it() {
    for tool in list() {
        let name = tool["name"].as_str().expect("a name");
        assert_file(&format!("src/tools/list/{name}.json"), &tool.to_string());
    }
}

#[test]
fn the_readme_has_every_tool() {
    let download: Value = serde_json::from_str(&text("local/src/stdio/task_download.json")).expect("JSON");
    for (family, page) in [(Family::Task, "README.md"), (Family::Plan, "docs/reference.md")] {
        let mut rows = vec![
            "| tool | arguments | does | effect |".to_owned(),
            "| --- | --- | --- | --- |".to_owned(),
        ];
        let tools = ALL.iter().filter(|tool| tool.family == family);
        rows.extend(tools.map(|tool| row(&describe(tool), "")));
        if family == Family::Task {
            rows.push(row(&download, " (stdio)"));
        }
        assert_part(page, "tools", &rows.join("\n"));
    }
}

#[test]
fn every_example_fits_its_schema() {
    let failures: Vec<_> = ALL
        .iter()
        .filter_map(|tool| {
            let read = (tool.about.read)(tool.about.example, &schema(tool.about.arguments));
            read.err().map(|error| format!("{}: {error}", tool.name))
        })
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn results_may_lack_what_is_unknown() {
    // Clients refuse results that lack a required member.
    let tools = Value::from(list());
    let of_status = tools
        .as_array()
        .into_iter()
        .flatten()
        .find(|tool| tool["name"] == "task_status");
    let properties = &of_status.expect("the tool")["outputSchema"]["properties"];
    assert_eq!(properties["files"]["items"]["required"], json!(["path"]));
    assert_eq!(properties["timing"].get("required"), None);
}

#[test]
fn no_default_breaks_its_own_type() {
    let list = Value::from(list()).to_string();
    assert!(!list.contains("\"default\":null"), "{list}");
    assert!(list.contains("\"default\":\"ping\""), "{list}");
}
