//! The host's interfaces in WASI 0.2: through the crate `wasi`, whose version 0.13.1 exports the handler as every host
//! since Spin 2.2 looks for it, and two interfaces of Spin that have not changed since its version 2.0.

mod body;
mod executor;
pub mod inbound;
mod postgres;
mod refusal;

use std::time::Duration;

pub use body::{Body, BodyError};
use executor::Ready;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
pub use postgres::query;
use wasi::{
    clocks::monotonic_clock::subscribe_duration,
    http::{
        outgoing_handler::handle,
        types::{ErrorCode, Fields, OutgoingRequest, RequestOptions, Scheme},
    },
};

use super::Broken;

/// The interfaces of Spin.
mod spin {
    #![allow(missing_docs, clippy::all, reason = "generated")]
    wit_bindgen::generate!({ path: "wit", world: "planexe:mcp/spin-p2", generate_all });
}

/// The body of a request to the component.
pub type RequestBody = Body;
/// The answer of an outbound request; its body is a stream.
pub type Answer = http::Response<Body>;

/// How long the host may take for each phase of an outbound request. The component's own limits are no longer, but a
/// statement that does not end keeps it from watching them.
const PHASE_LIMIT: Duration = Duration::from_secs(10);

/// Makes a function from [`super::Request`] to an answer the component's entry point.
macro_rules! serve {
    ($handle:path) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use wasi::http::types::{IncomingRequest, ResponseOutparam};

            struct Component;

            impl wasi::exports::http::incoming_handler::Guest for Component {
                fn handle(request: IncomingRequest, answer: ResponseOutparam) {
                    $crate::host::p2::inbound::serve(request, answer, $handle);
                }
            }

            wasi::http::proxy::export!(Component);
        };
    };
}
pub(crate) use serve;

/// The value of an application variable; `None` when the host cannot resolve it. The host's own error is left out: it may
/// repeat the value of a variable.
pub async fn variable(name: &str) -> Option<String> {
    spin::fermyon::spin::variables::get(name).ok()
}

/// Waits.
pub async fn sleep(time: Duration) {
    Ready::new(subscribe_duration(nanoseconds(time))).await;
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Writes to standard error if the host takes all of it now; false when it does not.
#[must_use]
pub fn write_log(line: &[u8]) -> bool {
    #[cfg(target_family = "wasm")]
    {
        let stderr = wasi::cli::stderr::get_stderr();
        let fits = stderr.check_write().is_ok_and(|room| line.len() as u64 <= room);
        fits && stderr.write(line).is_ok()
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
/// When there is no answer. The host's own time limit for each phase is not below those of the component.
pub async fn get(url: &str) -> Result<Answer, Broken> {
    let request = request(url).ok_or(Broken::Unreachable)?;
    let pending = handle(request, Some(options())).map_err(|code| broken(&code))?;
    Ready::new(pending.subscribe()).await;
    let Some(Ok(incoming)) = pending.get() else {
        return Err(Broken::Unreachable);
    };
    let incoming = incoming.map_err(|code| broken(&code))?;
    let answer = || {
        let mut answer = http::Response::new(Body::new(incoming.consume().ok()?)?);
        *answer.status_mut() = http::StatusCode::from_u16(incoming.status()).ok()?;
        *answer.headers_mut() = headers(&incoming.headers())?;
        Some(answer)
    };
    answer().ok_or(Broken::Protocol)
}

/// A `GET` of a URL; `None` for one that is not of HTTP.
fn request(url: &str) -> Option<OutgoingRequest> {
    let url: Uri = url.parse().ok()?;
    let scheme = match url.scheme_str()? {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return None,
    };
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&scheme)).ok()?;
    request.set_authority(Some(url.authority()?.as_str())).ok()?;
    request.set_path_with_query(Some(url.path_and_query()?.as_str())).ok()?;
    Some(request)
}

/// The host's limits of an outbound request. One that the host does not know is no loss.
fn options() -> RequestOptions {
    let options = RequestOptions::new();
    let limit = Some(nanoseconds(PHASE_LIMIT));
    let _ = options.set_connect_timeout(limit);
    let _ = options.set_first_byte_timeout(limit);
    let _ = options.set_between_bytes_timeout(limit);
    options
}

/// Headers as the component knows them; `None` when one is not valid HTTP, which the host has checked already.
fn headers(fields: &Fields) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields.entries() {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_maybe_shared(bytes::Bytes::from(value)).ok()?);
    }
    Some(headers)
}

/// What an error of the transport means.
#[must_use]
pub fn broken(code: &BodyError) -> Broken {
    match code {
        ErrorCode::ConnectionTimeout | ErrorCode::ConnectionReadTimeout | ErrorCode::HttpResponseTimeout => {
            Broken::Timeout
        }
        ErrorCode::HttpResponseIncomplete | ErrorCode::HttpProtocolError | ErrorCode::ConnectionTerminated => {
            Broken::Protocol
        }
        _ => Broken::Unreachable,
    }
}
