"""How cost grows with what can become large: tasks in the table, prompts, connections, artifacts."""

import dataclasses
import time

import stage
import workload
import wrk
from wrk import show

TASKS = (1, 100, 10_000, 1_000_000)
PROMPTS = (10_000, 50_000, 200_000, 1_000_000)
CONNECTIONS = (1, 4, 16, 64, 256)
ARTIFACTS = (1_000, 100_000, 1_000_000, 10_000_000, 90_000_000)
# A larger one takes minutes: Postgres unpacks the whole of it for each piece.
LARGEST_REPORT = 10_000_000


def measure(local, ours, options):
    """The four tables."""
    tables = [connections(ours, options), prompts(ours, options), artifacts(local, ours, options)]
    tables.append(tasks(local, ours, options))
    for table in tables:
        print(table["title"])
        for name, values in table["lines"].items():
            known = ((x, value) for x, value in zip(table["x"], values) if value is not None)
            cells = ", ".join(f"{x:,}: {value:,.2f}" for x, value in known)
            print(f"  {name}: {cells}")
    return tables


def operation(name):
    return next(operation for operation in workload.OPERATIONS if operation.name == name)


def best(target, asked, connections, options):
    """The median of the rounds."""
    show(f"{asked.title}, {connections} connections")
    begun = time.perf_counter()
    target.call(asked)
    taken = time.perf_counter() - begun
    if taken > options.seconds:
        # Too few would end within the time: this one stands for them.
        return {"p50_ms": taken * 1000, "throughput": 1 / taken}
    runs = [wrk.measure(target, asked, connections, options.seconds) for _ in range(options.rounds)]
    return sorted(runs, key=lambda run: run["throughput"])[len(runs) // 2]


def connections(ours, options):
    lines = {}
    for name in ("ping", "status_running", "file_info_completed", "task_create"):
        asked = operation(name)
        lines[asked.title] = [best(ours, asked, number, options)["throughput"] for number in CONNECTIONS]
    return {
        "title": "Connections at once",
        "x": CONNECTIONS,
        "lines": lines,
    }


def prompts(ours, options):
    lines = {"p50, 1 connection": [], "p50, 16 connections": []}
    for size in PROMPTS:
        asked = dataclasses.replace(operation("task_create"), tool=workload.create(size - 400))
        for number, line in zip((1, 16), lines.values()):
            line.append(best(ours, asked, number, options)["p50_ms"])
    return {
        "title": "Size of the prompt (task_create)",
        "x": PROMPTS,
        "lines": lines,
    }


def artifacts(local, ours, options):
    lines = {"task_file_info, report": [], "report download": [], "task_file_info, zip": [], "zip download": []}
    info = operation("file_info_completed")
    zip_info = dataclasses.replace(info, tool=("task_file_info", {"task_id": "@TASK@", "artifact": "zip"}))
    for size in ARTIFACTS:
        html = stage.report(min(size, LARGEST_REPORT))
        local.put_task("completed", html, stage.archive(size))
        for asked, line in zip((info, operation("report"), zip_info, operation("zip")), lines.values()):
            is_report = asked in (info, operation("report"))
            too_large = is_report and size > LARGEST_REPORT
            line.append(None if too_large else best(ours, asked, 1, options)["p50_ms"])
    return {
        "title": "Size of the artifact, 1 connection",
        "x": ARTIFACTS,
        "lines": lines,
    }


def tasks(local, ours, options):
    """Fills the table. The filling tasks are completed ones, with a prompt of usual length and a small report."""
    lines = {}
    there = 0
    local.seed(tasks=0)
    for count in TASKS:
        show(f"filling the table up to {count:,} tasks")
        local.fill(there, count)
        local.sql("VACUUM ANALYZE task_item; VACUUM ANALYZE events")
        there = count
        for name in ("status_running", "status_completed", "file_info_completed", "task_create"):
            asked = operation(name)
            lines.setdefault(asked.title, []).append(best(ours, asked, 16, options)["throughput"])
    return {
        "title": "Tasks in the table, 16 connections",
        "x": TASKS,
        "lines": lines,
    }
