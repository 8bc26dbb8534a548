"""Images from folders: one folder a class, its name the name of the class."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.data.dataset import Dataset
from tinyalex.data.images import upright_rgb

SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".png",
        ".bmp",
        ".gif",
        ".tif",
        ".tiff",
        ".webp",
        ".ppm",
        ".pgm",
        ".pbm",
    ]
)
"""What counts as an image. Other files in a class folder (notes, lists, thumbnail databases) are passed over."""


def image_folder(path: str | Path, size: int | tuple[int, int] | None = None) -> Dataset:
    """All images under `path`, where each folder is a class: `path/cat/1.jpg`, `path/dog/anything/2.png`.

    path  the folder of class folders; the classes are numbered in the order of their names
    size  the height and width that every image is resized to (one number for both); None: they all must have one size

    The images become RGB, uint8 (N, 3, H, W), ordered by class and path: grey ones repeat their value in each channel, 16 bits
    become 8, transparency is dropped, and photographs are turned upright as their EXIF orientation says. Names that begin
    with a dot are ignored.

    Raises FileNotFoundError or NotADirectoryError for a path that is not a folder, ValueError for a folder without class
    folders, a class without images, an image that cannot be read (naming it), and images of several sizes without `size`.
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
                f"image_folder: {root / name} has no images (files ending in {' '.join(sorted(SUFFIXES))}).\n"
                "Put some there, or remove the folder."
            )
        files += found
        labels += [label] * len(found)
    return Dataset(_read_all(files, _height_width(size)), np.array(labels, np.int64), classes)


def image_folders(
    path: str | Path, size: int | tuple[int, int] | None = None
) -> tuple[Dataset, Dataset]:
    """(train, test) from a folder that holds `train/` and `test/` (or `val/`), each a folder of class folders.

    `size` and the images are as in `image_folder`. Raises FileNotFoundError if one of the two is missing, ValueError if they
    have other classes or, without `size`, images of another size.
    """
    root = Path(path).expanduser()
    halves = train_and_test(root)
    if halves is None:
        raise FileNotFoundError(
            f"image_folders: expected the folders train/ and test/ (or val/) in {root}, with a folder for each class in both.\n"
            "Sort the images like that, or read a single folder of classes with image_folder(path)."
        )
    ours, theirs = (set(class_names(half)) for half in halves)
    if ours != theirs:
        only = [
            f"only in {half.name}: {_listed(sorted(names))}"
            for half, names in zip(halves, (ours - theirs, theirs - ours), strict=True)
            if names
        ]
        raise ValueError(
            f"image_folders: expected the same classes in both halves of {root}; {'; '.join(only)}.\n"
            "Add the missing class folders, or remove the others."
        )
    train, test = (image_folder(half, size) for half in halves)
    if train.images.shape[1:] != test.images.shape[1:]:
        sizes = " and ".join("{} x {}".format(*half.images.shape[2:]) for half in (train, test))
        raise ValueError(
            f"image_folders: the images of train and {halves[1].name} have the sizes {sizes}.\nGive size=, for example size=32."
        )
    return train, test


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def class_names(folder: Path) -> tuple[str, ...]:
    """The names of the class folders, in the order of their labels."""
    if not folder.exists():
        raise FileNotFoundError(f"image_folder: there is no {folder}.\nCheck the path.")
    if not folder.is_dir():
        raise NotADirectoryError(
            f"image_folder: expected a folder of class folders, got the file {folder}.\nGive its folder."
        )
    return tuple(
        sorted(f.name for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))
    )


def train_and_test(folder: Path) -> tuple[Path, Path] | None:
    """The two halves of a folder that is split into train/ and test/ or val/; None if it is not.

    A test/ without class folders, as ImageNet's is, has no labels to test with: then val/ is taken.
    """
    halves = [folder / name for name in ("train", "test", "val")]
    train, *tests = [half if half.is_dir() and class_names(half) else None for half in halves]
    test = next(filter(None, tests), None)
    return (train, test) if train and test else None


def image_files(folder: Path) -> list[Path]:
    """The images in a folder and its folders, by path."""
    inside = ((file, file.relative_to(folder)) for file in sorted(folder.rglob("*")))
    return [
        file
        for file, name in inside
        if file.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in name.parts)
        and file.is_file()
    ]


def _height_width(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = (size, size) if isinstance(size, (int, np.integer)) else size
    if (
        not isinstance(pair, (tuple, list))
        or len(pair) != 2
        or not all(
            isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0 for n in pair
        )
    ):
        raise ValueError(
            f"image_folder: size must be a whole number from 1 on, or a pair (height, width) of them, got {size!r}."
        )
    return int(pair[0]), int(pair[1])


def _read_all(files: list[Path], size: tuple[int, int] | None) -> np.ndarray:
    """uint8 (N, 3, H, W). Several threads: Pillow lets go of Python's lock while it decodes and resizes."""
    first = _read(files[0], size)
    images = np.empty((len(files), *first.shape), np.uint8)

    def read_into(i: int) -> None:
        image = _read(files[i], size)
        if image.shape != first.shape:
            raise ValueError(
                f"image_folder: the images have several sizes: {files[0]} is {first.shape[1]} x {first.shape[2]} "
                f"(height x width), {files[i]} is {image.shape[1]} x {image.shape[2]}.\n"
                "Give size=, for example size=32, to resize them all."
            )
        images[i] = image

    with ThreadPoolExecutor(device.workers()) as pool:
        for _ in pool.map(read_into, range(len(files))):
            pass
    return images


def _read(file: Path, size: tuple[int, int] | None) -> np.ndarray:
    """uint8 (3, H, W)."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            rgb = upright_rgb(image)
            if size is not None:
                rgb = rgb.resize(size[::-1], Image.Resampling.BILINEAR)
            return np.asarray(rgb).transpose(2, 0, 1)
    # Not only OSError: on broken bytes Pillow's decoders also raise SyntaxError, ValueError, struct.error and others.
    except Exception as error:
        raise ValueError(
            f"image_folder: {file} cannot be read as an image: {error}.\nReplace it, or remove it."
        ) from error
