"""Reads weights from files of tinyalex, torch and ONNX, and downloads torchvision's.

Values are not converted. The variant's preprocessing determines the order of channels
and the scale of pixels.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyalex import serialization
from tinyalex.data.text_files import printable
from tinyalex.models.alexnet_variants import AlexNet
from tinyalex.models.onnx_files import read_onnx
from tinyalex.models.quantized_weights import QUANTIZED, dequantize
from tinyalex.models.torch_files import read_pth, state_dict_in
from tinyalex.nn import class_count
from tinyalex.nn.module import Module

MAX_LINES = 50
"""Of an error message: a file can contain a million names."""


class Weights(NamedTuple):
    """The content of a weights file."""

    arrays: dict[str, np.ndarray]
    metadata: dict[str, str]
    """For an AlexNet of tinyalex, its `metadata()`."""
    by_name: bool
    """Whether names are those of a state_dict. False for ONNX: in the graph's order."""

    @property
    def variant(self) -> str | None:
        return self.metadata.get("variant")


def load_weights(model: Module, path: str | os.PathLike[str]) -> None:
    """Set the model's parameters from a file. Their dtypes and devices do not change.

    path  a file of one of these formats, which is recognized by its content
          - safetensors: a state_dict, or a checkpoint of tinyalex
          - torch's .pth: a state_dict or a training checkpoint, DataParallel's too
          - ONNX (needs the extra onnx): Conv, Gemm and MatMul, in the graph's order

    Raises ValueError for a damaged file, or naming each name or shape that does not
    fit; then no parameter has been changed. Weights of another variant with the same
    names and shapes are accepted, for fine-tuning. Raises FileNotFoundError if there is
    no file, ImportError without the package onnx. Nothing in a file is executed.
    """
    weights = read_weights(path)
    own = model.state_shapes()
    arrays = _by_parameter(weights, own)
    # Checked before load_state_dict copies arrays: with strides of 0, a small storage
    # can have a huge shape.
    wrong = [f"{name} is missing" for name in own if name not in arrays]
    wrong += [f"{name} is not a parameter of this network" for name in arrays if name not in own]
    for name, (given, array) in arrays.items():
        if name in own and array.shape != own[name]:
            renamed = f" for {name}" if name != given else ""
            wrong.append(f"{given} has shape {array.shape}, expected {own[name]}{renamed}")
        elif name in own and array.dtype.kind not in ("f" if own[name] else "fi"):
            wrong.append(f"{given} is {array.dtype}, expected a floating dtype")
    if wrong:
        lines = [f"load_weights: {str(path)!r} belongs to another network:"]
        lines += ["  " + printable(line) for line in wrong[:MAX_LINES]]
        if len(wrong) > MAX_LINES:
            lines.append(f"  and {len(wrong) - MAX_LINES} more")
        if weights.variant not in (None, model.variant if isinstance(model, AlexNet) else None):
            lines.append(f"The file is for variant {printable(repr(weights.variant))}.")
        shapes = {name: array.shape for name, (_, array) in arrays.items()}
        lines += class_count.advice(model, shapes, len(wrong))
        raise ValueError("\n".join(lines))
    model.load_state_dict({name: array for name, (_, array) in arrays.items()})


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """The weights in a file of one of the formats of `load_weights`."""
    if not Path(path).exists():
        raise FileNotFoundError(f"load_weights: there is no file {str(path)!r}.")
    if not Path(path).is_file():
        best = Path(path, "best.safetensors")
        advice = f" Give {best}." if best.is_file() else ""
        raise ValueError(f"load_weights: {str(path)!r} is not a regular file.{advice}")
    with open(path, "rb") as file:
        head = file.read(9)
    if head[4:] == b"\0\0\0\0{":  # the length of the header, and its JSON
        return _read_safetensors(path)
    if head.startswith((b"PK", b"\x80")):
        return Weights(read_pth(path), {}, by_name=True)
    if head.startswith(b"\x08"):  # a model's first field, the version of the format
        return Weights(*read_onnx(path), by_name=False)
    raise ValueError(
        f"load_weights: expected {str(path)!r} to be a file of safetensors, of torch (.pth) or of "
        f"ONNX, got one that begins with {head!r}."
    )


def _read_safetensors(path: str | os.PathLike[str]) -> Weights:
    try:
        metadata = serialization.load_metadata(path)
        arrays = state_dict_in(serialization.load(path), np.ndarray)
        if QUANTIZED in metadata:
            arrays = dequantize(arrays, metadata)
        return Weights(arrays, metadata, by_name=True)
    # TypeError, AttributeError: dtypes that NumPy does not have (bfloat16, float8). The
    # others: a header that does not match the file.
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise ValueError(
            f"load_weights: cannot read {str(path)!r} as a safetensors state: {error}."
        ) from error


def is_checkpoint(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a checkpoint of tinyalex."""
    try:
        values = serialization.load_values(path)
    except ValueError:  # another format
        return False
    return isinstance(values, dict) and "optimizer" in values


def extent(array: np.ndarray) -> int:
    """The bytes from an array's first to its last element; strides can be 0."""
    if array.size == 0:
        return 0
    pairs = zip(array.shape, array.strides, strict=True)
    return array.itemsize + sum((n - 1) * abs(stride) for n, stride in pairs)


def _by_parameter(weights: Weights, own: Collection[str]) -> dict[str, tuple[str, np.ndarray]]:
    """{parameter: (name in the file, array)}; unknown arrays keep their names."""
    arrays = weights.arrays
    if weights.by_name or arrays.keys() == set(own):
        names = [name if name in own else _unwrapped(name) for name in arrays]
        names = names if len(set(names)) == len(arrays) else list(arrays)
    else:
        names = [*own, *map(repr, list(arrays)[len(own) :])]
    return dict(zip(names, arrays.items(), strict=False))


def _unwrapped(name: str) -> str:
    """The name without what torch's DataParallel and compile insert."""
    return ".".join(part for part in name.split(".") if part not in ("module", "_orig_mod"))


class Download(NamedTuple):
    """A published weights file."""

    name: str
    urls: tuple[str, ...]
    known_hash: str


# torch puts the first digits of the sha256 into the file's name. Several independent
# projects that use the file (for LPIPS, most of them) record all digits. 244,408,911
# bytes.
TORCHVISION_WEIGHTS = Download(
    "alexnet-owt-7be5be79.pth",
    ("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",),
    "sha256:7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
)
"""torchvision's trained weights of the variant "torchvision", for `fetch_weights`."""

DOWNLOADS = {"torchvision": TORCHVISION_WEIGHTS}

INCLUDED = {path.stem: path for path in sorted(Path(__file__).parent.glob("trained/*.safetensors"))}
"""Weights files in the package, by name: of networks that docs/cifar.md describes."""


def fetch_weights(variant: str) -> Path:
    """The path of a variant's published weights: "torchvision", 244 MB, which are
    downloaded once, or one of INCLUDED, such as "cifar-18pct".

    Raises ValueError for another variant, ConnectionError if the download fails or does
    not match the checksum.
    """
    from tinyalex.data.download import fetch

    if variant in INCLUDED:
        return INCLUDED[variant]
    if variant not in DOWNLOADS:
        raise ValueError(
            f"fetch_weights: expected one of {', '.join((*DOWNLOADS, *INCLUDED))}, got "
            f"{variant!r}. Give a weights file."
        )
    return fetch(*DOWNLOADS[variant])
