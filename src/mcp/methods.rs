//! The methods: their results in both lifecycles. What a tool does is the business of `tools`.

use std::sync::OnceLock;

use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    frame::{Fault, INVALID_PARAMS, Params, as_string},
    revision::{Era, MODERN, SUPPORTED, negotiate},
};
use crate::{
    error::Error,
    render,
    tools::{self, Context},
};

/// How long clients may keep the list of tools and the answer of `server/discover`: an hour, in milliseconds.
const CACHE_TTL_MS: u32 = 3_600_000;

/// What the server says of itself to every agent.
const INSTRUCTIONS: &str = "PlanExe turns a goal in plain English into a project plan: an HTML report and a zip of \
    its working files. Work in this order. 1: call prompt_examples. 2: draft a prompt of that quality (300-800 words) \
    together with the user and get the user's approval. 3: call task_create with it. A plan takes 15-20 minutes: call \
    task_status every few minutes until state is completed, then call task_file_info and give the user its \
    download_url. task_stop ends a plan that nobody wants any more.";

/// A result as JSON, or the fault in its place.
pub(super) type Outcome = Result<String, Failure>;

/// Why a request has no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// The method is not served in this lifecycle.
    UnknownMethod,
    /// The request is answered with an error.
    Fault(Fault),
}

/// Serves one request.
pub(super) async fn call(method: &str, params: &Params<'_>, era: Era, context: &Context) -> Outcome {
    match (method, era) {
        ("initialize", Era::Legacy) => Ok(initialize(params)),
        ("ping", Era::Legacy) => Ok("{}".to_owned()),
        ("server/discover", Era::Modern) => Ok(discover().to_owned()),
        ("tools/list", _) => list_tools(params, era),
        ("tools/call", _) => call_tool(params, era, context).await,
        _ => Err(Failure::UnknownMethod),
    }
}

/// Name, version and home of the server, as `initialize` and the modern `_meta` carry them.
fn server_info() -> Value {
    json!({
        "name": "planexe-mcp-server",
        "title": "PlanExe",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Turns a goal in plain English into a project plan.",
        "websiteUrl": "https://planexe.org",
    })
}

/// What the server offers. Nothing in it ever changes while a client looks, hence no `listChanged`.
fn capabilities() -> Value {
    json!({ "tools": {} })
}

fn initialize(params: &Params<'_>) -> String {
    let requested = params.protocol_version.and_then(as_string);
    render::to_json(&json!({
        "protocolVersion": negotiate(requested.as_deref()),
        "capabilities": capabilities(),
        "serverInfo": server_info(),
        "instructions": INSTRUCTIONS,
    }))
}

/// The answer of `server/discover`, made once for each instance.
fn discover() -> &'static str {
    static ANSWER: OnceLock<String> = OnceLock::new();
    ANSWER.get_or_init(|| {
        let body = json!({
            "supportedVersions": SUPPORTED,
            "capabilities": capabilities(),
            "instructions": INSTRUCTIONS,
            "ttlMs": CACHE_TTL_MS,
            "cacheScope": "public",
        });
        complete(&body, Era::Modern)
    })
}

/// A result with what the lifecycle adds to every result.
fn complete(result: &impl Serialize, era: Era) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Complete<'a, T: Serialize> {
        #[serde(flatten)]
        result: &'a T,
        result_type: &'static str,
        #[serde(rename = "_meta")]
        meta: Value,
    }
    match era {
        Era::Legacy => render::to_json(result),
        Era::Modern => render::to_json(&Complete {
            result,
            result_type: "complete",
            meta: json!({ "io.modelcontextprotocol/serverInfo": server_info() }),
        }),
    }
}

/// One page holds all tools: a cursor can only come from somewhere else.
fn list_tools(params: &Params<'_>, era: Era) -> Outcome {
    if params.cursor.is_some() {
        let text = "Unknown cursor. The list has one page: call tools/list without a cursor.";
        return Err(Failure::Fault(Fault::new(INVALID_PARAMS, text)));
    }
    static ANSWERS: OnceLock<[String; 2]> = OnceLock::new();
    let [legacy, modern] = ANSWERS.get_or_init(|| {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Page<'a> {
            tools: &'a RawValue,
            #[serde(skip_serializing_if = "Option::is_none")]
            ttl_ms: Option<u32>,
            #[serde(skip_serializing_if = "Option::is_none")]
            cache_scope: Option<&'static str>,
        }
        let tools = tools::list();
        [
            complete(
                &Page {
                    tools,
                    ttl_ms: None,
                    cache_scope: None,
                },
                Era::Legacy,
            ),
            complete(
                &Page {
                    tools,
                    ttl_ms: Some(CACHE_TTL_MS),
                    cache_scope: Some("public"),
                },
                Era::Modern,
            ),
        ]
    });
    Ok(if era == Era::Modern {
        modern.clone()
    } else {
        legacy.clone()
    })
}

/// The result of a call: the tool's object, once as such and once as text for clients that know no other.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallResult<'a> {
    content: [TextContent<'a>; 1],
    structured_content: &'a RawValue,
    is_error: bool,
}

#[derive(Serialize)]
struct TextContent<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: &'a str,
}

async fn call_tool(params: &Params<'_>, era: Era, context: &Context) -> Outcome {
    let invalid = |text: &str| Err(Failure::Fault(Fault::new(INVALID_PARAMS, text)));
    let Some(name) = params.name.and_then(as_string) else {
        return invalid("params.name must be the name of a tool, a string.");
    };
    let arguments = params.arguments.map_or("{}", RawValue::get);
    if !arguments.starts_with('{') {
        return invalid("params.arguments must be an object.");
    }
    let (result, is_error) = match tools::call(&name, arguments, context).await {
        Ok(result) => (result, false),
        // A tool that does not exist is a mistake in the protocol; all else is a result that the agent can act on.
        Err(error @ Error::UnknownTool(_)) => return Err(Failure::Fault(render::json_rpc(&error))),
        Err(error) => (tools::failure(&error), true),
    };
    let text = result.get();
    let content = [TextContent { kind: "text", text }];
    Ok(complete(
        &CallResult {
            content,
            structured_content: &result,
            is_error,
        },
        era,
    ))
}

/// The fault for a method that is not served.
pub(super) fn unknown_method(method: &str) -> Fault {
    let method: String = method.chars().take(100).collect();
    let hint = match method.as_str() {
        "initialize" | "ping" => format!(" It has gone in {MODERN}; server/discover takes its place."),
        _ => String::new(),
    };
    Fault::new(
        super::frame::METHOD_NOT_FOUND,
        format!("Method {method:?} is not served.{hint}"),
    )
}
