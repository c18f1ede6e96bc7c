//! Authentication and access: API keys in three headers, users' keys, signed download links, allowed origins.

pub mod caller;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{
    clock, config,
    error::{Error, LinkFault, Misconfigured},
    plan::TaskId,
};

/// Lifetime of a link to a file that only `worker_plan` has, in seconds: it deletes the files of a run when the run has
/// ended.
pub const UNSTORED_LIFETIME: u64 = 10;

/// The key that a request carries: `Authorization: Bearer <key>` (RFC 6750), `X-API-Key: <key>` or `API_KEY: <key>`.
fn presented_key(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.as_bytes().split_at_checked(b"Bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then(|| key.trim_ascii())
    });
    let plain = || {
        ["x-api-key", "api-key", "api_key", "x_api_key"]
            .iter()
            .find_map(|name| headers.get(*name))
            .map(|v| v.as_bytes().trim_ascii())
    };
    bearer.or_else(plain).filter(|key| !key.is_empty())
}

/// Makes and checks the signatures of download links.
///
/// A signature is the hex HMAC-SHA256 of the task's id, the file's name and the expiry. It is valid for that file until that
/// time.
#[derive(Debug)]
pub struct LinkKey([u8; 32]);

impl LinkKey {
    /// Derives the key from a secret, so that signatures of links are not valid for anything else.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(hmac(secret.as_bytes(), &[b"planexe-mcp download links"]))
    }

    /// The key from the settings: derived from the download secret, else from the API key, else from the secret of users'
    /// keys. Without any of them downloads need no signature.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub async fn configured(api_key: Option<&str>) -> Result<Self, Misconfigured> {
        Ok(match (config::download_secret().await?, api_key) {
            (Some(secret), _) => Self::new(&secret),
            (None, Some(api_key)) => Self::new(api_key),
            (None, None) if config::require_user_key().await? || config::require_auth().await? == Some(true) => {
                Self::new(&config::api_key_secret().await?)
            }
            (None, None) => Self::new(""),
        })
    }

    /// The query of a link to `file` of the task `id` that is valid until `expires` (Unix time).
    #[must_use]
    pub fn query(&self, id: &str, file: &str, expires: u64) -> String {
        format!(
            "expires={expires}&signature={}",
            hex(&self.signature(id, file, &expires.to_string()))
        )
    }

    /// Checks the query of a request for `file` of the task `id`. `None` when it has no signature.
    #[must_use]
    pub fn check(&self, query: &str, id: &str, file: &str, now: u64) -> Option<Result<(), LinkFault>> {
        let value = |name: &str| {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        };
        let signature = value("signature")?;
        let expires = value("expires").unwrap_or_default();
        // The signature first: without a valid one the expiry means nothing.
        let expected = hex(&self.signature(id, file, expires));
        if !bool::from(expected.as_bytes().ct_eq(signature.as_bytes())) {
            return Some(Err(LinkFault::Signature));
        }
        let is_valid = expires.parse::<u64>().is_ok_and(|expires| now <= expires);
        Some(if is_valid { Ok(()) } else { Err(LinkFault::Expired) })
    }

    fn signature(&self, id: &str, file: &str, expires: &str) -> [u8; 32] {
        // The lengths make the concatenation unambiguous.
        let lengths = format!("{}:{}:{}:", id.len(), file.len(), expires.len());
        hmac(
            &self.0,
            &[lengths.as_bytes(), id.as_bytes(), file.as_bytes(), expires.as_bytes()],
        )
    }
}

/// The address of a request, as Spin reports it.
const SPIN_FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");

/// The origin under which the caller reached the server. Parsed on demand, since few requests create a link.
#[derive(Debug)]
pub struct RequestOrigin {
    /// The address of the request as the host reports it.
    reported: Option<HeaderValue>,
    uri: Uri,
}

impl RequestOrigin {
    /// The origin of a request.
    #[must_use]
    pub fn from_request(headers: &HeaderMap, uri: &Uri) -> Self {
        Self {
            // A client may send the header too; the host appends its own last.
            reported: headers.get_all(&SPIN_FULL_URL).iter().next_back().cloned(),
            uri: uri.clone(),
        }
    }

    /// Scheme and host, as in `https://host:port`; blank when unknown.
    #[must_use]
    pub fn text(&self) -> String {
        let origin = |url: &Uri| {
            // A blank scheme parses too, but makes a broken link.
            let scheme = url.scheme_str().filter(|scheme| ["http", "https"].contains(scheme))?;
            Some(format!("{scheme}://{}", url.authority()?))
        };
        let reported = self.reported.as_ref().and_then(|value| value.to_str().ok());
        let reported = reported.and_then(|url| origin(&url.parse().ok()?));
        reported.or_else(|| origin(&self.uri)).unwrap_or_default()
    }
}

/// A link to a file that works without a key until it expires.
#[derive(Debug)]
pub struct SignedLink {
    /// The address.
    pub url: String,
    /// Unix time at which it expires.
    pub expires: u64,
}

impl SignedLink {
    /// Creates a link to `file` of the task `id` that is valid for `lifetime` seconds. It begins with the public base URL from
    /// the settings, else with the origin of the request.
    ///
    /// # Errors
    /// [`Error::Misconfigured`].
    pub async fn create(
        id: TaskId,
        file: &str,
        lifetime: u64,
        api_key: Option<&str>,
        origin: &RequestOrigin,
    ) -> Result<Self, Error> {
        let expires = clock::unix_time() + lifetime;
        let query = LinkKey::configured(api_key)
            .await?
            .query(&id.to_string(), file, expires);
        let base = config::public_base_url().await?.unwrap_or_else(|| origin.text());
        let base = base.trim_end_matches('/');
        let file = utf8_percent_encode(file, PATH);
        Ok(Self {
            url: format!("{base}/download/{id}/{file}?{query}"),
            expires,
        })
    }
}

/// Characters that are percent-encoded in the path of a link: all except the unreserved ones of RFC 3986 and the slash.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of any length (RFC 2104 section 3), so the error of this constructor does not occur.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The hash of a user key as PlanExe stores it: hex SHA-256 of `{secret}:{key}`.
#[must_use]
pub fn user_key_hash(key: &str, secret: &str) -> String {
    hex(&Sha256::new()
        .chain_update(secret)
        .chain_update(":")
        .chain_update(key)
        .finalize())
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Whether a web page of `origin` may call, by the comma-separated list from the settings.
///
/// An entry without a port allows every port of that origin; `*` allows all.
#[must_use]
pub fn origin_allowed(origin: &str, allowed: &str) -> bool {
    let without_port = match origin.rsplit_once(':') {
        Some((rest, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => rest,
        _ => origin,
    };
    let mut entries = allowed.split(',').map(|entry| entry.trim().trim_end_matches('/'));
    entries.any(|entry| entry == "*" || entry.eq_ignore_ascii_case(origin) || entry.eq_ignore_ascii_case(without_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().expect("name"), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn the_key_is_found_in_its_three_forms() {
        for (pairs, key) in [
            (&[("authorization", "Bearer secret")][..], Some("secret")),
            (&[("authorization", "bearer  secret ")], Some("secret")),
            (&[("x-api-key", "secret")], Some("secret")),
            (&[("api_key", " secret")], Some("secret")),
            (
                &[("authorization", "Basic abc"), ("x-api-key", "secret")],
                Some("secret"),
            ),
            (&[], None),
            (&[("authorization", "Basic c2VjcmV0")], None),
            (&[("x-api-key", "")], None),
            (&[("authorization", "Bearer ")], None),
        ] {
            assert_eq!(presented_key(&headers(pairs)), key.map(str::as_bytes), "{pairs:?}");
        }
    }

    #[test]
    fn a_link_is_valid_only_for_its_task_file_and_time() {
        let key = LinkKey::new("secret");
        let query = key.query("task-1", "run.zip", 1_000);
        assert_eq!(key.check(&query, "task-1", "run.zip", 1_000), Some(Ok(())));
        assert_eq!(
            key.check(&query, "task-1", "run.zip", 1_001),
            Some(Err(LinkFault::Expired))
        );
        assert_eq!(
            key.check(&query, "task-2", "run.zip", 0),
            Some(Err(LinkFault::Signature))
        );
        assert_eq!(
            key.check(&query, "task-1", "030-report.html", 0),
            Some(Err(LinkFault::Signature))
        );
        assert_eq!(
            key.check(&query.replace("1000", "1001"), "task-1", "run.zip", 0),
            Some(Err(LinkFault::Signature))
        );
        assert_eq!(
            LinkKey::new("other").check(&query, "task-1", "run.zip", 0),
            Some(Err(LinkFault::Signature))
        );
        assert_eq!(
            key.check("signature=", "task-1", "run.zip", 0),
            Some(Err(LinkFault::Signature))
        );
        assert_eq!(key.check("download=1", "task-1", "run.zip", 0), None);
        for position in 0..query.len() {
            let mut changed = query.clone().into_bytes();
            changed[position] ^= 1;
            let changed = String::from_utf8(changed).expect("ASCII stays ASCII");
            assert_ne!(key.check(&changed, "task-1", "run.zip", 0), Some(Ok(())), "{changed}");
        }
    }

    #[test]
    fn an_origin_without_port_allows_any_port() {
        let allowed = "http://localhost, http://127.0.0.1,https://app.example.com:8443/";
        for origin in [
            "http://localhost",
            "http://localhost:6274",
            "http://127.0.0.1:3000",
            "https://app.example.com:8443",
        ] {
            assert!(origin_allowed(origin, allowed), "{origin}");
        }
        for origin in [
            "null",
            "http://localhost.evil.example",
            "https://localhost",
            "https://app.example.com",
            "https://app.example.com:1",
            "http://evil.example",
            "",
            "http://localhost:80x",
        ] {
            assert!(!origin_allowed(origin, allowed), "{origin}");
        }
        assert!(origin_allowed("https://anything.example", "*"));
    }

    #[test]
    fn the_last_spin_full_url_is_used() {
        let mut headers = HeaderMap::new();
        let uri = http::Uri::from_static("http://127.0.0.1:3000/mcp");
        assert_eq!(
            RequestOrigin::from_request(&headers, &uri).text(),
            "http://127.0.0.1:3000"
        );
        for none in ["/mcp", "://127.0.0.1:3000/mcp", "ftp://127.0.0.1/mcp"] {
            let uri = http::Uri::from_static(none);
            assert_eq!(RequestOrigin::from_request(&headers, &uri).text(), "", "{none}");
        }
        headers.append("spin-full-url", HeaderValue::from_static("http://evil.example/mcp"));
        headers.append(
            "spin-full-url",
            HeaderValue::from_static("http://127.0.0.1:3000/mcp?x=1"),
        );
        assert_eq!(
            RequestOrigin::from_request(&headers, &uri).text(),
            "http://127.0.0.1:3000"
        );
    }
}
