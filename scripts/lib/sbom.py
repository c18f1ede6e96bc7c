"""Takes the traces of the building machine out of an SBOM of cargo-cyclonedx, and checks that it lists the component's
parts, among them BINDINGS, the crate with its host's interfaces: sbom.py FROM TO BINDINGS. Cargo names members of a
workspace by the folder that they were built in.
"""

import json
import re
import sys
from pathlib import Path

source, target, bindings = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
# A reference stands in several places: replaced everywhere alike, in the text.
text = re.sub(r"path\+file://[^#\"]*", "path+file:///planexe-mcp", source.read_text())
text = re.sub(r"\?download_url=file://[^\"#]*", "", text)
bill = json.loads(text)
names = {part["name"] for part in bill["components"]}
assert {bindings, "serde_json", "flate2"} <= names, f"parts of the component are missing: {sorted(names)}"
assert not names & {"wasmtime", "tokio", "zip", "insta", "planexe-local"}, "the SBOM lists what only the tests need"
assert str(source.parent) not in text, f"the SBOM names {source.parent}"
target.write_text(json.dumps(bill, indent=2) + "\n")
print(f"release: the SBOM lists {len(names)} crates")
