//! Every way in which a request can fail, as one closed enum: one row for each. Knows no protocol; `render` and `mcp`
//! make of a row's class what their callers see, and the tests make the documents of the rows.

mod class;
mod misconfigured;
#[macro_use]
mod rows;
mod link_fault;
mod unavailable;

pub use class::{Class, Mistake, Outage, Step};
pub use link_fault::LinkFault;
pub use misconfigured::Misconfigured;
use serde_json::json;
pub use unavailable::Unavailable;

use crate::plan::{Again, Credits, Percentage, TaskState};

/// Seconds after which a service that failed may work again.
pub const RETRY_AFTER: u16 = 5;

errors! {
    /// A failed request.
    ///
    /// `Display` is for the log of the operator and may name causes; [`Error::message`] is for the caller and never
    /// carries SQL, host names, keys or the text of another system. Codes in lower case are those that the predecessor's
    /// clients know.
    #[derive(Clone, thiserror::Error)]
    pub enum Error {
        /// Arguments of a tool that do not fit its input schema, all of them.
        #[error("invalid arguments: {}", join(.0))]
        InvalidArguments(problems: Vec<Problem>) => {
            code: "INVALID_ARGUMENT", class: Caller(Invalid), at: Tool,
            message: join(problems),
            details: [("arguments", json!(problems))],
            samples: [InvalidArguments(vec![Problem::new("prompt", "prompt is missing: it is required.")])],
        }
        /// No tool has this name.
        #[error("unknown tool")]
        UnknownTool(name: String) => {
            code: "INVALID_TOOL", class: Caller(NotFound), at: Tool,
            message: format!("Unknown tool: {}. Call tools/list for the tools of this server.", shorten(name)),
            samples: [UnknownTool("plan".to_owned())],
        }
        /// Unknown or malformed id, or another user's task.
        #[error("task not found")]
        TaskNotFound => {
            code: "TASK_NOT_FOUND", class: Caller(NotFound), at: File,
            message: "No task has this task_id. Use the task_id that task_create returned, unchanged.",
            samples: [TaskNotFound],
        }
        /// The plan failed: a sentence about how far it came and why, from [`crate::plan::failure`].
        #[error("plan generation failed")]
        GenerationFailed(message: String) => {
            code: "generation_failed", class: Caller(NotFound), at: File,
            message: message.clone(),
            reason: "failed",
            samples: [GenerationFailed(crate::plan::failure(Percentage::new(1.8), "2 of 111", None))],
        }
        /// The task has not made the file yet; once it is stopped, it never will.
        #[error("not ready: task is {}", .state.name())]
        NotReady {
            /// State of the task.
            state: TaskState,
            /// How far the plan is.
            progress: Percentage,
        } => {
            code: "NOT_READY", class: Caller(NotFound), at: File,
            message: unavailable::not_ready(*state, *progress),
            reason: if *state == TaskState::Stopped { "stopped" } else { "not_ready" },
            details: [("progress_percentage", progress.percent().into()), ("state", state.name().into())],
            samples: [TaskState::Running, TaskState::Stopped]
                .map(|state| NotReady { state, progress: Percentage::new(42.0) }),
        }
        /// A file of a run cannot be handed out.
        #[error("content unavailable: {0}")]
        ContentUnavailable(#[from] cause: Unavailable) => {
            code: "content_unavailable", class: cause.class(), at: File,
            message: cause.message(),
            reason: cause.code(),
            samples: Unavailable::samples().into_iter().map(ContentUnavailable),
        }
        /// This server is for users only, and the call has no user's key.
        #[error("user key missing")]
        UserKeyRequired => {
            code: "USER_API_KEY_REQUIRED", class: Caller(Unauthorized), at: Key,
            message: "This server is for known users only. Send your PlanExe API key as Authorization: Bearer <key> or \
                X-API-Key: <key>; task_create takes it as user_api_key too.",
            samples: [UserKeyRequired],
        }
        /// No user has this key, or it is revoked.
        #[error("user key refused")]
        InvalidUserKey => {
            code: "INVALID_USER_API_KEY", class: Caller(Forbidden), at: Tool,
            message: "This user_api_key is unknown or revoked. Copy a valid key from your PlanExe account page.",
            samples: [InvalidUserKey],
        }
        /// The user cannot pay for a plan.
        #[error("insufficient credits: {balance}")]
        InsufficientCredits {
            /// Credits that the user has.
            balance: Credits,
            /// Credits that a plan costs; `None` where PlanExe's worker takes them while it makes the plan.
            price: Option<i32>,
        } => {
            code: "INSUFFICIENT_CREDITS", class: Caller(PaymentRequired), at: Tool,
            message: match price {
                Some(price) => format!(
                    "A plan costs {price} credits and your balance is {balance}. Buy credits on your PlanExe account page."
                ),
                None => format!(
                    "A plan needs credits, and your balance is {balance}. Buy credits on your PlanExe account page."
                ),
            },
            details: [("credits_balance", number(balance)), ("credits_per_plan", (*price).into())],
            samples: [Some(1), None].map(|price| InsufficientCredits { balance: Credits::parse("0"), price }),
        }
        /// The owner has used this `client_request_id` for another plan.
        #[error("client_request_id reused")]
        RequestIdReused {
            /// Whether the prompt is that of the first plan.
            same_prompt: bool,
            /// Whether `speed_vs_detail` is that of the first plan.
            same_detail: bool,
        } => {
            code: "CLIENT_REQUEST_ID_REUSED", class: Caller(Conflict), at: Tool,
            message: format!(
                "This client_request_id was used for another plan: {}. Nothing was made or charged. Choose a new \
                 client_request_id for a new plan.",
                match (same_prompt, same_detail) {
                    (false, false) => "prompt and speed_vs_detail differ",
                    (false, true) => "prompt differs",
                    (true, _) => "speed_vs_detail differs",
                },
            ),
            details: [("same_prompt", (*same_prompt).into()), ("same_speed_vs_detail", (*same_detail).into())],
            samples: [RequestIdReused { same_prompt: true, same_detail: false }],
        }
        /// Only a plan that failed or was stopped can be put into the queue again.
        #[error("not put into the queue: plan is {}", .state.name())]
        NotRequeued {
            /// How it was to be put there.
            again: Again,
            /// State of the plan.
            state: TaskState,
        } => {
            code: not_again(*again), class: Caller(Conflict), at: Tool,
            message: match (again, state) {
                (Again::Resume, TaskState::Failed | TaskState::Stopped) => {
                    "This PlanExe cannot go on with a plan: its workers begin each one anew. Call plan_retry.".to_owned()
                }
                (_, state) => format!(
                    "Only a plan that failed or was stopped can be made again, and this one is {}. Nothing was changed.",
                    state.name()
                ),
            },
            samples: [Again::Retry, Again::Resume].map(|again| NotRequeued { again, state: TaskState::Completed }),
        }
        /// The worker of a plan that was stopped has not ended yet: a second one would make the same plan.
        #[error("not put into the queue: a worker is still at work on the plan")]
        StillAtWork(again: Again) => {
            code: not_again(*again), class: Caller(Conflict), at: Tool,
            message: "A worker is still at work on this plan and ends at its next step. Nothing was changed: try again in a \
                few minutes.",
            samples: [Again::Retry, Again::Resume].map(StillAtWork),
        }
        /// The files of the plan were made by another version of the pipeline.
        #[error("pipeline version mismatch")]
        PipelineVersionMismatch => {
            code: "PIPELINE_VERSION_MISMATCH", class: Caller(Conflict), at: Tool,
            message: "This plan was begun by another version of PlanExe, which today's workers cannot go on with. Call \
                plan_retry to make it from its beginning.",
            samples: [PipelineVersionMismatch],
        }
        /// No profile has a model.
        #[error("no model profile: {0}")]
        ModelProfilesUnavailable(cause: String) => {
            code: "MODEL_PROFILES_UNAVAILABLE", class: Ours, at: Tool,
            message: "This server knows of no models. Plans may be made all the same: PlanExe's workers have their own list. \
                Tell the operator, who puts PlanExe's llm_config files beside the component.",
            samples: [ModelProfilesUnavailable(SECRET.to_owned())],
        }
        /// The database does not answer, or not in time.
        #[error("database unavailable: {0}")]
        DatabaseUnavailable(cause: String) => {
            code: "DATABASE_UNAVAILABLE", class: Temporary(Service), at: Key,
            message: "PlanExe's database does not answer at the moment. Nothing was changed; try again in a few seconds.",
            details: [("retry_after_sec", RETRY_AFTER.into())],
            samples: [DatabaseUnavailable(SECRET.to_owned())],
        }
        /// The database lacks these tables, a list with commas.
        #[error("tables missing: {0}")]
        TablesMissing(tables: String) => {
            code: "DATABASE_UNAVAILABLE", class: Temporary(Service), at: File,
            message: format!(
                "PlanExe's database lacks the tables {tables}. PlanExe's web frontend creates them when it starts: the \
                 operator starts it once, then this server works."
            ),
            details: [("retry_after_sec", RETRY_AFTER.into())],
            samples: [TablesMissing("events, task_item".to_owned())],
        }
        /// The database was lost while a statement ran that changes something: it is not known whether it took effect.
        #[error("database lost: {cause}")]
        OutcomeUnknown {
            /// For the log.
            cause: String,
            /// Whether the same call again would find what the first one did.
            repeatable: bool,
        } => {
            code: "DATABASE_UNAVAILABLE", class: Temporary(Service), at: Tool,
            message: if *repeatable {
                "PlanExe's database was lost in the middle of this call, and whether it took effect is not known. Call \
                again in a few seconds with the same arguments, the same client_request_id above all: if the first call \
                did take effect, you get its result and nothing is made or charged twice."
            } else {
                "PlanExe's database was lost in the middle of this call, and whether it took effect is not known. The \
                call had no client_request_id: calling again may make and charge a second plan, so ask the user first."
            },
            details: [("outcome_unknown", true.into()), ("retry_after_sec", RETRY_AFTER.into())],
            samples: [true, false].map(|repeatable| OutcomeUnknown { cause: SECRET.to_owned(), repeatable }),
        }
        /// The files of `GET /openapi.json` and `GET /docs` are not beside the component.
        #[error("pages missing: {0}")]
        PagesMissing(cause: String) => {
            code: "PAGES_MISSING", class: Ours, at: Page,
            message: "This server was deployed without its pages. The operator puts the folder assets/pages of the \
                release beside the component and names it in files of spin.toml: \
                { source = \"assets/pages\", destination = \"/pages\" }.",
            samples: [PagesMissing(SECRET.to_owned())],
        }
        /// A setting that this call depends on cannot be used.
        #[error("misconfigured: {0}")]
        Misconfigured(#[from] cause: self::Misconfigured) => {
            code: "SERVER_MISCONFIGURED", class: Temporary(Service), at: Key,
            message: "This server is misconfigured: a setting that this call depends on cannot be used. Tell the \
                operator, who finds the setting's name in the server's log.",
            samples: [Misconfigured(self::Misconfigured { variable: SECRET, why: "must be true or false" })],
        }
        /// A bug.
        #[error("internal error: {0}")]
        Internal(cause: String) => {
            code: "INTERNAL_ERROR", class: Ours, at: Any,
            message: "The server met an error of its own. Try again; if it stays, tell the operator the time of the call.",
            samples: [Internal(SECRET.to_owned())],
        }
        /// The server has an API key and the request has none.
        #[error("API key missing")]
        ApiKeyMissing => {
            code: "API_KEY_MISSING", class: Caller(Unauthorized), at: Key,
            message: "Missing API key. Send it as Authorization: Bearer <key>, X-API-Key: <key> or API_KEY: <key>.",
            samples: [ApiKeyMissing],
        }
        /// The request's API key is another one.
        #[error("API key refused")]
        ApiKeyWrong => {
            code: "API_KEY_WRONG", class: Caller(Forbidden), at: Key,
            message: "Wrong API key: it is neither the server's key nor a valid user key that this server takes.",
            samples: [ApiKeyWrong],
        }
        /// A signed download link that does not hold.
        #[error("download link refused: {0}")]
        LinkRefused(#[from] fault: LinkFault) => {
            code: fault.code(), class: fault.class(), at: File,
            message: fault.message(),
            samples: LinkFault::samples().into_iter().map(LinkRefused),
        }
        /// The `Origin` of a browser's request is not allowed.
        #[error("origin refused")]
        OriginRefused => {
            code: "ORIGIN_REFUSED", class: Caller(Forbidden), at: Origin,
            message: "Web pages of this origin may not call this server. The operator allows origins in \
                PLANEXE_MCP_CORS_ORIGINS, and this server's own by PLANEXE_MCP_PUBLIC_BASE_URL.",
            samples: [OriginRefused],
        }
        /// No route has this path.
        #[error("no such route")]
        NoSuchRoute => {
            code: "NO_SUCH_ROUTE", class: Caller(NotFound), at: Route,
            message: "There is nothing at this path. GET / lists the routes.",
            samples: [NoSuchRoute],
        }
        /// The path is known, the method is not among those named.
        #[error("method not allowed; allowed: {0}")]
        MethodNotAllowed(allow: &'static str) => {
            code: "METHOD_NOT_ALLOWED", class: Caller(MethodNotAllowed), at: Route,
            message: format!("This path takes {allow} only."),
            samples: [MethodNotAllowed("GET, HEAD")],
        }
        /// The request's body is not JSON by its `Content-Type`.
        #[error("content type is not application/json")]
        ContentTypeRefused => {
            code: "CONTENT_TYPE_REFUSED", class: Caller(MediaType), at: Body,
            message: "Send the body as Content-Type: application/json.",
            samples: [ContentTypeRefused],
        }
        /// The request's `Accept` rules out JSON.
        #[error("accept rules out application/json")]
        NotAcceptable => {
            code: "NOT_ACCEPTABLE", class: Caller(NotAcceptable), at: Accept,
            message: "This server answers application/json: let your Accept header allow it.",
            samples: [NotAcceptable],
        }
        /// The request's body is larger than the limit, in bytes.
        #[error("body larger than {0} bytes")]
        BodyTooLarge(limit: u64) => {
            code: "BODY_TOO_LARGE", class: Caller(TooLarge), at: Body,
            message: format!("The request body is larger than the limit of {limit} bytes."),
            samples: [BodyTooLarge(1_048_576)],
        }
        /// The request's body ended early or broke the protocol.
        #[error("body cannot be read: {0}")]
        BodyUnreadable(cause: String) => {
            code: "BODY_UNREADABLE", class: Caller(Invalid), at: Body,
            message: "The request body ended early. Send it again.",
            samples: [BodyUnreadable(SECRET.to_owned())],
        }
        /// The request's body did not arrive in time.
        #[error("body too slow")]
        BodyTooSlow => {
            code: "BODY_TOO_SLOW", class: Caller(TooSlow), at: Body,
            message: "The request body did not arrive in time. Send it again.",
            samples: [BodyTooSlow],
        }
        /// The body of `POST /mcp/tools/call` names no call.
        #[error("the body is not a call")]
        BadRequest => {
            code: "BAD_REQUEST", class: Caller(Invalid), at: Call,
            message: "Send one JSON object: {\"tool\": name, \"arguments\": {…}}.",
            samples: [BadRequest],
        }
    }
}

/// The cause in samples. The tests check that no message contains it.
#[cfg(not(target_family = "wasm"))]
const SECRET: &str = "secret-host";

impl Error {
    /// Whether the operator has something to look into.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        !matches!(self.class(), Class::Caller(_))
    }
}

/// One wrong argument.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// Name of the argument.
    pub field: String,
    /// What is wrong with it and what is allowed, as a sentence.
    pub problem: String,
}

impl Problem {
    /// A problem of an argument.
    pub fn new(field: &str, problem: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            problem: problem.into(),
        }
    }
}

/// The code for a plan that is not put into the queue again.
fn not_again(again: Again) -> &'static str {
    match again {
        Again::Retry => "PLAN_NOT_FAILED",
        Again::Resume => "PLAN_NOT_RESUMABLE",
    }
}

/// An amount as a JSON number.
fn number(credits: &Credits) -> serde_json::Value {
    serde_json::from_str(&credits.to_string()).unwrap_or_default()
}

/// All problems as one text.
fn join(problems: &[Problem]) -> String {
    let texts: Vec<_> = problems.iter().map(|problem| problem.problem.as_str()).collect();
    texts.join(" ")
}

/// A text of the caller's as it is repeated to them: of limited length, without control characters.
fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}
