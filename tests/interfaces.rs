//! The built components: each imports and exports what `wit/world.wit` declares for it, and nothing else.

use std::{collections::BTreeSet, path::PathBuf};

use wit_parser::{
    Resolve, WorldId,
    decoding::{DecodedWasm, decode},
};

use crate::support::project;

/// A component.
struct Component {
    /// Its world in `wit/world.wit`.
    world: &'static str,
    manifest: &'static str,
    /// The size of its file, in bytes, at most.
    budget: u64,
}

const COMPONENTS: [Component; 2] = [
    Component {
        world: "component-p2",
        manifest: "spin.toml",
        budget: 980_000,
    },
    Component {
        world: "component-p3",
        manifest: "spin-p3.toml",
        budget: 1_080_000,
    },
];

/// The lines that differ from manifest to manifest: what is built, and how.
const OWN: [&str; 2] = ["source = \"target/", "command = \"cargo "];

impl Component {
    fn manifest(&self) -> String {
        std::fs::read_to_string(project().join(self.manifest)).expect("the manifest")
    }

    /// The built file, as the manifest names it.
    fn file(&self) -> PathBuf {
        let manifest = self.manifest();
        let source = manifest
            .lines()
            .find_map(|line| line.strip_prefix("source = \"")?.strip_suffix('"'));
        project().join(source.expect("a source"))
    }
}

/// The patch release of an imported WASI 0.2 interface belongs to the Rust toolchain, and hosts take any.
fn without_patch(names: &BTreeSet<String>) -> BTreeSet<String> {
    let without = |name: &String| match name.rsplit_once("@0.2.") {
        Some((interface, _)) => format!("{interface}@0.2"),
        None => name.clone(),
    };
    names.iter().map(without).collect()
}

/// The names of what a world imports and exports.
fn names(resolve: &Resolve, world: WorldId) -> (BTreeSet<String>, BTreeSet<String>) {
    let world = &resolve.worlds[world];
    let imports = world.imports.keys().map(|key| resolve.name_world_key(key));
    let exports = world.exports.keys().map(|key| resolve.name_world_key(key));
    (imports.collect(), exports.collect())
}

#[test]
fn each_component_keeps_to_its_world() {
    let mut declared = Resolve::default();
    let (package, _) = declared.push_dir(project().join("wit")).expect("valid WIT");
    for component in COMPONENTS {
        let world = declared
            .select_world(&[package], Some(component.world))
            .expect("the world");
        let declared = names(&declared, world);
        let built = std::fs::read(component.file()).expect("the built component; run scripts/build");
        let DecodedWasm::Component(resolve, world) = decode(&built).expect("a component") else {
            panic!("{} is no component", component.manifest);
        };
        let built = names(&resolve, world);
        assert_eq!(
            without_patch(&built.0),
            without_patch(&declared.0),
            "{}",
            component.world
        );
        // Old hosts look for it by its whole name.
        assert_eq!(built.1, declared.1, "{}", component.world);
    }
}

/// A host fetches and compiles a component before its first answer: it shall stay small.
#[test]
fn each_component_keeps_to_its_budget() {
    for component in COMPONENTS {
        let size = std::fs::metadata(component.file()).expect("the built component").len();
        assert!(
            size <= component.budget,
            "the file of {} has {size} bytes, {} more than its budget: scripts/bench size tells which crates they come from",
            component.manifest,
            size.saturating_sub(component.budget)
        );
    }
}

#[test]
fn the_manifests_differ_in_what_is_built_alone() {
    let [one, other] = COMPONENTS.map(|component| component.manifest());
    let common = |manifest: &str| -> Vec<String> {
        let lines = manifest
            .lines()
            .filter(|line| !OWN.iter().any(|own| line.starts_with(own)));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(common(&one), common(&other));
    for manifest in [&one, &other] {
        for own in OWN {
            assert_eq!(
                manifest.lines().filter(|line| line.starts_with(own)).count(),
                1,
                "{own}"
            );
        }
    }
}
