//! The built components: each imports and exports what `wit/world.wit` declares for it, and nothing else.

use std::{collections::BTreeSet, path::PathBuf};

use wit_parser::{
    Resolve, WorldId,
    decoding::{DecodedWasm, decode},
};

use crate::support::project;

/// A component: its world, its manifest, its budget in bytes, and the host's version of the interface that it exports.
struct Component {
    world: &'static str,
    manifest: &'static str,
    budget: u64,
    export: &'static str,
}

const COMPONENTS: [Component; 2] = [
    Component {
        world: "component-p2",
        manifest: "spin.toml",
        budget: 900_000,
        // Spin 3.0 looks for this version and no other.
        export: "wasi:http/incoming-handler@0.2.0",
    },
    Component {
        world: "component-p3",
        manifest: "spin-p3.toml",
        budget: 1_000_000,
        export: "wasi:http/handler@0.3.0",
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

/// Names of what a world imports and exports. The patch release of a WASI 0.2 interface belongs to the Rust toolchain,
/// and hosts take any: it counts for the export alone, for which old hosts look by its whole name.
fn interfaces(resolve: &Resolve, world: WorldId) -> (BTreeSet<String>, BTreeSet<String>) {
    let world = &resolve.worlds[world];
    let without_patch = |name: String| match name.rsplit_once("@0.2.") {
        Some((interface, _)) => format!("{interface}@0.2"),
        None => name,
    };
    (
        world
            .imports
            .keys()
            .map(|key| without_patch(resolve.name_world_key(key)))
            .collect(),
        world.exports.keys().map(|key| resolve.name_world_key(key)).collect(),
    )
}

#[test]
fn each_component_keeps_to_its_world() {
    let mut declared = Resolve::default();
    let (package, _) = declared.push_dir(project().join("wit")).expect("valid WIT");
    for component in COMPONENTS {
        let world = declared
            .select_world(&[package], Some(component.world))
            .expect("the world");
        let file = std::fs::read(component.file()).expect("the built component; run scripts/build");
        let DecodedWasm::Component(built, built_world) = decode(&file).expect("a component") else {
            panic!("{} is no component", component.world);
        };
        let (imports, exports) = interfaces(&built, built_world);
        assert_eq!(
            (&imports, &exports),
            (&interfaces(&declared, world).0, &interfaces(&declared, world).1)
        );
        assert_eq!(
            exports,
            BTreeSet::from([component.export.to_owned()]),
            "{}",
            component.world
        );
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
