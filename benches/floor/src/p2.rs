//! The host's interfaces in WASI 0.2. Every call holds the instance until it is done.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use wasi::{
    exports::http::incoming_handler::Guest,
    http::{
        outgoing_handler::handle,
        types::{Fields, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam, Scheme},
    },
};

pub use spin::fermyon::spin::rdbms_types::{DbValue, ParameterValue};
use spin::fermyon::spin::{postgres::Connection, variables};
pub use wasi::http::types::IncomingRequest as Request;

use crate::OrEnd as _;

mod spin {
    #![allow(clippy::all, reason = "generated")]
    wit_bindgen::generate!({ path: "../../wit", world: "planexe:mcp/spin-p2", generate_all });
}

struct Floor;

wasi::http::proxy::export!(Floor);

impl Guest for Floor {
    fn handle(request: Request, out: ResponseOutparam) {
        let path = request.path_with_query().or_end();
        let answer = pin!(crate::answer(&path, request));
        let Poll::Ready(answer) = answer.poll(&mut Context::from_waker(Waker::noop())) else {
            // No call waits here.
            std::process::abort()
        };
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("content-length", answer.len().to_string()),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.into_bytes()));
        let response = OutgoingResponse::new(Fields::from_list(&headers).or_end());
        let body = response.body().or_end();
        let stream = body.write().or_end();
        // The head leaves with the body, or when the host takes no more without it.
        let mut head = Some((out, response));
        let mut leave = || {
            head.take()
                .map(|(out, response)| ResponseOutparam::set(out, Ok(response)))
        };
        let mut rest = &answer[..];
        while !rest.is_empty() {
            let room = stream.check_write().or_end() as usize;
            if room == 0 {
                leave();
                stream.subscribe().block();
            }
            let (now, later) = rest.split_at(room.min(rest.len()));
            stream.write(now).or_end();
            rest = later;
        }
        drop(stream);
        OutgoingBody::finish(body, None).or_end();
        leave();
    }
}

pub async fn body(request: Request) -> Vec<u8> {
    let body = request.consume().or_end();
    let stream = body.stream().or_end();
    let mut bytes = Vec::new();
    while let Ok(piece) = stream.blocking_read(64 * 1024) {
        bytes.extend(piece);
    }
    bytes
}

pub async fn variable(name: &str) -> String {
    variables::get(name).or_end()
}

pub async fn query(address: &str, statement: &str, parameters: Vec<ParameterValue>) -> Vec<Vec<DbValue>> {
    let connection = Connection::open(address).or_end();
    connection.query(statement, &parameters).or_end().rows
}

/// Asks for an address. There are no files of the run, so that the server does not read the answer either.
pub async fn get(url: &str) {
    let request = OutgoingRequest::new(Fields::new());
    let (authority, path) = url["http://".len()..].split_once('/').or_end();
    request.set_scheme(Some(&Scheme::Http)).or_end();
    request.set_authority(Some(authority)).or_end();
    request.set_path_with_query(Some(&format!("/{path}"))).or_end();
    let pending = handle(request, None).or_end();
    pending.subscribe().block();
    pending.get().or_end().or_end().or_end();
}
