//! The settings of the stack as people write them in the environment and in `.env`: where to listen, which database.
//!
//! Knows the names of the variables; starts nothing.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::host::RuntimeConfig;

/// An environment: names and values.
pub type Variables = BTreeMap<String, String>;

/// The default address to listen on.
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The default port: that of PlanExe's own server, `mcp_cloud`, so that its clients find this one.
pub const DEFAULT_PORT: u16 = 8001;
/// `SQLALCHEMY_DATABASE_URI` as Spin reads it.
const SPIN_DATABASE_URI: &str = "SPIN_VARIABLE_SQLALCHEMY_DATABASE_URI";

/// Whether a variable of this name is a setting, of the host or of the component.
fn is_setting(name: &str) -> bool {
    name.starts_with("PLANEXE_")
        || name.starts_with("SPIN_VARIABLE_")
        || name == "SQLALCHEMY_DATABASE_URI"
        || name == "PORT"
}

/// The environment with the settings that the project's `.env` adds: the file that its runtime configuration names as
/// `dotenv_path`, which need not exist. A setting of the environment wins. A blank one counts as unset in both, and is
/// left out: Spin fills `postgres_host`, `postgres_port` and `worker_plan_url` into `allowed_outbound_hosts` as they are.
///
/// # Errors
/// A runtime configuration or `.env` that cannot be read. The error names the line of `.env` and repeats none of it.
pub fn of_project(project: &Path, mut environment: Variables) -> Result<Variables> {
    let blank = |value: &str| value.trim().is_empty();
    environment.retain(|name, value| !is_setting(name) || !blank(value));
    let runtime_config = project.join("runtime-config.toml");
    if runtime_config.is_file() {
        for path in RuntimeConfig::load(&runtime_config)?.dotenv_paths() {
            for (name, value) in dotenv(&project.join(path))? {
                if is_setting(&name) && !blank(&value) {
                    environment.entry(name).or_insert(value);
                }
            }
        }
    }
    Ok(environment)
}

/// The variables of a file `.env`, none if there is no file. The last line of a name counts.
fn dotenv(path: &Path) -> Result<Variables> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Variables::new()),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let parsed: Result<Variables, _> = dotenvy::from_read_iter(text.as_bytes()).collect();
    // The parser's own words repeat the line, which may hold a password.
    parsed.map_err(|_| {
        let mut lines = text.split_inclusive('\n');
        let line = lines.position(|line| dotenvy::from_read_iter(line.as_bytes()).any(|parsed| parsed.is_err()));
        anyhow!(
            "line {} of {} is not NAME=value: put a value with spaces, $, # or \" into single quotes",
            line.map_or(0, |before| before + 1),
            path.display()
        )
    })
}

/// A value that is set and not blank.
pub(crate) fn value<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
    variables
        .get(name)
        .map(|value| value.trim())
        .filter(|value| !value.is_empty())
}

/// The address to listen on: `PLANEXE_MCP_HTTP_HOST`, and `PORT` before `PLANEXE_MCP_HTTP_PORT`.
///
/// # Errors
/// When one of them is not an IP address, or a port.
pub fn listener(variables: &Variables) -> Result<SocketAddr> {
    let host = value(variables, "PLANEXE_MCP_HTTP_HOST").filter(|host| *host != "localhost");
    let port = value(variables, "PORT").or_else(|| value(variables, "PLANEXE_MCP_HTTP_PORT"));
    let host = host.map_or(Ok(HOST), str::parse);
    let port = port.map_or(Ok(DEFAULT_PORT), str::parse);
    Ok(SocketAddr::new(
        host.context("PLANEXE_MCP_HTTP_HOST is not an IP address")?,
        port.context("PLANEXE_MCP_HTTP_PORT or PORT is not the number of a port")?,
    ))
}

/// Whether the settings name a database.
#[must_use]
pub fn names_database(variables: &Variables) -> bool {
    database_uri(variables).is_some() || value(variables, "PLANEXE_POSTGRES_HOST").is_some()
}

/// The whole address of the database, by the name that PlanExe gives it or by the one that Spin reads.
fn database_uri(variables: &Variables) -> Option<&str> {
    value(variables, "SQLALCHEMY_DATABASE_URI").or_else(|| value(variables, SPIN_DATABASE_URI))
}

/// Makes `SQLALCHEMY_DATABASE_URI` known to the component. The name lacks the prefix that the other settings have, so
/// it goes by Spin's own; and host and port go into the two settings that decide which connections are allowed.
///
/// # Errors
/// When the address is not one of Postgres, or names no host.
pub fn adopt_database_uri(variables: &mut Variables) -> Result<()> {
    let Some(uri) = database_uri(variables).map(ToOwned::to_owned) else {
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
    variables.insert(SPIN_DATABASE_URI.to_owned(), uri);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn variables(lines: &str) -> Variables {
        let pairs = lines.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn the_platforms_port_wins() {
        for (lines, address) in [
            ("", "127.0.0.1:8001"),
            ("PLANEXE_MCP_HTTP_PORT=8002", "127.0.0.1:8002"),
            (
                "PLANEXE_MCP_HTTP_PORT=8002\nPORT=80\nPLANEXE_MCP_HTTP_HOST=0.0.0.0",
                "0.0.0.0:80",
            ),
            ("PLANEXE_MCP_HTTP_HOST=::1\nPORT=", "[::1]:8001"),
            ("PLANEXE_MCP_HTTP_HOST=localhost", "127.0.0.1:8001"),
        ] {
            assert_eq!(listener(&variables(lines)).unwrap().to_string(), address, "{lines}");
        }
        assert!(listener(&variables("PORT=many")).is_err());
    }

    #[test]
    fn a_line_that_cannot_be_read_is_told_by_its_number() {
        for (line, number) in [
            ("PLANEXE_POSTGRES_PASSWORD=two words", 3),
            ("PLANEXE_POSTGRES_PASSWORD", 3),
            ("PLANEXE_POSTGRES_PASSWORD='words", 3),
            ("\nPLANEXE-PASSWORD=words", 4),
        ] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            let before = "# PLANEXE_POSTGRES_PASSWORD=two words\nPLANEXE_MCP_API_KEY='k'";
            write!(file, "{before}\n{line}\nPORT=1\n").unwrap();
            let error = format!("{:#}", dotenv(file.path()).unwrap_err());
            assert!(error.contains(&format!("line {number} of ")), "{line}: {error}");
            assert!(!error.contains("words") && !error.contains("PASSWORD"), "{error}");
        }
    }

    #[test]
    fn a_database_address_sets_what_the_host_allows() {
        let uri = "postgresql+psycopg2://u:p%40@db.example:5433/x";
        for (name, port) in [("SQLALCHEMY_DATABASE_URI", "5433"), (SPIN_DATABASE_URI, "5432")] {
            let uri = uri.replace("5433", port);
            let mut adopted = variables(&format!("{name}={uri}"));
            assert!(names_database(&adopted));
            adopt_database_uri(&mut adopted).unwrap();
            assert_eq!(adopted["PLANEXE_POSTGRES_HOST"], "db.example");
            assert_eq!(adopted["PLANEXE_POSTGRES_PORT"], port);
            assert_eq!(adopted[SPIN_DATABASE_URI], uri);
        }
        for uri in ["mysql://h/d", "nonsense", "postgresql:///only_a_name"] {
            let mut refused = variables(&format!("SQLALCHEMY_DATABASE_URI={uri}"));
            assert!(adopt_database_uri(&mut refused).is_err(), "{uri}");
        }
    }
}
