"""Prints the version of the workspace, if every file that repeats it agrees; else says which do not.

What a running server says of itself is compiled in from Cargo.toml; tests/version.rs asks it.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAID = re.compile(r'^\s*"?version"?\s*[=:]\s*"(.*?)"', re.MULTILINE)
# And what the deployment pages tell to copy or to push.
SHOWN = re.compile(r"planexe-mcp[-:](\d+\.\d+\.\d+)")

version = SAID.search((ROOT / "Cargo.toml").read_text())[1]
found = {f: SAID.findall((ROOT / f).read_text())[:1] for f in ("spin.toml", "spin-p3.toml", "server.json", "assets/pages/openapi.json")}
found |= {f"{path}": SHOWN.findall(path.read_text()) for path in (ROOT / "deploy").rglob("*") if path.is_file()}
wrong = {file: said for file, said in found.items() if set(said) - {version} or (not said and "/deploy/" not in file)}
for file, said in wrong.items():
    print(f"{file} says {said}, Cargo.toml {version}", file=sys.stderr)
print(version)
sys.exit(bool(wrong))
