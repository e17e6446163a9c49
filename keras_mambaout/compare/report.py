"""The report of a comparison: a table for the terminal, `compare.json`, `compare.md`, `compare.png`."""

import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from keras_mambaout.files import write_whole

COLORS = {"tensorflow": "#e8710a", "jax": "#7b3fb5", "torch": "#c0392b"}


def check_can_draw() -> None:
    """Raises an `ImportError` that names the extra to install if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError("compare.png needs matplotlib: pip install keras-mambaout[demo]") from error


def format_report(report: Mapping[str, Any]) -> str:
    """Returns the tables and sentences of a report, as Markdown that reads well in a terminal."""
    lines = [
        f"{_name(report)} ({report['task']}), batch {report['batch_size']} of {report['size']}x{report['size']}, "
        f"{report['precision']}, weights {_origin(report['weights'])}, images {report['images'] or 'noise'}; "
        f"medians of {report['steps']} interleaved calls (quartiles), times in ms",
        "",
    ]
    header = ["backend", "build", "first call", "forward", "images/s", "first train step", "train step", "images/s"]
    rows = [[*header, "peak memory"]]
    for backend, row in report["backends"].items():
        if "error" in row:
            rows.append([backend, f"failed: {row['error']}", *[""] * 7])
            continue
        forward, train = row["forward"], row["train_step"]
        cells = [_ms(row["build_s"]), _ms(forward["first_s"]), _spread(forward), f"{forward['images_per_s']:.1f}"]
        cells += [_ms(train["first_s"]), _spread(train), f"{train['images_per_s']:.1f}"]
        rows.append([backend, *cells, _gigabytes(row["peak_memory_bytes"])])
    lines += [*_table(rows), ""]

    if report["differences"]:
        lines.append("Largest differences, relative to the largest value of each array:")
        lines.append("")
        rows = [["backends", "outputs", "any layer", "any gradient", "losses"]]
        for pair in report["differences"]:
            largest = [pair["outputs"], *(max(pair[kind].values(), default=0.0) for kind in ("layers", "gradients"))]
            rows.append([" / ".join(pair["backends"]), *(f"{value:.1e}" for value in [*largest, pair["losses"]])])
        tolerance = report["tolerance"]
        allowed = [tolerance["layers"], tolerance["layers"], tolerance["gradients"], tolerance["losses"]]
        rows.append(["allowed", *(f"{value:.0e}" for value in allowed)])
        lines += [*_table(rows), ""]
    for row in report["backends"].values():
        if "error" not in row:
            versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
            lines.append(f"- {versions}; {row['device']}; depthwise convolution: {row['depthwise_conv']}")
    lines.append("")
    if report["agree"]:
        compared = len(report["differences"]) > 0
        lines.append("The backends agree." if compared else "Only one backend ran: nothing to compare it with.")
    else:
        lines += [f"- {sentence}" for sentence in report["disagreements"]]
    return "\n".join(lines) + "\n"


def write_report(report: Mapping[str, Any], folder: str | os.PathLike) -> None:
    """Writes `compare.json`, `compare.md` and `compare.png`; a file replaces an older one only when it is complete."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = f"# Comparison of backends\n\n{format_report(report)}\n![speed, losses and differences](compare.png)\n"
    numbers = json.dumps(_finite(report), indent=2)
    write_whole(folder / "compare.json", lambda path: pathlib.Path(path).write_text(numbers))
    write_whole(folder / "compare.md", lambda path: pathlib.Path(path).write_text(text))
    write_whole(folder / "compare.png", lambda path: _draw(report, path))


def _finite(value):
    """Returns a report with infinity as the string "inf", since JSON has no infinity."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _name(report):
    mixer = report["token_mixer"]
    return report["model"] if mixer in (None, "conv") else f"{report['model']} with {mixer}"


def _origin(weights):
    return weights if weights == "drawn" else f"of {weights}"


def _ms(seconds):
    return f"{1e3 * seconds:.0f}"


def _spread(timing):
    low, high = timing["quartiles_s"]
    return f"{_ms(timing['median_s'])} ({_ms(low)}-{_ms(high)})"


def _gigabytes(size):
    return "unknown" if size is None else f"{size / 1e9:.2f} GB"


def _table(rows):
    """Returns the lines of a Markdown table with padded columns; the first row is its head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def _draw(report, path):
    from matplotlib.figure import Figure

    rows = {backend: row for backend, row in report["backends"].items() if "error" not in row}
    figure = Figure(figsize=(15, 4.5), layout="constrained")
    speed, losses, layers = figure.subplots(1, 3)
    figure.suptitle(
        f"{_name(report)}, batch {report['batch_size']}, {report['size']} pixels, {report['precision']}", fontsize=12
    )
    _draw_speed(speed, rows)
    _draw_losses(losses, rows)
    _draw_layers(layers, report)
    figure.savefig(path, dpi=120)


def _draw_speed(axes, rows):
    for position, method in enumerate(("forward", "train_step")):
        for index, (backend, row) in enumerate(rows.items()):
            median, (low, high) = row[method]["median_s"], row[method]["quartiles_s"]
            axes.bar(
                position + 0.27 * (index - (len(rows) - 1) / 2),
                1e3 * median,
                width=0.25,
                color=COLORS[backend],
                label=backend if position == 0 else None,
                yerr=[[1e3 * (median - low)], [1e3 * (high - median)]],
                capsize=3,
            )
    axes.set_xticks([0, 1], ["forward", "train step"])
    axes.set(title="Speed", ylabel="median time of a batch in ms (bars: quartiles)")
    axes.legend(frameon=False)


def _draw_losses(axes, rows):
    styles = (
        {"linewidth": 5, "alpha": 0.35},
        {"linewidth": 2.5},
        {"linestyle": "none", "marker": "o", "markersize": 4},
    )
    for (backend, row), style in zip(rows.items(), styles, strict=False):
        axes.plot(range(1, len(row["losses"]) + 1), row["losses"], color=COLORS[backend], label=backend, **style)
    axes.set(title="Losses of model.fit", xlabel="step", ylabel="loss")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)


def _draw_layers(axes, report):
    floor = 1e-9  # where a difference of zero is drawn
    for pair in report["differences"]:
        values = [min(max(value, floor), 1e3) for value in pair["layers"].values()]
        axes.plot(range(1, len(values) + 1), values, marker=".", label=" / ".join(pair["backends"]))
    axes.axhline(report["tolerance"]["layers"], color="black", linewidth=0.8, linestyle=":", label="allowed")
    axes.set(title="Difference by layer", xlabel="layer, in the model's order", ylabel="relative to the largest value")
    axes.set_yscale("log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
