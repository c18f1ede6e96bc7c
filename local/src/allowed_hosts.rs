//! `allowed_outbound_hosts`: which addresses a component may reach.
//!
//! An entry is `scheme://host[:port]`, each part a literal or a wildcard, possibly with templates.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use anyhow::{Context as _, bail, ensure};
use url::{Host, Url};

use crate::variables::{Template, VariableError};

const CHAINING_SUFFIX: &str = ".spin.internal";

/// An entry as the manifest has it: its templates are not filled in yet.
#[derive(Clone, Debug)]
pub(crate) struct Entry(Template);

impl Entry {
    /// Parses an entry; one without templates is checked in full.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        ensure!(
            text != "insecure:allow-all",
            "'insecure:allow-all' is not allowed - use '*://*:*' instead if you really want to allow all outbound traffic"
        );
        let template = Template::parse(text)?;
        if template.is_literal() {
            AllowedHost::parse(text)?;
        }
        Ok(Self(template))
    }

    /// Checks the entry as it would be with these values; a value that is missing ends the check.
    pub(crate) fn check_with(&self, defaults: &BTreeMap<String, Option<String>>) -> anyhow::Result<()> {
        let mut missing = false;
        let filled = self.0.fill(|name| match defaults.get(name) {
            Some(Some(value)) => Ok(value.clone()),
            Some(None) => {
                missing = true;
                Ok(String::new())
            }
            None => Err(VariableError::InvalidTemplate(format!("unknown variable {name:?}"))),
        })?;
        if !missing {
            AllowedHost::parse(&filled)
                .with_context(|| format!("the default values of its variables make it {filled:?}"))?;
        }
        Ok(())
    }
}

/// The entries of one component with all values filled in.
#[derive(Debug)]
pub(crate) struct AllowedHosts(Vec<AllowedHost>);

impl AllowedHosts {
    /// Fills the entries in. `values` has every variable of the application.
    pub(crate) fn resolve(entries: &[Entry], values: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let value = |name: &str| {
            values
                .get(name)
                .cloned()
                .ok_or_else(|| VariableError::InvalidName(name.to_owned()))
        };
        entries
            .iter()
            .map(|entry| AllowedHost::parse(&entry.0.fill(value)?))
            .collect::<anyhow::Result<_>>()
            .map(Self)
    }

    /// Whether some entry allows the address.
    pub(crate) fn allow(&self, address: &Address) -> bool {
        self.0.iter().any(|host| host.allows(address))
    }
}

/// The scheme, host and port that a guest wants to reach.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address {
    scheme: String,
    host: Host<String>,
    port: Option<u16>,
}

impl Address {
    /// Parses a URL, or `host[:port]` with the given scheme.
    pub(crate) fn parse(text: &str, scheme: &str) -> anyhow::Result<Self> {
        let url = match Url::parse(text) {
            Ok(url) if url.has_host() => url,
            _ => Url::parse(&format!("{scheme}://{text}")).with_context(|| format!("{text:?} is not a URL"))?,
        };
        let host = url
            .host_str()
            .with_context(|| format!("{text:?} does not have a host component"))?;
        Ok(Self {
            scheme: url.scheme().to_owned(),
            host: Host::parse(host)?,
            port: url.port(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[derive(Debug, PartialEq, Eq)]
struct AllowedHost {
    scheme: Option<String>,
    host: HostRule,
    port: PortRule,
}

#[derive(Debug, PartialEq, Eq)]
enum HostRule {
    Any,
    Subdomains(String),
    Network(IpAddr, u8),
    Exactly(Host<String>),
}

#[derive(Debug, PartialEq, Eq)]
enum PortRule {
    Any,
    /// From the first port up to, but not including, the second.
    Range(u16, u16),
    Exactly(u16),
}

impl AllowedHost {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once("://") else {
            bail!("{text:?} does not contain a scheme (e.g., 'http://' or '*://')");
        };
        let (host, rest) = rest.rsplit_once(':').unwrap_or((rest, ""));
        let port = match rest.split_once('/') {
            Some((_, path)) if !path.is_empty() => bail!("{text:?} has a path but is not allowed to"),
            Some((port, _)) => port,
            None => rest,
        };
        let port = PortRule::parse(port, scheme).with_context(|| format!("invalid allowed host port {port:?}"))?;
        ensure!(
            scheme == "*" || scheme.chars().all(char::is_alphabetic),
            "invalid allowed host scheme {scheme:?}: only alphabetic characters are allowed"
        );
        let host = HostRule::parse(host).with_context(|| format!("invalid allowed host {host:?}"))?;
        Ok(Self {
            scheme: (scheme != "*").then(|| scheme.to_owned()),
            host,
            port,
        })
    }

    fn allows(&self, address: &Address) -> bool {
        self.scheme.as_ref().is_none_or(|scheme| *scheme == address.scheme)
            && self.host.allows(&address.host)
            && self.port.allows(address.port, &address.scheme)
    }
}

impl HostRule {
    fn parse(host: &str) -> anyhow::Result<Self> {
        let host = host.trim();
        if host == "*" {
            return Ok(Self::Any);
        }
        ensure!(
            host != "self" && host != "self.alt",
            "the local host does not serve requests to itself"
        );
        ensure!(!host.starts_with('{'), "host lists are not supported");
        if let Some((address, bits)) = parse_network(host) {
            return Ok(Self::Network(address, bits));
        }
        let host = host.trim_end_matches('/');
        ensure!(!host.contains('/'), "must not include a path");
        ensure!(
            !host.ends_with(CHAINING_SUFFIX),
            "the local host does not serve service chaining"
        );
        if let Some(domain) = host.strip_prefix("*.") {
            ensure!(!domain.contains('*'), "wildcards are allowed only as prefixes");
            return Ok(Self::Subdomains(format!(".{domain}")));
        }
        ensure!(!host.contains('*'), "wildcards are allowed only as subdomains");
        Ok(Self::Exactly(Host::parse(host)?))
    }

    fn allows(&self, host: &Host<String>) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Subdomains(suffix), Host::Domain(domain)) => domain.ends_with(suffix),
            (Self::Exactly(literal), host) => host == literal,
            (Self::Network(network, bits), Host::Ipv4(ip)) => contains(*network, *bits, IpAddr::V4(*ip)),
            (Self::Network(network, bits), Host::Ipv6(ip)) => contains(*network, *bits, IpAddr::V6(*ip)),
            (Self::Subdomains(_) | Self::Network(..), _) => false,
        }
    }
}

/// An address with or without a prefix length, such as `127.0.0.0/8`.
fn parse_network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(width);
    (bits <= width).then_some((address, bits))
}

fn contains(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let (difference, width) = match (network, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits() ^ b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits(), 128),
        (IpAddr::V4(_) | IpAddr::V6(_), _) => return false,
    };
    difference.checked_shr(width - u32::from(bits)).unwrap_or(0) == 0
}

impl PortRule {
    fn parse(port: &str, scheme: &str) -> anyhow::Result<Self> {
        let number = |text: &str| {
            text.parse::<u16>()
                .with_context(|| format!("{text:?} is not a port number"))
        };
        if port.is_empty() {
            return default_port(scheme).map(Self::Exactly).with_context(|| {
                format!("no port was provided and the scheme {scheme:?} does not have a known default port number")
            });
        }
        if port == "*" {
            return Ok(Self::Any);
        }
        match port.split_once("..") {
            Some((from, to)) => Ok(Self::Range(number(from)?, number(to)?)),
            None => Ok(Self::Exactly(number(port)?)),
        }
    }

    fn allows(&self, port: Option<u16>, scheme: &str) -> bool {
        let port = port.or_else(|| default_port(scheme));
        match (self, port) {
            (Self::Any, _) => true,
            (Self::Exactly(allowed), Some(port)) => *allowed == port,
            (Self::Range(from, to), Some(port)) => (*from..*to).contains(&port),
            (Self::Exactly(_) | Self::Range(..), None) => false,
        }
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "postgres" => Some(5432),
        "mysql" => Some(3306),
        "redis" => Some(6379),
        "mqtt" => Some(1883),
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(entry: &str, url: &str) -> bool {
        let hosts = AllowedHosts::resolve(&[Entry::parse(entry).unwrap()], &BTreeMap::new()).unwrap();
        hosts.allow(&Address::parse(url, "https").unwrap())
    }

    #[test]
    fn matching() {
        for (entry, url, expected) in [
            ("http://example.com", "http://example.com/a?b", true),
            ("http://example.com/", "http://example.com", true),
            ("http://example.com", "http://example.com:8080", false),
            ("http://example.com", "https://example.com:80", false),
            ("https://example.com", "https://user:secret@example.com/", true),
            ("*://example.com:443", "example.com:443", true),
            ("http://Example.com", "http://EXAMPLE.com", true),
            ("http://*.example.com", "http://a.example.com", true),
            ("http://*.example.com", "http://example.com", false),
            ("http://*.example.com", "http://badexample.com", false),
            ("https://*", "https://anything.org", true),
            ("https://*", "https://anything.org:444", false),
            ("*://*:*", "redis://x:1", true),
            ("http://localhost:8000..8010", "http://localhost:8009", true),
            ("http://localhost:8000..8010", "http://localhost:8010", false),
            ("http://127.0.0.0/8:*", "http://127.9.9.9:1", true),
            ("http://127.0.0.0/8:*", "http://128.0.0.1:1", false),
            ("http://127.0.0.0/8:*", "http://localhost:1", false),
            ("http://10.0.0.1", "http://10.0.0.1", true),
            ("http://10.0.0.1", "http://10.0.0.2", false),
            ("http://[::1]:80", "http://[::1]", true),
            ("*://::1/128:80", "http://[::1]", true),
            ("*://0.0.0.0/0:80", "http://[::1]", false),
            ("postgres://db", "postgres://db:5432", true),
            ("postgres://db", "mysql://db:5432", false),
        ] {
            assert_eq!(allowed(entry, url), expected, "{entry} {url}");
        }
    }

    #[test]
    fn bad_entries() {
        for (entry, reason) in [
            ("example.com", "does not contain a scheme"),
            ("*", "does not contain a scheme"),
            ("http://example.com/a", "path"),
            ("http://example.com:80/a", "path"),
            ("http://a.*.com", "wildcards"),
            ("http://*.*.com", "wildcards"),
            ("ftp://example.com", "default port"),
            ("http://example.com:x", "not a port number"),
            ("ht-tp://example.com:1", "alphabetic"),
            ("insecure:allow-all", "not allowed"),
            ("http://self", "itself"),
            ("http://other.spin.internal", "service chaining"),
            ("http://{{ open", "unmatched"),
        ] {
            let error = format!("{:#}", Entry::parse(entry).unwrap_err());
            assert!(error.contains(reason), "{entry}: {error}");
        }
    }

    #[test]
    fn templates_are_filled_in_or_fail() {
        let entry = Entry::parse("postgres://{{ host }}:{{ port }}").unwrap();
        let values = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let full = values(&[("host", "db"), ("port", "5433")]);
        let hosts = AllowedHosts::resolve(std::slice::from_ref(&entry), &full).unwrap();
        assert!(hosts.allow(&Address::parse("db:5433", "postgres").unwrap()));
        assert!(AllowedHosts::resolve(std::slice::from_ref(&entry), &values(&[("host", "db")])).is_err());
        let bad = values(&[("host", "db"), ("port", "many")]);
        assert!(AllowedHosts::resolve(&[entry], &bad).is_err());
    }

    #[test]
    fn defaults_are_checked_where_they_exist() {
        let entry = Entry::parse("http://{{ host }}").unwrap();
        let defaults = |value: Option<&str>| BTreeMap::from([("host".to_owned(), value.map(str::to_owned))]);
        assert!(entry.check_with(&defaults(Some("localhost:80"))).is_ok());
        assert!(entry.check_with(&defaults(None)).is_ok());
        assert!(entry.check_with(&defaults(Some("localhost/path"))).is_err());
        assert!(entry.check_with(&BTreeMap::new()).is_err());
    }
}
