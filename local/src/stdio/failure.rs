//! Why a request has no answer, for people and for programs.

use std::{error::Error, fmt};

use http::StatusCode;
use reqwest::redirect::{Action, Attempt};
use rmcp::{
    ErrorData,
    model::CallToolResult,
    service::{ClientInitializeError, ServiceError},
    transport::streamable_http_client::StreamableHttpError,
};
use serde_json::{Value, json};

use super::client::{Client, LIMIT};

/// Redirects that are followed for one request.
const REDIRECTS: usize = 3;

type HttpError = StreamableHttpError<reqwest::Error>;

/// What went wrong.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// The server answered with an error of the protocol.
    Protocol(ErrorData),
    /// The server answered with the error of a tool.
    Tool(Box<CallToolResult>),
    /// There is no answer of the server, or this program cannot go on with it.
    Own {
        /// Stable.
        code: &'static str,
        /// What happened and what to do.
        message: String,
    },
}

impl Failure {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::Own { code, message }
    }

    /// Whether the connection was not made, or broke: it is unknown whether the server has had the request.
    pub(crate) fn is_lost_connection(&self) -> bool {
        let Self::Own { code, .. } = self else { return false };
        *code == "SERVER_UNREACHABLE"
    }

    /// As the result of a tool, which the agent sees and can act on.
    ///
    /// # Errors
    /// What the server answered as an error of the protocol.
    pub(crate) fn into_result(self) -> Result<CallToolResult, ErrorData> {
        match self {
            Self::Protocol(error) => Err(error),
            Self::Tool(result) => Ok(*result),
            Self::Own { code, message } => {
                let error = json!({ "error": { "code": code, "message": message } });
                Ok(CallToolResult::structured_error(error))
            }
        }
    }

    /// As an error of the protocol.
    pub(crate) fn into_error(self) -> ErrorData {
        match self {
            Self::Protocol(error) => error,
            Self::Own { code, message } => ErrorData::internal_error(message, Some(json!({ "code": code }))),
            Self::Tool(_) => ErrorData::internal_error(self.to_string(), None),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own { code, message } => write!(formatter, "{message} ({code})"),
            Self::Protocol(error) => write!(formatter, "The server refuses the request: {error}."),
            Self::Tool(result) => {
                let content = result.structured_content.as_ref();
                let word = |path| {
                    content
                        .and_then(|content| content.pointer(path))
                        .and_then(Value::as_str)
                };
                let message = word("/error/message").unwrap_or("The server does not say what went wrong.");
                write!(formatter, "{message} ({})", word("/error/code").unwrap_or("no code"))
            }
        }
    }
}

impl Error for Failure {}

impl Client {
    pub(super) fn explain_start(&self, error: ClientInitializeError) -> Failure {
        match error {
            ClientInitializeError::LegacyFallbackFailed { fallback, .. } => self.explain_start(*fallback),
            ClientInitializeError::JsonRpcError(error) => Failure::Protocol(error),
            ClientInitializeError::TransportError { error, .. } => self.explain(ServiceError::TransportSend(error)),
            error => self.not_mcp(error),
        }
    }

    pub(super) fn explain(&self, error: ServiceError) -> Failure {
        let sending = match error {
            ServiceError::McpError(error) => return Failure::Protocol(error),
            ServiceError::TransportSend(error) => error.error,
            ServiceError::TransportClosed => Box::new(HttpError::TransportChannelClosed),
            error => return self.not_mcp(error),
        };
        match sending.downcast_ref::<HttpError>() {
            Some(HttpError::Client(error)) => self.explain_connection(error),
            Some(HttpError::HttpStatus(error)) => {
                self.refused(StatusCode::from_u16(error.status).unwrap_or_default(), "")
            }
            Some(HttpError::AuthRequired(_)) => self.refused(StatusCode::UNAUTHORIZED, ""),
            Some(HttpError::InsufficientScope(_)) => self.refused(StatusCode::FORBIDDEN, ""),
            // rmcp has no other form of a status with a body.
            Some(HttpError::UnexpectedServerResponse(text)) => {
                let parts = text.strip_prefix("HTTP ").and_then(|rest| rest.split_once(": "));
                let parts = parts.and_then(|(status, body)| Some((status.get(..3)?.parse().ok()?, body)));
                parts.map_or_else(|| self.not_mcp(text), |(status, body)| self.refused(status, body))
            }
            Some(HttpError::TransportChannelClosed | HttpError::UnexpectedEndOfStream | HttpError::Sse(_)) => {
                self.broken()
            }
            _ => self.not_mcp(sending),
        }
    }

    pub(super) fn explain_connection(&self, error: &reqwest::Error) -> Failure {
        let place = error.url().map_or(self.authority(), |url| url.authority());
        let causes = || std::iter::successors(error.source(), |cause: &&(dyn Error + 'static)| (*cause).source());
        let last = causes().last().map(ToString::to_string).unwrap_or_default();
        if error.is_redirect() {
            return Failure::new("SERVER_REDIRECTS", last);
        }
        if let Some(tls) = causes().find_map(tls_error) {
            let text = format!(
                "No secure connection to {place} can be made ({tls}). Check the address: the port must speak https, and \
                 the certificate must be for this name, valid, and from a public authority."
            );
            return Failure::new("TLS_FAILED", text);
        }
        if error.is_connect() {
            let text = format!("No server answers at {place} ({last}). Is it running, and is the address right?");
            return Failure::new("SERVER_UNREACHABLE", text);
        }
        if error.is_timeout() {
            let limit = LIMIT.as_secs();
            let text = format!("The server at {place} did not answer within {limit} seconds. Try again.");
            return Failure::new("SERVER_TOO_SLOW", text);
        }
        self.broken()
    }

    fn broken(&self) -> Failure {
        let place = self.authority();
        Failure::new(
            "SERVER_UNREACHABLE",
            format!("The connection to {place} broke before the answer. Try again."),
        )
    }

    fn not_mcp(&self, what: impl fmt::Display) -> Failure {
        let place = self.authority();
        let text = format!("The server at {place} answers, but not as an MCP server ({what}): check the address.");
        Failure::new("NOT_AN_MCP_SERVER", text)
    }

    /// What an HTTP error means. Its body may say why.
    pub(super) fn refused(&self, status: StatusCode, body: &str) -> Failure {
        let body = serde_json::from_str::<Value>(body).unwrap_or_default();
        let detail = body.get("detail").and_then(Value::as_str).unwrap_or_default();
        let (code, what) = match status.as_u16() {
            401 | 403 if self.key.is_some() => ("API_KEY_REFUSED", "refuses the key in PLANEXE_MCP_API_KEY"),
            401 | 403 => (
                "API_KEY_MISSING",
                "wants an API key: set PLANEXE_MCP_API_KEY where planexe-local is started",
            ),
            413 => ("MESSAGE_TOO_LARGE", "takes no message of this length"),
            429 => (
                "TOO_MANY_REQUESTS",
                "takes no more requests for now: wait a minute and try again",
            ),
            500.. => ("SERVER_FAILED", "failed: try again; if it stays, tell its operator"),
            _ => (
                "NOT_AN_MCP_SERVER",
                "answers, but not as an MCP server: check the address",
            ),
        };
        let text = format!("The server at {} {what} ({status}). {detail}", self.authority());
        Failure::new(code, text.trim_end())
    }
}

/// Follows redirects within the same server that keep the method and the body.
pub(super) fn follow(attempt: Attempt<'_>) -> Action {
    let target = attempt.url().clone();
    let keeps_body = matches!(attempt.status().as_u16(), 307 | 308);
    let text = match attempt.previous().first() {
        Some(first) if first.origin() != target.origin() => format!(
            "{} redirects to another server, {}. The key does not go there: if that is the right one, give its address.",
            first.authority(),
            target.authority()
        ),
        _ if !keeps_body => format!("The address has moved to {target}: give that one."),
        _ if attempt.previous().len() > REDIRECTS => format!("{target} redirects in a circle: check the address."),
        _ => return attempt.follow(),
    };
    attempt.error(text)
}

/// The error of TLS in a cause, however often it is wrapped.
fn tls_error<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let wrapped = || tls_error(cause.downcast_ref::<std::io::Error>()?.get_ref()?);
    cause.downcast_ref().or_else(wrapped)
}
