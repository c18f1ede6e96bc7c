//! `GET /mcp/tools` and `POST /mcp/tools/call`: the tools over plain HTTP, for PlanExe's own clients.

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

use super::{answer, expect_json, read_body};
use crate::{
    config,
    error::Error,
    host::Request,
    json,
    render::{self, Response, ToolError},
    tools::{self, Context, Form},
};

/// The tools, as `tools/list` shows them.
///
/// # Errors
/// Those of the setting that says which are shown.
pub async fn list() -> Result<Response, Error> {
    let list = tools::list(config::tools().await?);
    Ok(render::json(StatusCode::OK, format!("{{\"tools\":{list}}}")))
}

/// What `POST /mcp/tools/call` takes.
#[derive(Deserialize, JsonSchema)]
pub struct CallBody<'a> {
    /// Name of the tool.
    tool: String,
    /// Its arguments.
    #[serde(borrow, default)]
    #[schemars(with = "Map<String, Value>")]
    arguments: Option<&'a RawValue>,
}

/// What `POST /mcp/tools/call` answers.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResultBody<'a> {
    /// The result as one text block of JSON.
    content: [TextContent<'a>; 1],
    /// The result.
    #[schemars(with = "Map<String, Value>")]
    structured_content: &'a RawValue,
    /// Why the call failed; null when it did not.
    error: Option<ToolError>,
}

#[derive(Serialize, JsonSchema)]
struct TextContent<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: &'a str,
}

/// Calls one tool. An error of the tool is sent with status 200 and an error in the body, since PlanExe's client repeats a
/// call on 5xx and changes the protocol on 404. Only an invalid setting gets 503.
///
/// # Errors
/// Those of an invalid body and of a missing key.
pub async fn call(request: Request, context: &Context) -> Result<Response, Error> {
    expect_json(request.headers())?;
    let (head, body) = request.into_parts();
    let body = read_body(&head.headers, body, context.access.max_body_bytes).await?;
    let call = str::from_utf8(&body)
        .ok()
        .and_then(|body| json::object::<CallBody<'_>>(body).ok());
    let call = call.ok_or(Error::BadRequest)?;
    let arguments = call.arguments.map_or("{}", RawValue::get);
    if !arguments.starts_with('{') {
        return Err(Error::BadRequest);
    }
    let (result, error) = match tools::call(&call.tool, arguments, Form::Plain, context).await {
        Ok(outcome) => (outcome.result, None),
        Err(error) if context.caller.lacks_key(&error) => return Err(error),
        Err(error) => {
            let failure = tools::failure(&call.tool, &error);
            (to_raw_value(&failure).unwrap_or_default(), Some(failure.error))
        }
    };
    let content = [TextContent {
        kind: "text",
        text: result.get(),
    }];
    let body = json::text(&ResultBody {
        content,
        structured_content: &result,
        error,
    });
    Ok(answer(&context.request, body))
}
