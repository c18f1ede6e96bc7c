//! Requests and responses, and a server that answers as a test tells it.

use bytes::Bytes;
use http::{Method, Request, response::Parts};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::TestApp;

impl TestApp {
    /// `GET` without a key.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(request(Method::GET, path, &[], Bytes::new())).await
    }

    /// `GET` with the key `secret`.
    pub async fn get_with_key(&self, path: &str) -> Answer {
        let headers = [("x-api-key", "secret")];
        self.send(request(Method::GET, path, &headers, Bytes::new())).await
    }

    /// Posts JSON with the key `secret`, which open servers ignore.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json"), ("x-api-key", "secret")];
        let body = body.to_string().into();
        self.send(request(Method::POST, path, &headers, body)).await
    }
}

/// The request that calls a tool over MCP.
pub fn tool_call(key: &str, name: &str, arguments: &Value) -> Request<Bytes> {
    let params = json!({ "name": name, "arguments": arguments });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let headers = [("content-type", "application/json"), ("x-api-key", key)];
    request(Method::POST, "/mcp", &headers, body.to_string().into())
}

/// A request.
pub fn request(method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Request<Bytes> {
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("host", "test.local:3000");
    if !body.is_empty() {
        request = request.header("content-length", body.len());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).expect("a valid request")
}

/// A response, read whole.
pub struct Answer {
    /// Status and headers.
    pub parts: Parts,
    /// The bytes, or why they ended early.
    pub body: Result<Bytes, String>,
}

impl Answer {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.parts.status.as_u16()
    }

    /// A header's value, blank when it is absent.
    pub fn header(&self, name: &str) -> &str {
        let value = self.parts.headers.get(name);
        value.map_or("", |value| value.to_str().expect("ASCII"))
    }

    /// Whether a header is there.
    pub fn has_header(&self, name: &str) -> bool {
        self.parts.headers.contains_key(name)
    }

    /// The body.
    pub fn bytes(&self) -> &Bytes {
        self.body.as_ref().expect("a complete body")
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(self.bytes()).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// request that is never answered. The server ends with the test binary.
pub async fn http_double(answer: impl Fn(&str) -> Option<(u16, Vec<u8>)> + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let length = stream.read(&mut request).await.unwrap_or_default();
                let request = String::from_utf8_lossy(&request[..length]);
                let Some((status, body)) = answer(request.split([' ', '?']).nth(1).unwrap_or_default()) else {
                    return std::future::pending().await;
                };
                let length = body.len();
                let head = format!("HTTP/1.1 {status} -\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                // The client may have read enough before the end.
                _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
                _ = stream.shutdown().await;
            });
        }
    });
    url
}
