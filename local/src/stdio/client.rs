//! The MCP client of this program: one server, over HTTP or HTTPS. The key goes to that server alone.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use http::{HeaderValue, StatusCode};
use reqwest::{Response, Url, redirect::Policy};
use rmcp::{
    model::{
        CallToolRequestParams, CallToolResponse, ClientCapabilities, ClientConfig, Implementation, JsonObject,
        ProtocolVersion, ServerPeerInfo, Tool,
    },
    service::{ClientLifecycleMode, ClientServiceExt as _, Peer, RoleClient, RunningService, ServiceError},
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};
use uuid::Uuid;

use super::failure::{self, Failure};

/// For a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// For an answer, and between two pieces of a download.
pub(super) const LIMIT: Duration = Duration::from_secs(60);
/// The argument that makes a call safe to repeat, for a server that lists it.
const REQUEST_ID: &str = "client_request_id";

/// A server. It is connected to at the first request, and again when the connection has ended.
pub(crate) struct Client {
    http: reqwest::Client,
    /// Where messages are posted to.
    pub(crate) url: Url,
    pub(super) key: Option<String>,
    session: Mutex<Option<RunningService<RoleClient, ClientConfig>>>,
    /// The tools as the server listed them first.
    tools: OnceCell<Vec<Tool>>,
}

impl Client {
    /// A server at an address such as `https://example.org/mcp`; the end of the address may be missing.
    ///
    /// # Errors
    /// When the text is not an address, or the key cannot be sent.
    pub(crate) fn new(address: &str, key: Option<&str>) -> Result<Self> {
        let url = endpoint(address)?;
        let key = key.map(str::trim).filter(|key| !key.is_empty()).map(ToOwned::to_owned);
        ensure!(
            key.iter().all(|key| HeaderValue::try_from(key).is_ok()),
            "PLANEXE_MCP_API_KEY holds characters that no key has: copy it again, without quotes or line breaks"
        );
        let is_local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if key.is_some() && url.scheme() == "http" && !is_local {
            super::note("the address is plain http: PLANEXE_MCP_API_KEY is sent without encryption");
        }
        let http = http_client()?;
        let (session, tools) = Default::default();
        Ok(Self {
            http,
            url,
            key,
            session,
            tools,
        })
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> &str {
        self.url.authority()
    }

    /// What the server says about itself.
    pub(crate) async fn info(&self) -> Result<ServerPeerInfo, Failure> {
        let info = self.ask(true, (), |peer, ()| async move { Ok(peer.peer_info()) });
        let info = info.await?.map(Arc::unwrap_or_clone);
        info.ok_or_else(|| Failure::new("NOT_AN_MCP_SERVER", "The server does not say what it is."))
    }

    /// Sends a request. When the connection breaks, it is sent once more if it is `repeatable`: the server may have had it.
    pub(crate) async fn ask<P: Clone, T, F>(
        &self,
        mut repeatable: bool,
        params: P,
        send: fn(Peer<RoleClient>, P) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, ServiceError>>,
    {
        loop {
            let answer = match self.peer().await {
                Ok(peer) => send(peer, params.clone()).await.map_err(|error| self.explain(error)),
                Err(failure) => Err(failure),
            };
            match answer {
                Err(failure) if repeatable && failure.is_lost_connection() => {
                    super::note(&format!("sending the request once more: {failure}"));
                    repeatable = false;
                }
                answer => return answer,
            }
        }
    }

    /// Calls a tool. It is repeatable if the server's list says so, or if it has an id: a call without one gets its own,
    /// which stays the same when the call is sent once more.
    pub(crate) async fn call(&self, mut call: CallToolRequestParams) -> Result<CallToolResponse, Failure> {
        let list = || self.ask(true, (), |peer, ()| async move { peer.list_all_tools().await });
        let tools = self.tools.get_or_try_init(list).await?;
        let tool = tools.iter().find(|tool| tool.name == call.name);
        let hints = tool.and_then(|tool| tool.annotations.as_ref());
        let mut repeatable =
            hints.is_some_and(|hints| [hints.idempotent_hint, hints.read_only_hint].contains(&Some(true)));
        let properties = tool.and_then(|tool| tool.input_schema.get("properties"));
        if properties.is_some_and(|properties| properties.get(REQUEST_ID).is_some()) {
            repeatable = true;
            let arguments = call.arguments.get_or_insert_default();
            if arguments.get(REQUEST_ID).is_none_or(Value::is_null) {
                arguments.insert(REQUEST_ID.to_owned(), Uuid::new_v4().to_string().into());
            }
        }
        let send = |peer: Peer<RoleClient>, call| async move { peer.call_tool_once(call).await };
        self.ask(repeatable, call, send).await
    }

    /// Calls a tool and reads its result.
    pub(crate) async fn tool<T: DeserializeOwned>(
        &self,
        name: &'static str,
        arguments: JsonObject,
    ) -> Result<T, Failure> {
        let call = CallToolRequestParams::new(name).with_arguments(arguments);
        let CallToolResponse::Complete(result) = self.call(call).await? else {
            let text = format!("The server asks back about {name}, which is not possible here.");
            return Err(Failure::new("SERVER_FAILED", text));
        };
        // Servers of older revisions send the text only.
        let text = || serde_json::from_str(&result.content.first()?.as_text()?.text).ok();
        let content = result.structured_content.clone().or_else(text).unwrap_or_default();
        if result.is_error == Some(true) || content.get("error").is_some_and(Value::is_object) {
            return Err(Failure::Tool(Box::new(result)));
        }
        serde_json::from_value(content).map_err(|error| {
            let text = format!("The server's answer to {name} is not the expected one: {error}.");
            Failure::new("SERVER_FAILED", text)
        })
    }

    /// Asks for a file, whose address may be relative to the server's.
    pub(crate) async fn get(&self, address: &str) -> Result<Response, Failure> {
        let broken = |_| Failure::new("DOWNLOAD_FAILED", "The server gave a broken address for the file.");
        let url = self.url.join(address).map_err(broken)?;
        let key = self.key.as_ref().filter(|_| url.origin() == self.url.origin());
        let mut request = self.http.get(url);
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        let mut response = request.send().await.map_err(|error| self.explain_connection(&error))?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let text = response.chunk().await.ok().flatten().unwrap_or_default();
        Err(self.refused(response.status(), &String::from_utf8_lossy(&text)))
    }

    async fn peer(&self) -> Result<Peer<RoleClient>, Failure> {
        let mut session = self.session.lock().await;
        if let Some(running) = session.as_ref().filter(|running| !running.is_transport_closed()) {
            return Ok(running.peer().clone());
        }
        let mut config = StreamableHttpClientTransportConfig::with_uri(self.url.as_str());
        config.auth_header.clone_from(&self.key);
        let transport = StreamableHttpClientTransport::with_client(self.http.clone(), config);
        let name = Implementation::new("planexe-local", env!("CARGO_PKG_VERSION"));
        let client = ClientConfig::new(ClientCapabilities::default(), name);
        let lifecycle = ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
        };
        let running = client.serve_with_lifecycle(transport, lifecycle).await;
        let running = running.map_err(|error| self.explain_start(error))?;
        Ok(session.insert(running).peer().clone())
    }
}

/// An HTTP client that trusts the public certificate authorities, uses no proxy, and follows redirects within a server.
/// rmcp's own client needs a provider of cryptography for the whole process.
///
/// # Errors
/// When TLS cannot be set up.
pub fn http_client() -> Result<reqwest::Client> {
    let roots = rustls::RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls);
    let client = client.redirect(Policy::custom(failure::follow));
    client
        .connect_timeout(CONNECT)
        .read_timeout(LIMIT)
        .build()
        .context("cannot set up HTTP")
}

/// The address that messages are posted to.
fn endpoint(text: &str) -> Result<Url> {
    let text = text.trim();
    let url = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let mut url = url.with_context(|| {
        format!("{text:?} is not the address of a server: give one such as https://example.org/mcp")
    })?;
    ensure!(
        url.username().is_empty() && url.password().is_none(),
        "the address holds a user or a password: give the key in PLANEXE_MCP_API_KEY instead"
    );
    url.set_query(None);
    url.set_fragment(None);
    let mut path = url.path().trim_end_matches('/').to_owned();
    // The forms that PlanExe's own proxy takes.
    for end in ["/tools/call", "/tools", "/mcp"] {
        path.truncate(path.strip_suffix(end).map_or(path.len(), str::len));
    }
    url.set_path(&format!("{path}/mcp"));
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_completed() {
        for (text, expected) in [
            ("https://example.org", Some("https://example.org/mcp")),
            ("https://example.org/", Some("https://example.org/mcp")),
            (" http://127.0.0.1:8001/mcp/ ", Some("http://127.0.0.1:8001/mcp")),
            ("https://example.org/mcp/tools/call", Some("https://example.org/mcp")),
            ("https://example.org/mcp/tools", Some("https://example.org/mcp")),
            (
                "https://example.org/planexe?x=1#y",
                Some("https://example.org/planexe/mcp"),
            ),
            ("", None),
            ("example.org", None),
            ("localhost:3000", None),
            ("ftp://example.org", None),
            ("https://u:p@example.org/mcp", None),
        ] {
            assert_eq!(endpoint(text).ok().as_ref().map(Url::as_str), expected, "{text}");
        }
    }
}
