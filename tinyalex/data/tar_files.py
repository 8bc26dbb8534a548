"""Reads tar archives that may be damaged or hostile: regular files only, with limits.

Python's tarfile does not end on a member of negative size, and reads extended headers
of any size into memory.
"""

import bz2
import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from tinyalex.data.text_files import check_regular

BLOCK_BYTES = 512

MAX_EXTENSION_BYTES = 1 << 20
"""Of an extended header, which contains a long name."""

MAX_HEADER_BLOCKS = 60_000
"""Of a compressed archive, where a block can take less than a byte."""

COMPRESSIONS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open}

REGULAR, LONG_NAME, PAX_HEADER, GLOBAL_HEADER = (b"0", b"\0", b"7"), b"L", b"x", b"g"
EXTENSIONS_WITH_CONTENTS = (b"K", b"X", GLOBAL_HEADER)
WITHOUT_CONTENTS = (b"1", b"2", b"3", b"4", b"5", b"6")
"""Links, devices, folders and pipes: their size does not count."""


class TarFile(NamedTuple):
    """A regular file in an archive: its contents start at `offset` of `archive`."""

    name: str
    size: int
    offset: int
    archive: BinaryIO

    def read(self) -> bytes:
        """The contents. Raises ValueError if the archive is truncated."""
        with _decompression_errors():
            self.archive.seek(self.offset)
            return _read_exactly(self.archive, self.size, self.name)


def compressed_tar_files(
    path: Path, max_bytes: int, max_file_bytes: int | None = None
) -> Iterator[TarFile]:
    """The regular files in an archive, which may be compressed with gzip or bzip2.

    It is decompressed while it is read: `read` a file before the next one is taken.

    max_bytes       of the whole archive without compression
    max_file_bytes  of each file; None: max_bytes

    Raises ValueError, without the path, for an archive that is damaged or exceeds a
    limit, as `tar_files` does; OSError if it cannot be read.
    """
    check_regular(path)
    with open(path, "rb") as file:
        open_archive = COMPRESSIONS.get(file.read(2), open)
    with _decompression_errors(), open_archive(path, "rb") as opened:
        archive = cast(BinaryIO, opened)
        for found in tar_files(archive, 0, max_bytes, MAX_HEADER_BLOCKS):
            if max_file_bytes is not None and found.size > max_file_bytes:
                raise ValueError(
                    f"{found.name!r} has {found.size:,} bytes, expected at most {max_file_bytes:,}"
                )
            yield found
        # The checksum of a compressed file is at its end.
        while archive.read(1 << 20):
            if archive.tell() > max_bytes:
                raise ValueError(f"it has more than {max_bytes:,} bytes")


@contextmanager
def _decompression_errors() -> Iterator[None]:
    """Errors of damaged data become ValueError; those of the system do not."""
    try:
        yield
    except (EOFError, zlib.error) as error:
        raise ValueError(str(error)) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise ValueError(str(error)) from error


def tar_files(
    archive: BinaryIO, begin: int, end: int, max_header_blocks: int | None = None
) -> Iterator[TarFile]:
    """The regular files in the bytes `begin` to `end` of a file, without compression.

    Reads headers only. Links, devices and folders are left out. Raises ValueError for
    an archive that is damaged, has a sparse file, or does not end before `end`.
    """
    position, blocks = begin, 0
    long_name: str | None = None
    pax: dict[str, str] = {}
    while True:
        archive.seek(position)
        header = archive.read(BLOCK_BYTES)
        position += BLOCK_BYTES
        if len(header) < BLOCK_BYTES or position > end:
            raise ValueError("its end is missing")
        if not any(header):
            return
        _check_sum(header)
        kind, name = header[156:157], long_name or _name(header)
        size = _size(pax["size"]) if "size" in pax else _number(header[124:136])
        name = pax.get("path", name)
        if "\0" in name:
            raise ValueError(f"{name!r} is not a name")
        if position + size > end and kind not in WITHOUT_CONTENTS:
            raise ValueError(f"{name!r} is truncated")
        is_extension = kind in (LONG_NAME, PAX_HEADER)
        blocks += 1 + (size // BLOCK_BYTES if is_extension else 0)
        if max_header_blocks is not None and blocks > max_header_blocks:
            raise ValueError(f"its headers have more than {max_header_blocks:,} blocks")
        if is_extension:
            contents = _extension(archive, size)
            if kind == LONG_NAME:
                long_name = _text(contents)
            else:
                pax = pax_records(contents)
        else:
            if kind == b"S" or any(key.startswith("GNU.sparse") for key in pax):
                raise ValueError(f"{name!r} is a sparse file; expected an archive without any")
            if kind in REGULAR and not name.endswith("/"):
                yield TarFile(name, size, position, archive)
            if kind not in EXTENSIONS_WITH_CONTENTS:
                long_name, pax = None, {}
        if kind not in WITHOUT_CONTENTS:
            position += -(-size // BLOCK_BYTES) * BLOCK_BYTES


def global_records(path: Path) -> dict[str, str]:
    """The records of an uncompressed archive's global header, which is its first.

    Raises ValueError if there is none.
    """
    check_regular(path)
    with open(path, "rb") as archive:
        header = archive.read(BLOCK_BYTES)
        if len(header) < BLOCK_BYTES or header[156:157] != GLOBAL_HEADER:
            raise ValueError("it has no global header")
        _check_sum(header)
        size = _number(header[124:136])
        if size > path.stat().st_size:
            raise ValueError("its global header is truncated")
        return pax_records(_read_exactly(archive, size, "the global header"))


def pax_records(contents: bytes) -> dict[str, str]:
    """The records `LENGTH KEY=VALUE\\n` of an extended header. Raises ValueError."""
    records, start = {}, 0
    while start < len(contents) and contents[start]:
        space = contents.find(b" ", start, start + 20)
        digits = contents[start : max(space, start)]
        end = start + int(digits) if digits.isdigit() else start
        key, equals, value = contents[space + 1 : end - 1].partition(b"=")
        if not equals or end > len(contents) or contents[end - 1 : end] != b"\n":
            raise ValueError("an extended header is damaged")
        records[_decoded(key)] = _decoded(value)
        start = end
    return records


def _read_exactly(archive: BinaryIO, size: int, name: str) -> bytes:
    contents = archive.read(size)
    if len(contents) < size:
        raise ValueError(f"{name!r} is truncated")
    return contents


def _extension(archive: BinaryIO, size: int) -> bytes:
    if size > MAX_EXTENSION_BYTES:
        raise ValueError(
            f"an extended header has {size:,} bytes, expected at most {MAX_EXTENSION_BYTES:,}"
        )
    return _read_exactly(archive, size, "an extended header")


def _check_sum(header: bytes) -> None:
    """Raises ValueError unless the header contains the sum of its bytes."""
    expected = _number(header[148:156])
    # The field itself counts as spaces.
    if expected != sum(header) - sum(header[148:156]) + 8 * ord(" "):
        raise ValueError("a header is damaged")


def _number(field: bytes) -> int:
    """Octal digits, or GNU's binary form. Raises ValueError for a negative number."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not set(digits) <= set(b"01234567"):
        raise ValueError("a header is damaged")
    return int(digits or b"0", 8)


def _size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise ValueError(f"a file has the size {text[:40]!r}")
    return int(text)


def _name(header: bytes) -> str:
    name = _text(header[:100])
    has_prefix = header[257:263] == b"ustar\0" and header[345]
    return f"{_text(header[345:500])}/{name}" if has_prefix else name


def _text(field: bytes) -> str:
    return _decoded(field.partition(b"\0")[0])


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
