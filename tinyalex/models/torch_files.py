"""Reads weights from torch's files (.pth, .pt) without torch; executes nothing in them.

A zip file (torch 1.6 and later) contains a pickle that describes the tensors, and an
entry for the values of each storage. A legacy file consists of five pickles (a magic
number, the version, the machine, the description, the order of the storages) and the
storages.
"""

import io
import math
import os
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinyalex import pickles
from tinyalex.pickles import Call, Name

MAGIC = 0x1950A86A20F9469CFC6C
"""The first pickle of a legacy file."""

MAX_PICKLE_BYTES = 4 << 20
"""The limit for all pickles of a file. A tensor needs about a hundred bytes."""

MAX_DIRECTORY_BYTES = 4 << 20
"""The limit for the list of a zip file's entries, which need about a hundred each."""

MAX_DIMENSIONS = 64
"""NumPy's limit."""

DTYPES = {
    "Double": "f8",
    "Float": "f4",
    "Half": "f2",
    "BFloat16": "bfloat16",
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "b1",
}
"""torch's names of element types."""


def read_pth(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The weights in a file of torch.save, as read-only views of the file.

    Accepts a state_dict, or a training checkpoint that contains one. Raises ValueError
    for a file that is incomplete, that refers to other objects than tensors, or whose
    tensors exceed it.
    """
    try:
        content = np.memmap(path, np.uint8, "r")
        is_zip = content[:2].tobytes() == b"PK"
        state, storages = _read_zip(path, content) if is_zip else _read_legacy(content)
        tensors = state_dict_in(state, Call)
        return {name: storages.array(tensor) for name, tensor in tensors.items()}
    # zipfile raises many types for damaged files.
    except Exception as error:
        raise ValueError(
            f"load_weights: cannot read {str(path)!r} as a file of torch: {error}.\n"
            "If it is damaged, download it again; otherwise save only its weights, in torch: "
            "torch.save(model.state_dict(), path)."
        ) from error


def state_dict_in(state: Any, kind: type) -> dict[str, Any]:
    """The dict of tensors (of class `kind`) that is `state`, or one of its entries."""
    keys = ("state_dict", "model_state_dict", "model")
    found = state
    if isinstance(state, dict):
        found = next((state[key] for key in keys if isinstance(state.get(key), dict)), state)
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ValueError(f"expected a dict of tensors by their names, got a {type(found).__name__}")
    if wrong := [repr(name)[:60] for name, value in found.items() if not isinstance(value, kind)]:
        others = ", ".join(wrong[:5]) + (", ..." if len(wrong) > 5 else "")
        raise ValueError(
            f"expected a dict of tensors, or one that has it as {', '.join(keys)}; "
            f"these entries are no tensors: {others}"
        )
    return found


# The pickle


class Storage(NamedTuple):
    """A storage as a pickle refers to it: `length` elements from element `first`."""

    dtype: str
    key: str
    length: int
    first: int = 0


TENSORS = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2")
PARAMETER = "torch._utils._rebuild_parameter"
STORAGES = {f"torch.{name}Storage": dtype for name, dtype in DTYPES.items()}
NAMES = {"collections.OrderedDict", *TENSORS, PARAMETER, *STORAGES}
"""What a pickle may refer to."""


def _unpickle(file: io.BytesIO) -> tuple[Any, dict[str, str]]:
    """The value of the next pickle in the file, and {key: dtype} of its storages."""
    dtypes: dict[str, str] = {}

    def storage(reference: Any) -> Storage:
        match reference:
            case ("storage", Name(kind), str(key), _, int(length), *view) if (
                kind in STORAGES and length >= 0
            ):
                dtypes[key] = STORAGES[kind]
                match view:
                    case [] | [None]:
                        return Storage(STORAGES[kind], key, length)
                    # A view of another storage, before torch 0.4.
                    case [(_, int(first), _)] if first >= 0:
                        return Storage(STORAGES[kind], key, length, first)
        raise ValueError("it refers to a storage in a way that torch does not")

    return pickles.load(file, NAMES, persistent_load=storage), dtypes


# The storages


class ByteRange(NamedTuple):
    """The bytes of a storage in the file, and their checksum if there is one."""

    start: int
    size: int
    checksum: int | None = None


class Storages:
    """The storages of a file, and the arrays in them."""

    def __init__(
        self, content: np.ndarray, find: Callable[[str], ByteRange | None], order: str = "<"
    ) -> None:
        self.content, self.find, self.order = content, find, order
        self.decoded: dict[tuple[str, str], np.ndarray] = {}

    def array(self, tensor: Call) -> np.ndarray:
        storage, offset, shape, strides = _tensor(tensor)
        values = self.values(storage)
        first = storage.first + offset
        last = first + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if not (count := math.prod(shape)):
            return np.zeros(shape, values.dtype)
        # A stride of 0 repeats elements: a small file could have a huge tensor.
        if last >= len(values) or count > len(values):
            raise ValueError(
                f"a tensor {shape} with strides {strides} from element {first} exceeds its storage "
                f"of {len(values)} elements"
            )
        size = values.itemsize
        return np.ndarray(
            shape, values.dtype, values, first * size, [step * size for step in strides]
        )

    def values(self, storage: Storage) -> np.ndarray:
        """All elements of a storage."""
        dtype, key, length, _ = storage
        if (key, dtype) not in self.decoded:
            if (span := self.find(key)) is None:
                raise ValueError(f"it does not contain the storage {key!r}")
            start, size, checksum = span
            content = self.content.data[start : start + size]
            if size != length * itemsize(dtype) or len(content) != size:
                raise ValueError(
                    f"storage {key!r} has {len(content)} bytes, not those of {length} elements"
                )
            if checksum is not None and zlib.crc32(content) != checksum:
                raise ValueError(
                    f"storage {key!r} has a wrong checksum (or torch was configured to write none)"
                )
            self.decoded[key, dtype] = self.decode(content, dtype)
        return self.decoded[key, dtype]

    def decode(self, content: memoryview, dtype: str) -> np.ndarray:
        if dtype != "bfloat16":
            return np.frombuffer(content, self.order + dtype)
        halves = np.frombuffer(content, self.order + "u2")
        return (halves.astype(np.uint32) << 16).view(np.float32)  # the upper half of a float32


def _tensor(call: Call) -> tuple[Storage, int, tuple[int, ...], tuple[int, ...]]:
    """The storage, offset, shape and strides of a tensor or parameter."""
    match call:
        case Call(name, (Call() as tensor, *_)) if name == PARAMETER:
            call = tensor
    match call:
        case Call(name, (Storage() as storage, offset, tuple(shape), tuple(strides), *_)) if (
            name in TENSORS and call.state is None
        ):
            if len(shape) > MAX_DIMENSIONS or len(shape) != len(strides):
                raise ValueError(
                    f"a tensor has {len(shape)} dimensions and {len(strides)} strides; expected "
                    f"as many strides as dimensions, and at most {MAX_DIMENSIONS}"
                )
            if not all(type(n) is int and 0 <= n < 2**63 for n in (offset, *shape, *strides)):
                raise ValueError(
                    "a tensor's offset, shape or strides are not integers from 0 to 2**63"
                )
            return storage, offset, shape, strides
    raise ValueError("a tensor is described in a way that torch does not")


def itemsize(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


class _Directory(io.FileIO):
    """A zip file from which only its directory is read, in one piece."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise ValueError(f"the list of its entries has {size:,} bytes")
        return super().read(size)


def _read_zip(path: str | os.PathLike[str], content: np.ndarray) -> tuple[Any, Storages]:
    with _Directory(path) as file, zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
    if not (names := [name for name in entries if name.endswith("/data.pkl")]):
        raise ValueError("it is a zip file without data.pkl")
    if any(e.compress_type != zipfile.ZIP_STORED or e.flag_bits & 1 for e in entries.values()):
        raise ValueError("it is a zip file with compressed entries, which torch does not write")
    if sum(entry.file_size for entry in entries.values()) > len(content):
        raise ValueError("its entries are larger than the file")
    folder = names[0].removesuffix("data.pkl")
    ranges = {
        name.removeprefix(folder): _byte_range(entry, content)
        for name, entry in entries.items()
        if name.startswith(folder)
    }

    def read(name: str) -> bytes:
        start, size, _ = ranges[name]
        return content[start : start + min(size, MAX_PICKLE_BYTES)].tobytes()

    order = ">" if "byteorder" in ranges and read("byteorder") == b"big" else "<"
    state, _ = _unpickle(io.BytesIO(read("data.pkl")))
    return state, Storages(content, lambda key: ranges.get(f"data/{key}"), order)


def _byte_range(entry: zipfile.ZipInfo, content: np.ndarray) -> ByteRange:
    """The bytes after an entry's local header: 30 bytes, its name, an extra field."""
    offset = entry.header_offset
    header = content[offset : offset + 30].tobytes()
    name_size, extra_size = (int.from_bytes(header[i : i + 2], "little") for i in (26, 28))
    return ByteRange(offset + 30 + name_size + extra_size, entry.file_size, entry.CRC)


def _read_legacy(content: np.ndarray) -> tuple[Any, Storages]:
    file = io.BytesIO(content[:MAX_PICKLE_BYTES].tobytes())
    if _unpickle(file)[0] != MAGIC:
        raise ValueError("it is a pickle, but not one of torch.save")
    _version, _machine = _unpickle(file), _unpickle(file)
    state, dtypes = _unpickle(file)
    keys, _ = _unpickle(file)
    ranges, position = {}, file.tell()
    if not isinstance(keys, list):
        raise ValueError("the order of its storages is not a list")
    for key in keys:  # each storage: its length in 8 bytes, and its elements
        if not isinstance(key, str) or key not in dtypes:
            raise ValueError("it has a storage that no tensor uses")
        length = int.from_bytes(content[position : position + 8].tobytes(), "little")
        ranges[key] = ByteRange(position + 8, length * itemsize(dtypes[key]))
        position += 8 + ranges[key].size
    return state, Storages(content, ranges.get)
