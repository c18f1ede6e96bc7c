"""Start-up: from the start of a host's process to its first answer, with and without compiled code at hand."""

import os
import pathlib
import shutil
import statistics
import subprocess
import time
import urllib.request

import report
import stage

FIRST = {"planexe-mcp": "/healthcheck", "floor": "/ping"}


def measure(local, rounds):
    """Milliseconds for both, each `rounds` times in turns and then the median."""
    projects = {"planexe-mcp": local.folder / "start", "floor": local.folder / "floor"}
    own_target(projects["planexe-mcp"])
    times = {}
    for kind, count in (("cached", rounds * 5), ("compiling", max(2, rounds))):
        for _ in range(count):
            for name, project in projects.items():
                if kind == "compiling":
                    shutil.rmtree(project / "target" / "component-cache", ignore_errors=True)
                taken = once(local, name, project)
                times.setdefault((name, kind), []).append(taken)
    rows = {}
    for kind in ("cached", "compiling"):
        # The first start fills the caches.
        ours, floor = (times[name, kind][1:] for name in ("planexe-mcp", "floor"))
        row = {
            "planexe-mcp": statistics.median(ours),
            "floor": statistics.median(floor),
            "ratio": report.ratio(ours, floor),
        }
        print(f"start-up, {kind}: {row['planexe-mcp']:.0f} ms, floor {row['floor']:.0f} ms, ratio {row['ratio']:.2f}")
        rows[kind] = row
    return rows


def own_target(project):
    """A project whose cache of compiled code is its own."""
    # An earlier run has left a folder where a link is to be made.
    shutil.rmtree(project, ignore_errors=True)
    stage.link_project(project)
    target = project / "target"
    target.unlink()
    built = f"wasm32-wasip2/{stage.COMPONENTS[stage.wasi][1]}"
    (target / built).mkdir(parents=True, exist_ok=True)
    shutil.copy(stage.ROOT / "target" / built / "planexe_mcp.wasm", target / built)


def once(local, name, project):
    """Starts a host, waits for its first answer, ends it."""
    with (pathlib.Path(local.folder) / "start.log").open("w") as log:
        port = free_port()
        environment = {**os.environ, **local.variables(), "PORT": str(port)}
        begun = time.perf_counter()
        process = subprocess.Popen(
            [stage.HOST, "up", "--host", "local", "--project", project], env=environment, stdout=log, stderr=log
        )
        try:
            while True:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}{FIRST[name]}", timeout=30) as answer:
                        answer.read()
                    return (time.perf_counter() - begun) * 1000
                except OSError:
                    if process.poll() is not None or time.perf_counter() - begun > 60:
                        raise SystemExit(f"bench: {name} did not start") from None
                    time.sleep(0.0005)
        finally:
            process.terminate()
            process.wait(timeout=30)


def free_port():
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
