//! `spin.toml` (manifest version 2) with one component, and the runtime configuration.
//!
//! A key that the local host does not serve is an error that names it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};

use super::variables::{Template, check_name};

/// An application: its manifest and its runtime configuration.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) version: Option<String>,
    /// The default of each variable; `None` for a required one.
    pub(super) variables: BTreeMap<String, Option<String>>,
    pub(super) component: Component,
    /// The folder of the manifest, absolute.
    pub(super) folder: PathBuf,
    /// The prefixes of the environment providers. `SPIN_VARIABLE` is always active, after these.
    pub(super) env_prefixes: Vec<String>,
}

/// The component. Its paths are absolute.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Component {
    pub(super) source: PathBuf,
    #[serde(default)]
    pub(super) variables: BTreeMap<String, Template>,
    #[serde(default)]
    pub(super) files: Vec<Mount>,
    #[serde(default)]
    pub(super) allowed_outbound_hosts: Vec<Template>,
    #[serde(default, rename = "build")]
    _build: IgnoredAny,
}

/// A folder of this machine that the component may read, and where it sees it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mount {
    pub(super) source: PathBuf,
    pub(super) destination: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpinToml {
    spin_manifest_version: u32,
    application: Application,
    variables: BTreeMap<String, Variable>,
    trigger: Triggers,
    component: BTreeMap<String, Component>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Application {
    name: String,
    version: Option<String>,
    #[serde(default, rename = "description")]
    _description: IgnoredAny,
    #[serde(default, rename = "targets")]
    _targets: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Variable {
    #[serde(default)]
    required: bool,
    default: Option<String>,
    #[serde(default, rename = "secret")]
    _secret: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Triggers {
    http: Vec<HttpTrigger>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpTrigger {
    component: String,
    route: String,
}

/// The runtime configuration.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuntimeConfig {
    #[serde(default)]
    variables_provider: Vec<Provider>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Provider {
    Env {
        prefix: Option<String>,
        dotenv_path: Option<PathBuf>,
    },
}

impl Manifest {
    /// Reads a manifest and, if given, a runtime configuration file.
    ///
    /// # Errors
    /// When a file cannot be read or parsed, is inconsistent, or has a key that the local host does not serve.
    pub(super) fn load(spin_toml: &Path, runtime_config: Option<&Path>) -> Result<Self> {
        let spin_toml = std::path::absolute(spin_toml)?;
        let folder = spin_toml.parent().context("the manifest has no folder")?;
        let runtime = runtime_config.map(RuntimeConfig::load).transpose()?;
        let manifest = Self::new(read(&spin_toml)?, runtime.unwrap_or_default(), folder);
        manifest.with_context(|| format!("in {}", spin_toml.display()))
    }

    fn new(mut toml: SpinToml, runtime: RuntimeConfig, folder: &Path) -> Result<Self> {
        ensure!(toml.spin_manifest_version == 2, "spin_manifest_version must be 2");
        let [HttpTrigger { component: id, route }] = toml.trigger.http.as_slice() else {
            bail!("the local host serves exactly one [[trigger.http]]");
        };
        ensure!(route == "/...", "the local host serves no route but \"/...\"");
        let component = toml.component.remove(id);
        let mut component = component.with_context(|| format!("there is no component {id:?}"))?;
        ensure!(toml.component.is_empty(), "the local host serves one component");
        for (name, variable) in &toml.variables {
            check_name(name)?;
            ensure!(
                variable.required != variable.default.is_some(),
                "variable {name:?} needs either `required = true` or a `default`"
            );
        }
        component.variables.keys().try_for_each(|name| check_name(name))?;
        let templates = component.variables.values().chain(&component.allowed_outbound_hosts);
        for name in templates.flat_map(Template::variables) {
            let is_known = toml.variables.contains_key(name);
            ensure!(is_known, "a template names the unknown variable {name:?}");
        }
        component.source = folder.join(&component.source);
        for mount in &mut component.files {
            mount.source = folder.join(&mount.source);
            let source = mount.source.display();
            ensure!(mount.source.is_dir(), "files: {source} is not a folder");
        }
        let providers = runtime.variables_provider.into_iter();
        let defaults = toml.variables.into_iter();
        Ok(Self {
            name: toml.application.name,
            version: toml.application.version,
            variables: defaults.map(|(name, variable)| (name, variable.default)).collect(),
            component,
            folder: folder.to_owned(),
            env_prefixes: providers.filter_map(|Provider::Env { prefix, .. }| prefix).collect(),
        })
    }
}

impl RuntimeConfig {
    /// Reads a runtime configuration file.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        read(path)
    }

    /// Files for what the environment leaves out. Spin reads them; here [`crate::settings`] does.
    pub(crate) fn dotenv_paths(self) -> Vec<PathBuf> {
        let providers = self.variables_provider.into_iter();
        providers
            .filter_map(|Provider::Env { dotenv_path, .. }| dotenv_path)
            .collect()
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("in {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_served_is_an_error() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let changed = |from: &str, to: &str| {
            let text = include_str!("../../../spin.toml").replace(from, to);
            Manifest::new(toml::from_str(&text)?, RuntimeConfig::default(), &project)
        };
        assert!(changed("", "").is_ok());
        assert!(toml::from_str::<RuntimeConfig>("[[variables_provider]]\ntype = \"vault\"").is_err());
        for (from, to, reason) in [
            ("source = \"t", "ai_models = []\nsource = \"t", "ai_models"),
            ("= 2", "= 1", "version"),
            ("/...", "/a/...", "no route but"),
            ("component = \"planexe", "component = \"d", "no component \"d-mcp\""),
            ("{{ api_key_secret }}", "{{ open", "unmatched"),
            ("{{ postgres_port }}", "{{ host }}", "\"host\""),
            ("{ default = \"180\" }", "{}", "\"mcp_repeat_window_seconds\""),
            ("credits_per_plan = {", "por__t = {", "\"por__t\""),
            ("assets/pages", "none", "/none"),
        ] {
            let error = changed(from, to).unwrap_err();
            assert!(format!("{error:#}").contains(reason), "{to}: {error:#}");
        }
    }
}
