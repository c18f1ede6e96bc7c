"""Checks the files of deploy/ with the programs that read them: scripts/deploy-check has pytest run this."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = "1.37"
# Of systemd-analyze security, 0 to 100: the unit is at 14; without its hardening it would be at 92.
EXPOSURE = 20
# The variables of spin.toml, and whether each is a secret.
VARIABLES = tomllib.loads((ROOT / "spin.toml").read_text())["variables"]
SETTINGS = {name: entry.get("secret", False) for name, entry in VARIABLES.items()}
# Every YAML document for SpinKube, by its file.
FOUND = sorted((DEPLOY / "spinkube").glob("*.yaml"))
DOCUMENTS = [(path.name, document) for path in FOUND for document in yaml.safe_load_all(path.read_text())]


def run(*command: str) -> str:
    """Runs a program to its end; what it printed."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert not done.returncode, done.stdout
    return done.stdout


def test_settings() -> None:
    """Every setting that a file gives is one of spin.toml (runtime-config.toml has the prefix)."""
    lines = (DEPLOY / "server/env.example").read_text().splitlines()
    compose = yaml.safe_load((DEPLOY / "compose/planexe.yaml").read_text())
    given = [line.split("=")[0] for line in lines if line and line[0] != "#"]
    given += compose["services"]["planexe_mcp"]["environment"]
    assert {name for name in given if name.removeprefix("PLANEXE_").lower() not in SETTINGS or name[:8] != "PLANEXE_"} == set()


@pytest.mark.parametrize(("file", "document"), DOCUMENTS)
def test_kubernetes(file: str, document: dict) -> None:
    """Kubernetes' own kinds against its schemas, the others against theirs in deploy/spinkube/schemas."""
    schema = DEPLOY / f"spinkube/schemas/{document['kind']}.json"
    if schema.exists():
        jsonschema.validate(document, json.loads(schema.read_text()))
    else:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    target = document.get("spec", {}).get("scaleTargetRef", {}).get("name", "planexe-mcp")
    assert target == "planexe-mcp", f"{file} scales what no SpinApp makes"


def test_spinapp() -> None:
    """Variables exist, secrets come from the secret, and what is referred to is there."""
    found = {document["kind"]: document for _, document in DOCUMENTS}
    app, keys = found["SpinApp"], found["Secret"]["stringData"]
    for variable in app["spec"]["variables"]:
        name = variable["name"]
        assert SETTINGS[name] == ("valueFrom" in variable), f"a secret in one of spin.toml and spinapp.yaml: {name}"
        assert not SETTINGS[name] or variable["valueFrom"]["secretKeyRef"]["key"] in keys
    assert app["spec"]["executor"] == found["SpinAppExecutor"]["metadata"]["name"]
    assert app["metadata"]["name"] == "planexe-mcp"


def test_compose() -> None:
    """The compose file against the Compose specification's schema."""
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "deploy/compose/planexe.yaml")


def test_dockerfile() -> None:
    """hadolint; and what is copied is there, and let through by the ignore file beside it."""
    run("hadolint", "--failure-threshold", "style", "deploy/compose/Dockerfile")
    ignore = (DEPLOY / "compose/Dockerfile.dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    lines = [line.split() for line in (DEPLOY / "compose/Dockerfile").read_text().splitlines()]
    copies = [words[1:-1] for words in lines if words[:1] == ["COPY"]]
    copied = {name for names in copies if not names[0].startswith("--from") for name in names} - {"."}
    assert copied <= let_in
    assert {name for name in copied | let_in if not (ROOT / name).exists()} == set()


def test_unit(tmp_path: Path) -> None:
    """systemd reads the unit without a word, and finds it well closed off."""
    unit = tmp_path / "planexe-mcp.service"
    text = (DEPLOY / "server/planexe-mcp.service").read_text()
    # Spin is not installed here, and systemd looks whether the program is.
    unit.write_text(text.replace("/usr/local/bin/spin", "/bin/true"))
    assert run("systemd-analyze", "verify", "--man=no", str(unit)).strip() == ""
    run("systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE}", "--no-pager", str(unit))


def test_versions() -> None:
    """One version of Spin in all files: the first that runs the component."""
    texts = [path.read_text() for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".md"]
    found = [match[1] for text in texts for match in re.finditer(r"(?:SPIN_VERSION=|/spin:v)([\d.]+)", text)]
    assert len(found) > 1 and len(set(found)) == 1
