//! Settings: Spin application variables. A change takes effect within a second.
//!
//! A blank value means the default. Each setting is read where it is needed, so that a request pays only for those that
//! it uses, and one that cannot be used harms only the calls that depend on it.

pub(crate) mod address;

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use futures::join;
use sha2::{Digest as _, Sha256, digest::Output};

use crate::{clock, error::Misconfigured, host};

/// How long values are used before the host is asked for them again. Each question is a call out of the instance, and
/// together they would cost an answer more than its statement costs.
const FRESH: Duration = Duration::from_secs(1);

/// How long the host may take for a value: its provider may be a service elsewhere.
const LIMIT: Duration = Duration::from_secs(2);

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Its variable in `spin.toml`.
    variable: &'static str,
    /// Its value where none is set.
    default: &'static str,
}

/// The settings, each as a constant and all of them in `ALL`.
macro_rules! settings {
    ($($name:ident: $variable:literal = $default:literal;)*) => {
        $(const $name: Setting = Setting { variable: $variable, default: $default };)*
        #[cfg(test)]
        const ALL: &[Setting] = &[$($name),*];
    };
}

settings! {
    API_KEY: "mcp_api_key" = "";
    PUBLIC_BASE_URL: "mcp_public_base_url" = "";
    CORS_ORIGINS: "mcp_cors_origins" = "http://localhost,http://127.0.0.1";
    MAX_BODY_BYTES: "mcp_max_body_bytes" = "1048576";
    DOWNLOAD_SECRET: "mcp_download_secret" = "";
    REQUIRE_AUTH: "mcp_require_auth" = "";
    DOWNLOAD_TOKEN_SECRET: "download_token_secret" = "";
    REQUIRE_USER_KEY: "mcp_require_user_key" = "false";
    OPEN_LISTS: "mcp_open_lists" = "true";
    TOOLS: "mcp_tools" = "task";
    REPEAT_WINDOW: "mcp_repeat_window_seconds" = "180";
    DEDUP_WINDOW: "dedup_window_seconds" = "600";
    DOWNLOAD_TTL: "download_token_ttl" = "900";
    CREDITS_PER_PLAN: "credits_per_plan" = "1";
    API_KEY_SECRET: "api_key_secret" = "dev-api-key-secret";
    DATABASE_URI: "sqlalchemy_database_uri" = "";
    POSTGRES_HOST: "postgres_host" = "database_postgres";
    POSTGRES_PORT: "postgres_port" = "5432";
    POSTGRES_DB: "postgres_db" = "planexe";
    POSTGRES_USER: "postgres_user" = "planexe";
    POSTGRES_PASSWORD: "postgres_password" = "planexe";
    WORKER_PLAN_URL: "worker_plan_url" = "http://worker_plan:8000";
}

impl Setting {
    /// What counts for a value: itself, or the default for a blank one.
    fn or_default(self, value: &str) -> &str {
        if value.trim().is_empty() { self.default } else { value }
    }

    /// The error for a value that cannot be used, and why.
    fn misconfigured(self, why: &'static str) -> Misconfigured {
        Misconfigured {
            variable: self.variable,
            why,
        }
    }
}

/// What this instance knows of the settings, and what it has made of them.
#[derive(Default)]
struct Known {
    since: Option<Instant>,
    values: Vec<(Setting, Result<Rc<str>, Misconfigured>)>,
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

/// Settings that nearly every request needs.
#[derive(Debug)]
pub struct Access {
    /// The API key of the server; `None` leaves it open. Also `None` when it cannot be resolved: see `api_key_hash`.
    pub api_key: Option<String>,
    /// SHA-256 of it: keys are compared by their hashes, so that not even the length shows.
    pub api_key_hash: Result<Option<Output<Sha256>>, Misconfigured>,
    /// Upper bound of a request body, in bytes. The default where the setting cannot be used.
    pub max_body_bytes: u64,
    /// Why the bound of the setting does not hold.
    pub max_body_fault: Option<Misconfigured>,
}

impl Access {
    /// Reads the group.
    pub async fn read() -> Rc<Self> {
        if let Some(access) = KNOWN.with_borrow(|known| known.access.clone()) {
            return access;
        }
        let (api_key, max_body_bytes) = join!(optional(API_KEY), number(MAX_BODY_BYTES));
        let access = Rc::new(Self {
            api_key_hash: api_key
                .as_ref()
                .map(|key| key.as_deref().map(Sha256::digest))
                .map_err(|error| *error),
            api_key: api_key.ok().flatten(),
            max_body_bytes: max_body_bytes.unwrap_or_else(|_| MAX_BODY_BYTES.default.parse().unwrap_or_default()),
            max_body_fault: max_body_bytes.err(),
        });
        KNOWN.with_borrow_mut(|known| known.access = Some(Rc::clone(&access)));
        access
    }
}

/// Origins that web pages may call from, separated by commas.
///
/// # Errors
/// When the host cannot resolve the setting.
pub async fn cors_origins() -> Result<Rc<str>, Misconfigured> {
    text(CORS_ORIGINS).await
}

/// Whether plans are made only for users, who then call with keys of their own.
///
/// # Errors
/// Where the setting cannot be resolved or is not a yes or no.
pub async fn require_user_key() -> Result<bool, Misconfigured> {
    flag(REQUIRE_USER_KEY).await
}

/// Whether handshake and lists are answered without a key. Errors as those of [`require_user_key`].
pub async fn open_lists() -> Result<bool, Misconfigured> {
    flag(OPEN_LISTS).await
}

/// The address at which people and clients reach this server; `None` takes scheme and host of the request.
///
/// # Errors
/// When the host cannot resolve the setting.
pub async fn public_base_url() -> Result<Option<String>, Misconfigured> {
    optional(PUBLIC_BASE_URL).await
}

/// Key of the signatures of download links; `None` derives it from another secret. Its older name wins over PlanExe's.
///
/// # Errors
/// When the host cannot resolve a setting.
pub async fn download_secret() -> Result<Option<String>, Misconfigured> {
    match optional(DOWNLOAD_SECRET).await? {
        None => optional(DOWNLOAD_TOKEN_SECRET).await,
        secret => Ok(secret),
    }
}

/// Whether callers need a key; `None`: they do where the server has an API key.
///
/// # Errors
/// When the host cannot resolve the setting, it is not a yes or no, or no key can exist.
pub async fn require_auth() -> Result<Option<bool>, Misconfigured> {
    if optional(REQUIRE_AUTH).await?.is_none() {
        return Ok(None);
    }
    let needs_key = flag(REQUIRE_AUTH).await?;
    let has_keys = optional(API_KEY).await?.is_some() || *value(API_KEY_SECRET).await? != *API_KEY_SECRET.default;
    if needs_key && !has_keys {
        return Err(
            REQUIRE_AUTH.misconfigured("is true, and neither PLANEXE_MCP_API_KEY nor PLANEXE_API_KEY_SECRET is set")
        );
    }
    Ok(Some(needs_key))
}

/// Which tools are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tools {
    /// Those of February 2026, `task_*`.
    Task,
    /// Those of today, `plan_*`.
    Plan,
    /// First `task_*`, then `plan_*`.
    Both,
}

/// Which tools are listed; the others can be called all the same.
///
/// # Errors
/// When the host cannot resolve the setting or it names no such choice.
pub async fn tools() -> Result<Tools, Misconfigured> {
    match value(TOOLS).await?.trim().to_ascii_lowercase().as_str() {
        "task" => Ok(Tools::Task),
        "plan" => Ok(Tools::Plan),
        "both" => Ok(Tools::Both),
        _ => Err(TOOLS.misconfigured("must be task, plan or both")),
    }
}

/// How long, in seconds, the same prompt of the same owner is the same request; 0 switches that off.
///
/// # Errors
/// When the host cannot resolve the setting or it is not a number of seconds, at most a week.
pub async fn repeat_window() -> Result<f64, Misconfigured> {
    seconds(REPEAT_WINDOW).await
}

/// How long, in seconds, the same prompt of the same owner is the same call of `plan_create`; 0 switches that off.
///
/// # Errors
/// As [`repeat_window`].
pub async fn dedup_window() -> Result<f64, Misconfigured> {
    let text = text(DEDUP_WINDOW).await?;
    // PlanExe's own server takes a negative number for off.
    if text
        .strip_prefix('-')
        .is_some_and(|digits| digits.parse::<u32>().is_ok())
    {
        return Ok(0.0);
    }
    seconds(DEDUP_WINDOW).await
}

/// How long a download link usually holds, in seconds.
///
/// # Errors
/// As [`repeat_window`].
pub async fn link_lifetime() -> Result<u64, Misconfigured> {
    Ok(seconds(DOWNLOAD_TTL).await? as u64)
}

/// Credits that a plan costs a user.
///
/// # Errors
/// When the host cannot resolve the setting or it is not a price.
pub async fn credits_per_plan() -> Result<i32, Misconfigured> {
    i32::try_from(number(CREDITS_PER_PLAN).await?).map_err(|_| CREDITS_PER_PLAN.misconfigured("is too large"))
}

/// Salt of the hashes of user keys, shared with PlanExe's web frontend, which takes it with all its spaces.
///
/// # Errors
/// When the host cannot resolve the setting.
pub async fn api_key_secret() -> Result<Rc<str>, Misconfigured> {
    value(API_KEY_SECRET).await
}

/// The address of the database, `postgres://…`, as the host's Postgres interface takes it.
///
/// # Errors
/// When the host cannot resolve a setting or `SQLALCHEMY_DATABASE_URI` is not a Postgres address.
pub async fn database_address() -> Result<Rc<str>, Misconfigured> {
    if let Some(address) = KNOWN.with_borrow(|known| known.database_address.clone()) {
        return Ok(address);
    }
    let address: Rc<str> = match optional(DATABASE_URI).await? {
        Some(uri) => address::normalise_database_uri(&uri)
            .ok_or_else(|| DATABASE_URI.misconfigured("is no postgresql:// address"))?,
        None => address::database_uri(
            &text(POSTGRES_USER).await?,
            &value(POSTGRES_PASSWORD).await?,
            &text(POSTGRES_HOST).await?,
            &text(POSTGRES_PORT).await?,
            &text(POSTGRES_DB).await?,
        ),
    }
    .into();
    KNOWN.with_borrow_mut(|known| known.database_address = Some(Rc::clone(&address)));
    Ok(address)
}

/// The base address of `worker_plan`, without a slash at the end.
///
/// # Errors
/// When the host cannot resolve the setting.
pub async fn worker_plan_url() -> Result<String, Misconfigured> {
    Ok(text(WORKER_PLAN_URL).await?.trim_end_matches('/').to_owned())
}

/// The value of a setting, with its spaces; the default where it is blank. Every other accessor reads through this one.
async fn value(setting: Setting) -> Result<Rc<str>, Misconfigured> {
    let find = |known: &Known| known.values.iter().find(|(known, _)| *known == setting).cloned();
    if let Some((_, value)) = KNOWN.with_borrow(find) {
        return value;
    }
    let value = match Box::pin(clock::within(LIMIT, host::variable(setting.variable))).await {
        Some(Some(value)) => Ok(setting.or_default(&value).into()),
        Some(None) => Err(setting.misconfigured("cannot be resolved: see spin.toml and the variables provider")),
        None => Err(setting.misconfigured("was not resolved within 2 seconds: see the variables provider")),
    };
    KNOWN.with_borrow_mut(|known| known.values.push((setting, value.clone())));
    value
}

/// The value of a setting without spaces around it.
async fn text(setting: Setting) -> Result<Rc<str>, Misconfigured> {
    Ok(value(setting).await?.trim().into())
}

/// The value of a setting without spaces around it; `None` when it has none.
async fn optional(setting: Setting) -> Result<Option<String>, Misconfigured> {
    let value = value(setting).await?;
    let value = value.trim();
    Ok((!value.is_empty()).then(|| value.to_owned()))
}

/// A setting that is a whole number.
async fn number(setting: Setting) -> Result<u64, Misconfigured> {
    let value = value(setting).await?;
    value
        .trim()
        .parse()
        .map_err(|_| setting.misconfigured("must be a whole number, not negative"))
}

/// A setting that is a time, at most a week.
async fn seconds(setting: Setting) -> Result<f64, Misconfigured> {
    let seconds = u32::try_from(number(setting).await?).unwrap_or(u32::MAX);
    if seconds > 7 * 24 * 3600 {
        return Err(setting.misconfigured("must be at most 604800 seconds"));
    }
    Ok(seconds.into())
}

/// A setting that is a yes or no.
async fn flag(setting: Setting) -> Result<bool, Misconfigured> {
    match value(setting).await?.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(setting.misconfigured("must be true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_manifest() {
        let manifest = include_str!("../spin.toml");
        for setting in ALL {
            let Setting { variable, default } = setting;
            let declared = format!("\n{variable} = {{ default = \"{default}\"");
            assert_eq!(manifest.matches(&declared).count(), 1, "{variable}");
            let handed_on = format!("{variable} = \"{{{{ {variable} }}}}\"");
            assert!(manifest.contains(&handed_on), "{variable}");
        }
        assert_eq!(manifest.matches("{ default = ").count(), ALL.len());
    }

    #[test]
    fn a_blank_value_is_the_default() {
        for setting in ALL {
            for blank in ["", " ", "\t\r\n"] {
                assert_eq!(setting.or_default(blank), setting.default, "{setting:?}");
            }
            assert_eq!(setting.or_default(" a "), " a ", "{setting:?}");
        }
    }

    #[test]
    fn settings_are_named_as_in_the_environment() {
        for (setting, text) in [
            (REPEAT_WINDOW, "PLANEXE_MCP_REPEAT_WINDOW_SECONDS is wrong"),
            (DATABASE_URI, "SQLALCHEMY_DATABASE_URI is wrong"),
        ] {
            assert_eq!(setting.misconfigured("is wrong").to_string(), text);
        }
    }
}
