//! The methods of MCP and their results in both lifecycles. The tools themselves are in `tools`.

use std::{borrow::Cow, sync::OnceLock};

use serde::Serialize;
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

use super::{
    error::{Fault, INVALID_PARAMS, METHOD_NOT_FOUND, json_rpc},
    message::{Params, Request, as_string},
    prompts, resources,
    revision::{Lifecycle, MODERN, RequestRevision, SUPPORTED, negotiate},
};
use crate::{
    auth::caller::Caller,
    config::{self, Tools},
    error::Error,
    json,
    tools::{self, Context, Family, Form, Outcome as ToolOutcome, ResourceLink},
};

/// How long clients may cache lists and the result of `server/discover`: an hour, in milliseconds.
const CACHE_TTL_MS: u32 = 3_600_000;

/// The order of steps, in the vocabulary of `task_*`.
const INSTRUCTIONS: &str = "PlanExe turns a goal in plain English into a project plan: an HTML report and a zip of \
    its working files. Work in this order. 1: call prompt_examples. 2: draft a prompt of that quality (300-800 words) \
    together with the user and get the user's approval. 3: call task_create with it. A plan takes 15-20 minutes: call \
    task_status every few minutes until state is completed, then call task_file_info and give the user its \
    download_url. task_stop ends a plan that is not wanted any more.";

/// What only the `plan_*` tools can do.
const PLAN_INSTRUCTIONS: &str = " A plan that failed or was stopped goes on with plan_resume, or begins anew with \
    plan_retry. plan_list finds a lost plan_id, model_profiles tells which models there are, example_plans shows finished \
    plans, and send_feedback takes what the user thinks.";

/// The JSON text of a result, or an error.
pub(super) type MethodResult = Result<Cow<'static, str>, MethodError>;

/// Why a request has no result.
#[derive(Debug)]
pub(super) enum MethodError {
    /// The method is not served in this lifecycle.
    UnknownMethod,
    /// The request is answered with an error.
    Fault(Fault),
    /// The call needs a key, and the caller has not sent one.
    KeyMissing(Error),
}

/// The methods of all revisions.
pub const METHODS: [&str; 10] = [
    "initialize",
    "ping",
    "server/discover",
    "tools/list",
    "tools/call",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/read",
    "resources/templates/list",
];

/// The name of a method for the log, which must not contain text of the caller.
pub(super) fn log_name(method: &str) -> &'static str {
    METHODS.into_iter().find(|known| *known == method).unwrap_or("unknown")
}

/// Whether the method may read or change tasks.
pub(super) fn is_call(method: &str) -> bool {
    matches!(method, "tools/call" | "resources/read")
}

/// Whether a request is a call that costs credits.
pub(super) fn costs(request: &Request<'_>) -> bool {
    let name = || request.params.name.and_then(as_string);
    request.method == "tools/call"
        && name()
            .and_then(|name| tools::find(&name))
            .is_some_and(|tool| tool.costs)
}

/// Checks whether a caller may use a method.
///
/// # Errors
/// Those of a key that is missing.
pub(super) fn admit(method: &str, caller: &Caller) -> Result<(), Error> {
    match method {
        "tools/call" => caller.may_call(),
        "resources/read" => caller.may_reach_tasks(),
        _ => Ok(()),
    }
}

/// Runs a method.
pub(super) async fn dispatch(
    method: &str,
    params: &Params<'_>,
    revision: RequestRevision,
    context: &Context,
) -> MethodResult {
    let lifecycle = revision.lifecycle;
    match (method, lifecycle) {
        ("initialize", Lifecycle::Legacy) => Ok(initialize(params, listed().await?).into()),
        ("ping", Lifecycle::Legacy) => Ok("{}".into()),
        ("server/discover", Lifecycle::Modern) => Ok(discover(listed().await?).into()),
        ("tools/list", _) => list("tools", tools::list(listed().await?), params, lifecycle),
        ("tools/call", _) => call_tool(params, revision, context).await,
        ("prompts/list", _) => {
            let prompts = prompts::list(family(listed().await?));
            list("prompts", &json::text(&prompts), params, lifecycle)
        }
        ("prompts/get", _) => get_prompt(params, lifecycle, listed().await?),
        ("resources/list", _) => list("resources", "[]", params, lifecycle),
        ("resources/templates/list", _) => {
            let templates = json::text(&resources::templates());
            list("resourceTemplates", &templates, params, lifecycle)
        }
        // Boxed: this future is large, and it would enlarge that of every other method.
        ("resources/read", _) => Box::pin(read_resource(params, lifecycle, context)).await,
        _ => Err(MethodError::UnknownMethod),
    }
}

/// The setting of the tools that are listed.
async fn listed() -> Result<Tools, MethodError> {
    let listed = config::tools().await;
    listed.map_err(|error| MethodError::Fault(json_rpc(&error.into())))
}

/// The vocabulary of instructions and prompts: that of the tools which are listed first.
fn family(listed: Tools) -> Family {
    match listed {
        Tools::Task | Tools::Both => Family::Task,
        Tools::Plan => Family::Plan,
    }
}

/// Instructions for agents, in the results of `initialize` and `server/discover`.
fn instructions(listed: Tools) -> String {
    let family = family(listed);
    let more = match family {
        Family::Task => "",
        Family::Plan => PLAN_INSTRUCTIONS,
    };
    family.words(INSTRUCTIONS.into()).into_owned() + more
}

/// Name, version and home of the server, as `initialize` and the modern `_meta` carry them.
fn server_info() -> Value {
    json!({
        "name": "planexe-mcp-server",
        "title": "PlanExe",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Turns a goal in plain English into a project plan.",
        "websiteUrl": "https://github.com/PlanExeOrg/PlanExe",
        "icons": [tools::icon()],
    })
}

/// The capabilities of the server. Its lists never change, so there is no `listChanged`.
fn capabilities() -> Value {
    json!({ "tools": {}, "prompts": {}, "resources": {} })
}

fn initialize(params: &Params<'_>, listed: Tools) -> String {
    let requested = params.protocol_version.and_then(as_string);
    json::text(&json!({
        "protocolVersion": negotiate(requested.as_deref()),
        "capabilities": capabilities(),
        "serverInfo": server_info(),
        "instructions": instructions(listed),
    }))
}

/// The result of `server/discover`.
fn discover(listed: Tools) -> String {
    let body = json!({
        "supportedVersions": SUPPORTED,
        "capabilities": capabilities(),
        "instructions": instructions(listed),
        "ttlMs": CACHE_TTL_MS,
        "cacheScope": "public",
    });
    complete(&body, Lifecycle::Modern)
}

/// The `_meta` of every modern result.
fn meta() -> Value {
    json!({ "io.modelcontextprotocol/serverInfo": server_info() })
}

/// A result with the members that the lifecycle adds to every result.
fn complete(result: &impl Serialize, lifecycle: Lifecycle) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Complete<'a, T: Serialize> {
        #[serde(flatten)]
        result: &'a T,
        result_type: &'static str,
        #[serde(rename = "_meta")]
        meta: Value,
    }
    match lifecycle {
        Lifecycle::Legacy => json::text(result),
        Lifecycle::Modern => json::text(&Complete {
            result,
            result_type: "complete",
            meta: meta(),
        }),
    }
}

/// The result of a list with one page, whose items are this JSON text in the member `name`. Any cursor is invalid, since the
/// server never returns one.
fn list(name: &str, items: &str, params: &Params<'_>, lifecycle: Lifecycle) -> MethodResult {
    if params.cursor.is_some() {
        let text = "Unknown cursor. The list has one page: ask for it without a cursor.";
        return Err(MethodError::Fault(Fault::new(INVALID_PARAMS, text)));
    }
    Ok(match lifecycle {
        Lifecycle::Legacy => format!("{{\"{name}\":{items}}}"),
        Lifecycle::Modern => format!(
            "{{\"{name}\":{items},\"ttlMs\":{CACHE_TTL_MS},\"cacheScope\":\"public\",\"resultType\":\"complete\",\"_meta\":{}}}",
            meta()
        ),
    }
    .into())
}

fn get_prompt(params: &Params<'_>, lifecycle: Lifecycle, listed: Tools) -> MethodResult {
    let Some(name) = params.name.and_then(as_string) else {
        let text = "params.name must be the name of a prompt, a string.";
        return Err(MethodError::Fault(Fault::new(INVALID_PARAMS, text)));
    };
    let filled = prompts::fill(&name, params.arguments, family(listed)).map_err(MethodError::Fault)?;
    Ok(complete(&filled, lifecycle).into())
}

async fn read_resource(params: &Params<'_>, lifecycle: Lifecycle, context: &Context) -> MethodResult {
    let Some(uri) = params.uri.and_then(as_string) else {
        let text = "params.uri must be the address of a resource, a string.";
        return Err(MethodError::Fault(Fault::new(INVALID_PARAMS, text)));
    };
    let read = resources::read_resource(&uri, lifecycle, context)
        .await
        .map_err(MethodError::Fault)?;
    Ok(complete(&read, lifecycle).into())
}

/// The result of a call: the tool's object as structured content, and as text for clients that only read text.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallResult<'a> {
    content: Vec<Content<'a>>,
    structured_content: &'a RawValue,
    is_error: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content<'a> {
    Text { text: &'a str },
    ResourceLink(ResourceLink),
}

async fn call_tool(params: &Params<'_>, revision: RequestRevision, context: &Context) -> MethodResult {
    let invalid = |text: &str| Err(MethodError::Fault(Fault::new(INVALID_PARAMS, text)));
    let Some(name) = params.name.and_then(as_string) else {
        return invalid("params.name must be the name of a tool, a string.");
    };
    let arguments = params.arguments.map_or("{}", RawValue::get);
    if !arguments.starts_with('{') {
        return invalid("params.arguments must be an object.");
    }
    // The results of constant tools, built once per instance and lifecycle.
    static PREPARED: [[OnceLock<String>; tools::ALL.len()]; 2] =
        [const { [const { OnceLock::new() }; tools::ALL.len()] }; 2];
    let [legacy, modern] = &PREPARED;
    let prepared = if revision.lifecycle == Lifecycle::Modern {
        modern
    } else {
        legacy
    };
    let prepared = tools::find_constant(&name, arguments).and_then(|(index, tool)| Some((prepared.get(index)?, tool)));
    if let Some((result, tool)) = prepared
        && let Some(result) = result.get()
    {
        context.request.set_tool(tool.name);
        return Ok(result.as_str().into());
    }
    let (outcome, is_error) = match tools::call(&name, arguments, Form::Mcp, context).await {
        Ok(outcome) => (outcome, false),
        // An unknown tool is a protocol error. Any other error is a result, on which the agent can act.
        Err(error @ Error::UnknownTool(_)) => return Err(MethodError::Fault(json_rpc(&error))),
        Err(error) if context.caller.lacks_key(&error) => return Err(MethodError::KeyMissing(error)),
        Err(error) => (
            ToolOutcome {
                result: to_raw_value(&tools::failure(&name, &error)).unwrap_or_default(),
                link: None,
            },
            true,
        ),
    };
    let mut content = vec![Content::Text {
        text: outcome.result.get(),
    }];
    content.extend(
        outcome
            .link
            .filter(|_| revision.knows_resource_links())
            .map(Content::ResourceLink),
    );
    let result = complete(
        &CallResult {
            content,
            structured_content: &outcome.result,
            is_error,
        },
        revision.lifecycle,
    );
    Ok(match prepared {
        Some((prepared, _)) if !is_error => prepared.get_or_init(|| result).as_str().into(),
        _ => result.into(),
    })
}

/// The error for a method that does not exist in this lifecycle.
pub(super) fn unknown_method(method: &str) -> Fault {
    let method: String = method.chars().take(100).collect();
    let hint = match method.as_str() {
        "initialize" | "ping" => format!(" It was removed in {MODERN}; use server/discover."),
        _ => String::new(),
    };
    Fault::new(METHOD_NOT_FOUND, format!("Method {method:?} is not served.{hint}"))
}
