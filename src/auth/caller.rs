//! Who calls: the operator with the API key, a `PlanExe` user with a key of their own, or a caller without a key.
//!
//! The API key is compared here. A user's key is looked up in the database before anything else is done for the request:
//! [`Claim`] is what the key says, [`Caller`] is what is known.

use http::HeaderMap;
use sha2::{Digest as _, Sha256, digest::Output};
use subtle::ConstantTimeEq as _;

use super::{hex, presented_key, user_key_hash};
use crate::{
    config::{self, Access},
    error::Error,
};

/// The key that a request carries, hashed once for all who ask.
#[derive(Debug)]
pub struct Key {
    /// The key after [`normalise`]: no quotes, spaces or `Bearer`.
    plain: String,
    /// Hash of the key as it came.
    hash: Output<Sha256>,
    /// Hash of the plain key, when that is another.
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

    /// A name for the key in the log: the first 8 hex digits of its SHA-256.
    #[must_use]
    pub fn id(&self) -> String {
        let hash = self.plain_hash.as_ref().unwrap_or(&self.hash);
        hash.get(..4).map(hex).unwrap_or_default()
    }

    /// Whether a text is this key, however either was copied.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        normalise(text) == self.plain
    }

    /// Compares with the hash of an expected key, in constant time.
    fn is(&self, expected: &Output<Sha256>) -> bool {
        let is = |hash: &Output<Sha256>| bool::from(hash.ct_eq(expected));
        is(&self.hash) || self.plain_hash.as_ref().is_some_and(is)
    }
}

/// What the key of a request says of its caller.
#[derive(Debug)]
pub enum Claim {
    /// It says all.
    Known(Caller),
    /// A user's key, which the database must know. It is the hash by which the database knows it.
    UserKey(String),
}

/// Who calls.
#[derive(Debug)]
pub enum Caller {
    /// Holds the API key, or calls a server that asks for no key. Sees every task.
    Operator,
    /// A `PlanExe` user, whose key is valid. Sees that user's tasks.
    User(User),
    /// Is not known, for this reason. Sees what the server offers, and no task.
    Unknown(Error),
}

/// A user whose key is valid.
#[derive(Debug)]
pub struct User {
    /// The user's id, which tasks carry.
    pub id: String,
    /// Hash of the key.
    pub key_hash: String,
}

impl Claim {
    /// Reads the claim of a key. Users' keys count on servers that require them for plans, in place of the API key.
    ///
    /// # Errors
    /// [`Error::ApiKeyWrong`] and [`Error::Misconfigured`].
    pub async fn of(key: Option<&Key>, access: &Access) -> Result<Self, Error> {
        let api_key = access.api_key_hash?;
        let Some(key) = key else {
            return Ok(Self::Known(match api_key {
                Some(_) => Caller::Unknown(Error::ApiKeyMissing),
                None if access.require_user_key? => Caller::Unknown(Error::UserKeyRequired),
                None => Caller::Operator,
            }));
        };
        if api_key.is_some_and(|expected| key.is(&expected)) {
            return Ok(Self::Known(Caller::Operator));
        }
        match api_key {
            _ if access.require_user_key? => {
                let salt = config::api_key_secret().await?;
                Ok(Self::UserKey(user_key_hash(&key.plain, &salt)))
            }
            Some(_) => Err(Error::ApiKeyWrong),
            None => Ok(Self::Known(Caller::Operator)),
        }
    }
}

impl Caller {
    /// Lets known callers look at what the server offers, and others where that is open.
    ///
    /// # Errors
    /// [`Error::ApiKeyMissing`], [`Error::UserKeyRequired`], [`Error::Misconfigured`], and why a user's key could not be
    /// looked up.
    pub fn may_look(&self, access: &Access) -> Result<(), Error> {
        match self {
            Self::Unknown(error) if !access.open_lists? => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Lets known callers call tools, and others where only tasks are guarded.
    ///
    /// # Errors
    /// [`Error::ApiKeyMissing`].
    pub fn may_call(&self) -> Result<(), Error> {
        match self {
            Self::Unknown(error @ Error::ApiKeyMissing) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Lets known callers reach tasks.
    ///
    /// # Errors
    /// [`Error::ApiKeyMissing`], [`Error::UserKeyRequired`], and why a user's key could not be looked up.
    pub fn may_reach_tasks(&self) -> Result<(), Error> {
        match self {
            Self::Unknown(error) => Err(error.clone()),
            Self::Operator | Self::User(_) => Ok(()),
        }
    }

    /// The owner whose tasks the caller sees, as the database has it; `None` for the operator, who sees all. For an
    /// unknown caller a name that no owner has.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        match self {
            Self::Operator => None,
            Self::User(user) => Some(&user.id),
            Self::Unknown(_) => Some(""),
        }
    }

    /// Hash of the user's key.
    #[must_use]
    pub fn user_key_hash(&self) -> Option<&str> {
        match self {
            Self::User(user) => Some(&user.key_hash),
            Self::Operator | Self::Unknown(_) => None,
        }
    }

    /// Whether an error says that this caller has sent no key where one is needed. HTTP then answers 401 in place of the
    /// call's result.
    #[must_use]
    pub fn lacks_key(&self, error: &Error) -> bool {
        matches!(self, Self::Unknown(_)) && matches!(error, Error::ApiKeyMissing | Error::UserKeyRequired)
    }
}

/// A key without what copying adds to it: quotes of all kinds around it, `Bearer` in front of it, line ends, spaces,
/// characters without width.
#[must_use]
pub fn normalise(key: &str) -> String {
    // Nearly every key: letters, digits and what joins them.
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

/// Control characters, line ends among them, and characters that take no space.
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
            Key::presented(&headers).is_some_and(|key| key.is(&Sha256::digest(expected)))
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
