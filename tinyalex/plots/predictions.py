"""Figures of predictions: classes, confusion, nearest neighbours, occlusion."""

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyalex.plots.figures import INK, TEXT, new_figure, save, shortened
from tinyalex.plots.inspection import Occlusion

TRUE_CLASS, OTHER = "#f2a7a0", "#a9c7e8"
"""The colours of a bar for the true class, and for other classes."""


def draw_predictions(
    images: Sequence[np.ndarray],
    predictions: Sequence[Sequence[tuple[str, float]]],
    path: str | os.PathLike[str],
    *,
    titles: Sequence[str] | None = None,
    truths: Sequence[str | None] | None = None,
    caption: str = "",
) -> None:
    """Figure 4 (left): images, each above bars of its most probable classes.

    predictions  (name, probability) for each image, in descending order
    titles       a line below each image; by default the true class
    truths       each image's true class, whose bar is red; None if unknown
    caption      a line below all images
    """
    count = len(images)
    if not count or len(predictions) != count:
        raise ValueError(
            f"draw_predictions: expected a prediction for each image, got {count} images and "
            f"{len(predictions)} predictions."
        )
    truths = [None] * count if truths is None else truths
    titles = [truth or "" for truth in truths] if titles is None else titles
    # 3 to 5 images in a row, with the fewest empty positions in the last.
    across = count if count < 4 else min((4, 5, 3), key=lambda n: -count % n)
    down = math.ceil(count / across)
    bars = max(map(len, predictions))
    figure = new_figure(2.5 * across, (2.85 + 0.24 * bars) * down)
    # An image, its bars, and a space before the next image.
    grid = figure.add_gridspec(3 * down, across, height_ratios=[2.4, 0.24 * bars, 0.04] * down)
    for i, (image, prediction) in enumerate(zip(images, predictions, strict=True)):
        row, column = divmod(i, across)
        axes = figure.add_subplot(grid[3 * row, column])
        axes.imshow(image)
        _frame_only(axes)
        axes.set_xlabel(shortened(titles[i], 30), fontsize=9.5, fontweight="bold", **TEXT)
        _draw_bars(figure.add_subplot(grid[3 * row + 1, column]), prediction, truths[i])
    lines = ["red: the true class"] * any(truths) + [caption] * bool(caption)
    if lines:
        figure.supxlabel("\n".join(lines), fontsize=8, color=INK)
    save(figure, path)


def _draw_bars(axes: Any, prediction: Sequence[tuple[str, float]], truth: str | None) -> None:
    """Bars from 0 to 1, with names on them and percentages at the right edge."""
    for y, (name, probability) in enumerate(prediction):
        axes.barh(y, probability, height=0.86, color=TRUE_CLASS if name == truth else OTHER)
        axes.text(0.02, y, shortened(name, 30), va="center", fontsize=8, **TEXT)
        percent = f"{100 * probability:.1f} %"
        axes.text(0.99, y, percent, va="center", ha="right", fontsize=7.5, color=INK)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(prediction) - 0.5, -0.5)
    _frame_only(axes)


def draw_neighbours(
    queries: Sequence[np.ndarray],
    neighbours: Sequence[Sequence[np.ndarray]],
    path: str | os.PathLike[str],
    *,
    query_titles: Sequence[str] | None = None,
    titles: Sequence[Sequence[str]] | None = None,
) -> None:
    """Figure 4 (right): in each row an image and its nearest neighbours.

    `nearest(last_features(model, a), last_features(model, b))` finds them. Titles are
    written below the images.
    """
    if not queries or len(neighbours) != len(queries):
        raise ValueError(
            f"draw_neighbours: expected a list of neighbours for each image, got {len(queries)} "
            f"images and {len(neighbours)} lists."
        )
    across = max(map(len, neighbours))
    side = 1.35 if query_titles is None and titles is None else 1.55
    figure = new_figure(1.35 * (across + 1.25), side * len(queries))
    # A narrow empty column separates the queries from their neighbours.
    grid = figure.add_gridspec(len(queries), across + 2, width_ratios=[1, 0.12, *[1] * across])
    for row, (query, found) in enumerate(zip(queries, neighbours, strict=True)):
        query_title = "" if query_titles is None else query_titles[row]
        texts = [query_title, *([""] * len(found) if titles is None else titles[row])]
        for column, (image, text) in enumerate(zip([query, *found], texts, strict=True)):
            axes = figure.add_subplot(grid[row, column + (column > 0)])
            axes.imshow(image)
            _frame_only(axes)
            axes.set_xlabel(shortened(text, 20), fontsize=7.5, labelpad=2, **TEXT)
    save(figure, path)


def draw_occlusion(
    image: np.ndarray, result: Occlusion, path: str | os.PathLike[str], *, name: str | None = None
) -> None:
    """The image, and a map of how the probability changes where a square hides it.

    See `occlusion`. A cell of the map is at the centre of the square. Blue: the
    probability is lower, so the class depends on what was hidden.
    """
    from matplotlib.patches import Rectangle

    height, width = image.shape[:2]
    figure = new_figure(8.6, 4.2)
    photo, map_ = figure.subplots(1, 2)
    # Grey, because the colours of the map have a meaning.
    grey = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    for axes, pixels in ((photo, image), (map_, grey)):
        axes.imshow(pixels, extent=(0, width, height, 0))
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        _frame_only(axes)
    change = 100 * (result.probabilities - result.whole)
    top, left = (result.step * int(i) for i in np.unravel_index(change.argmin(), change.shape))
    side = result.side
    for colour, style in (("white", "-"), (INK, (0, (3, 3)))):  # visible on dark and light images
        photo.add_patch(
            Rectangle((left, top), side, side, fill=False, edgecolor=colour, linestyle=style)
        )
    subject = f"“{shortened(name, 30)}”" if name else f"class {result.label}"
    photo.set_title(f"{subject}: {100 * result.whole:.3g} %", loc="left", fontsize=10, **TEXT)
    lowest = f"the square with the lowest probability: {change.min():+.2g} percentage points"
    photo.set_xlabel(lowest, fontsize=9, color=INK)
    rows, columns = change.shape
    margin, step = (side - result.step) / 2, result.step
    extent = (margin, margin + columns * step, margin + rows * step, margin)
    limit = max(np.abs(change).max(), 1e-6)
    scale = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit, "alpha": 0.72}
    shades = map_.imshow(change, extent=extent, interpolation="nearest", **scale)
    map_.set_title("where a square hides the image", loc="left", fontsize=10, color=INK)
    map_.set_xlabel(f"{side} x {side} pixels", fontsize=9, color=INK)
    bar = figure.colorbar(shades, ax=map_, fraction=0.046, pad=0.03)
    bar.set_label("change, percentage points", fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    save(figure, path)


def _frame_only(axes: Any) -> None:
    """A thin frame without ticks."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("#bbbbbb")
    axes.spines[:].set_linewidth(0.6)


def draw_confusion(
    confusion: np.ndarray, classes: Sequence[str], path: str | os.PathLike[str]
) -> None:
    """The predictions (columns) for each true class (rows), in percent of the class."""
    share = 100 * confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    side = 2.2 + 0.5 * len(classes)
    figure = new_figure(side, side)
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.ndindex(share.shape):
        value = round(share[row, column])
        if value:
            colour = "white" if value > 55 else INK
            axes.text(column, row, f"{value}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", **TEXT)
    axes.set_yticks(range(len(classes)), classes, **TEXT)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title("predictions, % of each true class", loc="left", fontsize=11)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    save(figure, path)
