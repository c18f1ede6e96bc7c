//! The TOML of the two files, key by key. Keys that are not here are refused by name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{bail, ensure};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::RuntimeConfig;

/// Parses `spin.toml`.
pub(super) fn manifest(text: &str) -> anyhow::Result<Manifest> {
    let manifest: Manifest = toml::from_str(text)?;
    ensure!(manifest.spin_manifest_version == 2, "spin_manifest_version must be 2");
    manifest.component.keys().try_for_each(|id| check_id(id))?;
    Ok(manifest)
}

/// Parses a runtime configuration.
pub(super) fn runtime_config(text: &str) -> anyhow::Result<RuntimeConfig> {
    let raw: Runtime = toml::from_str(text)?;
    // As in Spin, the table without the key turns pooling off.
    let connection_pooling = raw.outbound_http.is_none_or(|table| table.connection_pooling);
    let mut config = RuntimeConfig {
        connection_pooling,
        ..RuntimeConfig::default()
    };
    for provider in raw.variables_provider {
        let kind = &provider.kind;
        ensure!(
            kind == "env",
            "the variables provider {kind:?} is not supported by the local host: only \"env\" is"
        );
        let prefix = provider.prefix.unwrap_or_else(|| "SPIN_VARIABLE".to_owned());
        config.env_prefixes.push(prefix);
        config.dotenv_paths.extend(provider.dotenv_path);
    }
    Ok(config)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    spin_manifest_version: u32,
    pub(super) application: Application,
    #[serde(default)]
    pub(super) variables: BTreeMap<String, Variable>,
    pub(super) trigger: Triggers,
    #[serde(default)]
    pub(super) component: BTreeMap<String, Component>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "keys that are allowed, but mean nothing to a host")]
pub(super) struct Application {
    pub(super) name: String,
    pub(super) version: Option<String>,
    description: Option<IgnoredAny>,
    authors: Option<IgnoredAny>,
    targets: Option<IgnoredAny>,
    tool: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "keys that are allowed, but mean nothing to a host")]
pub(super) struct Variable {
    #[serde(default)]
    pub(super) required: bool,
    pub(super) default: Option<String>,
    #[serde(default)]
    pub(super) secret: bool,
    description: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Triggers {
    #[serde(default)]
    pub(super) http: Vec<HttpTrigger>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "keys that are allowed, but mean nothing to a host")]
pub(super) struct HttpTrigger {
    id: Option<IgnoredAny>,
    pub(super) component: String,
    pub(super) route: RoutePattern,
    executor: Option<Executor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "type")]
enum Executor {
    Http,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a route is a string pattern or `{ private = true }`")]
pub(super) enum RoutePattern {
    Pattern(String),
    Private { private: bool },
}

impl RoutePattern {
    /// The pattern, or `None` for a component without a route of its own.
    pub(super) fn pattern(self) -> anyhow::Result<Option<String>> {
        match self {
            Self::Pattern(pattern) => Ok(Some(pattern)),
            Self::Private { private: true } => Ok(None),
            Self::Private { private: false } => bail!("route must be a string pattern or '{{ private = true }}'"),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "keys that are allowed, but mean nothing to a host")]
pub(super) struct Component {
    pub(super) source: Source,
    #[serde(default)]
    pub(super) variables: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) environment: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) files: Vec<Files>,
    #[serde(default)]
    pub(super) allowed_outbound_hosts: Vec<String>,
    description: Option<IgnoredAny>,
    targets: Option<IgnoredAny>,
    build: Option<IgnoredAny>,
    profile: Option<IgnoredAny>,
    tool: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a component source is a path or a table")]
pub(super) enum Source {
    Path(String),
    Remote(toml::Table),
}

impl Source {
    /// The path of a source on this machine.
    pub(super) fn path(self) -> anyhow::Result<String> {
        match self {
            Self::Path(path) => Ok(path),
            Self::Remote(table) => {
                let keys: Vec<_> = table.keys().map(String::as_str).collect();
                bail!(
                    "source: only a path is supported by the local host, not a table with {}",
                    keys.join(", ")
                )
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "an entry of `files` is a pattern or { source, destination }")]
pub(super) enum Files {
    Pattern(String),
    Mount { source: String, destination: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Runtime {
    #[serde(default)]
    variables_provider: Vec<Provider>,
    outbound_http: Option<OutboundHttp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Provider {
    #[serde(rename = "type")]
    kind: String,
    prefix: Option<String>,
    dotenv_path: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutboundHttp {
    #[serde(default)]
    connection_pooling: bool,
}

/// Component ids are words of letters and digits, joined by single dashes.
fn check_id(id: &str) -> anyhow::Result<()> {
    let word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.chars().all(|c| c.is_ascii_alphanumeric())
            && (word == word.to_ascii_lowercase() || word == word.to_ascii_uppercase())
    };
    ensure!(id.split('-').all(word), "the component id {id:?} is not in kebab-case");
    Ok(())
}
