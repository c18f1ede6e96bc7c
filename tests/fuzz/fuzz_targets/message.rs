//! JSON-RPC messages: method, arguments and id are parsed as they were sent, and the answer has the id of its request.
//!
//! Input: a line with the three MCP headers, separated by `|`, then the message.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use planexe_mcp::{
    fuzzing::{Message, message},
    mcp::Envelope,
};
use serde_json::value::RawValue;

type Members<'a> = BTreeMap<String, &'a RawValue>;

/// The members of an object; `None` for another value.
fn members(text: &str) -> Option<BTreeMap<String, Box<RawValue>>> {
    serde_json::from_str(text).ok()
}

fn text_of(members: &Members<'_>, name: &str) -> Option<String> {
    members.get(name).map(|raw| raw.get().to_owned())
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (head, body) = text.split_once('\n').unwrap_or(("", text));
    let mut headers = head
        .split('|')
        .map(|value| Some(value).filter(|value| !value.is_empty()));
    let mut header = || headers.next().flatten();
    let envelope = Envelope {
        version: header(),
        method: header(),
        name: header(),
    };
    let body = body.trim_matches([' ', '\t', '\n', '\r']);
    let is_json = serde_json::from_str::<&RawValue>(body).is_ok();
    // Parsed independently. Of members that occur twice this holds the last.
    let seen: Option<Members<'_>> = serde_json::from_str(body).ok();
    match message(body, &envelope) {
        Message::Request {
            id,
            method,
            arguments,
            answer,
            modern,
        } => {
            let seen = seen.expect("a request is an object");
            assert_eq!(
                text_of(&seen, "id").as_deref(),
                Some(id.as_str()),
                "the id as it was sent"
            );
            assert_eq!(
                text_of(&seen, "jsonrpc").and_then(|text| serde_json::from_str(&text).ok()),
                Some("2.0".to_owned())
            );
            let sent: String = serde_json::from_str(seen["method"].get()).expect("a string");
            assert_eq!(sent, method);
            let params: Members<'_> = seen.get("params").map_or_else(BTreeMap::new, |raw| {
                serde_json::from_str(raw.get()).expect("params are an object")
            });
            let sent = text_of(&params, "arguments").filter(|sent| sent != "null");
            assert_eq!(sent, arguments, "the arguments as they were sent");
            let answer = members(&answer).expect("an answer is an object");
            assert_eq!(answer["id"].get(), id, "the answer goes to the id as it was sent");
            assert_eq!(answer.len(), 3);
            assert!(answer.contains_key("result") && !answer.contains_key("error"));
            match modern {
                Ok(true) => assert_eq!(
                    (envelope.version.map(str::trim), envelope.method.map(str::trim)),
                    (Some("2026-07-28"), Some(method.as_str())),
                    "header and body agree"
                ),
                Ok(false) => assert_ne!(envelope.version.map(str::trim), Some("2026-07-28")),
                Err(fault) => assert!(fault.code < 0 && !fault.message.is_empty()),
            }
        }
        Message::Notification => {
            let seen = seen.expect("a notification is an object");
            assert!(seen.contains_key("method") && !seen.contains_key("id"));
        }
        Message::Response => {
            let seen = seen.expect("a response is an object");
            assert!(!seen.contains_key("method") && (seen.contains_key("result") || seen.contains_key("error")));
        }
        Message::Refused { code, id, answer } => {
            assert_eq!(code, if is_json { -32600 } else { -32700 });
            let answer = members(&answer).expect("an answer is an object");
            assert!(answer.contains_key("error") && !answer.contains_key("result"));
            assert_eq!(answer.get("id").map(|raw| raw.get().to_owned()), id);
            if let Some(id) = id {
                assert_eq!(
                    seen.and_then(|seen| text_of(&seen, "id")),
                    Some(id),
                    "the id as it was sent"
                );
            }
        }
    }
});
