//! The floor of the benchmark: what an answer costs when nothing is done for it but what it cannot do without.
//!
//! `/NAME` reads the request's body, does the work that `/operations/NAME.json` lists, and answers with the bytes of
//! `/operations/NAME.answer`, or with those that the last statement reads piece by piece. It checks nothing, and an
//! error of Postgres or `worker_plan` ends it: a benchmark with errors has no result.

use std::{
    collections::HashMap,
    convert::Infallible,
    pin::Pin,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use futures::stream;
use http::{Request as Outbound, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use serde::Deserialize;
use spin_sdk::{
    http::{Request, body::IncomingBodyExt as _},
    http_service,
    pg::{Connection, DbValue, ParameterValue},
};

/// The work of one operation.
#[derive(Default, Deserialize)]
struct Operation {
    /// Media type of the answer.
    content_type: String,
    /// Statements, one after the other.
    #[serde(default)]
    statements: Vec<Statement>,
    /// An address of the worker to ask.
    #[serde(default)]
    get: Option<String>,
    /// What to answer with in place of `NAME.answer`.
    #[serde(default)]
    pieces: Option<Pieces>,
    #[serde(skip)]
    answer: Bytes,
}

#[derive(Deserialize)]
struct Statement {
    sql: String,
    parameters: Vec<Parameter>,
}

/// A parameter as the Postgres interface has them.
#[derive(Deserialize, Clone)]
#[serde(rename_all = "snake_case")]
enum Parameter {
    Text(String),
    Int(i32),
    Float(f64),
    Null,
    /// A new text for each request, of the form of a UUID.
    NewId,
    /// The body of the request.
    Body,
}

/// A value in the database, read in pieces by a statement whose last two parameters are offset (from 1) and length.
#[derive(Deserialize)]
struct Pieces {
    sql: String,
    parameters: Vec<Parameter>,
    size: i32,
    length: i32,
}

type AnyBody = Pin<Box<dyn Body<Data = Bytes, Error = Infallible>>>;

fn operation(name: &str) -> &'static Operation {
    static OPERATIONS: Mutex<Option<HashMap<String, &'static Operation>>> = Mutex::new(None);
    let mut operations = OPERATIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = operations.get_or_insert_default();
    if let Some(operation) = known.get(name) {
        return operation;
    }
    let description = std::fs::read(format!("/operations/{name}.json")).expect("a described operation");
    let mut operation: Operation = serde_json::from_slice(&description).expect("a valid description");
    operation.answer = std::fs::read(format!("/operations/{name}.answer"))
        .unwrap_or_default()
        .into();
    let operation: &'static Operation = Box::leak(Box::new(operation));
    known.insert(name.to_owned(), operation);
    operation
}

#[http_service]
async fn handle(request: Request) -> Response<AnyBody> {
    let operation = operation(request.uri().path().trim_start_matches('/'));
    let body = request.into_body().bytes().await.expect("a body");
    if !operation.statements.is_empty() {
        let address = address().await;
        for Statement { sql, parameters } in &operation.statements {
            std::hint::black_box(query(&address, sql, values(parameters, &body)).await);
        }
    }
    if let Some(url) = &operation.get {
        let request = Outbound::get(url).body(Empty::<Bytes>::new()).expect("a valid request");
        let answer = spin_sdk::http::send(request).await.expect("an answer of the worker");
        std::hint::black_box(answer.into_body().bytes().await.expect("a whole answer"));
    }
    let (length, body) = match &operation.pieces {
        None => (
            operation.answer.len(),
            Box::pin(Full::new(operation.answer.clone())) as AnyBody,
        ),
        Some(pieces) => (pieces.size as usize, read(pieces)),
    };
    Response::builder()
        .header("content-type", &operation.content_type)
        .header("content-length", length)
        .body(body)
        .expect("a valid answer")
}

async fn address() -> String {
    spin_sdk::variables::get("database_url").await.expect("the variable")
}

async fn query(address: &str, sql: &str, parameters: Vec<ParameterValue>) -> Vec<Vec<DbValue>> {
    let connection = Connection::open(address).await.expect("a connection");
    let result = connection.query(sql, parameters).await.expect("a result");
    let (_, mut stream, end) = result.into_inner();
    let mut rows = Vec::new();
    while let Some(row) = stream.next().await {
        rows.push(row);
    }
    end.await.expect("all rows");
    rows
}

fn values(parameters: &[Parameter], body: &Bytes) -> Vec<ParameterValue> {
    let value = |parameter: &Parameter| match parameter {
        Parameter::Text(text) => ParameterValue::Str(text.clone()),
        Parameter::Int(number) => ParameterValue::Int32(*number),
        Parameter::Float(number) => ParameterValue::Floating64(*number),
        Parameter::Null => ParameterValue::DbNull,
        Parameter::NewId => ParameterValue::Str(new_id()),
        Parameter::Body => ParameterValue::Str(String::from_utf8_lossy(body).into_owned()),
    };
    parameters.iter().map(value).collect()
}

/// Random hexadecimal digits where a UUID has them.
fn new_id() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    static SEEDS: Mutex<Option<(RandomState, u64)>> = Mutex::new(None);
    let mut seeds = SEEDS.lock().unwrap_or_else(PoisonError::into_inner);
    let (state, count) = seeds.get_or_insert_with(|| (RandomState::new(), 0));
    *count += 1;
    let (a, b) = (state.hash_one((*count, 0)), state.hash_one((*count, 1)));
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        b >> 52,
        b & 0xffff_ffff_ffff
    )
}

fn read(pieces: &'static Pieces) -> AnyBody {
    Box::pin(
        StreamBody::new(stream::unfold(0, move |offset| async move {
            let length = pieces.length.min(pieces.size - offset);
            if length <= 0 {
                return None;
            }
            let mut parameters = values(&pieces.parameters, &Bytes::new());
            parameters.extend([ParameterValue::Int32(offset + 1), ParameterValue::Int32(length)]);
            let row = query(&address().await, &pieces.sql, parameters)
                .await
                .into_iter()
                .next()
                .and_then(|row| row.into_iter().next());
            let Some(DbValue::Binary(bytes)) = row else {
                panic!("no bytes")
            };
            Some((Ok(Frame::data(bytes.into())), offset + length))
        }))
        .map_err(|never: Infallible| never),
    )
}
