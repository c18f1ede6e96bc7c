//! The host's side of the Spin interfaces, generated from their WIT, and `spin:variables`, which is small.

use std::sync::Arc;

use wasmtime::component::{Accessor, HasData, Linker, ResourceTable};

use crate::component::{Component, InstanceState, Reach};
use crate::variables::{VariableError, VariableFault, check_name};

mod generated {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "planexe:mcp/host",
        imports: {
            "spin:postgres/postgres.[constructor]connection-builder": async | trappable,
            default: async,
        },
        with: {
            "spin:postgres/postgres.connection": crate::postgres::Connection,
            "spin:postgres/postgres.connection-builder": crate::postgres::ConnectionBuilder,
        },
    });
}

pub(crate) use generated::spin::postgres::postgres;
use generated::spin::variables::variables;

/// The implementor of the Spin interfaces.
pub(crate) struct Spin;

/// What the Spin interfaces need of an instance.
pub(crate) struct SpinView<'a> {
    pub(crate) table: &'a mut ResourceTable,
    pub(crate) component: &'a Arc<Component>,
    pub(crate) reach: &'a Reach,
}

impl HasData for Spin {
    type Data<'a> = SpinView<'a>;
}

/// Links the Spin interfaces.
pub(crate) fn add_to_linker(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    postgres::add_to_linker::<_, Spin>(linker, InstanceState::spin)?;
    variables::add_to_linker::<_, Spin>(linker, InstanceState::spin)
}

impl variables::Host for SpinView<'_> {}

impl<T: Send> variables::HostWithStore<T> for Spin {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> Result<String, variables::Error> {
        let component = accessor.with(|mut access| access.get().component.clone());
        match component.shared.variable_faults.get(&name) {
            None => {}
            Some(VariableFault::Fails) => return Err(variables::Error::Provider("the provider fails".to_owned())),
            Some(VariableFault::Hangs) => std::future::pending().await,
        }
        check_name(&name)
            .and_then(|()| component.variable(&name))
            .map_err(Into::into)
    }
}

impl From<VariableError> for variables::Error {
    fn from(error: VariableError) -> Self {
        match error {
            VariableError::InvalidName(text) => Self::InvalidName(text),
            VariableError::Undefined(text) => Self::Undefined(text),
            VariableError::InvalidTemplate(_) => Self::Other(error.to_string()),
            VariableError::Provider(error) => Self::Provider(error.to_string()),
        }
    }
}
