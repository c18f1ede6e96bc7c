"""Checks the files of deploy/ with the programs that read them: scripts/deploy-check runs this.

Each function below is one check; it raises Problem with what to mend. What needs a running proxy is in proxies.py.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import jsonschema
import kubernetes_validate
import proxies
import yaml
from problem import Problem, run

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = "1.37"
# Of systemd-analyze security, 0 to 100: the unit is at 14; without its hardening it would be at 92.
EXPOSURE = 20
SCRIPTS = [
    "local/src/cluster/find.sh",
    *sorted(
        str(path.relative_to(ROOT))
        for pattern in (".ci/*", "scripts/*", "scripts/lib/*.sh")
        for path in ROOT.glob(pattern)
        if path.is_file()
    ),
]


def settings() -> dict[str, bool]:
    """The variables of spin.toml, and whether each is a secret."""
    variables = tomllib.loads((ROOT / "spin.toml").read_text())["variables"]
    return {name: entry.get("secret", False) for name, entry in variables.items()}


def setting_of(environment: str) -> str:
    """The variable that an environment name sets (runtime-config.toml gives the prefix)."""
    return environment.removeprefix("PLANEXE_").lower()


def check_settings() -> None:
    """Every setting that a file gives is one of spin.toml."""
    known = settings()
    lines = (DEPLOY / "server/env.example").read_text().splitlines()
    given = {"server/env.example": [line.split("=")[0] for line in lines if line and line[0] != "#"]}
    compose = yaml.safe_load((DEPLOY / "compose/planexe.yaml").read_text())
    given["compose/planexe.yaml"] = list(compose["services"]["planexe_mcp"]["environment"])
    for file, names in given.items():
        for name in names:
            if not name.startswith("PLANEXE_") or setting_of(name) not in known:
                raise Problem(f"deploy/{file}: {name} sets nothing that spin.toml has")


def documents(folder: Path) -> list[tuple[Path, dict]]:
    """Every YAML document of a folder's files."""
    found = []
    for path in sorted(folder.glob("*.yaml")):
        found += [(path.relative_to(ROOT), document) for document in yaml.safe_load_all(path.read_text())]
    return found


def check_kubernetes() -> None:
    """Kubernetes' own kinds against its schemas, the others against theirs in deploy/spinkube/schemas."""
    for path, document in documents(DEPLOY / "spinkube"):
        try:
            schema = ROOT / f"deploy/spinkube/schemas/{document['kind']}.json"
            if schema.exists():
                jsonschema.validate(document, json.loads(schema.read_text()))
            else:
                kubernetes_validate.validate(document, KUBERNETES, strict=True)
        except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
            where = ".".join(str(step) for step in getattr(error, "path", []))
            raise Problem(f"{path}: {document['kind']}: {where}: {error.message}") from error


def check_spinapp() -> None:
    """Variables exist, secrets come from the secret, and what is referred to is there."""
    found = {document["kind"]: document for _, document in documents(DEPLOY / "spinkube")}
    app, known, keys = found["SpinApp"], settings(), found["Secret"]["stringData"]
    for variable in app["spec"]["variables"]:
        name = variable["name"]
        if name not in known:
            raise Problem(f"spinapp.yaml: {name} is not in spin.toml")
        if known[name] != ("valueFrom" in variable):
            raise Problem(f"spinapp.yaml: {name} is {'' if known[name] else 'not '}a secret in spin.toml")
        if known[name] and variable["valueFrom"]["secretKeyRef"]["key"] not in keys:
            raise Problem(f"spinapp.yaml: {name} takes a key that secret.example.yaml lacks")
    if app["spec"]["executor"] != found["SpinAppExecutor"]["metadata"]["name"]:
        raise Problem("spinapp.yaml names another executor than executor.yaml makes")
    for path, document in documents(DEPLOY / "spinkube"):
        target = document.get("spec", {}).get("scaleTargetRef", {}).get("name", "planexe-mcp")
        if target != app["metadata"]["name"]:
            raise Problem(f"{path}: scales {target}, which no SpinApp makes")


def check_compose() -> None:
    """The compose file against the Compose specification's schema."""
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "deploy/compose/planexe.yaml")


def check_dockerfile() -> None:
    """hadolint; and what is copied is let through by the ignore file beside it."""
    run("hadolint", "--failure-threshold", "style", "deploy/compose/Dockerfile")
    ignore = (DEPLOY / "compose/Dockerfile.dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    for line in (DEPLOY / "compose/Dockerfile").read_text().splitlines():
        words = line.split()
        if words[:1] != ["COPY"] or words[1].startswith("--from") or words[1] == ".":
            continue
        for name in words[1:-1]:
            if name not in let_in or not (ROOT / name).exists():
                raise Problem(f"Dockerfile copies {name}, which its .dockerignore keeps out or which is not there")
    for name in let_in:
        if not (ROOT / name).exists():
            raise Problem(f"Dockerfile.dockerignore lets in {name}, which is not there")


def check_unit() -> None:
    """systemd reads the unit without a word, and finds it well closed off."""
    if sys.platform != "linux":
        print("deploy-check: NOT CHECKED: the systemd unit, as this is no Linux")
        return
    with tempfile.TemporaryDirectory() as folder:
        unit = Path(folder) / "planexe-mcp.service"
        text = (DEPLOY / "server/planexe-mcp.service").read_text()
        # Spin is not installed here, and systemd looks whether the program is.
        unit.write_text(text.replace("/usr/local/bin/spin", "/bin/true"))
        said = run("systemd-analyze", "verify", "--man=no", str(unit))
        if said.strip():
            raise Problem(f"planexe-mcp.service: {said.strip()}")
        run("systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE}", "--no-pager", str(unit))


def check_scripts() -> None:
    """shellcheck over everything that a shell runs."""
    run("shellcheck", "--external-sources", *SCRIPTS)


def check_versions() -> None:
    """One version of Spin in all files: the first that runs the component."""
    found = {}
    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.suffix != ".md":
            for match in re.finditer(r"SPIN_VERSION=([\d.]+)|/spin:v([\d.]+)", path.read_text()):
                found[str(path.relative_to(ROOT))] = match[1] or match[2]
    if len(found) < 2 or len(set(found.values())) != 1:
        raise Problem(f"versions of Spin differ: {found}")


CHECKS = {
    "settings": check_settings,
    "Kubernetes' schemas": check_kubernetes,
    "SpinApp and spin.toml": check_spinapp,
    "compose schema": check_compose,
    "Dockerfile (hadolint)": check_dockerfile,
    "systemd-analyze": check_unit,
    "nginx -t, and requests through it": proxies.check_nginx,
    "caddy validate, and requests through it": proxies.check_caddy,
    "one version of Spin": check_versions,
    "shellcheck": check_scripts,
}


def main() -> None:
    """Runs every check, and fails when one of them does."""
    os.chdir(ROOT)
    failed = False
    for name, check in CHECKS.items():
        try:
            check()
            print(f"deploy-check: {name}: well", flush=True)
        except Problem as problem:
            failed = True
            print(f"deploy-check: {name}: {problem}", file=sys.stderr, flush=True)
        except subprocess.TimeoutExpired as late:
            failed = True
            print(f"deploy-check: {name}: {late.cmd[0]} did not end", file=sys.stderr, flush=True)
    sys.exit(failed)


main()
