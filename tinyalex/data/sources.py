"""Where pictures to train on lie: class folders, or the official tars of ILSVRC2012. Here they are found, not decoded."""

from pathlib import Path
from typing import NamedTuple

from tinyalex.data import ilsvrc
from tinyalex.data.folders import class_names, image_files, train_and_test
from tinyalex.data.tars import Stored


class Picture(NamedTuple):
    """One picture: what it is called, its class's number, and where its bytes are."""

    name: str
    label: int
    stored: Stored


class Source(NamedTuple):
    """Pictures to train on and to validate with, and the names of their classes."""

    classes: tuple[str, ...]
    train: list[Picture]
    val: list[Picture]


def find_pictures(path: str | Path) -> Source:
    """What is in a folder: `train/` and `val/` (or `test/`), each with a folder a class; or ILSVRC2012's tars as they are downloaded.

    Classes are numbered in the order of their names. Raises FileNotFoundError or ValueError, saying what is missing or does not fit.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"prepare: there is no folder {root}.\nCheck the path.")
    if (root / ilsvrc.TRAIN).exists() or (root / ilsvrc.VAL).exists():
        train, val = ilsvrc.pictures(root)
        return _numbered(tuple(sorted({wnid for _, wnid, _ in train})), train, val)
    by_name = (root / "train", root / "val")
    halves = by_name if all(half.is_dir() and class_names(half) for half in by_name) else train_and_test(root)
    if halves is None:
        raise ValueError(
            f"prepare: expected in {root} the folders train/ and val/, each with a folder for each class, or the files\n"
            f"{ilsvrc.TRAIN}, {ilsvrc.VAL} and {ilsvrc.DEVKIT} (or {ilsvrc.KAGGLE}).\nGive the folder that holds them."
        )
    train, val = (
        [(str(file.relative_to(half)), name, Stored(file)) for name in class_names(half) for file in image_files(half / name)]
        for half in halves
    )
    return _numbered(class_names(halves[0]), train, val)


def _numbered(classes: tuple[str, ...], train: list[ilsvrc.Labelled], val: list[ilsvrc.Labelled]) -> Source:
    numbers = {name: number for number, name in enumerate(classes)}
    if unknown := sorted({name for _, name, _ in val} - {name for _, name, _ in train}):
        raise ValueError(
            f"prepare: there are validation pictures of {', '.join(unknown[:10])}, but none to train on.\n"
            "Add them to the training pictures, or take these away."
        )
    for split, half in (("train", train), ("validate with", val)):
        if not half:
            raise ValueError(f"prepare: there are no pictures to {split}.\nPut some there.")
    halves = ([Picture(name, numbers[of], stored) for name, of, stored in half] for half in (train, val))
    return Source(classes, *halves)
