"""Shards: tar archives of images, `key.jpg` and `key.cls`, as in WebDataset.

A few large files are read and copied faster than a million small ones. The shards of
tinyalex also have a JSON note in the archive's global header, which tar readers ignore.
"""

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tinyalex.data.records import ByteRange, ImageRecord, tar_members
from tinyalex.data.tar_files import global_records
from tinyalex.data.text_files import MAX_NAME_BYTES, check_regular, read_text
from tinyalex.serialization import atomic_write

PLAN, INDEX = "plan.json", "index.json"
"""Files that `tinyalex prepare` writes first, and last."""

INDEX_ENTRIES = ("classes", "size", "quality", "shards", "mean", "covariance", "skipped")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
NOTE = "TINYALEX.note"

MAX_CLASSES = 1_000_000
"""Labels are below it: each class up to the largest label gets a name."""

MAX_LABEL_BYTES = 20
"""Of the text of a label."""


def write_shard(path: Path, samples: Iterable[tuple[str, bytes, int]], note: Any) -> None:
    """Write samples (key, JPEG file, label) to a shard, completely or not at all.

    The same samples and note give the same bytes.
    """
    header = {NOTE: json.dumps(note, sort_keys=True)}
    with (
        atomic_write(path) as unfinished,
        tarfile.open(unfinished, "w", format=tarfile.PAX_FORMAT, pax_headers=header) as tar,
    ):
        for key, image, label in samples:
            for name, data in ((f"{key}.jpg", image), (f"{key}.cls", str(label).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def read_note(path: Path) -> Any:
    """The note of a shard. Raises ValueError if it has none."""
    try:
        return json.loads(global_records(path)[NOTE])
    except (ValueError, KeyError, RecursionError) as error:
        raise ValueError(
            f"{path} was not written by `tinyalex prepare`: {error}.\nRemove it, and prepare again."
        ) from error


def read_index(folder: Path) -> dict[str, Any]:
    """The index that `tinyalex prepare` wrote into a folder.

    Raises FileNotFoundError if it has not finished, ValueError for another index.
    """
    try:
        index = json.loads(read_text(folder / INDEX))
        _check_index(index)
        return {name: index[name] for name in INDEX_ENTRIES}
    except FileNotFoundError:
        raise FileNotFoundError(
            f"`tinyalex prepare` has not finished {folder}: there is no {INDEX}.\n"
            f"Run it again: tinyalex prepare SOURCE {folder}"
        ) from None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"{folder / INDEX} was not written by `tinyalex prepare`: {error!r}.\n"
            "Prepare again, in a new folder."
        ) from None


def _check_index(index: dict[str, Any]) -> None:
    """Raises ValueError, KeyError or TypeError for an index of other types or values.

    Shards are files in the folder of the index: their names lead nowhere else.
    """
    for name in ("classes", "shards"):
        if not isinstance(index[name], list) or not all(isinstance(x, str) for x in index[name]):
            raise TypeError(f"{name} is not a list of strings")
    if len(set(index["shards"])) < len(index["shards"]):
        raise ValueError("a shard is listed twice")
    for shard in index["shards"]:
        is_name = shard not in ("", ".", "..") and set(shard).isdisjoint("/\\\0")
        if not is_name or len(shard.encode("utf-8", "replace")) > MAX_NAME_BYTES:
            raise ValueError(f"the shard {shard[:100]!r} is not the name of a file")
    for name, shape in (("mean", (3,)), ("covariance", (3, 3))):
        values = np.asarray(index[name], np.float64)
        if values.shape != shape or not np.isfinite(values).all():
            raise ValueError(f"{name} does not consist of finite numbers {shape}")
    if not isinstance(index["skipped"], list):
        raise TypeError("skipped is not a list")


def read_shards(paths: Iterable[Path]) -> Iterator[ImageRecord]:
    """The records of shards, in order.

    Raises ValueError for a file that is no shard, or an image without a class.
    """
    for path in paths:
        samples: dict[str, dict[str, Any]] = {}
        check_regular(path)
        with open(path, "rb") as file:
            for name, stored in tar_members(ByteRange(path)):
                key, suffix = _split(name)
                sample = samples.setdefault(key, {})
                if suffix in IMAGE_SUFFIXES:
                    if "image" in sample:
                        raise ValueError(
                            f"{path}: there are two images with the key {key}. Expected one."
                        )
                    sample["image"] = stored
                elif suffix == ".cls":
                    file.seek(stored.offset)
                    text = file.read(min(stored.size, MAX_LABEL_BYTES))
                    sample["class"] = _label(text, path, key)
        for key, sample in samples.items():
            for part, suffixes in (("class", (".cls",)), ("image", IMAGE_SUFFIXES)):
                if part not in sample:
                    raise ValueError(
                        f"{path}: the sample {key} has no {part} ({', '.join(suffixes)}). "
                        "Expected both a class and an image."
                    )
            yield ImageRecord(f"{path.name}/{key}", sample["class"], sample["image"])


def _split(name: str) -> tuple[str, str]:
    """The key of a member, up to the first dot after its folder, and the suffix."""
    folder, slash, file = name.rpartition("/")
    stem, dot, suffix = file.partition(".")
    return folder + slash + stem, (dot + suffix).lower()


def _label(text: bytes, path: Path, key: str) -> int:
    if not text.strip().isdigit() or int(text) >= MAX_CLASSES:
        raise ValueError(
            f"{path}: the class of {key} is {text.decode(errors='replace')!r}, "
            f"expected an integer from 0 to {MAX_CLASSES - 1}."
        )
    return int(text)
