//! The methods: their results in both lifecycles. What a tool does is the business of `tools`.

use std::{borrow::Cow, sync::OnceLock};

use serde::{Serialize, Serializer};
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

use super::{
    error::{Fault, INVALID_PARAMS, METHOD_NOT_FOUND, json_rpc},
    frame::{Params, Request, as_string},
    prompts, resources,
    revision::{Era, MODERN, SUPPORTED, Spoken, negotiate},
};
use crate::{
    auth::caller::Caller,
    config::{self, Tools},
    error::Error,
    json,
    tools::{self, Context, Family, Form, Outcome as ToolOutcome, ResourceLink},
};

/// How long clients may keep the list of tools and the answer of `server/discover`: an hour, in milliseconds.
const CACHE_TTL_MS: u32 = 3_600_000;

/// The order of steps, in the words of the tools of February 2026.
const INSTRUCTIONS: &str = "PlanExe turns a goal in plain English into a project plan: an HTML report and a zip of \
    its working files. Work in this order. 1: call prompt_examples. 2: draft a prompt of that quality (300-800 words) \
    together with the user and get the user's approval. 3: call task_create with it. A plan takes 15-20 minutes: call \
    task_status every few minutes until state is completed, then call task_file_info and give the user its \
    download_url. task_stop ends a plan that is not wanted any more.";

/// What only the tools of today can do.
const AFTERWARDS: &str = " A plan that failed or was stopped goes on with plan_resume, or begins anew with plan_retry. \
    plan_list finds a lost plan_id, model_profiles tells which models there are, example_plans shows finished plans, and \
    send_feedback takes what the user thinks.";

/// A result as JSON, or the fault in its place.
pub(super) type Outcome = Result<Cow<'static, str>, Failure>;

/// Why a request has no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// The method is not served in this lifecycle.
    UnknownMethod,
    /// The request is answered with an error.
    Fault(Fault),
    /// The call needs a key, and the caller has sent none.
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

/// The name of a method as the log shows it: callers' own words do not go there.
pub(super) fn known(method: &str) -> &'static str {
    METHODS.into_iter().find(|known| *known == method).unwrap_or("unknown")
}

/// Whether the method reads or changes tasks, or may.
pub(super) fn is_call(method: &str) -> bool {
    matches!(method, "tools/call" | "resources/read")
}

/// Whether a request is a call that costs money.
pub(super) fn costs(request: &Request<'_>) -> bool {
    let name = || request.params.name.and_then(as_string);
    request.method == "tools/call"
        && name()
            .and_then(|name| tools::find(&name))
            .is_some_and(|tool| tool.costs)
}

/// Lets a caller have a method served, by whether it needs a key.
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

/// Serves one request.
pub(super) async fn call(method: &str, params: &Params<'_>, spoken: Spoken, context: &Context) -> Outcome {
    let era = spoken.era;
    match (method, era) {
        ("initialize", Era::Legacy) => Ok(initialize(params, shown().await?).into()),
        ("ping", Era::Legacy) => Ok("{}".into()),
        ("server/discover", Era::Modern) => Ok(discover(shown().await?).into()),
        ("tools/list", _) => list_tools(params, era, shown().await?),
        ("tools/call", _) => call_tool(params, spoken, context).await,
        ("prompts/list", _) => list_prompts(params, era, shown().await?),
        ("prompts/get", _) => get_prompt(params, era, shown().await?),
        ("resources/list", _) => list_resources(params, era),
        ("resources/templates/list", _) => list_templates(params, era),
        // On the heap: it holds a whole transfer, and every other call would carry room for it.
        ("resources/read", _) => Box::pin(read_resource(params, era, context)).await,
        _ => Err(Failure::UnknownMethod),
    }
}

/// Which tools are listed.
async fn shown() -> Result<Tools, Failure> {
    let choice = config::tools().await;
    choice.map_err(|error| Failure::Fault(json_rpc(&error.into())))
}

/// The words in which the server speaks of itself: those of the tools that come first.
fn family(choice: Tools) -> Family {
    match choice {
        Tools::Task | Tools::Both => Family::Task,
        Tools::Plan => Family::Plan,
    }
}

/// What the server says of itself to every agent.
fn instructions(choice: Tools) -> String {
    let family = family(choice);
    let more = match family {
        Family::Task => "",
        Family::Plan => AFTERWARDS,
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

/// What the server offers. Nothing in it ever changes while a client looks, hence no `listChanged`.
fn capabilities() -> Value {
    json!({ "tools": {}, "prompts": {}, "resources": {} })
}

fn initialize(params: &Params<'_>, choice: Tools) -> String {
    let requested = params.protocol_version.and_then(as_string);
    json::text(&json!({
        "protocolVersion": negotiate(requested.as_deref()),
        "capabilities": capabilities(),
        "serverInfo": server_info(),
        "instructions": instructions(choice),
    }))
}

/// The answer of `server/discover`.
fn discover(choice: Tools) -> String {
    let body = json!({
        "supportedVersions": SUPPORTED,
        "capabilities": capabilities(),
        "instructions": instructions(choice),
        "ttlMs": CACHE_TTL_MS,
        "cacheScope": "public",
    });
    complete(&body, Era::Modern)
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
        Era::Legacy => json::text(result),
        Era::Modern => json::text(&Complete {
            result,
            result_type: "complete",
            meta: json!({ "io.modelcontextprotocol/serverInfo": server_info() }),
        }),
    }
}

/// The two forms of a list that has one page and never changes.
struct Page {
    legacy: String,
    modern: String,
}

impl Page {
    /// A page whose items are the member `name`.
    fn new(name: &'static str, items: &impl Serialize) -> Self {
        struct Member<'a, T: Serialize>(&'static str, &'a T);
        impl<T: Serialize> Serialize for Member<'_, T> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map([(self.0, self.1)])
            }
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Cached<'a, T: Serialize> {
            #[serde(flatten)]
            items: Member<'a, T>,
            ttl_ms: u32,
            cache_scope: &'static str,
        }
        let legacy = Member(name, items);
        let cached = Cached {
            items: Member(name, items),
            ttl_ms: CACHE_TTL_MS,
            cache_scope: "public",
        };
        Self {
            modern: complete(&cached, Era::Modern),
            legacy: complete(&legacy, Era::Legacy),
        }
    }

    /// The page, for a request without a cursor: a cursor can only come from somewhere else.
    fn answer(&'static self, params: &Params<'_>, era: Era) -> Outcome {
        if params.cursor.is_some() {
            let text = "Unknown cursor. The list has one page: ask for it without a cursor.";
            return Err(Failure::Fault(Fault::new(INVALID_PARAMS, text)));
        }
        let page = if era == Era::Modern { &self.modern } else { &self.legacy };
        Ok(page.as_str().into())
    }
}

fn list_tools(params: &Params<'_>, era: Era, choice: Tools) -> Outcome {
    static PAGES: [OnceLock<Page>; 3] = [const { OnceLock::new() }; 3];
    let [task, plan, both] = &PAGES;
    let page = match choice {
        Tools::Task => task,
        Tools::Plan => plan,
        Tools::Both => both,
    };
    page.get_or_init(|| {
        let list = tools::list(choice).to_owned();
        Page::new("tools", &RawValue::from_string(list).unwrap_or_default())
    })
    .answer(params, era)
}

fn list_prompts(params: &Params<'_>, era: Era, choice: Tools) -> Outcome {
    static PAGES: [OnceLock<Page>; 2] = [const { OnceLock::new() }; 2];
    let [task, plan] = &PAGES;
    let family = family(choice);
    let page = match family {
        Family::Task => task,
        Family::Plan => plan,
    };
    page.get_or_init(|| Page::new("prompts", &prompts::list(family)))
        .answer(params, era)
}

fn get_prompt(params: &Params<'_>, era: Era, choice: Tools) -> Outcome {
    let Some(name) = params.name.and_then(as_string) else {
        let text = "params.name must be the name of a prompt, a string.";
        return Err(Failure::Fault(Fault::new(INVALID_PARAMS, text)));
    };
    let filled = prompts::get(&name, params.arguments, family(choice)).map_err(Failure::Fault)?;
    Ok(complete(&filled, era).into())
}

fn list_resources(params: &Params<'_>, era: Era) -> Outcome {
    static PAGE: OnceLock<Page> = OnceLock::new();
    PAGE.get_or_init(|| Page::new("resources", &json!([])))
        .answer(params, era)
}

fn list_templates(params: &Params<'_>, era: Era) -> Outcome {
    static PAGE: OnceLock<Page> = OnceLock::new();
    PAGE.get_or_init(|| Page::new("resourceTemplates", &resources::templates()))
        .answer(params, era)
}

async fn read_resource(params: &Params<'_>, era: Era, context: &Context) -> Outcome {
    let Some(uri) = params.uri.and_then(as_string) else {
        let text = "params.uri must be the address of a resource, a string.";
        return Err(Failure::Fault(Fault::new(INVALID_PARAMS, text)));
    };
    let read = resources::read(&uri, era, context).await.map_err(Failure::Fault)?;
    Ok(complete(&read, era).into())
}

/// The result of a call: the tool's object, once as such and once as text for clients that know no other.
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

async fn call_tool(params: &Params<'_>, spoken: Spoken, context: &Context) -> Outcome {
    let invalid = |text: &str| Err(Failure::Fault(Fault::new(INVALID_PARAMS, text)));
    let Some(name) = params.name.and_then(as_string) else {
        return invalid("params.name must be the name of a tool, a string.");
    };
    let arguments = params.arguments.map_or("{}", RawValue::get);
    if !arguments.starts_with('{') {
        return invalid("params.arguments must be an object.");
    }
    // The results of constant tools, made once for each instance and lifecycle.
    static PREPARED: [[OnceLock<String>; tools::ALL.len()]; 2] =
        [const { [const { OnceLock::new() }; tools::ALL.len()] }; 2];
    let [legacy, modern] = &PREPARED;
    let prepared = if spoken.era == Era::Modern { modern } else { legacy };
    let prepared = tools::find_constant(&name, arguments).and_then(|(index, tool)| Some((prepared.get(index)?, tool)));
    if let Some((result, tool)) = prepared
        && let Some(result) = result.get()
    {
        context.request.tool(tool.name);
        return Ok(result.as_str().into());
    }
    let (outcome, is_error) = match tools::call(&name, arguments, Form::Mcp, context).await {
        Ok(outcome) => (outcome, false),
        // A tool that does not exist is a mistake in the protocol; all else is a result that the agent can act on.
        Err(error @ Error::UnknownTool(_)) => return Err(Failure::Fault(json_rpc(&error))),
        Err(error) if context.caller.lacks_key(&error) => return Err(Failure::KeyMissing(error)),
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
            .filter(|_| spoken.knows_resource_links())
            .map(Content::ResourceLink),
    );
    let result = complete(
        &CallResult {
            content,
            structured_content: &outcome.result,
            is_error,
        },
        spoken.era,
    );
    Ok(match prepared {
        Some((prepared, _)) if !is_error => prepared.get_or_init(|| result).as_str().into(),
        _ => result.into(),
    })
}

/// The fault for a method that is not served.
pub(super) fn unknown_method(method: &str) -> Fault {
    let method: String = method.chars().take(100).collect();
    let hint = match method.as_str() {
        "initialize" | "ping" => format!(" It has gone in {MODERN}; server/discover takes its place."),
        _ => String::new(),
    };
    Fault::new(METHOD_NOT_FOUND, format!("Method {method:?} is not served.{hint}"))
}
