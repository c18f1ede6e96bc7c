"""The benchmark. `scripts/bench --help` tells how to use it."""

import argparse
import datetime
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys

import growth
import late
import report
import size
import stage
import startup
import workload
import wrk
from wrk import OUT, show


def main():
    options = parse()
    # So that the servers end with it; an interrupt from the keyboard does the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))
    OUT.mkdir(parents=True, exist_ok=True)
    host = "the local host"
    if stage.spin:
        host = subprocess.run([stage.spin, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    result = {"machine": machine(), "host": host, "wasi": stage.wasi, "date": datetime.date.today().isoformat()}
    if "size" in options.parts:
        result["size"] = size.measure()
    if options.url:
        targets = [remote(text, options) for text in options.url]
        if options.beside:
            with stage.Stage(OUT / "stage") as local:
                ours, *floors = local.targets()
                result["operations"] = compare([ours, *targets, *floors], options, local)
        else:
            result["operations"] = compare(targets, options)
    elif options.parts != ["size"]:
        with stage.Stage(OUT / "stage") as local:
            targets = ours, floor, _ = local.targets()
            # First, while the floor still knows the versions of the rows.
            if "late" in options.parts:
                result["late"] = late.measure([ours, floor], options)
            if "operations" in options.parts:
                result["operations"] = compare(targets, options, local)
            if "startup" in options.parts:
                result["startup"] = startup.measure(local, targets, options.rounds)
            if "growth" in options.parts:
                result["growth"] = growth.measure(local, ours, options)
    report.write(result, OUT)


def parse():
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measures the server beside a floor, a component that does nothing but one plain statement for an "
        "answer, and beside one that runs the server's own statements; or beside any MCP servers. All targets take "
        "turns in one run, so that what disturbs the machine disturbs all.",
    )
    parser.add_argument(
        "parts", nargs="*", help="what to measure: operations, late, startup, size, growth [default: the first three]"
    )
    parser.add_argument("--url", action="append", metavar="[NAME=]URL", help="an MCP server's /mcp; may be repeated")
    parser.add_argument("--header", action="append", default=[], metavar="'Name: value'", help="sent to those servers")
    parser.add_argument("--completed", metavar="TASK_ID", help="a completed task of those servers")
    parser.add_argument("--running", metavar="TASK_ID", help="a running task of those servers")
    parser.add_argument("--beside", action="store_true", help="measure our server and the floors beside those servers")
    parser.add_argument(
        "--wasi", choices=stage.COMPONENTS, default="0.2", help="which component to measure [default: 0.2]"
    )
    parser.add_argument(
        "--host", choices=("local", "spin"), default="local", help="what runs it [default: local]; SPIN names a program"
    )
    parser.add_argument("--connections", default="1,16", help="how many at once [default: 1,16]")
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement [default: 2]")
    parser.add_argument("--answers", type=int, default=20_000, help="on one connection, of late [default: 20000]")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each target [default: 5]")
    parser.add_argument("--only", help="names of operations, comma-separated")
    options = parser.parse_args()
    known = ("operations", "late", "startup", "size", "growth")
    options.parts = options.parts or known[:3]
    for part in options.parts:
        if part not in known:
            parser.error(f"there is no part {part!r}: choose from {', '.join(known)}")
    names = {operation.name for operation in workload.OPERATIONS}
    options.only = set(options.only.split(",")) if options.only else names
    if not options.only <= names:
        parser.error(f"there is no operation {', '.join(options.only - names)}: choose from {', '.join(sorted(names))}")
    stage.wasi = options.wasi
    if options.host == "spin":
        named = os.environ.get("SPIN") or "spin"
        stage.spin = shutil.which(named) or parser.error(f"{named} is not there: SPIN names the program")
    options.connections = [int(number) for number in options.connections.split(",")]
    return options


def remote(text, options):
    """A server elsewhere."""
    name, found, url = text.partition("=")
    if not found or name.startswith("http"):
        name, url = text, text
    base = url.rstrip("/").removesuffix("/mcp")
    headers = dict(header.split(": ", 1) for header in options.header)
    return stage.Target(name, base, headers, {"completed": options.completed, "running": options.running})


def compare(targets, options, local=None):
    """Every operation at every number of connections, the targets in turns."""
    rows = []
    report.head()
    for operation in workload.OPERATIONS:
        serving = [target for target in targets if target.serves(operation)]
        if operation.name not in options.only or not serving:
            continue
        for target in serving:
            target.call(operation)
        for connections in options.connections:
            if not serving:
                break
            runs = {target.name: [] for target in serving}
            for number in range(options.rounds):
                # The first of a round has it easier or harder: each is the first in its turn.
                turn = number % len(serving)
                for target in serving[turn:] + serving[:turn]:
                    show(f"{operation.title}, {connections} connections, round {number + 1}: {target.name}")
                    if local and operation.creates:
                        local.seed()
                    try:
                        runs[target.name].append(wrk.measure(target, operation, connections, options.seconds))
                    except wrk.Failed as error:
                        runs[target.name] = None
                        print(f"\nbench: {target.name}: {operation.title}: no result: {error}", file=sys.stderr)
                serving = [target for target in serving if runs.get(target.name) is not None]
                if not serving:
                    break
            row = {"operation": operation.name, "title": operation.title, "connections": connections, "targets": {}}
            for name, figures in runs.items():
                row["targets"][name] = figures and summary(figures)
            rows.append(row)
            report.line(row)
    return rows


def summary(runs):
    """The median of each figure over the rounds, and each round's for those who want to look."""
    median = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    return {**median, "rounds": [{name: run[name] for name in ("throughput", "p99_ms")} for run in runs]}


def machine():
    model = "unknown"
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return {"cpus": os.cpu_count(), "model": model}


if __name__ == "__main__":
    main()
