"""Weights files of the CIFAR networks, with all that a prediction needs as metadata:

variant      "cifar-" and the network's name in `models.cifar`
classes      JSON: the names of the classes
mean         the mean image of the training images, float32 (3, R, R) in base64
scale        a decimal number: inputs are (pixels - mean) * scale
image_size   S: the centre S x S pixels are classified
"""

import base64
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyalex import nn, serialization
from tinyalex.data.transforms import Normalize, TenViews
from tinyalex.models.cifar_networks import NETWORKS, RECIPES, cifar
from tinyalex.models.image_preprocessing import Preprocessing
from tinyalex.models.weights import Weights, load_weights

PREFIX = "cifar-"

MAX_SIDE = 256
"""Of a mean image in a file, in pixels."""

PREPROCESSING = "preprocessing.safetensors"
"""In the folder of a run whose weights files have no mean image."""


class MeanImage:
    """The preprocessing of training on small images: (pixels - mean) * scale.

    mean   (3, R, R): photos are resized and cropped to squares with this side
    scale  a number
    size   S: the centre, or the views, have S x S pixels; None: R
    """

    def __init__(self, mean: np.ndarray, scale: float, size: int | None = None) -> None:
        self.mean, self.scale, self.size = mean, scale, size or mean.shape[1]
        self.square = Preprocessing(mean.shape[1], mean.shape[1])

    def __call__(self, image: Any) -> np.ndarray:
        """float32 (1, 3, S, S): the centre."""
        return Normalize(self.mean, self.scale, self.size)(self._pixels(image))

    def views(self, image: Any) -> np.ndarray:
        """float32 (10, 3, S, S): the views of section 4.1."""
        return TenViews(self.mean, self.scale, size=self.size)(self._pixels(image))[0]

    def crop(self, image: Any) -> np.ndarray:
        """uint8 (R, R, 3): the square, for figures."""
        return self.square.crop(image)

    def _pixels(self, image: Any) -> np.ndarray:
        return self.crop(image).transpose(2, 0, 1)[None]


def metadata(
    name: str,
    classes: Sequence[str],
    mean: np.ndarray,
    scale: float,
    size: int | None = None,
    **options: str,
) -> dict[str, str]:
    """The metadata of a weights file of `models.cifar(name)`, with its `options`."""
    return options | {
        "variant": PREFIX + name,
        "classes": json.dumps(list(classes)),
        "mean": base64.b64encode(mean.astype("<f4").tobytes()).decode(),
        "scale": repr(float(scale)),
        "image_size": str(size or mean.shape[1]),
    }


def load_cifar(weights: str | os.PathLike[str], found: Weights) -> tuple[nn.Sequential, MeanImage]:
    """The network in a weights file, whose contents are `found`, and its preprocessing.

    Raises ValueError for another network, or metadata that are missing or wrong.
    """
    name = str(found.variant).removeprefix(PREFIX)
    if name not in NETWORKS and name not in RECIPES:
        raise ValueError(
            f"{weights} has the weights of {str(found.variant)[:40]!r}; expected one of "
            f"{', '.join(PREFIX + known for known in (*NETWORKS, *RECIPES))}."
        )
    preprocess = preprocessing_of(Path(weights), found.metadata)
    options: dict[str, Any] = {}
    if name == "alexnet":
        options["column_lrn"] = found.metadata.get("column_lrn") == "1"
    elif name in ("13pct", "11pct") and "lrn" in found.metadata:
        options["lrn"] = found.metadata["lrn"] == "1"
    if name in RECIPES and preprocess.size != RECIPES[name][1]:
        raise ValueError(
            f"{weights} is for images of {preprocess.size} x {preprocess.size}, but "
            f"{found.variant} has {RECIPES[name][1]} x {RECIPES[name][1]}."
        )
    with nn.init.skipped():
        *_, weight, bias = cifar(name, 1).state_shapes()
        shapes = [found.arrays[key].shape for key in (weight, bias) if key in found.arrays]
        # A small file could ask for a large network by one of them.
        if len(shapes) < 2 or len(shapes[0]) < 2 or shapes[1] != shapes[0][:1] or 0 in shapes[0]:
            raise ValueError(f"{weights} does not have the last layer of {found.variant}.")
        model = cifar(name, shapes[1][0], **options)
    load_weights(model, weights)
    return model, preprocess


def preprocessing_of(file: Path, stored: Mapping[str, str]) -> MeanImage:
    """The preprocessing in the metadata of a weights file, or in a file of its folder.

    Raises ValueError if it is missing or wrong.
    """
    beside = file.with_name(PREPROCESSING)
    try:
        if "mean" in stored:
            text = stored["mean"][: 6 * 3 * MAX_SIDE**2]
            mean: Any = np.frombuffer(base64.b64decode(text, validate=True), "<f4")
            side = math.isqrt(mean.size // 3)
            mean = mean.reshape(3, side, side)
            scale, size = float(stored["scale"]), int(stored["image_size"][:5])
        elif beside.is_file():
            state = serialization.load(beside)
            mean, scale = state["mean"], float(state["scale"])
            size = int(stored.get("image_size", "0")[:5])
        else:
            raise ValueError(f"and there is no {beside}")
        side = mean.shape[-1]
        if mean.shape != (3, side, side) or not 0 < side <= MAX_SIDE:
            raise ValueError(f"a mean image of the shape {mean.shape}")
        if not np.isfinite(mean).all() or not (math.isfinite(scale) and scale > 0):
            raise ValueError("a mean or a scale that is not finite")
        if not 0 <= size <= side:
            raise ValueError(f"an image_size of {size} for a mean image of {side} x {side}")
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise ValueError(
            f"{file} does not contain the preprocessing of its training, a mean image and "
            f"a scale ({type(error).__name__}: {error}).\nCopy {PREPROCESSING} from the folder of "
            "its run, or train again."
        ) from None
    return MeanImage(np.ascontiguousarray(mean, np.float32), scale, size or None)
