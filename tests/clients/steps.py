"""What every client in Python is put through: the same steps as in steps.mjs and rmcp_client.rs.

Each step prints one line of JSON.
"""

import asyncio
import hashlib
import json
import os
import sys
import time
import urllib.request
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

# What the program was called with: its server, the server's key, and the way there with the mode of the client.
URL, _GIVEN = sys.argv[1:3]
KEY = os.environ["MCP_KEY"]
# The way: over HTTP, or through a process, which is the server or a bridge to it.
WAY = next((way for way in ("stdio", "bridge") if _GIVEN.split("-")[0] == way), "http")
MODE = _GIVEN if WAY == "http" else _GIVEN.removeprefix(WAY).removeprefix("-")

# How long a client may take for everything, in seconds.
LIMIT = 120
# How often a client asks for the state of a task, in seconds.
POLL = 0.1
# Those that are listed where mcp_tools is not set.
TOOLS = {"prompt_examples", "task_create", "task_status", "task_stop", "task_file_info"}


def command() -> dict[str, Any]:
    """The process to start, where the way is one."""
    bridge = WAY == "bridge"
    return {
        "command": os.environ["STDIO"],
        "args": ["--url", URL] if bridge else ["--project", os.environ["PROJECT"], "--step", "10"],
        "env": {"PLANEXE_PATH": os.environ["PLANS"]} | ({"PLANEXE_MCP_API_KEY": KEY} if bridge else {}),
    }


Progress = Callable[[float, float | None, str | None], Awaitable[None]]


class Client(Protocol):
    """An SDK's client that has connected, reduced to what the steps need. Results and tools are as on the wire."""

    async def tools(self) -> list[dict[str, Any]]: ...
    async def call(
        self, name: str, arguments: dict[str, Any], progress: Progress | None = None
    ) -> dict[str, Any]: ...
    async def prompts(self) -> list[dict[str, Any]]: ...
    async def prompt(self, name: str, arguments: dict[str, str]) -> dict[str, Any]: ...


Use = Callable[[str, Client], Awaitable[None]]


def check(holds: object, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def say(**line: object) -> None:
    print(json.dumps(line), flush=True)


def reason(error: BaseException) -> str:
    """The error itself, where task groups have wrapped it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"


async def step(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Prints what a step comes to."""
    try:
        await work()
    except Exception as error:
        say(step=name, ok=False, why=reason(error))
    else:
        say(step=name, ok=True)


def good(result: dict[str, Any]) -> dict[str, Any]:
    """The result of a call that went well: text and structure say the same."""
    check(not result.get("isError"), f"the call failed: {result['content']}")
    structured = result.get("structuredContent")
    check(isinstance(structured, dict), "no structuredContent")
    text = next(part["text"] for part in result["content"] if part["type"] == "text")
    check(json.loads(text) == structured, "text and structuredContent differ")
    return structured


def download(info: dict[str, Any]) -> None:
    """Fetches a file as a browser does, without the key, and compares it with its description."""
    with urllib.request.urlopen(info["download_url"], timeout=LIMIT) as response:
        content = response.read()
    check(len(content) == info["download_size"], "the download has another size")
    check(hashlib.sha256(content).hexdigest() == info["sha256"], "the download has another SHA-256")


def check_saved(saved: dict[str, Any]) -> None:
    """Compares a file that was saved with its description."""
    content = Path(saved["saved_path"]).read_bytes()
    check(len(content) == saved["download_size"], "the saved file has another size")
    check(hashlib.sha256(content).hexdigest() == saved["sha256"], "the saved file has another SHA-256")


async def _walk(client: Client) -> None:
    async def list_tools() -> None:
        tools = await client.tools()
        wanted = TOOLS if WAY == "http" else TOOLS | {"task_download"}
        missing = wanted - {tool["name"] for tool in tools}
        check(not missing, f"not listed: {missing}")
        for tool in tools:
            schemas = (tool["inputSchema"], tool["outputSchema"])
            check(all(schema["type"] == "object" for schema in schemas), f"{tool['name']} lacks a schema")

    async def good_call() -> None:
        check(good(await client.call("prompt_examples", {}))["samples"], "no examples")

    async def bad_call() -> None:
        result = await client.call("task_create", {"speed_vs_detail": "slow"})
        check(result.get("isError") is True, "wrong arguments are not seen as an error")
        check(result["structuredContent"]["error"]["code"] == "INVALID_ARGUMENT", "the error has another code")

    async def prompt() -> None:
        names = [prompt["name"] for prompt in await client.prompts()]
        check("plan_project" in names, "plan_project is not listed")
        result = await client.prompt("plan_project", {"goal": "Open a bakery in Lyon"})
        check("bakery" in result["messages"][0]["content"]["text"], "the prompt does not have its argument")

    request = {
        "prompt": f"Open a bakery. {uuid.uuid4()}",
        "speed_vs_detail": "ping",
        "client_request_id": str(uuid.uuid4()),
    }
    task_id = None

    async def plan() -> None:
        nonlocal task_id
        task_id = good(await client.call("task_create", request))["task_id"]
        state = "pending"
        while state in ("pending", "running"):
            await asyncio.sleep(POLL)
            state = good(await client.call("task_status", {"task_id": task_id}))["state"]
        check(state == "completed", f"the task is {state}")
        for artifact in ("report", "zip"):
            info = good(await client.call("task_file_info", {"task_id": task_id, "artifact": artifact}))
            check(info["ready"], "the file of a completed task is not ready")
            await asyncio.to_thread(download, info)
        if WAY == "http":
            await plan_of_today()

    async def plan_of_today() -> None:
        """The same with the tools of today's PlanExe, and a plan that is stopped and made again."""
        good(await client.call("example_prompts", {}))
        good(await client.call("model_profiles", {}))
        created = good(await client.call("plan_create", {"prompt": f"Open a library. {uuid.uuid4()}"}))
        plan = {"plan_id": created["plan_id"]}
        stopped = good(await client.call("plan_stop", plan))
        check(stopped["stop_requested"], "the stop is not requested")
        await until(plan, ("stopped", "failed"))
        # A worker that has begun holds the plan until its next step.
        deadline = time.monotonic() + LIMIT
        while (retried := await client.call("plan_retry", plan)).get("isError") and time.monotonic() < deadline:
            await asyncio.sleep(POLL)
        check(good(retried)["state"] == "pending", "the plan is not in the queue again")
        await until(plan, ("completed",))
        listed = good(await client.call("plan_list", {"limit": 50}))["plans"]
        check(plan["plan_id"] in [item["plan_id"] for item in listed], "the plan is not listed")
        for artifact in ("report", "zip"):
            await asyncio.to_thread(download, good(await client.call("plan_file_info", plan | {"artifact": artifact})))

    async def until(plan: dict[str, str], states: tuple[str, ...]) -> None:
        deadline = time.monotonic() + LIMIT
        while (state := good(await client.call("plan_status", plan))["state"]) not in states:
            check(state in ("pending", "processing") and time.monotonic() < deadline, f"the plan is {state}")
            await asyncio.sleep(POLL)

    async def retry() -> None:
        again = good(await client.call("task_create", request))
        check(task_id and again["task_id"] == task_id and again["repeated"], "a repeated call made a second task")

    async def save() -> None:
        request = {"prompt": f"Open a café. {uuid.uuid4()}"}
        task_id = good(await client.call("task_create", request))["task_id"]
        told: list[float] = []

        async def progress(value: float, total: float | None, message: str | None) -> None:
            told.append(value)

        wait = {"task_id": task_id, "wait_seconds": LIMIT}
        check_saved(good(await client.call("task_download", wait, progress)))
        check(told, "no progress is told")
        check(told == sorted(set(told)), "the progress goes back")
        again = good(await client.call("task_download", {"task_id": task_id}))
        check(again["already_saved"], "the file is saved twice")
        check_saved(good(await client.call("task_download", {"task_id": task_id, "artifact": "zip"})))

    await step("list", list_tools)
    await step("good", good_call)
    await step("bad", bad_call)
    await step("prompt", prompt)
    await step("plan", plan)
    await step("retry", retry)
    if WAY != "http":
        await step("save", save)


async def walk(about: dict[str, str], connect: Callable[[Use], Awaitable[None]]) -> None:
    """Puts a client through all steps. `about` names it: client, version, and the header that it sends the key in.

    `connect` connects, calls its argument with the revision that was agreed on and the client, and disconnects.
    """
    place = {"http": about["key"], "stdio": "none", "bridge": "environment"}[WAY]
    say(step="start", ok=True, **about | {"mode": _GIVEN, "key": place})
    connected = False

    async def use(revision: str, client: Client) -> None:
        nonlocal connected
        connected = True
        say(step="connect", ok=True, revision=revision)
        await _walk(client)

    try:
        await asyncio.wait_for(connect(use), LIMIT)
    except Exception as error:
        say(step="end" if connected else "connect", ok=False, why=reason(error))
    else:
        say(step="end", ok=True)
