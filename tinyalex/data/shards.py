"""Shards: tar archives with some hundreds of pictures each, `key.jpg` and `key.cls`, as WebDataset has them.

Few large files are read faster than a million small ones, and can be copied. In a shard that tinyalex has written, the archive's global
header also holds a note, as JSON: a tar reader passes over it.
"""

import io
import json
import tarfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.data.decoding import decode
from tinyalex.data.tars import Stored, members
from tinyalex.files import replacing

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
NOTE = "TINYALEX.note"


def write_shard(path: Path, samples: Iterable[tuple[str, bytes, int]], note: Any) -> None:
    """A shard of samples (key, JPEG file, label). The same samples and note give the same bytes; the file is whole or not there."""
    contents = list(samples)
    header = {NOTE: json.dumps(note, sort_keys=True)}
    with replacing(path) as unfinished, tarfile.open(unfinished, "w", format=tarfile.PAX_FORMAT, pax_headers=header) as tar:
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


class ShardImages:
    """The pictures of shards as if they were an array, uint8 (N, 3, S, S): `images[rows]` decodes some of them, on all cores.

    Each is resized so that its shorter side has S pixels; what is in the middle is taken (section 2).
    """

    def __init__(self, places: list[Stored], size: int) -> None:
        self.places, self.size = places, size
        self.shape = (len(places), 3, size, size)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: Any) -> np.ndarray:
        chosen = np.arange(len(self))[rows]
        if chosen.ndim == 0:
            return self._square(int(chosen))
        images = np.empty((len(chosen), *self.shape[1:]), np.uint8)

        def fill(at: int) -> None:
            images[at] = self._square(int(chosen[at]))

        with ThreadPoolExecutor(device.workers()) as pool:
            for _ in pool.map(fill, range(len(chosen))):
                pass
        return images

    def _square(self, row: int) -> np.ndarray:
        try:
            pixels = np.asarray(decode(self.places[row].read(), self.size))
        except ValueError as error:
            raise ValueError(f"picture {row}, in {self.places[row].file}, is {error}.\nPrepare that shard again.") from error
        top, left = ((side - self.size) // 2 for side in pixels.shape[:2])
        return pixels[top : top + self.size, left : left + self.size].transpose(2, 0, 1)


class Shards:
    """The labelled pictures of some shards, in their order: `images` as `ShardImages`, `labels` int64 (N,), and `classes`.

    A data.Loader takes it like a Dataset. ValueError for a file that is no shard, or has a picture without a class.
    """

    def __init__(self, paths: Iterable[Path], classes: tuple[str, ...], size: int) -> None:
        places, labels = [], []
        for path in paths:
            for key, (picture, label) in _samples(path).items():
                if picture is None or label is None:
                    what = "class (.cls)" if label is None else f"picture ({', '.join(PICTURES)})"
                    raise ValueError(f"{path}: the sample {key} has no {what}. Expected both of each.")
                places.append(picture)
                labels.append(_label(label, key, len(classes)))
        self.images, self.labels, self.classes = ShardImages(places, size), np.array(labels, np.int64), classes

    def __len__(self) -> int:
        return len(self.labels)


def _samples(path: Path) -> dict[str, tuple[Stored | None, Stored | None]]:
    """Picture and class of each key, which is a member's name up to the first dot after its folder."""
    found: dict[str, tuple[Stored | None, Stored | None]] = {}
    for name, stored in members(Stored(path)):
        folder, _, file = name.rpartition("/")
        stem, dot, suffix = file.partition(".")
        key = f"{folder}/{stem}" if folder else stem
        picture, label = found.get(key, (None, None))
        found[key] = (stored, label) if dot + suffix.lower() in PICTURES else (picture, stored if suffix == "cls" else label)
    return found


def _label(stored: Stored, key: str, classes: int) -> int:
    text = stored.read().strip()
    if not text.isdigit() or int(text) >= classes:
        raise ValueError(
            f"{stored.file}: the class of {key} is {text.decode(errors='replace')!r}, expected a number from 0 to {classes - 1}."
        )
    return int(text)
