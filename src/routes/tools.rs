//! `GET /mcp/tools` and `POST /mcp/tools/call`: the tools without MCP around them, for PlanExe's own clients.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{expect_json, read_body, settle};
use crate::{
    error::Error,
    render::{self, ErrorObject, Response},
    tools::{self, Context},
};

/// The tools, as `tools/list` shows them.
///
/// # Errors
/// Those of a caller who is not who they say.
pub async fn list(context: &Context) -> Result<Response, Error> {
    settle(&context.caller, &context.record).await?;
    Ok(render::json(StatusCode::OK, format!("{{\"tools\":{}}}", tools::LIST)))
}

#[derive(Deserialize)]
struct CallBody<'a> {
    tool: String,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultBody<'a> {
    content: [TextContent<'a>; 1],
    structured_content: &'a RawValue,
    error: Option<ErrorObject>,
}

#[derive(Serialize)]
struct TextContent<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: &'a str,
}

/// Calls one tool. Whatever the tool meets is answered with 200 and an error in the body: the predecessor's client
/// repeats a call on 5xx and changes the protocol on 404.
///
/// # Errors
/// Those of a body that names no call, and of a caller who is not who they say.
pub async fn call(request: spin_sdk::http::Request, context: &Context) -> Result<Response, Error> {
    const FORM: &str = "Send one JSON object: {\"tool\": name, \"arguments\": {…}}.";
    expect_json(request.headers())?;
    let (head, body) = request.into_parts();
    let body = read_body(&head.headers, body, context.access.max_body_bytes).await?;
    let call: CallBody<'_> = serde_json::from_slice(&body).map_err(|_| Error::BadRequest(FORM))?;
    let arguments = call.arguments.map_or("{}", RawValue::get);
    if !arguments.starts_with('{') {
        return Err(Error::BadRequest(FORM));
    }
    let (result, error) = match tools::call(&call.tool, arguments, context).await {
        Ok(outcome) => (outcome.result, None),
        Err(error) => (tools::failure(&error), Some(render::tool_result(&error).error)),
    };
    settle(&context.caller, &context.record).await?;
    let content = [TextContent {
        kind: "text",
        text: result.get(),
    }];
    let body = render::to_json(&ResultBody {
        content,
        structured_content: &result,
        error,
    });
    Ok(render::json(StatusCode::OK, body))
}
