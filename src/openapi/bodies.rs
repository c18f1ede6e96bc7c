//! Schemas and examples of bodies, from the types that read and write them.

use serde_json::{Map, Value, json};

use crate::{
    error::Error,
    mcp, render,
    routes::tools::{CallBody, ResultBody},
    tools::{ALL, Annotations, describe, describe::schema_of},
};

/// A task that no server has.
const TASK: &str = "5e2b2a7c-8a52-4ab1-9c0e-1d6d43f6a7b4";

/// Each tool as `tools/list` shows it.
fn tools() -> Vec<Value> {
    match describe::list() {
        Value::Array(tools) => tools,
        _ => Vec::new(),
    }
}

/// A part of a tool's description.
fn part(tool: &Value, name: &str) -> Value {
    tool.get(name).cloned().unwrap_or_default()
}

/// Puts a schema in the place of a property's.
fn set_property(schema: &mut Value, name: &str, property: Value) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert(name.to_owned(), property);
    }
}

/// One alternative for each tool: a call is that of a tool with that tool's arguments.
pub(super) fn tool_call() -> Value {
    let calls = tools().into_iter().map(|tool| {
        let mut call = schema_of::<CallBody<'_>>();
        set_property(&mut call, "tool", json!({ "const": part(&tool, "name") }));
        set_property(&mut call, "arguments", part(&tool, "inputSchema"));
        if let Some(object) = call.as_object_mut() {
            object.insert("title".to_owned(), part(&tool, "name"));
            let needs_arguments = tool.pointer("/inputSchema/required").is_some();
            let required = if needs_arguments {
                json!(["tool", "arguments"])
            } else {
                json!(["tool"])
            };
            object.insert("required".to_owned(), required);
        }
        call
    });
    json!({ "oneOf": calls.collect::<Vec<_>>() })
}

/// What `POST /mcp/tools/call` answers, with the result of each tool.
pub(super) fn tool_result() -> Value {
    let mut result = schema_of::<ResultBody<'_>>();
    let results = tools().into_iter().map(|tool| {
        let mut schema = part(&tool, "outputSchema");
        if let Some(object) = schema.as_object_mut() {
            object.insert("title".to_owned(), part(&tool, "name"));
        }
        schema
    });
    set_property(
        &mut result,
        "structuredContent",
        json!({ "anyOf": results.collect::<Vec<_>>() }),
    );
    result
}

/// Calls that are answered with 200, one for each tool.
pub(super) fn call_examples() -> Map<String, Value> {
    let examples = ALL.iter().map(|tool| {
        let mut arguments = match tool.name {
            "prompt_examples" => json!({}),
            "task_create" => {
                json!({ "prompt": "Open a bakery in Lyon with 20 seats, EUR 150,000 and a start in May." })
            }
            _ => json!({ "task_id": TASK }),
        };
        if let ("task_file_info", Some(object)) = (tool.name, arguments.as_object_mut()) {
            object.insert("artifact".to_owned(), "zip".into());
        }
        (
            tool.name.to_owned(),
            json!({ "value": { "tool": tool.name, "arguments": arguments } }),
        )
    });
    examples.collect()
}

/// A call that worked and one that did not.
pub(super) fn result_examples() -> Value {
    let created = json!({ "task_id": TASK, "created_at": "2026-01-31T12:00:00Z" });
    let failure = render::tool_result(&Error::TaskNotFound);
    let content = |text: String| json!([{ "type": "text", "text": text }]);
    json!({
        "done": { "value": {
            "content": content(created.to_string()), "structuredContent": created, "error": null,
        } },
        "failed": { "value": {
            "content": content(render::to_json(&failure)), "structuredContent": failure, "error": failure.error,
        } },
    })
}

/// The tools as `GET /mcp/tools` shows them.
pub(super) fn tool_list() -> Value {
    let names: Vec<_> = ALL.iter().map(|tool| tool.name).collect();
    json!({
        "type": "object",
        "required": ["tools"],
        "properties": { "tools": { "type": "array", "items": {
            "type": "object",
            "required": ["name", "title", "description", "inputSchema", "outputSchema", "annotations"],
            "properties": {
                "name": { "enum": names },
                "title": { "type": "string", "description": "For people." },
                "description": { "type": "string", "description": "For agents: when to call it, what it costs, what comes next." },
                "inputSchema": { "type": "object", "description": "JSON Schema of the arguments." },
                "outputSchema": { "type": "object", "description": "JSON Schema of the result, and of the error in its place." },
                "annotations": schema_of::<Annotations>(),
                "icons": { "type": "array", "items": { "type": "object" } },
            },
        } } },
    })
}

/// The first tool, as an example of the list.
pub(super) fn list_example() -> Value {
    json!({ "tools": tools().into_iter().take(1).collect::<Vec<_>>() })
}

/// A message from a client. What the methods take is MCP's to say.
pub(super) fn mcp_message() -> Value {
    json!({
        "type": "object",
        "description": "A JSON-RPC 2.0 request or notification of MCP. Without an id it is a notification.",
        "required": ["jsonrpc", "method"],
        "properties": {
            "jsonrpc": { "const": "2.0" },
            "id": { "type": ["string", "integer"] },
            "method": { "type": "string", "examples": mcp::METHODS },
            "params": { "type": "object" },
        },
    })
}

/// An answer to a client: a result or a fault; to a batch, several.
pub(super) fn mcp_answer() -> Value {
    let id = json!({ "type": ["string", "integer"], "description": "That of the request." });
    json!({
        "type": "object",
        "description": "A JSON-RPC 2.0 response. An error without an id answers a message whose id could not be read.",
        "properties": {
            "jsonrpc": { "const": "2.0" },
            "id": id,
            "result": { "type": "object" },
            "error": { "$ref": "#/components/schemas/McpFault" },
        },
        "required": ["jsonrpc"],
        "oneOf": [{ "required": ["id", "result"] }, { "required": ["error"] }],
    })
}

/// Messages and what they are answered with.
pub(super) fn mcp_examples() -> (Value, Value) {
    let initialize = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "example", "version": "1" },
        },
    });
    let call = json!({
        "jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": { "name": "task_status", "arguments": { "task_id": TASK } },
    });
    let requests = json!({
        "initialize": { "value": initialize },
        "tools_list": { "value": { "jsonrpc": "2.0", "id": 1, "method": "tools/list" } },
        "tools_call": { "value": call },
    });
    let pong = json!({ "jsonrpc": "2.0", "id": 1, "result": {} });
    (requests, json!({ "ping": { "value": pong } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_its_call_and_its_result() {
        let (call, result) = (tool_call(), tool_result());
        for (number, tool) in ALL.iter().enumerate() {
            assert_eq!(call["oneOf"][number]["properties"]["tool"]["const"], tool.name);
            assert!(call["oneOf"][number]["properties"]["arguments"]["type"] == "object");
            let results = &result["properties"]["structuredContent"]["anyOf"];
            assert_eq!(results[number]["title"], tool.name);
            assert!(results[number]["properties"]["error"].is_object());
            assert!(call_examples().contains_key(tool.name));
        }
    }
}
