//! The component imports and exports what `wit/world.wit` declares, and nothing else.

use std::collections::BTreeSet;

use wit_parser::Resolve;

use crate::support::{interfaces, names, project};

/// The patch release of a WASI 0.2 interface belongs to the Rust toolchain, not to us.
fn without_patch(name: &str) -> String {
    match name.rsplit_once("@0.2.") {
        Some((interface, _)) => format!("{interface}@0.2"),
        None => name.to_owned(),
    }
}

#[test]
fn the_component_keeps_to_its_world() {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(project().join("wit")).expect("valid WIT");
    let world = resolve.select_world(&[package], Some("component")).expect("the world");
    let (declared_imports, declared_exports) = names(&resolve, world);
    let (imports, exports) = interfaces();
    let comparable = |names: &BTreeSet<String>| names.iter().map(|name| without_patch(name)).collect::<BTreeSet<_>>();
    assert_eq!(comparable(exports), comparable(&declared_exports));
    assert_eq!(comparable(imports), comparable(&declared_imports));
}

/// A host fetches and compiles the component before its first answer: it shall stay small.
#[test]
fn the_component_keeps_to_its_budget() {
    const BUDGET: u64 = 1_000_000;
    let file = project().join("target/wasm32-wasip2/release/planexe_mcp.wasm");
    let size = std::fs::metadata(file).expect("the built component").len();
    assert!(
        size <= BUDGET,
        "the component has {size} bytes, {} more than its budget: scripts/bench size tells which crates they come from",
        size.saturating_sub(BUDGET)
    );
}
