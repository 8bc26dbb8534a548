"""Images in class folders or in an archive of them, and a split for validation."""

from pathlib import Path

import numpy as np

from tinyalex import device
from tinyalex.data.folders import SUFFIXES, class_names, image_files
from tinyalex.data.ilsvrc import Labelled
from tinyalex.data.records import ByteRange, tar_members

VAL_FRACTION = 0.1
"""Of the images of each class, by default."""


def in_class_folders(root: Path, folder: Path) -> list[Labelled]:
    """The images in the class folders of `folder`, with names relative to `root`."""
    return [
        (file.relative_to(root).as_posix(), name, ByteRange(file))
        for name in class_names(folder)
        for file in image_files(folder / name)
    ]


def has_class_folders(folder: Path) -> bool:
    """Whether two folders or more contain images, not in subfolders only.

    Quick also for the root of a file system.
    """
    found = 0
    for name in class_names(folder):
        try:
            found += any(file.suffix.lower() in SUFFIXES for file in (folder / name).iterdir())
        except OSError:  # no permission
            continue
        if found == 2:
            return True
    return False


def in_archive(archive: Path) -> dict[str, list[Labelled]]:
    """The images in class folders of an uncompressed tar archive, by their split.

    The splits are "train" and "val", or "" for all images without these folders. The
    class folders may be in another folder. Raises ValueError for other archives.
    """
    members = []
    for name, stored in tar_members(ByteRange(archive)):
        parts = tuple(name.removeprefix("./").split("/"))
        if Path(name).suffix.lower() in SUFFIXES and not any(p.startswith(".") for p in parts):
            members.append((parts, name, stored))
    while members and all(len(m[0]) > 2 for m in members) and len({m[0][0] for m in members}) == 1:
        members = [(parts[1:], name, stored) for parts, name, stored in members]
    names = {"train": "train", "val": "val", "test": "val"}
    is_split = bool(members) and all(len(m[0]) > 2 and m[0][0] in names for m in members)
    splits: dict[str, list[Labelled]] = {}
    for parts, name, stored in sorted(members):
        if len(parts) > 1:
            split, class_name = (names[parts[0]], parts[1]) if is_split else ("", parts[0])
            splits.setdefault(split, []).append((name, class_name, stored))
    if splits.keys() not in ({"train", "val"}, {""}):
        raise ValueError(
            f"expected in {archive} a folder of images for each class, or such folders in train/ "
            "and val/.\nSort the images into folders named after their classes."
        )
    return splits


def stratified_split(
    images: list[Labelled], fraction: float
) -> tuple[list[Labelled], list[Labelled]]:
    """(train, val): about `fraction` of each class for val, at least one image.

    The split is the same for every seed. A larger fraction holds out the same images
    and others. Raises ValueError for a class with a single image.
    """
    rows: dict[str, list[int]] = {}
    for row, (_, class_name, _) in enumerate(images):
        rows.setdefault(class_name, []).append(row)
    if alone := [name for name, of_class in rows.items() if len(of_class) < 2]:
        raise ValueError(
            f"expected two images or more of each class, for training and validation, but there is "
            f"one of {', '.join(map(repr, alone[:10]))}.\nAdd images, or remove the class."
        )
    held_out = set()
    for of_class in rows.values():
        count = min(max(1, round(fraction * len(of_class))), len(of_class) - 1)
        order = device.generator("split", len(of_class), seed=0).permutation(len(of_class))
        held_out |= set(np.array(of_class)[order[:count]].tolist())
    train = [image for row, image in enumerate(images) if row not in held_out]
    return train, [images[row] for row in sorted(held_out)]
