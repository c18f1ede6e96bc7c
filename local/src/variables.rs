//! Application variables: names, `{{ name }}` templates, and the providers that give values.
//!
//! Knows nothing of the guest: values are looked up when asked for, so a changed environment takes effect at once.

use std::collections::BTreeMap;
use std::env::VarError;
use std::fmt;

use anyhow::Context as _;

/// The prefix of Spin's default environment provider, which is always active.
const DEFAULT_PREFIX: &str = "SPIN_VARIABLE";

/// Where the environment providers read. A file `.env`, which Spin's own read as well, is the business of
/// [`crate::settings`].
#[derive(Clone, Default)]
pub enum Environment {
    /// The environment of this process, read anew for each look-up.
    #[default]
    Process,
    /// Exactly these environment variables, whatever the machine has.
    Fixed(BTreeMap<String, String>),
}

impl Environment {
    fn read(&self, key: &str) -> anyhow::Result<Option<String>> {
        match self {
            Self::Fixed(values) => Ok(values.get(key).cloned()),
            Self::Process => match std::env::var(key) {
                Ok(value) => Ok(Some(value)),
                Err(VarError::NotPresent) => Ok(None),
                Err(error) => Err(error).with_context(|| format!("failed to resolve env var {key}")),
            },
        }
    }
}

/// What a guest meets that asks for a variable whose provider is a service elsewhere, and that service fails: for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableFault {
    /// The provider has an error.
    Fails,
    /// The provider never answers.
    Hangs,
}

/// A variable of the `[variables]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The value when no provider has one. `None` for a required variable.
    pub default: Option<String>,
    /// Whether the manifest marks the value as secret. Metadata only.
    pub secret: bool,
}

/// Why a variable or template has no value.
#[derive(Debug)]
pub enum VariableError {
    /// The name is not a valid variable name, or no variable of the application has it.
    InvalidName(String),
    /// The template cannot be parsed, or names an unknown variable.
    InvalidTemplate(String),
    /// The component has no variable of that name.
    Undefined(String),
    /// A provider failed, or none has a value for a required variable.
    Provider(anyhow::Error),
}

impl fmt::Display for VariableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName(text) => write!(f, "invalid variable name: {text}"),
            Self::InvalidTemplate(text) => write!(f, "invalid variable template: {text}"),
            Self::Undefined(text) => write!(f, "undefined variable: {text}"),
            Self::Provider(error) => write!(f, "provider error: {error:#}"),
        }
    }
}

impl std::error::Error for VariableError {}

/// Checks a variable name: lower-case letters, digits, single underscores inside; a letter first.
pub(crate) fn check_name(name: &str) -> Result<(), VariableError> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let reason = if name.is_empty() {
        "must not be empty".to_owned()
    } else if let Some(c) = name.chars().find(|c| !allowed(*c)) {
        format!(
            "invalid character {c:?}. Variable names may contain only lower-case letters, numbers, and underscores."
        )
    } else if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        "must start with a lowercase ASCII letter".to_owned()
    } else if name.ends_with('_') {
        "must end with a lowercase ASCII letter or digit".to_owned()
    } else if name.contains("__") {
        "must not contain multiple consecutive underscores".to_owned()
    } else {
        return Ok(());
    };
    Err(VariableError::InvalidName(format!("{name:?}: {reason}")))
}

/// A string with `{{ name }}` expressions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Variable(String),
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// `InvalidTemplate` when a `{{` has no `}}`.
    pub fn parse(text: &str) -> Result<Self, VariableError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let Some((literal, after)) = rest.split_once("{{") else {
                parts.push(Part::Literal(rest.to_owned()));
                break;
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            let (name, after) = after
                .split_once("}}")
                .ok_or_else(|| VariableError::InvalidTemplate("unmatched '{{' in template".to_owned()))?;
            parts.push(Part::Variable(name.trim().to_owned()));
            rest = after;
        }
        Ok(Self(parts))
    }

    /// Whether the template has no expression.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.variables().next().is_none()
    }

    /// The names of the variables in the template.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// Fills the template in with the values that `value` gives.
    pub(crate) fn fill(
        &self,
        mut value: impl FnMut(&str) -> Result<String, VariableError>,
    ) -> Result<String, VariableError> {
        self.0
            .iter()
            .map(|part| match part {
                Part::Literal(text) => Ok(text.clone()),
                Part::Variable(name) => value(name),
            })
            .collect()
    }
}

/// The variables of an application and the providers of their values, in order of precedence.
#[derive(Clone)]
pub(crate) struct Resolver {
    variables: BTreeMap<String, Variable>,
    fixed: BTreeMap<String, String>,
    prefixes: Vec<String>,
    environment: Environment,
}

impl Resolver {
    /// `fixed` wins over the environment; then `prefixes` in order; then `SPIN_VARIABLE`; then the defaults.
    pub(crate) fn new(
        variables: BTreeMap<String, Variable>,
        fixed: BTreeMap<String, String>,
        prefixes: &[String],
        environment: Environment,
    ) -> Self {
        let prefixes = prefixes.iter().cloned().chain([DEFAULT_PREFIX.to_owned()]).collect();
        Self {
            variables,
            fixed,
            prefixes,
            environment,
        }
    }

    /// The value of an application variable.
    pub(crate) fn variable(&self, name: &str) -> Result<String, VariableError> {
        if let Some(value) = self.fixed.get(name) {
            return Ok(value.clone());
        }
        let upper = name.to_ascii_uppercase();
        for prefix in &self.prefixes {
            let value = self
                .environment
                .read(&format!("{prefix}_{upper}"))
                .map_err(VariableError::Provider)?;
            if let Some(value) = value {
                return Ok(value);
            }
        }
        let variable = self
            .variables
            .get(name)
            .ok_or_else(|| VariableError::InvalidName(name.to_owned()))?;
        variable
            .default
            .clone()
            .ok_or_else(|| VariableError::Provider(anyhow::anyhow!("no provider resolved required variable {name:?}")))
    }

    /// The value of a template.
    pub(crate) fn template(&self, template: &Template) -> Result<String, VariableError> {
        template.fill(|name| self.variable(name))
    }

    /// The values of all application variables; one without a value fails them all.
    pub(crate) fn all(&self) -> Result<BTreeMap<String, String>, VariableError> {
        self.variables
            .keys()
            .map(|name| Ok((name.clone(), self.variable(name)?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolver(environment: &[(&str, &str)], fixed: &[(&str, &str)], prefixes: &[&str]) -> Resolver {
        let owned = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let variables = [("host", Some("localhost")), ("key", None)]
            .map(|(name, default)| {
                (
                    name.to_owned(),
                    Variable {
                        default: default.map(str::to_owned),
                        secret: false,
                    },
                )
            })
            .into();
        let prefixes: Vec<_> = prefixes.iter().map(|p| (*p).to_owned()).collect();
        Resolver::new(
            variables,
            owned(fixed),
            &prefixes,
            Environment::Fixed(owned(environment)),
        )
    }

    #[test]
    fn names() {
        for good in ["a", "abc", "a1b2", "a_1", "a_1_b_3"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for (bad, reason) in [
            ("", "must not be empty"),
            ("aX", "invalid character 'X'"),
            ("x.y", "invalid character '.'"),
            ("1bc", "must start with"),
            ("_x", "must start with"),
            ("x_", "must end with"),
            ("a__b", "consecutive underscores"),
        ] {
            let error = check_name(bad).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("invalid variable name: {bad:?}: ")),
                "{error}"
            );
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn templates() {
        let fill = |text: &str| {
            Template::parse(text)
                .unwrap()
                .fill(|name| Ok(format!("<{name}>")))
                .unwrap()
        };
        assert_eq!(fill(""), "");
        assert_eq!(fill("plain } text"), "plain } text");
        assert_eq!(fill("a-{{ x }}-b"), "a-<x>-b");
        assert_eq!(fill("{{x}}{{ y }}"), "<x><y>");
        assert_eq!(fill("{{ }}"), "<>");
        assert!(Template::parse("no expression").unwrap().is_literal());
        assert!(!Template::parse("{{ x }}").unwrap().is_literal());
        let error = Template::parse("{{ a }} {{ b").unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid variable template: unmatched '{{' in template"
        );
    }

    #[test]
    fn precedence() {
        let environment = [("PLANEXE_HOST", "prefixed"), ("SPIN_VARIABLE_HOST", "default-provider")];
        assert_eq!(resolver(&[], &[], &["PLANEXE"]).variable("host").unwrap(), "localhost");
        assert_eq!(
            resolver(&environment, &[], &[]).variable("host").unwrap(),
            "default-provider"
        );
        assert_eq!(
            resolver(&environment, &[], &["PLANEXE"]).variable("host").unwrap(),
            "prefixed"
        );
        assert_eq!(
            resolver(&environment, &[("host", "fixed")], &["PLANEXE"])
                .variable("host")
                .unwrap(),
            "fixed"
        );
        assert_eq!(
            resolver(&[("PLANEXE_HOST", "")], &[], &["PLANEXE"])
                .variable("host")
                .unwrap(),
            ""
        );
    }

    #[test]
    fn a_required_variable_without_value_fails_all() {
        let without = resolver(&[], &[], &[]);
        let error = without.variable("key").unwrap_err().to_string();
        assert_eq!(error, r#"provider error: no provider resolved required variable "key""#);
        assert!(without.all().is_err());
        assert_eq!(resolver(&[], &[("key", "k")], &[]).all().unwrap().len(), 2);
    }
}
