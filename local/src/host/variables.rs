//! Application variables: their names, `{{ name }}` templates, and the environment variables that give values.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use serde::Deserialize;

use super::manifest::Variable;

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
    /// The variables by name.
    pub(super) defaults: BTreeMap<String, Variable>,
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
        let default = self.defaults.get(name).and_then(|variable| variable.default.clone());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, is_valid) in [
            ("postgres_host", true),
            ("a2", true),
            ("", false),
            ("2a", false),
            ("a__b", false),
            ("a_", false),
            ("A", false),
        ] {
            assert_eq!(check_name(name).is_ok(), is_valid, "{name}");
        }
    }

    #[test]
    fn the_first_provider_with_a_value_wins() {
        let variables = |environment: &[(&str, &str)]| Variables {
            defaults: [("host", Some("localhost".to_owned())), ("key", None)]
                .map(|(name, default)| {
                    (
                        name.to_owned(),
                        Variable {
                            default,
                            ..Variable::default()
                        },
                    )
                })
                .into(),
            prefixes: vec!["PLANEXE".to_owned()],
            environment: environment
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        };
        let template = Template::try_from("http://{{ host }}:{{host}}/".to_owned()).unwrap();
        let provider = ("SPIN_VARIABLE_HOST", "b");
        for (environment, expected) in [
            (&[][..], "http://localhost:localhost/"),
            (&[provider], "http://b:b/"),
            (&[provider, ("PLANEXE_HOST", "a")], "http://a:a/"),
            (&[provider, ("PLANEXE_HOST", "")], "http://:/"),
        ] {
            assert_eq!(variables(environment).fill(&template).as_deref(), Ok(expected));
        }
        assert!(variables(&[]).value("key").is_err());
        assert!(Template::try_from("{{ open".to_owned()).is_err());
    }
}
