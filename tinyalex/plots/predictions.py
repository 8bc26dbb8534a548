"""Photos and what a network says of them: the paper's Figure 4, and where it looks."""

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyalex.plots.figures import INK, new_figure, save, shortened
from tinyalex.plots.inspection import Occlusion

RIGHT, OTHER = "#f2a7a0", "#a9c7e8"
"""A bar's colour where the class is the true one, and where it is not (or not known)."""


def draw_predictions(
    pictures: Sequence[np.ndarray],
    answers: Sequence[Sequence[tuple[str, float]]],
    path: str | os.PathLike[str],
    *,
    titles: Sequence[str] | None = None,
    truths: Sequence[str | None] | None = None,
) -> None:
    """Figure 4 (left): photos, and beneath each the likeliest classes with bars for their probabilities, the true one's in red.

    answers  for each picture (name, probability), the likeliest first
    titles   a line under each picture; by default the true class
    truths   the name of each picture's true class, None where it is not known
    """
    count = len(pictures)
    if not count or len(answers) != count:
        raise ValueError(
            f"draw_predictions: expected an answer for each picture, got {count} pictures, {len(answers)} answers."
        )
    truths = [None] * count if truths is None else truths
    titles = [truth or "" for truth in truths] if titles is None else titles
    # 3 to 5 in a row, with as few places left over as can be.
    across = count if count < 4 else min((4, 5, 3), key=lambda n: -count % n)
    down = math.ceil(count / across)
    bars = max(map(len, answers))
    figure = new_figure(2.5 * across, (2.85 + 0.24 * bars) * down)
    # Picture, bars, and a space that sets them apart from the next picture.
    grid = figure.add_gridspec(3 * down, across, height_ratios=[2.4, 0.24 * bars, 0.04] * down)
    for i, (picture, answer) in enumerate(zip(pictures, answers, strict=True)):
        row, column = divmod(i, across)
        axes = figure.add_subplot(grid[3 * row, column])
        axes.imshow(picture)
        _frame_only(axes)
        axes.set_xlabel(
            shortened(titles[i], 30), fontsize=9.5, color=INK, fontweight="bold", parse_math=False
        )
        _draw_bars(figure.add_subplot(grid[3 * row + 1, column]), answer, truths[i])
    if any(truths):
        figure.supxlabel("red: the true class", fontsize=8, color=INK)
    save(figure, path)


def _draw_bars(axes: Any, answer: Sequence[tuple[str, float]], truth: str | None) -> None:
    """Bars from 0 to 1, the names on them; the percentages at the right edge, where no bar but a sure one's reaches."""
    for place, (name, probability) in enumerate(answer):
        axes.barh(place, probability, height=0.86, color=RIGHT if name == truth else OTHER)
        axes.text(
            0.02, place, shortened(name, 30), va="center", fontsize=8, color=INK, parse_math=False
        )
        axes.text(
            0.99,
            place,
            f"{100 * probability:.1f} %",
            va="center",
            ha="right",
            fontsize=7.5,
            color=INK,
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(len(answer) - 0.5, -0.5)
    _frame_only(axes)


def draw_neighbours(
    queries: Sequence[np.ndarray],
    neighbours: Sequence[Sequence[np.ndarray]],
    path: str | os.PathLike[str],
    *,
    query_titles: Sequence[str] | None = None,
    titles: Sequence[Sequence[str]] | None = None,
) -> None:
    """Figure 4 (right): each row a picture, and to the right of it those that a layer of the network finds most like it, the nearest first.

    Which they are, `nearest(last_features(model, a), last_features(model, b))` says. Titles are written under the pictures.
    """
    if not queries or len(neighbours) != len(queries):
        raise ValueError(
            f"draw_neighbours: expected a list of neighbours for each picture, got {len(queries)} pictures, {len(neighbours)} lists."
        )
    across = max(map(len, neighbours))
    side = 1.35 if query_titles is None and titles is None else 1.55
    figure = new_figure(1.35 * (across + 1.25), side * len(queries))
    # A narrow empty column sets the pictures apart from what was found for them.
    grid = figure.add_gridspec(len(queries), across + 2, width_ratios=[1, 0.12, *[1] * across])
    for row, (query, found) in enumerate(zip(queries, neighbours, strict=True)):
        under = [
            "" if query_titles is None else query_titles[row],
            *(titles[row] if titles is not None else [""] * len(found)),
        ]
        for column, (picture, text) in enumerate(zip([query, *found], under, strict=True)):
            axes = figure.add_subplot(grid[row, column + (column > 0)])
            axes.imshow(picture)
            _frame_only(axes)
            axes.set_xlabel(
                shortened(text, 20), fontsize=7.5, color=INK, parse_math=False, labelpad=2
            )
    save(figure, path)


def draw_occlusion(
    picture: np.ndarray, result: Occlusion, path: str | os.PathLike[str], *, name: str | None = None
) -> None:
    """The picture, and over it how the class's probability changes while a grey square hides what is there (see `occlusion`).

    Each field of the map lies where the middle of the square was. Blue: hiding this place lowers the probability, so the network uses it.
    """
    from matplotlib.patches import Rectangle

    height, width = picture.shape[:2]
    figure = new_figure(8.6, 4.2)
    axes = figure.subplots(1, 2)
    grey = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2).astype(
        np.uint8
    )  # under colours that mean something
    for one, shown in zip(axes, (picture, grey), strict=True):
        one.imshow(shown, extent=(0, width, height, 0))
        one.set_xlim(0, width)
        one.set_ylim(height, 0)
        _frame_only(one)
    change = 100 * (result.probabilities - result.whole)
    top, left = (result.step * int(i) for i in np.unravel_index(change.argmin(), change.shape))
    for colour, style in (("white", "-"), (INK, (0, (3, 3)))):  # seen on dark and on light pictures
        axes[0].add_patch(
            Rectangle(
                (left, top), result.side, result.side, fill=False, edgecolor=colour, linestyle=style
            )
        )
    subject = f"“{shortened(name, 30)}”" if name else f"class {result.label}"
    axes[0].set_title(
        f"{subject}: {100 * result.whole:.3g} %",
        loc="left",
        fontsize=10,
        color=INK,
        parse_math=False,
    )
    axes[0].set_xlabel(
        f"the square that it misses most: {change.min():+.2g} percentage points",
        fontsize=9,
        color=INK,
    )
    rows, columns = change.shape
    margin = (result.side - result.step) / 2
    place = (margin, margin + columns * result.step, margin + rows * result.step, margin)
    limit = max(np.abs(change).max(), 1e-6)
    shades = axes[1].imshow(
        change,
        extent=place,
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        alpha=0.72,
        interpolation="nearest",
    )
    axes[1].set_title("where a square hides the picture", loc="left", fontsize=10, color=INK)
    axes[1].set_xlabel(f"{result.side} x {result.side} pixels", fontsize=9, color=INK)
    bar = figure.colorbar(shades, ax=axes[1], fraction=0.046, pad=0.03)
    bar.set_label("change, percentage points", fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    save(figure, path)


def _frame_only(axes: Any) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("#bbbbbb")
    axes.spines[:].set_linewidth(0.6)
