//! The tools: the table of all, lookup, list, and the way from JSON arguments to a JSON result.
//!
//! A tool is one file that implements `Definition` and one line in [`ALL`]. How clients see it is made from its types
//! when the project is tested, not when it runs: the tests write `tools/list.json`.

mod arguments;
mod prompt_examples;
mod task_create;
mod task_file_info;
mod task_status;
mod task_stop;

use std::{future::Future, pin::Pin, rc::Rc, sync::OnceLock};

use schemars::JsonSchema;
#[cfg(not(target_family = "wasm"))]
use schemars::{Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, Serializer, de::DeserializeOwned};
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

use crate::{
    auth::{RequestOrigin, caller::Caller},
    config::Access,
    error::Error,
    plan::{Artifact, TaskId},
    render, request,
};

/// Every tool, in the order in which agents are shown them.
pub const ALL: &[Tool] = &[
    Tool::of::<prompt_examples::PromptExamples>(),
    Tool::of::<task_create::TaskCreate>(),
    Tool::of::<task_status::TaskStatus>(),
    Tool::of::<task_stop::TaskStop>(),
    Tool::of::<task_file_info::TaskFileInfo>(),
];

/// What a tool may know of the request that calls it.
#[derive(Debug)]
pub struct Context {
    /// The access settings.
    pub access: Rc<Access>,
    /// Who calls.
    pub caller: Caller,
    /// What is measured of the request.
    pub request: Rc<request::Context>,
    /// Where the caller reached the server.
    pub request_origin: RequestOrigin,
}

/// A tool as its file defines it.
#[cfg_attr(
    target_family = "wasm",
    expect(dead_code, reason = "what clients see is in list.json already")
)]
trait Definition: 'static {
    /// The name, in the one place where it is spelled.
    const NAME: &'static str;
    /// For people.
    const TITLE: &'static str;
    /// For agents: when to call it and when not, what it costs, what it changes, what comes next.
    const DESCRIPTION: &'static str;
    /// What the tool does to the world; `idempotent_hint`: whether a call that may have been lost is safe to repeat.
    const ANNOTATIONS: Annotations;
    /// The JSON text of arguments, for the documents.
    const EXAMPLE: &'static str;
    /// Whether every call without arguments has the same result for as long as an instance lives.
    const IS_CONSTANT: bool = false;
    /// Whether a call costs money.
    const COSTS: bool = false;
    /// Whether every call needs a caller who may reach tasks. A tool without that looks for itself.
    const REACHES_TASKS: bool = true;
    /// Its arguments; their doc comments are the schema's descriptions.
    type Arguments: DeserializeOwned + JsonSchema;
    /// Its result.
    type Output: Serialize + JsonSchema;

    /// The result in the form that `POST /mcp/tools/call` gives: `PlanExe`'s proxy `mcp_local` hands it to clients that
    /// refuse members which are not in the proxy's own output schemas.
    ///
    /// # Errors
    /// For a result that the proxy would take for a success.
    fn plain(output: Self::Output) -> Result<Self::Output, Error> {
        Ok(output)
    }

    /// A resource that the result points to.
    fn link(_: &Self::Output) -> Option<ResourceLink> {
        None
    }

    /// Does the work.
    async fn call(arguments: Self::Arguments, context: &Context) -> Result<Self::Output, Error>;
}

/// Hints to clients that decide whether to ask a person first (2025-03-26, tool annotations).
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Annotations {
    /// Changes nothing.
    pub read_only_hint: bool,
    /// May undo or remove something.
    pub destructive_hint: bool,
    /// A second call with the same arguments changes nothing more.
    pub idempotent_hint: bool,
    /// Reaches beyond the server.
    pub open_world_hint: bool,
}

impl Annotations {
    /// For tools that only look.
    const READ_ONLY: Self = Self {
        read_only_hint: true,
        destructive_hint: false,
        idempotent_hint: true,
        open_world_hint: false,
    };
}

/// Who gets the result of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A client of MCP.
    Mcp,
    /// A caller of `POST /mcp/tools/call`.
    Plain,
}

/// What a tool returns.
#[derive(Debug)]
pub struct Outcome {
    /// The JSON text of its result.
    pub result: Box<RawValue>,
    /// A resource to go with it, for clients that know such links.
    pub link: Option<ResourceLink>,
}

/// A resource of this server (2025-06-18, resource links).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceLink {
    /// `planexe://task/{task_id}/{file}`.
    pub uri: String,
    /// The file's name.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// Media type.
    pub mime_type: &'static str,
    /// In bytes, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

impl ResourceLink {
    /// A link to an artifact of a task.
    fn to(artifact: Artifact, task_id: TaskId, size: Option<u64>) -> Self {
        let name = artifact.file_name();
        let title = match artifact {
            Artifact::Report => "Project plan",
            Artifact::Zip => "All files of the project plan",
        };
        Self {
            uri: format!("planexe://task/{task_id}/{name}"),
            name,
            title,
            mime_type: artifact.content_type(),
            size,
        }
    }
}

type Call<'a> = Pin<Box<dyn Future<Output = Result<Outcome, Error>> + 'a>>;

/// A tool of any type.
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// Whether a call costs money.
    pub costs: bool,
    is_constant: bool,
    reaches_tasks: bool,
    call: for<'a> fn(&'a str, &'a Value, Form, &'a Context) -> Call<'a>,
    /// The rest of its definition.
    #[cfg(not(target_family = "wasm"))]
    pub about: About,
}

/// What there is to say of a tool: the tests make the list of tools and the documents of it.
#[cfg(not(target_family = "wasm"))]
pub struct About {
    /// For people.
    pub title: &'static str,
    /// For agents.
    pub description: &'static str,
    /// What the tool does to the world.
    pub annotations: Annotations,
    /// The JSON text of arguments.
    pub example: &'static str,
    /// Makes the schema of its arguments.
    pub arguments: fn(SchemaGenerator) -> Schema,
    /// Makes the schema of its result.
    pub output: fn(SchemaGenerator) -> Schema,
    /// Reads the JSON text of arguments by their schema, and calls nothing.
    pub read: fn(&str, &Value) -> Result<(), Error>,
}

impl Tool {
    const fn of<D: Definition>() -> Self {
        Self {
            name: D::NAME,
            costs: D::COSTS,
            is_constant: D::IS_CONSTANT,
            reaches_tasks: D::REACHES_TASKS,
            call: |arguments, schema, form, context| Box::pin(run::<D>(arguments, schema, form, context)),
            #[cfg(not(target_family = "wasm"))]
            about: About {
                title: D::TITLE,
                description: D::DESCRIPTION,
                annotations: D::ANNOTATIONS,
                example: D::EXAMPLE,
                arguments: SchemaGenerator::into_root_schema_for::<D::Arguments>,
                output: SchemaGenerator::into_root_schema_for::<D::Output>,
                read: |text, schema| arguments::parse::<D::Arguments>(text, schema).map(drop),
            },
        }
    }
}

/// The icon of the server and its tools: bars of a plan, one after the other.
#[must_use]
pub fn icon() -> Value {
    const SVG: &str = "data:image/svg+xml,%3Csvg%20xmlns='http://www.w3.org/2000/svg'%20viewBox='0%200%2016%2016'%20\
        fill='%232f6f5e'%3E%3Crect%20x='1'%20y='2'%20width='7'%20height='3'%20rx='1'/%3E%3Crect%20x='4'%20y='6.5'%20width='8'%20\
        height='3'%20rx='1'/%3E%3Crect%20x='9'%20y='11'%20width='6'%20height='3'%20rx='1'/%3E%3C/svg%3E";
    json!({ "src": SVG, "mimeType": "image/svg+xml", "sizes": ["any"] })
}

async fn run<D: Definition>(arguments: &str, schema: &Value, form: Form, context: &Context) -> Result<Outcome, Error> {
    let mut output = D::call(arguments::parse(arguments, schema)?, context).await?;
    if form == Form::Plain {
        output = D::plain(output)?;
    }
    let result = to_raw_value(&output).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Outcome {
        result,
        link: D::link(&output),
    })
}

/// The tool of a name.
pub fn find(name: &str) -> Option<&'static Tool> {
    ALL.iter().find(|tool| tool.name == name)
}

/// The tool of a call whose result is the same for every such call in this instance, with its place in [`ALL`].
pub fn find_constant(name: &str, arguments: &str) -> Option<(usize, &'static Tool)> {
    let mut tools = ALL.iter().enumerate();
    tools.find(|(_, tool)| tool.is_constant && tool.name == name && arguments == "{}")
}

/// The JSON text of the list of tools.
pub const LIST: &str = include_str!("tools/list.json");

/// What a call needs to know of a tool in the list.
#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "inputSchema")]
    input_schema: Value,
}

/// The input schemas of [`ALL`], read once for each instance.
fn input_schemas() -> &'static [Listed] {
    static LISTED: OnceLock<Vec<Listed>> = OnceLock::new();
    LISTED.get_or_init(|| serde_json::from_str(LIST).unwrap_or_default())
}

/// Calls a tool with the JSON text of an object of arguments.
///
/// # Errors
/// [`Error::UnknownTool`], [`Error::InvalidArguments`], and what the tool meets.
pub async fn call(name: &str, arguments: &str, form: Form, context: &Context) -> Result<Outcome, Error> {
    let mut tools = ALL.iter().zip(input_schemas());
    let (tool, listed) = tools
        .find(|(tool, _)| tool.name == name)
        .ok_or_else(|| Error::UnknownTool(name.to_owned()))
        .inspect_err(|error| context.request.fail(error))?;
    context.request.set_tool(tool.name);
    let called = async {
        if tool.reaches_tasks {
            context.caller.may_reach_tasks()?;
        }
        (tool.call)(arguments, &listed.input_schema, form, context).await
    };
    called.await.inspect_err(|error| context.request.fail(error))
}

/// The JSON text that stands in place of the result of a tool that failed.
pub fn failure(error: &Error) -> Box<RawValue> {
    to_raw_value(&render::tool_result(error)).unwrap_or_default()
}

/// An argument that names a task. Only a UUID can be one.
fn task_id(text: &str) -> Result<TaskId, Error> {
    TaskId::parse(text).ok_or(Error::TaskNotFound)
}

/// A task's id in a result.
fn id_text<S: Serializer>(id: &TaskId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}
