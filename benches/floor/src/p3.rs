//! The host's interfaces in WASI 0.3, through Spin's SDK.

use bytes::Bytes;
use http_body_util::{Empty, Full};
pub use spin_sdk::{
    http::Request,
    pg::{DbValue, ParameterValue},
};
use spin_sdk::{http::body::IncomingBodyExt as _, http_service, pg::Connection};

use crate::OrEnd as _;

#[http_service]
async fn handle(request: Request) -> http::Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let answer = crate::answer(&path, request).await;
    http::Response::builder()
        .header("content-type", "application/json")
        .header("content-length", answer.len())
        .body(Full::new(answer.into()))
        .or_end()
}

pub async fn body(request: Request) -> Vec<u8> {
    request.into_body().bytes().await.or_end().into()
}

pub async fn variable(name: &str) -> String {
    spin_sdk::variables::get(name).await.or_end()
}

pub async fn query(address: &str, statement: &str, parameters: Vec<ParameterValue>) -> Vec<Vec<DbValue>> {
    let connection = Connection::open(address).await.or_end();
    let (_, mut stream, end) = connection.query(statement, parameters).await.or_end().into_inner();
    let mut rows = Vec::new();
    while let Some(row) = stream.next().await {
        rows.push(row);
    }
    end.await.or_end();
    rows
}

/// Asks for an address. There are no files of the run, so that the server does not read the answer either.
pub async fn get(url: &str) {
    let request = http::Request::get(url).body(Empty::<Bytes>::new()).or_end();
    spin_sdk::http::send(request).await.or_end();
}
