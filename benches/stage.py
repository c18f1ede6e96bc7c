"""What is measured: the server and the floor, each in a host of its own, on one database with known tasks."""

import base64
import io
import json
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import zipfile

import workload
from recorder import PARAMETER, STEP, Recorder

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEY = "benchmark-key"
# The component of each generation of WASI: its manifest, and its folder below target/wasm32-wasip2.
COMPONENTS = {"0.2": ("spin.toml", "release"), "0.3": ("spin-p3.toml", "p3")}
# The generation that is measured, and the Spin that runs it, if it is not the local host: bench.py sets both.
wasi, spin = "0.2", None
IDS = {
    "pending": "10000000-0000-4000-8000-000000000001",
    "running": "10000000-0000-4000-8000-000000000002",
    "small": "10000000-0000-4000-8000-000000000003",
    "completed": "10000000-0000-4000-8000-000000000004",
}


class Target:
    """A server to send requests to. A floor has a path for each operation that it serves."""

    def __init__(self, name, base, headers, ids, processes=None, paths=None):
        self.name, self.base, self.headers, self.ids, self.paths = name, base, headers, ids, paths
        # The first process of each tree whose CPU time is measured.
        self.processes = processes or {}
        # Bytes of a good answer of each operation.
        self.lengths = {}

    def request(self, operation):
        """Address, method, headers and body of an operation."""
        body = operation.message(self.ids)
        if self.paths is not None:
            # The prompt alone. What the floor does not read it does not get: the host would end the connection.
            body = operation.tool[1]["prompt"].encode() if operation.creates else None
        accept = "application/json, text/event-stream"
        headers = {**self.headers, "MCP-Protocol-Version": workload.REVISION, "Accept": accept}
        path = workload.fill(operation.path or "/mcp", self.ids, operation.task)
        path = path if self.paths is None else self.paths[operation.name]
        return self.base + path, "GET" if body is None else "POST", headers, body

    def serves(self, operation):
        known = self.paths is None or operation.name in self.paths
        return known and (operation.task is None or bool(self.ids.get(operation.task)))

    def call(self, operation):
        """One request; the bytes of its answer. Raises when it is none that a benchmark may count."""
        url, method, headers, body = self.request(operation)
        if body is not None:
            body = body.replace(b"@UNIQUE@", str(time.time_ns()).encode())
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(url, data=body, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            raise SystemExit(f"bench: {self.name}: {operation.title}: {error.code}: {error.read()[:300]!r}") from None
        except OSError as error:
            raise SystemExit(f"bench: {self.name}: {operation.title}: {url}: {error}") from None
        if self.paths is None and body is not None:
            result = json.loads(content).get("result")
            if result is None or result.get("isError"):
                raise SystemExit(f"bench: {self.name}: {operation.title}: {content[:300]!r}")
        self.lengths[operation.name] = len(content)
        return content


class Stage:
    """The database and the servers. A context: all that it starts, it ends."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []
        # The projects of our server and of the floor.
        self.ours, self.floor = folder / "database", folder / "floor"

    def __enter__(self):
        self.ours.mkdir(parents=True, exist_ok=True)
        manifest, built = COMPONENTS[wasi]
        component = f"target/wasm32-wasip2/{built}/planexe_mcp.wasm"
        sources = {"spin.toml": manifest, **{name: name for name in ("runtime-config.toml", "assets", component)}}
        for name, source in sources.items():
            link = self.ours / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(ROOT / source)
        own = ROOT / "target" / ("debug" if spin else "host") / "planexe-local"
        command = [own, "up", "--host", "local", "--project", self.ours, "--port", "0", "--fresh", "--no-plans"]
        log = self.start("database", command, {}, "Serving MCP at")
        self.worker_url = re.search(r"Started the sample worker at (\S+)", log).group(1)
        self.port, data = re.search(r"listening on 127\.0\.0\.1:(\d+), data in (.+)", log).groups()
        self.postgres = int((pathlib.Path(data) / "postmaster.pid").read_text().split()[0])
        return self

    def __exit__(self, *_):
        while self.processes:
            self.end(self.processes.pop())

    def end(self, process):
        process.terminate()
        process.wait(timeout=30)

    def start(self, name, command, variables, words):
        """Starts a process and waits for words of it; returns what it has said until then."""
        log = self.folder / f"{name}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                command, env=environment(variables), stdout=output, stderr=subprocess.STDOUT, cwd=self.folder
            )
        self.processes.append(process)
        end = time.monotonic() + 120
        while True:
            said = log.read_text()
            if words in said:
                return said
            if process.poll() is not None or time.monotonic() > end:
                self.__exit__()
                raise SystemExit(f"bench: {name} did not start: {said[-500:]}")
            time.sleep(0.01)

    def variables(self):
        """The settings of a server on this stage."""
        address = {"HOST": "127.0.0.1", "PORT": self.port, "DB": "planexe", "USER": "planexe", "PASSWORD": "planexe"}
        return {
            **{f"PLANEXE_POSTGRES_{name}": value for name, value in address.items()},
            "PLANEXE_WORKER_PLAN_URL": self.worker_url,
            "PLANEXE_MCP_API_KEY": KEY,
        }

    def server(self, name, project, **variables):
        """A running server: ours, or the floor."""
        base = f"http://127.0.0.1:{free_port()}"
        self.start(name, up(project, base), {**self.variables(), **variables}, "Serving http")
        processes = {"host": self.processes[-1].pid, "postgres": self.postgres}
        return Target(name, base, {"Authorization": f"Bearer {KEY}"}, IDS, processes)

    def floors(self):
        """The floor, by two names: with one plain statement for each operation, and with our server's own. A server for
        this alone asks the database through a recorder."""
        recorder = Recorder(self.port)
        recorded = self.server("recorded", self.ours, PLANEXE_POSTGRES_PORT=str(recorder.port))
        work, paths = {"database_url": self.address()}, {"floor": {}, "our SQL": {}}
        for operation in workload.OPERATIONS:
            # Of the first call, some are about the schema.
            recorded.call(operation)
            recorder.statements.clear()
            length = 0 if operation.path else len(recorded.call(operation))
            paths["floor"][operation.name] = f"/{length}"
            if operation.least:
                parameters = ["uuid", "body"] if operation.creates else ["text" + IDS[operation.task]]
                steps = [anew(statement) for statement in recorder.statements]
                if operation.task == "running":
                    steps.append(f"{self.worker_url}/runs/{IDS['running']}/files")
                work[f"least_{operation.name}"] = PARAMETER.join([operation.least, *parameters])
                paths["floor"][operation.name] = f"/{length}/least_{operation.name}"
                # A download is read in slices: a component that writes them as they come is not the least any more.
                if length:
                    work[f"same_{operation.name}"] = STEP.join(steps)
                    paths["our SQL"][operation.name] = f"/{length}/same_{operation.name}"
        self.end(self.processes.pop())
        self.floor.mkdir(exist_ok=True)
        built = ROOT / f"target/floor/p{wasi[-1]}/wasm32-wasip2/release/planexe_bench_floor.wasm"
        shutil.copy(built, self.floor / "floor.wasm")
        shutil.copy(ROOT / "runtime-config.toml", self.floor)
        variables = "\n".join(f"{name} = {{ default = {json.dumps(value)} }}" for name, value in work.items())
        known = "\n".join(f'{name} = "{{{{ {name} }}}}"' for name in work)
        (self.floor / "spin.toml").write_text(
            f"""spin_manifest_version = 2
[application]
name = "planexe-bench-floor"
[variables]
{variables}
[[trigger.http]]
route = "/..."
component = "floor"
[component.floor]
source = "floor.wasm"
allowed_outbound_hosts = ["postgres://127.0.0.1:{self.port}", "{self.worker_url}"]
[component.floor.variables]
{known}
"""
        )
        floor = self.server("floor", self.floor)
        floors = [Target(name, floor.base, {}, IDS, floor.processes, served) for name, served in paths.items()]
        for floor in floors:
            for operation in filter(floor.serves, workload.OPERATIONS):
                if len(floor.call(operation)) != recorded.lengths[operation.name]:
                    raise SystemExit(f"bench: {floor.name}: {operation.title}: not as long as the server's answer")
        return floors

    def targets(self):
        """Our server and the two floors, on tables of a fixed size."""
        self.seed()
        return [self.server("planexe-mcp", self.ours), *self.floors()]

    def address(self):
        return f"postgres://planexe:planexe@127.0.0.1:{self.port}/planexe"

    def sql(self, text):
        """Runs SQL and returns the lines of its result."""
        command = [psql(), "-XqtA", "-v", "ON_ERROR_STOP=1", "-d", self.address()]
        run = subprocess.run(command, input=text, capture_output=True, text=True)
        if run.returncode:
            raise SystemExit(f"bench: psql: {run.stderr.strip()[:500]}")
        return run.stdout.splitlines()

    def seed(self, tasks=10_000):
        """Tables with so many tasks, as many events, and the tasks that are asked about."""
        self.sql("TRUNCATE task_item, events, nonces")
        self.fill(0, tasks - len(IDS))
        self.put_task("pending", None, None)
        self.put_task("running", None, None)
        self.put_task("small", report(5_000), archive(20_000))
        self.put_task("completed", report(600_000), archive(4_000_000))
        for table in ("task_item", "events", "nonces"):
            # Not while something is measured.
            self.sql(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
            self.sql(f"VACUUM ANALYZE {table}")

    def fill(self, there, count):
        """Completed tasks with a prompt of usual length and a small report, one each minute, each with the event of its
        end: from `there` up to `count`."""
        self.sql(f"""
            WITH filled AS (
                INSERT INTO task_item (id, timestamp_created, last_seen_timestamp, state, prompt, progress_percentage,
                    progress_message, stop_requested, user_id, parameters, generated_report_html)
                SELECT gen_random_uuid(), moment, moment, 'completed', repeat('{workload.PROMPT}', 12), 100, 'Done',
                    false, 'mcp_user', '{{"speed_vs_detail": "ping_llm"}}', repeat('<p>A plan.</p>', 100)
                FROM generate_series({there} + 1, {count}) number,
                    LATERAL (SELECT now() AT TIME ZONE 'UTC' - number * interval '1 minute' AS moment) moments
                RETURNING id, timestamp_created, prompt
            )
            INSERT INTO events ("timestamp", event_type, message, context)
            SELECT timestamp_created, 'TASK_COMPLETED', 'Processing -> Completed',
                json_build_object('task_id', id, 'prompt', prompt)
            FROM filled
        """)

    def put_task(self, name, html, run_zip):
        """A task that was created twenty minutes ago, and the event of its state."""
        def literal(value, form):
            return "NULL" if value is None else form.format(base64.b64encode(value).decode())

        state = {"pending": "pending", "running": "processing"}.get(name, "completed")
        self.sql(f"""
            DELETE FROM task_item WHERE id = '{IDS[name]}';
            INSERT INTO task_item (id, timestamp_created, last_seen_timestamp, state, prompt, progress_percentage,
                progress_message, stop_requested, user_id, parameters, generated_report_html, run_zip_snapshot)
            SELECT '{IDS[name]}', at - interval '20 minutes', at, '{state}', 'A bakery.', 42.5,
                '42 of 89. Extra files: 8', false, 'mcp_user', '{{"speed_vs_detail": "ping_llm"}}',
                {literal(html, "convert_from(decode('{}', 'base64'), 'UTF8')")},
                {literal(run_zip, "decode('{}', 'base64')")}
            FROM (SELECT now() AT TIME ZONE 'UTC' AS at) moment;
            INSERT INTO events ("timestamp", event_type, message, context)
            SELECT last_seen_timestamp, upper('task_{state}')::eventtype, '', json_build_object('task_id', id)
            FROM task_item WHERE id = '{IDS[name]}'
        """)


def anew(statement):
    """A recorded statement with another id and another prompt for each request, where it creates a task."""
    text, *parameters = statement.split(PARAMETER)
    for number, value in enumerate(parameters):
        if value.startswith("text") and workload.PROMPT in value:
            parameters[number] = "body"
        elif re.fullmatch(r"text[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value) and value[4:] not in IDS.values():
            parameters[number] = "uuid"
    return PARAMETER.join([text, *parameters])


def up(project, base):
    """The command that serves a project, with Spin or with the local host: both take the same options."""
    program = [pathlib.Path(spin).resolve(), "up"] if spin else [ROOT / "target/host/planexe-local", "serve"]
    listen = base.removeprefix("http://")
    return [*program, "--from", project / "spin.toml", "--listen", listen, "--runtime-config-file",
        project / "runtime-config.toml"]


def environment(variables):
    """That of this process with other settings."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("PLANEXE_", "SPIN_", "SQLALCHEMY_"))}
    return {**own, **variables}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def psql():
    """The client program of Postgres; scripts/setup has seen to it."""
    found = [shutil.which("psql"), *sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/psql"))]
    program = next((program for program in found if program), None)
    if program is None:
        raise SystemExit("bench: psql is missing: install PostgreSQL's client, or run scripts/setup --postgres")
    return str(program)


def report(size):
    """An HTML page of a size. Its words are few and random: it compresses as text does."""
    words = [word for word in workload.PROMPT.split() if word.isascii()]
    dice = random.Random(1)
    text = "<!doctype html><title>Plan</title><p>"
    parts = []
    while len(text) + sum(map(len, parts)) < size and len(parts) < 40_000:
        parts.append(f"{dice.choice(words)} {dice.random():.6f} ")
    text += "".join(parts)
    text = text * (size // len(text) + 1)
    return text[:size].encode()


def archive(size):
    """A zip of a size, with as many files as a real run has. They do not compress, as if they were deflated already."""
    dice = random.Random(2)
    count = min(196, max(1, size // 400))
    each = max(0, size - count * 150) // count
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for number in range(count):
            name = f"{number:03}-{number % 9}-a_step_of_the_plan_with_a_name_of_usual_length.json"
            file.writestr(name, dice.randbytes(each))
    return buffer.getvalue()
