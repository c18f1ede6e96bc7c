//! Standard input and output as rmcp's transport, which ends when every request has its answer.

use std::collections::HashSet;

use rmcp::{
    model::{ClientNotification, JsonRpcMessage, RequestId},
    service::{RoleServer, RxJsonRpcMessage, TxJsonRpcMessage},
    transport::Transport,
};
use tokio::sync::watch;

/// A transport. rmcp gives requests five seconds when the input ends; a script that pipes its requests in, or a plan
/// that is waited for, takes longer.
pub(super) struct AnswerAll<T> {
    inner: T,
    has_ended: bool,
    /// Requests without an answer so far.
    open: watch::Sender<HashSet<RequestId>>,
}

impl<T> AnswerAll<T> {
    pub(super) fn new(inner: T) -> Self {
        Self {
            inner,
            has_ended: false,
            open: watch::Sender::default(),
        }
    }
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for AnswerAll<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let id = match &message {
            JsonRpcMessage::Response(response) => Some(response.id.clone()),
            JsonRpcMessage::Error(error) => error.id.clone(),
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
        };
        let (open, sending) = (self.open.clone(), self.inner.send(message));
        async move {
            let sent = sending.await;
            open.send_modify(|open| match id {
                // A client that does not read any more has gone.
                _ if sent.is_err() => open.clear(),
                Some(id) => _ = open.remove(&id),
                None => {}
            });
            sent
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        if !self.has_ended {
            let message = self.inner.receive().await;
            match &message {
                Some(JsonRpcMessage::Request(request)) => {
                    self.open.send_modify(|open| _ = open.insert(request.id.clone()));
                }
                Some(JsonRpcMessage::Notification(notification)) => {
                    if let ClientNotification::CancelledNotification(cancelled) = &notification.notification
                        && let Some(id) = &cancelled.params.request_id
                    {
                        self.open.send_modify(|open| _ = open.remove(id));
                    }
                }
                Some(JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_)) => {}
                None => self.has_ended = true,
            }
            if message.is_some() {
                return message;
            }
        }
        // It cannot fail: the sender is this value's.
        _ = self.open.subscribe().wait_for(HashSet::is_empty).await;
        None
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}
