"""Files in the safetensors format, which contain arrays and text, but no code.

A dict of arrays is stored directly, for any program that reads safetensors. For other
states, the structure and the values that are not arrays are JSON in the file's header.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.tensor import Tensor

PathLike = str | os.PathLike[str]

STRUCTURE = "tinyalex.structure"
"""The header's entry for the structure of a state and its values other than arrays."""

MAX_STRUCTURE_CHARACTERS = 16 << 20
"""Of that entry. Parsed, it takes twenty times as much memory."""

CHECKSUM = "tinyalex.checksum"
"""The header's entry for a hash of the structure, the metadata and all arrays."""


class DamagedFileError(ValueError):
    """A file is incomplete, or its contents have been changed."""


def save(
    path: Any,
    state: Any,
    metadata: dict[str, str] | None = None,
    *,
    before_replace: Callable[[], None] | None = None,
) -> None:
    """Write `state` to a file atomically: an interrupted save leaves the old file.

    The order of torch, save(state, path), is accepted too.

    state           a dict of tensors or arrays; or nested dicts (with string keys) and
                    lists of tensors, arrays, numbers, strings and None
    metadata        strings to add to the file's header
    before_replace  called when the new file is complete, before it replaces the old one

    Raises TypeError, with the position, for any other value in the state; OSError if
    the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    if isinstance(state, (str, os.PathLike)) and not isinstance(path, (str, os.PathLike)):
        path, state = state, path
    tensors: dict[str, np.ndarray] = {}
    structure = _flatten(state, "", tensors)
    is_flat = isinstance(state, dict) and all(map(_is_array, state.values()))
    header = dict(metadata or {})
    if not is_flat:
        header[STRUCTURE] = json.dumps(structure)
    header[CHECKSUM] = _checksum(header, tensors)
    with atomic_write(path, before_replace) as temporary:
        try:
            save_file(tensors, temporary, metadata=header)
        except SafetensorError as error:
            raise OSError(str(error)) from None
        _sort_metadata(temporary)


def _sort_metadata(path: Path) -> None:
    """Sort the header's strings, which safetensors writes in an arbitrary order."""
    with open(path, "rb+") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        if len(header.get("__metadata__", {})) > 1:
            header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
            text = json.dumps(header, ensure_ascii=False, separators=(",", ":"))
            file.seek(8)
            file.write(text.encode().ljust(length))


def load(path: PathLike, map_location: str | None = None, weights_only: bool = True) -> Any:
    """The state that `save` wrote, or the dict of arrays in another safetensors file.

    map_location  the device of the arrays; by default they are NumPy arrays
    weights_only  has no effect: the file contains no code

    Raises FileNotFoundError, or DamagedFileError (a ValueError) for a file that is not
    safetensors, is truncated, or has been changed since `save` wrote it. Files without
    a checksum are from another program, or from an earlier version.
    """
    tensors, header = _open(path, lambda file: (_tensors(file), file.metadata() or {}))
    if CHECKSUM in header and header[CHECKSUM] != _checksum(header, tensors):
        raise DamagedFileError(
            f"load: {str(path)!r} is damaged: its contents do not match its checksum. Use an "
            "earlier copy."
        )
    if map_location is not None:
        name = device.check(map_location)
        tensors = {key: device.to(array, name) for key, array in tensors.items()}
    return _structure(path, header, tensors) if STRUCTURE in header else tensors


def _structure(
    path: PathLike, header: dict[str, str], tensors: dict[str, np.ndarray] | None
) -> Any:
    try:
        if len(header[STRUCTURE]) > MAX_STRUCTURE_CHARACTERS:
            raise ValueError(f"more than {MAX_STRUCTURE_CHARACTERS:,} characters")
        return _unflatten(json.loads(header[STRUCTURE]), tensors)
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise DamagedFileError(
            f"load: {str(path)!r} is damaged: {STRUCTURE!r} in its header does not describe its "
            f"arrays ({type(error).__name__}: {error}). Use an earlier copy."
        ) from None


def load_values(path: PathLike) -> Any:
    """The state that `save` wrote, with None instead of each array; None for a dict of
    arrays. Its checksum is not verified, which would take seconds for a large file.

    Raises as `load` does.
    """
    _, header = _open(path, lambda file: (None, file.metadata() or {}))
    return _structure(path, header, None) if STRUCTURE in header else None


def _checksum(header: dict[str, str], tensors: dict[str, np.ndarray]) -> str:
    """The sha256 of the header, and of each array's name, dtype, shape and bytes."""
    digest = hashlib.sha256(header.get(STRUCTURE, "").encode())
    if metadata := _metadata(header):
        digest.update(json.dumps(metadata, sort_keys=True).encode())
    for name, array in sorted(tensors.items()):
        digest.update(f"\n{name} {array.dtype} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _metadata(header: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in header.items() if name not in (STRUCTURE, CHECKSUM)}


def load_metadata(path: PathLike) -> dict[str, str]:
    """The strings in a file's header, without the structure and the checksum."""
    return _metadata(_open(path, lambda file: file.metadata() or {}))


def _tensors(file: Any) -> dict[str, np.ndarray]:
    return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict


def _open(path: PathLike, read: Callable[[Any], Any]) -> Any:
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(f"load: there is no file {str(path)!r}.")
    try:
        with safe_open(path, framework="numpy") as file:
            return read(file)
    except SafetensorError as error:
        with open(path, "rb") as archive:
            is_torchs = archive.read(2) == b"PK"
        raise DamagedFileError(
            f"load: {str(path)!r} is not a complete safetensors file ({error}). "
            + (
                "It seems to be torch's: use models.load_weights(model, path)."
                if is_torchs
                else "Save or download it again."
            )
        ) from None


def _is_array(value: Any) -> bool:
    return isinstance(value, Tensor) or device.is_array(value)


def _flatten(value: Any, name: str, tensors: dict[str, np.ndarray]) -> Any:
    """`value` as JSON; its arrays are moved to `tensors`, replaced by their names."""
    where = name or "the state"
    if _is_array(value):
        if name in tensors:
            raise ValueError(
                f"save: two arrays would both be named {name!r} in the file. Rename one; "
                "a / joins the keys of nested dicts."
            )
        array = value.numpy() if isinstance(value, Tensor) else device.to_numpy(value)
        if array.dtype.kind not in "fiub":
            raise TypeError(
                f"save: {where} is an array of {array.dtype}. Expected real numbers or bools."
            )
        if name == "__metadata__":
            raise ValueError(
                "save: the name '__metadata__' is reserved by safetensors. Rename the array."
            )
        # The format is little-endian, and `load` returns the byte order of the machine.
        tensors[name] = array.astype(array.dtype.newbyteorder("="), copy=False)
        return {"tensor": name}
    prefix = f"{name}/" if name else ""
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _flatten(v, prefix + key, tensors) for key, v in value.items()}}
    if isinstance(value, (list, tuple)):
        return {"list": [_flatten(v, f"{prefix}{i}", tensors) for i, v in enumerate(value)]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"value": value}
    advice = " Give its state_dict()." if hasattr(value, "state_dict") else ""
    raise TypeError(
        f"save: {where} is a {type(value).__name__}. Expected tensors, arrays, numbers, strings, "
        f"None, lists, or dicts with string keys.{advice}"
    )


def _unflatten(node: Any, tensors: dict[str, np.ndarray] | None) -> Any:
    match node:
        case {"tensor": name}:
            return None if tensors is None else tensors[name]
        case {"dict": dict(items)}:
            return {key: _unflatten(item, tensors) for key, item in items.items()}
        case {"list": list(items)}:
            return [_unflatten(item, tensors) for item in items]
    return node["value"]


@contextmanager
def atomic_write(
    path: PathLike, before_replace: Callable[[], None] | None = None
) -> Iterator[Path]:
    """A context with a temporary path. At its end that file replaces `path` atomically,
    also in a power failure; after an error it is deleted. Missing folders are created.

    before_replace  called when the temporary file is complete

    A symbolic link stays one: the file that it points to is replaced. Raises OSError,
    which names `path`, if it cannot be written, or is something else than a file, such
    as a folder or a device.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is not a file. Give the path of a file, or of a new one.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = (path if path.exists() else temporary).stat().st_mode
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        # Some libraries make files that only the user can read.
        temporary.chmod(mode)
        if before_replace is not None:
            before_replace()
        os.replace(temporary, path)
    except OSError as error:
        if error.filename and Path(os.fsdecode(error.filename)).parent != path.parent:
            raise  # from another file, which the context has read
        named = type(OSError(error.errno, ""))(  # the class of this errno
            f"{path} cannot be written ({error}). Free space on the disk, allow writing to the "
            "folder, or give another one."
        )
        named.errno = error.errno
        raise named from error
    finally:
        with suppress(OSError):  # the folder is gone, or read-only
            temporary.unlink(missing_ok=True)
