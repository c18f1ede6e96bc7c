//! Application variables: their names, `{{ name }}` templates, and the environment variables that give values.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

use serde::Deserialize;

/// The prefix of Spin's default environment provider, which is always active.
const DEFAULT_PREFIX: &str = "SPIN_VARIABLE";

/// Checks a variable name: lower-case letters, digits and single underscores; a letter first, no underscore last.
pub(super) fn check_name(name: &str) -> anyhow::Result<()> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    anyhow::ensure!(
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(allowed)
            && !name.ends_with('_')
            && !name.contains("__"),
        "{name:?} is not a valid variable name"
    );
    Ok(())
}

/// A string with `{{ name }}` expressions.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Variable(String),
}

impl TryFrom<String> for Template {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some((literal, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").ok_or("unmatched '{{' in template")?;
            parts.push(Part::Literal(literal.to_owned()));
            parts.push(Part::Variable(name.trim().to_owned()));
            rest = after;
        }
        parts.push(Part::Literal(rest.to_owned()));
        Ok(Self(parts))
    }
}

impl Template {
    /// The names of the variables in the template.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }
}

/// The variables of an application and what gives them values.
pub(super) struct Variables {
    /// The default of each variable; `None` for a required one.
    pub(super) defaults: BTreeMap<String, Option<String>>,
    /// The prefixes of the configured environment providers, in order of precedence.
    pub(super) prefixes: Vec<String>,
    /// The environment that the providers read.
    pub(super) environment: BTreeMap<OsString, OsString>,
}

impl Variables {
    /// The value of a variable: of the first provider that has one, else its default.
    ///
    /// # Errors
    /// When a required variable has no value, or one in the environment is not Unicode.
    pub(super) fn value(&self, name: &str) -> Result<String, String> {
        let upper = name.to_ascii_uppercase();
        let prefixes = self.prefixes.iter().map(String::as_str).chain([DEFAULT_PREFIX]);
        for variable in prefixes.map(|prefix| format!("{prefix}_{upper}")) {
            if let Some(value) = self.environment.get(OsStr::new(&variable)) {
                let value = value.to_str().map(str::to_owned);
                return value.ok_or_else(|| format!("failed to resolve env var {variable}"));
            }
        }
        let default = self.defaults.get(name).cloned().flatten();
        default.ok_or_else(|| format!("no provider resolved required variable {name:?}"))
    }

    /// A template with the values of its variables.
    ///
    /// # Errors
    /// When one of them has no value.
    pub(super) fn fill(&self, template: &Template) -> Result<String, String> {
        let parts = template.0.iter().map(|part| match part {
            Part::Literal(text) => Ok(text.clone()),
            Part::Variable(name) => self.value(name),
        });
        parts.collect()
    }
}
