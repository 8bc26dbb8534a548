"""Figures of first-layer filters and of feature maps."""

import math
import os

import numpy as np

from tinyalex.plots.figures import TEXT, new_figure, save, shortened
from tinyalex.tensor import Tensor

CONSTANT_MAP = (0.80, 0.88, 0.95)
"""Light blue, for a map whose elements are all equal."""


def draw_filters(weight: np.ndarray | Tensor, path: str | os.PathLike[str]) -> None:
    """First-layer filters (O, 3, KH, KW) as RGB images on one scale; 0 is mid-grey."""
    weight = weight.numpy() if isinstance(weight, Tensor) else weight
    if weight.ndim != 4 or weight.shape[1] != 3:
        raise ValueError(
            "draw_filters: expected filters (O, 3, KH, KW) of RGB images, "
            f"got shape {weight.shape}."
        )
    across = math.ceil(math.sqrt(2 * len(weight)))
    # The 99th percentile: with the maximum, one extreme weight turns all other filters
    # grey.
    scale = np.percentile(np.abs(weight), 99) or 1.0
    pixels = np.clip(0.5 + 0.5 * weight.transpose(0, 2, 3, 1) / scale, 0, 1)
    figure = new_figure(across * 0.6, math.ceil(len(weight) / across) * 0.6)
    axes = figure.add_subplot()
    axes.imshow(_sheet(pixels, across, gap=1), interpolation="nearest")
    axes.axis("off")
    save(figure, path)


def draw_maps(
    maps: np.ndarray,
    path: str | os.PathLike[str],
    *,
    image: np.ndarray | None = None,
    title: str | None = None,
) -> None:
    """The feature maps (C, H, W) of an image: `activations(model, images, "conv1")[0]`.

    Each map has its own scale, from black (its minimum) to white (its maximum), so that
    weak activations are visible; a constant map is blue. `image` is shown to the left
    of the maps.
    """
    if maps.ndim != 3 or 0 in maps.shape:
        raise ValueError(
            f"draw_maps: expected the maps (C, H, W) of one image, got shape {maps.shape}. "
            "Select one of the N images, and a layer with maps."
        )
    count, height, width = maps.shape
    across = math.ceil(math.sqrt(1.5 * count * height / width))
    tiles = np.stack([_shades(one) for one in maps.astype(np.float64)])
    sheet = _sheet(tiles, across, gap=1 + max(height, width) // 40)
    sheet_width = min(max(across * max(0.45, width / 72), 4.0), 12.0)
    sheet_height = sheet_width * sheet.shape[0] / sheet.shape[1]
    widths = [sheet_width] if image is None else [min(3.0, sheet_height), sheet_width]
    figure = new_figure(sum(widths), sheet_height + (0.4 if title else 0))
    panels = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
    if image is not None:
        panels[0].imshow(image)
    panels[-1].imshow(sheet, interpolation="nearest")
    for axes in panels:
        axes.axis("off")
        axes.set_anchor("N")
    if title:
        text = shortened(title, int(11 * sheet_width))
        panels[-1].set_title(text, loc="left", fontsize=11, **TEXT)
    save(figure, path)


def _shades(values: np.ndarray) -> np.ndarray:
    """Values (H, W) as RGB (H, W, 3) from 0 to 1."""
    spread = np.ptp(values)
    if not spread:
        return np.broadcast_to(CONSTANT_MAP, (*values.shape, 3))
    return np.repeat(((values - values.min()) / spread)[..., None], 3, axis=2)


def _sheet(tiles: np.ndarray, across: int, gap: int) -> np.ndarray:
    """The tiles (N, H, W, 3) in rows of `across`, with white gaps of `gap` pixels."""
    count, height, width, _ = tiles.shape
    down = math.ceil(count / across)
    sheet = np.ones((down * (height + gap) - gap, across * (width + gap) - gap, 3))
    for i, tile in enumerate(tiles):
        top, left = i // across * (height + gap), i % across * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return sheet
