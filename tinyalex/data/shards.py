"""Shards: tar archives with some hundreds of pictures each, `key.jpg` and `key.cls`, as WebDataset has them.

Few large files are read faster than a million small ones, and can be copied. In a shard that tinyalex has written, the archive's global
header also holds a note, as JSON: a tar reader passes over it.
"""

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tinyalex.data.stored import Picture, Stored
from tinyalex.data.tars import members
from tinyalex.serialization import atomic_write

PLAN, INDEX = "plan.json", "index.json"
"""What `tinyalex prepare` writes first, and last."""

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
NOTE = "TINYALEX.note"


def write_shard(path: Path, samples: Iterable[tuple[str, bytes, int]], note: Any) -> None:
    """A shard of samples (key, JPEG file, label). The same samples and note give the same bytes; the file is whole or not there."""
    contents = list(samples)
    header = {NOTE: json.dumps(note, sort_keys=True)}
    with (
        atomic_write(path) as unfinished,
        tarfile.open(unfinished, "w", format=tarfile.PAX_FORMAT, pax_headers=header) as tar,
    ):
        for key, picture, label in contents:
            for name, data in ((f"{key}.jpg", picture), (f"{key}.cls", str(label).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def read_note(path: Path) -> Any:
    """The note that a shard was written with. ValueError if there is none."""
    try:
        with tarfile.open(path, "r:") as tar:
            return json.loads(tar.pax_headers[NOTE])
    except (tarfile.TarError, KeyError) as error:
        raise ValueError(
            f"{path} is not a shard that `tinyalex prepare` has written: {error}.\nRemove it, and prepare again."
        ) from error


def read_index(folder: Path) -> dict[str, Any]:
    """What `tinyalex prepare` has noted about its shards. ValueError, FileNotFoundError for a folder that it has not finished."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return {
            name: index[name]
            for name in ("classes", "size", "quality", "shards", "mean", "covariance", "skipped")
        }
    except FileNotFoundError:
        raise FileNotFoundError(
            f"`tinyalex prepare` has not finished {folder}: there is no {INDEX}.\nRun it again: tinyalex prepare SOURCE {folder}"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder / INDEX} is not from `tinyalex prepare`: {error!r}.\nPrepare again, in a new folder."
        ) from None


def shard_pictures(paths: Iterable[Path]) -> Iterator[Picture]:
    """The labelled pictures in shards, in their order. ValueError for a file that is no shard, or has a picture without a class."""
    for path in paths:
        found: dict[str, tuple[Stored | None, int | None]] = {}
        with open(path, "rb") as file:
            for name, stored in members(Stored(path)):
                key, suffix = _split(name)
                picture, label = found.get(key, (None, None))
                if suffix in PICTURES:
                    if picture is not None:
                        raise ValueError(
                            f"{path}: there are two pictures with the key {key}. Expected one."
                        )
                    found[key] = (stored, label)
                elif suffix == ".cls":
                    file.seek(stored.offset)
                    found[key] = (picture, _label(file.read(stored.size), path, key))
                else:
                    found[key] = (picture, label)
        for key, (picture, label) in found.items():
            if picture is None or label is None:
                what = "class (.cls)" if label is None else f"picture ({', '.join(PICTURES)})"
                raise ValueError(f"{path}: the sample {key} has no {what}. Expected both of each.")
            yield Picture(f"{path.name}/{key}", label, picture)


def _split(name: str) -> tuple[str, str]:
    """The key of a member, which is its name up to the first dot after its folder, and the rest."""
    folder, slash, file = name.rpartition("/")
    stem, dot, suffix = file.partition(".")
    return folder + slash + stem, (dot + suffix).lower()


def _label(text: bytes, path: Path, key: str) -> int:
    if not text.strip().isdigit():
        raise ValueError(
            f"{path}: the class of {key} is {text.decode(errors='replace')!r}, expected a number from 0 on."
        )
    return int(text)
