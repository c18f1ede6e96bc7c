//! The host's interfaces in WASI 0.3, through Spin's SDK.

use std::{cell::Cell, time::Duration};

use spin_sdk::{
    http::{EmptyBody, Response},
    pg::{Connection, DbValue, Error, ParameterValue, PgError, QueryError},
    wasip3::{http::types::ErrorCode, http_compat::IncomingRequestBody},
};

use super::{Broken, Parameter, Refusal, Rows, Value};

/// The body of a request to the component.
pub type RequestBody = IncomingRequestBody;
/// The answer of an outbound request; its body is a stream.
pub type Answer = Response;
/// What breaks the body of an [`Answer`].
pub type BodyError = ErrorCode;

/// Makes a function from [`super::Request`] to an answer the component's entry point.
macro_rules! serve {
    ($handle:path) => {
        #[cfg(target_family = "wasm")]
        #[spin_sdk::http_service]
        async fn handle(request: spin_sdk::http::Request) -> $crate::render::Response {
            $crate::host::leftover::answer(request, $handle).await
        }
    };
}
pub(crate) use serve;

/// The value of an application variable; `None` when the host cannot resolve it. The host's own error is left out: it may
/// repeat the value of a variable.
pub async fn variable(name: &str) -> Option<String> {
    spin_sdk::variables::get(name).await.ok()
}

/// Waits.
pub async fn sleep(time: Duration) {
    spin_sdk::time::sleep(time).await;
}

/// Writes to standard error if the host takes all of it now; false when it does not. The standard library waits for the
/// host instead, which costs an answer a tenth of its time even when there is nothing to wait for.
#[must_use]
pub fn write_log(line: &[u8]) -> bool {
    #[cfg(target_family = "wasm")]
    {
        use wasip2::{cli::stderr::get_stderr, io::streams::OutputStream};
        thread_local! {
            static STDERR: OutputStream = get_stderr();
        }
        STDERR.with(|stderr| {
            let fits = stderr.check_write().is_ok_and(|room| line.len() as u64 <= room);
            fits && stderr.write(line).is_ok()
        })
    }
    #[cfg(not(target_family = "wasm"))]
    {
        let _ = line;
        false
    }
}

/// Sends a `GET` without a body.
///
/// # Errors
/// When there is no answer. The host's own time limits are far above those of the component.
pub async fn get(url: &str) -> Result<Answer, Broken> {
    let request = http::Request::get(url).body(EmptyBody::new());
    let request = request.map_err(|_| Broken::Unreachable)?;
    spin_sdk::http::send(request).await.map_err(|code| broken(&code))
}

/// What an error of the transport means.
#[must_use]
pub fn broken(code: &BodyError) -> Broken {
    match code {
        ErrorCode::ConnectionTimeout | ErrorCode::ConnectionReadTimeout | ErrorCode::HttpResponseTimeout => {
            Broken::Timeout
        }
        ErrorCode::HttpResponseIncomplete | ErrorCode::HttpProtocolError => Broken::Protocol,
        _ => Broken::Unreachable,
    }
}

/// Runs a statement and returns its whole result. `sent` is set once there is a connection: from then on, an error may
/// leave open whether the statement took effect.
///
/// # Errors
/// What the host or Postgres reports.
pub async fn query(
    address: &str,
    statement: &str,
    parameters: Vec<Parameter>,
    sent: &Cell<bool>,
) -> Result<Rows, Refusal> {
    let connection = Connection::open(address).await.map_err(sdk_refusal)?;
    sent.set(true);
    let parameters: Vec<_> = parameters.into_iter().map(parameter).collect();
    let result = connection.query(statement, parameters).await.map_err(sdk_refusal)?;
    let (columns, mut stream, end) = result.into_inner();
    let mut values = Vec::new();
    while let Some(row) = stream.next().await {
        values.push(row.into_iter().map(value).collect());
    }
    // Errors after the first row are known only here.
    end.await.map_err(refusal)?;
    let columns = columns.into_iter().map(|column| column.name).collect();
    Ok(Rows { columns, values })
}

fn parameter(parameter: Parameter) -> ParameterValue {
    match parameter {
        Parameter::Null => ParameterValue::DbNull,
        Parameter::Int32(number) => ParameterValue::Int32(number),
        Parameter::Float64(number) => ParameterValue::Floating64(number),
        Parameter::Text(text) => ParameterValue::Str(text),
    }
}

fn value(value: DbValue) -> Value {
    match value {
        DbValue::DbNull => Value::Null,
        DbValue::Boolean(value) => Value::Bool(value),
        DbValue::Int64(number) => Value::Int64(number),
        DbValue::Floating64(number) => Value::Float64(number),
        DbValue::Str(text) => Value::Text(text),
        DbValue::Binary(bytes) => Value::Bytes(bytes),
        _ => Value::Other,
    }
}

fn sdk_refusal(error: Error) -> Refusal {
    match error {
        Error::PgError(error) => refusal(error),
        Error::Decode(text) => Refusal::Misfit(text),
    }
}

fn refusal(error: PgError) -> Refusal {
    match error {
        PgError::ConnectionFailed(text) => Refusal::Unconnected(text),
        PgError::QueryFailed(QueryError::DbError(error)) => Refusal::State(error.code, error.message),
        PgError::QueryFailed(QueryError::Text(text)) => Refusal::Text(text),
        PgError::BadParameter(text) | PgError::ValueConversionFailed(text) | PgError::Other(text) => {
            Refusal::Misfit(text)
        }
    }
}
