//! Each route: its parameters, what it takes, what it answers.

use serde_json::{Map, Value, json};

use super::{
    bodies,
    errors::{self, Met},
};
use crate::{
    mcp,
    plan::{Artifact, RunFile},
    routes::{healthcheck::HealthBody, index::IndexBody},
};

/// The operation of a route of the router's table; `None` when this file does not know it.
pub(super) fn of(route: &str) -> Option<Value> {
    Some(match route {
        "GET /" => json!({
            "operationId": "index", "tags": ["Server"], "summary": "Name, version, routes.",
            "responses": answers(json_answer("What this server is.", "Index", &IndexBody::new()), &[]),
        }),
        "GET /healthcheck" => healthcheck(),
        "POST /mcp" => rpc(),
        "GET /mcp/tools" => json!({
            "operationId": "list_tools", "tags": ["Tools"], "summary": "The tools with their schemas.",
            "description": "Needs no key, unless the server keeps its lists closed.",
            "security": optional_keys(),
            "responses": answers(json_answer("The tools.", "ToolList", &bodies::list_example()), &[Met::UnderMcp]),
        }),
        "POST /mcp/tools/call" => call(),
        "GET /download/{task_id}/030-report.html" => download(
            "download_report",
            "The report of a plan.",
            &[],
            &[Artifact::Report.content_type()],
        ),
        "GET /download/{task_id}/run.zip" => download(
            "download_zip",
            "All files of a plan's run.",
            &["partial"],
            &[Artifact::Zip.content_type()],
        ),
        "GET /download/{task_id}/{file}" => {
            let types = ["md", "json", "csv", "txt", "html", "svg", "bin"]
                .map(|ending| RunFile::Entry(format!("file.{ending}")).content_type());
            download("download_file", "Any other file of a plan's run.", &["file"], &types)
        }
        "GET /openapi.json" => page(
            "openapi",
            "This document.",
            "application/json",
            &json!({ "type": "object" }),
        ),
        "GET /docs" => page(
            "docs",
            "A page to read about the routes and to try the tools.",
            "text/html; charset=utf-8",
            &json!({ "type": "string" }),
        ),
        _ => return None,
    })
}

/// The API key, in any of its three forms.
fn keys() -> Value {
    json!([{ "bearer": [] }, { "x_api_key": [] }, { "api_key": [] }])
}

/// The key, or none.
fn optional_keys() -> Value {
    let Value::Array(mut keys) = keys() else {
        return Value::Null;
    };
    keys.insert(0, json!({}));
    Value::Array(keys)
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

/// References to response headers.
fn header_references(names: &[&str]) -> Value {
    let references = names
        .iter()
        .map(|name| ((*name).to_owned(), reference("headers", name)));
    Value::Object(references.collect())
}

/// The answer 200 with a JSON body.
fn json_answer(description: &str, schema: &str, example: &impl serde::Serialize) -> Value {
    json!({ "200": {
        "description": description,
        "headers": header_references(&["X-Request-Id"]),
        "content": { "application/json": { "schema": reference("schemas", schema), "example": example } },
    } })
}

/// The answers of an operation with the errors that it meets.
fn answers(own: Value, places: &[Met]) -> Value {
    let Value::Object(mut responses) = own else {
        return own;
    };
    let places = [&[Met::Anywhere], places].concat();
    errors::add(&mut responses, &places);
    Value::Object(responses)
}

/// The parameters of an operation that are parts of its path.
pub(super) fn path_parameters(operation: &Value) -> Vec<Value> {
    let all = operation.get("parameters").and_then(Value::as_array);
    let in_path = ["task_id", "file"].map(|name| reference("parameters", name));
    let parameters = all.into_iter().flatten();
    parameters
        .filter(|parameter| in_path.contains(parameter))
        .cloned()
        .collect()
}

/// What an `OPTIONS` of the same path answers.
pub(super) fn preflight(operation: &Value) -> Value {
    let mut own = json!({ "204": {
        "description": "The methods and headers that pages of allowed origins may use.",
        "headers": header_references(&["Access-Control-Allow-Origin", "Access-Control-Allow-Methods"]),
    } });
    // Only origins are checked before: a preflight carries no key.
    let refused = operation.pointer("/responses/403/content/application~1json/examples/ORIGIN_REFUSED");
    if let (Some(refused), Some(own)) = (refused, own.as_object_mut()) {
        own.insert(
            "403".to_owned(),
            json!({
                "description": refused.pointer("/value/detail"),
                "content": { "application/json": {
                    "schema": reference("schemas", "Detail"), "examples": { "ORIGIN_REFUSED": refused },
                } },
            }),
        );
    }
    answers(own, &[])
}

fn healthcheck() -> Value {
    let well = HealthBody::shallow(true);
    let asked = || HealthBody::shallow(true).with_services(Ok(()), Ok(()));
    let ill = HealthBody::shallow(true).with_services(Err("refuses connections or statements".into()), Ok(()));
    let own = json!({
        "200": {
            "description": "All that was asked for is well.",
            "headers": header_references(&["X-Request-Id"]),
            "content": { "application/json": {
                "schema": reference("schemas", "Health"),
                "examples": { "shallow": { "value": well }, "deep": { "value": asked() } },
            } },
        },
        "503": {
            "description": "The database or the service that keeps the files of runs is not well.",
            "headers": header_references(&["Retry-After", "X-Request-Id"]),
            "content": { "application/json": {
                "schema": reference("schemas", "Health"), "examples": { "ill": { "value": ill } },
            } },
        },
    });
    json!({
        "operationId": "healthcheck", "tags": ["Server"], "summary": "Whether the server is well.",
        "description": "Needs no key. Without deep it contacts no other service.",
        "parameters": [reference("parameters", "deep")],
        "responses": answers(own, &[]),
    })
}

fn rpc() -> Value {
    let (requests, replies) = bodies::mcp_examples();
    let answer = |description: &str, examples: Value| {
        json!({
            "description": description,
            "headers": header_references(&["X-Request-Id"]),
            "content": { "application/json": { "schema": reference("schemas", "McpAnswer"), "examples": examples } },
        })
    };
    let fault = |code: i64, message: &str| {
        let fault = mcp::Fault::new(code, message);
        json!({ "fault": { "value": { "jsonrpc": "2.0", "id": 1, "error": fault } } })
    };
    let mut done = answer("The answer, result or error. To a batch: a list of answers.", replies);
    if let Some(schema) = done.pointer_mut("/content/application~1json/schema") {
        *schema = json!({ "anyOf": [schema.take(), { "type": "array", "items": reference("schemas", "McpAnswer") }] });
    }
    let parameters = ["MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"].map(|name| reference("parameters", name));
    let own = json!({
        "200": done,
        "202": { "description": "A notification, or several: there is nothing to say." },
        "400": answer(
            "The body or its headers break the protocol.",
            fault(mcp::INVALID_REQUEST, "The member method is missing."),
        ),
        "404": answer(
            "Revision 2026-07-28 has no such method.",
            fault(-32601, "Unknown method: tools/nothing."),
        ),
    });
    json!({
        "operationId": "mcp", "tags": ["MCP"], "summary": "MCP over Streamable HTTP, with JSON answers.",
        "description": "For MCP clients: what the methods take and answer is in MCP's own specification. Serves revisions \
            2025-03-26 to 2025-11-25 (with a handshake) and 2026-07-28 (without), and keeps no sessions. Batches are \
            taken in revision 2025-03-26. tools/call and resources/read need the key; the handshake, ping and the lists do \
            not, unless the server keeps them closed.",
        "externalDocs": { "url": "https://modelcontextprotocol.io/specification", "description": "MCP's specification" },
        "security": optional_keys(),
        "parameters": parameters,
        "requestBody": { "required": true, "content": { "application/json": {
            "schema": reference("schemas", "McpMessage"), "examples": requests,
        } } },
        "responses": answers(own, &[Met::UnderMcp, Met::WithBody, Met::Rpc]),
    })
}

fn call() -> Value {
    let own = json!({ "200": {
        "description": "The result of the tool, or the error in its place: whatever the tool meets is answered with 200.",
        "headers": header_references(&["X-Request-Id"]),
        "content": { "application/json": {
            "schema": reference("schemas", "ToolResult"), "examples": bodies::result_examples(),
        } },
    } });
    json!({
        "operationId": "call_tool", "tags": ["Tools"], "summary": "Calls a tool.",
        "description": "A call that does not fit a tool's schema is answered with 200 and the error INVALID_ARGUMENT.",
        "security": keys(),
        "requestBody": { "required": true, "content": { "application/json": {
            "schema": reference("schemas", "ToolCall"), "examples": bodies::call_examples(),
        } } },
        "responses": answers(own, &[Met::UnderMcp, Met::WithBody, Met::Call]),
    })
}

fn download(id: &str, summary: &str, more: &[&str], types: &[&str]) -> Value {
    const HEADERS: [&str; 7] = [
        "ETag",
        "Last-Modified",
        "Accept-Ranges",
        "Cache-Control",
        "Content-Disposition",
        "Content-Length",
        "X-Request-Id",
    ];
    let content = || -> Map<String, Value> { types.iter().map(|kind| ((*kind).to_owned(), json!({}))).collect() };
    let whole = header_references(&HEADERS);
    let part = header_references(&[&HEADERS[..], &["Content-Range"]].concat());
    let own = json!({
        "200": { "description": "The file.", "headers": whole, "content": content() },
        "206": { "description": "The part that Range asks for.", "headers": part, "content": content() },
        "304": {
            "description": "The caller has the file already.",
            "headers": header_references(&["ETag", "Last-Modified", "Accept-Ranges", "Cache-Control"]),
        },
        "416": {
            "description": "The file has no such bytes.",
            "headers": header_references(&["Content-Range"]),
            "content": { "application/json": { "schema": reference("schemas", "Detail") } },
        },
    });
    let Value::Array(mut security) = keys() else {
        return Value::Null;
    };
    security.push(json!({ "signed_link": [] }));
    let names = [
        &["task_id"],
        more,
        &["expires", "Range", "If-Range", "If-None-Match", "If-Modified-Since"],
    ];
    json!({
        "operationId": id, "tags": ["Downloads"], "summary": summary,
        "description": "Streamed. A body that breaks off ends the connection before its Content-Length. Files that only \
            the service worker_plan has come without ETag and ranges.",
        "security": security,
        "parameters": names.concat().iter().map(|name| reference("parameters", name)).collect::<Vec<_>>(),
        "responses": answers(own, &[Met::Download]),
    })
}

fn page(id: &str, summary: &str, content_type: &str, schema: &Value) -> Value {
    let own = json!({
        "200": {
            "description": summary,
            "headers": header_references(&["ETag", "Cache-Control", "X-Request-Id"]),
            "content": { content_type: { "schema": schema } },
        },
        "304": { "description": "The caller has it already.", "headers": header_references(&["ETag", "Cache-Control"]) },
    });
    json!({
        "operationId": id, "tags": ["Server"], "summary": summary, "description": "Needs no key.",
        "parameters": [reference("parameters", "If-None-Match")],
        "responses": answers(own, &[Met::Pages]),
    })
}

/// The parameters that operations refer to.
pub(super) fn parameters() -> Value {
    let text = || json!({ "type": "string" });
    let list = [
        (
            "task_id",
            "path",
            json!({ "type": "string", "format": "uuid" }),
            "The task's id, as task_create returned it.",
        ),
        (
            "file",
            "path",
            json!({ "type": "string", "examples": ["001-2-plan.txt"] }),
            "Name of the file in run.zip. A slash in it is %2F or as it is.",
        ),
        (
            "deep",
            "query",
            text(),
            "1 or true: asks the database and the service that keeps the files of runs too, 2 seconds each.",
        ),
        (
            "partial",
            "query",
            text(),
            "1: while the plan is not finished, the files that there are so far. Else such a plan has no archive.",
        ),
        (
            "expires",
            "query",
            text(),
            "With signature: when the link ends, in seconds since 1970.",
        ),
        (
            "Range",
            "header",
            json!({ "type": "string", "examples": ["bytes=0-1023"] }),
            "One range of bytes. What cannot be read, or is more than one, leads to the whole file.",
        ),
        ("If-Range", "header", text(), "The ETag for which Range is meant."),
        ("If-None-Match", "header", text(), "ETags that the caller has."),
        (
            "If-Modified-Since",
            "header",
            text(),
            "The Last-Modified that the caller has.",
        ),
        (
            "MCP-Protocol-Version",
            "header",
            json!({ "type": "string", "examples": mcp::SUPPORTED }),
            "The revision that the message speaks. Without it: 2025-03-26.",
        ),
        (
            "Mcp-Method",
            "header",
            text(),
            "Revision 2026-07-28: the method of the body.",
        ),
        (
            "Mcp-Name",
            "header",
            text(),
            "Revision 2026-07-28: the name or uri in the params of the body.",
        ),
    ];
    let parameters = list.map(|(name, place, schema, description)| {
        let required = place == "path";
        let parameter = json!({
            "name": name, "in": place, "required": required, "schema": schema, "description": description,
        });
        (name.to_owned(), parameter)
    });
    Value::Object(parameters.into_iter().collect())
}

/// The response headers that operations refer to.
pub(super) fn headers() -> Value {
    let headers = [
        ("ETag", "Of report and zip, mostly the SHA-256 of the file."),
        ("Last-Modified", "When the task ended, where that is known."),
        ("Accept-Ranges", "bytes, or none where the file is sent only whole."),
        ("Cache-Control", "How long a copy may be used without asking."),
        (
            "Content-Disposition",
            "Whether to show or to save the file, and its name.",
        ),
        ("Content-Length", "In bytes."),
        ("Content-Range", "Which bytes these are, and of how many."),
        ("Retry-After", "Seconds after which to try again."),
        (
            "X-Request-Id",
            "The request's id: the caller's own if it sent one. The log has it too.",
        ),
        (
            "Access-Control-Allow-Origin",
            "The caller's origin, if its pages may call.",
        ),
        ("Access-Control-Allow-Methods", "The methods that pages may use."),
    ];
    let headers = headers.map(|(name, description)| {
        (
            name.to_owned(),
            json!({ "description": description, "schema": { "type": "string" } }),
        )
    });
    Value::Object(headers.into_iter().collect())
}
