"""Pictures of training, written to PNG files: curves, first-layer filters, confusion matrix.

Figures are made without pyplot, so that no window system is needed and nothing outside of the figure is touched.
"""

import math
import os
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tinyalex.files import replacing

TRAIN, VALID, INK = "#9aa5b1", "#0b6e99", "#333333"


def draw_curves(log: Sequence[Any], path: str | os.PathLike[str]) -> None:
    """Loss and error by epoch, training and validation; a dotted line where the learning rate fell. `log`: training.Epoch lines."""
    figure = _figure(9, 3.4)
    epochs = [line.epoch for line in log]
    drops = [now.epoch - 0.5 for before, now in pairwise(log) if now.lr < before.lr]
    for place, title, name, scale in ((1, "loss", "loss", 1), (2, "error, %", "error", 100)):
        axes = figure.add_subplot(1, 2, place)
        for which, colour, label in (("train", TRAIN, "training"), ("valid", VALID, "validation")):
            values = [scale * getattr(line, f"{which}_{name}") for line in log]
            axes.plot(epochs, values, color=colour, linewidth=2, marker="o" if len(log) < 20 else "", markersize=4, label=label)
        for drop in drops:
            axes.axvline(drop, color=INK, linewidth=0.8, linestyle=":")
        axes.set_title(title, loc="left", fontsize=11)
        axes.set_xlabel("epoch")
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y", color="#eeeeee")
        axes.spines[["top", "right"]].set_visible(False)
        if place == 1:
            axes.legend(frameon=False)
    _save(figure, path)


def draw_filters(weight: np.ndarray, path: str | os.PathLike[str]) -> None:
    """First-layer filters (O, 3, KH, KW) as small pictures: no weight is mid-grey, and all share one scale."""
    if weight.ndim != 4 or weight.shape[1] != 3:
        raise ValueError(f"draw_filters: expected filters (O, 3, KH, KW) that look at colours, got shape {weight.shape}.")
    count, _, kh, kw = weight.shape
    across = math.ceil(math.sqrt(2 * count))
    down = math.ceil(count / across)
    sheet = np.ones((down * (kh + 1) - 1, across * (kw + 1) - 1, 3))
    # The 99th percentile: one extreme weight would otherwise turn all the other filters grey.
    pixels = np.clip(0.5 + 0.5 * weight.transpose(0, 2, 3, 1) / (np.percentile(np.abs(weight), 99) or 1.0), 0, 1)
    for i, filter_ in enumerate(pixels):
        top, left = i // across * (kh + 1), i % across * (kw + 1)
        sheet[top : top + kh, left : left + kw] = filter_
    figure = _figure(across * 0.6, down * 0.6)
    axes = figure.add_subplot()
    axes.imshow(sheet, interpolation="nearest")
    axes.axis("off")
    _save(figure, path)


def draw_confusion(confusion: np.ndarray, classes: Sequence[str], path: str | os.PathLike[str]) -> None:
    """How often each true class (rows) got each answer (columns), in percent of the class."""
    share = 100 * confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    side = 2.2 + 0.5 * len(classes)
    figure = _figure(side, side)
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.ndindex(share.shape):
        value = round(share[row, column])
        if value:
            axes.text(column, row, f"{value}", ha="center", va="center", fontsize=8, color="white" if value > 55 else INK)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("answer")
    axes.set_ylabel("true class")
    axes.set_title("answers, % of each class", loc="left", fontsize=11)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    _save(figure, path)


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=150)


def _save(figure: Any, path: str | os.PathLike[str]) -> None:
    with replacing(path) as unfinished:
        figure.savefig(unfinished, format="png")
