//! The OpenAPI description of the routes: the text of `pages/openapi.json`. Made from the router's table, the types of
//! the bodies and the errors, where the project is built and tested; the component only hands the file out.

mod bodies;
mod errors;
mod operations;

use serde_json::{Map, Value, json};

use crate::{mcp, render, router, tools::describe::schema_of};

/// The whole document.
#[must_use]
pub fn document() -> Value {
    let mut paths = Map::new();
    for route in router::TABLE {
        let Some((method, path)) = route.split_once(' ') else {
            continue;
        };
        if let Some(operation) = operations::of(route) {
            paths.insert(path.to_owned(), with_companions(method, operation));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "PlanExe MCP",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Project plans from a goal in plain English.",
            "description": "The MCP server of PlanExe and the plain routes beside it. A trailing slash is the same route; \
                nothing redirects. Every answer carries X-Request-Id, which is in the server's log too. Where \
                downloads meet an error, browsers get it as a page, programs as JSON.",
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": "/", "description": "The server that this document comes from." }],
        "tags": [
            { "name": "MCP", "description": "For MCP clients." },
            { "name": "Tools", "description": "The tools of MCP without the protocol around them." },
            { "name": "Downloads", "description": "The files of a plan." },
            { "name": "Server", "description": "About the server itself." },
        ],
        "paths": paths,
        "components": {
            "securitySchemes": security_schemes(),
            "parameters": operations::parameters(),
            "headers": operations::headers(),
            "schemas": {
                "Detail": schema_of::<render::Detail>(),
                "Index": schema_of::<crate::routes::index::IndexBody>(),
                "Health": schema_of::<crate::routes::healthcheck::HealthBody>(),
                "ToolList": bodies::tool_list(),
                "ToolCall": bodies::tool_call(),
                "ToolResult": bodies::tool_result(),
                "McpMessage": bodies::mcp_message(),
                "McpAnswer": bodies::mcp_answer(),
                "McpFault": schema_of::<mcp::Fault>(),
            },
        },
    })
}

fn security_schemes() -> Value {
    let key =
        "The server's API key, or where the server has users, a user's key. A server without a key asks for none.";
    json!({
        "bearer": { "type": "http", "scheme": "bearer", "description": key },
        "x_api_key": { "type": "apiKey", "in": "header", "name": "X-API-Key", "description": key },
        "api_key": { "type": "apiKey", "in": "header", "name": "API_KEY", "description": key },
        "signed_link": {
            "type": "apiKey", "in": "query", "name": "signature",
            "description": "The links that task_file_info returns carry it, with the time at which it ends in expires. It \
                holds for the one file that it was made for.",
        },
    })
}

/// An operation with what goes along with it: `HEAD` where `GET` is, and `OPTIONS` everywhere.
fn with_companions(method: &str, operation: Value) -> Value {
    let method = method.to_ascii_lowercase();
    let id = operation
        .pointer("/operationId")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let options = json!({
        "operationId": format!("{id}_options"),
        "summary": "What a browser asks before it calls from another origin.",
        "tags": operation.get("tags"),
        "parameters": operations::path_parameters(&operation),
        "responses": operations::preflight(&operation),
    });
    let mut item = Map::new();
    if method == "get" {
        item.insert("head".to_owned(), headers_only(&operation, id));
    }
    item.insert("options".to_owned(), options);
    item.insert(method, operation);
    Value::Object(item)
}

/// The same answers without their bodies.
fn headers_only(get: &Value, id: &str) -> Value {
    let mut head = get.clone();
    if let Some(object) = head.as_object_mut() {
        object.insert("operationId".to_owned(), format!("{id}_head").into());
        object.insert("summary".to_owned(), "The headers of the answer to GET.".into());
        object.remove("description");
        let responses = object.get_mut("responses").and_then(Value::as_object_mut);
        if let Some(responses) = responses {
            // Ranges have a meaning for GET alone (RFC 9110 section 14.2).
            responses.retain(|status, _| !["206", "416"].contains(&status.as_str()));
            for response in responses.values_mut().filter_map(Value::as_object_mut) {
                response.remove("content");
            }
        }
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_as_the_code_has_it() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/pages/openapi.json");
        let document = format!("{:#}\n", document());
        if std::env::var_os("UPDATE_LISTS").is_some() {
            std::fs::write(path, &document).expect("a writable file");
        }
        let file = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            file == document,
            "pages/openapi.json is not what the code says: run UPDATE_LISTS=1 cargo test --lib -- list document"
        );
    }

    #[test]
    fn every_route_of_the_table_is_in_it() {
        let document = document();
        for route in router::TABLE.iter().filter(|route| **route != "OPTIONS *") {
            let (method, path) = route.split_once(' ').expect("method and path");
            let item = &document["paths"][path];
            assert!(item[method.to_ascii_lowercase()].is_object(), "{route}");
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
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
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("a reference inside the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
