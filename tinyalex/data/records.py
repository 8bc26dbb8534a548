"""Records of images: name, label and bytes, within files and tar archives."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class ByteRange(NamedTuple):
    """Consecutive bytes of a file, by default all."""

    file: Path
    offset: int = 0
    size: int = -1

    @property
    def end(self) -> int:
        return self.offset + self.size if self.size >= 0 else self.file.stat().st_size

    def read(self) -> bytes:
        with open(self.file, "rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


class ImageRecord(NamedTuple):
    name: str
    label: int
    stored: ByteRange
    """The bytes of the encoded image."""


def tar_members(archive: ByteRange) -> Iterator[tuple[str, ByteRange]]:
    """The files of an uncompressed tar archive, which may be within another.

    Raises ValueError if it is not one, or is truncated.
    """
    end = archive.end
    with open(archive.file, "rb") as file:
        file.seek(archive.offset)
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                while (member := tar.next()) is not None:
                    # tarfile stores every header; ImageNet has a million.
                    tar.members.clear()  # type: ignore[attr-defined]
                    if not member.isfile():
                        continue
                    if member.offset_data + member.size > end:
                        raise ValueError(f"{member.name} is truncated")
                    yield member.name, ByteRange(archive.file, member.offset_data, member.size)
                # next() also ends at a damaged header; a complete archive ends with
                # zeros.
                file.seek(tar.offset)
                block = file.read(tarfile.BLOCKSIZE)
                if block != bytes(tarfile.BLOCKSIZE) or tar.offset + len(block) > end:
                    raise ValueError("its end is missing")
        except (tarfile.TarError, ValueError) as error:
            raise ValueError(
                f"{archive.file} is not a complete tar archive: {error}.\nDownload it again."
            ) from error
