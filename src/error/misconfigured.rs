//! Settings that cannot be used.

/// The one variable whose name in the environment has no prefix.
const DATABASE_URI: &str = "sqlalchemy_database_uri";

/// A setting that cannot be used. It names the setting and never its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} {why}", environment_name(.variable))]
pub struct Misconfigured {
    /// The setting's variable in `spin.toml`.
    pub variable: &'static str,
    /// Why it cannot be used.
    pub why: &'static str,
}

/// The name of a setting in the environment, as operators know it.
fn environment_name(variable: &str) -> String {
    let prefix = if variable == DATABASE_URI { "" } else { "PLANEXE_" };
    format!("{prefix}{}", variable.to_ascii_uppercase())
}
