//! Results of tools, read and written, and the list that they are found in.

use serde_json::{Map, Value, json};

use super::download;
use super::message::{Answer, INTERNAL_ERROR, Request, answer, error};
use super::upstream::Failure;

/// The result of a tool: what it says, and the result around it.
pub(super) struct ToolAnswer {
    /// `structuredContent`.
    pub(super) content: Map<String, Value>,
    pub(super) is_error: bool,
    result: Map<String, Value>,
}

impl ToolAnswer {
    /// Reads the answer to a call.
    ///
    /// # Errors
    /// The server's words where there is no result.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let parsed = serde_json::from_str::<Answer>(text).ok();
        let Some(result) = parsed.and_then(|answer| answer.result) else {
            let why = serde_json::from_str::<Value>(text).unwrap_or_default();
            let why = why.pointer("/error/message").and_then(Value::as_str);
            return Err(why.unwrap_or("no result").to_owned());
        };
        // Servers of older revisions have the text only.
        let content = result.get("structuredContent").and_then(Value::as_object).cloned();
        let text = result.get("content").and_then(|content| content.pointer("/0/text"));
        let text = text
            .and_then(Value::as_str)
            .and_then(|text| serde_json::from_str(text).ok());
        let content = content.or(text).unwrap_or_default();
        let says_so = result.get("isError") == Some(&Value::Bool(true));
        Ok(Self {
            is_error: says_so || content.get("error").is_some_and(Value::is_object),
            content,
            result,
        })
    }

    /// The whole result.
    pub(super) fn into_result(self) -> Value {
        self.result.into()
    }

    /// The same result with other content.
    pub(super) fn with(mut self, content: Value) -> Self {
        let text = json!([{ "type": "text", "text": content.to_string() }]);
        self.result.insert("content".to_owned(), text);
        self.result.insert("structuredContent".to_owned(), content);
        self
    }
}

/// Adds the tool of stdio to the last page of the list.
pub(super) fn add_tool(result: &mut Map<String, Value>) {
    let is_last = result.get("nextCursor").is_none_or(Value::is_null);
    let Some(tools) = result
        .get_mut("tools")
        .and_then(Value::as_array_mut)
        .filter(|_| is_last)
    else {
        return;
    };
    // A server in front of which another bridge stands may have one.
    tools.retain(|tool| tool.get("name").and_then(Value::as_str) != Some(download::NAME));
    let icons = tools.iter().find_map(|tool| tool.get("icons").cloned());
    tools.push(download::definition(icons));
}

/// A failure as an error of the protocol.
pub(super) fn refusal(id: &str, failure: &Failure) -> String {
    error(
        id,
        INTERNAL_ERROR,
        &failure.message,
        Some(json!({ "code": failure.code })),
    )
}

/// A failure as the result of a tool, which the agent sees and can act on.
pub(super) fn tool_failure(request: &Request, failure: &Failure) -> String {
    let content = failure.to_json();
    let text = json!([{ "type": "text", "text": content.to_string() }]);
    let mut result = json!({ "content": text, "structuredContent": content, "isError": true });
    if let (true, Some(result)) = (request.params.is_modern(), result.as_object_mut()) {
        result.insert("resultType".to_owned(), "complete".into());
    }
    answer(&request.id, &result)
}
