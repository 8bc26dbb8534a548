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
from tinyalex.models.image_preprocessing import MAX_VALUE, Preprocessing
from tinyalex.models.weights import Weights, extent, load_weights

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
    options = _options(weights, name, found.metadata)
    with nn.init.skipped():
        own = cifar(name, 1, **options).state_shapes()
        size = RECIPES[name][1] if name in RECIPES else 32
        preprocess = _preprocessing(Path(weights), found, size)
        model = cifar(name, _num_classes(weights, found, own), **options)
    load_weights(model, weights)
    return model, preprocess


def _options(
    weights: str | os.PathLike[str], name: str, stored: Mapping[str, str]
) -> dict[str, Any]:
    """The option in the metadata that this network has."""
    option = {"alexnet": "column_lrn", "13pct": "lrn", "11pct": "lrn"}.get(name)
    if option is None or option not in stored:
        return {}
    if stored[option] not in ("0", "1"):
        raise ValueError(
            f"expected {option} in the metadata of {weights} to be '0' or '1', got "
            f"{stored[option][:40]!r}."
        )
    return {option: stored[option] == "1"}


def _num_classes(
    weights: str | os.PathLike[str], found: Weights, own: Mapping[str, tuple[int, ...]]
) -> int:
    """The outputs of the last layer in a file, for a network that has the shapes `own`
    with one class.

    Raises ValueError if the file does not contain that layer: before the network is
    built, as a small file could ask for a large one.
    """
    *_, weight, bias = own
    arrays = [found.arrays[name] for name in (weight, bias) if name in found.arrays]
    count = (*arrays[-1].shape, 0)[0] if arrays else 0
    shapes = [(count, *own[weight][1:]), (count,)]
    if (
        count == 0
        or [array.shape for array in arrays] != shapes
        # With strides of 0, a small storage can have a huge shape.
        or any(extent(array) < array.nbytes for array in arrays)
    ):
        raise ValueError(f"{weights} does not have the last layer of {found.variant}.")
    return count


def _preprocessing(file: Path, found: Weights, size: int) -> MeanImage:
    """The preprocessing in the metadata of a weights file, or in a file of its folder.

    size  the side of the network's images

    Raises ValueError if it is missing or wrong.
    """
    stored, beside = found.metadata, file.with_name(PREPROCESSING)
    is_stored = "mean" in stored
    missing = f"{file} has no usable preprocessing (a mean image and a scale)"
    if not is_stored and not beside.is_file():
        raise ValueError(
            f"{missing}: neither in its metadata nor in {beside}.\nCopy {PREPROCESSING} from the "
            "folder of its run, or train again."
        )
    try:
        mean, scale = _decoded(stored) if is_stored else _loaded(beside)
    except (ValueError, TypeError, LookupError, AttributeError):
        mean, scale = np.empty(0), 0.0
    if message := _wrong(mean, scale):
        where = "in its metadata" if is_stored else f"in {beside}"
        advice = "" if is_stored else f"\nCopy {PREPROCESSING} from the folder of its run again."
        raise ValueError(f"{missing}: {where}, {message}.{advice}")
    side = mean.shape[-1]
    text = stored.get("image_size", str(side))
    if text != str(size) or side < size:
        raise ValueError(
            f"{file} is for images of size {text[:40]!r} and has a mean image of {side} x "
            f"{side}, but {found.variant} has images of {size} x {size}."
        )
    return MeanImage(np.ascontiguousarray(mean, np.float32), scale, size)


def _decoded(stored: Mapping[str, str]) -> tuple[np.ndarray, float]:
    """(mean, scale) in metadata."""
    text = stored["mean"][: 6 * 3 * MAX_SIDE**2]
    mean = np.frombuffer(base64.b64decode(text, validate=True), "<f4")
    side = math.isqrt(mean.size // 3)
    return mean.reshape(3, side, side), float(stored["scale"])


def _loaded(file: Path) -> tuple[np.ndarray, float]:
    """(mean, scale) in a file."""
    state = serialization.load(file)
    return np.asarray(state["mean"]), float(state["scale"])


def _wrong(mean: np.ndarray, scale: float) -> str | None:
    """What is wrong with a preprocessing."""
    side = (0, *mean.shape)[-1]
    if mean.shape != (3, side, side) or not 0 < side <= MAX_SIDE:
        return f"there is no square mean image of at most {MAX_SIDE} x {MAX_SIDE}, or no scale"
    if mean.dtype.kind not in "fiu" or not (abs(mean) <= MAX_VALUE).all():
        return f"the mean image has values other than numbers of at most {MAX_VALUE:g}"
    if not 0 < scale <= MAX_VALUE:
        return f"the scale is {scale:g}; expected more than 0 and at most {MAX_VALUE:g}"
    return None
