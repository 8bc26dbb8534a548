"""What layers have learned and what they see: first-layer filters, feature maps."""

import math
import os

import numpy as np

from tinyalex.plots.figures import INK, new_figure, save, shortened
from tinyalex.tensor import Tensor


def draw_filters(weight: np.ndarray | Tensor, path: str | os.PathLike[str]) -> None:
    """First-layer filters (O, 3, KH, KW), an array or a parameter, as small pictures: no weight is mid-grey, and all share one scale."""
    weight = weight.numpy() if isinstance(weight, Tensor) else weight
    if weight.ndim != 4 or weight.shape[1] != 3:
        raise ValueError(
            f"draw_filters: expected filters (O, 3, KH, KW) that look at colours, got shape {weight.shape}."
        )
    count, _, kh, kw = weight.shape
    across = math.ceil(math.sqrt(2 * count))
    down = math.ceil(count / across)
    sheet = np.ones((down * (kh + 1) - 1, across * (kw + 1) - 1, 3))
    # The 99th percentile: one extreme weight would otherwise turn all the other filters grey.
    pixels = np.clip(
        0.5 + 0.5 * weight.transpose(0, 2, 3, 1) / (np.percentile(np.abs(weight), 99) or 1.0), 0, 1
    )
    for i, filter_ in enumerate(pixels):
        top, left = i // across * (kh + 1), i % across * (kw + 1)
        sheet[top : top + kh, left : left + kw] = filter_
    figure = new_figure(across * 0.6, down * 0.6)
    axes = figure.add_subplot()
    axes.imshow(sheet, interpolation="nearest")
    axes.axis("off")
    save(figure, path)


def draw_maps(
    maps: np.ndarray,
    path: str | os.PathLike[str],
    *,
    picture: np.ndarray | None = None,
    title: str | None = None,
) -> None:
    """The feature maps (C, H, W) of one image, such as `activations(model, image, "conv1")[0]`.

    Each map has its own scale, black its smallest number and white its largest: so weak ones show what they see as well. A map that is the
    same everywhere is blue. `picture`: the image itself, to the left of them.
    """
    if maps.ndim != 3 or 0 in maps.shape:
        raise ValueError(
            f"draw_maps: expected the maps (C, H, W) of one image, got shape {maps.shape}. Take one of the N, and a layer with maps."
        )
    count, height, width = maps.shape
    across = math.ceil(math.sqrt(1.5 * count * height / width))
    down = math.ceil(count / across)
    gap = 1 + max(height, width) // 40
    sheet = np.ones((down * (height + gap) - gap, across * (width + gap) - gap, 3))
    for i, one in enumerate(maps.astype(np.float64)):
        top, left = i // across * (height + gap), i % across * (width + gap)
        spread = np.ptp(one)
        shades = (one - one.min()) / spread if spread else 0 * one
        sheet[top : top + height, left : left + width] = (
            shades[..., None] if spread else (0.80, 0.88, 0.95)
        )
    sheet_width = min(max(across * max(0.45, width / 72), 4.0), 12.0)
    sheet_height = sheet_width * sheet.shape[0] / sheet.shape[1]
    beside = 0.0 if picture is None else min(3.0, sheet_height)
    figure = new_figure(sheet_width + beside, sheet_height + (0.4 if title else 0))
    grid = figure.add_gridspec(
        1, 2 if beside else 1, width_ratios=[beside, sheet_width] if beside else [1]
    )
    if picture is not None:
        axes = figure.add_subplot(grid[0])
        axes.imshow(picture)
        axes.axis("off")
        axes.set_anchor("N")
    axes = figure.add_subplot(grid[-1])
    axes.imshow(sheet, interpolation="nearest")
    axes.axis("off")
    axes.set_anchor("N")
    if title:
        axes.set_title(
            shortened(title, int(11 * sheet_width)),
            loc="left",
            fontsize=11,
            color=INK,
            parse_math=False,
        )
    save(figure, path)
