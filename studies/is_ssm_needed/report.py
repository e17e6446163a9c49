"""Makes tables and pictures from the stored results of the study.

python studies/is_ssm_needed/report.py FOLDER             tables.md and pictures, beside results.jsonl
python studies/is_ssm_needed/report.py FOLDER README.md   the same, and the tables into README.md
"""

import json
import pathlib
import statistics
import sys

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

LABELS = {
    "conv 7": "conv 7×7 (MambaOut)",
    "conv 11": "conv 11×11",
    "causal conv 7": "causal conv 7×7",
    "causal conv 9": "causal conv 9×9",
    "conv + SSM": "conv 7×7 + SSM",
    "conv + SSM, 1 direction": "conv 7×7 + SSM, 1 direction",
    "conv + SSM, 1 direction, 16 states": "conv 7×7 + SSM, 1 direction, 16 states",
    "SSM": "SSM alone, 4 directions",
    "SSM, 1 direction": "SSM alone, 1 direction (causal)",
    "identity": "identity",
}
STYLES = {  # Okabe and Ito's colours, which the colour-blind tell apart, and a line or marker of its own
    "conv 7": ("#0072B2", "-", "o"),
    "conv 11": ("#56B4E9", "--", "s"),
    "causal conv 7": ("#E69F00", "-.", "^"),
    "causal conv 9": ("#F0C243", ":", "v"),
    "conv + SSM": ("#D55E00", "-", "D"),
    "conv + SSM, 1 direction": ("#CC79A7", "--", "P"),
    "conv + SSM, 1 direction, 16 states": ("#009E73", ":", "X"),
    "SSM": ("#D55E00", "-", "D"),
    "SSM, 1 direction": ("#CC79A7", "--", "P"),
    "identity": ("#777777", ":", "*"),
}
SHOWN_DISTANCES = (0, 3, 6, 7, 10, 11, 16, 24, 32, 39)


def read(path):
    """Returns the records of a results file; a last line that was cut off is left out."""
    records = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


class Results:
    """The records of one part, by what they are asked for."""

    def __init__(self, records, part):
        self.records = [record for record in records if record["run"]["part"] == part]
        self.mixers = self.values("mixer")

    def values(self, name):
        """The values of a setting, in the order of the study's plan."""
        values = dict.fromkeys(record["run"][name] for record in self.records)
        order = list(LABELS) if name == "mixer" else sorted(values)
        return [value for value in order if value in values]

    def of(self, name, **wanted):
        """One result of all runs that have these settings, in the order of seeds."""
        found = [record for record in self.records if wanted.items() <= record["run"].items()]
        return [record["result"][name] for record in sorted(found, key=lambda record: record["run"].get("seed", 0))]


def mean_and_spread(values, digits=1):
    """Returns accuracies as text in percent: mean ± standard deviation over the seeds."""
    values = [100 * value for value in values if value is not None]
    if not values:
        return "–"
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread}"


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


# === Tables ===


def accuracy_table(results):
    """Parameters, MACs and the accuracy on each task."""
    names = results.values("task")
    rows = []
    for mixer in results.mixers:
        parameters, macs = (results.of(what, mixer=mixer, task=names[0])[0] for what in ("parameters", "macs"))
        accuracies = [results.of("accuracy", mixer=mixer, task=task) for task in names]
        seeds = " and ".join(map(str, dict.fromkeys(map(len, accuracies))))
        rows.append([LABELS[mixer], f"{parameters:,}", f"{macs / 1e6:.2f}", seeds, *map(mean_and_spread, accuracies)])
    return table(["token mixer", "parameters", "M MACs", "seeds", *(f"{task}, %" for task in names)], rows)


def distance_table(results):
    """Accuracy at some distances."""
    longest = results.records[0]["run"]["longest"]
    shown = [distance for distance in SHOWN_DISTANCES if distance < longest]
    rows = []
    for mixer in results.mixers:
        curves = results.of("by_distance", mixer=mixer)
        parameters, macs = (results.of(what, mixer=mixer)[0] for what in ("parameters", "macs"))
        points = [mean_and_spread([curve[distance] for curve in curves], 0) for distance in shown]
        rows.append([LABELS[mixer], f"{parameters:,}", f"{macs / 1e6:.1f}", len(curves), *points])
    return table(["token mixer", "parameters", "M MACs", "seeds", *(f"D = {distance}" for distance in shown)], rows)


def costs(results, backend, mixer):
    """What was measured of a mixer on a backend, a dict for each size; none where it was not."""
    return next(iter(results.of("by_side", backend=backend, mixer=mixer)), [])


def short(value):
    """Returns a number with three digits that count."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def cost_table(results):
    """Time of a forward pass and of a train step, and the memory that the step adds."""
    rows = []
    for backend in results.values("backend"):
        for mixer in results.mixers:
            cells = [
                f"{short(at['forward_ms'])} / {short(at['step_ms'])} / {at['step_mb']:.0f}"
                for at in costs(results, backend, mixer)
            ]
            if cells:
                rows.append([backend, LABELS[mixer], *cells])
    sides = results.records[0]["run"]["sides"]
    return table(["backend", "token mixer", *(f"{side**2:,} tokens" for side in sides)], rows)


def macs_table(results):
    """Multiply-accumulates of a block."""
    sides = results.records[0]["run"]["sides"]
    rows = [
        [LABELS[mixer], *(f"{at['macs'] / 1e6:,.0f}" for at in results.of("by_side", mixer=mixer)[0])]
        for mixer in results.mixers
    ]
    return table(["token mixer", *(f"{side**2:,} tokens" for side in sides)], rows)


# === Pictures ===


def draw_accuracies(results, path, title):
    """A dot for each seed, a bar at their mean; a panel for each task."""
    names = results.values("task")
    figure, axes = plt.subplots(1, len(names), figsize=(4.5 * len(names) + 1.5, 3), squeeze=False, layout="constrained")
    for index, (axis, task) in enumerate(zip(axes[0], names, strict=True)):
        for row, mixer in enumerate(results.mixers):
            colour, _, marker = STYLES[mixer]
            values = [100 * value for value in results.of("accuracy", mixer=mixer, task=task)]
            if not values:
                continue
            axis.plot(values, [row] * len(values), marker, color=colour, alpha=0.6)
            axis.plot([statistics.mean(values)] * 2, [row - 0.3, row + 0.3], color=colour, linewidth=2.5)
        axis.set_yticks(range(len(results.mixers)), [LABELS[mixer] for mixer in results.mixers] if index == 0 else [])
        axis.set(title=task, xlabel="test accuracy, %")
        axis.invert_yaxis()
        axis.grid(axis="x", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_distances(results, path):
    """Accuracy over distance: lines are means over the seeds, bands reach from the worst to the best."""
    run = results.records[0]["run"]
    figure, axis = plt.subplots(figsize=(9.5, 4.2), layout="constrained")
    for mixer in results.mixers:
        colour, line, _ = STYLES[mixer]
        columns = list(zip(*results.of("by_distance", mixer=mixer), strict=True))
        at = [distance for distance, column in enumerate(columns) if None not in column]
        means = [100 * statistics.mean(columns[distance]) for distance in at]
        axis.plot(at, means, line, color=colour, label=LABELS[mixer], linewidth=2)
        low, high = ([100 * choose(columns[distance]) for distance in at] for choose in (min, max))
        axis.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
    for kernel, side in ((7, "right"), (11, "left")):
        radius = run["options"]["blocks"] * (kernel // 2)
        axis.axvline(radius, color="0.4", linewidth=1, linestyle=(0, (2, 2)))
        text = f" {kernel}×{kernel} sees \n {radius} columns "
        axis.annotate(text, (radius, 101), fontsize=8, color="0.3", ha=side, va="bottom")
    axis.axhline(25, color="0.4", linewidth=1)
    axis.annotate("chance, 25 %", (run["longest"] - 1, 18), fontsize=8, color="0.3", ha="right", va="center")
    axis.set(xlabel="D: columns from a pixel to its cue", ylabel="accuracy, %", ylim=(15, 113))
    axis.set_yticks(range(20, 101, 20))
    axis.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_cost(results, path):
    """Time and memory over the number of tokens, a column for each backend."""
    backends = results.values("backend")
    rows = {"step_ms": "train step, ms of processor time", "step_mb": "peak memory of a train step, MB"}
    figure, axes = plt.subplots(
        len(rows),
        len(backends),
        figsize=(3.4 * len(backends) + 1, 6),
        squeeze=False,
        sharey="row",
        layout="constrained",
    )
    for line, (what, label) in zip(axes, rows.items(), strict=True):
        for axis, backend in zip(line, backends, strict=True):
            for mixer in results.mixers:
                colour, style, marker = STYLES[mixer]
                points = [(at["side"] ** 2, at[what]) for at in costs(results, backend, mixer) if at[what] > 0]
                if not points:
                    continue
                axis.plot(*zip(*points, strict=True), style, marker=marker, color=colour, label=LABELS[mixer])
            axis.set(xscale="log", yscale="log", title=backend, xlabel="tokens")
            axis.grid(alpha=0.3)
        line[0].set_ylabel(label)
    axes[0][0].legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


# === All of it ===


def tables(records):
    """Returns `{name: Markdown}` of the parts that have results."""
    makers = {
        "classification": ("classification", accuracy_table),
        "distance": ("distance", distance_table),
        "causal": ("causal", accuracy_table),
        "cost": ("cost", cost_table),
        "macs": ("cost", macs_table),
    }
    parts = {part: Results(records, part) for part, _ in makers.values()}
    return {name: make(parts[part]) for name, (part, make) in makers.items() if parts[part].records}


def write(folder):
    """Writes `tables.md` and the pictures of a folder with `results.jsonl`."""
    path = folder / "results.jsonl"
    records = read(path) if path.exists() else []
    (folder / "tables.md").write_text("\n".join(f"## {name}\n\n{text}" for name, text in tables(records).items()))
    pictures = {
        "classification": lambda results, path: draw_accuracies(results, path, "Networks of four stages"),
        "distance": draw_distances,
        "causal": lambda results, path: draw_accuracies(results, path, "Fully visible and causal mixing"),
        "cost": draw_cost,
    }
    for part, draw in pictures.items():
        results = Results(records, part)
        if results.records:
            draw(results, folder / f"{part}.png")


def with_tables(text, records):
    """Returns a page with each table between `<!-- name -->` and `<!-- /name -->`."""
    for name, content in tables(records).items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
        before, _, rest = text.partition(start)
        text = before + start + "\n" + content + "\n" + end + rest.partition(end)[2]
    return text


if __name__ == "__main__":
    output = pathlib.Path(sys.argv[1])
    write(output)
    for page in map(pathlib.Path, sys.argv[2:]):
        page.write_text(with_tables(page.read_text(), read(output / "results.jsonl")))
