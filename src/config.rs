//! Settings: Spin application variables. A change takes effect within a second.
//!
//! Each group is read where it is needed, so that a request pays only for the variables it uses. An empty value
//! means unset. Names and defaults stand in `spin.toml`.

#[cfg(fuzzing)]
pub mod fuzzing;

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256, digest::Output};

use crate::error::Error;

/// How long values are used before the host is asked for them again. Each question is a call out of the instance, and
/// together they would cost an answer more than its statement costs us.
const FRESH: Duration = Duration::from_secs(1);

/// What this instance knows of the settings, and what it has made of them.
#[derive(Default)]
struct Known {
    since: Option<Instant>,
    values: Vec<(&'static str, Rc<str>)>,
    access: Option<Rc<Access>>,
    database_address: Option<Rc<str>>,
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// Forgets what is older than a second. To be called when a request begins.
pub fn refresh(now: Instant) {
    KNOWN.with_borrow_mut(|known| {
        if known
            .since
            .is_none_or(|since| now.saturating_duration_since(since) >= FRESH)
        {
            *known = Known {
                since: Some(now),
                ..Known::default()
            };
        }
    });
}

/// Settings that guard the door: needed by nearly every request.
#[derive(Debug)]
pub struct Access {
    /// The API key of the server; `None` leaves it open.
    pub api_key: Option<String>,
    /// SHA-256 of it: keys are compared by their hashes, so that not even the length shows.
    pub api_key_hash: Option<Output<Sha256>>,
    /// Origins that web pages may call from.
    pub cors_origins: String,
    /// Upper bound of a request body, in bytes.
    pub max_body_bytes: u64,
}

impl Access {
    /// Reads the group.
    ///
    /// # Errors
    /// [`Error::Internal`] when the host cannot resolve a variable or a number is none.
    pub async fn read() -> Result<Rc<Self>, Error> {
        if let Some(access) = KNOWN.with_borrow(|known| known.access.clone()) {
            return Ok(access);
        }
        let api_key = optional("mcp_api_key").await?;
        let access = Rc::new(Self {
            api_key_hash: api_key.as_deref().map(Sha256::digest),
            api_key,
            cors_origins: text("mcp_cors_origins").await?,
            max_body_bytes: number("mcp_max_body_bytes").await?,
        });
        KNOWN.with_borrow_mut(|known| known.access = Some(Rc::clone(&access)));
        Ok(access)
    }
}

/// Settings of download links.
#[derive(Debug)]
pub struct Links {
    /// Prefix of links; `None` takes scheme and host of the request.
    pub public_base_url: Option<String>,
    /// Key of the signature; `None` derives it from the API key.
    pub download_secret: Option<String>,
}

impl Links {
    /// Reads the group.
    ///
    /// # Errors
    /// [`Error::Internal`] when the host cannot resolve a variable.
    pub async fn read() -> Result<Self, Error> {
        Ok(Self {
            public_base_url: optional("mcp_public_base_url").await?,
            download_secret: optional("mcp_download_secret").await?,
        })
    }
}

/// Settings of users and credits.
#[derive(Debug)]
pub struct Accounts {
    /// Whether `task_create` needs a user key.
    pub require_user_key: bool,
    /// Credits that a plan costs a user.
    pub credits_per_plan: i32,
    /// Salt of the hashes of user keys, shared with PlanExe's web frontend.
    pub api_key_secret: String,
}

/// How long, in seconds, the same prompt of the same caller is the same request; 0 switches that off.
///
/// # Errors
/// [`Error::Internal`] when the host cannot resolve the variable or it is no number of seconds.
pub async fn repeat_window() -> Result<f64, Error> {
    const NAME: &str = "mcp_repeat_window_seconds";
    // A longer one would be no window; and what is no number is a mistake, not a reason to sell a plan twice.
    const LONGEST: u32 = 7 * 24 * 3600;
    let Some(value) = optional(NAME).await? else {
        return Ok(180.0);
    };
    match value.parse::<u32>() {
        Ok(seconds) if seconds <= LONGEST => Ok(seconds.into()),
        _ => Err(Error::Internal(format!(
            "variable {NAME} must be whole seconds, {LONGEST} at the most"
        ))),
    }
}

impl Accounts {
    /// Reads the group.
    ///
    /// # Errors
    /// [`Error::Internal`] when the host cannot resolve a variable or a value has the wrong form.
    pub async fn read() -> Result<Self, Error> {
        Ok(Self {
            require_user_key: flag("mcp_require_user_key").await?,
            credits_per_plan: number("credits_per_plan").await?,
            api_key_secret: text("api_key_secret").await?,
        })
    }
}

/// The address of the database, `postgres://…`, as the host's Postgres interface takes it.
///
/// # Errors
/// [`Error::Internal`] when the host cannot resolve a variable or `SQLALCHEMY_DATABASE_URI` is no Postgres address.
pub async fn database_address() -> Result<Rc<str>, Error> {
    if let Some(address) = KNOWN.with_borrow(|known| known.database_address.clone()) {
        return Ok(address);
    }
    let address: Rc<str> = match optional("sqlalchemy_database_uri").await? {
        Some(uri) => normalise_database_uri(&uri)?,
        None => database_uri(
            &value("postgres_user").await?,
            &value("postgres_password").await?,
            &value("postgres_host").await?,
            &value("postgres_port").await?,
            &value("postgres_db").await?,
        ),
    }
    .into();
    KNOWN.with_borrow_mut(|known| known.database_address = Some(Rc::clone(&address)));
    Ok(address)
}

/// The base address of `worker_plan`, without a slash at the end.
///
/// # Errors
/// [`Error::Internal`] when the host cannot resolve the variable.
pub async fn worker_plan_url() -> Result<String, Error> {
    Ok(text("worker_plan_url").await?.trim_end_matches('/').to_owned())
}

/// What every address carries. The address stays the same for all requests: the host keeps a pool for each.
///
/// `statement_timeout` is shorter than our own limit: then Postgres undoes a slow statement and says so, and the caller
/// is not left to wonder whether it took effect.
const ADDRESS_OPTIONS: &str =
    "connect_timeout=2&application_name=planexe-mcp&options=-c%20statement_timeout%3D2000%20-c%20TimeZone%3DUTC";

/// Puts an address together; each part is percent-encoded, since a password may hold anything.
fn database_uri(user: &str, password: &str, host: &str, port: &str, database: &str) -> String {
    format!(
        "postgres://{}:{}@{host}:{port}/{}?{ADDRESS_OPTIONS}",
        percent_encode(user),
        percent_encode(password),
        percent_encode(database),
    )
}

/// Takes the forms that `SQLAlchemy` knows (`postgresql+psycopg2://…`) to the one that the host knows.
fn normalise_database_uri(uri: &str) -> Result<String, Error> {
    let (scheme, rest) = uri.trim().split_once("://").unwrap_or_default();
    if !matches!(scheme.split('+').next(), Some("postgres" | "postgresql")) {
        return Err(Error::Internal(
            "SQLALCHEMY_DATABASE_URI is no postgresql:// address".to_owned(),
        ));
    }
    let separator = if rest.contains('?') { '&' } else { '?' };
    Ok(format!("postgres://{rest}{separator}{ADDRESS_OPTIONS}"))
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

/// A variable's value, blank when it is unset.
async fn value(name: &'static str) -> Result<Rc<str>, Error> {
    let known = KNOWN.with_borrow(|known| {
        let mut values = known.values.iter();
        values
            .find(|(known, _)| *known == name)
            .map(|(_, value)| Rc::clone(value))
    });
    if let Some(value) = known {
        return Ok(value);
    }
    let value = spin_sdk::variables::get(name).await;
    // The host's error may repeat the value of a variable: only its kind is kept.
    let value = value.map_err(|_| Error::Internal(format!("variable {name} cannot be resolved; see spin.toml")))?;
    let value: Rc<str> = value.into();
    KNOWN.with_borrow_mut(|known| known.values.push((name, Rc::clone(&value))));
    Ok(value)
}

/// A variable's value, blank when it is unset.
async fn text(name: &'static str) -> Result<String, Error> {
    Ok(value(name).await?.as_ref().to_owned())
}

/// A variable's value, `None` when it is blank.
async fn optional(name: &'static str) -> Result<Option<String>, Error> {
    let value = value(name).await?;
    let trimmed = value.trim();
    Ok((!trimmed.is_empty()).then(|| trimmed.to_owned()))
}

/// A variable that is a number.
async fn number<T: std::str::FromStr>(name: &'static str) -> Result<T, Error> {
    value(name)
        .await?
        .trim()
        .parse()
        .map_err(|_| Error::Internal(format!("variable {name} must be a number")))
}

/// A variable that is a yes or no.
async fn flag(name: &'static str) -> Result<bool, Error> {
    match value(name).await?.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "" | "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(Error::Internal(format!("variable {name} must be true or false"))),
    }
}

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
            let address = normalise_database_uri(given).unwrap_or_default();
            assert_eq!(address, format!("{plain}{ADDRESS_OPTIONS}"));
        }
        for given in ["mysql://u:p@h/d", "h:5432/d", "postgresqlx://h/d"] {
            assert!(normalise_database_uri(given).is_err(), "{given}");
        }
    }
}
