"""Checks every Markdown document that Git knows: its command blocks and its links. scripts/docs-check runs this.

Command blocks are fenced blocks in sh, bash, shell or console. A comment stands directly before each one and says what
becomes of it; a block without one fails the check:

    <!-- run -->                           run here and now, in the checkout, by `bash -euo pipefail`. Of a console
                                           block the lines behind `$ ` are run one by one, and each has to print the
                                           lines that follow it; a line of `…` stands for any lines, and `…` within a
                                           line for any text.
    <!-- run with: server -->              the same, with a server of its own in the place of http://127.0.0.1:8001;
                                           its key is PLANEXE_MCP_API_KEY, the address of its database DATABASE.
    <!-- run by: FILE -->                  that file of the project runs it: every command has to stand there, word by
                                           word (a trailing comment and the arguments in angle brackets left out).
    <!-- not run: why it cannot be run --> nobody runs it, for this reason.

Blocks in json and toml have to be that: people paste them into the configurations of their clients.

Links: a relative one leads to a file of the project, and its anchor to a heading there; one to elsewhere has a scheme
and a host. Whether that one answers is not asked: this check needs no network.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
SHELLS = {"sh", "bash", "shell", "console"}
PARSERS = {"json": json.loads, "toml": tomllib.loads}
LIMIT = 600
# The server in the documents; the one of scripts/docs-check stands for it.
SERVER = "http://127.0.0.1:8001"
MARK = re.compile(
    r"<!--\s*(run|run with:\s*(?P<fixture>server)|run by:\s*(?P<file>\S+)|not run:\s*(?P<reason>\S.*?))\s*-->", re.DOTALL
)
MARKDOWN = MarkdownIt("commonmark").enable("table")


def slugs(tokens: list) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    for before, token in zip(tokens, tokens[1:], strict=False):
        if before.type != "heading_open":
            continue
        text = "".join(part.content for part in token.children if part.type in {"text", "code_inline"})
        slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
        count = found[slug] = found.get(slug, -1) + 1
        if count:
            found[f"{slug}-{count}"] = 0
    return set(found)


def links(tokens: list) -> list[str]:
    """What the links and pictures of a document lead to."""
    found = []
    for token in tokens:
        for part in token.children or []:
            target = part.attrGet("href") or part.attrGet("src")
            if target:
                found.append(target)
    return found


def link_fault(document: Path, target: str, known: set[Path]) -> str | None:
    """Why a link is broken, if it is."""
    parts = urlsplit(unquote(target))
    if parts.scheme:
        fine = parts.scheme == "mailto" or (parts.scheme in {"http", "https"} and parts.hostname)
        return None if fine else "no address"
    path = (document.parent / parts.path).resolve() if parts.path else document
    if path != document and path not in known and not any(path in file.parents for file in known):
        return "no such file in Git"
    if parts.fragment:
        if path.suffix != ".md":
            return "an anchor into a file that is no Markdown"
        if parts.fragment not in slugs(MARKDOWN.parse(path.read_text())):
            return "no such heading"
    return None


def console(block: str) -> list[tuple[str, list[str]]]:
    """The commands of a console block, each with the lines that it prints."""
    steps: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        elif steps and steps[-1][0].endswith("\\") and line.startswith("> "):
            steps[-1] = (f"{steps[-1][0]}\n{line[2:]}", [])
        elif steps:
            steps[-1][1].append(line)
    return steps


def shell(script: str) -> tuple[int, str]:
    """Runs a script in the checkout: its status, and what it printed."""
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT, text=True
    )
    return done.returncode, done.stdout


def line_pattern(line: str) -> str:
    """What a line of a console block stands for."""
    return r"(?:.*\n)*" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\n"


def run_block(language: str, block: str) -> str | None:
    """Runs a block; what went wrong, if something did."""
    steps = console(block) if language == "console" else [(block, ["…"])]
    if not steps:
        return "a console block without a line that begins with `$ `"
    for command, expected in steps:
        try:
            status, printed = shell(command)
        except subprocess.TimeoutExpired:
            return f"{command.strip()!r} did not end in {LIMIT} s"
        if status:
            return f"{command.strip()!r} ended with {status}: {printed.strip()[-500:]}"
        pattern = "".join(line_pattern(line) for line in expected)
        if not re.fullmatch(pattern, printed if printed.endswith("\n") or not printed else printed + "\n"):
            return f"{command.strip()!r} printed {printed!r}"
    return None


def commands(language: str, block: str) -> list[str]:
    """The commands of a block in one line each, without comments and placeholders."""
    if language == "console":
        block = "\n".join(command for command, _ in console(block))
    joined = block.replace("\\\n", " ")
    lines = [re.sub(r"(^|\s)#.*$", "", line) for line in joined.splitlines()]
    return [" ".join(re.sub(r"<[^>]*>", "", line).split()) for line in lines if line.strip()]


def block_fault(language: str, block: str, before: str) -> str | None:
    """What is wrong with a command block, if something is."""
    mark = MARK.fullmatch(before.strip())
    if not mark:
        return "no comment before it: <!-- run -->, <!-- run with: server -->, <!-- run by: FILE --> or <!-- not run: REASON -->"
    if mark["reason"]:
        return None
    if mark["fixture"]:
        address = os.environ.get("ADDRESS")
        return run_block(language, block.replace(SERVER, address)) if address else "scripts/docs-check starts its server"
    if not mark["file"]:
        return run_block(language, block)
    runner = ROOT / mark["file"]
    if not runner.is_file():
        return f"{mark['file']} is not there"
    text = " ".join(runner.read_text().split())
    missing = [command for command in commands(language, block) if command not in text]
    return f"{mark['file']} does not run {missing[0]!r}" if missing else None


def main() -> None:
    """Checks all documents; names every fault with file and line."""
    os.chdir(ROOT)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], stdout=subprocess.PIPE, check=True, text=True
    )
    known = {ROOT / name for name in listed.stdout.split("\0") if name}
    faults, counts = [], {"documents": 0, "links": 0, "run": 0, "run elsewhere": 0, "not run": 0, "parsed": 0}
    for document in sorted(path for path in known if path.suffix == ".md" and path.exists()):
        name, tokens = document.relative_to(ROOT), MARKDOWN.parse(document.read_text())
        counts["documents"] += 1
        for target in links(tokens):
            counts["links"] += 1
            if fault := link_fault(document, target, known):
                faults.append(f"{name}: link to {target}: {fault}")
        for index, token in enumerate(tokens):
            language = token.info.split(" ")[0] if token.type == "fence" else ""
            if parse := PARSERS.get(language):
                counts["parsed"] += 1
                try:
                    parse(token.content)
                except ValueError as error:
                    faults.append(f"{name}:{token.map[0] + 1}: {language} block: {error}")
            if language not in SHELLS:
                continue
            previous = tokens[index - 1] if index else None
            before = previous.content if previous and previous.type == "html_block" else ""
            kind = "not run" if "not run:" in before else "run elsewhere" if "run by:" in before else "run"
            counts[kind] += 1
            if fault := block_fault(language, token.content, before):
                faults.append(f"{name}:{token.map[0] + 1}: command block: {fault}")
    for fault in faults:
        print(f"docs-check: {fault}", file=sys.stderr)
    print("docs-check: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    sys.exit(bool(faults))


main()
