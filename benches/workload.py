"""The operations that are measured: what a client sends, and the least that a component must do to answer.

The statements are those of the server itself, read from src/db, so that both do the same work in the database.
"""

import dataclasses
import json
import pathlib

SQL = pathlib.Path(__file__).resolve().parent.parent / "src" / "db"
REVISION = "2025-11-25"

# Bytes of an artifact that the server reads at once, and of an archive's end for its list of files.
SLICES = {"report": 4 * 1024 * 1024, "zip": 256 * 1024}
DIRECTORY = 32 * 1024

PROMPT = (
    "Open a neighbourhood bakery with a small café in a former tram depot. Budget 400,000, opening in nine months, a "
    "team of twelve, ovens leased for five years, a courtyard that the city wants to stay open to the public. "
)


@dataclasses.dataclass(frozen=True)
class Operation:
    """One thing that a client asks for."""

    name: str
    title: str
    # Whether the answer needs the database.
    asks_database: bool
    # A tool and its arguments, or a method of MCP, or a path of the plain routes.
    tool: tuple[str, dict] | None = None
    method: str | None = None
    path: str | None = None
    # The task that must exist: "running", "completed" or none.
    task: str | None = None

    def message(self, ids):
        """The posted body, None for a GET."""
        if self.path:
            return None
        if self.method:
            message = {"jsonrpc": "2.0", "id": 1, "method": self.method}
        else:
            name, arguments = self.tool
            filled = {key: fill(value, ids, self.task) for key, value in arguments.items()}
            message = {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "tools/call",
                "params": {"name": name, "arguments": filled},
            }
        return json.dumps(message).encode()


def fill(text, ids, task):
    return text.replace("@TASK@", ids.get(task, ""))


def create(size):
    """task_create with a prompt of so many bytes, another one for each request."""
    repeated = PROMPT * (size // len(PROMPT) + 1)
    return ("task_create", {"prompt": "@UNIQUE@ " + repeated[: size - 30]})


OPERATIONS = [
    Operation("ping", "ping", False, method="ping"),
    Operation("tools_list", "tools/list", False, method="tools/list"),
    Operation("prompt_examples", "prompt_examples", False, tool=("prompt_examples", {})),
    Operation("task_create", "task_create", True, tool=create(3000)),
    Operation("status_running", "task_status, running", True, tool=("task_status", {"task_id": "@TASK@"}), task="running"),
    Operation(
        "status_completed", "task_status, completed", True, tool=("task_status", {"task_id": "@TASK@"}), task="completed"
    ),
    Operation("file_info", "task_file_info", True, tool=("task_file_info", {"task_id": "@TASK@"}), task="completed"),
    Operation("report", "report download", True, path="/download/@TASK@/030-report.html", task="completed"),
    Operation("zip", "zip download", True, path="/download/@TASK@/run.zip", task="completed"),
]


def statement(name):
    return (SQL / f"{name}.sql").read_text()


def floor(operation, stage):
    """The work of an operation as benches/floor reads it."""
    task_id = stage.ids.get(operation.task)
    asked = [{"text": task_id}, "null"]
    # Of ended tasks, and of those that no worker's row names.
    event = {"sql": statement("find_event"), "parameters": [{"text": task_id}]}
    if operation.name == "task_create":
        parameters = ["new_id", "body", {"text": "ping_llm"}, "null", {"int": 1}, "null", {"float": 180.0}]
        parameters += [{"text": "dev-api-key-secret"}, {"text": "ping"}]
        return {"statements": [{"sql": statement("create_task"), "parameters": parameters}]}
    if operation.name == "status_running":
        status = {"sql": statement("find_status"), "parameters": [*asked, {"int": DIRECTORY}]}
        return {"statements": [status, event], "get": f"{stage.worker_url}/runs/{task_id}/files"}
    if operation.name == "status_completed":
        parameters = [*asked, {"int": DIRECTORY}]
        return {"statements": [{"sql": statement("find_status"), "parameters": parameters}, event]}
    if operation.name in ("file_info", "report", "zip"):
        artifact = "zip" if operation.name == "zip" else "report"
        parameters = [*asked, {"text": artifact}, {"int": DIRECTORY}]
        work = {"statements": [{"sql": statement("find_artifact"), "parameters": parameters}]}
        if operation.name != "file_info":
            work["statements"].append(event)
            work["pieces"] = {
                "sql": statement(f"read_{artifact}"),
                "parameters": [{"text": task_id}, {"text": stage.version(operation.task)}],
                "size": stage.sizes[operation.task][artifact],
                "length": SLICES[artifact],
            }
        return work
    return {}
