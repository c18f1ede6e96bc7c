//! The bridge: messages of a client in, answers out. Requests run side by side; what is asked of the server is passed
//! on as it came, but for the tool that only stdio has.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::create::Repeats;
use super::download::{self, End};
use super::lines::{self, LONGEST, Line, Lines};
use super::message::{
    Answer, Envelope, INVALID_REQUEST, Message, Notification, PARSE_ERROR, Request, answer, error, key, with_id,
};
use super::results::{ToolAnswer, add_tool, refusal, tool_failure};
use super::upstream::{Failure, Stream, Upstream};

/// Messages that wait for the client to read them.
const QUEUE: usize = 64;
/// The largest batch that is taken apart; the server refuses larger ones.
const MAX_BATCH: usize = 50;
/// The only revision with batches.
const BATCHES: &str = "2025-03-26";

/// A server that is starting, then there or not.
pub(super) type Starting = watch::Receiver<Option<Result<Arc<Upstream>, Failure>>>;

/// A conversation with a client.
pub(super) struct Bridge {
    upstream: Starting,
    /// Where `task_download` saves to, as the environment has it.
    pub(super) folder: Option<String>,
    out: mpsc::Sender<String>,
    /// The revision of the handshake.
    version: Mutex<Option<String>>,
    /// Requests that can be cancelled, by [`key`].
    running: Mutex<HashMap<String, AbortHandle>>,
    repeats: Repeats,
}

/// Serves a client until it closes its end and everything asked is answered, or until it reads no more.
///
/// # Errors
/// When the input cannot be read.
pub(super) async fn serve(
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
    folder: Option<String>,
    connect: impl FnOnce(mpsc::Sender<String>) -> Starting,
) -> io::Result<()> {
    let (out, messages) = mpsc::channel(QUEUE);
    let bridge = Arc::new(Bridge {
        upstream: connect(out.clone()),
        folder,
        out,
        version: Mutex::new(None),
        running: Mutex::new(HashMap::new()),
        repeats: Repeats::default(),
    });
    let mut writing = std::pin::pin!(lines::write(output, messages));
    tokio::select! {
        // A client that reads no more has gone.
        _ = &mut writing => return Ok(()),
        read = bridge.read(Lines::new(input)) => read?,
    }
    // What is in the queue is still written.
    let ending = bridge.say(lines::END.to_owned());
    let (_, ()) = tokio::join!(writing, ending);
    Ok(())
}

impl Bridge {
    async fn read(self: &Arc<Self>, mut lines: Lines<impl AsyncRead + Unpin>) -> io::Result<()> {
        let mut tasks = JoinSet::new();
        loop {
            let line = tokio::select! {
                line = lines.next() => line?,
                Some(_) = tasks.join_next() => continue,
            };
            match line {
                None => break,
                Some(Line::TooLong) => {
                    let text = format!("The line is longer than {LONGEST} bytes.");
                    self.say(error("null", INVALID_REQUEST, &text, None)).await;
                }
                Some(Line::Bytes(bytes)) => self.accept(bytes, &mut tasks).await,
            }
        }
        while tasks.join_next().await.is_some() {}
        Ok(())
    }

    async fn accept(self: &Arc<Self>, bytes: Vec<u8>, tasks: &mut JoinSet<()>) {
        let text = String::from_utf8(bytes).map_err(|_| "The line is not UTF-8.");
        let raw =
            text.and_then(|text| RawValue::from_string(text.trim().to_owned()).map_err(|_| "The line is not JSON."));
        let raw = match raw {
            Ok(raw) => raw,
            Err(what) => return self.say(error("null", PARSE_ERROR, what, None)).await,
        };
        if raw.get().starts_with('[') {
            let bridge = Arc::clone(self);
            tasks.spawn(async move { bridge.batch(&raw).await });
            return;
        }
        let message = Message::read(&raw);
        match message {
            Message::Notification(notification) if notification.method == "notifications/cancelled" => {
                self.cancel(&notification);
            }
            Message::Notification(notification) => self.notify(&notification, &raw).await,
            // The server asks nothing, so there is nothing to answer.
            Message::Response => {}
            // What follows depends on its answer.
            Message::Request(request) if request.method == "initialize" => {
                let text = self.answer(&request, &raw).await;
                self.say(text).await;
            }
            Message::Request(request) => self.start(request, raw, tasks),
            Message::Unknown => {
                let bridge = Arc::clone(self);
                tasks.spawn(async move {
                    if let Some(text) = bridge.pass_on(&raw).await {
                        bridge.say(text).await;
                    }
                });
            }
        }
    }

    /// Answers a request in a task of its own.
    fn start(self: &Arc<Self>, request: Request, raw: Box<RawValue>, tasks: &mut JoinSet<()>) {
        let (bridge, key) = (Arc::clone(self), key(&request.id));
        // Held until the task is known: it may end before this line does.
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let handle = tasks.spawn({
            let key = key.clone();
            async move {
                let text = bridge.answer(&request, &raw).await;
                // Whoever cancels from here on is too late.
                let known = bridge
                    .running
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&key);
                drop(known);
                bridge.say(text).await;
            }
        });
        running.insert(key, handle);
    }

    fn cancel(&self, notification: &Notification) {
        let Some(key) = notification.params.cancelled() else {
            return;
        };
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = running.remove(&key) {
            task.abort();
        }
    }

    /// Passes a notification on where there may be somebody who waits for it. The next message comes after it.
    async fn notify(&self, notification: &Notification, raw: &RawValue) {
        // The component has no use for any, and it may still be starting.
        let upstream = self.upstream.borrow().clone();
        if let Some(Ok(upstream)) = upstream.filter(|upstream| upstream.as_ref().is_ok_and(|to| to.is_remote())) {
            let version = self.version();
            let envelope = Envelope::of(&notification.method, &notification.params, version.as_deref());
            if let Err(failure) = upstream.post(raw.get(), &envelope, false).await {
                super::note(&format!("{} was not delivered: {failure}", notification.method));
            }
        }
    }

    /// Serves the messages of a batch side by side, and answers them together.
    async fn batch(self: &Arc<Self>, raw: &RawValue) {
        let messages = serde_json::from_str::<Vec<&RawValue>>(raw.get()).unwrap_or_default();
        let messages: Vec<_> = messages.into_iter().map(|raw| (raw, Message::read(raw))).collect();
        let allowed = self.version().is_none_or(|version| version == BATCHES)
            && (1..=MAX_BATCH).contains(&messages.len())
            && !messages.iter().any(|(_, message)| message.is_single());
        if !allowed {
            if let Some(text) = self.pass_on(raw).await {
                self.say(text).await;
            }
            return;
        }
        let answers = messages.iter().map(|(raw, message)| async move {
            match message {
                Message::Request(request) => Some(self.answer(request, raw).await),
                Message::Notification(notification) if notification.method == "notifications/cancelled" => {
                    self.cancel(notification);
                    None
                }
                Message::Notification(_) | Message::Response => None,
                Message::Unknown => self.pass_on(raw).await,
            }
        });
        let answers: Vec<String> = futures::future::join_all(answers).await.into_iter().flatten().collect();
        if !answers.is_empty() {
            self.say(format!("[{}]", answers.join(","))).await;
        }
    }

    /// Has the server say what is wrong with a message.
    async fn pass_on(&self, raw: &RawValue) -> Option<String> {
        let envelope = Envelope::legacy(self.version().as_deref());
        let answer = match self.upstream().await {
            Ok(upstream) => upstream.post(raw.get(), &envelope, false).await,
            Err(failure) => Err(failure),
        };
        answer.map_or_else(|failure| Some(refusal("null", &failure)), |answer| answer.map(with_id))
    }

    /// The answer to a request.
    async fn answer(&self, request: &Request, raw: &RawValue) -> String {
        let is_call = request.method == "tools/call";
        match (request.method.as_str(), request.params.tool()) {
            ("tools/call", Some(download::NAME)) => match download::call(request, self).await {
                Ok(done) | Err(End::Passed(done)) => answer(&request.id, &done.into_result()),
                Err(End::Failed(failure)) => tool_failure(request, &failure),
            },
            (method, _) => match self.relay(request, raw).await {
                Ok(text) => self.amend(method, &request.id, text),
                Err(failure) if is_call => tool_failure(request, &failure),
                Err(failure) => refusal(&request.id, &failure),
            },
        }
    }

    /// The server's own answer.
    async fn relay(&self, request: &Request, raw: &RawValue) -> Result<String, Failure> {
        let upstream = self.upstream().await?;
        let version = self.version();
        let envelope = Envelope::of(&request.method, &request.params, version.as_deref());
        let (message, repeatable) = self.repeats.prepare(request, raw, &upstream, version.as_deref()).await;
        let answer = upstream.post(&message, &envelope, repeatable).await?;
        let missing = || {
            Failure::new(
                "NOT_AN_MCP_SERVER",
                "The server accepted the request without an answer to it.",
            )
        };
        Ok(with_id(answer.ok_or_else(missing)?))
    }

    /// The server's answer with what stdio has more.
    fn amend(&self, method: &str, id: &str, text: String) -> String {
        let is_of_interest = matches!(method, "initialize" | "server/discover" | "tools/list");
        let parsed = is_of_interest
            .then(|| serde_json::from_str::<Answer>(&text).ok())
            .flatten();
        let Some(mut result) = parsed.and_then(|answer| answer.result) else {
            return text;
        };
        if method == "tools/list" {
            add_tool(&mut result);
        } else {
            let words = result.get("instructions").and_then(Value::as_str).unwrap_or_default();
            let words = format!("{words}{}", download::INSTRUCTIONS).trim_start().to_owned();
            result.insert("instructions".to_owned(), words.into());
        }
        if method == "initialize" {
            let version = result.get("protocolVersion").and_then(Value::as_str);
            *self.version.lock().unwrap_or_else(PoisonError::into_inner) = version.map(ToOwned::to_owned);
        }
        answer(id, &Value::Object(result))
    }

    /// Calls another tool of the server on behalf of a request.
    pub(super) async fn call_tool(&self, request: &Request, name: &str, arguments: &Value) -> Result<ToolAnswer, End> {
        let upstream = self.upstream().await?;
        let mut params = json!({ "name": name, "arguments": arguments });
        if let (Some(meta), Some(params)) = (request.params.meta_for_another(), params.as_object_mut()) {
            params.insert("_meta".to_owned(), meta);
        }
        let version = self.version();
        let envelope = serde_json::from_value(params.clone()).unwrap_or_default();
        let envelope = Envelope::of("tools/call", &envelope, version.as_deref());
        let message = json!({ "jsonrpc": "2.0", "id": "planexe-local", "method": "tools/call", "params": params });
        let text = upstream.post(&message.to_string(), &envelope, true).await?;
        let text = text.unwrap_or_default();
        ToolAnswer::read(&text)
            .map_err(|why| Failure::new("SERVER_FAILED", format!("The server refuses {name}: {why}")).into())
    }

    /// Asks for a file.
    pub(super) async fn get(&self, url: &str) -> Result<Stream, Failure> {
        self.upstream().await?.get(url).await
    }

    /// Tells the client how far a request is.
    pub(super) async fn progress(&self, token: &str, percentage: f64, message: &str) {
        let message = Value::from(message);
        let params = format!(r#"{{"progressToken":{token},"progress":{percentage},"total":100,"message":{message}}}"#);
        self.say(format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{params}}}"#
        ))
        .await;
    }

    /// The server, once it is there.
    fn upstream(&self) -> impl Future<Output = Result<Arc<Upstream>, Failure>> + Send + use<> {
        let mut upstream = self.upstream.clone();
        async move {
            let ready = upstream.wait_for(Option::is_some).await;
            let ready = ready.ok().and_then(|ready| ready.clone());
            ready.unwrap_or_else(|| Err(Failure::new("NOT_STARTED", "The server is ending.")))
        }
    }

    fn version(&self) -> Option<String> {
        self.version.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn say(&self, message: String) {
        // A client that reads no more needs no answer.
        _ = self.out.send(message).await;
    }
}
