//! Who calls: the operator with the API key, a `PlanExe` user with a key of their own, or somebody without a key.
//!
//! A user's key is checked by the statement that does the caller's work, so that checking costs no statement of its
//! own. Until then the caller is a claim, and the routes send no answer before it has been checked. A caller without a
//! key is noted as refused where a call needs one, and the routes answer that in place of the call's result.

use std::cell::Cell;

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
    /// Without what copying adds to it.
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

/// Who calls.
#[derive(Debug)]
pub enum Caller {
    /// Holds the API key, or calls a server that asks for no key. Sees every task.
    Operator,
    /// Says to be a user. Sees that user's tasks.
    User(UserClaim),
    /// Has sent no key to a server that asks for one. Sees what the server offers, and no task.
    Anonymous(Anonymous),
}

/// A caller without a key.
#[derive(Debug)]
pub struct Anonymous {
    missing: MissingKey,
    refused: Cell<bool>,
}

/// The key that a server asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MissingKey {
    /// The API key, or one that is accepted in its place.
    Api,
    /// A user's key.
    User,
}

/// The claim to be a user.
#[derive(Debug)]
pub struct UserClaim {
    key_hash: String,
    standing: Cell<Standing>,
}

/// What is known of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No statement has looked yet.
    Open,
    /// The caller may have the answer.
    Valid,
    /// There is no such user, the key is revoked, or there was none where a call needed one.
    Refused,
    /// A statement tried to look and the database did not answer.
    Unanswered,
}

impl Caller {
    /// Tells by its key who sends a request. Users' keys count on servers that require them for plans, in place of the
    /// API key.
    ///
    /// # Errors
    /// [`Error::ApiKeyWrong`] and [`Error::Misconfigured`].
    pub async fn identify(key: Option<&Key>, access: &Access) -> Result<Self, Error> {
        let api_key = access.api_key_hash?;
        let Some(key) = key else {
            let missing = match api_key {
                Some(_) => MissingKey::Api,
                None if access.require_user_key? => MissingKey::User,
                None => return Ok(Self::Operator),
            };
            let refused = Cell::new(false);
            return Ok(Self::Anonymous(Anonymous { missing, refused }));
        };
        if api_key.is_some_and(|expected| key.is(&expected)) {
            return Ok(Self::Operator);
        }
        match api_key {
            _ if access.require_user_key? => Ok(Self::User(UserClaim {
                key_hash: user_key_hash(&key.plain, &config::api_key_secret().await?),
                standing: Cell::new(Standing::Open),
            })),
            Some(_) => Err(Error::ApiKeyWrong),
            None => Ok(Self::Operator),
        }
    }

    /// Lets callers with a key look at what the server offers, and those without one where that is open.
    ///
    /// # Errors
    /// [`Error::ApiKeyMissing`], [`Error::UserKeyRequired`], [`Error::Misconfigured`].
    pub fn may_look(&self, access: &Access) -> Result<(), Error> {
        match self {
            Self::Anonymous(caller) if !access.open_lists? => caller.refuse(),
            _ => Ok(()),
        }
    }

    /// Lets callers with a key call tools, and those without one where only tasks are guarded.
    ///
    /// # Errors
    /// [`Error::ApiKeyMissing`].
    pub fn may_call(&self) -> Result<(), Error> {
        match self {
            Self::Anonymous(caller) if caller.missing == MissingKey::Api => caller.refuse(),
            _ => Ok(()),
        }
    }

    /// Lets callers with a key reach tasks.
    ///
    /// # Errors
    /// [`Error::ApiKeyMissing`], [`Error::UserKeyRequired`].
    pub fn may_reach_tasks(&self) -> Result<(), Error> {
        match self {
            Self::Anonymous(caller) => caller.refuse(),
            Self::Operator | Self::User(_) => Ok(()),
        }
    }

    /// The hash under which the database knows the caller's key; `None` for the operator. Of a caller without a key,
    /// one that no key has: they see no task even where nothing else refuses them.
    #[must_use]
    pub fn key_hash(&self) -> Option<&str> {
        match self {
            Self::Operator => None,
            Self::User(claim) => Some(&claim.key_hash),
            Self::Anonymous(_) => Some(""),
        }
    }

    /// What is known of the caller.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self {
            Self::Operator => Standing::Valid,
            Self::User(claim) => claim.standing.get(),
            Self::Anonymous(caller) if caller.refused.get() => Standing::Refused,
            Self::Anonymous(_) => Standing::Valid,
        }
    }

    /// What a refused caller is told.
    #[must_use]
    pub fn refusal(&self) -> Error {
        match self {
            Self::Anonymous(caller) => caller.error(),
            Self::Operator | Self::User(_) => Error::ApiKeyWrong,
        }
    }

    /// Takes what a statement has found out of the claim: whether there is such a user.
    ///
    /// # Errors
    /// [`Error::ApiKeyWrong`] when there is no such user, also when there was one a moment ago.
    pub fn settle(&self, valid: bool) -> Result<(), Error> {
        if let Self::User(claim) = self {
            claim
                .standing
                .set(if valid { Standing::Valid } else { Standing::Refused });
        }
        if valid { Ok(()) } else { Err(Error::ApiKeyWrong) }
    }

    /// Notes that the database did not answer the question.
    pub fn unanswered(&self) {
        if let Self::User(claim) = self
            && claim.standing.get() == Standing::Open
        {
            claim.standing.set(Standing::Unanswered);
        }
    }
}

impl Anonymous {
    /// Notes that a call needed the key.
    fn refuse(&self) -> Result<(), Error> {
        self.refused.set(true);
        Err(self.error())
    }

    fn error(&self) -> Error {
        match self.missing {
            MissingKey::Api => Error::ApiKeyMissing,
            MissingKey::User => Error::UserKeyRequired,
        }
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
    fn a_caller_without_a_key_is_refused_where_one_is_needed() {
        for (missing, may_call, code) in [
            (MissingKey::Api, false, "API_KEY_MISSING"),
            (MissingKey::User, true, "USER_API_KEY_REQUIRED"),
        ] {
            let refused = Cell::new(false);
            let caller = Caller::Anonymous(Anonymous { missing, refused });
            assert_eq!(caller.standing(), Standing::Valid);
            assert_eq!(caller.may_call().is_ok(), may_call);
            assert_eq!(caller.standing() == Standing::Valid, may_call);
            assert_eq!(caller.may_reach_tasks().map_err(|error| error.code()), Err(code));
            assert_eq!((caller.standing(), caller.refusal().code()), (Standing::Refused, code));
            assert_eq!(caller.key_hash(), Some(""), "not the operator's");
        }
        for known in [
            Caller::Operator,
            Caller::User(UserClaim {
                key_hash: "h".to_owned(),
                standing: Cell::new(Standing::Open),
            }),
        ] {
            assert!(known.may_call().is_ok() && known.may_reach_tasks().is_ok());
        }
    }

    #[test]
    fn a_claim_holds_once_it_is_settled() {
        let claim = Caller::User(UserClaim {
            key_hash: "h".to_owned(),
            standing: Cell::new(Standing::Open),
        });
        claim.unanswered();
        assert_eq!(claim.standing(), Standing::Unanswered);
        assert!(claim.settle(true).is_ok());
        claim.unanswered();
        assert_eq!(claim.standing(), Standing::Valid);
        assert!(matches!(claim.settle(false), Err(Error::ApiKeyWrong)));
        assert_eq!(claim.standing(), Standing::Refused);
        assert_eq!(Caller::Operator.standing(), Standing::Valid);
    }
}
