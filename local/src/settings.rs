//! The settings of the stack as people write them in the environment: where to listen, which database.
//!
//! Knows the names of the variables; starts nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};

/// An environment: names and values.
pub type Variables = BTreeMap<String, String>;

/// The default address to listen on.
const HOST: &str = "127.0.0.1";
/// The default port: that of PlanExe's own server, `mcp_cloud`, so that its clients find this one.
pub const DEFAULT_PORT: u16 = 8001;

/// A value that is set and not blank.
fn value<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
    variables
        .get(name)
        .map(|value| value.trim())
        .filter(|value| !value.is_empty())
}

/// The address to listen on: `PLANEXE_MCP_HTTP_HOST`, and `PORT` before `PLANEXE_MCP_HTTP_PORT`.
///
/// # Errors
/// When they make no address.
pub fn listener(variables: &Variables) -> Result<SocketAddr> {
    let host = value(variables, "PLANEXE_MCP_HTTP_HOST").unwrap_or(HOST);
    let port = value(variables, "PORT").or_else(|| value(variables, "PLANEXE_MCP_HTTP_PORT"));
    let port = port.map_or_else(|| DEFAULT_PORT.to_string(), ToOwned::to_owned);
    let host = if host == "localhost" { HOST } else { host };
    let address = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    address.parse().with_context(|| {
        format!("cannot listen on {address:?}: set PLANEXE_MCP_HTTP_HOST to an IP address and PLANEXE_MCP_HTTP_PORT to a port")
    })
}

/// Whether the environment names a database.
#[must_use]
pub fn names_database(variables: &Variables) -> bool {
    ["SQLALCHEMY_DATABASE_URI", "PLANEXE_POSTGRES_HOST"]
        .iter()
        .any(|name| value(variables, name).is_some())
}

/// Makes `SQLALCHEMY_DATABASE_URI` known to the component. The name lacks the prefix that the other settings have, so
/// it goes by Spin's own; and host and port go into the two settings that decide which connections are allowed.
///
/// # Errors
/// When the address is none of Postgres, or names no host.
pub fn adopt_database_uri(variables: &mut Variables) -> Result<()> {
    let Some(uri) = value(variables, "SQLALCHEMY_DATABASE_URI").map(ToOwned::to_owned) else {
        return Ok(());
    };
    let (scheme, rest) = uri.split_once("://").unwrap_or_default();
    if !matches!(scheme.split('+').next(), Some("postgres" | "postgresql")) {
        bail!("SQLALCHEMY_DATABASE_URI is no postgresql:// address");
    }
    let config: tokio_postgres::Config = format!("postgres://{rest}")
        .parse()
        .context("SQLALCHEMY_DATABASE_URI cannot be read as an address")?;
    let Some(tokio_postgres::config::Host::Tcp(host)) = config.get_hosts().first() else {
        bail!("SQLALCHEMY_DATABASE_URI names no host");
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    variables.insert("PLANEXE_POSTGRES_HOST".to_owned(), host.clone());
    variables.insert("PLANEXE_POSTGRES_PORT".to_owned(), port.to_string());
    variables.insert("SPIN_VARIABLE_SQLALCHEMY_DATABASE_URI".to_owned(), uri);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_platforms_port_wins() {
        for (pairs, address) in [
            (&[][..], "127.0.0.1:8001"),
            (&[("PLANEXE_MCP_HTTP_PORT", "8002")], "127.0.0.1:8002"),
            (
                &[
                    ("PLANEXE_MCP_HTTP_PORT", "8002"),
                    ("PORT", "80"),
                    ("PLANEXE_MCP_HTTP_HOST", "0.0.0.0"),
                ],
                "0.0.0.0:80",
            ),
            (&[("PLANEXE_MCP_HTTP_HOST", "::1"), ("PORT", "")], "[::1]:8001"),
            (&[("PLANEXE_MCP_HTTP_HOST", "localhost")], "127.0.0.1:8001"),
        ] {
            assert_eq!(listener(&variables(pairs)).unwrap().to_string(), address, "{pairs:?}");
        }
        assert!(listener(&variables(&[("PORT", "many")])).is_err());
    }

    #[test]
    fn a_database_address_sets_what_the_host_allows() {
        let mut adopted = variables(&[(
            "SQLALCHEMY_DATABASE_URI",
            "postgresql+psycopg2://u:p%40@db.example:5433/x",
        )]);
        assert!(names_database(&adopted));
        adopt_database_uri(&mut adopted).unwrap();
        assert_eq!(adopted["PLANEXE_POSTGRES_HOST"], "db.example");
        assert_eq!(adopted["PLANEXE_POSTGRES_PORT"], "5433");
        assert_eq!(
            adopted["SPIN_VARIABLE_SQLALCHEMY_DATABASE_URI"],
            adopted["SQLALCHEMY_DATABASE_URI"]
        );
        for uri in ["mysql://h/d", "nonsense", "postgresql:///only_a_name"] {
            assert!(
                adopt_database_uri(&mut variables(&[("SQLALCHEMY_DATABASE_URI", uri)])).is_err(),
                "{uri}"
            );
        }
    }
}
