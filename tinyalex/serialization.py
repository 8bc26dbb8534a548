"""Saved files: safetensors, which hold numbers and text and can run nothing when they are opened.

A dict of arrays is written as it is, readable by anything that reads safetensors. Whatever else a state has in it (dicts in dicts,
lists, numbers, text) goes into the file's header as JSON.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.tensor import Tensor

STRUCTURE = "tinyalex.structure"
"""The header's entry that says how the tensors, and the values beside them, are nested."""


def save(path: str | os.PathLike[str], state: Any, metadata: dict[str, str] | None = None) -> None:
    """Write `state` to a file, at once or not at all: an interrupted save leaves the old file as it was.

    state     a dict of tensors or arrays; or a nest of dicts (with text as keys), lists, tensors, arrays, numbers, text and None
    metadata  text to put into the file's header

    TypeError, naming the place, for anything else in it.
    """
    from safetensors.numpy import save_file

    tensors: dict[str, np.ndarray] = {}
    structure = _take_apart(state, "", tensors)
    flat = isinstance(state, dict) and all(
        isinstance(value, Tensor) or device.is_array(value) for value in state.values()
    )
    header = dict(metadata or {}) | ({} if flat else {STRUCTURE: json.dumps(structure)})
    with atomic_write(path) as unfinished:
        save_file(tensors, unfinished, metadata=header or None)
        _sort_text(unfinished)


def _sort_text(path: Path) -> None:
    """Bring the texts in a file's header into order. safetensors writes them in another one each time; here the same state gives the same
    bytes."""
    with open(path, "rb+") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        if len(header.get("__metadata__", {})) > 1:
            header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
            file.seek(8)
            file.write(
                json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(length)
            )


def load(path: str | os.PathLike[str]) -> Any:
    """The state that `save` wrote, its tensors as NumPy arrays; or the dict of arrays in any other safetensors file.

    FileNotFoundError, or ValueError for a file that is not safetensors or not whole.
    """
    tensors, header = _read(path)
    return _put_together(json.loads(header[STRUCTURE]), tensors) if STRUCTURE in header else tensors


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The text in a file's header."""
    return _open(path, lambda file: file.metadata() or {})


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    def everything(file: Any) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 - not a dict

    return _open(path, everything)


def _open(path: str | os.PathLike[str], read: Callable[[Any], Any]) -> Any:
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(f"load: there is no file {str(path)!r}.")
    try:
        with safe_open(path, framework="numpy") as file:
            return read(file)
    except SafetensorError as error:
        raise ValueError(
            f"load: {str(path)!r} is not a whole safetensors file ({error}). Save it again, or fetch it anew."
        ) from None


def _take_apart(value: Any, place: str, tensors: dict[str, np.ndarray]) -> Any:
    """`value` as JSON, with each array replaced by its name in `tensors`."""
    if isinstance(value, Tensor) or device.is_array(value):
        if place in tensors:
            raise ValueError(
                f"save: two arrays would both be called {place!r} in the file. Rename one; a / joins the names of a nest."
            )
        array = tensors[place] = (
            value.numpy() if isinstance(value, Tensor) else device.to_numpy(value)
        )
        if array.dtype.kind not in "fiub":
            raise TypeError(
                f"save: {place or 'the state'} is an array of {array.dtype}. Expected real numbers or bools."
            )
        return {"tensor": place}
    inner = f"{place}/" if place else ""
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {
            "dict": {key: _take_apart(item, inner + key, tensors) for key, item in value.items()}
        }
    if isinstance(value, (list, tuple)):
        return {"list": [_take_apart(item, f"{inner}{i}", tensors) for i, item in enumerate(value)]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"value": value}
    raise TypeError(
        f"save: {place or 'the state'} is a {type(value).__name__}. Expected tensors, arrays, numbers, text, None, lists, or dicts with "
        "text as keys."
    )


def _put_together(node: Any, tensors: dict[str, np.ndarray]) -> Any:
    match node:
        case {"tensor": name}:
            return tensors[name]
        case {"dict": items}:
            return {key: _put_together(item, tensors) for key, item in items.items()}
        case {"list": items}:
            return [_put_together(item, tensors) for item in items]
    return node["value"]


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to write to. At the end its file takes the place of `path`, at once, even if the power fails; after an error it is gone.

    Folders on the way are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        with open(unfinished, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
