//! No request, however malformed, makes the server fail: every answer is below 500 and JSON.

use bytes::Bytes;
use proptest::{
    prelude::*,
    test_runner::{Config, FileFailurePersistence, TestRunner},
};
use serde_json::{Value, json};

use crate::support::{Stage, block_on, project};

/// Requests of each kind.
const CASES: u32 = 300;

/// The names of all tools.
fn tools() -> Vec<&'static str> {
    planexe_mcp::tools::ALL.iter().map(|tool| tool.name).collect()
}

/// JSON of any shape, with the words that the protocol gives a meaning to strewn in.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        "\\PC{0,12}",
        prop::sample::select(vec![
            "2.0",
            "jsonrpc",
            "id",
            "method",
            "params",
            "_meta",
            "name",
            "arguments",
            "cursor",
            "tools/call",
            "tools/list",
            "initialize",
            "prompts/get",
            "server/discover",
            "task_create",
            "task_status",
            "prompt",
            "task_id",
            "2026-07-28",
            "2025-11-25",
            "io.modelcontextprotocol/protocolVersion",
            "io.modelcontextprotocol/clientCapabilities",
            "protocolVersion",
            "notifications/initialized",
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(word.clone(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A message that is nearly right: each member is right or anything.
fn nearly_a_request() -> impl Strategy<Value = Value> {
    let or_any = |right: Value| prop_oneof![3 => Just(right), 1 => any_json()];
    let method = prop::sample::select(vec![
        "initialize",
        "ping",
        "tools/list",
        "tools/call",
        "prompts/get",
        "server/discover",
    ]);
    let tool = prop::sample::select(tools());
    let meta = prop_oneof![
        2 => Just(json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        })),
        1 => any_json(),
    ];
    let params = (tool, any_json(), meta, any_json()).prop_map(|(name, arguments, meta, other)| {
        json!({ "name": name, "arguments": arguments, "_meta": meta, "cursor": other })
    });
    let params = prop_oneof![3 => params, 1 => any_json()];
    (or_any(json!("2.0")), or_any(json!(1)), method, params).prop_map(
        |(jsonrpc, id, method, params)| json!({ "jsonrpc": jsonrpc, "id": id, "method": method, "params": params }),
    )
}

/// Headers that the protocol gives a meaning to, with any value that HTTP carries.
fn any_headers() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = prop::sample::select(vec![
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "accept",
        "content-type",
        "origin",
        "authorization",
        "x-api-key",
        "mcp-session-id",
        "spin-full-url",
        "range",
        "if-none-match",
        "x-request-id",
        "traceparent",
    ]);
    let value = prop_oneof![
        // Spin itself refuses values that are not UTF-8.
        "\\PC{0,20}".prop_map(String::into_bytes),
        prop::sample::select(vec![
            "2026-07-28",
            "2025-11-25",
            "tools/call",
            "=?base64?!?=",
            "application/json",
            "*/*"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop::collection::vec((name.prop_map(str::to_owned), value), 0..5)
}

/// Sends whatever the strategy makes and checks what must hold of every answer.
fn never_fails(path: &str, body: impl Strategy<Value = Vec<u8>>) {
    let stage = block_on(Stage::builder().build());
    // Requests that once failed are tried first.
    let seeds = project()
        .join("tests/properties.seeds")
        .to_string_lossy()
        .into_owned()
        .leak();
    let persistence = FileFailurePersistence::Direct(seeds);
    let config = Config {
        cases: CASES,
        failure_persistence: Some(Box::new(persistence)),
        ..Config::default()
    };
    let tested = TestRunner::new(config).run(&(body, any_headers()), |(body, headers)| {
        let mut request = http::Request::post(path).header("host", "test.local");
        if !headers.iter().any(|(name, _)| name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in &headers {
            request = request.header(name, value.as_slice());
        }
        let answer = block_on(stage.send(request.body(Bytes::from(body)).expect("a valid request")));
        prop_assert!(
            answer.status() < 500,
            "{}: {} {}",
            answer.status(),
            answer.text(),
            stage.log()
        );
        if answer.status() == 202 {
            prop_assert!(answer.bytes().is_empty());
        } else {
            prop_assert!(
                serde_json::from_slice::<Value>(answer.bytes()).is_ok(),
                "{}",
                answer.text()
            );
        }
        Ok(())
    });
    assert!(tested.is_ok(), "{tested:?}");
}

#[test]
fn arbitrary_bytes() {
    never_fails("/mcp", prop::collection::vec(any::<u8>(), 0..200));
}

#[test]
fn arbitrary_json() {
    never_fails("/mcp", any_json().prop_map(|json| json.to_string().into_bytes()));
}

#[test]
fn nearly_requests() {
    never_fails(
        "/mcp",
        nearly_a_request().prop_map(|json| json.to_string().into_bytes()),
    );
}

#[test]
fn nearly_calls_of_the_wrapper() {
    let tool = prop::sample::select([tools(), vec!["nothing"]].concat());
    let call = (tool, any_json()).prop_map(|(tool, arguments)| json!({ "tool": tool, "arguments": arguments }));
    never_fails(
        "/mcp/tools/call",
        prop_oneof![call, any_json()].prop_map(|json| json.to_string().into_bytes()),
    );
}
