"""Inspection of trained networks: activations, nearest neighbours, occlusion.

The network runs in evaluation mode; its previous modes are restored.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyalex import nn
from tinyalex.functional import softmax
from tinyalex.nn.module import Module
from tinyalex.nn.tracing import hooked, run
from tinyalex.tensor import Tensor

BATCH_SIZE = 32
"""Large enough for speed, small enough for memory: conv1's output has 37 MB."""


def activations(model: Module, images: np.ndarray, layer: str) -> np.ndarray:
    """A layer's output for each image, (N, C, H, W) or (N, features).

    layer  its name, as in `model.named_modules()`
    """
    modules = dict(model.named_modules())
    if layer not in modules:
        names = ", ".join(name for name in modules if name)
        raise ValueError(
            f"activations: {type(model).__name__} has no layer {layer!r}. It has {names}."
        )
    return _recorded(model, images, modules[layer], lambda inputs, output: output)


def last_features(model: Module, images: np.ndarray) -> np.ndarray:
    """The input of the last linear layer, (N, features): 4096 in Figure 4."""
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError(
            f"last_features: {type(model).__name__} has no nn.Linear. "
            "Name a layer: activations(model, images, layer)."
        )
    return _recorded(model, images, linear[-1], lambda inputs, output: inputs[0])


def _recorded(
    model: Module, images: np.ndarray, module: Module, choose: Callable[[tuple, Tensor], Any]
) -> np.ndarray:
    """`choose(inputs, output)` of the module, for all images."""
    if not len(images):
        raise ValueError("activations: got no images. Give one or more, (N, 3, H, W).")
    found: list[np.ndarray] = []
    with hooked([(module, lambda _, inputs, output: found.append(choose(inputs, output).numpy()))]):
        for batch, first in enumerate(range(0, len(images), BATCH_SIZE), 1):
            run(model, images[first : first + BATCH_SIZE])
            if len(found) != batch:
                raise ValueError(
                    "activations: the layer is not called exactly once for each image. "
                    "Give one that is."
                )
    return np.concatenate(found)


def nearest(
    queries: np.ndarray, among: np.ndarray, count: int = 6
) -> tuple[np.ndarray, np.ndarray]:
    """(indices, distances), both (Q, count): the rows of `among` nearest to each query.

    queries, among  features (Q, F) and (N, F)

    Distances are Euclidean, as in Figure 4, in ascending order. A query that is also a
    row of `among` is its own nearest neighbour.
    """
    queries, among = (
        np.asarray(features, np.float64).reshape(len(features), -1) for features in (queries, among)
    )
    if queries.shape[1] != among.shape[1]:
        raise ValueError(
            f"nearest: queries have {queries.shape[1]} features, but the others {among.shape[1]}. "
            "Take both from the same layer."
        )
    if not 1 <= count <= len(among):
        raise ValueError(
            f"nearest: count={count} is not between 1 and the number of rows, {len(among)}."
        )
    squares = (queries**2).sum(axis=1)[:, None] - 2 * queries @ among.T + (among**2).sum(axis=1)
    indices = np.argsort(squares, axis=1, kind="stable")[:, :count]
    return indices, np.sqrt(np.maximum(np.take_along_axis(squares, indices, axis=1), 0))


@dataclass(frozen=True)
class Occlusion:
    """The probability of a class while a square hides parts of an image.

    label          the class
    whole          its probability for the whole image
    probabilities  (rows, columns); the square's corner is at row * step, column * step
    side, step     in pixels
    """

    label: int
    whole: float
    probabilities: np.ndarray
    side: int
    step: int


def occlusion(
    model: Module,
    image: np.ndarray,
    label: int | None = None,
    *,
    side: int = 32,
    step: int = 8,
    fill: Sequence[float] = (0, 0, 0),
) -> Occlusion:
    """A class's probability as a square moves over the image (Zeiler and Fergus 2014).

    It is low where the square hides pixels that the class depends on.

    image  the network's input (1, 3, H, W)
    label  the class; by default the one predicted for the whole image
    side   of the square, in pixels
    step   by which the square moves, in pixels
    fill   the square's value in each channel: 0 if preprocessing subtracts the mean
    """
    _, _, height, width = image.shape
    if not 1 <= side <= min(height, width) or step < 1:
        raise ValueError(
            f"occlusion: a square of side={side}, moved by step={step}, does not fit an image of "
            f"{height} x {width}.\n"
            f"Give a side from 1 to {min(height, width)}, and a step of at least 1."
        )
    whole = _probabilities(model, image)[0]
    if label is None:
        label = int(whole.argmax())
    elif not 0 <= label < len(whole):
        raise ValueError(f"occlusion: expected a label from 0 to {len(whole) - 1}, got {label}.")
    tops, lefts = range(0, height - side + 1, step), range(0, width - side + 1, step)
    corners = [(top, left) for top in tops for left in lefts]
    found = []
    for first in range(0, len(corners), BATCH_SIZE):
        batch = corners[first : first + BATCH_SIZE]
        images = np.repeat(image, len(batch), axis=0)
        for one, (top, left) in zip(images, batch, strict=True):
            one[:, top : top + side, left : left + side] = np.reshape(fill, (3, 1, 1))
        found.append(_probabilities(model, images)[:, label])
    probabilities = np.concatenate(found).reshape(len(tops), len(lefts))
    return Occlusion(label, float(whole[label]), probabilities, side, step)


def _probabilities(model: Module, images: np.ndarray) -> np.ndarray:
    return softmax(run(model, images), 1).numpy()
