//! The host's side of Spin's interfaces, generated from their WIT: `spin:*` for components of WASI 0.3, `fermyon:spin` for
//! those of WASI 0.2.

use std::sync::Arc;

use wasmtime::component::{HasData, Linker, ResourceTable};

use super::component::Component;
use super::instances::InstanceState;

wasmtime::component::bindgen!({
    path: "../wit",
    inline: "
        package planexe:local;

        world imports {
            import spin:variables/variables@3.0.0;
            import spin:postgres/postgres@4.2.0;
            import fermyon:spin/variables@2.0.0;
            import fermyon:spin/postgres@2.0.0;
        }
    ",
    world: "planexe:local/imports",
    imports: { default: async },
    with: {
        "spin:postgres/postgres.connection": super::postgres::Connection,
        "fermyon:spin/postgres.connection": super::postgres::Connection,
    },
});

/// The implementor of the interfaces.
pub(crate) struct Spin;

/// What the interfaces need of an instance.
pub(crate) struct SpinView<'a> {
    pub(crate) table: &'a mut ResourceTable,
    pub(crate) component: &'a Arc<Component>,
}

impl HasData for Spin {
    type Data<'a> = SpinView<'a>;
}

/// Links the interfaces.
pub(crate) fn add_to_linker(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    Imports::add_to_linker::<_, Spin>(linker, InstanceState::spin)
}
