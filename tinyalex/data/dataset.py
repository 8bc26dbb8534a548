"""Datasets: labelled images in memory (`Dataset`) or in files (`StoredImages`)."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tinyalex import device
from tinyalex.data.checks import is_integer
from tinyalex.data.decoding import decode_square
from tinyalex.data.records import ImageRecord
from tinyalex.device import Array

Batch = tuple[Array, Array]
"""Images (n, C, H, W) and their labels (n,)."""


@runtime_checkable
class ArrayDataset(Protocol):
    """`images` (N, C, H, W) and `labels` (N,), both indexed by an integer array."""

    @property
    def images(self) -> Any: ...

    @property
    def labels(self) -> Any: ...


@runtime_checkable
class RowDataset(Protocol):
    """`labels` (N,), and `take`, which reads rows and may leave some out."""

    @property
    def labels(self) -> Any: ...

    def take(self, rows: np.ndarray) -> Batch: ...


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images of one size with their labels, in memory.

    images   uint8 (N, C, H, W), pixels from 0 to 255
    labels   int64 (N,), each from 0 to len(classes) - 1
    classes  the name of each class

    Raises TypeError for another type or dtype, ValueError for shapes or labels that do
    not match.

    >>> images = np.zeros((4, 3, 32, 32), np.uint8)
    >>> pets = Dataset(images, np.array([0, 1, 1, 0]), ("cat", "dog"))
    >>> pets
    Dataset(4 images of 3 x 32 x 32, 2 classes)
    >>> image, label = pets[2]
    >>> image.shape, pets.classes[label]
    ((3, 32, 32), 'dog')
    >>> len(pets[1:]), len(pets[pets.labels == 1]), pets[[3, 2]].labels
    (3, 2, array([0, 1]))
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        images, labels, classes = self.images, self.labels, self.classes
        _check_array("images", images, "uint8", "(N, C, H, W)", 4)
        _check_array("labels", labels, "int64", "(N,)", 1)
        if len(images) != len(labels):
            raise ValueError(
                "Dataset: expected as many labels as images, "
                f"got {len(images)} images and {len(labels)} labels.\nGive each image one label."
            )
        if not isinstance(classes, tuple) or not all(isinstance(name, str) for name in classes):
            raise TypeError(
                f"Dataset: classes must be a tuple of names, got {classes!r}.\n"
                "Give for example ('cat', 'dog')."
            )
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
            raise ValueError(
                f"Dataset: expected labels from 0 to {len(classes) - 1} for {len(classes)} "
                f"classes, got {labels.min()} to {labels.max()}.\n"
                "Number the classes from 0, or add the missing names to classes."
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Any) -> Any:
        """`d[i]` is (image, label); a slice, indices or a mask select a Dataset."""
        if is_integer(index):
            return self.images[index], int(self.labels[index])
        if not isinstance(index, slice):
            index = self._indices(index)
        return Dataset(self.images[index], self.labels[index], self.classes)

    def digest(self) -> str:
        """A hash of the images, labels and names of the classes, in their order."""
        digest = hashlib.sha256(repr((self.images.shape, self.classes)).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()

    def _indices(self, index: Any) -> np.ndarray:
        if isinstance(index, (Sequence, np.ndarray)) and not isinstance(index, (str, tuple)):
            array = np.asarray(index)
            if array.ndim == 1 and array.dtype == bool:
                if len(array) != len(self):
                    raise IndexError(
                        f"Dataset: a mask must have {len(self)} elements, one for each image, "
                        f"got {len(array)}."
                    )
                return array
            if array.ndim == 1 and (array.size == 0 or np.issubdtype(array.dtype, np.integer)):
                return array.astype(np.intp)
        raise TypeError(
            "Dataset: expected an integer, a slice, or a 1-d array of integers or bools "
            f"as the index, got {index!r}."
        )

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.images.shape[1:]))
        return f"Dataset({len(self)} images of {size}, {len(self.classes)} classes)"


def _check_array(name: str, array: Any, dtype: str, shape: str, ndim: int) -> None:
    expected = f"Dataset: {name} must be a NumPy array {dtype} {shape}"
    if not isinstance(array, np.ndarray):
        raise TypeError(
            f"{expected}, got {type(array).__name__}.\nGive np.asarray({name}, np.{dtype})."
        )
    if array.dtype != dtype:
        raise TypeError(f"{expected}, got {array.dtype}.\nGive {name}.astype(np.{dtype}).")
    if array.ndim != ndim:
        raise ValueError(f"{expected}, got the shape {array.shape}.\nReshape {name} to {shape}.")


class StoredImages:
    """Images that are read and decoded on demand: a dataset of any size.

    records  the images and their labels
    classes  the name of each class
    size     S: resizes the shorter side to S, and crops the centre square (section 2)
    workers  threads that decode; None: one for each core
    squash   resizes both sides to S instead, as for Caffe's networks

    `labels` is int64 (N,). `take` leaves out images that cannot be read; `unreadable`
    maps the row of each to the reason.
    """

    def __init__(
        self,
        records: Sequence[ImageRecord],
        classes: tuple[str, ...],
        size: int,
        workers: int | None = None,
        *,
        squash: bool = False,
    ) -> None:
        self.records, self.classes, self.size, self.squash = records, classes, size, squash
        self.workers = device.workers() if workers is None else workers
        self.labels = np.array([record.label for record in records], np.int64)
        self.unreadable: dict[int, str] = {}
        numbers: dict[Path, int] = {}
        self.files = np.array(
            [numbers.setdefault(record.stored.file, len(numbers)) for record in records], np.int64
        )
        """The number of each image's file: an archive contains many images."""

    def __len__(self) -> int:
        return len(self.records)

    def take(self, rows: np.ndarray) -> Batch:
        """(images, labels) of the rows: uint8 (n, 3, S, S), int64 (n,).

        Raises ValueError if no image of the dataset can be read.
        """
        images, labels, readable = self.read(rows)
        return (images, labels) if readable.all() else (images[readable], labels[readable])

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(images, labels, readable) of all rows: as `take`, and bool (n,).

        Images that cannot be read are black. Raises ValueError as `take` does.
        """
        images = np.zeros((len(rows), 3, self.size, self.size), np.uint8)

        def read_into(i: int) -> bool:
            row = int(rows[i])
            try:
                data = self.records[row].stored.read()
                square = decode_square(data, self.size, squash=self.squash)
            except ValueError as error:
                self.unreadable[row] = str(error)
                return False
            except MemoryError as error:
                raise MemoryError(f"{self.records[row].name}: {error}") from error
            images[i] = np.asarray(square).transpose(2, 0, 1)
            return True

        with ThreadPoolExecutor(self.workers, thread_name_prefix="tinyalex-decode") as pool:
            readable = np.array(list(pool.map(read_into, range(len(rows)))), bool)
        if len(self.unreadable) == len(self):
            row, reason = next(iter(self.unreadable.items()))
            raise ValueError(
                f"None of {len(self)} images can be read, for example {self.records[row].name}: "
                f"{reason}.\nCheck the files."
            )
        return images, self.labels[rows], readable

    def in_memory(self, rows: np.ndarray | None = None) -> Dataset:
        """All images, or those of `rows`, decoded: 3*S*S bytes per image."""
        rows = np.arange(len(self)) if rows is None else rows
        return Dataset(*self.take(rows), self.classes)
