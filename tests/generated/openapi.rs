//! The OpenAPI document of the routes, `assets/pages/openapi.json`. What is to be said of a route is in `openapi.json`
//! beside this file, in short forms: a name stands for a component, `schema` for a body of JSON. All else is made of the
//! table of routes, the types of the bodies, the tools and the errors.

use std::collections::{BTreeMap, BTreeSet};

use planexe_mcp::{
    error::{Error, Step},
    json as texts, mcp,
    plan::{Artifact, RunFile},
    render::{self, ErrorBody},
    routes::{
        healthcheck::HealthBody,
        index::IndexBody,
        table::{Access, Row, TABLE},
        tools::{CallBody, ResultBody},
    },
    tools::{ALL, Annotations},
};
use serde_json::{Map, Value, json};

use crate::{
    assert_file,
    tools::{list, schema_of},
};

const TEXTS: &str = include_str!("openapi.json");

/// The parameters of every download besides its own.
const CONDITIONS: [&str; 5] = ["expires", "Range", "If-Range", "If-None-Match", "If-Modified-Since"];

/// The whole document.
fn document() -> Value {
    let mut document: Value = serde_json::from_str(TEXTS).expect("JSON");
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    let texts = document["paths"].take();
    for row in &TABLE {
        let method = row.method.to_lowercase();
        let main = operation(row, &texts[row.path][&method]);
        let item = &mut document["paths"][row.path];
        item["options"] = companion(
            &main,
            "options",
            "What a browser asks before it calls from another origin.",
        );
        item["options"]["parameters"] = parameters(row, []);
        item["options"]["responses"] = json!({ "204": reference("responses", "Preflight") });
        item["options"]["responses"]["default"] = reference("responses", "Error");
        if row.method == "GET" {
            item["head"] = companion(&main, "head", "The headers of the answer to GET.");
            item["head"]["responses"] = json!({ "default": reference("responses", "Head") });
        }
        item[&method] = main;
    }
    components(&mut document["components"]);
    document
}

/// What goes along with an operation: `HEAD` where `GET` is, and `OPTIONS` everywhere.
fn companion(main: &Value, kind: &str, summary: &str) -> Value {
    let id = main["operationId"].as_str().expect("an id");
    json!({
        "operationId": format!("{id}_{kind}"), "summary": summary,
        "tags": main["tags"], "parameters": main["parameters"],
    })
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

/// The operation of a route: its text, and what follows from its row.
fn operation(row: &Row, text: &Value) -> Value {
    let mut operation = text.clone();
    assert!(
        operation.is_object(),
        "{} {} has no text in tests/generated/openapi.json",
        row.method,
        row.path
    );
    let own = text["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let conditions = CONDITIONS.into_iter().filter(|_| row.access == Access::Link);
    operation["parameters"] = parameters(row, own.chain(conditions));
    let key = json!([{ "bearer": [] }, { "x_api_key": [] }, { "api_key": [] }]);
    let or = |other: Value| key.as_array().into_iter().flatten().cloned().chain([other]).collect();
    match row.access {
        Access::Open => {}
        Access::Lists => operation["security"] = or(json!({})),
        Access::Calls => operation["security"] = key,
        Access::Link => operation["security"] = or(json!({ "signed_link": [] })),
    }
    if text["requestBody"].is_object() {
        expand_body(&mut operation["requestBody"]);
        operation["requestBody"]["required"] = true.into();
    }
    let responses = operation["responses"].as_object_mut().expect("responses");
    if row.access == Access::Link {
        responses.extend(file_responses(row));
    }
    responses.values_mut().for_each(expand);
    for (status, (name, _)) in error_responses(row) {
        // What the text says of a status counts.
        responses.entry(status).or_insert_with(|| reference("responses", &name));
    }
    operation
}

/// References to the parameters of a route: those of its path, then others.
fn parameters<'a>(row: &Row, others: impl IntoIterator<Item = &'a str>) -> Value {
    let in_path = ["task_id", "file"]
        .into_iter()
        .filter(|name| row.path.contains(&format!("{{{name}}}")));
    in_path
        .chain(others)
        .map(|name| reference("parameters", name))
        .collect()
}

/// The answers with a file or a part of it, or because there is nothing to send.
fn file_responses(row: &Row) -> Map<String, Value> {
    let types = match row.path.rsplit('/').next() {
        Some("{file}") => ["md", "json", "csv", "txt", "html", "svg", "bin"]
            .map(|ending| RunFile::Entry(format!("file.{ending}")).content_type())
            .to_vec(),
        Some(name) if name == Artifact::Zip.file_name() => vec![Artifact::Zip.content_type()],
        _ => vec![Artifact::Report.content_type()],
    };
    let content: Map<_, _> = types.into_iter().map(|kind| (kind.to_owned(), json!({}))).collect();
    let headers = [
        "ETag",
        "Last-Modified",
        "Accept-Ranges",
        "Cache-Control",
        "Content-Disposition",
        "Content-Length",
    ];
    let part = [&headers[..], &["Content-Range"]].concat();
    let responses = json!({
        "200": { "description": "The file.", "headers": headers, "content": content },
        "206": { "description": "The part that Range asks for.", "headers": part, "content": content },
        "304": "FileNotModified",
        "416": "RangeNotSatisfiable",
    });
    responses.as_object().cloned().unwrap_or_default()
}

/// Writes the short form of a response out.
fn expand(response: &mut Value) {
    if let Some(name) = response.as_str() {
        *response = reference("responses", name);
        return;
    }
    if let Some(names) = response.get("headers").and_then(Value::as_array).cloned() {
        let names = names.iter().filter_map(Value::as_str);
        let headers = names.map(|name| (name.to_owned(), reference("headers", name)));
        response["headers"] = headers.collect::<Map<_, _>>().into();
    }
    expand_body(response);
}

/// Writes the short form of a body of JSON out: the name of its schema, and examples.
fn expand_body(body: &mut Value) {
    let mut take = |name: &str| body.as_object_mut().and_then(|body| body.remove(name));
    let (schema, own) = (take("schema"), take("examples"));
    let Some(name) = schema.as_ref().and_then(Value::as_str) else {
        return;
    };
    let examples = own.unwrap_or_else(|| examples(name));
    let examples = examples.as_object().into_iter().flatten();
    let examples: Map<_, _> = examples
        .map(|(name, value)| (name.clone(), json!({ "value": value })))
        .collect();
    let content = json!({ "schema": reference("schemas", name), "examples": examples });
    body["content"] = json!({ "application/json": content });
}

/// The responses for the errors of a route, by status: the name of each, which routes of one kind share, and its errors.
fn error_responses(row: &Row) -> BTreeMap<String, (String, Vec<Error>)> {
    let (kind, mut steps) = match row.access {
        Access::Open => ("Server", vec![]),
        Access::Lists | Access::Calls => ("Mcp", vec![Step::Origin, Step::Key]),
        Access::Link => ("Download", vec![Step::Key, Step::File]),
    };
    let (kind, more) = match row.path {
        "/mcp" => (kind, vec![Step::Accept, Step::Body]),
        "/mcp/tools/call" => (kind, vec![Step::Call, Step::Body]),
        "/openapi.json" | "/docs" => ("Page", vec![Step::Page]),
        _ => (kind, vec![]),
    };
    steps.extend(more);
    let mut responses: BTreeMap<String, (String, Vec<Error>)> = BTreeMap::new();
    for error in Error::samples() {
        if error.step() == Step::Any || steps.contains(&error.step()) {
            let status = render::http(&error).status().as_u16();
            let response = responses.entry(status.to_string());
            response
                .or_insert_with(|| (format!("{kind}{status}"), Vec::new()))
                .1
                .push(error);
        }
    }
    responses
}

/// Writes the components out, and adds those that are made of the code.
fn components(components: &mut Value) {
    for (name, parameter) in components["parameters"].as_object_mut().expect("parameters") {
        parameter["name"] = name.as_str().into();
        parameter["required"] = (parameter["in"] == "path").into();
        if parameter["schema"].is_null() {
            parameter["schema"] = json!({ "type": "string" });
        }
    }
    components["parameters"]["MCP-Protocol-Version"]["schema"]["examples"] = json!(mcp::SUPPORTED);
    for header in components["headers"].as_object_mut().expect("headers").values_mut() {
        *header = json!({ "description": header, "schema": { "type": "string" } });
    }
    let responses = &mut components["responses"];
    responses
        .as_object_mut()
        .expect("responses")
        .values_mut()
        .for_each(expand);
    for row in &TABLE {
        for (name, errors) in error_responses(row).into_values() {
            errors.iter().for_each(|error| add_error(&mut responses[&name], error));
            if row.access == Access::Link {
                responses[&name]["content"]["text/html"] = json!({ "schema": { "type": "string" } });
            }
        }
    }
    let schemas = &mut components["schemas"];
    schemas["ErrorBody"] = schema_of::<ErrorBody>();
    schemas["Index"] = schema_of::<IndexBody>();
    schemas["Health"] = schema_of::<HealthBody>();
    schemas["McpFault"] = schema_of::<mcp::Fault>();
    schemas["McpMessage"]["properties"]["method"]["examples"] = json!(mcp::METHODS);
    let listed = &mut schemas["ToolList"]["properties"]["tools"]["items"]["properties"];
    listed["name"] = json!({ "enum": ALL.iter().map(|tool| tool.name).collect::<Vec<_>>() });
    listed["annotations"] = schema_of::<Annotations>();
    schemas["ToolCall"] = json!({ "oneOf": list().iter().map(tool_call).collect::<Vec<_>>() });
    schemas["ToolResult"] = schema_of::<ResultBody<'_>>();
    let results = list().into_iter().map(|mut tool| {
        let mut result = tool["outputSchema"].take();
        result["title"] = tool["name"].take();
        result
    });
    schemas["ToolResult"]["properties"]["structuredContent"] = json!({ "anyOf": results.collect::<Vec<_>>() });
}

/// Adds message, example and headers of an error to a response.
fn add_error(response: &mut Value, error: &Error) {
    let detail = ErrorBody {
        detail: error.message(),
        reason: error.reason(),
    };
    let text = response["description"].as_str().unwrap_or_default();
    if !text.lines().any(|line| line == detail.detail) {
        response["description"] = [text, &detail.detail].join("\n").trim_start().into();
    }
    for (name, header) in [("retry-after", "Retry-After"), ("www-authenticate", "WWW-Authenticate")] {
        if render::http(error).headers().contains_key(name) {
            response["headers"][header] = reference("headers", header);
        }
    }
    let content = &mut response["content"]["application/json"];
    content["schema"] = reference("schemas", "ErrorBody");
    // Two errors may have one code.
    let name = error.reason().unwrap_or(error.code());
    let name = if content["examples"][name].is_null() {
        name.to_owned()
    } else {
        format!("{name}_2")
    };
    content["examples"][name] = json!({ "value": detail });
}

/// A call of a tool with that tool's arguments.
fn tool_call(tool: &Value) -> Value {
    let mut call = schema_of::<CallBody<'_>>();
    call["title"] = tool["name"].clone();
    call["properties"]["tool"] = json!({ "const": tool["name"] });
    call["properties"]["arguments"] = tool["inputSchema"].clone();
    let needs_arguments = tool.pointer("/inputSchema/required").is_some();
    call["required"] = if needs_arguments {
        json!(["tool", "arguments"])
    } else {
        json!(["tool"])
    };
    call
}

/// The examples of a body that are made of the code, by the name of its schema.
fn examples(schema: &str) -> Value {
    let health = || HealthBody::shallow(true);
    let text = |text: String| json!([{ "type": "text", "text": text }]);
    match schema {
        "Index" => json!({ "index": IndexBody::new() }),
        "Health" => json!({ "shallow": health(), "deep": health().with_services(Ok(()), Ok(())) }),
        "ToolList" => json!({ "first": { "tools": [list().first()] } }),
        "ToolCall" => {
            let calls = ALL.iter().map(|tool| {
                let arguments: Value = serde_json::from_str(tool.about.example).expect("JSON");
                (
                    tool.name.to_owned(),
                    json!({ "tool": tool.name, "arguments": arguments }),
                )
            });
            calls.collect::<Map<_, _>>().into()
        }
        "ToolResult" => {
            let stopped = json!({ "state": "stopping" });
            let failure = render::tool_result(&Error::TaskNotFound);
            json!({
                "done": { "content": text(stopped.to_string()), "structuredContent": stopped, "error": null },
                "failed": { "content": text(texts::text(&failure)), "structuredContent": failure, "error": failure.error },
            })
        }
        _ => Value::Null,
    }
}

#[test]
fn the_document_is_as_the_code_has_it() {
    assert_file("assets/pages/openapi.json", &format!("{:#}\n", document()));
}

#[test]
fn texts_and_components_are_all_in_use() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|inner| references(inner, found));
            }
            Value::Array(items) => items.iter().for_each(|inner| references(inner, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    let lost = found
        .iter()
        .filter(|name| document.pointer(name.trim_start_matches('#')).is_none());
    let mut failures: Vec<_> = lost.map(|name| format!("{name} leads nowhere")).collect();
    for kind in ["parameters", "headers", "responses", "schemas"] {
        let names = document["components"][kind].as_object().expect("components").keys();
        let names = names.map(|name| format!("#/components/{kind}/{name}"));
        failures.extend(
            names
                .filter(|name| !found.contains(name.as_str()))
                .map(|name| format!("{name} is not used")),
        );
    }
    let texts: Value = serde_json::from_str(TEXTS).expect("JSON");
    for (path, item) in texts["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("operations").keys() {
            if !TABLE
                .iter()
                .any(|row| row.path == path && row.method.to_lowercase() == *method)
            {
                failures.push(format!("{method} {path} is no route"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
