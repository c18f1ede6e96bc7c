//! The address of the database, as the host's Postgres interface takes it.

/// What every address carries. The address stays the same for all requests: the host keeps a pool for each.
///
/// `statement_timeout` is shorter than our own limit: then Postgres undoes a slow statement and says so, and the caller
/// is not left to wonder whether it took effect. Where the host waits for a statement and does nothing else, no limit of
/// ours ends it: then the last four end a connection to a machine that is gone, within some seconds. Every Spin from 3.0 on
/// knows all of them.
const ADDRESS_OPTIONS: &str = "connect_timeout=2&application_name=planexe-mcp\
    &options=-c%20statement_timeout%3D2000%20-c%20TimeZone%3DUTC\
    &tcp_user_timeout=3&keepalives_idle=3&keepalives_interval=1&keepalives_retries=2";

/// Puts an address together; each part is percent-encoded, since a password may hold anything.
pub(crate) fn database_uri(user: &str, password: &str, host: &str, port: &str, database: &str) -> String {
    format!(
        "postgres://{}:{}@{host}:{port}/{}?{ADDRESS_OPTIONS}",
        percent_encode(user),
        percent_encode(password),
        percent_encode(database),
    )
}

/// Takes the forms that `SQLAlchemy` knows (`postgresql+psycopg2://…`) to the one that the host knows; `None` for an
/// address that is not of Postgres.
pub(crate) fn normalise_database_uri(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.trim().split_once("://")?;
    if !matches!(scheme.split('+').next(), Some("postgres" | "postgresql")) {
        return None;
    }
    let separator = if rest.contains('?') { '&' } else { '?' };
    Some(format!("postgres://{rest}{separator}{ADDRESS_OPTIONS}"))
}

/// Percent-encodes all but RFC 3986's unreserved characters.
fn percent_encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, UNRESERVED).to_string()
}

/// RFC 3986 section 2.3.
const UNRESERVED: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_address_is_encoded() {
        let address = database_uri("plan exe", "p@ss:w/rd?#%", "db.internal", "5433", "planexe");
        let plain = address.split('?').next();
        assert_eq!(
            plain,
            Some("postgres://plan%20exe:p%40ss%3Aw%2Frd%3F%23%25@db.internal:5433/planexe")
        );
    }

    #[test]
    fn sqlalchemy_addresses_become_plain_ones() {
        for (given, plain) in [
            ("postgresql+psycopg2://u:p@h:1/d", "postgres://u:p@h:1/d?"),
            (
                "postgresql://u:p@h/d?sslmode=require",
                "postgres://u:p@h/d?sslmode=require&",
            ),
            (" postgres://h/d ", "postgres://h/d?"),
        ] {
            assert_eq!(normalise_database_uri(given), Some(format!("{plain}{ADDRESS_OPTIONS}")));
        }
        for given in ["mysql://u:p@h/d", "h:5432/d", "postgresqlx://h/d"] {
            assert_eq!(normalise_database_uri(given), None, "{given}");
        }
    }
}
