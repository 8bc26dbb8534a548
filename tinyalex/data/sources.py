"""find_images: the images in class folders, in ILSVRC2012's tars or in shards."""

import hashlib
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyalex.data import ilsvrc
from tinyalex.data.folders import TEST, VALIDATION, split_folders
from tinyalex.data.records import ImageRecord
from tinyalex.data.shards import INDEX, PLAN, read_index, read_shards
from tinyalex.data.splitting import (
    VAL_FRACTION,
    in_archive,
    in_class_folders,
    stratified_split,
    too_few,
    with_images,
)
from tinyalex.data.text_files import printable, read_text

COMPRESSED = {
    b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"(\xb5/\xfd": "zstd", b"PK": "zip",
    b"7z\xbc\xaf": "7-Zip",
}  # fmt: skip
"""The first bytes of compressed files."""

SPLIT_WORD = re.compile(r"(?<![a-z])(train|val)(?:ing|id|idation)?(?![a-z])")
"""A word of the name of a shard, in small letters, that says which images it has."""


class Source(NamedTuple):
    """Training and validation images, and the names of their classes."""

    classes: tuple[str, ...]
    train: list[ImageRecord]
    val: list[ImageRecord]
    note: dict[str, Any] | None = None
    """The index of `tinyalex prepare`, with the mean and covariance of the colours."""

    @property
    def is_split(self) -> bool:
        """Whether the validation images were held out of those in one folder."""
        return False

    def digest(self) -> str:
        """A hash of the names, classes, order and sizes in bytes of the images."""
        digest = hashlib.sha256("\0".join(self.classes).encode("utf-8", "surrogateescape"))
        for name, label, stored in (*self.train, *self.val):
            line = f"{name}\0{label}\0{stored.end - stored.offset}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def subset(self, classes: int | None = None, per_class: int | None = None) -> "Source":
        """The first classes, and the first `per_class` training images of each.

        Raises ValueError if there are fewer classes, or no images of them.
        """
        if classes is None and per_class is None:
            return self
        if classes is not None and classes > len(self.classes):
            raise ValueError(
                f"there are {len(self.classes)} classes, not {classes}.\n"
                f"Give at most {len(self.classes)}."
            )
        kept = self.classes[:classes]
        limit = len(self.train) if per_class is None else per_class
        counts = np.zeros(len(self.classes), np.int64)
        train = []
        for record in self.train:
            counts[record.label] += 1
            if record.label < len(kept) and counts[record.label] <= limit:
                train.append(record)
        val = [r for r in self.val if r.label < len(kept)]
        return _not_empty(self._replace(classes=kept, train=train, val=val, note=None))


class SplitSource(Source):
    """A Source whose validation images were held out."""

    @property
    def is_split(self) -> bool:
        return True


def find_images(path: str | Path, *, val_fraction: float | None = None) -> Source:
    """The images in a folder, which contains one of

    - `train/` and `val/` (or `valid/`, `validation/`, `test/`), each with a folder for
      each class;
    - a folder for each class, or such folders in `train/`: then `val_fraction` of the
      images of each class are held out for validation, by default a tenth;
    - ILSVRC2012's tars, or their unpacked files (val/ without class folders), or
      Kaggle's folder ILSVRC/; with the devkit or Kaggle's LOC_val_solution.csv;
    - shards from `tinyalex prepare`; or others with train and val in their names, with
      or without a `classes.txt`;

    or in an uncompressed tar archive of class folders, with or without `train/` and
    `val/`. Their names may have capitals. With both `val/` and `test/`, the images in
    `test/` are not used.

    Classes are numbered in the order of their names. Raises FileNotFoundError or
    ValueError for files that are missing or do not match, or a `val_fraction` for a
    data set with validation images of its own.
    """
    root = Path(path).expanduser()
    if root.is_file():
        source = _from_archive(root, val_fraction)
    elif root.is_dir():
        source = _find_images(root, val_fraction)
    else:
        raise FileNotFoundError(f"there is no folder {root}.\nCheck the path.")
    if val_fraction is not None and not source.is_split:
        raise ValueError(
            f"{root} has validation images of its own.\nLeave out --val-fraction (val_fraction= in "
            "Python)."
        )
    # Names are printed, and stored with the weights.
    return source._replace(classes=tuple(map(printable, source.classes)))


def _find_images(root: Path, val_fraction: float | None) -> Source:
    if (root / ilsvrc.TRAIN).exists() or (
        (root / ilsvrc.VAL).exists() and not (root / "train").is_dir()
    ):
        return _with_labels(*ilsvrc.from_tars(root))
    for folder in (root / ilsvrc.UNPACKED, root):
        if ilsvrc.is_unpacked(folder):
            return _with_labels(*ilsvrc.from_folders(root, folder))
    if (root / INDEX).exists() or (root / PLAN).exists():
        index = read_index(root)
        shards = [root / name for name in index["shards"]]
        return _from_shards(tuple(index["classes"]), shards)._replace(note=index)
    if any(root.glob("*train*.tar")):
        return _from_shards(_read_names(root / "classes.txt"), sorted(root.glob("*.tar")))
    # A folder train/ of images is one of the classes; train/ of class folders is not.
    train, val = split_folders(root, (*VALIDATION, TEST))
    if train is not None and val is not None:
        return _with_labels(*(in_class_folders(root, split) for split in (train, val)))
    folder = train or root
    if len(found := with_images(folder)) > 1:
        return _held_out(in_class_folders(root, folder), val_fraction)
    raise ValueError(
        f"{too_few(found)}.\nExpected in {root} the folders train/ and val/, each with a "
        "folder for each class; a folder for each class;\nshards, *train*.tar and *val*.tar; or "
        f"the files {ilsvrc.TRAIN}, {ilsvrc.VAL} and {ilsvrc.DEVKIT} (or {ilsvrc.KAGGLE}).\n"
        "Give the folder that contains them."
    )


def _from_archive(file: Path, val_fraction: float | None) -> Source:
    """Raises ValueError for a file that is no uncompressed tar archive."""
    with open(file, "rb") as opened:
        head = opened.read(512)
    if compressed := [name for magic, name in COMPRESSED.items() if head.startswith(magic)]:
        raise ValueError(
            f"{file} is a file, compressed with {compressed[0]}.\nUnpack it, and give the folder."
        )
    if head[257:262] != b"ustar":
        raise ValueError(
            f"{file} is a file, and not a tar archive.\nGive a folder with a folder of images for "
            "each class, or a tar archive of such folders."
        )
    splits = in_archive(file)
    if "" in splits:
        return _held_out(splits[""], val_fraction)
    return _with_labels(splits["train"], splits["val"])


def _held_out(images: list[ilsvrc.Labelled], val_fraction: float | None) -> Source:
    fraction = VAL_FRACTION if val_fraction is None else val_fraction
    return SplitSource(*_with_labels(*stratified_split(images, fraction)))


def _from_shards(classes: tuple[str, ...] | None, shards: list[Path]) -> Source:
    train, val = (
        list(read_shards(shard for shard in shards if _split_of(shard) == split))
        for split in ("train", "val")
    )
    largest = max((record.label for record in (*train, *val)), default=0)
    if classes is None:
        classes = tuple(map(str, range(largest + 1)))
    if largest >= len(classes):
        raise ValueError(
            f"the shards have images of class {largest}, but {len(classes)} class names.\n"
            "Name all classes in classes.txt."
        )
    return _not_empty(Source(classes, train, val))


def _split_of(shard: Path) -> str | None:
    """The last word in the name of a shard that names a split: not in "medieval"."""
    words = SPLIT_WORD.findall(shard.name.lower())
    return words[-1] if words else None


def _read_names(file: Path) -> tuple[str, ...] | None:
    """The lines of a file, None if there is none."""
    if not file.exists():
        return None
    text = read_text(file).replace("\r\n", "\n").removesuffix("\n")
    return tuple(text.split("\n")) if text else ()


def _with_labels(train: list[ilsvrc.Labelled], val: list[ilsvrc.Labelled]) -> Source:
    classes = tuple(sorted({name for _, name, _ in train}))
    labels = {name: label for label, name in enumerate(classes)}
    if unknown := sorted({name for _, name, _ in val} - labels.keys()):
        raise ValueError(
            f"there are validation images of {', '.join(unknown[:10])}, but no training images.\n"
            "Add training images of them, or remove these."
        )
    train_records, val_records = (
        [ImageRecord(name, labels[class_name], stored) for name, class_name, stored in split]
        for split in (train, val)
    )
    return _not_empty(Source(classes, train_records, val_records))


def _not_empty(source: Source) -> Source:
    for split, records in (("training", source.train), ("validation", source.val)):
        if not records:
            raise ValueError(f"there are no {split} images.\nAdd some.")
    return source
