"""Tiny archives of CIFAR-10, byte for byte in the format of the official ones."""

import struct
import tarfile

import numpy as np

from tinyalex.data import cifar

KINDS = ("python", "binary")
FOLDERS = {"python": "cifar-10-batches-py", "binary": "cifar-10-batches-bin"}
PER_BATCH = 3


def py2_bytes(b):
    """A string as Python 2 pickles it."""
    return b"U" + bytes([len(b)]) + b if len(b) < 256 else b"T" + struct.pack("<I", len(b)) + b


def py2_int(n):
    return b"J" + struct.pack("<i", n)


NDARRAY = b"cnumpy\nndarray\n"


def py2_array(x, reconstruct=b"cnumpy.core.multiarray\n_reconstruct\n", kind=NDARRAY, dtype=b"u1"):
    empty = reconstruct + b"(" + kind + py2_int(0) + b"\x85" + py2_bytes(b"b") + b"tR"
    u1 = b"cnumpy\ndtype\n(" + py2_bytes(dtype) + py2_int(0) + py2_int(1) + b"tR"
    u1 += (
        b"("
        + py2_int(3)
        + py2_bytes(b"|")
        + b"NNN"
        + py2_int(-1)
        + py2_int(-1)
        + py2_int(0)
        + b"tb"
    )
    shape = b"(" + b"".join(map(py2_int, x.shape)) + b"t"
    return empty + b"(" + py2_int(1) + shape + u1 + b"\x89" + py2_bytes(x.tobytes()) + b"tb"


def py2_dict(**values):
    return (
        b"\x80\x02}("
        + b"".join(py2_bytes(key.encode()) + value for key, value in values.items())
        + b"u."
    )


def py2_labels(labels):
    return b"](" + b"".join(map(py2_int, labels)) + b"e"


def python_batch(images, labels, /, **changes):
    data = {
        "batch_label": py2_bytes(b"fake"),
        "labels": py2_labels(labels),
        "data": py2_array(images.reshape(len(images), -1)),
    }
    return py2_dict(**(data | changes))


def binary_batch(images, labels):
    return np.concatenate(
        [np.array(labels, np.uint8)[:, None], images.reshape(len(images), -1)], axis=1
    ).tobytes()


def make_folder(where, kind, expected):
    """The folder of one kind, with one batch after another of the expected images."""
    folder = where / FOLDERS[kind]
    folder.mkdir(parents=True)
    write = python_batch if kind == "python" else binary_batch
    images, labels = expected
    for i, name in enumerate(cifar.PYTHON if kind == "python" else cifar.BINARY):
        part = slice(i * PER_BATCH, (i + 1) * PER_BATCH)
        (folder / name).write_bytes(write(images[part], labels[part].tolist()))
    (folder / "readme.html").write_text("not a batch")
    return folder


def make_archive(where, kind, expected, name=None):
    folder = make_folder(where / "to pack", kind, expected)
    archive = where / (name or f"cifar-10-{kind}.tar.gz")
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    return archive
