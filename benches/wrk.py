"""One measurement: wrk against one address, and what it cost the server's process."""

import json
import os
import pathlib
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
    before = cpu(target.pid)
    forget_peak(target.pid)
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    after = cpu(target.pid)
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
    if after is not None:
        figures["cpu_ms"] = (after - before) * 1000 / figures["requests"]
        figures["peak_mb"] = peak(target.pid)
    return figures


def cpu(pid):
    """CPU seconds of a process so far; None for a server elsewhere."""
    if pid is None:
        return None
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def forget_peak(pid):
    """Lets the kernel's account of the largest memory begin anew."""
    if pid is not None:
        try:
            pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")
        except OSError:
            # Then the peak is that since the start of the process.
            pass


def peak(pid):
    """The most memory that a process has had, in MB."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return None


def show(text):
    """What is going on, on one line that the next one takes the place of."""
    if sys.stderr.isatty():
        print(f"\r\033[Kbench: {text}", end="", file=sys.stderr, flush=True)
