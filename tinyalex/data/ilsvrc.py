"""The files of ILSVRC2012 as they are downloaded: a tar of tars, a tar of pictures, and what says which class those are of.

    ILSVRC2012_img_train.tar           n01440764.tar, ...: an archive a class, named by its wnid (WordNet's number)
    ILSVRC2012_img_val.tar             ILSVRC2012_val_00000001.JPEG, ...
    ILSVRC2012_devkit_t12.tar.gz       data/ILSVRC2012_validation_ground_truth.txt: a class's number a line, in the order of the names
    or LOC_val_solution.csv            Kaggle's: the name and the wnid of each picture

or unpacked: train/n01440764/..., val/*.JPEG; Kaggle's archive unpacks to that within ILSVRC/Data/CLS-LOC.

The devkit numbers the classes in an order of its own (1 is the kit fox, n02119789), which its data/meta.mat says; everybody else, and
tinyalex, number them by their sorted wnids.
"""

import csv
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from tinyalex.data.folders import class_names, image_files
from tinyalex.data.stored import Stored
from tinyalex.data.tars import members

TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKIT, KAGGLE = "ILSVRC2012_devkit_t12.tar.gz", "LOC_val_solution.csv"

UNPACKED = Path("ILSVRC", "Data", "CLS-LOC")

Labelled = tuple[str, str, Stored]
"""Name, wnid and place of a picture."""


def pictures(root: Path) -> tuple[list[Labelled], list[Labelled]]:
    """(train, val) from a folder with the four files, of which DEVKIT and KAGGLE may stand for each other.

    Raises FileNotFoundError for a missing file, ValueError for one that does not fit the others.
    """
    for name in (TRAIN, VAL):
        if not (root / name).exists():
            raise FileNotFoundError(
                f"there is no {name} in {root}.\nPut the official files {TRAIN} and {VAL} there, both."
            )
    val = [
        (Path(name).name, stored)
        for name, stored in members(Stored(root / VAL))
        if not _of_macos(name)
    ]
    return sorted(_train(root / TRAIN)), _labelled(root, sorted(val))


def unpacked(root: Path, folder: Path) -> tuple[list[Labelled], list[Labelled]]:
    """(train, val) from a folder with train/ and val/, which has no class folders; what it shows a file in `root` says.

    Raises as `pictures` does.
    """
    train = [
        (file.name, name, Stored(file))
        for name in class_names(folder / "train")
        for file in image_files(folder / "train" / name)
    ]
    return train, _labelled(
        root, [(file.name, Stored(file)) for file in image_files(folder / "val")]
    )


def _train(archive: Path) -> Iterator[Labelled]:
    from tqdm import tqdm

    for name, inner in tqdm(
        members(Stored(archive)),
        f"looking through {archive.name}",
        unit=" classes",
        leave=False,
        disable=None,
    ):
        wnid = Path(name).stem
        if not _of_macos(name):
            yield from (
                (Path(picture).name, wnid, stored)
                for picture, stored in members(inner)
                if not _of_macos(picture)
            )


def _of_macos(name: str) -> bool:
    """Whether it is one of the files that macOS adds to archives."""
    return Path(name).name.startswith("._")


def _labelled(root: Path, found: list[tuple[str, Stored]]) -> list[Labelled]:
    """The validation pictures, in the order of their names, and the wnid of each."""
    if (root / KAGGLE).exists() and not (root / DEVKIT).exists():
        by_name = _from_kaggle(root / KAGGLE)
        if missing := [name for name, _ in found if Path(name).stem not in by_name]:
            raise ValueError(
                f"{KAGGLE} does not name {missing[0]} and {len(missing) - 1} more validation pictures.\nDownload it again."
            )
        return [(name, by_name[Path(name).stem], stored) for name, stored in found]
    for number, (name, _) in enumerate(found, 1):
        if name != f"ILSVRC2012_val_{number:08d}.JPEG":
            raise ValueError(
                f"validation picture {number} is {name}, expected ILSVRC2012_val_{number:08d}.JPEG.\n"
                "Labels are given by number: a picture is missing or does not belong there. Download the file again."
            )
    if not (root / DEVKIT).exists():
        raise FileNotFoundError(
            f"nothing in {root} says which classes the validation pictures are of.\nPut {DEVKIT} there, or Kaggle's {KAGGLE}."
        )
    wnids = _from_devkit(root / DEVKIT)
    if len(wnids) != len(found):
        raise ValueError(
            f"{DEVKIT} labels {len(wnids)} validation pictures, but there are {len(found)}.\n"
            "They belong to different years, or a download is cut off."
        )
    return [(name, wnid, stored) for (name, stored), wnid in zip(found, wnids, strict=True)]


def _from_devkit(archive: Path) -> list[str]:
    """The wnid of each validation picture."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            files = {
                Path(member.name).name: member for member in tar.getmembers() if member.isfile()
            }
            truth, meta = (
                _contents(tar, files[name])
                for name in ("ILSVRC2012_validation_ground_truth.txt", "meta.mat")
            )
        wnids = _numbers_of_devkit(meta)
        return [wnids[int(line)] for line in truth.decode().split()]
    except RuntimeError:
        raise
    # Gzip, tar and MATLAB files that are broken raise errors of many kinds; a missing file or number is a KeyError.
    except Exception as error:
        raise ValueError(
            f"{archive} cannot be read: {type(error).__name__}: {error}.\nDownload the devkit of 2012, tasks 1 and 2, again."
        ) from error


def _contents(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None  # it is a file
    return file.read()


def _numbers_of_devkit(meta: bytes) -> dict[int, str]:
    """The wnid of each number in meta.mat, MATLAB's table of synsets: ILSVRC2012_ID, WNID, ..."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise RuntimeError(
            f"to read meta.mat, MATLAB's file in {DEVKIT}, SciPy is needed.\nInstall it (pip install scipy), or put Kaggle's "
            f"{KAGGLE} into the folder instead of the devkit."
        ) from None
    synsets = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
    return {
        int(number): str(wnid)
        for number, wnid in zip(synsets["ILSVRC2012_ID"], synsets["WNID"], strict=True)
    }


def _from_kaggle(file: Path) -> dict[str, str]:
    """The wnid of each picture's name: a line holds `name,wnid x1 y1 x2 y2 ...`, a wnid and a box for each object, all of one class."""
    try:
        with open(file, newline="", encoding="utf-8-sig") as lines:
            return {
                row["ImageId"]: row["PredictionString"].split()[0] for row in csv.DictReader(lines)
            }
    except (KeyError, IndexError, AttributeError) as error:
        raise ValueError(
            f"{file} is not Kaggle's: expected the columns ImageId and PredictionString, with a wnid first.\nDownload it again."
        ) from error
