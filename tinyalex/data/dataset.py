"""Dataset: labelled images in memory, the form in which every source of images hands them over."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images of one size, a label for each, and what the labels mean.

    images   uint8 (N, C, H, W), pixels from 0 to 255
    labels   int64 (N,), each from 0 to len(classes) - 1
    classes  the names of the classes, label by label

    Raises TypeError for an array of another kind or dtype, ValueError for shapes or labels that do not fit.

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
        _check_array("images", self.images, np.uint8, "(N, C, H, W)", 4)
        _check_array("labels", self.labels, np.int64, "(N,)", 1)
        if len(self.images) != len(self.labels):
            raise ValueError(
                f"Dataset: expected as many labels as images, got {len(self.images)} images and {len(self.labels)} labels.\n"
                "Give one label an image."
            )
        if not isinstance(self.classes, tuple) or not all(
            isinstance(name, str) for name in self.classes
        ):
            raise TypeError(
                f"Dataset: classes must be a tuple of names, got {self.classes!r}.\nGive for example ('cat', 'dog')."
            )
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise ValueError(
                f"Dataset: expected labels from 0 to {len(self.classes) - 1} for {len(self.classes)} classes, "
                f"got {self.labels.min()} to {self.labels.max()}.\nNumber the classes from 0, or name the missing ones in classes."
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Any) -> Any:
        """`d[i]` is (image, label); a slice, a list or array of indices, or a mask of N booleans picks a smaller Dataset."""
        if isinstance(index, (int, np.integer)) and not isinstance(index, bool):
            return self.images[index], int(self.labels[index])
        if not isinstance(index, slice):
            index = self._indices(index)
        return Dataset(self.images[index], self.labels[index], self.classes)

    def _indices(self, index: Any) -> np.ndarray:
        if isinstance(index, (Sequence, np.ndarray)) and not isinstance(index, (str, tuple)):
            array = np.asarray(index)
            if array.ndim == 1 and array.dtype == bool:
                if len(array) != len(self):
                    raise IndexError(
                        f"Dataset: a mask must have {len(self)} entries, one an image, got {len(array)}."
                    )
                return array
            if array.ndim == 1 and (array.size == 0 or np.issubdtype(array.dtype, np.integer)):
                return array.astype(np.intp)
        raise TypeError(
            f"Dataset: expected a whole number, a slice, or a 1-d array of whole numbers or booleans as the index, got {index!r}."
        )

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.images.shape[1:]))
        return f"Dataset({len(self)} images of {size}, {len(self.classes)} classes)"


def _check_array(name: str, array: Any, dtype: type, shape: str, ndim: int) -> None:
    wanted = f"Dataset: {name} must be a NumPy array {np.dtype(dtype)} {shape}"
    if not isinstance(array, np.ndarray):
        raise TypeError(
            f"{wanted}, got {type(array).__name__}.\nGive np.asarray({name}, np.{np.dtype(dtype)})."
        )
    if array.dtype != dtype:
        raise TypeError(f"{wanted}, got {array.dtype}.\nGive {name}.astype(np.{np.dtype(dtype)}).")
    if array.ndim != ndim:
        raise ValueError(
            f"{wanted}, got the shape {array.shape}.\nReshape {name} to {ndim} dimension{'s' * (ndim > 1)}."
        )
