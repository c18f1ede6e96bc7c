//! The component with its settings: what all of its instances share.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::counters::Counters;
use super::manifest::Manifest;
use super::outbound::Server;
use super::output::Output;
use super::postgres::Pools;
use super::variables::Variables;
use super::{HostOptions, VariableFault};

/// The component and what its instances share.
pub(crate) struct Component {
    pub(super) manifest: Manifest,
    pub(super) pools: Pools,
    pub(super) counters: Arc<Counters>,
    pub(super) stdout: Output,
    pub(super) stderr: Output,
    variables: Variables,
    variable_faults: BTreeMap<String, VariableFault>,
    /// The servers that it may reach, or why they are not known: then it may reach none, as in Spin.
    allowed: Result<Vec<Server>, String>,
}

/// Why the component gets no value of a variable.
pub(super) enum VariableError {
    /// The manifest gives it no variable of this name.
    Undefined(String),
    /// No provider has a value.
    Provider(String),
}

impl Component {
    pub(super) fn new(manifest: Manifest, options: HostOptions) -> Self {
        let variables = Variables {
            defaults: manifest.variables.clone(),
            prefixes: manifest.env_prefixes.clone(),
            environment: options.environment.into(),
        };
        let allowed = Server::allowed(&manifest.component.allowed_outbound_hosts, &variables);
        Self {
            manifest,
            pools: Pools::default(),
            counters: Arc::default(),
            stdout: options.stdout,
            stderr: options.stderr,
            variables,
            variable_faults: options.variable_faults,
            allowed,
        }
    }

    /// The value of one of the component's variables.
    pub(super) async fn variable(&self, name: &str) -> Result<String, VariableError> {
        match self.variable_faults.get(name) {
            None => {}
            Some(VariableFault::Fails) => return Err(VariableError::Provider("the provider fails".to_owned())),
            Some(VariableFault::Hangs) => std::future::pending().await,
        }
        let template = self.manifest.component.variables.get(name);
        let undefined = || VariableError::Undefined(format!("no variable for {:?}.{name:?}", self.manifest.id));
        let value = self.variables.fill(template.ok_or_else(undefined)?);
        value.map_err(VariableError::Provider)
    }

    /// Whether the component may reach a server.
    ///
    /// # Errors
    /// When the list of servers has a variable without a value or an entry that is not one.
    pub(super) fn may_reach(&self, server: &Server) -> Result<bool, String> {
        let allowed = self.allowed.as_ref().inspect_err(|error| {
            self.stderr
                .line(&format!("allowed_outbound_hosts cannot be resolved: {error}"));
        })?;
        let is_allowed = allowed.contains(server);
        if !is_allowed {
            let text = format!("the component may not reach {server}: it is not among its allowed_outbound_hosts");
            self.stderr.line(&text);
        }
        Ok(is_allowed)
    }
}
