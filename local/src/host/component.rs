//! The component with its settings: what all of its instances share.

use std::{collections::BTreeMap, ffi::OsString};

use super::{manifest::Manifest, outbound::Server, postgres::Pools, report, variables::Variables};

/// The component and what its instances share.
pub(super) struct Component {
    pub(super) manifest: Manifest,
    pub(super) pools: Pools,
    variables: Variables,
    /// The servers that it may reach, or why they are not known: then it may reach none, as in Spin.
    allowed: Result<Vec<Server>, String>,
}

impl Component {
    pub(super) fn new(manifest: Manifest, environment: BTreeMap<OsString, OsString>) -> Self {
        let variables = Variables {
            defaults: manifest.variables.clone(),
            prefixes: manifest.env_prefixes.clone(),
            environment,
        };
        Self {
            allowed: Server::allowed(&manifest.component.allowed_outbound_hosts, &variables),
            manifest,
            pools: Pools::default(),
            variables,
        }
    }

    /// The value of one of the component's variables, or why it has none; `None` when the manifest does not name it.
    pub(super) fn variable(&self, name: &str) -> Option<Result<String, String>> {
        let template = self.manifest.component.variables.get(name)?;
        Some(self.variables.fill(template))
    }

    /// Whether the component may reach a server.
    ///
    /// # Errors
    /// When the list of servers has a variable without a value or an entry that is not a server.
    pub(super) fn may_reach(&self, server: &Server) -> Result<bool, String> {
        let allowed = self.allowed.as_ref();
        let allowed = allowed.inspect_err(|error| report(&format!("allowed_outbound_hosts: {error}")))?;
        let is_allowed = allowed.contains(server);
        if !is_allowed {
            report(&format!(
                "the component may not reach {server}, which allowed_outbound_hosts does not list"
            ));
        }
        Ok(is_allowed)
    }
}
