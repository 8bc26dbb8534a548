"""Labelled pictures that stay in their files until they are needed: a data set of any size."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyalex import device
from tinyalex.data.dataset import Dataset
from tinyalex.data.decoding import decode_square


class Stored(NamedTuple):
    """Some bytes of a file; without a size, all of it."""

    file: Path
    offset: int = 0
    size: int = -1

    def read(self) -> bytes:
        with open(self.file, "rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


class Picture(NamedTuple):
    """One picture: what it is called, its class's number, and where its bytes are."""

    name: str
    label: int
    stored: Stored


class StoredPictures:
    """Pictures as a data set that a data.Loader takes: `take(rows)` decodes some of them, on `workers` threads.

    pictures  where they are, and their labels
    classes   the names of the classes, label by label
    size      S: each is resized so that its shorter side has S pixels, and the square in its middle taken (section 2)
    workers   threads that decode; None: as many as there are cores
    squash    resize both sides to S instead, as Caffe's networks were trained

    `labels` is int64 (N,). Pictures that cannot be read are left out of what `take` gives; `unreadable` has the row of each, and why.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        classes: tuple[str, ...],
        size: int,
        workers: int | None = None,
        *,
        squash: bool = False,
    ) -> None:
        self.pictures, self.classes, self.size, self.squash = pictures, classes, size, squash
        self.workers = device.workers() if workers is None else workers
        self.labels = np.array([picture.label for picture in pictures], np.int64)
        self.unreadable: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.pictures)

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(images, labels) of some rows: uint8 (n, 3, S, S), int64 (n,). ValueError where no picture of the data set can be read."""
        images = np.empty((len(rows), 3, self.size, self.size), np.uint8)

        def fill(place: int) -> bool:
            row = int(rows[place])
            try:
                images[place] = self._square(self.pictures[row])
            except ValueError as error:
                self.unreadable[row] = str(error)
                return False
            return True

        with ThreadPoolExecutor(self.workers, thread_name_prefix="tinyalex-decode") as pool:
            readable = np.array(list(pool.map(fill, range(len(rows)))), bool)
        if len(self.unreadable) == len(self):
            row, reason = next(iter(self.unreadable.items()))
            name = self.pictures[row].name
            raise ValueError(
                f"None of {len(self)} pictures can be read, {name} for instance: {reason}.\nLook at the files."
            )
        labels = self.labels[rows]
        return (images, labels) if readable.all() else (images[readable], labels[readable])

    def in_memory(self, rows: np.ndarray | None = None) -> Dataset:
        """All of them, or some rows, decoded once and for all: 3*S*S bytes a picture."""
        return Dataset(*self.take(np.arange(len(self)) if rows is None else rows), self.classes)

    def _square(self, picture: Picture) -> np.ndarray:
        data = picture.stored.read()
        return np.asarray(decode_square(data, self.size, squash=self.squash)).transpose(2, 0, 1)
