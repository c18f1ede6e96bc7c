//! What is tested: which host serves which manifest. The environment says it:
//!
//! - `PLANEXE_TEST_HOST`: `local` (the default), or `spin` for the `spin` on PATH or the one that `SPIN` names
//! - `PLANEXE_TEST_MANIFEST`: the manifest (default: `spin.toml`), relative to the project

use std::{collections::BTreeMap, env, fs, io::Write as _, path::PathBuf, sync::LazyLock};

use toml::Table;

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
        static IS_WASI_02: LazyLock<bool> = LazyLock::new(|| {
            let manifest = contents();
            let component = manifest["component"].as_table().and_then(|all| all.values().next());
            let source = component
                .and_then(|component| component["source"].as_str())
                .expect("a file");
            let file = manifest_file().with_file_name(source);
            let component =
                fs::read(&file).unwrap_or_else(|_| panic!("{} is missing: run scripts/build", file.display()));
            let export = b"wasi:http/incoming-handler@0.2";
            component.windows(export.len()).any(|bytes| bytes == export)
        });
        match (self, env::var("PLANEXE_TEST_HOST").as_deref()) {
            (Self::Wasi02, _) => *IS_WASI_02,
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
pub fn manifest_file() -> PathBuf {
    let file = env::var("PLANEXE_TEST_MANIFEST").ok().filter(|file| !file.is_empty());
    project().join(file.as_deref().unwrap_or("spin.toml"))
}

fn contents() -> Table {
    let text = fs::read_to_string(manifest_file()).expect("a manifest");
    text.parse().expect("TOML")
}

/// The names of the application's variables, with their defaults.
pub fn variables() -> BTreeMap<String, String> {
    let manifest = contents();
    let variables = manifest["variables"].as_table().expect("a table").iter();
    let default = |value: &toml::Value| value["default"].as_str().expect("a default").to_owned();
    variables.map(|(name, value)| (name.clone(), default(value))).collect()
}
