//! `GET /openapi.json` and `GET /docs`: the document agrees with the running component, and the files come as they are.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use crate::support::{Answer, Stage, project, request, run};

/// Methods that a client may try.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

async fn send(stage: &Stage, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let method: Method = method.parse().expect("a method");
    stage.send(request(method, path, headers, Bytes::new())).await
}

#[test]
fn the_document_has_every_route_and_no_other() {
    run(async {
        let stage = Stage::builder().build().await;
        let document = stage.get("/openapi.json").await.json();
        let index = stage.get("/").await.json();
        let listed: BTreeSet<String> = index["routes"]
            .as_array()
            .expect("routes")
            .iter()
            .filter_map(|route| Some(route.as_str()?.to_owned()))
            .filter(|route| route != "OPTIONS *")
            .collect();
        let mut described = BTreeSet::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            let methods: BTreeSet<String> = item
                .as_object()
                .expect("operations")
                .keys()
                .map(|method| method.to_uppercase())
                .collect();
            let main = methods
                .iter()
                .filter(|method| !["HEAD", "OPTIONS"].contains(&method.as_str()));
            described.extend(main.map(|method| format!("{method} {path}")));
            let real = path
                .replace("{task_id}", "00000000-0000-4000-8000-000000000000")
                .replace("{file}", "x.md");
            for method in METHODS {
                let answer = send(&stage, method, &real, &[]).await;
                assert_eq!(
                    answer.status() != 405,
                    methods.contains(method),
                    "{method} {path}: {}",
                    answer.status()
                );
                if answer.status() == 405 {
                    let allowed: BTreeSet<String> = answer.header("allow").split(", ").map(str::to_owned).collect();
                    let mut allowed_here = methods.clone();
                    allowed_here.remove("OPTIONS");
                    assert_eq!(allowed, allowed_here, "{method} {path}");
                } else {
                    let responses = &item[method.to_lowercase()]["responses"];
                    let is_described =
                        responses[answer.status().to_string()].is_object() || responses["default"].is_object();
                    // A row of the table without a handler is 500.
                    assert!(
                        is_described && answer.status() != 500,
                        "{method} {path}: {}",
                        answer.status()
                    );
                }
            }
        }
        assert_eq!(described, listed);
    });
}

#[test]
fn bodies_are_as_the_examples_have_them() {
    run(async {
        let stage = Stage::builder().with_key().build().await;
        let document = stage.get("/openapi.json").await.json();
        let example = |path: &str, rest: &str| -> Value {
            let path = path.replace('/', "~1");
            let pointer = format!("/paths/{path}/{rest}");
            document
                .pointer(&pointer)
                .unwrap_or_else(|| panic!("{pointer}"))
                .clone()
        };
        const JSON: &str = "content/application~1json";
        let index = example("/", &format!("get/responses/200/{JSON}/examples/index/value"));
        assert_eq!(stage.get("/").await.json(), index);
        let shallow = example(
            "/healthcheck",
            &format!("get/responses/200/{JSON}/examples/shallow/value"),
        );
        assert_eq!(stage.get("/healthcheck").await.json(), shallow);
        let missing = &document["components"]["responses"]["Mcp401"]["content"]["application/json"];
        let missing = missing["examples"]["API_KEY_MISSING"]["value"].clone();
        let closed = Stage::builder()
            .with_key()
            .set("PLANEXE_MCP_OPEN_LISTS", "false")
            .build()
            .await;
        assert_eq!(closed.get("/mcp/tools").await.json(), missing);
        let tools = stage.get_with_key("/mcp/tools").await.json();
        let first = example(
            "/mcp/tools",
            &format!("get/responses/200/{JSON}/examples/first/value/tools/0"),
        );
        assert_eq!(tools["tools"][0], first);
        let failed = example(
            "/mcp/tools/call",
            &format!("post/responses/200/{JSON}/examples/failed/value"),
        );
        let call = example(
            "/mcp/tools/call",
            &format!("post/requestBody/{JSON}/examples/task_status/value"),
        );
        assert_eq!(stage.post("/mcp/tools/call", &call).await.json(), failed);
    });
}

#[test]
fn the_files_come_as_they_are_and_are_not_sent_twice() {
    run(async {
        // Neither needs the key.
        let stage = Stage::builder().with_key().build().await;
        for (path, file, content_type) in [
            ("/openapi.json", "assets/pages/openapi.json", "application/json"),
            ("/docs", "assets/pages/docs.html", "text/html; charset=utf-8"),
            ("/docs/", "assets/pages/docs.html", "text/html; charset=utf-8"),
        ] {
            let bytes = std::fs::read(project().join(file)).expect("the file");
            let answer = stage.get(path).await;
            assert_eq!(answer.status(), 200, "{path}");
            assert_eq!(answer.header("content-type"), content_type);
            assert_eq!(answer.header("content-length"), bytes.len().to_string());
            assert_eq!(answer.header("cache-control"), "no-cache");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
            assert!(answer.bytes() == &bytes, "{path}");
            let head = send(&stage, "HEAD", path, &[]).await;
            assert_eq!(head.header("content-length"), bytes.len().to_string());
            let etag = answer.header("etag");
            let again = send(&stage, "GET", path, &[("if-none-match", etag)]).await;
            assert_eq!((again.status(), again.bytes().len()), (304, 0), "{path}");
            let other = send(&stage, "GET", path, &[("if-none-match", "\"other\"")]).await;
            assert_eq!(other.status(), 200, "{path}");
        }
    });
}

#[test]
fn the_page_may_do_no_more_than_it_needs() {
    run(async {
        let stage = Stage::builder().build().await;
        let answer = stage.get("/docs").await;
        let policy = answer.header("content-security-policy");
        let directive = |name: &str| {
            policy
                .split("; ")
                .find_map(|directive| directive.strip_prefix(name)?.strip_prefix(' '))
        };
        for (name, value) in [
            ("default-src", "'none'"),
            ("connect-src", "'self'"),
            ("img-src", "data:"),
            ("frame-ancestors", "'none'"),
            ("base-uri", "'none'"),
            ("form-action", "'none'"),
        ] {
            assert_eq!(directive(name), Some(value), "{policy}");
        }
        for name in ["script-src", "style-src"] {
            let allowed = directive(name).expect("a directive");
            assert!(allowed.starts_with("'sha256-") && !allowed.contains(' '), "{allowed}");
        }
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
    });
}
