"""Reads the weights in files of torch (.pth, .pt) without torch, and runs nothing that they name.

A zip file (torch 1.6 and later) has a pickle that describes the tensors, and an entry for the numbers of each storage. A legacy file is
five pickles in a row (a magic number, a version, the machine, the description, the order of the storages), then the storages.
"""

import io
import math
import os
import pickle
import pickletools
import zipfile
import zlib
from typing import Any, Literal, NamedTuple

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
"""The first pickle of a legacy file."""

LONGEST = 4 << 20
"""Bytes that the pickles of a file may take. A tensor needs about a hundred."""

KINDS = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "b1",
}


def read_pth(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The weights in a file of torch.save, as read-only views of the file.

    Takes a state_dict, or a training checkpoint with one. ValueError for a file that is not whole, that asks for anything but tensors,
    or whose tensors do not lie in it.
    """
    try:
        content = np.memmap(path, np.uint8, "r")
        state, numbers = (
            _read_zip(path, content) if content[:2].tobytes() == b"PK" else _read_legacy(content)
        )
        return {
            name: numbers.of_tensor(tensor)
            for name, tensor in state_dict_in(state, TensorInFile).items()
        }
    # A damaged or hostile pickle can end in any exception at all: what it asks for is done, as far as it is allowed.
    except Exception as error:
        raise ValueError(
            f"load_weights: cannot read {str(path)!r} as a file of torch: {error}.\n"
            "If it is damaged, fetch it anew; else save its weights alone, in torch: torch.save(model.state_dict(), path)."
        ) from error


def state_dict_in(state: Any, kind: type) -> dict[str, Any]:
    """The dict of tensors (of the class `kind`) that `state` is, or that it has among other things of a training run."""
    keys = ("state_dict", "model_state_dict", "model")
    found = state
    if isinstance(state, dict):
        found = next((state[key] for key in keys if isinstance(state.get(key), dict)), state)
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ValueError(
            f"expected a dict of tensors by their names, got a {type(found).__name__} without"
        )
    if wrong := [f"{name:.60}" for name, value in found.items() if not isinstance(value, kind)]:
        others = ", ".join(wrong[:5]) + (", ..." if len(wrong) > 5 else "")
        raise ValueError(
            f"expected a dict of tensors, or one that has it as {', '.join(keys)}; it has no tensors as {others}"
        )
    return found


# The pickle


class StorageInFile(NamedTuple):
    """A row of `length` numbers, wherever in the file it lies; tensors begin `first` numbers after its beginning."""

    kind: str
    key: str
    length: int
    first: int = 0


class TensorInFile(NamedTuple):
    """Stands in for torch's functions that make a tensor, with their arguments, and for the tensor."""

    storage: Any
    offset: Any
    shape: Any
    strides: Any
    requires_grad: Any = False
    hooks: Any = None
    metadata: Any = None

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it gives a tensor attributes, which weights have none of")


class _Parameter:
    """Stands in for the function that makes a parameter of a tensor, which is as good."""

    def __new__(cls, tensor: Any, requires_grad: Any, hooks: Any) -> Any:
        return tensor

    def __setstate__(self, state: Any) -> None:
        """Here so that a pickle cannot change the class itself, as it could one without."""


class _Dict(dict):
    """Stands in for OrderedDict. torch's have versions of their layers as an attribute, which nothing here needs."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        """Forget it."""


STAND_INS = {
    ("collections", "OrderedDict"): _Dict,
    ("torch._utils", "_rebuild_tensor"): TensorInFile,
    ("torch._utils", "_rebuild_tensor_v2"): TensorInFile,
    ("torch._utils", "_rebuild_parameter"): _Parameter,
    **{("torch", name): kind for name, kind in KINDS.items()},
}


class TensorUnpickler(pickle.Unpickler):
    """Reads pickles of plain values and tensors, and runs nothing that they name.

    A pickle is a program: it may call whatever it can name, with what it likes. What tensors need has a stand-in that only takes down
    what the pickle says; any other name raises UnpicklingError.
    """

    def __init__(self, file: io.BytesIO, **options: Any) -> None:
        super().__init__(file, **options)
        self.kinds: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in STAND_INS:
            return STAND_INS[module, name]
        raise pickle.UnpicklingError(
            f"it asks for {f'{module}.{name}'!r}, which no weights need, so it was not run"
        )

    def persistent_load(self, pid: Any) -> StorageInFile:
        match pid:
            case ("storage", str(kind), str(key), _, int(length), *view) if (
                kind in KINDS.values() and length >= 0
            ):
                self.kinds[key] = kind
                match view:
                    case [] | [None]:
                        return StorageInFile(kind, key, length)
                    case [(_, int(first), _)] if (
                        first >= 0
                    ):  # torch before 0.4: a part of another storage
                        return StorageInFile(kind, key, length, first)
        raise pickle.UnpicklingError("it refers to a storage in a way that torch does not")


PUTS, GETS = ("PUT", "BINPUT", "LONG_BINPUT"), ("GET", "BINGET", "LONG_BINGET")


def _unpickle(file: io.BytesIO) -> tuple[Any, dict[str, str]]:
    """The value of the next pickle in the file, and the kinds of the storages in it, by their keys."""
    start, tuples, before = file.tell(), set[int](), ""
    for operation, argument, _ in pickletools.genops(
        file
    ):  # ValueError where bytes are missing, before anything is made of them
        if operation.name in PUTS and (argument or 0) > LONGEST:
            raise pickle.UnpicklingError(
                "it numbers its values in a way that would fill the memory"
            )
        if operation.name == "DUP" or (
            operation.name in GETS and argument in tuples
        ):  # tuples of tuples take for ever to hash
            raise pickle.UnpicklingError("it uses a tuple twice, which torch does not")
        if operation.name in PUTS and before.startswith("TUPLE"):
            tuples.add(len(tuples) if argument is None else argument)
        before = operation.name
    end = file.tell()
    file.seek(start)
    unpickler = TensorUnpickler(io.BytesIO(file.read(end - start)), encoding="utf-8")
    return unpickler.load(), unpickler.kinds


# The numbers


class Place(NamedTuple):
    """Where in the file a storage lies, and the checksum of its bytes if there is one."""

    start: int
    size: int
    checksum: int | None = None


class Numbers:
    """The storages of a file."""

    def __init__(
        self, content: np.ndarray, places: dict[str, Place], big_endian: bool = False
    ) -> None:
        self.content, self.places = content, places
        self.order: Literal["<", ">"] = ">" if big_endian else "<"
        self.read: dict[tuple[str, str], np.ndarray] = {}

    def of_tensor(self, tensor: TensorInFile) -> np.ndarray:
        storage, offset, shape, strides = tensor[:4]
        plain = (
            isinstance(storage, StorageInFile)
            and isinstance(shape, tuple)
            and isinstance(strides, tuple)
        )
        if (
            not plain
            or len(shape) != len(strides)
            or not all(type(n) is int and n >= 0 for n in (offset, *shape, *strides))
        ):
            raise ValueError("a tensor's place, shape or strides are not whole numbers from 0 on")
        row = self.of_storage(storage)
        first = storage.first + offset
        last = first + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if math.prod(shape) and last >= len(row):
            raise ValueError(
                f"a tensor {shape} with strides {strides} from {first} on reaches out of its {len(row)} numbers"
            )
        if not math.prod(shape):
            return np.zeros(shape, row.dtype)
        return np.ndarray(
            shape, row.dtype, row, first * row.itemsize, [step * row.itemsize for step in strides]
        )

    def of_storage(self, storage: StorageInFile) -> np.ndarray:
        if (storage.key, storage.kind) not in self.read:
            if storage.key not in self.places:
                raise ValueError(f"the numbers of storage {storage.key!r} are not in it")
            start, size, checksum = self.places[storage.key]
            content = self.content.data[start : start + size]
            if size != storage.length * itemsize(storage.kind) or len(content) != size:
                raise ValueError(
                    f"storage {storage.key!r} has {len(content)} bytes, not those of {storage.length} numbers"
                )
            if checksum is not None and zlib.crc32(content) != checksum:
                raise ValueError(
                    f"storage {storage.key!r} has a wrong checksum (or torch was told to write none)"
                )
            self.read[storage.key, storage.kind] = self.decoded(content, storage.kind)
        return self.read[storage.key, storage.kind]

    def decoded(self, content: memoryview, kind: str) -> np.ndarray:
        if kind != "bfloat16":
            return np.frombuffer(content, np.dtype(kind).newbyteorder(self.order))
        halves = np.frombuffer(content, np.dtype("u2").newbyteorder(self.order))
        return (halves.astype(np.uint32) << 16).view(np.float32)  # the upper half of a float32


def itemsize(kind: str) -> int:
    return 2 if kind == "bfloat16" else np.dtype(kind).itemsize


def _read_zip(path: str | os.PathLike[str], content: np.ndarray) -> tuple[Any, Numbers]:
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
    if not (names := [name for name in entries if name.endswith("/data.pkl")]):
        raise ValueError("it is a zip file without data.pkl")
    if any(
        entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1
        for entry in entries.values()
    ):
        raise ValueError("it is a zip file with compressed entries, as torch does not write them")
    if sum(entry.file_size for entry in entries.values()) > len(content):
        raise ValueError("its entries are larger than the file")
    folder = names[0].removesuffix("data.pkl")
    places = {
        name.removeprefix(folder): _place(entry, content)
        for name, entry in entries.items()
        if name.startswith(folder)
    }

    def bytes_at(name: str) -> bytes:
        start, size, _ = places[name]
        return content[start : start + min(size, LONGEST)].tobytes()

    big_endian = "byteorder" in places and bytes_at("byteorder") == b"big"
    storages = {
        name.removeprefix("data/"): place
        for name, place in places.items()
        if name.startswith("data/")
    }
    state, _ = _unpickle(io.BytesIO(bytes_at("data.pkl")))
    return state, Numbers(content, storages, big_endian)


def _place(entry: zipfile.ZipInfo, content: np.ndarray) -> Place:
    """Behind the entry's own header, whose name and extra field may be longer than the directory's."""
    header = content[entry.header_offset : entry.header_offset + 30].tobytes()
    start = (
        entry.header_offset
        + 30
        + int.from_bytes(header[26:28], "little")
        + int.from_bytes(header[28:30], "little")
    )
    return Place(start, entry.file_size, entry.CRC)


def _read_legacy(content: np.ndarray) -> tuple[Any, Numbers]:
    file = io.BytesIO(content[:LONGEST].tobytes())
    if _unpickle(file)[0] != MAGIC:
        raise ValueError("it is a pickle, but not one of torch.save")
    _version, _machine = _unpickle(file), _unpickle(file)
    state, kinds = _unpickle(file)
    keys, _ = _unpickle(file)
    places, position = {}, file.tell()
    for key in keys:  # each storage: how many numbers, in 8 bytes, and the numbers
        if key not in kinds:
            raise ValueError("it has a storage that no tensor lies in")
        size = int.from_bytes(content[position : position + 8].tobytes(), "little") * itemsize(
            kinds[key]
        )
        places[key] = Place(position + 8, size)
        position += 8 + size
    return state, Numbers(content, places)
