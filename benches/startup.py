"""Start-up: from the start of a host's process to its first answer, with and without compiled code at hand."""

import shutil
import statistics
import subprocess
import time
import urllib.request

import report
import stage
import workload


def measure(local, targets, rounds):
    """Milliseconds of our server and of the floor, in turns and then the median. Either answers a ping."""
    projects = [(target, project) for target, project in zip(targets, (local.ours, local.floor))]
    rows = {}
    for kind, count in (("cached", rounds * 5), ("compiling", max(2, rounds))):
        times = {target.name: [] for target, _ in projects}
        for _ in range(count + 1):
            for target, project in projects:
                times[target.name].append(once(local, target, project, kind == "compiling"))
        # The first start fills the caches.
        ours, floor = (taken[1:] for taken in times.values())
        row = {"ours": statistics.median(ours), "floor": statistics.median(floor), "ratio": report.ratio(ours, floor)}
        print(f"start-up, {kind}: {row['ours']:.0f} ms, floor {row['floor']:.0f} ms, ratio {row['ratio']:.2f}")
        rows[kind] = row
    return rows


def once(local, target, project, compiles):
    """Starts a host, waits for its first answer, ends it."""
    base = f"http://127.0.0.1:{stage.free_port()}"
    command = stage.up(project, base)
    if compiles and stage.spin:
        command.append("--disable-cache")
    elif compiles:
        shutil.rmtree(project / "target/component-cache", ignore_errors=True)
    url, method, headers, body = target.request(workload.OPERATIONS[0])
    url = url.replace(target.base, base)
    request = urllib.request.Request(url, body, {**headers, "Content-Type": "application/json"}, method=method)
    with (local.folder / "start.log").open("w") as log:
        environment = stage.environment(local.variables())
        begun = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=local.folder)
        try:
            while True:
                try:
                    with urllib.request.urlopen(request, timeout=30) as answer:
                        answer.read()
                    return (time.perf_counter() - begun) * 1000
                except OSError:
                    if process.poll() is not None or time.perf_counter() - begun > 60:
                        raise SystemExit(f"bench: {target.name} did not start") from None
                    time.sleep(0.0005)
        finally:
            process.terminate()
            process.wait(timeout=30)
