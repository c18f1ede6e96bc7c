"""Makes the table of results: table.py FOLDER [--write FILE | --check FILE] ROW…

FOLDER has a file ROW.jsonl for each row, the lines of one client. Fails when a step failed or is missing.
"""

import argparse
import json
import sys
from pathlib import Path

COLUMNS = tuple("client|version|mode|key in|connection|list|good call|bad call|prompt|plan|retry|save".split("|"))
STEPS = ("list", "good", "bad", "prompt", "plan", "retry", "save")
# Modes that start a process: task_download is there only.
PROCESSES = {"stdio", "bridge"}
# What a client has nothing to send for.
ABSENT = {"mcp_local": {"list", "prompt"}}

ABOUT = """\
Every cell is a run of that client against the component. **Connection**: the revision that the two agreed on, and
that the client ended without a complaint. **List**: all tools, with schemas that the client takes. **Good call**:
`prompt_examples`, its text the same as its `structuredContent`. **Bad call**: wrong arguments for `task_create`, seen
as an error of the tool with its code. **Prompt**: `plan_project` listed and filled in. **Plan**: `task_create`,
`task_status` until it is completed, `task_file_info`, and the report and the zip downloaded with the size and SHA-256
as announced; with the Python SDK over HTTP also `plan_create`, `plan_stop`, `plan_retry`, `plan_status`, `plan_list` and
`plan_file_info`. **Retry**: `task_create` again with the same `client_request_id` returns the first task.

`mcp_local`, PlanExe's own proxy, is reproduced request for request. It has its own list and no prompts. Its results are
compared with the output schemas that it lists, as the SDKs of its users do (not in the mode rpc, a fallback that it does
not need here). **Plan** also asks for files before there are any and for those of a plan that failed: nothing is saved,
and the error is the server's, with the reason of the failure. It repeats requests by itself without an id: in **Retry**,
the answer to `task_create` is lost twice, as a 502, a timeout and a cut connection, and three attempts buy one plan.

In the modes `stdio` the client starts `scripts/stdio`, which is the server; in the modes `bridge` the process stands in
front of the server that the other rows ask, with the key in its environment. There, **Save**: `task_download` waits for
a plan, tells the progress (which the Inspector does not show), and saves the report and the zip as announced, once.
"""


def read(path: Path) -> dict[str, dict]:
    lines = path.read_text().splitlines() if path.exists() else []
    steps = [json.loads(line) for line in lines if line.startswith("{")]
    return {step["step"]: step for step in steps}


def row(name: str, steps: dict[str, dict]) -> tuple[list[str], list[str]]:
    """The cells of a row, and the complaints."""
    start = steps.get("start", {"client": name, "version": "", "mode": "", "key": ""})
    absent = ABSENT.get(start["client"], set())
    none = absent | (set() if start["mode"].split("-")[0] in PROCESSES else {"save"})
    complaints = []

    def cell(*names: str, good: str = "yes") -> str:
        for step in (steps.get(step, {"step": step, "ok": False, "why": "did not run"}) for step in names):
            if not step["ok"]:
                complaints.append(f"{name}: {step['step']}: {step['why']}")
                return "**no**"
        return good

    revision = steps.get("connect", {}).get("revision", "yes")
    # What connects at all has a revision; mcp_local speaks none.
    connection = cell("end", good="none") if absent else cell("connect", "end", good=revision)
    marks = ["–" if step in none else cell(step) for step in STEPS]
    mode = "" if start["mode"] == "-" else start["mode"]
    version = "" if start["version"] == "-" else start["version"]
    return [start["client"], version, mode, start["key"], connection, *marks], complaints


def render(rows: list[list[str]]) -> str:
    table = [list(COLUMNS), *rows]
    widths = [max(len(line[column]) for line in table) for column in range(len(COLUMNS))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in table]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--check", type=Path)
    parser.add_argument("rows", nargs="+")
    options = parser.parse_args()
    rows, complaints = [], []
    for name in options.rows:
        cells, found = row(name, read(options.folder / f"{name}.jsonl"))
        rows.append(cells)
        complaints += found
    table = render(rows)
    print(table)
    text = f"{table}\n{ABOUT}"
    if options.write:
        options.write.write_text(text)
    if options.check and (not options.check.exists() or options.check.read_text() != text):
        complaints.append(f"{options.check} is not what came out: run scripts/clients and commit it")
    for complaint in complaints:
        print(f"clients: {complaint}", file=sys.stderr)
    return 1 if complaints else 0


sys.exit(main())
