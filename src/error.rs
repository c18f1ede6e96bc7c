//! Every way in which a request can fail, as one closed enum. It knows no HTTP and no JSON-RPC: `render` does.

use crate::{
    config::Misconfigured,
    plan::{Percentage, TaskState},
};

/// A failed request.
///
/// `Display` is for the log of the operator and may name causes; [`Error::message`] is for the caller and never
/// carries SQL, host names, keys or the text of another system.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Arguments of a tool that do not fit its input schema, all of them.
    #[error("invalid arguments: {}", join(.0))]
    InvalidArguments(Vec<Problem>),
    /// No tool has this name.
    #[error("unknown tool")]
    UnknownTool(String),
    /// No task has this id, or the id is none, or the task is another user's.
    #[error("task not found")]
    TaskNotFound,
    /// The plan failed: a sentence about how far it came and why, from [`crate::plan::failure`].
    #[error("plan generation failed")]
    GenerationFailed(String),
    /// The task has not made the file yet; once it is stopped, it never will.
    #[error("not ready: task is {}", .state.name())]
    NotReady {
        /// State of the task.
        state: TaskState,
        /// How far the plan is.
        progress: Percentage,
    },
    /// A file of a run cannot be handed out.
    #[error("content unavailable: {0}")]
    ContentUnavailable(#[from] Unavailable),
    /// This server is for users only, and the call has no user's key.
    #[error("user key missing")]
    UserKeyRequired,
    /// No user has this key, or it is revoked.
    #[error("user key refused")]
    InvalidUserKey,
    /// The user cannot pay for a plan.
    #[error("insufficient credits: {balance} of {price}")]
    InsufficientCredits {
        /// Credits that the user has.
        balance: i64,
        /// Credits that a plan costs.
        price: i64,
    },
    /// The owner has used this `client_request_id` for another plan.
    #[error("client_request_id reused")]
    RequestIdReused {
        /// Whether the prompt is that of the first plan.
        same_prompt: bool,
        /// Whether `speed_vs_detail` is that of the first plan.
        same_detail: bool,
    },
    /// The database does not answer, or not in time.
    #[error("database unavailable: {0}")]
    DatabaseUnavailable(String),
    /// The database lacks these tables, a list with commas.
    #[error("tables missing: {0}")]
    TablesMissing(String),
    /// The database was lost while a statement ran that changes something, and nobody knows whether it took effect.
    #[error("database lost: {cause}")]
    OutcomeUnknown {
        /// For the log.
        cause: String,
        /// Whether the same call again would find what the first one did.
        repeatable: bool,
    },
    /// The files of `GET /openapi.json` and `GET /docs` are not beside the component.
    #[error("pages missing: {0}")]
    PagesMissing(String),
    /// A setting that this call depends on cannot be used.
    #[error("misconfigured: {0}")]
    Misconfigured(#[from] Misconfigured),
    /// A bug.
    #[error("internal error: {0}")]
    Internal(String),

    /// The server has an API key and the request has none.
    #[error("API key missing")]
    ApiKeyMissing,
    /// The request's API key is another one.
    #[error("API key refused")]
    ApiKeyWrong,
    /// A signed download link that does not hold.
    #[error("download link refused: {0}")]
    LinkRefused(#[from] LinkFault),
    /// The `Origin` of a browser's request is not allowed.
    #[error("origin refused")]
    OriginRefused,
    /// No route has this path.
    #[error("no such route")]
    NoSuchRoute,
    /// The path is known, the method is not among those named.
    #[error("method not allowed, {0} are")]
    MethodNotAllowed(&'static str),
    /// The request's body is not JSON by its `Content-Type`.
    #[error("content type is not application/json")]
    ContentTypeRefused,
    /// The request's `Accept` rules out JSON.
    #[error("accept rules out application/json")]
    NotAcceptable,
    /// The request's body is larger than the limit, in bytes.
    #[error("body larger than {0} bytes")]
    BodyTooLarge(u64),
    /// The request's body ended early or broke the protocol.
    #[error("body cannot be read: {0}")]
    BodyUnreadable(String),
    /// The request's body did not arrive in time.
    #[error("body too slow")]
    BodyTooSlow,
    /// The request's body is not what the route takes; says what it takes.
    #[error("bad request: {0}")]
    BadRequest(&'static str),
}

/// One wrong argument.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// Name of the argument.
    pub field: String,
    /// What is wrong with it and what is allowed, as a sentence.
    pub problem: String,
}

/// Why a file cannot be handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The run has no such file.
    #[error("the run has no such file")]
    NoSuchFile,
    /// The file is in the archive, but not handed out by itself.
    #[error("the file is not handed out by itself")]
    Withheld,
    /// The plan is complete, but neither the database nor `worker_plan` has the file.
    #[error("the plan is complete, but its files were not stored")]
    NotStored,
    /// Nothing answers at the address of `worker_plan`.
    #[error("worker_plan cannot be reached")]
    WorkerUnreachable,
    /// `worker_plan` took longer than its time limit.
    #[error("worker_plan took too long")]
    WorkerTimeout,
    /// `worker_plan` answered with this HTTP status.
    #[error("worker_plan answered {0}")]
    WorkerStatus(u16),
    /// What `worker_plan` sent was cut short or is not what it should be.
    #[error("worker_plan sent a broken answer")]
    WorkerBroken,
    /// The archive of the run cannot be read.
    #[error("the archive is broken")]
    ArchiveBroken,
    /// The file is in the archive in a form that is not read here.
    #[error("the entry is encrypted or packed by an unknown method")]
    EntryUnsupported,
    /// The file is larger than the bound.
    #[error("the file is too large")]
    TooLarge,
    /// The archive around the file is larger than the bound.
    #[error("the archive is too large")]
    ArchiveTooLarge,
}

/// What is wrong with a signed download link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkFault {
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// Its signature is for something else, or for nothing.
    #[error("signature does not match")]
    Signature,
    /// It has no signature.
    #[error("signature missing")]
    Missing,
}

impl Error {
    /// The stable public code. Codes in lower case are those that the predecessor's clients know.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidArguments(_) => "INVALID_ARGUMENT",
            Self::UnknownTool(_) => "INVALID_TOOL",
            Self::TaskNotFound => "TASK_NOT_FOUND",
            Self::GenerationFailed(_) => "generation_failed",
            Self::NotReady { .. } => "NOT_READY",
            Self::ContentUnavailable(_) => "content_unavailable",
            Self::UserKeyRequired => "USER_API_KEY_REQUIRED",
            Self::InvalidUserKey => "INVALID_USER_API_KEY",
            Self::InsufficientCredits { .. } => "INSUFFICIENT_CREDITS",
            Self::RequestIdReused { .. } => "CLIENT_REQUEST_ID_REUSED",
            Self::DatabaseUnavailable(_) | Self::TablesMissing(_) | Self::OutcomeUnknown { .. } => {
                "DATABASE_UNAVAILABLE"
            }
            Self::PagesMissing(_) => "PAGES_MISSING",
            Self::Misconfigured(_) => "SERVER_MISCONFIGURED",
            Self::Internal(_) => "INTERNAL_ERROR",
            Self::ApiKeyMissing => "API_KEY_MISSING",
            Self::ApiKeyWrong => "API_KEY_WRONG",
            Self::LinkRefused(LinkFault::Expired) => "LINK_EXPIRED",
            Self::LinkRefused(LinkFault::Signature) => "LINK_INVALID",
            Self::LinkRefused(LinkFault::Missing) => "LINK_REQUIRED",
            Self::OriginRefused => "ORIGIN_REFUSED",
            Self::NoSuchRoute => "NO_SUCH_ROUTE",
            Self::MethodNotAllowed(_) => "METHOD_NOT_ALLOWED",
            Self::ContentTypeRefused => "CONTENT_TYPE_REFUSED",
            Self::NotAcceptable => "NOT_ACCEPTABLE",
            Self::BodyTooLarge(_) => "BODY_TOO_LARGE",
            Self::BodyUnreadable(_) => "BODY_UNREADABLE",
            Self::BodyTooSlow => "BODY_TOO_SLOW",
            Self::BadRequest(_) => "BAD_REQUEST",
        }
    }

    /// What the caller is told: what happened and what to do about it.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::InvalidArguments(problems) => join(problems),
            Self::UnknownTool(name) => {
                format!(
                    "Unknown tool: {}. Call tools/list for the tools of this server.",
                    shorten(name)
                )
            }
            Self::TaskNotFound => {
                "No task has this task_id. Use the task_id that task_create returned, unchanged.".to_owned()
            }
            Self::GenerationFailed(message) => message.clone(),
            Self::NotReady { state, progress } => not_ready(*state, *progress),
            Self::ContentUnavailable(reason) => reason.message().to_owned(),
            Self::UserKeyRequired => {
                "This server is for known users only. Send your PlanExe API key as Authorization: Bearer <key> or \
                 X-API-Key: <key>; task_create takes it as user_api_key too."
                    .to_owned()
            }
            Self::InvalidUserKey => {
                "This user_api_key is unknown or revoked. Copy a valid key from your PlanExe account page.".to_owned()
            }
            Self::InsufficientCredits { balance, price } => format!(
                "A plan costs {price} credits and your balance is {balance}. Buy credits on your PlanExe account page."
            ),
            Self::RequestIdReused {
                same_prompt,
                same_detail,
            } => {
                let differs = match (same_prompt, same_detail) {
                    (false, false) => "prompt and speed_vs_detail differ",
                    (false, true) => "prompt differs",
                    (true, _) => "speed_vs_detail differs",
                };
                format!(
                    "This client_request_id was used for another plan: {differs}. Nothing was made or charged. Choose a \
                     new client_request_id for a new plan."
                )
            }
            Self::DatabaseUnavailable(_) => {
                "PlanExe's database does not answer at the moment. Nothing was changed; try again in a few seconds."
                    .to_owned()
            }
            Self::TablesMissing(tables) => format!(
                "PlanExe's database lacks the tables {tables}. PlanExe's web frontend creates them when it starts: the \
                 operator starts it once, then this server works."
            ),
            Self::OutcomeUnknown { repeatable: true, .. } => {
                "PlanExe's database was lost in the middle of this call, and whether it took effect is not known. Call \
                 again in a few seconds with the same arguments, the same client_request_id above all: if the first \
                 call did take effect, you get its result and nothing is made or charged twice."
                    .to_owned()
            }
            Self::OutcomeUnknown { repeatable: false, .. } => {
                "PlanExe's database was lost in the middle of this call, and whether it took effect is not known. The \
                 call had no client_request_id: calling again may make and charge a second plan, so ask the user first."
                    .to_owned()
            }
            Self::PagesMissing(_) => {
                "This server was deployed without its pages. The operator puts the folder pages/ of the release beside \
                 the component and names it in files of spin.toml: { source = \"pages\", destination = \"/pages\" }."
                    .to_owned()
            }
            Self::Misconfigured(_) => {
                "This server is misconfigured: a setting that this call depends on cannot be used. Tell the operator, \
                 who finds the setting's name in the server's log."
                    .to_owned()
            }
            Self::Internal(_) => {
                "The server met an error of its own. Try again; if it stays, tell the operator the time of the call."
                    .to_owned()
            }
            Self::ApiKeyMissing => {
                "Missing API key. Send it as Authorization: Bearer <key>, X-API-Key: <key> or API_KEY: <key>."
                    .to_owned()
            }
            Self::ApiKeyWrong => {
                "Wrong API key: it is neither the server's key nor a valid user key that this server takes.".to_owned()
            }
            Self::LinkRefused(LinkFault::Expired) => {
                "This download link has expired. Ask for a new one with task_file_info.".to_owned()
            }
            Self::LinkRefused(LinkFault::Signature) => {
                "This download link is not valid. Open it exactly as task_file_info returned it, or ask for a new one."
                    .to_owned()
            }
            Self::LinkRefused(LinkFault::Missing) => {
                "This file opens with its signed link only. Ask for one with task_file_info.".to_owned()
            }
            Self::OriginRefused => "Web pages of this origin may not call this server. The operator allows origins in \
                 PLANEXE_MCP_CORS_ORIGINS, and this server's own by PLANEXE_MCP_PUBLIC_BASE_URL."
                .to_owned(),
            Self::NoSuchRoute => "There is nothing at this path. GET / lists the routes.".to_owned(),
            Self::MethodNotAllowed(allow) => format!("This path takes {allow} only."),
            Self::ContentTypeRefused => "Send the body as Content-Type: application/json.".to_owned(),
            Self::NotAcceptable => "This server answers application/json: let your Accept header allow it.".to_owned(),
            Self::BodyTooLarge(limit) => format!("The request body is larger than the limit of {limit} bytes."),
            Self::BodyUnreadable(_) => "The request body ended early. Send it again.".to_owned(),
            Self::BodyTooSlow => "The request body did not arrive in time. Send it again.".to_owned(),
            Self::BadRequest(takes) => (*takes).to_owned(),
        }
    }

    /// Whether the operator has something to look into.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        match self {
            Self::DatabaseUnavailable(_)
            | Self::TablesMissing(_)
            | Self::OutcomeUnknown { .. }
            | Self::PagesMissing(_)
            | Self::Misconfigured(_)
            | Self::Internal(_) => true,
            Self::ContentUnavailable(reason) => !matches!(
                reason,
                Unavailable::NoSuchFile | Unavailable::Withheld | Unavailable::NotStored
            ),
            _ => false,
        }
    }

    /// Why a file is not handed out, in one word for programs and for the log; `None` for other errors.
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::GenerationFailed(_) => Some("failed"),
            Self::NotReady {
                state: TaskState::Stopped,
                ..
            } => Some("stopped"),
            Self::NotReady { .. } => Some("not_ready"),
            Self::ContentUnavailable(reason) => Some(reason.word()),
            _ => None,
        }
    }
}

/// Why a task has not made a file, and what to do.
fn not_ready(state: TaskState, progress: Percentage) -> String {
    let name = state.name();
    match state {
        TaskState::Pending | TaskState::Running | TaskState::Completed => format!(
            "This file does not exist yet: the task is {name}, at {progress} %. Ask task_status until it is completed."
        ),
        TaskState::Stopping => format!(
            "This file does not exist yet: the task is stopping, at {progress} %. It may still complete; else what has \
             been made so far will be in the zip. Ask task_status until it has ended."
        ),
        TaskState::Stopped | TaskState::Failed => format!(
            "This file was not made: the task was {name} at {progress} %. What had been made by then is in the zip, \
             where there is one. Call task_create for a new plan."
        ),
    }
}

impl Unavailable {
    /// Whether the same request may succeed a few seconds later.
    #[must_use]
    pub fn is_temporary(self) -> bool {
        match self {
            Self::WorkerUnreachable | Self::WorkerTimeout | Self::WorkerStatus(_) | Self::WorkerBroken => true,
            Self::NoSuchFile
            | Self::Withheld
            | Self::NotStored
            | Self::ArchiveBroken
            | Self::EntryUnsupported
            | Self::TooLarge
            | Self::ArchiveTooLarge => false,
        }
    }

    /// The reason in one word; `docs/troubleshooting.md` lists them.
    fn word(self) -> &'static str {
        match self {
            Self::NoSuchFile => "no_such_file",
            Self::Withheld => "withheld",
            Self::NotStored => "not_stored",
            Self::WorkerUnreachable => "worker_unreachable",
            Self::WorkerTimeout => "worker_timeout",
            Self::WorkerStatus(_) | Self::WorkerBroken => "worker_failed",
            Self::ArchiveBroken => "archive_broken",
            Self::EntryUnsupported => "unsupported",
            Self::TooLarge => "too_large",
            Self::ArchiveTooLarge => "archive_too_large",
        }
    }

    /// The message for the caller.
    fn message(self) -> &'static str {
        match self {
            Self::NoSuchFile => "This run has no such file.",
            Self::Withheld => {
                "This file holds every prompt and answer of the language models. It is not handed out by itself; it is \
                 in run.zip."
            }
            Self::NotStored => {
                "The plan is complete, but PlanExe did not store this file. Ask for the other artifact, report or zip; if \
                 that was not stored either, call task_create for a new plan and tell the operator."
            }
            Self::WorkerUnreachable => {
                "The service that keeps this file does not answer at the moment. Try again in a few seconds."
            }
            Self::WorkerTimeout => {
                "The service that keeps this file took too long to answer. Try again in a few seconds."
            }
            Self::WorkerStatus(_) | Self::WorkerBroken => {
                "The service that keeps this file failed to deliver it. Try again; if it stays, tell the operator."
            }
            Self::ArchiveBroken => "The archive of this run is damaged and cannot be read.",
            Self::EntryUnsupported => {
                "This file is encrypted or packed by a method that this server does not read. Download run.zip instead."
            }
            Self::TooLarge => "This file is larger than the 100,000,000 bytes that this server hands out.",
            Self::ArchiveTooLarge => {
                "The archive that this file is in is larger than the 100,000,000 bytes that this server reads."
            }
        }
    }
}

/// All problems as one text.
fn join(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|p| p.problem.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Callers' words are repeated to them, but not at any length.
fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}
