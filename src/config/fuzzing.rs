//! Doors to the reading of settings for the fuzz targets. In no build that is served.

use super::{database_uri, normalise_database_uri};

/// The address of a database from its parts.
#[must_use]
pub fn address(user: &str, password: &str, host: &str, port: &str, database: &str) -> String {
    database_uri(user, password, host, port, database)
}

/// The address of a database from one that `SQLAlchemy` knows; `None` for an address that is not of Postgres.
#[must_use]
pub fn normalised(uri: &str) -> Option<String> {
    normalise_database_uri(uri)
}
