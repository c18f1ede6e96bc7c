//! The routes. Each one parses its request, calls the modules below and renders the answer. This file has what they share.

pub mod docs;
pub mod download;
pub mod healthcheck;
pub mod index;
pub mod mcp;
pub mod table;
pub mod tools;

use std::{fmt::Display, rc::Rc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body::Body;
use http_body_util::BodyExt as _;

use crate::{
    auth::caller::{Caller, Claim, User},
    clock,
    db::{self, Database},
    error::{Error, RETRY_AFTER},
    render::{self, Response},
    request,
};

/// Time limit for reading a request's body.
const BODY_LIMIT: Duration = Duration::from_secs(15);

/// Maximum capacity that is allocated for a body before it arrives, in bytes.
const FIRST_CAPACITY: usize = 64 * 1024;

/// Verifies the key of a request and returns the caller. Looks a user's key up in the database. If the database is
/// unavailable, the caller is [`Caller::Unknown`] with that error.
///
/// # Errors
/// [`Error::ApiKeyWrong`] when no user has this key, and those of settings that cannot be used.
pub async fn verify(claim: Claim, cx: &Rc<request::Context>) -> Result<Caller, Error> {
    let (key_hash, otherwise) = match claim {
        Claim::Known(caller) => return Ok(caller),
        Claim::UserKey { hash, otherwise } => (hash, otherwise),
    };
    let database = Database::configured(cx).await?;
    match db::user::find_by_key(&database, &key_hash).await {
        Ok(found) => match (otherwise, found.user_id) {
            (Some(known), _) if !found.is_today => known,
            (_, Some(id)) => Ok(Caller::User(User { id, key_hash })),
            (_, None) => Err(Error::ApiKeyWrong),
        },
        Err(error) => Ok(Caller::Unknown(error)),
    }
}

/// The answer to a call: 200, even when the call failed. 503 when it failed because of an invalid setting, so that monitors
/// and proxies notice.
fn answer(cx: &request::Context, json: String) -> Response {
    if !cx.is_misconfigured() {
        return render::json(StatusCode::OK, json);
    }
    let mut response = render::json(StatusCode::SERVICE_UNAVAILABLE, json);
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER.into());
    response
}

/// Reads a request's body of at most `limit` bytes. Checks `Content-Length` first, and the actual length while reading.
///
/// # Errors
/// [`Error::BodyTooLarge`], [`Error::BodyUnreadable`], [`Error::BodyTooSlow`].
async fn read_body<B>(headers: &HeaderMap, mut body: B, limit: u64) -> Result<Vec<u8>, Error>
where
    B: Body<Data = Bytes, Error: Display> + Unpin,
{
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit) {
        return Err(Error::BodyTooLarge(limit));
    }
    // The announced length is not trusted: memory is allocated as data arrives.
    let capacity = announced.map_or(0, |length| usize::try_from(length).unwrap_or(FIRST_CAPACITY));
    let reading = async {
        let mut read = Vec::with_capacity(capacity.min(FIRST_CAPACITY));
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|code| Error::BodyUnreadable(code.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            if (read.len() + data.len()) as u64 > limit {
                return Err(Error::BodyTooLarge(limit));
            }
            read.extend_from_slice(&data);
        }
        Ok(read)
    };
    let read = clock::within(BODY_LIMIT, reading).await;
    let read = read.ok_or(Error::BodyTooSlow)??;
    if announced.is_some_and(|length| length != read.len() as u64) {
        return Err(Error::BodyUnreadable("shorter than announced".to_owned()));
    }
    Ok(read)
}

/// The quality value among the parameters of an `Accept` range, in thousandths; 1000 without a valid one (RFC 9110 section
/// 12.4.2).
fn quality<'a>(mut parameters: impl Iterator<Item = &'a str>) -> u16 {
    const MOST: u16 = 1000;
    let read = |value: &str| {
        let (whole, part) = value.split_once('.').unwrap_or((value, ""));
        let digits = part.get(..part.len().min(3))?;
        let part: u16 = format!("{digits:0<3}").parse().ok()?;
        Some((whole.parse::<u16>().ok()?.saturating_mul(MOST).saturating_add(part)).min(MOST))
    };
    let value = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    value.and_then(read).unwrap_or(MOST)
}

/// A posted body must be JSON by its `Content-Type` (RFC 9110 section 8.3; parameters are allowed).
fn expect_json(headers: &HeaderMap) -> Result<(), Error> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        Ok(())
    } else {
        Err(Error::ContentTypeRefused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_read_in_thousandths() {
        for (range, thousandths) in [
            ("text/html", 1000),
            ("text/html;q=0", 0),
            ("text/html;q=0.", 0),
            ("text/html; Q=0.000", 0),
            ("text/html; level=1; q=0.5", 500),
            ("text/html;q=0.05", 50),
            ("text/html;q=0.8567", 856),
            ("text/html;q=1", 1000),
            ("text/html;q=1.000", 1000),
            ("text/html;q=7", 1000),
            ("text/html;q=99999", 1000),
            ("text/html;q=x", 1000),
            ("text/html;q=0.x", 1000),
            ("text/html;q=0.ä", 1000),
            ("text/html;q=-1", 1000),
            ("text/html;q", 1000),
        ] {
            assert_eq!(quality(range.split(';').skip(1)), thousandths, "{range}");
        }
    }
}
