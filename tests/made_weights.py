"""Files of torch, written byte by byte."""

import struct
import zipfile

import numpy as np

from tinyalex.models import torch_files

ARRAYS = {
    "conv.weight": np.arange(2 * 3 * 2 * 2, dtype="f").reshape(2, 3, 2, 2) - 7,
    "conv.bias": np.array([0.5, -0.25], "f"),
    "fc.weight": np.arange(10, dtype="f").reshape(5, 2) / 8,
    "fc.bias": np.arange(5, dtype="f"),
}

# Opcodes of a pickle


def text(value):
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value):
    return b"\x8a\x10" + value.to_bytes(16, "little", signed=True)


def packed_tuple(*values):
    return b"(" + b"".join(values) + b"t"


def dictionary(entries):
    return b"}(" + b"".join(text(name) + value for name, value in entries.items()) + b"u"


def global_(name):
    module, _, function = name.rpartition(".")
    return f"c{module}\n{function}\n".encode()


ORDERED_DICT = global_("collections.OrderedDict") + b")R"


def storage(key, length, kind="FloatStorage", view=b""):
    return (
        packed_tuple(
            text("storage"), global_(f"torch.{kind}"), text(key), text("cpu"), number(length), view
        )
        + b"Q"
    )


def tensor(stored, shape, strides, offset=0):
    arguments = (
        stored,
        number(offset),
        packed_tuple(*map(number, shape)),
        packed_tuple(*map(number, strides)),
        b"\x89",
        ORDERED_DICT,
    )
    return global_("torch._utils._rebuild_tensor_v2") + packed_tuple(*arguments) + b"R"


def program(*instructions):
    return b"\x80\x02" + b"".join(instructions) + b"."


def c_strides(shape):
    return [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]


def tensors_of(arrays, kind="FloatStorage"):
    return {
        name: tensor(storage(name, a.size, kind), a.shape, c_strides(a.shape))
        for name, a in arrays.items()
    }


# Files


def write_zip(path, pickled, storages, compression=zipfile.ZIP_STORED, **more):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("any/data.pkl", pickled)
        for name, content in storages.items():
            archive.writestr(f"any/data/{name}", content)
        for name, content in more.items():
            archive.writestr(f"any/{name}", content)
    return path


def write_legacy(path, pickled, storages):
    machine = dictionary({"little_endian": b"\x88"})
    pickles = [program(number(torch_files.MAGIC)), program(number(1001)), program(machine), pickled]
    pickles.append(program(b"](" + b"".join(map(text, storages)) + b"e"))
    contents = [struct.pack("<q", count) + content for count, content in storages.values()]
    path.write_bytes(b"".join(pickles + contents))
    return path


def zipped(path, entries=None, arrays=ARRAYS, kind="FloatStorage", **more):
    storages = {name: a.tobytes() for name, a in arrays.items()}
    return write_zip(
        path,
        program(dictionary(tensors_of(arrays, kind) if entries is None else entries)),
        storages,
        **more,
    )


def legacy(path, entries=None, arrays=ARRAYS):
    storages = {name: (a.size, a.tobytes()) for name, a in arrays.items()}
    return write_legacy(
        path, program(dictionary(tensors_of(arrays) if entries is None else entries)), storages
    )
