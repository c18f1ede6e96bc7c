"""What people see of a run: a table, JSON, charts."""

import json
import pathlib
import statistics
import sys

FLOOR = "floor"


def line(row):
    """A row of the table, as soon as it is known. The last column is the ratio to the floor."""
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    for name, figures in row["targets"].items():
        if figures is None:
            print(f"{row['title']:24} {row['connections']:>4}  {name:16} no result")
            continue
        cells = [f"{row['title']:24} {row['connections']:>4}  {name:16}"]
        cells += [f"{figures['throughput']:9.0f}/s  p50 {figures['p50_ms']:8.2f}  p99 {figures['p99_ms']:8.2f} ms"]
        if "cpu_ms" in figures:
            cells += [f"cpu {figures['cpu_ms']:6.3f} ms  peak {figures['peak_mb']:5.0f} MB"]
        found = ratios(row, name)
        if found:
            cells += [f"{found['throughput']:5.0%} of the floor's throughput, {found['p99']:.2f} of its p99"]
        print("  ".join(cells), flush=True)


def ratio(ours, floor):
    """The median of the rounds' ratios: the two measurements of a round lie side by side, while a machine may have
    slower minutes between rounds."""
    return statistics.median(one / least for one, least in zip(ours, floor))


def ratios(row, name):
    """Throughput and p99 against the floor; None for the floor itself and where there is none."""
    figures, floor = row["targets"].get(name), row["targets"].get(FLOOR)
    if name == FLOOR or not figures or not floor:
        return None

    def of(figure):
        return ratio([run[figure] for run in figures["rounds"]], [run[figure] for run in floor["rounds"]])

    return {"throughput": of("throughput"), "p99": of("p99_ms")}


def write(result, folder, chart_folder):
    """The JSON of the run, and its charts."""
    for row in result.get("operations", []):
        row["ratios"] = {name: found for name in row["targets"] if (found := ratios(row, name))}
    parts = [name for name in result if name not in ("machine", "date")]
    path = folder / f"{'-'.join(parts)}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    charts = []
    for target in filter(None, (folder, chart_folder)):
        target = pathlib.Path(target)
        target.mkdir(parents=True, exist_ok=True)
        if result.get("operations"):
            charts.append(operations_chart(result["operations"], target / "bench.svg"))
    print(f"bench: all figures are in {path}, charts in {', '.join(map(str, charts)) or 'none'}")


def pyplot():
    import matplotlib

    matplotlib.use("svg")
    # The same figures make the same file: no dates, no random ids. Text stays text.
    matplotlib.rcParams.update({"svg.hashsalt": "planexe", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot

    return pyplot


COLOURS = ["#2f6f5e", "#b9c4c0", "#c98a3c", "#5b6fa8", "#8a4f7d"]


def operations_chart(rows, path):
    """Requests a second of every operation, a bar for each target, at the number of connections in the middle."""
    plt = pyplot()
    numbers = sorted({row["connections"] for row in rows})
    middle = numbers[len(numbers) // 2]
    rows = [row for row in rows if row["connections"] == middle]
    names = list(dict.fromkeys(name for row in rows for name in row["targets"]))
    figure, axes = plt.subplots(figsize=(8, 0.5 + 0.22 * len(rows) * (len(names) + 0.6)))
    height = 0.8 / len(names)
    for number, name in enumerate(names):
        places, values = [], []
        for place, row in enumerate(rows):
            figures = row["targets"].get(name)
            if figures:
                places.append(place + (number - (len(names) - 1) / 2) * height)
                values.append(figures["throughput"])
        bars = axes.barh(places, values, height * 0.92, label=name, color=COLOURS[number % len(COLOURS)])
        axes.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3, fontsize=8)
    axes.set_yticks(range(len(rows)), [row["title"] for row in rows])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel(f"requests a second, {middle} connections (logarithmic)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.08), ncols=len(names))
    return save(plt, figure, path)


def save(plt, figure, path):
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight", facecolor="white")
    plt.close(figure)
    return path
