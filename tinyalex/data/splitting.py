"""Images in class folders or in an archive of them, and a split for validation."""

import hashlib
from collections.abc import Collection
from pathlib import Path

from tinyalex.data.folders import (
    SUFFIXES,
    TEST,
    VALIDATION,
    class_names,
    image_files,
    split_names,
)
from tinyalex.data.ilsvrc import Labelled
from tinyalex.data.records import ByteRange, tar_members
from tinyalex.data.text_files import printable

VAL_FRACTION = 0.1
"""Of the images of each class, by default."""


def in_class_folders(root: Path, folder: Path) -> list[Labelled]:
    """The images in the class folders of `folder`, with names relative to `root`."""
    return [
        (file.relative_to(root).as_posix(), name, ByteRange(file))
        for name in class_names(folder)
        for file in image_files(folder / name)
    ]


def with_images(folder: Path) -> list[str]:
    """The first two folders that contain images, not in subfolders only.

    Quick also for the root of a file system.
    """
    found: list[str] = []
    for name in class_names(folder):
        try:
            if any(file.suffix.lower() in SUFFIXES for file in (folder / name).iterdir()):
                found.append(name)
        except OSError:  # no permission
            continue
        if len(found) == 2:
            break
    return found


def too_few(classes: Collection[str]) -> str:
    """What was found instead of two classes, for an error message."""
    if not classes:
        return "found no folder with images"
    return f"found one folder with images ({printable(*classes)}); two or more are needed"


def in_archive(archive: Path) -> dict[str, list[Labelled]]:
    """The images in class folders of an uncompressed tar archive, by their split.

    The splits are "train" and "val", or "" for images without both folders. They are
    those of the unpacked folders, which may be in another folder. Images outside the
    class folders are ignored. Raises ValueError for fewer than two classes.
    """
    members: dict[tuple[str, ...], tuple[str, ByteRange]] = {}
    for name, stored in tar_members(ByteRange(archive)):
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if Path(name).suffix.lower() in SUFFIXES and not any(p.startswith(".") for p in parts):
            members[parts] = name, stored  # the last one of a name, as tar unpacks it
    depth = _depth(list(members))
    found = [(parts[depth:], *member) for parts, member in sorted(members.items())]
    train, val = split_names(
        {parts[0] for parts, *_ in found if len(parts) > 2}, (*VALIDATION, TEST)
    )
    if train is None:
        splits = {"": [(name, p[0], stored) for p, name, stored in found if len(p) > 1]}
    else:
        chosen = {"": train} if val is None else {"train": train, "val": val}
        splits = {
            split: [(n, p[1], stored) for p, n, stored in found if len(p) > 2 and p[0] == folder]
            for split, folder in chosen.items()
        }
    classes = {class_name for _, class_name, _ in next(iter(splits.values()))}
    if len(classes) < 2:
        raise ValueError(
            f"{too_few(classes)}.\nExpected in {archive} a folder of images for each class, or "
            "such folders in train/ and val/. Sort the images into folders named after their "
            "classes."
        )
    return splits


def _depth(images: list[tuple[str, ...]]) -> int:
    """The number of folders around the class folders.

    If there is only one folder, and most of its images are in subfolders, it is not a
    class.
    """
    depth = 0
    while inside := [parts for parts in images if len(parts) > depth + 1]:
        in_subfolders = sum(len(parts) > depth + 2 for parts in inside)
        if len({parts[depth] for parts in inside}) > 1 or 2 * in_subfolders <= len(inside):
            break
        depth += 1
    return depth


def stratified_split(
    images: list[Labelled], fraction: float
) -> tuple[list[Labelled], list[Labelled]]:
    """(train, val): about `fraction` of each class for val, at least one image.

    The images are chosen by a hash of their names: new images change the split of few
    others. A larger fraction holds out the same images and others. Raises ValueError
    for a class with a single image.
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
        held_out |= set(sorted(of_class, key=lambda row: _hash(images[row]))[:count])
    train = [image for row, image in enumerate(images) if row not in held_out]
    return train, [images[row] for row in sorted(held_out)]


def _hash(image: Labelled) -> bytes:
    """The sha256 of an image's path in its class folder."""
    name, class_name, _ = image
    parts = [part for part in name.split("/") if part]
    path = "/".join(parts[parts.index(class_name) + 1 :])
    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).digest()
