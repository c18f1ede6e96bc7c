//! Requests that a lost connection may leave undecided: which of them can be sent once more, and what makes
//! `task_create` one of these.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::message::{Envelope, Request};
use super::upstream::Upstream;

/// How long the same arguments get the same id.
const WINDOW: Duration = Duration::from_secs(60);
/// Tools that change nothing more when they are called twice.
const IDEMPOTENT: [&str; 4] = ["prompt_examples", "task_status", "task_stop", "task_file_info"];

/// What is remembered of calls of `task_create`.
#[derive(Default)]
pub(super) struct Repeats {
    /// Whether the server knows `client_request_id`.
    known: OnceCell<bool>,
    /// Ids that were made here, with the arguments that they were made for.
    made: Mutex<Vec<(Instant, String, String)>>,
}

type Members = BTreeMap<String, Box<RawValue>>;

impl Repeats {
    /// The message to send, and whether it does no harm when it arrives twice.
    pub(super) async fn prepare<'a>(
        &self,
        request: &Request,
        raw: &'a RawValue,
        upstream: &Upstream,
        version: Option<&str>,
    ) -> (Cow<'a, str>, bool) {
        let message = Cow::Borrowed(raw.get());
        if !upstream.is_remote() {
            // Nothing can be lost on the way.
            return (message, false);
        }
        match (request.method.as_str(), request.params.tool()) {
            ("tools/call", Some("task_create")) => {
                if !self.server_knows_ids(request, upstream, version).await {
                    return (message, false);
                }
                if request.params.arguments.as_ref().is_some_and(has_id) {
                    return (message, true);
                }
                match self.with_id(raw) {
                    Some(message) => (Cow::Owned(message), true),
                    // The server will say what is wrong with it.
                    None => (message, false),
                }
            }
            ("tools/call", Some(tool)) => (message, IDEMPOTENT.contains(&tool)),
            ("tools/call", None) => (message, false),
            // All other methods only look.
            _ => (message, true),
        }
    }

    /// Whether the server's `task_create` takes a `client_request_id`: only then is a second call the same request.
    async fn server_knows_ids(&self, request: &Request, upstream: &Upstream, version: Option<&str>) -> bool {
        let asked = self.known.get_or_try_init(|| async {
            let params = request.params.meta_for_another().map(|meta| json!({ "_meta": meta }));
            let params = params.unwrap_or_else(|| json!({}));
            let envelope = Envelope::of("tools/list", &request.params, version);
            let message = json!({ "jsonrpc": "2.0", "id": "planexe-local", "method": "tools/list", "params": params });
            let answer = upstream
                .post(&message.to_string(), &envelope, true)
                .await
                .map_err(|_| ())?;
            let answer: Value = serde_json::from_str(&answer.unwrap_or_default()).map_err(|_| ())?;
            let tools = answer.pointer("/result/tools").and_then(Value::as_array).ok_or(())?;
            let create = tools
                .iter()
                .find(|tool| tool.get("name").is_some_and(|name| name == "task_create"));
            let id = create.and_then(|tool| tool.pointer("/inputSchema/properties/client_request_id"));
            Ok::<_, ()>(id.is_some())
        });
        // A server that could not be asked is asked again the next time.
        asked.await.copied().unwrap_or(false)
    }

    /// The message with an id: the same for the same arguments within the window, as the server would have it.
    fn with_id(&self, raw: &RawValue) -> Option<String> {
        let mut message: Members = serde_json::from_str(raw.get()).ok()?;
        let mut params: Members = serde_json::from_str(message.get("params")?.get()).ok()?;
        let arguments = params.get("arguments")?.get().to_owned();
        let mut changed: Members = serde_json::from_str(&arguments).ok()?;
        let id = self.id_for(&arguments);
        changed.insert("client_request_id".to_owned(), to_raw_value(&id).ok()?);
        params.insert("arguments".to_owned(), to_raw_value(&changed).ok()?);
        message.insert("params".to_owned(), to_raw_value(&params).ok()?);
        serde_json::to_string(&message).ok()
    }

    fn id_for(&self, arguments: &str) -> String {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|(when, _, _)| when.elapsed() < WINDOW);
        if let Some((_, _, id)) = made.iter().find(|(_, known, _)| known == arguments) {
            return id.clone();
        }
        let id = Uuid::new_v4().to_string();
        made.push((Instant::now(), arguments.to_owned(), id.clone()));
        id
    }
}

fn has_id(arguments: &Value) -> bool {
    arguments.get("client_request_id").is_some_and(|id| !id.is_null())
}
