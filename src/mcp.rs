//! MCP: turns the body of a POST request into the body of its answer. Implements JSON-RPC and the protocol's revisions;
//! uses no HTTP and no SQL.
//!
//! `message` reads and writes messages, `revision` determines the lifecycle and the revision of a request, `methods` runs
//! the methods, `prompts` and `resources` hold the prompts and resources, `error` converts errors to those of JSON-RPC.

mod error;
pub(crate) mod message;
mod methods;
mod prompts;
mod resources;
pub(crate) mod revision;

use serde_json::value::RawValue;

use error::PARSE_ERROR;
pub use error::{Fault, INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, json_rpc};
use message::{Id, Incoming, NOT_JSON, Request, answer, read_message, refusal};
use methods::{MethodError, unknown_method};
pub use revision::Envelope;
use revision::{BATCHES, Lifecycle, resolve};
pub use {methods::METHODS, revision::SUPPORTED};

use crate::{error::Error, tools::Context};

/// Maximum number of messages in a batch. The protocol has no limit; without one, a small body could ask for a huge
/// answer.
const MAX_BATCH: usize = 50;

/// Limit for all answers to one batch together, in bytes. The errors for messages beyond it are not counted.
const MAX_BATCH_ANSWER: usize = 8_000_000;
/// The error for a message whose answer exceeds [`MAX_BATCH_ANSWER`].
const FULL: &str = "The answers to a batch are at most 8 MB together, and there is no room for this one. Send it again in \
    a request of its own.";
/// The error for every call in a batch that costs credits, except the first.
const ONE_THAT_COSTS: &str = "A batch makes at most one plan. Send this call in a request of its own.";

/// A message, or the error of reading it and the id to answer with.
type Message<'a> = Result<Incoming<'a>, (Fault, Option<Id<'a>>)>;

/// The result of a request. The JSON texts are complete answers.
#[derive(Debug)]
pub enum Reply {
    /// No answer: the body held only notifications or answers.
    Accepted,
    /// An answer, result or error.
    Answer(String),
    /// The body or its envelope breaks the protocol.
    Refused(String),
    /// The modern lifecycle has no such method.
    UnknownMethod(String),
    /// The body holds a call that needs a key, and the caller has not sent one.
    KeyMissing(Error),
}

/// Serves one posted body.
pub async fn handle(body: &[u8], envelope: &Envelope<'_>, context: &Context) -> Reply {
    let refuse = |code, text: &str| Reply::Refused(refused(None, &Fault::new(code, text), context));
    let Ok(text) = std::str::from_utf8(body) else {
        return refuse(PARSE_ERROR, "The body is not UTF-8.");
    };
    let text = text.trim_matches([' ', '\t', '\n', '\r']);
    if !text.starts_with('[') {
        return serve_message(&read_message(text), envelope, context).await;
    }
    let batches = envelope.version.is_none_or(|version| version.trim() == BATCHES);
    match serde_json::from_str::<Vec<&RawValue>>(text) {
        Ok(_) if !batches => refuse(
            INVALID_REQUEST,
            "Batches are part of 2025-03-26 only: send one message a request.",
        ),
        Ok(messages) if messages.is_empty() => refuse(INVALID_REQUEST, "The batch is empty."),
        Ok(messages) if messages.len() > MAX_BATCH => refuse(INVALID_REQUEST, "A batch holds at most 50 messages."),
        Ok(messages) => serve_batch(&messages, envelope, context).await,
        Err(_) => refuse(PARSE_ERROR, NOT_JSON),
    }
}

/// Serves one message.
async fn serve_message(message: &Message<'_>, envelope: &Envelope<'_>, context: &Context) -> Reply {
    match message {
        Ok(Incoming::Request(request)) => serve_request(request, envelope, context).await,
        Ok(Incoming::Notification) => Reply::Accepted,
        Ok(Incoming::Response) if envelope.version.map(str::trim) == Some(revision::MODERN) => {
            let fault = Fault::new(INVALID_REQUEST, "A client sends no responses in this protocol version.");
            Reply::Refused(refused(None, &fault, context))
        }
        Ok(Incoming::Response) => Reply::Accepted,
        Err((fault, id)) => Reply::Refused(refused(*id, fault, context)),
    }
}

/// Serves the messages of a batch one after the other (2025-03-26, batching).
async fn serve_batch(messages: &[&RawValue], envelope: &Envelope<'_>, context: &Context) -> Reply {
    let messages: Vec<_> = messages.iter().map(|raw| read_message(raw.get())).collect();
    let refuse = |fault: &Fault| Reply::Refused(refused(None, fault, context));
    if requests(&messages).any(|request| request.method == "initialize" || revision::claims_revision(request)) {
        let text = "initialize and requests of newer revisions do not go into a batch.";
        return refuse(&Fault::new(INVALID_REQUEST, text));
    }
    // Checked before any message has an effect: a request without its key is answered as a whole, with 401.
    if requests(&messages).any(|request| methods::is_call(&request.method))
        && let Err(error) = context.caller.may_reach_tasks()
        && context.caller.lacks_key(&error)
    {
        return Reply::KeyMissing(error);
    }
    let mut answers = Vec::with_capacity(messages.len());
    let (mut room, mut has_cost) = (MAX_BATCH_ANSWER, false);
    for read in &messages {
        let request = requests(std::slice::from_ref(read)).next();
        let costs = request.is_some_and(methods::costs);
        let refused = |text| {
            refused(
                request.map(|request| request.id),
                &Fault::new(INVALID_REQUEST, text),
                context,
            )
        };
        if costs && has_cost {
            answers.push(refused(ONE_THAT_COSTS));
            continue;
        }
        if request.is_some() && room == 0 {
            answers.push(refused(FULL));
            continue;
        }
        has_cost |= costs;
        match serve_message(read, envelope, context).await {
            Reply::Accepted => {}
            reply @ Reply::KeyMissing(_) => return reply,
            Reply::Answer(text) | Reply::Refused(text) | Reply::UnknownMethod(text) => {
                let fits = text.len() <= room;
                room = room.saturating_sub(text.len());
                // The small answer of a call that costs is never dropped.
                answers.push(if fits || costs { text } else { refused(FULL) });
            }
        }
    }
    if answers.is_empty() {
        Reply::Accepted
    } else {
        Reply::Answer(format!("[{}]", answers.join(",")))
    }
}

/// The requests among the messages of a batch.
fn requests<'m, 'a>(messages: &'m [Message<'a>]) -> impl Iterator<Item = &'m Request<'a>> {
    messages.iter().filter_map(|message| match message {
        Ok(Incoming::Request(request)) => Some(request),
        _ => None,
    })
}

/// The answer for an error. Also sets the outcome in the log.
fn refused(id: Option<Id<'_>>, fault: &Fault, context: &Context) -> String {
    context.request.set_outcome(fault.code.to_string());
    refusal(id, fault)
}

/// Serves one request in its lifecycle.
async fn serve_request(request: &Request<'_>, envelope: &Envelope<'_>, context: &Context) -> Reply {
    let id: Id<'_> = request.id;
    let revision = match resolve(request, envelope) {
        Ok(revision) => revision,
        Err(fault) => return Reply::Refused(refused(Some(id), &fault, context)),
    };
    if revision.lifecycle == Lifecycle::Modern
        && let Err(fault) = revision::check_log_level(request)
    {
        return Reply::Answer(refused(Some(id), &fault, context));
    }
    context.request.set_rpc(methods::log_name(&request.method));
    if let Err(error) = methods::admit(&request.method, &context.caller) {
        if context.caller.lacks_key(&error) {
            return Reply::KeyMissing(error);
        }
        context.request.fail(&error);
        return Reply::Answer(refused(Some(id), &json_rpc(&error), context));
    }
    match methods::dispatch(&request.method, &request.params, revision, context).await {
        Ok(result) => Reply::Answer(answer(id, &result)),
        Err(MethodError::Fault(fault)) => Reply::Answer(refused(Some(id), &fault, context)),
        Err(MethodError::KeyMissing(error)) => Reply::KeyMissing(error),
        Err(MethodError::UnknownMethod) => {
            let text = refused(Some(id), &unknown_method(&request.method), context);
            // Clients of the legacy revisions read 404 as the end of a session.
            if revision.lifecycle == Lifecycle::Modern {
                Reply::UnknownMethod(text)
            } else {
                Reply::Answer(text)
            }
        }
    }
}
