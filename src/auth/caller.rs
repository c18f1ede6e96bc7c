//! The caller of a request: the operator with the API key, a `PlanExe` user with a user key, or a caller without a key.
//!
//! The API key is compared here. A user key is looked up in the database before anything else is done for the request:
//! [`Claim`] is the key before that, [`Caller`] the result.

use http::HeaderMap;
use sha2::{Digest as _, Sha256, digest::Output};
use subtle::ConstantTimeEq as _;

use super::{hex, presented_key, user_key_hash};
use crate::{
    config::{self, Access},
    error::Error,
};

/// The key of a request, hashed once.
#[derive(Debug)]
pub struct Key {
    /// The key after [`normalise`]: no quotes, spaces or `Bearer`.
    plain: String,
    /// Hash of the key as it was sent.
    hash: Output<Sha256>,
    /// Hash of the plain key, when it differs from the key as it was sent.
    plain_hash: Option<Output<Sha256>>,
}

impl Key {
    /// The key in the headers of a request, if it has one.
    #[must_use]
    pub fn presented(headers: &HeaderMap) -> Option<Self> {
        let presented = presented_key(headers)?;
        let plain = normalise(&String::from_utf8_lossy(presented));
        Some(Self {
            hash: Sha256::digest(presented),
            plain_hash: (plain.as_bytes() != presented).then(|| Sha256::digest(&plain)),
            plain,
        })
    }

    /// An identifier of the key for the log: the first 8 hex digits of its SHA-256.
    #[must_use]
    pub fn id(&self) -> String {
        let hash = self.plain_hash.as_ref().unwrap_or(&self.hash);
        hash.get(..4).map(hex).unwrap_or_default()
    }

    /// Whether a text is this key, after both have been normalised.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        normalise(text) == self.plain
    }

    /// Compares with the hash of an expected key, in constant time.
    fn matches(&self, expected: &Output<Sha256>) -> bool {
        let equals = |hash: &Output<Sha256>| bool::from(hash.ct_eq(expected));
        equals(&self.hash) || self.plain_hash.as_ref().is_some_and(equals)
    }
}

/// The caller that a key claims, before a user key is verified.
#[derive(Debug)]
pub enum Claim {
    /// The caller is known without the database.
    Known(Caller),
    /// A user key, which has to be looked up.
    UserKey {
        /// Its hash as the database stores it.
        hash: String,
        /// What is true where only today's PlanExe takes user keys and the database is older; `None` where users' keys are
        /// taken on every schema.
        otherwise: Option<Result<Caller, Error>>,
    },
}

/// The caller of a request.
#[derive(Debug)]
pub enum Caller {
    /// Has the API key, or calls a server without keys. Sees all tasks.
    Operator,
    /// A `PlanExe` user with a valid key. Sees only their own tasks.
    User(User),
    /// An unknown caller, for this reason: no key, or a user key that could not be looked up. Sees no tasks.
    Unknown(Error),
}

/// A user whose key is valid.
#[derive(Debug)]
pub struct User {
    /// The user's id, as tasks refer to it.
    pub id: String,
    /// Hash of the key.
    pub key_hash: String,
}

/// What the keys of PlanExe's users begin with.
const USER_KEY_PREFIX: &str = "pex_";

impl Claim {
    /// Determines the claim of a key. User keys are accepted as an alternative to the API key: on servers that require them
    /// for plans, and with the schema of today's PlanExe on every server.
    ///
    /// # Errors
    /// [`Error::ApiKeyWrong`] and [`Error::Misconfigured`].
    pub async fn from_key(key: Option<&Key>, access: &Access) -> Result<Self, Error> {
        let api_key = access.api_key_hash?;
        let Some(key) = key else {
            let needs_key = match config::require_auth().await? {
                Some(needs_key) => needs_key,
                None => api_key.is_some(),
            };
            return Ok(Self::Known(if needs_key {
                Caller::Unknown(Error::ApiKeyMissing)
            } else if config::require_user_key().await? {
                Caller::Unknown(Error::UserKeyRequired)
            } else {
                Caller::Operator
            }));
        };
        if api_key.is_some_and(|expected| key.matches(&expected)) {
            return Ok(Self::Known(Caller::Operator));
        }
        let otherwise = match api_key {
            _ if config::require_user_key().await? => None,
            None if config::require_auth().await? == Some(true) => None,
            Some(_) => Some(Err(Error::ApiKeyWrong)),
            None => Some(Ok(Caller::Operator)),
        };
        match otherwise {
            // Other texts cannot be user keys, and are not looked up.
            Some(known) if !key.plain.starts_with(USER_KEY_PREFIX) => known.map(Self::Known),
            otherwise => Ok(Self::UserKey {
                hash: user_key_hash(&key.plain, &config::api_key_secret().await?),
                otherwise,
            }),
        }
    }
}

impl Caller {
    /// Allows known callers to read the lists; allows others only where the lists are open.
    ///
    /// # Errors
    /// [`Error::ApiKeyMissing`], [`Error::UserKeyRequired`], [`Error::Misconfigured`], and why a user's key could not be
    /// looked up.
    pub async fn may_list(&self) -> Result<(), Error> {
        match self {
            Self::Unknown(error) if !config::open_lists().await? => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Refuses callers without a key where the server has an API key. Tools that need a user key check for it themselves.
    ///
    /// # Errors
    /// [`Error::ApiKeyMissing`].
    pub fn may_call(&self) -> Result<(), Error> {
        match self {
            Self::Unknown(error @ Error::ApiKeyMissing) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Allows known callers to access tasks.
    ///
    /// # Errors
    /// [`Error::ApiKeyMissing`], [`Error::UserKeyRequired`], and why a user's key could not be looked up.
    pub fn may_reach_tasks(&self) -> Result<(), Error> {
        match self {
            Self::Unknown(error) => Err(error.clone()),
            Self::Operator | Self::User(_) => Ok(()),
        }
    }

    /// The owner of the tasks that the caller sees, as stored in the database; `None` for the operator, who sees all. For an
    /// unknown caller a value that matches no owner.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        match self {
            Self::Operator => None,
            Self::User(user) => Some(&user.id),
            Self::Unknown(_) => Some(""),
        }
    }

    /// Hash of the key, if the caller is a user.
    #[must_use]
    pub fn user_key_hash(&self) -> Option<&str> {
        match self {
            Self::User(user) => Some(&user.key_hash),
            Self::Operator | Self::Unknown(_) => None,
        }
    }

    /// Whether an error means that the caller sent no key where one is needed. The answer is then 401 instead of a result.
    #[must_use]
    pub fn lacks_key(&self, error: &Error) -> bool {
        matches!(self, Self::Unknown(_)) && matches!(error, Error::ApiKeyMissing | Error::UserKeyRequired)
    }
}

/// Removes what copying adds to a key: quotes around it, `Bearer` before it, line ends, spaces and invisible characters.
#[must_use]
pub fn normalise(key: &str) -> String {
    // Fast path for nearly every key.
    if key
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-_.~+/=".contains(&b))
    {
        return key.to_owned();
    }
    let visible: String = key.chars().filter(|c| !is_invisible(*c)).collect();
    let mut rest = visible.as_str();
    loop {
        let trimmed = rest.trim_matches(|c: char| c.is_whitespace() || is_quote(c));
        let bare = match trimmed.split_at_checked("bearer".len()) {
            Some((scheme, key))
                if scheme.eq_ignore_ascii_case("bearer") && key.starts_with([' ', '\t', ':', '\u{a0}']) =>
            {
                key.trim_start_matches(':')
            }
            _ => trimmed,
        };
        if bare.len() == rest.len() {
            return bare.to_owned();
        }
        rest = bare;
    }
}

fn is_quote(c: char) -> bool {
    matches!(
        c,
        '"' | '\'' | '`' | '´' | '\u{2018}'..='\u{201f}' | '«' | '»' | '‹' | '›' | '＂' | '＇' | '「' | '」'
    )
}

/// Control characters including line ends, and characters without width.
fn is_invisible(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copied_keys_lose_what_copying_added() {
        for copied in [
            "pex_abc",
            " pex_abc ",
            "\"pex_abc\"",
            "'pex_abc'",
            "`pex_abc`",
            "“pex_abc”",
            "„pex_abc“",
            "«pex_abc»",
            "Bearer pex_abc",
            "bearer  pex_abc\r\n",
            "\"Bearer pex_abc\"",
            "Bearer \"pex_abc\"",
            "Bearer: pex_abc",
            "Bearer Bearer pex_abc",
            "\u{feff}pex_abc\u{200b}",
            "pex_\r\nabc",
            "\u{a0}pex_abc\u{a0}",
            "pex_\u{ad}abc",
        ] {
            assert_eq!(normalise(copied), "pex_abc", "{copied:?}");
        }
        for (given, kept) in [
            ("", ""),
            ("\"\"", ""),
            ("Bearer", "Bearer"),
            ("bearerpex", "bearerpex"),
            ("a b", "a b"),
        ] {
            assert_eq!(normalise(given), kept, "{given:?}");
        }
    }

    #[test]
    fn the_id_of_a_key_is_short_and_not_the_key() {
        let id = |key| {
            let mut headers = HeaderMap::new();
            headers.insert("x-api-key", http::HeaderValue::from_static(key));
            Key::presented(&headers).map(|key| key.id())
        };
        assert_eq!(id(""), None);
        for copied in ["secret", "\"secret\"", " secret"] {
            assert_eq!(id(copied).as_deref(), Some("2bb80d53"), "{copied}");
        }
    }

    #[test]
    fn the_operators_key_is_known_as_it_is_and_as_it_is_copied() {
        let is = |presented, expected| {
            let mut headers = HeaderMap::new();
            headers.insert("x-api-key", http::HeaderValue::from_static(presented));
            Key::presented(&headers).is_some_and(|key| key.matches(&Sha256::digest(expected)))
        };
        for (presented, expected, same) in [
            ("secret", "secret", true),
            ("\"secret\"", "secret", true),
            ("\"secret\"", "\"secret\"", true),
            ("secret", "\"secret\"", false),
            ("\"", "\"\"", false),
            ("Secret", "secret", false),
            ("secret1", "secret", false),
        ] {
            assert_eq!(is(presented, expected), same, "{presented} for {expected}");
        }
    }

    #[test]
    fn an_unknown_caller_is_refused_where_a_key_is_needed() {
        for (error, may_call, lacks_key) in [
            (Error::ApiKeyMissing, false, true),
            (Error::UserKeyRequired, true, true),
            (Error::DatabaseUnavailable("down".to_owned()), true, false),
        ] {
            let (code, caller) = (error.code(), Caller::Unknown(error));
            assert_eq!(caller.may_call().is_ok(), may_call, "{code}");
            let refused = caller.may_reach_tasks();
            assert_eq!(refused.as_ref().map_err(Error::code), Err(code));
            assert_eq!(
                refused.is_err_and(|error| caller.lacks_key(&error)),
                lacks_key,
                "{code}"
            );
            assert_eq!(caller.owner(), Some(""), "not the operator's");
        }
        let user = Caller::User(User {
            id: "u".to_owned(),
            key_hash: "h".to_owned(),
        });
        for known in [Caller::Operator, user] {
            assert!(known.may_call().is_ok() && known.may_reach_tasks().is_ok());
            assert!(!known.lacks_key(&Error::UserKeyRequired), "{known:?} has sent one");
        }
    }
}
