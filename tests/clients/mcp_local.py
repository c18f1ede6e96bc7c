"""What PlanExe's own mcp_local sends, request for request: no SDK, its HTTP headers, its retries, its download.

mcp_local is a proxy on the user's machine: an agent talks MCP over stdio to it, and it calls the server by HTTP. It
lists its own tools and has no prompts, so those two steps have nothing to send. It repeats every request that fails
with a 5xx, a timeout or a broken connection, task_create too, and sends no client_request_id.

It hands results on as they are, and the agent's SDK compares them with the output schemas that mcp_local lists: one that
differs is an error for the agent. So they are compared here too.

The mode is wrapper (POST /mcp/tools/call), or rpc for what it falls back to where that route is missing (a bare
tools/call at POST /mcp). There results are not compared: they are made for the schemas of this server, and mcp_local
does not come there as long as the other route exists. Everything goes through a relay, which loses answers for the step
retry.
"""

import asyncio
import hashlib
import http.client
import json
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
from steps import KEY, LIMIT, MODE, POLL, URL, check, reason, say, step

ATTEMPTS = 3
# Seconds before the second attempt; twice that before the third.
DELAY = 1
# mcp_local waits 60 seconds for an answer. Nothing here takes as long as this.
TIMEOUT = 5
# How the relay loses an answer of the server.
FAULTS = ("502", "timeout", "cut")
# What mcp_local saves the artifacts as, behind the task's id; also where it looks for one without a link.
NAMES = {"report": "030-report.html", "zip": "run.zip"}
# A prompt with this makes the sample worker fail, and the reason of the failure repeats it.
FAIL = "[sample: fail]"


def members(*required: str, **properties: Any) -> dict:
    """The schema of an object."""
    return {"type": "object", "properties": properties, "required": list(required)}


TEXT, NUMBER = {"type": "string"}, {"type": "number"}
TEXT_OR_NULL, NUMBER_OR_NULL = {"type": ["string", "null"]}, {"type": ["number", "null"]}
ERROR = members("code", "message", code=TEXT, message=TEXT)
# What mcp_local tells its clients of its results.
SCHEMAS = {
    "prompt_examples": members("samples", "message", samples={"type": "array", "items": TEXT}, message=TEXT),
    "task_create": members("task_id", "created_at", task_id=TEXT, created_at=TEXT),
    "task_status": members(
        task_id=TEXT_OR_NULL,
        state=TEXT_OR_NULL,
        progress_percentage=NUMBER_OR_NULL,
        timing=members(started_at=TEXT_OR_NULL, elapsed_sec=NUMBER) | {"type": ["object", "null"]},
        files={"type": ["array", "null"], "items": members(path=TEXT, updated_at=TEXT)},
    ),
    "task_stop": members(state=TEXT, error=ERROR),
    "task_download": members(
        content_type=TEXT,
        sha256=TEXT,
        download_size={"type": "integer"},
        download_url=TEXT,
        saved_path=TEXT,
        error=ERROR,
    )
    | {"additionalProperties": False},
}


class Relay(ThreadingHTTPServer):
    """Stands between client and server. With a fault, only the last attempt at a task_create gets its answer."""

    daemon_threads = True

    def __init__(self, fault: str | None = None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault = fault
        self.created: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Relay

    def do_GET(self) -> None:
        self.relay(b"")

    def do_POST(self) -> None:
        self.relay(self.rfile.read(int(self.headers["Content-Length"])))

    def relay(self, body: bytes) -> None:
        if MODE == "rpc" and self.path == "/mcp/tools/call":
            self.answer(404, b'{"detail":"Not Found"}')
            return
        # With the caller's Host, by which the server makes its links.
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(URL).netloc, timeout=LIMIT)
        connection.request(self.command, self.path, body or None, dict(self.headers))
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if b"task_create" in body and self.server.fault:
            self.server.created.append(task_id_in(json.loads(content)))
            if len(self.server.created) < ATTEMPTS:
                self.lose()
                return
        self.answer(response.status, content, response.headers.get("Content-Type"))

    def answer(self, status: int, content: bytes, content_type: str | None = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type or "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def lose(self) -> None:
        if self.server.fault == "502":
            self.answer(502, b"Bad Gateway", "text/plain")
        elif self.server.fault == "timeout":
            time.sleep(TIMEOUT + 1)
        # Otherwise the connection ends without a word.

    def log_message(self, *_: object) -> None:
        pass


def task_id_in(answer: dict) -> str:
    """The id in an answer to task_create, of either route."""
    content = answer.get("result", answer)["content"]
    return json.loads(content[0]["text"])["task_id"]


def send(method: str, url: str, body: bytes | None) -> bytes:
    """One HTTP request with its retries."""
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Authorization": f"Bearer {KEY}"}
    last: Exception | None = None
    for attempt in range(ATTEMPTS):
        if attempt > 0:
            time.sleep(DELAY * 2 ** (attempt - 1))
        request = urllib.request.Request(url, data=body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                return response.read()
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise
            last = error
        except OSError as error:
            last = error
    raise last or RuntimeError("no attempt was made")


def post(url: str, payload: dict) -> dict:
    return json.loads(send("POST", url, json.dumps(payload).encode()) or b"{}")


def first_text(content: list) -> dict:
    return next((json.loads(part["text"]) for part in content if part.get("text")), {})


def call(base: str, tool: str, arguments: dict) -> tuple[dict, dict | None]:
    """Calls a tool: the result, or the error."""
    try:
        answer = post(f"{base}/mcp/tools/call", {"tool": tool, "arguments": arguments})
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return call_rpc(base, tool, arguments)
    if answer.get("error"):
        return {}, answer["error"]
    result = first_text(answer.get("content", []))
    return ({}, result["error"]) if isinstance(result.get("error"), dict) else (result, None)


def call_rpc(base: str, tool: str, arguments: dict) -> tuple[dict, dict | None]:
    params = {"name": tool, "arguments": arguments}
    answer = post(f"{base}/mcp", {"jsonrpc": "2.0", "id": "1", "method": "tools/call", "params": params})
    if answer.get("error"):
        return {}, answer["error"]
    result = answer["result"]
    structured = result.get("structuredContent")
    if not isinstance(structured, dict):
        return first_text(result["content"]), None
    return ({}, structured["error"]) if result.get("isError") and "error" in structured else (structured, None)


def compare(tool: str, result: dict, error: dict | None) -> None:
    """Compares a result with its schema, as the SDK of an agent does. An error is one in every tool's schema."""
    if MODE == "rpc":
        return
    try:
        jsonschema.validate(*((result, SCHEMAS[tool]) if error is None else (error, ERROR)))
    except jsonschema.ValidationError as fault:
        raise AssertionError(f"{tool}: not as in its schema: {fault.json_path}: {fault.message}") from None


def good(base: str, tool: str, arguments: dict) -> dict:
    result, error = call(base, tool, arguments)
    check(error is None, f"{tool} fails: {error}")
    compare(tool, result, error)
    return result


def download(base: str, task_id: str, artifact: str, folder: Path) -> tuple[dict, dict | None]:
    """The tool task_download: saves whatever the link leads to, and without a link what is at the usual address."""
    result, error = call(base, "task_file_info", {"task_id": task_id, "artifact": artifact})
    if result:
        result["download_url"] = result.get("download_url") or f"{base}/download/{task_id}/{NAMES[artifact]}"
        path = folder / f"{task_id}-{NAMES[artifact]}"
        try:
            path.write_bytes(send("GET", result["download_url"], None))
            result["saved_path"] = str(path)
        except OSError as fault:
            result, error = {}, {"code": "DOWNLOAD_FAILED", "message": str(fault)}
    compare("task_download", result, error)
    return result, error


def saved(base: str, task_id: str, artifact: str) -> None:
    """Checks the download of a completed plan."""
    with tempfile.TemporaryDirectory() as folder:
        result, error = download(base, task_id, artifact, Path(folder))
        check(error is None and result, f"the {artifact} of a completed plan is not there: {error}")
        # It sends the key along, so a link must not lead elsewhere.
        check(result["download_url"].startswith(base + "/"), "the link leads to another server")
        content = Path(result["saved_path"]).read_bytes()
    check(len(content) == result["download_size"], "the download has another size")
    check(hashlib.sha256(content).hexdigest() == result["sha256"], "the download has another SHA-256")


def refused(base: str, task_id: str, artifact: str) -> dict:
    """Checks the download of a plan that has no files: the error that the user sees."""
    with tempfile.TemporaryDirectory() as folder:
        result, error = download(base, task_id, artifact, Path(folder))
        check(not any(Path(folder).iterdir()), f"something is saved as the {artifact} of a plan that has none")
    check(error and error["message"], f"a {artifact} that is not there is no error, but {result}")
    # In the other mode there is no error to hand on, and mcp_local tells that its download fails.
    check(MODE == "rpc" or error["code"] != "DOWNLOAD_FAILED", f"the user sees mcp_local's error, not ours: {error}")
    return error


def wait(base: str, task_id: str) -> tuple[str, bool]:
    """The state in which a plan ends, and whether files were listed before."""
    listed = False
    while True:
        status = good(base, "task_status", {"task_id": task_id})
        if status["state"] not in ("pending", "running"):
            return status["state"], listed
        listed = listed or bool(status["files"])
        time.sleep(POLL)


def lose_answers(fault: str) -> None:
    relay = Relay(fault)
    task = good(relay.url, "task_create", {"prompt": f"Open a bakery. {uuid.uuid4()}"})
    check(len(relay.created) == ATTEMPTS, f"{fault}: the server saw {len(relay.created)} attempts")
    plans = set(relay.created)
    check(plans == {task["task_id"]}, f"{fault}: {ATTEMPTS} attempts bought {len(plans)} plans")


async def main() -> None:
    say(step="start", ok=True, client="mcp_local", version="-", key="Authorization", mode=MODE)
    base = Relay().url

    async def good_call() -> None:
        check(good(base, "prompt_examples", {})["samples"], "no examples")

    async def bad_call() -> None:
        result, error = call(base, "task_create", {"prompt": "", "speed_vs_detail": "slow"})
        check(error, "wrong arguments are not seen as an error")
        compare("task_create", result, error)
        check(error["code"] == "INVALID_ARGUMENT", f"the error has another code: {error}")

    async def plan() -> None:
        # With all its steps, so that it is seen running.
        request = {"prompt": f"Open a bakery. {uuid.uuid4()}", "speed_vs_detail": "all"}
        task_id = good(base, "task_create", request)["task_id"]
        for artifact in NAMES:
            refused(base, task_id, artifact)
        state, listed = wait(base, task_id)
        check(state == "completed", f"the task is {state}")
        check(listed, "no files were listed while the plan was made")
        for artifact in NAMES:
            saved(base, task_id, artifact)
        check(good(base, "task_stop", {"task_id": task_id})["state"] == "completed", "a stop changes what has ended")
        task_id = good(base, "task_create", {"prompt": f"Open a bakery. {FAIL} {uuid.uuid4()}"})["task_id"]
        check(wait(base, task_id)[0] == "failed", "the plan does not fail")
        # PlanExe writes the reason a moment after the state.
        await asyncio.sleep(1)
        for artifact in NAMES:
            error = refused(base, task_id, artifact)
            check(error["code"] == "generation_failed", f"not a failure: {error}")
            check("PlanExe's reason: Unknown error happened" in error["message"], f"not the reason: {error}")

    async def retry() -> None:
        losses = (asyncio.to_thread(lose_answers, fault) for fault in FAULTS)
        outcomes = await asyncio.gather(*losses, return_exceptions=True)
        failures = [reason(outcome) for outcome in outcomes if isinstance(outcome, BaseException)]
        check(not failures, "; ".join(failures))

    await step("good", good_call)
    await step("bad", bad_call)
    await step("plan", plan)
    await step("retry", retry)
    say(step="end", ok=True)


asyncio.run(main())
