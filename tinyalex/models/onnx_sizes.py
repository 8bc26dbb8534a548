"""Limits the memory for parsing an ONNX file.

An empty protobuf message takes two bytes in the file, but a hundred in memory.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MAX_STRUCTURE_BYTES = 2 << 20
"""Of the file without the values of its tensors. AlexNet's structure has some KB."""

MODEL_GRAPH, GRAPH_NODE, GRAPH_INITIALIZER, NODE_ATTRIBUTE, ATTRIBUTE_TENSOR = 7, 1, 5, 5, 5
FLOATS, RAW = 4, 9
"""The fields of a tensor whose values are stored as bytes."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Protobuf's wire types."""

PATHS = (
    (MODEL_GRAPH, GRAPH_INITIALIZER, RAW),
    (MODEL_GRAPH, GRAPH_INITIALIZER, FLOATS),
    (MODEL_GRAPH, GRAPH_NODE, NODE_ATTRIBUTE, ATTRIBUTE_TENSOR, RAW),
    (MODEL_GRAPH, GRAPH_NODE, NODE_ATTRIBUTE, ATTRIBUTE_TENSOR, FLOATS),
)
PREFIXES = {path[:n] for path in PATHS for n in range(1, len(path))}


def check_structure(path: str | os.PathLike[str]) -> None:
    """Raises ValueError for a file with much besides the values of tensors."""
    size = Path(path).stat().st_size
    if size <= MAX_STRUCTURE_BYTES:
        return
    structure = 0
    with open(path, "rb") as file:
        for field_bytes in _structure(file, size, ()):
            structure += field_bytes
            if structure > MAX_STRUCTURE_BYTES:
                raise ValueError(
                    f"it has more than {MAX_STRUCTURE_BYTES >> 20} MiB besides the values of its "
                    "tensors"
                )


def _structure(file: BinaryIO, end: int, path: tuple[int, ...]) -> Iterator[int]:
    """The bytes of each field up to `end`, without the values of tensors."""
    while (begin := file.tell()) < end:
        key = _varint(file)
        number, kind = key >> 3, key & 7
        field = (*path, number)
        if kind == VARINT:
            _varint(file)
        elif kind in (FIXED64, FIXED32):
            file.seek(8 if kind == FIXED64 else 4, 1)
        elif kind == BYTES:
            length = _varint(file)
            start = file.tell()
            if start + length > end:
                raise ValueError("it is truncated, or damaged")
            if field in PREFIXES:
                yield start - begin
                yield from _structure(file, start + length, field)
                continue
            file.seek(start + length)
            if field in PATHS:
                begin += length
        else:
            raise ValueError("it is damaged")
        yield file.tell() - begin


def _varint(file: BinaryIO) -> int:
    """Raises ValueError for a number without an end."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
    raise ValueError("it is truncated, or damaged")
