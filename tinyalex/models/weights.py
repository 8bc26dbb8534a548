"""Weights that were trained elsewhere: files of tinyalex, torch and ONNX, and torchvision's own.

A weight is taken as it is. Whether a network wants RGB or BGR, 0 to 1 or 0 to 255, belongs to the preprocessing of its variant.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyalex import serialization
from tinyalex.models.onnx_files import read_onnx
from tinyalex.models.torch_files import read_pth, state_dict_in
from tinyalex.nn.module import Module


class Weights(NamedTuple):
    """What a file holds."""

    arrays: dict[str, np.ndarray]
    metadata: dict[str, str]
    """What the file says about itself: of tinyalex's AlexNets, `variant`, `image_size` and options."""
    by_name: bool
    """Whether the names are those of a state_dict; ONNX has its own, and is read in the order of its graph."""

    @property
    def variant(self) -> str | None:
        return self.metadata.get("variant")


def load_weights(model: Module, path: str | os.PathLike[str]) -> None:
    """Put the weights in a file into `model`, converted to the dtype and moved to the device of its parameters.

    path  a file of one of these kinds, recognised by its content
          - safetensors: weights or a checkpoint of tinyalex, or anybody's
          - torch's .pth: a state_dict, or a training checkpoint with one; the `module.` of DataParallel is left out of names
          - ONNX (needs tinyalex[onnx]): weights of Conv, Gemm and MatMul, in the graph's order

    ValueError, naming each name or shape that does not fit, or for a damaged file; then nothing has been changed. Weights of another
    variant with the same names and shapes are taken: fine-tuning may begin with them.
    FileNotFoundError if there is none, ImportError without the package for ONNX. Nothing in a file is executed.
    """
    weights = read_weights(path)
    own = {name: p.shape for name, p in model.named_parameters()}
    arrays = _under_own_names(weights, own)
    # Before load_state_dict, which brings arrays into order: a view of few numbers can claim to be of any shape.
    wrong = [f"{name} is missing" for name in own if name not in arrays]
    wrong += [f"{name} is not a parameter of this network" for name in arrays if name not in own]
    for name, (given, array) in arrays.items():
        if name in own and array.shape != own[name]:
            wrong.append(
                f"{given} has shape {array.shape}, expected {own[name]}"
                + (f" for {name}" if name != given else "")
            )
        elif name in own and array.dtype.kind != "f":
            wrong.append(f"{given} holds {array.dtype}, expected floating numbers")
    wrong = [_printable(line) for line in wrong]
    if wrong:
        variant = getattr(model, "variant", None)
        hint = (
            f"\nThe file is for variant {weights.variant!r}."
            if weights.variant not in (None, variant)
            else ""
        )
        raise ValueError(
            f"load_weights: {str(path)!r} belongs to another network:\n  "
            + "\n  ".join(wrong)
            + hint
        )
    model.load_state_dict({name: array for name, (_, array) in arrays.items()})


def _printable(text: str) -> str:
    """A file may have control codes in its names, which a terminal would obey."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)[:200]


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """The weights in a file of any of the kinds that `load_weights` takes."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"load_weights: there is no file {str(path)!r}.")
    with open(path, "rb") as file:
        head = file.read(9)
    if head[4:] == b"\0\0\0\0{":  # how long the header is, and its JSON
        return _read_safetensors(path)
    if head.startswith((b"PK", b"\x80")):
        return Weights(read_pth(path), {}, by_name=True)
    if head.startswith(b"\x08"):  # the first field of a model, the version of its format
        arrays, metadata = read_onnx(path)
        return Weights(arrays, metadata, by_name=False)
    raise ValueError(
        f"load_weights: expected {str(path)!r} to be a file of safetensors, of torch (.pth) or of ONNX, got one that begins with {head!r}."
    )


def _read_safetensors(path: str | os.PathLike[str]) -> Weights:
    try:
        metadata = serialization.load_metadata(path)
        return Weights(state_dict_in(serialization.load(path), np.ndarray), metadata, by_name=True)
    # TypeError, AttributeError: numbers that NumPy has not (bfloat16, float8). The rest: a header that does not describe the file.
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise ValueError(
            f"load_weights: cannot read {str(path)!r} as a state of safetensors: {error}."
        ) from error


def _under_own_names(weights: Weights, own: Collection[str]) -> dict[str, tuple[str, np.ndarray]]:
    """{the model's name: (the file's name, array)}; what the model has no name for keeps the file's."""
    arrays = weights.arrays
    if weights.by_name or arrays.keys() == set(own):
        names = [name if name in own else _unwrapped(name) for name in arrays]
        names = names if len(set(names)) == len(arrays) else list(arrays)
    else:
        names = [*own, *map(repr, list(arrays)[len(own) :])]
    return dict(zip(names, arrays.items(), strict=False))


def _unwrapped(name: str) -> str:
    """Without what torch's DataParallel and compile put into names."""
    return ".".join(part for part in name.split(".") if part not in ("module", "_orig_mod"))


class Download(NamedTuple):
    """A published file of weights: its name, its addresses, and the checksum of its bytes."""

    name: str
    urls: tuple[str, ...]
    known_hash: str


# torch puts the first digits of the sha256 into a file's name. The whole of it is what several projects that use the file have noted
# down, independently of each other (for LPIPS, most of them); 244,408,911 bytes.
TORCHVISION_WEIGHTS = Download(
    "alexnet-owt-7be5be79.pth",
    ("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",),
    "sha256:7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
)

DOWNLOADS = {"torchvision": TORCHVISION_WEIGHTS}


def fetch_weights(variant: str) -> Path:
    """The path of a variant's published weights, downloaded unless they are there already: 244 MB for "torchvision", the only one.

    ValueError for another variant, ConnectionError if the download fails or has other bytes than the published ones.
    """
    from tinyalex.data.download import fetch

    if variant not in DOWNLOADS:
        raise ValueError(
            f"fetch_weights: expected one of {', '.join(DOWNLOADS)}, got {variant!r}. Give a file of weights."
        )
    return fetch(*DOWNLOADS[variant])
