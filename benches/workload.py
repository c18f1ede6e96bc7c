"""The operations that are measured: what a client sends, and the one statement that the least component would run."""

import dataclasses
import json

REVISION = "2025-11-25"

PROMPT = (
    "Open a neighbourhood bakery with a small café in a former tram depot. Budget 400,000, opening in nine months, a "
    "team of twelve, ovens leased for five years, a courtyard that the city wants to stay open to the public. "
)


@dataclasses.dataclass(frozen=True)
class Operation:
    """One thing that a client asks for."""

    name: str
    title: str
    # A tool and its arguments, or a method of MCP, or a path of the plain routes.
    tool: tuple[str, dict] | None = None
    method: str | None = None
    path: str | None = None
    # The task that must exist, by its name in stage.IDS.
    task: str | None = None
    # What the least component asks the database; None for an answer that needs no database.
    least: str | None = None

    @property
    def creates(self):
        return self.least == INSERT

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


# A row by its primary key.
FIND = "SELECT {} FROM task_item WHERE id = $1::text::uuid"
# A row with the prompt, and what every task has.
INSERT = """INSERT INTO task_item (id, timestamp_created, last_seen_timestamp, state, prompt, progress_percentage,
    stop_requested, user_id, parameters)
VALUES ($1::text::uuid, now(), now(), 'pending', $2::text, 0, false, 'mcp_user', '{}') RETURNING id::text"""


def about(tool, title, task):
    """A tool that is asked about a task."""
    name = f"{tool.removeprefix('task_')}_{task}"
    least = FIND.format("state::text")
    return Operation(name, title, tool=(tool, {"task_id": "@TASK@"}), task=task, least=least)


def download(name, file, value):
    """A file of the completed task."""
    path, least = f"/download/@TASK@/{file}", FIND.format(value)
    return Operation(name, f"{name} download", path=path, task="completed", least=least)


OPERATIONS = [
    Operation("ping", "ping", method="ping"),
    Operation("tools_list", "tools/list", method="tools/list"),
    Operation("prompt_examples", "prompt_examples", tool=("prompt_examples", {})),
    about("task_status", "task_status, pending", "pending"),
    about("task_status", "task_status, running", "running"),
    about("task_status", "task_status, completed", "completed"),
    about("task_file_info", "task_file_info, 5 kB report", "small"),
    about("task_file_info", "task_file_info, 600 kB report", "completed"),
    download("report", "030-report.html", "convert_to(generated_report_html, 'UTF8')"),
    download("zip", "run.zip", "run_zip_snapshot"),
    # The last one: for it the tables are made anew, and the floor knows the versions of the rows before.
    Operation("task_create", "task_create", tool=create(3000), least=INSERT),
]
