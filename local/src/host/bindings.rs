//! The host's side of Spin's interfaces, generated from their WIT: `spin:*` for components of WASI 0.3, `fermyon:spin` for
//! those of WASI 0.2.

use std::sync::Arc;

use wasmtime::component::{HasData, Linker, ResourceTable};

use super::{component::Component, instances::InstanceState};

wasmtime::component::bindgen!({
    path: "../wit",
    world: "planexe:mcp/host",
    imports: { default: async },
    with: {
        "spin:postgres/postgres.connection": super::postgres::Connection,
        "fermyon:spin/postgres.connection": super::postgres::Connection,
    },
});

/// The implementor of the interfaces.
pub(super) struct Spin;

/// What the interfaces need of an instance.
pub(super) struct SpinView<'a> {
    pub(super) table: &'a mut ResourceTable,
    pub(super) component: &'a Arc<Component>,
}

impl HasData for Spin {
    type Data<'a> = SpinView<'a>;
}

/// Links the interfaces.
pub(super) fn add_to_linker(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    Host_::add_to_linker::<_, Spin>(linker, InstanceState::spin)
}
