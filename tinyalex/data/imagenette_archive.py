"""imagenette: ten classes of ImageNet, 9,469 training and 3,925 validation images.

Published at github.com/fastai/imagenette.
"""

import os
import shutil
from pathlib import Path

from tinyalex.cache import cache_folder
from tinyalex.data.download import fetch
from tinyalex.data.tar_files import TarFile, compressed_tar_files
from tinyalex.data.text_files import MAX_NAME_BYTES

# The same md5 as in torchvision.
ARCHIVES = {
    160: ("imagenette2-160.tgz", "md5:e793b78cc4c9e9a4ccc0c1155377a412"),
    320: ("imagenette2-320.tgz", "md5:3df6f0d01a2c9592104656642f5e78a3"),
}
"""By the shorter side in pixels: 99 and 341 MB."""

MAX_BYTES, MAX_IMAGE_BYTES = 2 << 30, 64 << 20
"""Of the archive without compression, and of each image in it."""

HOSTS = (
    "https://s3.amazonaws.com/fast-ai-imageclas/",
    "https://fast-ai-imageclas.s3.amazonaws.com/",
)


def imagenette(short_side: int = 320) -> Path:
    """The folder with train/ and val/, downloaded and unpacked on first use.

    Raises ValueError for a size other than 160 and 320, ConnectionError if the download
    fails or its checksum is wrong.
    """
    if short_side not in ARCHIVES:
        raise ValueError(
            f"imagenette: expected a shorter side of 160 or 320 pixels, got {short_side!r}."
        )
    name, known_hash = ARCHIVES[short_side]
    folder = cache_folder() / Path(name).stem
    if not folder.is_dir():
        unpack(fetch(name, [host + name for host in HOSTS], known_hash), folder)
    return folder


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the only folder in an archive as `folder`, completely or not at all.

    Only regular files are unpacked. Raises ValueError for a path that leads out of the
    folder, and for a damaged or very large archive.
    """
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.unfinished")
    try:
        for file in compressed_tar_files(archive, MAX_BYTES, MAX_IMAGE_BYTES):
            _write(file, unfinished)
        (inside,) = (path for path in unfinished.iterdir() if path.is_dir())
        try:
            inside.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process was first
                raise
    except ValueError as error:
        raise ValueError(
            f"{archive} is not a complete archive of one folder: {error}.\n"
            "Remove it, and try again."
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write(file: TarFile, folder: Path) -> None:
    """Write a file of an archive into a folder, unless its path leads elsewhere."""
    parts = file.name.removeprefix("./").split("/")
    # On Windows, "\\" separates folders, and "D:" is another drive.
    if not set(parts).isdisjoint(("", ".", "..")) or not set(file.name).isdisjoint("\\:"):
        raise ValueError(f"the path {file.name!r} leads out of it")
    if any(len(part.encode("utf-8", "surrogateescape")) > MAX_NAME_BYTES for part in parts):
        raise ValueError(f"the name {file.name[:100]!r}... is too long")
    path = folder.joinpath(*parts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.read())
    except (FileExistsError, IsADirectoryError, NotADirectoryError):
        raise ValueError(f"{file.name!r} is also the name of a folder, or in a file") from None
