//! `spin.toml` (version 2) and the runtime configuration, as far as the local host serves them.
//!
//! Whatever it does not serve is an error that names the key: nothing is ignored in silence.

mod schema;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use crate::allowed_hosts::Entry;
use crate::routes::Route;
use crate::variables::{Template, Variable, check_name};

/// An application: its manifest and its runtime configuration.
#[derive(Clone, Debug)]
pub struct Manifest {
    name: String,
    version: Option<String>,
    folder: PathBuf,
    variables: BTreeMap<String, Variable>,
    components: BTreeMap<String, Component>,
    routes: Vec<Route>,
    runtime: RuntimeConfig,
}

/// A component that some route leads to.
#[derive(Clone, Debug)]
pub struct Component {
    source: PathBuf,
    variables: BTreeMap<String, Template>,
    environment: BTreeMap<String, String>,
    allowed_outbound_hosts: Vec<String>,
    pub(crate) allowed_hosts: Vec<Entry>,
    files: Vec<FileMount>,
}

/// A folder that the component may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMount {
    /// The folder on this machine, absolute.
    pub source: PathBuf,
    /// Where the component sees it, absolute.
    pub destination: String,
}

/// The settings of the runtime configuration file.
#[derive(Clone, Debug)]
pub(crate) struct RuntimeConfig {
    pub(crate) env_prefixes: Vec<String>,
    /// Files for what the environment leaves out. Whoever makes the environment reads them: see [`crate::settings`].
    pub(crate) dotenv_paths: Vec<PathBuf>,
    pub(crate) connection_pooling: bool,
}

impl Manifest {
    /// Reads a manifest and, if given, a runtime configuration file.
    ///
    /// # Errors
    /// When a file cannot be read or parsed, is inconsistent, or has a key that the local host does not serve.
    pub fn load(spin_toml: &Path, runtime_config: Option<&Path>) -> anyhow::Result<Self> {
        let spin_toml = std::path::absolute(spin_toml)?;
        let folder = spin_toml.parent().context("the manifest has no folder")?;
        let text = read(&spin_toml)?;
        let runtime = runtime_config.map(RuntimeConfig::load).transpose()?;
        let manifest = Self::parse(&text, folder).with_context(|| format!("in {}", spin_toml.display()))?;
        Ok(Self {
            runtime: runtime.unwrap_or_default(),
            ..manifest
        })
    }

    fn parse(text: &str, folder: &Path) -> anyhow::Result<Self> {
        let raw = schema::manifest(text)?;
        let variables = raw
            .variables
            .into_iter()
            .map(|(name, variable)| {
                check_name(&name)?;
                let value = match (variable.required, variable.default) {
                    (true, Some(_)) => bail!("variable {name:?}: `required` and `default` are mutually exclusive"),
                    (false, None) => bail!("variable {name:?} has neither `required` nor `default` set"),
                    (_, default) => Variable {
                        default,
                        secret: variable.secret,
                    },
                };
                Ok((name, value))
            })
            .collect::<anyhow::Result<BTreeMap<_, _>>>()?;
        let mut routes = Vec::new();
        let mut used = Vec::new();
        for trigger in raw.trigger.http {
            used.push(trigger.component.clone());
            if let Some(route) = trigger.route.pattern()? {
                routes.push(Route::parse(&route, &trigger.component)?);
            }
        }
        let mut components = BTreeMap::new();
        for (id, component) in raw.component {
            if used.contains(&id) {
                let component =
                    Component::new(component, &variables, folder).with_context(|| format!("component {id:?}"))?;
                components.insert(id, component);
            }
        }
        for id in used {
            ensure!(
                components.contains_key(&id),
                "a trigger names the component {id:?}, which does not exist"
            );
        }
        ensure!(!routes.is_empty(), "the manifest has no [[trigger.http]] with a route");
        Ok(Self {
            name: raw.application.name,
            version: raw.application.version,
            folder: folder.to_owned(),
            variables,
            components,
            routes,
            runtime: RuntimeConfig::default(),
        })
    }

    /// The application's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The application's version, if it has one.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The folder of the manifest, absolute.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The application variables by name.
    #[must_use]
    pub fn variables(&self) -> &BTreeMap<String, Variable> {
        &self.variables
    }

    /// The components that some trigger names, by id.
    #[must_use]
    pub fn components(&self) -> &BTreeMap<String, Component> {
        &self.components
    }

    /// The routes in the order of the manifest.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The prefixes of the configured environment providers, in order. `SPIN_VARIABLE` is not among them: it is
    /// always active, after these.
    #[must_use]
    pub fn env_prefixes(&self) -> &[String] {
        &self.runtime.env_prefixes
    }

    /// Whether outbound HTTP keeps its connections.
    #[must_use]
    pub fn connection_pooling(&self) -> bool {
        self.runtime.connection_pooling
    }
}

impl Component {
    fn new(raw: schema::Component, variables: &BTreeMap<String, Variable>, folder: &Path) -> anyhow::Result<Self> {
        let templates = raw
            .variables
            .into_iter()
            .map(|(name, text)| {
                check_name(&name)?;
                let template = Template::parse(&text)?;
                for variable in template.variables() {
                    ensure!(
                        variables.contains_key(variable),
                        "variable {name:?}: invalid variable template: unknown variable {variable:?}"
                    );
                }
                Ok((name, template))
            })
            .collect::<anyhow::Result<_>>()?;
        let defaults = variables
            .iter()
            .map(|(name, v)| (name.clone(), v.default.clone()))
            .collect();
        let allowed_hosts = raw
            .allowed_outbound_hosts
            .iter()
            .map(|text| {
                let entry = Entry::parse(text)?;
                entry.check_with(&defaults)?;
                Ok(entry)
            })
            .collect::<anyhow::Result<_>>()
            .context("allowed_outbound_hosts")?;
        let files = raw
            .files
            .into_iter()
            .map(|mount| file_mount(mount, folder))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            source: folder.join(raw.source.path()?),
            variables: templates,
            environment: raw.environment,
            allowed_outbound_hosts: raw.allowed_outbound_hosts,
            allowed_hosts,
            files,
        })
    }

    /// The component's Wasm file, absolute.
    #[must_use]
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// The component's variables: templates over the application's.
    #[must_use]
    pub fn variables(&self) -> &BTreeMap<String, Template> {
        &self.variables
    }

    /// The environment variables that the component sees.
    #[must_use]
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// The addresses that the component may reach, as the manifest has them.
    #[must_use]
    pub fn allowed_outbound_hosts(&self) -> &[String] {
        &self.allowed_outbound_hosts
    }

    /// The folders that the component may read.
    #[must_use]
    pub fn files(&self) -> &[FileMount] {
        &self.files
    }
}

fn file_mount(raw: schema::Files, folder: &Path) -> anyhow::Result<FileMount> {
    let (source, destination) = match raw {
        schema::Files::Mount { source, destination } => (source, destination),
        schema::Files::Pattern(pattern) => bail!(
            "files: the pattern {pattern:?} is not supported by the local host: write {{ source = \"folder\", destination = \"/path\" }}"
        ),
    };
    ensure!(
        destination.starts_with('/'),
        "files: the destination {destination:?} is not absolute"
    );
    Ok(FileMount {
        source: folder.join(source),
        destination,
    })
}

impl RuntimeConfig {
    /// Reads a runtime configuration file.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        schema::runtime_config(&read(path)?).with_context(|| format!("in {}", path.display()))
    }
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            env_prefixes: Vec::new(),
            dotenv_paths: Vec::new(),
            connection_pooling: true,
        }
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests;
