"""Weights and batches of CIFAR-10 with pickles that exhaust time or memory."""

import gzip
import struct
import zipfile

import numpy as np
import pytest
from limits import Worker, limited
from made_bombs import BOMBS, as_key, doubled, nested_calls, put
from made_cifar import make_folder, py2_array, python_batch
from made_images import tar_of
from made_weights import (
    ARRAYS,
    global_,
    legacy,
    number,
    packed_tuple,
    program,
    storage,
    tensor,
    tensors_of,
    text,
    write_zip,
    zipped,
)

from tinyalex import models
from tinyalex.data import cifar
from tinyalex.models.prediction import load_network

TENSOR = global_("torch._utils._rebuild_tensor_v2")
PARAMETER = global_("torch._utils._rebuild_parameter")
TREES = {
    "tuple": doubled(put),
    "calls": nested_calls(TENSOR),
    "parameters": PARAMETER + put(7) + b"0N" + b"\x85R".join([put(8) + b"0h\x07h\x08"] * 5_000),
    "lists": BOMBS["nested lists"],
    "dicts": BOMBS["nested dicts"],
    "tuples": BOMBS["nested tuples"],
    "a list in itself": BOMBS["a list in itself"],
    "2**120": packed_tuple(b"\x8a\x10" + b"\xff" * 15 + b"\0" + put(0), b"h\0" * 20_000),
}
"""Values that are read in little time, but could take forever to compare or print."""


def tensor_with(stored, offset, shape, strides):
    return TENSOR + packed_tuple(stored, offset, shape, strides, b"\x89", b"N") + b"R"


@pytest.fixture(scope="module")
def refused():
    workers = {read: Worker(read) for read in (models.read_weights, cifar.cifar10)}

    def check(read, path):
        with pytest.raises(ValueError, match=path.name) as caught:
            workers[read](path)
        check_message(str(caught.value))

    yield check
    for worker in workers.values():
        worker.close()


def check_message(message):
    assert len(message) < 2_000
    assert message.replace("\n", "").isprintable()


@pytest.mark.parametrize("value", TREES.values(), ids=TREES)
def test_a_value_in_any_place_of_a_weights_file_is_refused(value, tmp_path, refused):
    one, stored = packed_tuple(number(1)), storage("fc.bias", 5)
    places = {
        "tensor": value,
        "storage": tensor_with(value, number(0), one, one),
        "offset": tensor_with(stored, value, one, one),
        "shape": tensor_with(stored, number(0), value, one),
        "both": tensor_with(stored, number(0), value + put(9), b"h\x09"),
        "size": tensor_with(stored, number(0), packed_tuple(value), one),
        "strides": tensor_with(stored, number(0), one, packed_tuple(value)),
        "state": tensor_with(stored, number(0), one, one) + value + b"b",
        "parameter": PARAMETER + packed_tuple(value, b"\x88", b"N") + b"R",
        "reference": value + b"Q",
        "key": storage("fc.bias", 5).replace(text("fc.bias"), value),
        "dict key": as_key(value),
    }
    for place, entry in places.items():
        path = zipped(tmp_path / place, tensors_of(ARRAYS) | {"fc.bias": entry})
        refused(models.read_weights, path)


@pytest.mark.parametrize("value", TREES.values(), ids=TREES)
def test_a_value_in_place_of_a_whole_pickle_is_refused(value, tmp_path, refused):
    refused(models.read_weights, write_zip(tmp_path / "zip", program(value), {}))
    pickles = legacy(tmp_path / "legacy").read_bytes().split(b".\x80\x02")
    for i in (0, 3, 4):  # not the version and the machine, which do not matter
        path = tmp_path / f"legacy{i}"
        path.write_bytes(b".\x80\x02".join([*pickles[:i], value, *pickles[i + 1 :], b"."]))
        refused(models.read_weights, path)


@pytest.mark.parametrize("value", TREES.values(), ids=TREES)
def test_a_value_in_any_place_of_a_batch_is_refused(value, tmp_path, rng, refused):
    images, labels = rng.integers(0, 256, (18, 3, 32, 32), np.uint8), np.arange(18) % 10
    folder = make_folder(tmp_path, "python", (images, labels))
    array = py2_array(images[:3].reshape(3, -1))
    shape = array[array.rindex(b"(", 0, array.index(b"cnumpy\ndtype")) :]
    for changes in (
        {"data": value},
        {"labels": value},
        {"labels": b"](" + value + b"e"},
        {"data": array.replace(shape[: shape.index(b"t") + 1], value)},
        {"data": array[:-2] + value + b"b"},
        {"more": as_key(value)},
    ):
        (folder / "test_batch").write_bytes(python_batch(images[15:], labels[15:], **changes))
        refused(cifar.cifar10, folder)


@pytest.mark.parametrize("name", BOMBS)
def test_a_batch_of_eight_bytes_takes_no_gigabytes(name, tmp_path, refused):
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x02" + BOMBS[name] + b".")
    refused(cifar.cifar10, tmp_path)


def test_names_are_printed_without_control_codes(tmp_path, refused):
    refused(models.read_weights, zipped(tmp_path / "w", {"\x1b[2J\x1b]0;title\x07": number(1)}))


@pytest.mark.parametrize("shape", [(), (10**11,), (1, 10**6, 10**6)])
def test_predict_refuses_a_last_layer_of_any_size(shape, tmp_path):
    entries = tensors_of(ARRAYS) | {
        "classifier.6.weight": tensor(storage("fc.bias", 5), shape, (0,) * len(shape))
    }
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - one of several
        limited(load_network, zipped(tmp_path / "w", entries))
    check_message(str(caught.value))


def test_a_zip_file_of_many_entries_is_refused(tmp_path, refused):
    with zipfile.ZipFile(tmp_path / "w", "w") as archive:
        archive.writestr("any/data.pkl", program(b"}"))
    content = (tmp_path / "w").read_bytes()
    start = content.index(b"PK\x01\x02")
    entry, end = content[start:-22], content[-22:]
    count = (5 << 20) // len(entry)
    size = struct.pack("<I", count * len(entry))
    (tmp_path / "w").write_bytes(content[:start] + entry * count + end[:12] + size + end[16:])
    refused(models.read_weights, tmp_path / "w")


def test_an_archive_of_zeros_is_not_read_to_its_end(tmp_path, refused):
    with gzip.open(tmp_path / "cifar.tgz", "wb", 1) as file:
        file.write(tar_of({"cifar-10-batches-py/data_batch_1": bytes(33 << 20)}))
    refused(cifar.cifar10, tmp_path / "cifar.tgz")
