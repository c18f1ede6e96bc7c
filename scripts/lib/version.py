"""Prints the version of the workspace, if every file that repeats it agrees; else says which do not.

What a running server says of itself is compiled in from Cargo.toml; tests/version.rs asks it.
"""

import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def toml(name: str) -> dict:
    """A TOML file of this project."""
    return tomllib.loads((ROOT / name).read_text())


VERSION = toml("Cargo.toml")["workspace"]["package"]["version"]
# A further file that repeats the version is one line here.
REPEATED = {
    "spin.toml": toml("spin.toml")["application"]["version"],
    "assets/pages/openapi.json": json.loads((ROOT / "assets/pages/openapi.json").read_text())["info"]["version"],
    "server.json": json.loads((ROOT / "server.json").read_text())["version"],
}
# And what the deployment pages tell to copy or to push.
for path in (ROOT / "deploy").rglob("*"):
    if path.is_file():
        for found in re.findall(r"planexe-mcp[-:](\d+\.\d+\.\d+)", path.read_text()):
            REPEATED[f"{path.relative_to(ROOT)} ({found})"] = found
wrong = {file: found for file, found in REPEATED.items() if found != VERSION}
for file, found in wrong.items():
    print(f"{file} says {found}, Cargo.toml {VERSION}", file=sys.stderr)
if not wrong:
    print(VERSION)
sys.exit(bool(wrong))
