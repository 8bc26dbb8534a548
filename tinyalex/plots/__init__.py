"""Figures of networks and their training as PNG files, and the values in them.

Computing and drawing are separate: `occlusion` returns values, `draw_occlusion` draws
them. Images are uint8 arrays (H, W, 3) in RGB, such as
`models.preprocessing(variant).crop(photo)` returns.
"""

from tinyalex.plots.features import draw_filters, draw_maps
from tinyalex.plots.inspection import Occlusion, activations, last_features, nearest, occlusion
from tinyalex.plots.network import draw_network
from tinyalex.plots.predictions import (
    draw_confusion,
    draw_neighbours,
    draw_occlusion,
    draw_predictions,
)
from tinyalex.plots.training import draw_curves

__all__ = [
    "Occlusion",
    "activations",
    "draw_confusion",
    "draw_curves",
    "draw_filters",
    "draw_maps",
    "draw_neighbours",
    "draw_network",
    "draw_occlusion",
    "draw_predictions",
    "last_features",
    "nearest",
    "occlusion",
]
