"""Checks the blocks of every Markdown document that Git knows. scripts/docs-check runs this.

Blocks in json and toml have to be that: people paste them into the configurations of their clients. Before each block in
sh or console stands a comment that says what becomes of it:

    <!-- run -->                           run here and now, in the checkout, by `bash -euo pipefail`. Of a console
                                           block the lines behind `$ ` are run one by one, and each has to print the
                                           lines that follow it; a line of `…` stands for any lines, and `…` within a
                                           line for any text. http://127.0.0.1:8001 is a server of this check's own; its
                                           key is PLANEXE_MCP_API_KEY, the address of its database DATABASE.
    <!-- not run: why it cannot be run --> not run, for this reason.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

PARSERS = {"json": json.loads, "toml": tomllib.loads}
SHELLS = {"sh", "bash", "shell", "console"}
LIMIT = 600
BLOCK = re.compile(r"(?:<!--(?P<mark>(?:(?!-->).)*)-->\s*)?^ *```(?P<language>\w+)\n(?P<text>.*?)^ *```$", re.DOTALL | re.MULTILINE)


def steps(language: str, block: str) -> list[tuple[str, str]]:
    """The commands of a block, each with a pattern of what it prints."""
    if language != "console":
        return [(block, "(?s:.*)")]
    parts = re.findall(r"^\$ ((?:.*\\\n)*.*\n)((?:(?!\$ ).*\n)*)", block.replace("\\\n> ", "\\\n"), re.MULTILINE)
    whole_lines = [(command, re.sub(r"^…\\\n", r"(?:.*\\n)*", re.escape(printed), flags=re.MULTILINE)) for command, printed in parts]
    return [(command, pattern.replace("…", ".*")) for command, pattern in whole_lines]


def fault_of(language: str, block: str, mark: str) -> str | None:
    """What is wrong with a block, if something is."""
    if parse := PARSERS.get(language):
        try:
            return parse(block) and None
        except ValueError as error:
            return str(error)
    if re.fullmatch(r"not run: \S.*", mark, re.DOTALL):
        return None
    if mark != "run":
        return "no comment before it: <!-- run --> or <!-- not run: REASON -->"
    found = steps(language, block.replace("http://127.0.0.1:8001", os.environ["ADDRESS"]))
    for command, pattern in found:
        script = ["timeout", str(LIMIT), "bash", "-euo", "pipefail", "-c", command]
        done = subprocess.run(script, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode or not re.fullmatch(pattern, done.stdout.rstrip("\n") + "\n"):
            return f"{command.strip()!r} ended with {done.returncode} and printed {done.stdout[-2000:]!r}"
    return None if found else "a console block without a line that begins with `$ `"


def main() -> None:
    """Checks all documents; names every fault with file and line."""
    listed = subprocess.run(["git", "ls-files", "-z", "*.md"], stdout=subprocess.PIPE, check=True, text=True)
    faults, counts = 0, Counter()
    for name in listed.stdout.split("\0")[:-1]:
        text = Path(name).read_text()
        for block in BLOCK.finditer(text):
            language, mark = block["language"], (block["mark"] or "").strip()
            if language not in SHELLS | PARSERS.keys():
                continue
            counts["parsed" if language in PARSERS else mark.split(":")[0]] += 1
            if fault := fault_of(language, block["text"], mark):
                faults += 1
                line = text.count("\n", 0, block.start("text"))
                print(f"docs-check: {name}:{line}: {language} block: {fault}", file=sys.stderr)
    print("docs-check: blocks: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    sys.exit(bool(faults))


main()
