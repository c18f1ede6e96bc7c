//! Doors to the reading of addresses for the fuzz targets. In no build that is served.

use http::{HeaderMap, Uri};

use super::Route;
use crate::auth::RequestOrigin;

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// How the log names the route.
    pub template: &'static str,
    /// The methods that it takes.
    pub allow: &'static str,
    /// Task and file of a download.
    pub download: Option<(&'a str, &'a str)>,
}

/// Finds the route of a path.
#[must_use]
pub fn find(path: &str) -> Option<Found<'_>> {
    Route::find(path).map(|route| Found {
        template: route.template(),
        allow: route.allow(),
        download: match route {
            Route::Download { id, file } => Some((id, file)),
            _ => None,
        },
    })
}

/// Scheme and host under which a caller reached the server.
#[must_use]
pub fn origin(headers: &HeaderMap, uri: &Uri) -> String {
    RequestOrigin::of(headers, uri).text()
}
