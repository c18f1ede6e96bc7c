//! What is tested: which host serves which manifest. The environment says it:
//!
//! - `PLANEXE_TEST_HOST`: `local` (the default), or `spin` for the `spin` on PATH or the one that `SPIN` names
//! - `PLANEXE_TEST_MANIFEST`: the manifest (default: `spin.toml`), relative to the project

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    path::PathBuf,
    sync::LazyLock,
};

use toml::Table;
use wit_parser::{
    Resolve, WorldId,
    decoding::{DecodedWasm, decode},
};

use super::project;

/// A property of what is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The host of this repository.
    LocalHost,
    /// Spin, whatever release.
    Spin,
    /// A component of WASI 0.2: each instance serves one request, and its database calls cannot be given up.
    Wasi02,
}

impl Subject {
    /// Whether what is tested now has the property.
    pub fn is_tested(self) -> bool {
        match (self, std::env::var("PLANEXE_TEST_HOST").as_deref()) {
            (Self::Wasi02, _) => interfaces().1.iter().any(|name| name.contains("incoming-handler")),
            (Self::Spin, Ok("spin")) | (Self::LocalHost, Ok("local" | "") | Err(_)) => true,
            (Self::Spin, Ok("local" | "") | Err(_)) | (Self::LocalHost, Ok("spin")) => false,
            (_, Ok(other)) => panic!("PLANEXE_TEST_HOST must be local or spin, not {other}"),
        }
    }
}

/// Whether the calling test cannot hold here. Then it says so, where the test harness hides no output.
pub fn is_skipped_on(subject: Subject, reason: &str) -> bool {
    let is_skipped = subject.is_tested();
    if is_skipped {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or_default();
        writeln!(std::io::stderr(), "not run on {subject:?}: {test}: {reason}").expect("an open standard error");
    }
    is_skipped
}

/// The path of the manifest.
pub fn manifest() -> PathBuf {
    let file = std::env::var("PLANEXE_TEST_MANIFEST").ok();
    let file = file.filter(|file| !file.is_empty());
    project().join(file.as_deref().unwrap_or("spin.toml"))
}

fn contents() -> Table {
    let text = std::fs::read_to_string(manifest()).expect("a manifest");
    text.parse().expect("TOML")
}

/// The names of the application's variables, with their defaults.
pub fn variables() -> BTreeMap<String, String> {
    let manifest = contents();
    let variables = manifest["variables"].as_table().expect("a table");
    let default = |value: &toml::Value| value["default"].as_str().expect("a default").to_owned();
    variables
        .iter()
        .map(|(name, value)| (name.clone(), default(value)))
        .collect()
}

/// The names of the interfaces that the built component imports and exports.
pub fn interfaces() -> &'static (BTreeSet<String>, BTreeSet<String>) {
    static INTERFACES: LazyLock<(BTreeSet<String>, BTreeSet<String>)> = LazyLock::new(|| {
        let manifest = contents();
        let mut components = manifest["component"].as_table().expect("a table").values();
        let source = components.next().expect("a component")["source"]
            .as_str()
            .expect("a file")
            .to_owned();
        let file = self::manifest().with_file_name(source);
        let bytes = std::fs::read(&file).unwrap_or_else(|_| panic!("{} is missing: run scripts/build", file.display()));
        match decode(&bytes).expect("a component") {
            DecodedWasm::Component(resolve, world) => names(&resolve, world),
            DecodedWasm::WitPackage(..) => panic!("{} is no component", file.display()),
        }
    });
    &INTERFACES
}

/// The names of what a world imports and exports.
pub fn names(resolve: &Resolve, world: WorldId) -> (BTreeSet<String>, BTreeSet<String>) {
    let world = &resolve.worlds[world];
    let imports = world.imports.keys().map(|key| resolve.name_world_key(key));
    let exports = world.exports.keys().map(|key| resolve.name_world_key(key));
    (imports.collect(), exports.collect())
}
