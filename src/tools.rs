//! The tools: the table of all, lookup, list, and the way from JSON arguments to a JSON result.
//!
//! A tool is one file that implements `Definition` and one line in [`ALL`]. How clients see it is made from its types
//! when the project is tested, not when it runs: the tests write `tools/list/`.

mod arguments;
mod example_plans;
mod example_prompts;
mod family;
mod model_profiles;
mod plan_create;
mod plan_file_info;
mod plan_list;
mod plan_resume;
mod plan_retry;
mod plan_status;
mod plan_stop;
mod prompt_examples;
mod send_feedback;
mod task_create;
mod task_file_info;
mod task_status;
mod task_stop;

use std::{future::Future, pin::Pin, sync::OnceLock};

use schemars::JsonSchema;
#[cfg(not(target_family = "wasm"))]
use schemars::{Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, Serializer, de::DeserializeOwned};
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

pub use crate::actions::Context;
pub use family::Family;

use crate::{
    config::Tools,
    error::Error,
    plan::{Artifact, TaskId, TaskState},
    render,
};

/// A tool, and how clients see it.
macro_rules! tool {
    ($definition:path, $name:literal) => {
        Tool::of::<$definition>(include_str!(concat!("tools/list/", $name, ".json")))
    };
}

/// Every tool, in the order in which agents are shown them: those of February 2026, then those of today.
pub const ALL: &[Tool] = &[
    tool!(prompt_examples::PromptExamples, "prompt_examples"),
    tool!(task_create::TaskCreate, "task_create"),
    tool!(task_status::TaskStatus, "task_status"),
    tool!(task_stop::TaskStop, "task_stop"),
    tool!(task_file_info::TaskFileInfo, "task_file_info"),
    tool!(example_plans::ExamplePlans, "example_plans"),
    tool!(example_prompts::ExamplePrompts, "example_prompts"),
    tool!(model_profiles::ModelProfiles, "model_profiles"),
    tool!(plan_create::PlanCreate, "plan_create"),
    tool!(plan_status::PlanStatus, "plan_status"),
    tool!(plan_stop::PlanStop, "plan_stop"),
    tool!(plan_retry::PlanRetry, "plan_retry"),
    tool!(plan_resume::PlanResume, "plan_resume"),
    tool!(plan_file_info::PlanFileInfo, "plan_file_info"),
    tool!(plan_list::PlanList, "plan_list"),
    tool!(send_feedback::SendFeedback, "send_feedback"),
];

/// A tool as its file defines it.
#[cfg_attr(
    target_family = "wasm",
    expect(dead_code, reason = "what clients see is in tools/list/ already")
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
    /// The words in which the tool speaks.
    const FAMILY: Family;
    /// The code of arguments that do not fit.
    const INVALID: &'static str = "INVALID_ARGUMENT";
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

    /// A link to the report of a plan that a worker has ended, in this state of either family.
    fn to_report(state: &str, has_report: bool, task_id: TaskId) -> Option<Self> {
        let has_ended = [TaskState::Completed.name(), TaskState::Failed.name()].contains(&state);
        (has_ended && has_report).then(|| Self::to(Artifact::Report, task_id, None))
    }
}

type Call<'a> = Pin<Box<dyn Future<Output = Result<Outcome, Error>> + 'a>>;

/// A tool of any type.
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// How clients see it: the JSON text of its item in `tools/list`.
    pub listed: &'static str,
    /// The words in which it speaks.
    pub family: Family,
    /// Whether a call costs money.
    pub costs: bool,
    invalid: &'static str,
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
    const fn of<D: Definition>(listed: &'static str) -> Self {
        Self {
            name: D::NAME,
            listed,
            family: D::FAMILY,
            costs: D::COSTS,
            invalid: D::INVALID,
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

/// The JSON text of the list of tools, made once for each instance and choice.
pub fn list(choice: Tools) -> &'static str {
    static LISTS: [OnceLock<String>; 3] = [const { OnceLock::new() }; 3];
    let [task, plan, both] = &LISTS;
    let list = match choice {
        Tools::Task => task,
        Tools::Plan => plan,
        Tools::Both => both,
    };
    list.get_or_init(|| {
        let shown = ALL.iter().filter(|tool| match choice {
            Tools::Task => tool.family == Family::Task,
            Tools::Plan => tool.family == Family::Plan,
            Tools::Both => true,
        });
        let shown: Vec<&str> = shown.map(|tool| tool.listed.trim_end()).collect();
        format!("[{}]", shown.join(","))
    })
}

/// The input schema of the tool at this place in [`ALL`], read once for each instance.
fn input_schema(index: usize) -> Option<&'static Value> {
    #[derive(Deserialize)]
    struct Listed {
        #[serde(rename = "inputSchema")]
        input_schema: Value,
    }
    static SCHEMAS: [OnceLock<Value>; ALL.len()] = [const { OnceLock::new() }; ALL.len()];
    let tool = ALL.get(index)?;
    let read = || serde_json::from_str::<Listed>(tool.listed).map(|listed| listed.input_schema);
    Some(SCHEMAS.get(index)?.get_or_init(|| read().unwrap_or_default()))
}

/// Calls a tool with the JSON text of an object of arguments.
///
/// # Errors
/// [`Error::UnknownTool`], [`Error::InvalidArguments`], and what the tool meets.
pub async fn call(name: &str, arguments: &str, form: Form, context: &Context) -> Result<Outcome, Error> {
    let mut tools = ALL.iter().enumerate();
    let (tool, schema) = tools
        .find(|(_, tool)| tool.name == name)
        .and_then(|(index, tool)| Some((tool, input_schema(index)?)))
        .ok_or_else(|| Error::UnknownTool(name.to_owned()))
        .inspect_err(|error| context.request.fail(error))?;
    context.request.set_tool(tool.name);
    let called = async {
        if tool.reaches_tasks {
            context.caller.may_reach_tasks()?;
        }
        (tool.call)(arguments, schema, form, context).await
    };
    called.await.inspect_err(|error| context.request.fail(error))
}

/// What stands in place of the result of a tool that failed, in the words of that tool.
pub fn failure(name: &str, error: &Error) -> render::ToolErrorBody {
    let mut body = render::tool_result(error);
    if let Some(tool) = find(name) {
        body.error.message = tool.family.words(body.error.message);
        body.error.code = match error {
            Error::InvalidArguments(_) => tool.invalid,
            error => tool.family.code(error),
        };
    }
    body
}

/// A plan's id in a result.
fn id_text<S: Serializer>(id: &TaskId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}
