"""ILSVRC2012's files: two tars of images, and the labels of the validation images.

    ILSVRC2012_img_train.tar       n01440764.tar, ...: one tar per class, named by its
                                   wnid (WordNet's number)
    ILSVRC2012_img_val.tar         ILSVRC2012_val_00000001.JPEG, ...
    ILSVRC2012_devkit_t12.tar.gz   data/ILSVRC2012_validation_ground_truth.txt: class
                                   numbers, one per line, in the order of the images
    or LOC_val_solution.csv        Kaggle's: name and wnid of each image

or unpacked: train/n01440764/..., val/*.JPEG; Kaggle's are in ILSVRC/Data/CLS-LOC.

The devkit numbers the classes in its own order (1 is the kit fox, n02119789), given by
its data/meta.mat; tinyalex, like other frameworks, numbers them by their sorted wnids.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from tinyalex.data.folders import class_names, image_files
from tinyalex.data.records import ByteRange, tar_members
from tinyalex.data.tar_files import compressed_tar_files
from tinyalex.data.text_files import read_text
from tinyalex.installation import pip_install

TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKIT, KAGGLE = "ILSVRC2012_devkit_t12.tar.gz", "LOC_val_solution.csv"

GROUND_TRUTH, SYNSETS = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"

MAX_DEVKIT_BYTES = 64 << 20
"""Without compression. The real one has 15 MB."""

UNPACKED = Path("ILSVRC", "Data", "CLS-LOC")

Labelled = tuple[str, str, ByteRange]
"""Name, wnid and bytes of an image."""


def from_tars(root: Path) -> tuple[list[Labelled], list[Labelled]]:
    """(train, val) from a folder with TRAIN, VAL, and DEVKIT or KAGGLE.

    Raises FileNotFoundError for a missing file, ValueError for one that does not match
    the others.
    """
    for name in (TRAIN, VAL):
        if not (root / name).exists():
            raise FileNotFoundError(
                f"there is no {name} in {root}.\nAdd both of the official {TRAIN} and {VAL}."
            )
    val = [(Path(name).name, stored) for name, stored in _members(ByteRange(root / VAL))]
    return sorted(_train(root / TRAIN)), _with_wnids(root, sorted(val))


def is_unpacked(folder: Path) -> bool:
    """Whether train/ has class folders, and val/ has images without them."""
    train, val = folder / "train", folder / "val"
    if not (train.is_dir() and val.is_dir()):
        return False
    return bool(class_names(train) and not class_names(val) and image_files(val))


def from_folders(root: Path, folder: Path) -> tuple[list[Labelled], list[Labelled]]:
    """(train, val) from train/ and val/ in `folder`, and DEVKIT or KAGGLE in `root`.

    Raises as `from_tars`.
    """
    train = [
        (file.name, wnid, ByteRange(file))
        for wnid in class_names(folder / "train")
        for file in image_files(folder / "train" / wnid)
    ]
    val = [(file.name, ByteRange(file)) for file in image_files(folder / "val")]
    return train, _with_wnids(root, val)


def _train(archive: Path) -> Iterator[Labelled]:
    from tqdm import tqdm

    classes = _members(ByteRange(archive))
    label = f"reading {archive.name}"
    for name, inner in tqdm(classes, label, unit=" classes", leave=False, disable=None):
        for image, stored in _members(inner):
            yield Path(image).name, Path(name).stem, stored


def _members(archive: ByteRange) -> Iterator[tuple[str, ByteRange]]:
    """The members of an archive without the ._ files that macOS adds."""
    return (
        (name, stored)
        for name, stored in tar_members(archive)
        if not Path(name).name.startswith("._")
    )


def _with_wnids(root: Path, val: list[tuple[str, ByteRange]]) -> list[Labelled]:
    """The validation images with their wnids; `val` is sorted by name."""
    if (root / KAGGLE).exists() and not (root / DEVKIT).exists():
        by_name = _from_kaggle(root / KAGGLE)
        if missing := [name for name, _ in val if Path(name).stem not in by_name]:
            raise ValueError(
                f"{KAGGLE} does not contain {missing[0]} and {len(missing) - 1} more validation "
                "images.\nDownload it again."
            )
        return [(name, by_name[Path(name).stem], stored) for name, stored in val]
    for number, (name, _) in enumerate(val, 1):
        if name != (expected := f"ILSVRC2012_val_{number:08d}.JPEG"):
            raise ValueError(
                f"validation image {number} is {name}, expected {expected}.\nLabels are given by "
                "number: an image is missing or is not part of the set. Download the file again."
            )
    if not (root / DEVKIT).exists():
        raise FileNotFoundError(
            f"there are no labels of the validation images in {root}.\n"
            f"Add {DEVKIT}, or Kaggle's {KAGGLE}."
        )
    wnids = _from_devkit(root / DEVKIT)
    if len(wnids) != len(val):
        raise ValueError(
            f"{DEVKIT} labels {len(wnids)} validation images, but there are {len(val)}.\n"
            "They are of different years, or a download is truncated. Download them again."
        )
    return [(name, wnid, stored) for (name, stored), wnid in zip(val, wnids, strict=True)]


def _from_devkit(archive: Path) -> list[str]:
    """The wnid of each validation image."""
    try:
        contents = {
            name: file.read()
            for file in compressed_tar_files(archive, MAX_DEVKIT_BYTES)
            if (name := Path(file.name).name) in (GROUND_TRUTH, SYNSETS)
        }
        wnids = _devkit_wnids(contents[SYNSETS])
        return [wnids[int(line)] for line in contents[GROUND_TRUTH].split()]
    except RuntimeError:
        raise
    # Damaged gzip, tar and MATLAB files raise many types; a missing file or class
    # raises KeyError.
    except Exception as error:
        raise ValueError(
            f"{archive} cannot be read: {type(error).__name__}: {error}.\n"
            "Download the devkit of 2012, tasks 1 and 2, again."
        ) from error


def _devkit_wnids(meta: bytes) -> dict[int, str]:
    """The wnid of each class number in meta.mat, MATLAB's table of synsets."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise RuntimeError(
            f"SciPy is needed to read meta.mat in {DEVKIT}.\n"
            f"Install it ({pip_install('imagenet')}), or replace the devkit by Kaggle's {KAGGLE}."
        ) from None
    synsets = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
    ids, wnids = synsets["ILSVRC2012_ID"], synsets["WNID"]
    return {int(number): str(wnid) for number, wnid in zip(ids, wnids, strict=True)}


def _from_kaggle(file: Path) -> dict[str, str]:
    """The wnid of each image, from lines `name,wnid x1 y1 x2 y2 wnid ...`.

    There is a wnid and a box for each object; all objects of an image are of one class.
    """
    try:
        rows = csv.DictReader(read_text(file).splitlines())
        return {row["ImageId"]: row["PredictionString"].split()[0] for row in rows}
    except (KeyError, IndexError, AttributeError, csv.Error) as error:
        raise ValueError(
            f"{file} is not Kaggle's: expected the columns ImageId and PredictionString, "
            "with a wnid first.\nDownload it again."
        ) from error
