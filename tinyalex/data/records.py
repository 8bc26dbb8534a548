"""Records of images: name, label and bytes, within files and tar archives."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tinyalex.data.tar_files import tar_files
from tinyalex.data.text_files import check_regular

MAX_FILE_BYTES = 256 << 20
"""Of an image. Larger files are refused before they are read."""


class ByteRange(NamedTuple):
    """Consecutive bytes of a file, by default all."""

    file: Path
    offset: int = 0
    size: int = -1

    @property
    def end(self) -> int:
        return self.offset + self.size if self.size >= 0 else self.file.stat().st_size

    def read(self) -> bytes:
        """The bytes. Raises ValueError for too many, OSError with the file's name."""
        try:
            with open(self.file, "rb") as file:
                size = os.fstat(file.fileno()).st_size if self.size < 0 else self.size
                if size > MAX_FILE_BYTES:
                    raise ValueError(f"expected at most {MAX_FILE_BYTES:,} bytes, got {size:,}")
                file.seek(self.offset)
                return file.read(size)
        except OSError as error:  # that of a read has no name
            raise OSError(error.errno, error.strerror, str(self.file)) from error


class ImageRecord(NamedTuple):
    name: str
    label: int
    stored: ByteRange
    """The bytes of the encoded image."""


def tar_members(archive: ByteRange) -> Iterator[tuple[str, ByteRange]]:
    """The files of an uncompressed tar archive, which may be within another.

    Raises ValueError if it is not one, is truncated, or has sparse files.
    """
    check_regular(archive.file)
    with open(archive.file, "rb") as file:
        try:
            for name, size, offset, _ in tar_files(file, archive.offset, archive.end):
                yield name, ByteRange(archive.file, offset, size)
        except ValueError as error:
            raise ValueError(
                f"{archive.file} is not a complete tar archive: {error}.\nDownload it again."
            ) from error
