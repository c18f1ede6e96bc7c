//! MCP: one posted body in, one answer out. Knows JSON-RPC and the protocol's revisions, but no HTTP and no SQL.
//!
//! `frame` reads and writes messages, `revision` tells the lifecycles apart, `methods` serves them, `prompts` and
//! `resources` hold what some of them are about, `error` turns an error into one of JSON-RPC.

mod error;
pub(crate) mod frame;
mod methods;
mod prompts;
mod resources;
pub(crate) mod revision;

use serde_json::value::RawValue;

use error::PARSE_ERROR;
pub use error::{Fault, INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, json_rpc};
use frame::{Id, Incoming, NOT_JSON, Request, answer, read, refusal};
use methods::{Failure, unknown_method};
pub use revision::Envelope;
use revision::{BATCHES, Era, spoken};
pub use {methods::METHODS, revision::SUPPORTED};

use crate::{error::Error, tools::Context};

/// Messages in one batch. The protocol names no bound; without one, a small body asks for a huge answer.
const MAX_BATCH: usize = 50;

/// Bytes of the answers to one batch, together. Errors of messages that have no room come on top.
const MAX_BATCH_ANSWER: usize = 8_000_000;
/// What a message is answered with that has no room.
const FULL: &str = "The answers to a batch are at most 8 MB together, and there is no room for this one. Send it again in \
    a request of its own.";
/// What each call of a batch that costs is answered with, but the first.
const ONE_THAT_COSTS: &str = "A batch makes at most one plan. Send this call in a request of its own.";

/// A message as it was read: or why it cannot be, and the id to answer it under.
type Message<'a> = Result<Incoming<'a>, (Fault, Option<Id<'a>>)>;

/// What a posted body leads to. The JSON texts are complete answers.
#[derive(Debug)]
pub enum Reply {
    /// Nothing to say: the body held notifications or answers only.
    Accepted,
    /// An answer, result or error.
    Answer(String),
    /// The body or its envelope breaks the protocol.
    Refused(String),
    /// The modern lifecycle has no such method.
    UnknownMethod(String),
    /// The body holds a call that needs a key, and the caller has sent none.
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
        return message(&read(text), envelope, context).await;
    }
    let batches = envelope.version.is_none_or(|version| version.trim() == BATCHES);
    match serde_json::from_str::<Vec<&RawValue>>(text) {
        Ok(_) if !batches => refuse(
            INVALID_REQUEST,
            "Batches are part of 2025-03-26 only: send one message a request.",
        ),
        Ok(messages) if messages.is_empty() => refuse(INVALID_REQUEST, "The batch is empty."),
        Ok(messages) if messages.len() > MAX_BATCH => refuse(INVALID_REQUEST, "A batch holds at most 50 messages."),
        Ok(messages) => batch(&messages, envelope, context).await,
        Err(_) => refuse(PARSE_ERROR, NOT_JSON),
    }
}

/// Serves one message.
async fn message(message: &Message<'_>, envelope: &Envelope<'_>, context: &Context) -> Reply {
    match message {
        Ok(Incoming::Request(request)) => serve(request, envelope, context).await,
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
async fn batch(messages: &[&RawValue], envelope: &Envelope<'_>, context: &Context) -> Reply {
    let messages: Vec<_> = messages.iter().map(|raw| read(raw.get())).collect();
    let refuse = |fault: &Fault| Reply::Refused(refused(None, fault, context));
    if requests(&messages).any(|request| request.method == "initialize" || revision::claims_revision(request)) {
        let text = "initialize and requests of newer revisions do not go into a batch.";
        return refuse(&Fault::new(INVALID_REQUEST, text));
    }
    // Before any of them has an effect: without the key there is no answer that could tell of it.
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
        match message(read, envelope, context).await {
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

/// A fault as an answer, and as the outcome in the log.
fn refused(id: Option<Id<'_>>, fault: &Fault, context: &Context) -> String {
    context.request.outcome(fault.code.to_string());
    refusal(id, fault)
}

/// Serves one request in the lifecycle that it speaks.
async fn serve(request: &Request<'_>, envelope: &Envelope<'_>, context: &Context) -> Reply {
    let id: Id<'_> = request.id;
    let spoken = match spoken(request, envelope) {
        Ok(spoken) => spoken,
        Err(fault) => return Reply::Refused(refused(Some(id), &fault, context)),
    };
    if spoken.era == Era::Modern
        && let Err(fault) = revision::check_log_level(request)
    {
        return Reply::Answer(refused(Some(id), &fault, context));
    }
    context.request.rpc(methods::known(&request.method));
    if let Err(error) = methods::admit(&request.method, &context.caller) {
        if context.caller.lacks_key(&error) {
            return Reply::KeyMissing(error);
        }
        context.request.error(&error);
        return Reply::Answer(refused(Some(id), &json_rpc(&error), context));
    }
    match methods::call(&request.method, &request.params, spoken, context).await {
        Ok(result) => Reply::Answer(answer(id, &result)),
        Err(Failure::Fault(fault)) => Reply::Answer(refused(Some(id), &fault, context)),
        Err(Failure::KeyMissing(error)) => Reply::KeyMissing(error),
        Err(Failure::UnknownMethod) => {
            let text = refused(Some(id), &unknown_method(&request.method), context);
            // Clients of the legacy revisions read 404 as the end of a session.
            if spoken.era == Era::Modern {
                Reply::UnknownMethod(text)
            } else {
                Reply::Answer(text)
            }
        }
    }
}
