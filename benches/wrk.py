"""One measurement: wrk against one address, and what it cost the server's process."""

import json
import os
import pathlib
import re
import subprocess
import sys

OUT = pathlib.Path(__file__).resolve().parent.parent / ".local" / "bench"
SCRIPT = pathlib.Path(__file__).with_name("wrk.lua")
TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A run that is no result."""


def measure(target, operation, connections, seconds):
    """Runs one operation and returns a dict of figures. Raises Failed when any request failed."""
    url, method, headers, body = target.request(operation)
    path = ""
    if body is not None:
        path = str(OUT / f"{target.name}-{operation.name}.body")
        pathlib.Path(path).write_bytes(body)
        headers = {**headers, "Content-Type": "application/json"}
    environment = {
        **os.environ,
        "BENCH_METHOD": method,
        "BENCH_BODY": path,
        "BENCH_HEADERS": "\n".join(f"{name}: {value}" for name, value in headers.items()),
    }
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(SCRIPT), url]
    before = {name: cpu(pid) for name, pid in target.processes.items()}
    forget_peak(target.processes)
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    after = {name: cpu(pid) for name, pid in target.processes.items()}
    line = next((line for line in run.stdout.splitlines() if line.startswith("BENCH ")), None)
    if run.returncode or line is None:
        raise Failed(f"wrk: {run.stderr.strip() or run.stdout.strip()}")
    figures = json.loads(line.removeprefix("BENCH "))
    errors = {name: figures.pop(name) for name in ("connect", "read", "write", "status", "timeout")}
    if any(errors.values()) or not figures["requests"]:
        raise Failed(f"{figures['requests']} answers, errors: {errors}")
    length = figures["bytes"] / figures["requests"]
    # The head of an answer is counted too; a tool that fails answers with far less, under the same status.
    # Answers that were under way at the end are among the bytes, but not among the requests.
    expected = target.lengths.get(operation.name)
    under_way = expected is not None and expected * connections / figures["requests"]
    if expected is not None and not expected * 0.9 <= length <= expected * 1.2 + 2000 + under_way:
        raise Failed(f"answers of {length:.0f} bytes, where one of {expected} is expected")
    figures["throughput"] = figures["requests"] / figures["seconds"]
    for name in after:
        figures[f"{name}_cpu_ms"] = (after[name] - before[name]) * 1000 / figures["requests"]
    figures.update(peak(target.processes))
    return figures


def tree(pid):
    """A process and all below it."""
    children = status(pid, f"task/{pid}/children").split()
    return [pid, *(below for child in children for below in tree(child))]


def status(pid, name):
    """A file of the kernel's about a process; empty when the process has ended."""
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def cpu(pid):
    """CPU seconds of a process and all below it so far, with those that have ended."""
    ticks = 0
    # From below: the time of one that ends meanwhile goes to the one above it.
    for process in reversed(tree(pid)):
        fields = status(process, "stat").rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / TICKS


def forget_peak(processes):
    """Lets the kernel's account of the largest memory of the host begin anew."""
    for process in tree(processes["host"]) if processes else ():
        try:
            pathlib.Path(f"/proc/{process}/clear_refs").write_text("5")
        except OSError:
            # Then the peak is that since the start of the process.
            pass


def peak(processes):
    """The most memory that the host's processes have had, in MB."""
    if not processes:
        return {}
    texts = [status(process, "status") for process in tree(processes["host"])]
    return {"peak_mb": sum(int(size) * 1024 / 1e6 for text in texts for size in re.findall(r"VmHWM:\s+(\d+)", text))}


def show(text):
    """What is going on, on one line that the next one takes the place of."""
    if sys.stderr.isatty():
        print(f"\r\033[Kbench: {text}", end="", file=sys.stderr, flush=True)
