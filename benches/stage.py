"""What is measured: the server and the floor, each in a local host of its own, on one database with known tasks."""

import base64
import io
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
import zipfile

import workload

ROOT = pathlib.Path(__file__).resolve().parent.parent
HOST = ROOT / "target" / "host" / "planexe-local"
KEY = "benchmark-key"
# The component of each generation of WASI: its manifest, and its folder below target/wasm32-wasip2.
COMPONENTS = {"0.2": ("spin.toml", "release"), "0.3": ("spin-p3.toml", "p3")}
# The generation that is measured; bench.py sets it.
wasi = "0.3"
IDS = {
    "running": "10000000-0000-4000-8000-000000000001",
    "completed": "10000000-0000-4000-8000-000000000002",
}


class Target:
    """A server to send requests to."""

    def __init__(self, name, base, headers, ids, pid=None, is_floor=False):
        self.name, self.base, self.headers, self.ids, self.pid, self.is_floor = name, base, headers, ids, pid, is_floor
        # Bytes of a good answer of each operation.
        self.lengths = {}

    def request(self, operation):
        """Address, method, headers and body of an operation."""
        body = operation.message(self.ids)
        headers = {**self.headers, "MCP-Protocol-Version": workload.REVISION, "Accept": "application/json, text/event-stream"}
        path = f"/{operation.name}" if self.is_floor else workload.fill(operation.path or "/mcp", self.ids, operation.task)
        return self.base + path, "GET" if body is None else "POST", headers, body

    def serves(self, operation):
        return operation.task is None or bool(self.ids.get(operation.task))

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
        if not self.is_floor and body is not None:
            result = json.loads(content).get("result")
            if result is None or result.get("isError"):
                raise SystemExit(f"bench: {self.name}: {operation.title}: {content[:300]!r}")
        self.lengths[operation.name] = len(content)
        return content


class Stage:
    """The local servers. A context: all that it starts, it ends."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []
        self.ids = IDS
        self.sizes = {}

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        home = self.folder / "database"
        link_project(home)
        words = r"Started the sample worker at (\S+)"
        log = self.start("database", home, {}, words, "--fresh", "--no-plans")
        self.worker_url = re.search(words, log).group(1)
        self.port = re.search(r"listening on 127\.0\.0\.1:(\d+)", log).group(1)
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(timeout=30)

    def start(self, name, project, variables, words, *options):
        """Starts a local host and waits for words of it; returns what it has said until then."""
        own = {key: value for key, value in os.environ.items() if not key.startswith(("PLANEXE_", "SPIN_", "SQLALCHEMY_"))}
        log = self.folder / f"{name}.log"
        with log.open("w") as output:
            command = [HOST, "up", "--host", "local", "--project", project, *options]
            environment = {**own, "PORT": "0", **variables}
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)
        self.processes.append(process)
        end = time.monotonic() + 120
        while True:
            said = log.read_text()
            if re.search(words, said) and "Serving MCP at" in said:
                return said
            if process.poll() is not None or time.monotonic() > end:
                process.terminate()
                raise SystemExit(f"bench: {name} did not start: {said[-500:]}")
            time.sleep(0.01)

    def variables(self):
        """The settings of a server on this stage."""
        address = {"HOST": "127.0.0.1", "PORT": self.port, "DB": "planexe", "USER": "planexe", "PASSWORD": "planexe"}
        return {
            **{f"PLANEXE_POSTGRES_{name}": value for name, value in address.items()},
            "PLANEXE_WORKER_PLAN_URL": self.worker_url,
            "PLANEXE_MCP_API_KEY": KEY,
            "PLANEXE_DATABASE_URL": f"postgres://planexe:planexe@127.0.0.1:{self.port}/planexe",
        }

    def server(self, project, name="planexe-mcp", is_floor=False):
        """A running server: ours, or the floor."""
        log = self.start(name, project, self.variables(), "Serving MCP at")
        base = re.search(r"Serving MCP at (\S+)/mcp", log).group(1)
        headers = {} if is_floor else {"Authorization": f"Bearer {KEY}"}
        return Target(name, base, headers, self.ids, self.processes[-1].pid, is_floor)

    def floor(self, ours):
        """The floor with the answers of our server."""
        project = self.folder / "floor"
        operations = project / "operations"
        shutil.rmtree(project, ignore_errors=True)
        operations.mkdir(parents=True)
        shutil.copy(ROOT / "benches/floor/spin.toml", project)
        shutil.copy(ROOT / "target/floor/wasm32-wasip2/release/planexe_bench_floor.wasm", project / "floor.wasm")
        shutil.copy(ROOT / "runtime-config.toml", project)
        for operation in workload.OPERATIONS:
            answer = ours.call(operation)
            work = workload.floor(operation, self)
            kinds = {"report": "text/html; charset=utf-8", "zip": "application/zip"}
            work["content_type"] = kinds.get(operation.name, "application/json")
            (operations / f"{operation.name}.json").write_text(json.dumps(work))
            if "pieces" not in work:
                (operations / f"{operation.name}.answer").write_bytes(answer)
        floor = self.server(project, "floor", is_floor=True)
        for operation in workload.OPERATIONS:
            floor.call(operation)
        return floor

    def sql(self, text):
        """Runs SQL and returns the lines of its result."""
        address = f"postgres://planexe:planexe@127.0.0.1:{self.port}/planexe"
        command = [psql(), "-XqtA", "-v", "ON_ERROR_STOP=1", "-d", address]
        run = subprocess.run(command, input=text, capture_output=True, text=True)
        if run.returncode:
            raise SystemExit(f"bench: psql: {run.stderr.strip()[:500]}")
        return run.stdout.splitlines()

    def seed(self, report_size=600_000, zip_size=4_000_000):
        """The tasks that are asked about: one that runs, and one that is completed."""
        self.put_task(IDS["running"], "processing", None, None)
        self.put_task(IDS["completed"], "completed", report(report_size), archive(zip_size))
        self.sizes["completed"] = {"report": report_size, "zip": int(self.one("octet_length(run_zip_snapshot)"))}
        self.sql("VACUUM ANALYZE task_item")

    def put_task(self, task_id, state, html, run_zip):
        def literal(value, form):
            return "NULL" if value is None else form.format(base64.b64encode(value).decode())

        self.sql(f"""
            DELETE FROM task_item WHERE id = '{task_id}';
            INSERT INTO task_item (id, timestamp_created, last_seen_timestamp, state, prompt, progress_percentage,
                progress_message, stop_requested, user_id, parameters, generated_report_html, run_zip_snapshot)
            VALUES ('{task_id}', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC', '{state}', 'A bakery.', 42.5,
                '42 of 89. Extra files: 8', false, 'mcp_user', '{{"speed_vs_detail": "ping_llm"}}',
                {literal(html, "convert_from(decode('{}', 'base64'), 'UTF8')")}, {literal(run_zip, "decode('{}', 'base64')")})
        """)

    def one(self, expression):
        return self.sql(f"SELECT {expression} FROM task_item WHERE id = '{IDS['completed']}'")[0]

    def version(self, _task):
        return self.one("xmin::text")


def link_project(folder):
    """A folder of the project's own files, so that the database of scripts/up is left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest, _ = COMPONENTS[wasi]
    for name, source in [("spin.toml", manifest), *((name, name) for name in ("runtime-config.toml", "assets", "target"))]:
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT / source)


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
