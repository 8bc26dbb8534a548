"""Classifies an image file with a network, and loads networks from weights files."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyalex import nn
from tinyalex.data.text_files import printable, read_text
from tinyalex.functional import softmax
from tinyalex.models import (
    VARIANTS,
    Preprocessing,
    alexnet,
    cifar_weights,
    class_names,
    fetch_weights,
    load_weights,
    preprocessing,
    read_weights,
)
from tinyalex.models.alexnet_variants import AlexNet
from tinyalex.models.cifar_weights import MeanImage
from tinyalex.models.image_preprocessing import MAX_STORED_SIZE, read_image
from tinyalex.models.weights import DOWNLOADS, INCLUDED, Weights, extent, is_checkpoint
from tinyalex.nn.module import Module
from tinyalex.nn.tracing import run

MAX_NAME_LENGTH = 1000
"""Of the name of a class in the metadata, on average."""


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of an image file as (name, probability), best first.

    image  the central square, uint8 (S, S, 3)
    """

    file: str
    classes: tuple[tuple[str, float], ...]
    image: np.ndarray


def predict(
    model: Module,
    file: str | os.PathLike[str],
    *,
    top: int = 5,
    views: int = 1,
    names: Sequence[str] | None = None,
    preprocess: Preprocessing | MeanImage | None = None,
) -> Prediction:
    """The most probable classes of an image file.

    top         number of classes
    views       10: average the probabilities of ten views (section 4.1); 1: the centre
    names       class names by label; by default those in the weights file,
                otherwise ImageNet's for 1000 classes, otherwise "class 0", ...
    preprocess  as in training; by default an AlexNet's own

    Raises ValueError for an image that cannot be read, and for a wrong number of names.
    """
    if views not in (1, 10):
        raise ValueError(f"predict: expected views=1 or views=10, got {views!r}.")
    if top < 1:
        raise ValueError(f"predict: top must be at least 1, got {top}.")
    if isinstance(model, AlexNet):
        names = model.classes if names is None else names
        preprocess = (
            preprocess or model.preprocessing or preprocessing(model.variant, model.image_size)
        )
    if preprocess is None:
        raise ValueError(
            f"predict: {type(model).__name__} does not define its preprocessing. Give preprocess."
        )
    photo = read_image(file)
    logits = run(model, preprocess(photo) if views == 1 else preprocess.views(photo))
    probabilities = softmax(logits, 1).numpy().astype(np.float64).mean(axis=0)
    if not np.isfinite(probabilities).all():
        raise ValueError(
            "predict: the probabilities are not finite: the weights contain NaN or infinity. "
            "Use weights from before training diverged."
        )
    names = _class_names(len(probabilities), names)
    best = np.argsort(-probabilities, kind="stable")[:top]
    classes = tuple((names[i], float(probabilities[i])) for i in best)
    return Prediction(os.fspath(file), classes, preprocess.crop(photo))


def _class_names(count: int, names: Sequence[str] | None) -> Sequence[str]:
    if names is None:
        imagenet = class_names()
        return imagenet if count == len(imagenet) else [f"class {i}" for i in range(count)]
    if len(names) != count:
        raise ValueError(
            f"predict: the network has {count} classes, but {len(names)} names were given. "
            "Give one name for each class."
        )
    return names


def load_network(
    weights: str | os.PathLike[str], variant: str | None = None, image_size: int | None = None
) -> AlexNet:
    """The AlexNet with the weights in a file, or with downloaded ones ("torchvision").

    For the networks of `models.cifar` too, there is `load_classifier`.

    variant     needed if the file does not name it (tinyalex's and torchvision's do)
    image_size  as in models.alexnet; by default that in the file, or the variant's

    The number of classes is that of the last layer. Raises ValueError for weights that
    do not fit.
    """
    return _load_alexnet(*_read(weights, variant), image_size)


def load_classifier(
    weights: str | os.PathLike[str], variant: str | None = None, image_size: int | None = None
) -> tuple[Module, dict[str, Any]]:
    """A network as from `load_network`, or one of `models.cifar`; and the arguments of
    `predict` for it: `names` and `preprocess`, which an AlexNet has itself.
    """
    path, found, variant = _read(weights, variant)
    if not (found.variant or "").startswith(cifar_weights.PREFIX):
        return _load_alexnet(path, found, variant, image_size), {}
    if variant is not None or image_size is not None:
        raise ValueError(
            f"the weights in {weights} are of {printable(str(found.variant))!r}. Omit the "
            "variant and the image size."
        )
    model, preprocess = cifar_weights.load_cifar(path, found)
    options: dict[str, Any] = {"preprocess": preprocess}
    if "classes" in found.metadata:
        *_, last_bias = model.parameters()
        options["names"] = _classes(path, found.metadata["classes"], len(last_bias))
    return model, options


def _read(
    weights: str | os.PathLike[str], variant: str | None
) -> tuple[str | os.PathLike[str], Weights, str | None]:
    """(path, contents, variant) of a file, or of published weights."""
    published = (*DOWNLOADS, *INCLUDED)
    if not Path(weights).exists():
        if str(weights) in published:
            weights = fetch_weights(str(weights))
        elif Path(weights).name == str(weights) and not Path(weights).suffix:
            raise FileNotFoundError(
                f"there is no weights file {str(weights)!r}. Give the path of one, or "
                f"{', '.join(published[:-1])} or {published[-1]}."
            )
    found = read_weights(weights)
    if not found.arrays:
        raise ValueError(f"{weights} contains no weights. Save a model's state_dict().")
    return weights, found, variant


def _load_alexnet(
    weights: str | os.PathLike[str], found: Weights, variant: str | None, image_size: int | None
) -> AlexNet:
    arrays, metadata = found.arrays, found.metadata
    variant = _variant(weights, found, variant)
    # ONNX has other names, in the graph's order: the last array is the last bias.
    last = [name for name in arrays if name.endswith(("fc8.weight", "classifier.6.weight"))]
    num_classes = (arrays[(last or list(arrays))[-1]].shape or (0,))[0]
    options: dict[str, Any] = {"column_lrn": True} if metadata.get("column_lrn") == "1" else {}
    if image_size is None and "image_size" in metadata:
        image_size = _image_size(weights, metadata["image_size"])
    _check_sizes(weights, arrays, variant, num_classes, image_size)
    with nn.init.skipped():
        model = alexnet(variant, num_classes, image_size, **options)
    try:
        load_weights(model, weights)
    except ValueError as error:
        if not _has_another_image_size(model, arrays):
            raise
        hint = "If it was trained with images of another size, add --image-size S."
        raise ValueError(f"{error}\n{hint}") from None
    if "preprocessing" in metadata:
        model.preprocessing = Preprocessing.from_text(metadata["preprocessing"])
    model.mean_image = metadata.get("mean_image")
    if "classes" in metadata:
        model.classes = _classes(weights, metadata["classes"], num_classes)
    return model


def _image_size(file: str | os.PathLike[str], text: str) -> int:
    """The image size in the metadata of a weights file."""
    is_number = text.isascii() and text.isdigit() and len(text) <= 4
    if not is_number or not 0 < int(text) <= MAX_STORED_SIZE:
        raise ValueError(
            f"expected the image_size in the metadata of {file} to be an integer from 1 "
            f"to {MAX_STORED_SIZE}, got {text[:40]!r}. Give --image-size (image_size= in Python)."
        )
    return int(text)


def _check_sizes(
    file: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    variant: str,
    num_classes: int,
    image_size: int | None,
) -> None:
    """Raises ValueError if the weights are too few for a network of this size.

    Before it is built: a small file can ask for a network that exceeds the memory.
    """
    # fc6 has 4096 outputs, and 256 channels as its inputs, whose sides are at least
    # 1/32 of the image's, minus 2. fc8 has 4096 inputs. Values have at least 2 bytes.
    side = 0 if image_size is None or variant == "torchvision" else max(image_size // 32 - 2, 0)
    expected_bytes = 2 * 4096 * max(256 * side**2, num_classes)
    stored_bytes = max(map(extent, arrays.values()))
    if expected_bytes > stored_bytes:
        size = "" if image_size is None else f" for images of {image_size} x {image_size} pixels"
        raise ValueError(
            f"expected the weights of a network with {num_classes} classes{size}, but the "
            f"largest array in {file} has {stored_bytes:,} bytes."
        )


def _classes(file: str | os.PathLike[str], text: str, count: int) -> tuple[str, ...]:
    """The names in the metadata of a weights file. Raises ValueError for other text."""
    names: Any = None
    try:
        if len(text) < MAX_NAME_LENGTH * (1 + count):
            names = json.loads(text)
    except (ValueError, RecursionError):
        pass
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not is_list or len(names) != count:
        raise ValueError(
            f"expected the names of {count} classes in the metadata of {file}, got "
            f"{text[:200]!r}. Write the file again with the metadata of its network."
        )
    return tuple(map(printable, names))


def _has_another_image_size(model: AlexNet, arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether the first linear layer, which depends on it, has other inputs."""
    linear = (n for n, module in model.named_modules() if isinstance(module, nn.Linear))
    name = f"{next(linear)}.weight"
    expected = dict(model.named_parameters())[name].shape
    return name in arrays and arrays[name].shape[1:] != expected[1:]


def _variant(file: str | os.PathLike[str], weights: Weights, requested: str | None) -> str:
    """The variant named in the weights file, otherwise the requested one."""
    torch_names = any(name.endswith("classifier.6.weight") for name in weights.arrays)
    stored = weights.variant or ("torchvision" if torch_names else None)
    if weights.variant is None and Path(file).exists() and is_checkpoint(file):
        raise ValueError(
            f"{file} is a checkpoint. Give best.safetensors or model.safetensors in its folder."
        )
    known = ", ".join(VARIANTS)
    if stored is not None and stored not in VARIANTS:
        raise ValueError(
            f"expected the weights of an AlexNet ({known}), but those in {file} are "
            f"of {stored[:40]!r}."
        )
    if stored is not None and requested not in (None, stored):
        raise ValueError(
            f"variant {requested!r} was requested, but the weights in {file} are of "
            f"{stored!r}. Omit it."
        )
    variant = stored or requested
    if variant is None:
        raise ValueError(f"{file} does not name its variant. Give one of {known}.")
    return variant


def read_names(file: str | os.PathLike[str]) -> tuple[str, ...]:
    """Names of classes from a text file, one per line, in the order of their labels."""
    lines = [printable(line) for line in read_text(Path(file).expanduser()).splitlines()]
    return tuple(line.strip() for line in lines if line.strip())
