"""What people see of a run: a table, and JSON."""

import json
import statistics
import sys

# The least component, and the one with the server's own statements.
FLOORS = "floor", "our SQL"
HEADS = ("operation", "connections", "server", "requests/s", "floor", "ratio", "our SQL", "ratio", "p50 ms", "p99 ms",
    "floor", "ratio", "CPU ms: host", "floor", "Postgres", "floor", "peak MB")


def head():
    print(f"| {' | '.join(HEADS)} |\n|{' --- |' * len(HEADS)}")


def line(row):
    """Rows of the table, as soon as they are known: one for each server that is no floor."""
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    floor, same = (row["targets"].get(name) for name in FLOORS)
    for name, ours in row["targets"].items():
        if name in FLOORS:
            continue
        cells = [cell(ours, "throughput", 0), cell(floor, "throughput", 0), against(ours, floor, "throughput")]
        cells += [cell(same, "throughput", 0), against(ours, same, "throughput"), cell(ours, "p50_ms", 2)]
        cells += [cell(ours, "p99_ms", 2), cell(floor, "p99_ms", 2), against(ours, floor, "p99_ms")]
        cells += [cell(of, f"{process}_cpu_ms", 2) for process in ("host", "postgres") for of in (ours, floor)]
        cells += [cell(ours, "peak_mb", 0)]
        print(f"| {row['title']} | {row['connections']} | {name} | {' | '.join(cells)} |", flush=True)


def cell(figures, name, digits):
    """A figure as the table has it; nothing where it is not known."""
    return f"{figures[name]:,.{digits}f}" if figures and name in figures else ""


def against(ours, floor, name):
    """The ratio of a figure to the floor's."""
    if not ours or not floor:
        return ""
    return f"{ratio(*([run[name] for run in of['rounds']] for of in (ours, floor))):.2f}"


def ratio(ours, floor):
    """The median of the rounds' ratios: the two measurements of a round lie side by side, while a machine may have
    slower minutes between rounds."""
    return statistics.median(one / least for one, least in zip(ours, floor))


def write(result, folder):
    """The JSON of the run, with the figures of each round."""
    parts = [name for name in result if name not in ("machine", "host", "wasi", "date")]
    path = folder / f"{'-'.join(parts)}-p{result['wasi'][-1]}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"bench: all figures are in {path}")
