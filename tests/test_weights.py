"""Weights from files of tinyalex and of torch: what is taken, and what is refused. The files of torch are written here byte by byte."""

import hashlib
import pickle
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import models, nn
from tinyalex.data import download
from tinyalex.models import torch_files

ARRAYS = {
    "conv.weight": np.arange(2 * 3 * 2 * 2, dtype="f").reshape(2, 3, 2, 2) - 7,
    "conv.bias": np.array([0.5, -0.25], "f"),
    "fc.weight": np.arange(10, dtype="f").reshape(5, 2) / 8,
    "fc.bias": np.arange(5, dtype="f"),
}


def network():
    return nn.Sequential(
        {"conv": nn.Conv2d(3, 2, 2), "flatten": nn.Flatten(), "fc": nn.Linear(2, 5)}
    )


def assert_has(model, arrays):
    for name, p in model.named_parameters():
        np.testing.assert_array_equal(p.numpy(), arrays[name].astype(p.dtype), err_msg=name)


# The instructions of a pickle


def text(value):
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value):
    return b"\x8a\x10" + value.to_bytes(16, "little", signed=True)


def row(*values):
    return b"(" + b"".join(values) + b"t"


def dictionary(entries):
    return b"}(" + b"".join(text(name) + value for name, value in entries.items()) + b"u"


def named(name):
    module, _, function = name.rpartition(".")
    return f"c{module}\n{function}\n".encode()


ORDERED = named("collections.OrderedDict") + b")R"


def storage(key, length, kind="FloatStorage", view=b""):
    return (
        row(text("storage"), named(f"torch.{kind}"), text(key), text("cpu"), number(length), view)
        + b"Q"
    )


def tensor(stored, shape, strides, offset=0):
    arguments = (
        stored,
        number(offset),
        row(*map(number, shape)),
        row(*map(number, strides)),
        b"\x89",
        ORDERED,
    )
    return named("torch._utils._rebuild_tensor_v2") + row(*arguments) + b"R"


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
    rows = [struct.pack("<q", count) + content for count, content in storages.values()]
    path.write_bytes(b"".join(pickles + rows))
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


FORMS = pytest.mark.parametrize("write", [zipped, legacy])


# What is taken


def test_safetensors_of_tinyalex_are_loaded(tmp_path):
    ta.save(tmp_path / "w", ARRAYS, metadata={"variant": "paper"})
    model = network()
    models.load_weights(model, tmp_path / "w")
    assert_has(model, ARRAYS)
    assert models.read_weights(tmp_path / "w").variant == "paper"


def test_a_checkpoint_of_tinyalex_gives_its_model(tmp_path):
    ta.save(tmp_path / "w", {"model": ARRAYS, "best": {}, "seed": 3, "log": [{"loss": 1.0}]})
    model = network()
    models.load_weights(model, tmp_path / "w")
    assert_has(model, ARRAYS)


@FORMS
def test_a_state_of_torch_is_loaded(write, tmp_path):
    model = network()
    models.load_weights(model, write(tmp_path / "any.name"))
    assert_has(model, ARRAYS)


@FORMS
@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_a_training_checkpoint_of_torch_is_loaded(write, key, tmp_path):
    state = (
        ORDERED
        + b"("
        + b"".join(text(f"module.{name}") + value for name, value in tensors_of(ARRAYS).items())
        + b"u"
    )
    state += dictionary({"_metadata": ORDERED}) + b"b"  # the attribute that torch gives it
    entries = {
        "epoch": number(90),
        key: state,
        "optimizer": dictionary({"state": dictionary({}), "param_groups": b"]"}),
    }
    model = network()
    models.load_weights(model, write(tmp_path / "w", entries))
    assert_has(model, ARRAYS)


@pytest.mark.parametrize(
    "wrapped", ["module.{}", "_orig_mod.{}", "module._orig_mod.{}", "{}.module.{}"]
)
def test_names_are_freed_of_what_torchs_wrappers_add(wrapped, tmp_path):
    ta.save(
        tmp_path / "w",
        {
            wrapped.format(*(name.split(".") if wrapped.count("{}") > 1 else [name])): a
            for name, a in ARRAYS.items()
        },
    )
    model = network()
    models.load_weights(model, tmp_path / "w")
    assert_has(model, ARRAYS)


def test_a_module_that_is_called_module_keeps_its_name(tmp_path):
    model = nn.Sequential({"module": nn.Linear(2, 1)})
    ta.save(tmp_path / "w", {"module.weight": np.ones((1, 2), "f"), "module.bias": np.ones(1, "f")})
    models.load_weights(model, tmp_path / "w")
    assert model[0].bias.numpy() == 1


@FORMS
def test_tensors_with_strides_and_offsets_are_views_of_their_storage(write, tmp_path):
    base = np.arange(40, dtype="f")
    shared = storage("base", 40)
    entries = {
        "conv.weight": tensor(shared, (2, 3, 2, 2), (1, 2, 6, 12), 3),
        "conv.bias": tensor(shared, (2,), (0,), 39),
        "fc.weight": tensor(shared, (5, 2), (1, 5)),
        "fc.bias": tensor(shared, (5,), (7,), 1),
    }
    model = network()
    models.load_weights(model, write(tmp_path / "w", entries, {"base": base}))
    expected = {
        "conv.weight": base[3:27].reshape(2, 2, 3, 2).transpose(3, 2, 1, 0),
        "conv.bias": base[[39, 39]],
        "fc.weight": base[:10].reshape(2, 5).T,
        "fc.bias": base[1:30:7],
    }
    assert_has(model, expected)


def test_parameters_and_the_oldest_spelling_of_tensors_are_taken(tmp_path):
    entries = tensors_of(ARRAYS)
    entries["conv.bias"] = (
        named("torch._utils._rebuild_parameter")
        + row(entries["conv.bias"], b"\x88", ORDERED)
        + b"R"
    )
    arguments = (storage("fc.bias", 5), number(0), row(number(5)), row(number(1)))
    entries["fc.bias"] = named("torch._utils._rebuild_tensor") + row(*arguments) + b"R"
    model = network()
    models.load_weights(model, zipped(tmp_path / "w", entries))
    assert_has(model, ARRAYS)


def test_a_part_of_a_storage_is_taken_from_where_it_begins(tmp_path):
    view = row(text("part"), number(3), number(5))
    entries = tensors_of(ARRAYS) | {"fc.bias": tensor(storage("base", 10, view=view), (5,), (1,))}
    base = np.arange(10, dtype="f")
    arrays = ARRAYS | {"base": base}
    del arrays["fc.bias"]
    model = network()
    models.load_weights(model, legacy(tmp_path / "w", entries, arrays))
    assert_has(model, ARRAYS | {"fc.bias": base[3:8]})


@pytest.mark.parametrize(("kind", "dtype"), [("HalfStorage", "<f2"), ("DoubleStorage", "<f8")])
def test_halves_and_doubles_become_the_parameters_dtype(kind, dtype, tmp_path):
    arrays = {name: a.astype(dtype) for name, a in ARRAYS.items()}
    model = network().to("float64")
    models.load_weights(model, zipped(tmp_path / "w", arrays=arrays, kind=kind))
    assert {p.dtype for p in model.parameters()} == {np.dtype("float64")}
    assert_has(model, arrays)


def test_bfloat16_is_the_upper_half_of_a_float32(tmp_path):
    halves = {name: (a.view("u4") >> 16).astype("u2") for name, a in ARRAYS.items()}
    model = network()
    models.load_weights(model, zipped(tmp_path / "w", arrays=halves, kind="BFloat16Storage"))
    assert_has(model, {name: (h.astype("u4") << 16).view("f") for name, h in halves.items()})


def test_a_file_from_a_big_endian_machine_is_read(tmp_path):
    arrays = {name: a.astype(">f4") for name, a in ARRAYS.items()}
    model = network()
    models.load_weights(model, zipped(tmp_path / "w", arrays=arrays, byteorder="big"))
    assert_has(model, ARRAYS)


def test_reading_does_not_hold_the_file(tmp_path):
    path = zipped(tmp_path / "w")
    models.load_weights(network(), path)
    path.unlink()
    assert not path.exists()


# What does not fit


def refused(path, model=None, error=ValueError):
    """The message, once it is sure that the model has not been changed."""
    model = network() if model is None else model
    before = model.state_dict()
    with pytest.raises(error) as info:
        models.load_weights(model, path)
    assert_has(model, before)
    return str(info.value)


@pytest.mark.parametrize(
    "write", [zipped, legacy, lambda path, arrays: ta.save(path, arrays) or path]
)
def test_every_name_and_shape_that_does_not_fit_is_named(write, tmp_path):
    arrays = {**ARRAYS, "fc.weight": np.ones((5, 3), "f"), "fc8.bias": np.ones(1, "f")}
    del arrays["conv.bias"]
    message = refused(write(tmp_path / "w", arrays=arrays))
    assert message == (
        f"load_weights: {str(tmp_path / 'w')!r} belongs to another network:\n  conv.bias is missing\n"
        "  fc8.bias is not a parameter of this network\n  fc.weight has shape (5, 3), expected (5, 2)"
    )


def test_the_variant_that_a_file_says_it_is_for_is_told(tmp_path):
    ta.save(tmp_path / "w", {"w": np.ones(1, "f")}, metadata={"variant": "caffe"})
    assert refused(tmp_path / "w").endswith("\nThe file is for variant 'caffe'.")


def test_whole_numbers_are_no_weights(tmp_path):
    ta.save(tmp_path / "w", ARRAYS | {"fc.bias": np.arange(5)})
    assert refused(tmp_path / "w").endswith("\n  fc.bias holds int64, expected floating numbers")


def test_wrapped_names_that_would_become_one_are_left_as_they_are(tmp_path):
    ta.save(tmp_path / "w", ARRAYS | {"module.fc.bias": np.ones(5, "f")})
    assert "module.fc.bias is not a parameter of this network" in refused(tmp_path / "w")


def test_a_file_that_is_not_there(tmp_path):
    assert (
        refused(tmp_path / "w", error=FileNotFoundError)
        == f"load_weights: there is no file {str(tmp_path / 'w')!r}."
    )


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>", b"version https://git-lfs"])
def test_a_file_of_another_kind_is_told_by_its_beginning(content, tmp_path):
    (tmp_path / "alexnet.pth").write_bytes(content)
    message = refused(tmp_path / "alexnet.pth")
    assert (
        "to be a file of safetensors, of torch (.pth) or of ONNX, got one that begins with "
        + repr(content[:9])
        in message
    )


def test_without_the_package_onnx_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    (tmp_path / "x.onnx").write_bytes(b"\x08\x03\x12\x0bonnx-caffe2")
    message = (
        "ONNX files need the package onnx, which is not installed: pip install 'tinyalex[onnx]'"
    )
    assert refused(tmp_path / "x.onnx", error=ImportError) == message
    with pytest.raises(ImportError, match="pip install 'tinyalex\\[onnx\\]'"):
        models.export_onnx(network(), tmp_path / "y.onnx", 4)


# Damaged files, and hostile ones


@FORMS
def test_a_file_that_ends_early_is_refused_wherever_it_ends(write, tmp_path):
    whole = write(tmp_path / "w").read_bytes()
    for size in [*range(2, len(whole), 97), len(whole) - 1]:
        (tmp_path / "cut").write_bytes(whole[:size])
        assert "cannot read" in refused(tmp_path / "cut")


def test_a_wrong_bit_in_a_zip_file_is_noticed(tmp_path):
    content = bytearray(zipped(tmp_path / "w").read_bytes())
    content[content.find(ARRAYS["fc.weight"].tobytes()) + 5] ^= 1
    (tmp_path / "w").write_bytes(content)
    assert "storage 'fc.weight' has a wrong checksum" in refused(tmp_path / "w")


def test_a_safetensors_file_that_ends_early_is_refused(tmp_path):
    ta.save(tmp_path / "w", ARRAYS)
    whole = (tmp_path / "w").read_bytes()
    for size in range(9, len(whole), 50):
        (tmp_path / "w").write_bytes(whole[:size])
        assert "is not a complete safetensors file" in refused(tmp_path / "w")


CALLS = {
    "os.system": named("os.system") + row(text("touch ran")) + b"R",
    "builtins.eval": named("builtins.eval") + row(text("1")) + b"R",
    "torch.load": named("torch.load") + row(text("x")) + b"R",
    "torchvision.models.alexnet.AlexNet": named("torchvision.models.alexnet.AlexNet") + b")\x81",
    "numpy.core.multiarray._reconstruct": named("numpy.core.multiarray._reconstruct") + b")R",
    "collections.deque": b"\x8c\x0bcollections\x8c\x05deque\x93)R",
    "functools.partial": b"(ifunctools\npartial\n",
}


@FORMS
@pytest.mark.parametrize("name", CALLS)
def test_whatever_else_a_pickle_asks_for_is_refused_by_its_name(write, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refused(write(tmp_path / "w", tensors_of(ARRAYS) | {"extra": CALLS[name]}))
    assert f"it asks for {name!r}, which no weights need, so it was not run" in message
    assert message.endswith(
        "\nIf it is damaged, fetch it anew; else save its weights alone, in torch: torch.save(model.state_dict(), path)."
    )
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "target", sorted({f"{module}.{name}" for module, name in torch_files.STAND_INS})
)
@pytest.mark.parametrize("slots", [False, True])
def test_a_pickle_cannot_change_the_stand_ins(target, slots, tmp_path):
    change = dictionary({"__doc__": text("changed"), "of_tensor": b"N", "_make": b"N"})
    state = row(b"N", change) if slots else change
    before = [
        vars(cls).copy()
        for cls in (torch_files.TensorInFile, torch_files._Parameter, torch_files._Dict)
    ]
    refused(zipped(tmp_path / "w", tensors_of(ARRAYS) | {"extra": named(target) + state + b"b"}))
    assert before == [
        vars(cls) for cls in (torch_files.TensorInFile, torch_files._Parameter, torch_files._Dict)
    ]


LIES = {
    "reaches out of its 5 numbers": tensor(storage("fc.bias", 5), (5,), (1,), 1),
    "a tensor (2, 3) with strides (4, 1)": tensor(storage("fc.bias", 5), (2, 3), (4, 1)),
    "are not whole numbers from 0 on": tensor(storage("fc.bias", 5), (5,), (-1,), 4),
    "place, shape or strides": tensor(storage("fc.bias", 5), (5,), ()),
    "has 20 bytes, not those of 6 numbers": tensor(storage("fc.bias", 6), (5,), (1,)),
    "has 20 bytes, not those of 5 numbers": tensor(
        storage("fc.bias", 5, "DoubleStorage"), (5,), (1,)
    ),
    "the numbers of storage '../fc.bias' are not in it": tensor(
        storage("../fc.bias", 5), (5,), (1,)
    ),
    "in a way that torch does not": text("fc.bias") + b"Q",
    "it has no tensors as fc.bias": number(5),
    "it gives a tensor attributes": tensor(storage("fc.bias", 5), (5,), (1,))
    + dictionary({"shape": number(1)})
    + b"b",
    "would fill the memory": b"Nr\xff\xff\xff\xff",
}


@pytest.mark.parametrize("reason", LIES)
def test_tensors_that_do_not_lie_in_the_file_are_refused(reason, tmp_path):
    assert reason in refused(zipped(tmp_path / "w", tensors_of(ARRAYS) | {"fc.bias": LIES[reason]}))


@FORMS
def test_a_huge_shape_of_one_number_takes_no_memory(write, tmp_path):
    huge = tensor(storage("fc.bias", 5), (1 << 20, 1 << 20), (0, 0))
    assert "fc.bias has shape (1048576, 1048576), expected (5,)" in refused(
        write(tmp_path / "w", tensors_of(ARRAYS) | {"fc.bias": huge})
    )


def test_a_storage_that_claims_more_than_the_file_has_is_refused(tmp_path):
    entries = program(dictionary({"w": tensor(storage("base", 1 << 40), (1 << 40,), (1,))}))
    message = refused(write_legacy(tmp_path / "w", entries, {"base": (1 << 40, b"12345678")}))
    assert f"storage 'base' has 8 bytes, not those of {1 << 40} numbers" in message


def test_compressed_and_overlapping_entries_are_refused(tmp_path):
    assert "with compressed entries" in refused(
        zipped(tmp_path / "w", compression=zipfile.ZIP_DEFLATED)
    )
    content = bytearray(zipped(tmp_path / "w").read_bytes())
    entry = content.rfind(b"PK\x01\x02")  # its sizes stand 20 bytes on
    content[entry + 20 : entry + 28] = struct.pack("<II", 1 << 30, 1 << 30)
    (tmp_path / "w").write_bytes(content)
    assert "its entries are larger than the file" in refused(tmp_path / "w")


def test_another_zip_file_and_another_pickle_are_told_from_torchs(tmp_path):
    np.savez(tmp_path / "w.npz", **ARRAYS)
    assert "it is a zip file without data.pkl" in refused(tmp_path / "w.npz")
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"w": [1.0]}))
    assert "it is a pickle, but not one of torch.save" in refused(tmp_path / "w.pkl")


def test_a_pickle_that_is_no_dict_of_tensors_is_refused(tmp_path):
    message = refused(write_zip(tmp_path / "w", program(b"]"), {}))
    assert "expected a dict of tensors by their names, got a list without" in message
    entries = {"weights": dictionary(tensors_of(ARRAYS)), "epoch": number(3)}
    message = refused(zipped(tmp_path / "w", entries))
    assert (
        "one that has it as state_dict, model_state_dict, model; it has no tensors as weights, epoch"
        in message
    )


def test_a_header_of_safetensors_that_does_not_describe_the_file_is_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file(
        {"w": np.ones(1, "f")},
        tmp_path / "w",
        metadata={"tinyalex.structure": '{"dict": {"w": {"tensor": "v"}}}'},
    )
    assert "as a state of safetensors" in refused(tmp_path / "w")


# torchvision's own


def test_torchvisions_weights_are_fetched_with_their_checksum(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(download, "fetch", lambda *arguments: asked.append(arguments) or tmp_path)
    assert models.fetch_weights("torchvision") == tmp_path
    name, urls, known_hash = asked[0]
    assert urls == ("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",)
    assert known_hash.startswith(
        "sha256:7be5be79"
    )  # torch's convention: the name has the beginning
    assert len(known_hash.removeprefix("sha256:")) == len(hashlib.sha256().hexdigest())
    assert name == "alexnet-owt-7be5be79.pth"


def test_weights_that_nobody_has_published(tmp_path):
    with pytest.raises(
        ValueError,
        match="^fetch_weights: expected one of torchvision, got 'paper'. Give a file of weights.$",
    ):
        models.fetch_weights("paper")


def test_the_reader_leaves_torch_and_onnx_alone(tmp_path):
    path = zipped(tmp_path / "w")
    code = f"import sys; from tinyalex import models; models.read_weights({str(path)!r}); print([m for m in ('torch', 'onnx') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        == "[]"
    )
