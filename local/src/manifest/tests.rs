//! Manifests that are accepted, and the words with which others are refused.

use super::*;

const SMALL: &str = r#"
spin_manifest_version = 2
[application]
name = "app"
version = "1.2.3"
authors = ["someone"]
[variables]
db_host = { default = "localhost" }
api_key = { required = true, secret = true }
[[trigger.http]]
route = "/..."
component = "main"
[component.main]
source = "target/main.wasm"
allowed_outbound_hosts = ["postgres://{{ db_host }}:5432"]
files = [{ source = "docs", destination = "/docs" }]
[component.main.variables]
key = "{{ api_key }}"
[component.main.build]
command = "cargo build"
"#;

fn parse(text: &str) -> anyhow::Result<Manifest> {
    Manifest::parse(text, Path::new("/app"))
}

#[test]
fn a_manifest() {
    let manifest = parse(SMALL).unwrap();
    assert_eq!(manifest.name(), "app");
    assert_eq!(manifest.version(), Some("1.2.3"));
    assert_eq!(
        manifest.variables().get("db_host").unwrap().default.as_deref(),
        Some("localhost")
    );
    assert_eq!(
        manifest.variables().get("api_key").unwrap(),
        &Variable {
            default: None,
            secret: true
        }
    );
    let component = manifest.components().get("main").unwrap();
    assert_eq!(component.source(), Path::new("/app/target/main.wasm"));
    assert_eq!(component.allowed_outbound_hosts(), ["postgres://{{ db_host }}:5432"]);
    assert_eq!(
        component.files(),
        [FileMount {
            source: "/app/docs".into(),
            destination: "/docs".to_owned()
        }]
    );
    assert_eq!(component.variables().keys().collect::<Vec<_>>(), ["key"]);
    assert_eq!(manifest.routes().len(), 1);
    assert!(manifest.env_prefixes().is_empty());
    assert!(manifest.connection_pooling());
}

#[test]
fn a_component_without_trigger_is_left_out() {
    let text = format!("{SMALL}\n[component.other]\nsource = \"other.wasm\"\n");
    assert_eq!(parse(&text).unwrap().components().len(), 1);
}

#[test]
fn what_is_not_served_is_named() {
    for (from, to, reason) in [
        (
            "[component.main.build]",
            "[component.main.dependencies]",
            "dependencies",
        ),
        (
            "source = \"target",
            "key_value_stores = [\"default\"]\nsource = \"target",
            "key_value_stores",
        ),
        (
            "source = \"target",
            "sqlite_databases = [\"default\"]\nsource = \"target",
            "sqlite_databases",
        ),
        (
            "source = \"target/main.wasm\"",
            "source = { url = \"x\", digest = \"y\" }",
            "digest, url",
        ),
        ("[[trigger.http]]", "[[trigger.redis]]", "redis"),
        (
            "files = [{ source = \"docs\", destination = \"/docs\" }]",
            "files = [\"*.md\"]",
            "\"*.md\"",
        ),
        ("destination = \"/docs\"", "destination = \"docs\"", "not absolute"),
        ("spin_manifest_version = 2", "spin_manifest_version = 3", "must be 2"),
        (
            "authors = [\"someone\"]",
            "trigger = { http = { base = \"/\" } }",
            "trigger",
        ),
        (
            "route = \"/...\"",
            "route = \"/...\"\nexecutor = { type = \"wagi\" }",
            "wagi",
        ),
        ("route = \"/...\"", "route = { private = false }", "private = true"),
        ("route = \"/...\"", "route = { private = true }", "no [[trigger.http]]"),
        ("component = \"main\"", "component = \"missing\"", "\"missing\""),
        ("component.main", "component.my_main", "kebab-case"),
        (
            "required = true",
            "required = true, default = \"x\"",
            "mutually exclusive",
        ),
        ("required = true, ", "", "neither"),
        ("db_host = {", "dbHost = {", "invalid character 'H'"),
        ("{{ api_key }}", "{{ api_keys }}", "unknown variable \"api_keys\""),
        ("{{ api_key }}", "{{ api_key", "unmatched"),
        ("key = \"{{", "my__key = \"{{", "consecutive underscores"),
        (
            "default = \"localhost\"",
            "default = \"no/host\"",
            "allowed_outbound_hosts",
        ),
        (
            "[\"postgres://{{ db_host }}:5432\"]",
            "[\"localhost\"]",
            "does not contain a scheme",
        ),
    ] {
        assert!(SMALL.contains(from), "{from}");
        let error = format!("{:#}", parse(&SMALL.replace(from, to)).unwrap_err());
        assert!(error.contains(reason), "{to}: {error}");
    }
}

#[test]
fn runtime_configuration() {
    let provider = "[[variables_provider]]\ntype = \"env\"\nprefix = \"PLANEXE\"\ndotenv_path = \".env\"";
    let config = schema::runtime_config(provider).unwrap();
    assert_eq!(config.env_prefixes, ["PLANEXE"]);
    assert_eq!(config.dotenv_paths, [Path::new(".env")]);
    assert!(config.connection_pooling);
    let config = schema::runtime_config("[[variables_provider]]\ntype = \"env\"\n[outbound_http]").unwrap();
    assert_eq!(config.env_prefixes, ["SPIN_VARIABLE"]);
    assert!(config.dotenv_paths.is_empty());
    assert!(!config.connection_pooling);
    assert!(
        schema::runtime_config("[outbound_http]\nconnection_pooling = true")
            .unwrap()
            .connection_pooling
    );
    for (text, reason) in [
        ("[[variables_provider]]\ntype = \"vault\"", "\"vault\""),
        (
            "[[variables_provider]]\ntype = \"env\"\npath = \".env\"",
            "unknown field `path`",
        ),
        ("[outbound_http]\nmax_connections = 1", "max_connections"),
        ("[key_value_store.default]\ntype = \"redis\"", "key_value_store"),
    ] {
        let error = format!("{:#}", schema::runtime_config(text).unwrap_err());
        assert!(error.contains(reason), "{error}");
    }
}
