"""image_folder and image_folders: datasets from folders named after the classes."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.data.checks import is_integer
from tinyalex.data.dataset import Dataset
from tinyalex.data.decoding import read_rgb

SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm",
    ".pbm",
}  # fmt: skip
"""Of images. Other files in a class folder are ignored."""

TRAIN, VALIDATION, TEST = "train", ("val", "valid", "validation"), "test"
"""The names of the folders with class folders, in any case."""


def image_folder(path: str | Path, size: int | tuple[int, int] | None = None) -> Dataset:
    """All images under `path`: `path/cat/1.jpg`, `path/dog/any/2.png`, ...

    path  the folder of class folders; classes are numbered in the order of their names
    size  the height and width of the resized images, or one integer for both; None: all
          images must be of one size

    The images are converted to RGB by `decoding.upright_rgb`, uint8 (N, 3, H, W), in
    the order of class and path. Names that begin with a dot are ignored.

    Raises FileNotFoundError or NotADirectoryError for another path, ValueError for
    images that are missing, unreadable, or, without `size`, of different sizes.
    """
    root = Path(path).expanduser()
    classes = class_names(root)
    if not classes:
        raise ValueError(
            f"image_folder: expected a folder for each class in {root}, found none.\n"
            "Sort the images into folders named after their classes, such as cat/ and dog/."
        )
    files, labels = [], []
    for label, name in enumerate(classes):
        found = image_files(root / name)
        if not found:
            raise ValueError(
                f"image_folder: {root / name} has no images "
                f"(files ending in {' '.join(sorted(SUFFIXES))}).\nAdd some, or remove the folder."
            )
        files += found
        labels += [label] * len(found)
    return Dataset(_read_all(files, _height_width(size)), np.array(labels, np.int64), classes)


def image_folders(
    path: str | Path, size: int | tuple[int, int] | None = None
) -> tuple[Dataset, Dataset]:
    """(train, test) from `train/` and `test/` (or `val/`), each as for `image_folder`.

    `valid/` and `validation/` are other names of `val/`; capitals are accepted.

    Raises FileNotFoundError if one of them is missing, ValueError if they have
    different classes or, without `size`, images of different sizes.
    """
    root = Path(path).expanduser()
    splits = train_and_test(root)
    if splits is None:
        raise FileNotFoundError(
            f"image_folders: expected the folders train/ and test/ (or val/) in {root}, each with "
            "a folder for each class.\n"
            "Sort the images like this, or read one folder of classes with image_folder(path)."
        )
    common = set.intersection(*(set(class_names(split)) for split in splits))
    only = [
        f"only in {split.name}: {_shortened(names)}"
        for split in splits
        if (names := [name for name in class_names(split) if name not in common])
    ]
    if only:
        raise ValueError(
            f"image_folders: expected the same classes in both folders of {root}; "
            f"{'; '.join(only)}.\nAdd the missing class folders, or remove the others."
        )
    train, test = (image_folder(split, size) for split in splits)
    if train.images.shape[1:] != test.images.shape[1:]:
        sizes = " and ".join("{} x {}".format(*d.images.shape[2:]) for d in (train, test))
        raise ValueError(
            f"image_folders: the images of train and {splits[1].name} have the sizes {sizes}.\n"
            "Give size=, for example size=32."
        )
    return train, test


def _shortened(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def class_names(folder: Path) -> tuple[str, ...]:
    """The names of the class folders, sorted."""
    if not folder.exists():
        raise FileNotFoundError(f"image_folder: there is no {folder}.\nCheck the path.")
    if not folder.is_dir():
        raise NotADirectoryError(
            f"image_folder: expected a folder of class folders, got the file {folder}.\n"
            "Give its folder."
        )
    return tuple(
        sorted(f.name for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))
    )


def train_and_test(folder: Path) -> tuple[Path, Path] | None:
    """train/ and test/, or else val/, with class folders; None if one is missing."""
    if not folder.is_dir():
        return None
    train, test = split_folders(folder, (TEST, *VALIDATION))
    return None if train is None or test is None else (train, test)


def split_folders(folder: Path, others: tuple[str, ...]) -> tuple[Path | None, Path | None]:
    """train/ and the first of `others` with class folders, each None if there is none.

    ImageNet's test/ has no class folders, as it has no labels.
    """
    splits = [name for name in class_names(folder) if name.lower() in (TRAIN, *others)]
    with_classes = [name for name in splits if class_names(folder / name)]
    train, other = (folder / name if name else None for name in split_names(with_classes, others))
    return train, other


def split_names(folders: Iterable[str], others: tuple[str, ...]) -> tuple[str | None, str | None]:
    """Which name is "train", and which is the first of `others`, in any case."""
    by_name = {name.lower(): name for name in sorted(folders)}  # train/ precedes Train/
    return by_name.get(TRAIN), next((by_name[o] for o in others if o in by_name), None)


def image_files(folder: Path) -> list[Path]:
    """The image files in a folder and its subfolders, sorted by path."""
    return [
        file
        for file in sorted(folder.rglob("*"), key=lambda file: file.parts)
        if file.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and file.is_file()
    ]


def _height_width(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = size if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2 or not all(is_integer(n) and n > 0 for n in pair):
        raise ValueError(
            "image_folder: expected size to be an integer of at least 1, "
            f"or a pair (height, width) of them, got {size!r}.\nGive for example size=32."
        )
    return int(pair[0]), int(pair[1])


def _read_all(files: list[Path], size: tuple[int, int] | None) -> np.ndarray:
    """uint8 (N, 3, H, W). In threads: Pillow releases the GIL while it decodes."""
    first = _read(files[0], size)
    images = np.empty((len(files), *first.shape), np.uint8)

    def read_into(i: int) -> None:
        image = _read(files[i], size)
        if image.shape != first.shape:
            raise ValueError(
                f"image_folder: the images have several sizes: {files[0]} is "
                f"{first.shape[1]} x {first.shape[2]} (height x width), {files[i]} is "
                f"{image.shape[1]} x {image.shape[2]}.\n"
                "Give size=, for example size=32, to resize them all."
            )
        images[i] = image

    with ThreadPoolExecutor(device.workers()) as pool:
        for _ in pool.map(read_into, range(len(files))):
            pass
    return images


def _read(file: Path, size: tuple[int, int] | None) -> np.ndarray:
    """uint8 (3, H, W)."""
    from PIL.Image import Resampling

    rgb = read_rgb("image_folder", file)
    if size is not None:
        rgb = rgb.resize(size[::-1], Resampling.BILINEAR)
    return np.asarray(rgb).transpose(2, 0, 1)
