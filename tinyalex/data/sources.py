"""Where pictures to train on lie: in class folders, in the official tars of ILSVRC2012, or in shards. Here they are found, not decoded."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

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

    def subset(self, classes: int | None = None, per_class: int | None = None) -> "Source":
        """The first `classes` classes, and of each the first `per_class` pictures to train on; all that validate them."""
        kept = self.classes[:classes]
        seen = np.zeros(len(self.classes), np.int64)
        train = []
        for picture in self.train:
            seen[picture.label] += 1
            if picture.label < len(kept) and (per_class is None or seen[picture.label] <= per_class):
                train.append(picture)
        return Source(kept, train, [picture for picture in self.val if picture.label < len(kept)])


def find_pictures(path: str | Path) -> Source:
    """What is in a folder:

    - `train/` and `val/` (or `test/`), each with a folder a class;
    - ILSVRC2012's tars as they are downloaded, or Kaggle's folder ILSVRC/ beside its LOC_val_solution.csv;
    - shards that `tinyalex prepare` has made; or others, named train*.tar and val*.tar, with a `classes.txt` or without.

    Classes are numbered in the order of their names. Raises FileNotFoundError or ValueError, saying what is missing or does not fit.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}.\nCheck the path.")
    if (root / ilsvrc.TRAIN).exists() or (root / ilsvrc.VAL).exists():
        return _numbered(*ilsvrc.pictures(root))
    if (root / ilsvrc.UNPACKED).is_dir():
        return _numbered(*ilsvrc.unpacked(root))
    if (root / INDEX).exists() or (root / PLAN).exists():
        index = read_index(root)
        return _of_shards(tuple(index["classes"]), *_halves([root / name for name in index["shards"]]))
    if any(root.glob("train*.tar")):
        return _of_shards(_listed(root / "classes.txt"), *_halves(sorted(root.glob("*.tar"))))
    by_name = (root / "train", root / "val")
    halves = by_name if all(half.is_dir() and class_names(half) for half in by_name) else train_and_test(root)
    if halves is None:
        raise ValueError(
            f"expected in {root} the folders train/ and val/, each with a folder for each class; shards, named train*.tar and\n"
            f"val*.tar; or the files {ilsvrc.TRAIN}, {ilsvrc.VAL} and {ilsvrc.DEVKIT} (or {ilsvrc.KAGGLE}).\n"
            "Give the folder that holds them."
        )
    return _numbered(
        *(
            [(str(file.relative_to(half)), name, Stored(file)) for name in class_names(half) for file in image_files(half / name)]
            for half in halves
        )
    )


def _halves(shards: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    train, val = ([shard for shard in shards if shard.name.startswith(split)] for split in ("train", "val"))
    return train, val


def _of_shards(classes: tuple[str, ...] | None, *halves: list[Path]) -> Source:
    train, val = (list(shard_pictures(shards)) for shards in halves)
    most = max((picture.label for picture in (*train, *val)), default=0)
    names = tuple(map(str, range(most + 1))) if classes is None else classes
    if most >= len(names):
        raise ValueError(f"the shards have pictures of class {most}, but there are {len(names)} names of classes.\nName them all.")
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
    halves = ([Picture(name, numbers[of], stored) for name, of, stored in half] for half in (train, val))
    return _whole(Source(classes, *halves))


def _whole(source: Source) -> Source:
    for split, half in (("train on", source.train), ("validate with", source.val)):
        if not half:
            raise ValueError(f"there are no pictures to {split}.\nPut some there.")
    return source
