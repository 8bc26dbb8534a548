"""The files that a benchmark writes: NAME.json, NAME.md and NAME.png."""

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinyalex.plots.figures import INK, new_figure
from tinyalex.serialization import atomic_write

RESULTS = Path(__file__).resolve().parent / "results"
OURS, THEIRS, OTHER = "#0b6e99", "#9aa5b1", "#c77d3f"

MAX_JSON_LINE = 240
"""Characters up to which a JSON object or list is written on one line."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table with aligned columns, the first `left` of them to the left."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        return (
            "| "
            + " | ".join(
                c.ljust(w) if i < left else c.rjust(w)
                for i, (c, w) in enumerate(zip(cells, widths, strict=True))
            )
            + " |"
        )

    rule = (
        "|"
        + "|".join("-" * (w + 2) if i < left else "-" * (w + 1) + ":" for i, w in enumerate(widths))
        + "|"
    )
    return "\n".join([line(head), rule, *map(line, rows)])


def default_name(stem: str, device: str) -> str:
    """The stem, with the device if it is not the CPU."""
    return stem if device == "cpu" else f"{stem}-{device.replace(':', '')}"


def write_json(folder: Path, name: str, found: dict[str, Any]) -> None:
    with atomic_write(folder / f"{name}.json") as unfinished:
        unfinished.write_text(compact_json(found) + "\n", encoding="utf-8")


def compact_json(value: Any, indent: str = "") -> str:
    """JSON with one line for each round or row, and floats of five digits."""
    if isinstance(value, float) and math.isfinite(value):
        value = float(f"{value:.5g}")
    if not isinstance(value, (dict, list)) or not value:
        return json.dumps(value, ensure_ascii=False)
    deeper = indent + " "
    if isinstance(value, dict):
        parts = [f"{json.dumps(str(k))}: {compact_json(v, deeper)}" for k, v in value.items()]
        left, right = "{}"
    else:
        parts = [compact_json(v, deeper) for v in value]
        left, right = "[]"
    line = left + ", ".join(parts) + right
    if "\n" not in line and len(line) <= MAX_JSON_LINE:
        return line
    return left + f"\n{deeper}" + f",\n{deeper}".join(parts) + f"\n{indent}" + right


def write_text(folder: Path, name: str, text: str) -> None:
    with atomic_write(folder / f"{name}.md") as unfinished:
        unfinished.write_text(text.rstrip() + "\n", encoding="utf-8")


def write_figure(figure: Any, path: Path) -> None:
    """Write a PNG with a palette of 16 colours, which is a quarter of the size."""
    from PIL import Image

    png = io.BytesIO()
    figure.savefig(png, format="png", facecolor="white")
    with atomic_write(path) as unfinished:
        Image.open(png).convert("RGB").quantize(16).save(unfinished, format="png", optimize=True)


def draw_bars(
    panels: Sequence[tuple[str, Sequence[tuple[str, float, str, bool]]]], unit: str, path: Path
) -> None:
    """Horizontal bars. A panel: (title, bars), a bar: (name, value, label, is ours)."""
    heights = [len(bars) + 1.1 for _, bars in panels]
    figure = new_figure(8.2, 0.31 * sum(heights) + 0.35)
    for axes, (title, bars) in zip(
        figure.subplots(len(panels), height_ratios=heights, squeeze=False)[:, 0],
        panels,
        strict=True,
    ):
        for position, (_, value, label, ours) in enumerate(bars):
            axes.barh(position, value, height=0.72, color=OURS if ours else THEIRS)
            axes.annotate(
                label,
                (value, position),
                (5, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
                color=INK,
                parse_math=False,
            )
        axes.set_yticks(range(len(bars)), [name for name, *_ in bars], fontsize=9, color=INK)
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.set_xlim(0, 1.4 * max(value for _, value, *_ in bars))  # room for the labels
        axes.set_title(title, loc="left", fontsize=10, color=INK)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.spines["left"].set_color("#bbbbbb")
    figure.supxlabel(unit, fontsize=9, color=INK, x=0.01, ha="left")
    write_figure(figure, path)


def draw_roofline(
    peak: float,
    bandwidth: float,
    points: Sequence[dict[str, Any]],
    title: str,
    path: Path,
    roofs: tuple[str, str] = ("sgemm", "memory"),
) -> None:
    """A roofline plot: FLOP/s over FLOP/byte, on logarithmic axes. `roofs`: their
    names."""
    figure = new_figure(11, 4.6)
    corner = peak / bandwidth
    low, high = (
        min([p["intensity"] / 2 for p in points] + [corner / 16]),
        max([p["intensity"] for p in points] + [corner]) * 5,
    )
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, which in zip(panels, ("forward", "backward"), strict=True):
        axes.plot(
            [low, corner, high],
            [bandwidth * low / 1e9, peak / 1e9, peak / 1e9],
            color=INK,
            linewidth=1.4,
        )
        speed, rate = f"{peak / 1e9:.0f} GFLOP/s", f"{bandwidth / 1e9:.0f} GB/s"
        _note(axes, f"{roofs[0]} {speed}", corner, peak, (-4, 2), ha="right")
        _note(axes, f"{roofs[1]} {rate}", corner / 4, peak / 4, (-5, 5), ha="right")
        groups = _neighbours([p for p in points if p["pass"] == which])
        for together in groups:
            for p in together:
                axes.plot(
                    p["intensity"],
                    p["speed"] / 1e9,
                    "o",
                    markersize=6,
                    color=OURS if p["matrix"] else OTHER,
                    alpha=0.85,
                )
            names = ", ".join(p["layer"] for p in together)
            first, last = (
                extreme(together, key=lambda p: p["intensity"]) for extreme in (min, max)
            )
            others = [other for group in groups if group is not together for other in group]
            if last["intensity"] > 200 or (
                last["matrix"] and any(_right_of(last, other) for other in others)
            ):
                _note(axes, names, first["intensity"], first["speed"], (-6, -3), ha="right")
            else:
                _note(axes, names, last["intensity"], last["speed"], (6, -3))
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(low, high)
        axes.set_ylim(min(p["speed"] for p in points) / 3e9, 3 * peak / 1e9)
        axes.set_xlabel("floating-point operations a byte", fontsize=9, color=INK)
        axes.set_title(f"{title}, {which}", loc="left", fontsize=10, color=INK)
        axes.grid(color="#eeeeee")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("GFLOP/s", fontsize=9, color=INK)
    write_figure(figure, path)


def _note(
    axes: Any, text: str, x: float, speed: float, offset: tuple[int, int], ha: str = "left"
) -> None:
    axes.annotate(
        text,
        (x, speed / 1e9),
        offset,
        textcoords="offset points",
        ha=ha,
        fontsize=8,
        color=INK,
        parse_math=False,
        zorder=4,
    )


def _right_of(point: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether a label to the right of the point would cover the other point."""
    right = math.log10(other["intensity"] / point["intensity"])
    return 0 < right < 0.8 and abs(math.log10(other["speed"] / point["speed"])) < 0.1


def _neighbours(points: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Groups of points that share a label, because separate labels would overlap."""
    groups: list[list[dict[str, Any]]] = []
    for p in points:
        near = (
            group
            for group in groups
            if abs(math.log10(p["intensity"] / group[0]["intensity"])) < 0.25
            and abs(math.log10(p["speed"] / group[0]["speed"])) < 0.15
        )
        found = next(near, None)
        groups.append([p]) if found is None else found.append(p)
    return groups
