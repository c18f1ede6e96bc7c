//! A door to the reading of request ids for the fuzz targets. In no build that is served.

use http::HeaderMap;

use crate::auth::caller::Key;

/// The id under which a request is logged.
#[must_use]
pub fn request_id(headers: &HeaderMap) -> String {
    super::request_id(headers, Key::presented(headers).as_ref())
}
