//! Manifests whose components cannot be loaded or served.

use std::path::{Path, PathBuf};

use planexe_local::host::{Host, HostOptions, Runtime};
use planexe_local::manifest::Manifest;

use crate::support::{manifest, runtime};

/// A folder with a manifest whose component is `wasm`, if there is any.
fn folder(name: &str, component: &str, wasm: Option<&[u8]>) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("loading").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let text = format!(
        "spin_manifest_version = 2\n[application]\nname = \"a\"\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"main\"\n[component.main]\nsource = \"main.wasm\"\n{component}"
    );
    std::fs::write(folder.join("spin.toml"), text).unwrap();
    let file = folder.join("main.wasm");
    match wasm {
        Some(bytes) => std::fs::write(file, bytes).unwrap(),
        None => _ = std::fs::remove_file(file),
    }
    folder
}

fn load(folder: &Path) -> anyhow::Result<Runtime> {
    Runtime::load(&Manifest::load(&folder.join("spin.toml"), None)?, None)
}

#[test]
fn what_cannot_be_loaded() {
    // A component without imports and exports, and a core module.
    let empty: &[u8] = b"\0asm\x0d\0\x01\0";
    let module: &[u8] = b"\0asm\x01\0\0\0";
    for (name, wasm, reason) in [
        ("missing", None, "No such file"),
        ("text", Some(&b"(component)"[..]), "main.wasm"),
        ("module", Some(module), "main.wasm"),
        ("empty", Some(empty), "wasi:http/handler"),
    ] {
        let folder = folder(name, "", wasm);
        let error = format!("{:#}", load(&folder).err().unwrap());
        assert!(
            error.contains("cannot load the component \"main\"") && error.contains(reason),
            "{name}: {error}"
        );
    }
}

#[test]
fn errors_name_the_file() {
    let missing = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-such-spin.toml");
    let error = format!("{:#}", Manifest::load(&missing, None).unwrap_err());
    assert!(error.contains("no-such-spin.toml"), "{error}");
    let folder = folder("keys", "sqlite_databases = [\"default\"]", None);
    let error = format!("{:#}", Manifest::load(&folder.join("spin.toml"), None).unwrap_err());
    assert!(
        error.contains("keys/spin.toml") && error.contains("sqlite_databases"),
        "{error}"
    );
    let config = folder.join("runtime-config.toml");
    std::fs::write(&config, "[llm_compute]\ntype = \"spin\"").unwrap();
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest/spin.toml");
    let error = format!("{:#}", Manifest::load(&guest, Some(&config)).unwrap_err());
    assert!(
        error.contains("runtime-config.toml") && error.contains("llm_compute"),
        "{error}"
    );
}

#[test]
fn a_host_needs_the_runtime_of_its_manifest() {
    let folder = folder("other", "", None);
    let other = Manifest::load(&folder.join("spin.toml"), None).unwrap();
    let error = Host::new(runtime(), &other, HostOptions::default()).err().unwrap();
    assert_eq!(error.to_string(), "the runtime has no component \"main\"");
    assert!(Host::new(runtime(), manifest(), HostOptions::default()).is_ok());
}

#[test]
fn a_host_needs_the_folders_of_its_components() {
    let folder = folder("files", "files = [{ source = \"nowhere\", destination = \"/\" }]", None);
    let manifest = Manifest::load(&folder.join("spin.toml"), None).unwrap();
    let error = Host::new(runtime(), &manifest, HostOptions::default())
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("nowhere is not a folder"), "{error}");
}
