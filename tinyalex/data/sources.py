"""Where pictures to train on lie: in class folders, in the official tars of ILSVRC2012, or in shards. Here they are found, not decoded."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyalex.data import ilsvrc
from tinyalex.data.folders import class_names, image_files, train_and_test
from tinyalex.data.shards import INDEX, PLAN, read_index, shard_pictures
from tinyalex.data.stored import Picture, Stored


class Source(NamedTuple):
    """Pictures to train on and to validate with, and the names of their classes."""

    classes: tuple[str, ...]
    train: list[Picture]
    val: list[Picture]
    note: dict[str, Any] | None = None
    """What `tinyalex prepare` has noted about them, the mean and covariance of their colours among it."""

    def digest(self) -> str:
        """A number that changes with the pictures' names, classes, order and sizes in bytes."""
        found = hashlib.sha256("\0".join(self.classes).encode("utf-8", "surrogateescape"))
        for picture in (*self.train, *self.val):
            size = (
                picture.stored.size
                if picture.stored.size >= 0
                else picture.stored.file.stat().st_size
            )
            found.update(
                f"{picture.name}\0{picture.label}\0{size}\n".encode("utf-8", "surrogateescape")
            )
        return found.hexdigest()

    def subset(self, classes: int | None = None, per_class: int | None = None) -> "Source":
        """The first `classes` classes, and of each the first `per_class` pictures to train on; all that validate them.

        ValueError where there are not so many classes, or no pictures of them.
        """
        if classes is None and per_class is None:
            return self
        if classes is not None and classes > len(self.classes):
            raise ValueError(
                f"there are {len(self.classes)} classes, not {classes}.\nGive at most {len(self.classes)}."
            )
        kept = self.classes[:classes]
        seen = np.zeros(len(self.classes), np.int64)
        train = []
        for picture in self.train:
            seen[picture.label] += 1
            if picture.label < len(kept) and (
                per_class is None or seen[picture.label] <= per_class
            ):
                train.append(picture)
        return _whole(
            Source(kept, train, [picture for picture in self.val if picture.label < len(kept)])
        )


def find_pictures(path: str | Path) -> Source:
    """What is in a folder:

    - `train/` and `val/` (or `test/`), each with a folder a class;
    - ILSVRC2012's tars as they are downloaded, or what they unpack to, val/ without class folders; or Kaggle's folder ILSVRC/; and beside
      them the devkit or Kaggle's LOC_val_solution.csv;
    - shards that `tinyalex prepare` has made; or others with train and val in their names, and a `classes.txt` or none.

    Classes are numbered in the order of their names. Raises FileNotFoundError or ValueError, saying what is missing or does not fit.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}.\nCheck the path.")
    if (root / ilsvrc.TRAIN).exists() or (
        (root / ilsvrc.VAL).exists() and not (root / "train").is_dir()
    ):
        return _numbered(*ilsvrc.pictures(root))
    for folder in (root / ilsvrc.UNPACKED, root):
        train, val = folder / "train", folder / "val"
        if (
            train.is_dir()
            and val.is_dir()
            and class_names(train)
            and not class_names(val)
            and image_files(val)
        ):
            return _numbered(*ilsvrc.unpacked(root, folder))
    if (root / INDEX).exists() or (root / PLAN).exists():
        index = read_index(root)
        return _of_shards(
            tuple(index["classes"]), [root / name for name in index["shards"]]
        )._replace(note=index)
    if any(root.glob("*train*.tar")):
        return _of_shards(_listed(root / "classes.txt"), sorted(root.glob("*.tar")))
    by_name = (root / "train", root / "val")
    halves = (
        by_name
        if all(half.is_dir() and class_names(half) for half in by_name)
        else train_and_test(root)
    )
    if halves is None:
        raise ValueError(
            f"expected in {root} the folders train/ and val/, each with a folder for each class; shards,\n"
            f"*train*.tar and *val*.tar; or the files {ilsvrc.TRAIN}, {ilsvrc.VAL} and {ilsvrc.DEVKIT} (or {ilsvrc.KAGGLE}).\n"
            "Give the folder that holds them."
        )
    return _numbered(
        *(
            [
                (file.relative_to(root).as_posix(), name, Stored(file))
                for name in class_names(half)
                for file in image_files(half / name)
            ]
            for half in halves
        )
    )


def _of_shards(classes: tuple[str, ...] | None, shards: list[Path]) -> Source:
    train, val = (
        list(shard_pictures(shard for shard in shards if split in shard.name))
        for split in ("train", "val")
    )
    most = max((picture.label for picture in (*train, *val)), default=0)
    names = tuple(map(str, range(most + 1))) if classes is None else classes
    if most >= len(names):
        raise ValueError(
            f"the shards have pictures of class {most}, but there are {len(names)} names of classes.\nName them all."
        )
    return _whole(Source(names, train, val))


def _listed(file: Path) -> tuple[str, ...] | None:
    """The names of classes, a line each."""
    return tuple(file.read_text(encoding="utf-8-sig").split("\n")[:-1]) if file.exists() else None


def _numbered(train: list[ilsvrc.Labelled], val: list[ilsvrc.Labelled]) -> Source:
    classes = tuple(sorted({name for _, name, _ in train}))
    numbers = {name: number for number, name in enumerate(classes)}
    if unknown := sorted({name for _, name, _ in val} - numbers.keys()):
        raise ValueError(
            f"there are validation pictures of {', '.join(unknown[:10])}, but none to train on.\n"
            "Add them to the training pictures, or take these away."
        )
    pictures = [
        [Picture(name, numbers[of], stored) for name, of, stored in half] for half in (train, val)
    ]
    return _whole(Source(classes, pictures[0], pictures[1]))


def _whole(source: Source) -> Source:
    for split, half in (("train on", source.train), ("validate with", source.val)):
        if not half:
            raise ValueError(f"there are no pictures to {split}.\nPut some there.")
    return source
