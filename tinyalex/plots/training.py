"""The figure of a training run: losses and errors by epoch."""

import os
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from tinyalex.plots.figures import INK, new_figure, save

TRAIN, VALID = "#9aa5b1", "#0b6e99"


def draw_curves(log: Sequence[Any], path: str | os.PathLike[str]) -> None:
    """Training and validation loss and error by epoch, from a log of training.Epoch.

    A dotted line marks a reduction of the learning rate.
    """
    figure = new_figure(9, 3.4)
    epochs = [line.epoch for line in log]
    drops = [now.epoch - 0.5 for before, now in pairwise(log) if now.lr < before.lr]
    style = {"linewidth": 2, "marker": "o" if len(log) < 20 else "", "markersize": 4}
    for panel, title, name, scale in ((1, "loss", "loss", 1), (2, "error, %", "error", 100)):
        axes = figure.add_subplot(1, 2, panel)
        for split, colour, label in (("train", TRAIN, "training"), ("valid", VALID, "validation")):
            values = [scale * getattr(line, f"{split}_{name}") for line in log]
            axes.plot(epochs, values, color=colour, label=label, **style)
        for i, drop in enumerate(drops):
            text = "lower learning rate" if i == 0 else None
            axes.axvline(drop, color=INK, linewidth=0.8, linestyle=":", label=text)
        axes.set_title(title, loc="left", fontsize=11)
        axes.set_xlabel("epoch")
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y", color="#eeeeee")
        axes.spines[["top", "right"]].set_visible(False)
        if panel == 1:
            axes.legend(frameon=False)
    save(figure, path)
