"""Loading weights: valid, damaged and hostile files of tinyalex and torch."""

import hashlib
import pickle
import re
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from made_weights import (
    ARRAYS,
    ORDERED_DICT,
    dictionary,
    global_,
    legacy,
    number,
    packed_tuple,
    program,
    storage,
    tensor,
    tensors_of,
    text,
    write_legacy,
    write_zip,
    zipped,
)

import tinyalex as ta
from tinyalex import models, nn
from tinyalex.data import download
from tinyalex.installation import pip_install
from tinyalex.models.prediction import load_classifier
from tinyalex.models.weights import INCLUDED


def network():
    return nn.Sequential(
        {"conv": nn.Conv2d(3, 2, 2), "flatten": nn.Flatten(), "fc": nn.Linear(2, 5)}
    )


def assert_has(model, arrays):
    for name, p in model.named_parameters():
        np.testing.assert_array_equal(p.numpy(), arrays[name].astype(p.dtype), err_msg=name)


FORMS = pytest.mark.parametrize("write", [zipped, legacy])


# Valid files


def test_a_safetensors_file_of_tinyalex_is_loaded(tmp_path):
    ta.save(tmp_path / "w", ARRAYS, metadata={"variant": "paper"})
    model = network()
    models.load_weights(model, tmp_path / "w")
    assert_has(model, ARRAYS)
    assert models.read_weights(tmp_path / "w").variant == "paper"


def test_the_model_in_a_checkpoint_of_tinyalex_is_loaded(tmp_path):
    ta.save(tmp_path / "w", {"model": ARRAYS, "best": {}, "seed": 3, "log": [{"loss": 1.0}]})
    model = network()
    models.load_weights(model, tmp_path / "w")
    assert_has(model, ARRAYS)


@FORMS
def test_a_state_dict_of_torch_is_loaded(write, tmp_path):
    model = network()
    models.load_weights(model, write(tmp_path / "any.name"))
    assert_has(model, ARRAYS)


@FORMS
@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_a_training_checkpoint_of_torch_is_loaded(write, key, tmp_path):
    state = (
        ORDERED_DICT
        + b"("
        + b"".join(text(f"module.{name}") + value for name, value in tensors_of(ARRAYS).items())
        + b"u"
    )
    state += dictionary({"_metadata": ORDERED_DICT}) + b"b"  # the attribute that torch gives it
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
def test_prefixes_of_torchs_wrappers_are_removed_from_names(wrapped, tmp_path):
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


def test_a_module_named_module_keeps_its_name(tmp_path):
    model = nn.Sequential({"module": nn.Linear(2, 1)})
    ta.save(tmp_path / "w", {"module.weight": np.ones((1, 2), "f"), "module.bias": np.ones(1, "f")})
    models.load_weights(model, tmp_path / "w")
    assert model[0].bias.numpy() == 1


@FORMS
def test_tensors_with_strides_and_offsets_are_read(write, tmp_path):
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


def test_parameters_and_tensors_of_the_oldest_format_are_read(tmp_path):
    entries = tensors_of(ARRAYS)
    entries["conv.bias"] = (
        global_("torch._utils._rebuild_parameter")
        + packed_tuple(entries["conv.bias"], b"\x88", ORDERED_DICT)
        + b"R"
    )
    arguments = (storage("fc.bias", 5), number(0), packed_tuple(number(5)), packed_tuple(number(1)))
    entries["fc.bias"] = global_("torch._utils._rebuild_tensor") + packed_tuple(*arguments) + b"R"
    model = network()
    models.load_weights(model, zipped(tmp_path / "w", entries))
    assert_has(model, ARRAYS)


def test_a_storage_that_is_a_view_of_another_is_read(tmp_path):
    view = packed_tuple(text("part"), number(3), number(5))
    entries = tensors_of(ARRAYS) | {"fc.bias": tensor(storage("base", 10, view=view), (5,), (1,))}
    base = np.arange(10, dtype="f")
    arrays = ARRAYS | {"base": base}
    del arrays["fc.bias"]
    model = network()
    models.load_weights(model, legacy(tmp_path / "w", entries, arrays))
    assert_has(model, ARRAYS | {"fc.bias": base[3:8]})


@pytest.mark.parametrize(("kind", "dtype"), [("HalfStorage", "<f2"), ("DoubleStorage", "<f8")])
def test_half_and_double_precision_are_converted_to_the_parameters_dtype(kind, dtype, tmp_path):
    arrays = {name: a.astype(dtype) for name, a in ARRAYS.items()}
    model = network().to("float64")
    models.load_weights(model, zipped(tmp_path / "w", arrays=arrays, kind=kind))
    assert {p.dtype for p in model.parameters()} == {np.dtype("float64")}
    assert_has(model, arrays)


def test_bfloat16_is_read_as_the_upper_half_of_a_float32(tmp_path):
    halves = {name: (a.view("u4") >> 16).astype("u2") for name, a in ARRAYS.items()}
    model = network()
    models.load_weights(model, zipped(tmp_path / "w", arrays=halves, kind="BFloat16Storage"))
    assert_has(model, {name: (h.astype("u4") << 16).view("f") for name, h in halves.items()})


def test_a_file_from_a_big_endian_machine_is_read(tmp_path):
    arrays = {name: a.astype(">f4") for name, a in ARRAYS.items()}
    model = network()
    models.load_weights(model, zipped(tmp_path / "w", arrays=arrays, byteorder="big"))
    assert_has(model, ARRAYS)


def test_the_file_can_be_deleted_after_loading(tmp_path):
    path = zipped(tmp_path / "w")
    models.load_weights(network(), path)
    path.unlink()
    assert not path.exists()


# Weights of another network, and other files


def refused(path, model=None, error=ValueError):
    """The error's message. The model must not change."""
    model = network() if model is None else model
    before = model.state_dict()
    with pytest.raises(error) as info:
        models.load_weights(model, path)
    assert_has(model, before)
    return str(info.value)


@pytest.mark.parametrize(
    "write", [zipped, legacy, lambda path, arrays: ta.save(path, arrays) or path]
)
def test_the_error_lists_every_name_and_shape_that_does_not_fit(write, tmp_path):
    arrays = {**ARRAYS, "fc.weight": np.ones((5, 3), "f"), "fc8.bias": np.ones(1, "f")}
    del arrays["conv.bias"]
    message = refused(write(tmp_path / "w", arrays=arrays))
    assert message == (
        f"load_weights: {str(tmp_path / 'w')!r} belongs to another network:\n  conv.bias is missing\n"
        "  fc8.bias is not a parameter of this network\n  fc.weight has shape (5, 3), expected (5, 2)"
    )


def test_the_error_names_the_variant_of_the_file(tmp_path):
    ta.save(tmp_path / "w", {"w": np.ones(1, "f")}, metadata={"variant": "caffe"})
    assert refused(tmp_path / "w").endswith("\nThe file is for variant 'caffe'.")


def test_the_count_of_batch_norm_is_an_integer(tmp_path):
    layer = nn.BatchNorm2d(3)
    ta.save(tmp_path / "x.safetensors", layer.state_dict() | {"num_batches_tracked": np.array(7)})
    models.load_weights(layer, tmp_path / "x.safetensors")
    assert layer.num_batches_tracked.item() == 7


def test_integers_are_refused(tmp_path):
    ta.save(tmp_path / "w", ARRAYS | {"fc.bias": np.arange(5)})
    assert refused(tmp_path / "w").endswith("\n  fc.bias is int64, expected a floating dtype")


def test_weights_for_another_number_of_classes_name_the_option(tmp_path):
    with nn.init.skipped():
        network_of_1000 = models.alexnet("torchvision")
        ten = {name: p.data for name, p in network_of_1000.named_parameters()}
    ten["classifier.6.weight"], ten["classifier.6.bias"] = (
        np.ones((10, 4096), "f"),
        np.ones(10, "f"),
    )
    ta.save(tmp_path / "ten", ten)
    assert refused(tmp_path / "ten", network_of_1000).endswith(
        "\nOnly the number of classes differs. Give num_classes=10."
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"fc.weight": np.ones((4, 2), "f")},
        {"fc.weight": np.ones((4, 2), "f"), "fc.bias": np.ones(3, "f")},
        {"fc.weight": np.ones((4, 3), "f"), "fc.bias": np.ones(4, "f")},
        {"fc.weight": np.ones(10, "f"), "fc.bias": np.ones((), "f")},
        {"fc.weight": np.ones((4, 2), "f"), "fc.bias": np.ones((), "f")},
        {"fc.weight": np.arange(10).reshape(5, 2), "fc.bias": np.arange(5)},
        {"conv.weight": np.ones((3, 3, 2, 2), "f"), "conv.bias": np.ones(3, "f")},
    ],
)
def test_weights_that_differ_otherwise_get_no_such_advice(tmp_path, changed):
    ta.save(tmp_path / "w", ARRAYS | changed)
    assert "num_classes" not in refused(tmp_path / "w")


def test_prefixes_are_kept_where_names_would_collide(tmp_path):
    ta.save(tmp_path / "w", ARRAYS | {"module.fc.bias": np.ones(5, "f")})
    assert "module.fc.bias is not a parameter of this network" in refused(tmp_path / "w")


def test_a_missing_file_is_refused(tmp_path):
    assert (
        refused(tmp_path / "w", error=FileNotFoundError)
        == f"load_weights: there is no file {str(tmp_path / 'w')!r}."
    )


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>", b"version https://git-lfs"])
def test_a_file_of_an_unknown_format_is_refused(content, tmp_path):
    (tmp_path / "alexnet.pth").write_bytes(content)
    message = refused(tmp_path / "alexnet.pth")
    assert (
        "to be a file of safetensors, of torch (.pth) or of ONNX, got one that begins with "
        + repr(content[:9])
        in message
    )


def test_without_the_package_onnx_the_error_states_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    (tmp_path / "x.onnx").write_bytes(b"\x08\x03\x12\x0bonnx-caffe2")
    message = "ONNX files need the package onnx, which is not installed: " + pip_install("onnx")
    assert refused(tmp_path / "x.onnx", error=ImportError) == message
    with pytest.raises(ImportError, match=re.escape(pip_install("onnx"))):
        models.export_onnx(network(), tmp_path / "y.onnx", 4)


# Damaged and hostile files


@FORMS
def test_a_truncated_file_is_refused(write, tmp_path):
    whole = write(tmp_path / "w").read_bytes()
    for size in [*range(2, len(whole), 97), len(whole) - 1]:
        (tmp_path / "cut").write_bytes(whole[:size])
        assert "cannot read" in refused(tmp_path / "cut")


def test_a_flipped_bit_in_a_zip_file_is_detected(tmp_path):
    content = bytearray(zipped(tmp_path / "w").read_bytes())
    content[content.find(ARRAYS["fc.weight"].tobytes()) + 5] ^= 1
    (tmp_path / "w").write_bytes(content)
    assert "storage 'fc.weight' has a wrong checksum" in refused(tmp_path / "w")


def test_a_truncated_safetensors_file_is_refused(tmp_path):
    ta.save(tmp_path / "w", ARRAYS)
    whole = (tmp_path / "w").read_bytes()
    for size in range(9, len(whole), 50):
        (tmp_path / "w").write_bytes(whole[:size])
        assert "is not a complete safetensors file" in refused(tmp_path / "w")


CALLS = {
    "os.system": global_("os.system") + packed_tuple(text("touch ran")) + b"R",
    "builtins.eval": global_("builtins.eval") + packed_tuple(text("1")) + b"R",
    "torch.load": global_("torch.load") + packed_tuple(text("x")) + b"R",
    "torchvision.models.alexnet.AlexNet": global_("torchvision.models.alexnet.AlexNet") + b")\x81",
    "numpy.core.multiarray._reconstruct": global_("numpy.core.multiarray._reconstruct") + b")R",
    "collections.deque": b"\x8c\x0bcollections\x8c\x05deque\x93)R",
    "functools.partial": b"(ifunctools\npartial\n",
}


@FORMS
@pytest.mark.parametrize("name", CALLS)
def test_any_other_name_in_a_pickle_is_refused_and_not_executed(write, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refused(write(tmp_path / "w", tensors_of(ARRAYS) | {"extra": CALLS[name]}))
    assert f"the pickle refers to {name!r}, which it does not need; it was not executed" in message
    assert message.endswith(
        "\nIf it is damaged, download it again; otherwise save only its weights, in torch: torch.save(model.state_dict(), path)."
    )
    assert not (tmp_path / "ran").exists()


INCONSISTENT = {
    "exceeds its storage of 5 elements": tensor(storage("fc.bias", 5), (5,), (1,), 1),
    "a tensor (2, 3) with strides (4, 1)": tensor(storage("fc.bias", 5), (2, 3), (4, 1)),
    "offset, shape or strides are not integers": tensor(storage("fc.bias", 5), (5,), (-1,), 4),
    "1 dimensions and 0 strides": tensor(storage("fc.bias", 5), (5,), ()),
    "65 dimensions and 65 strides": tensor(storage("fc.bias", 5), (1,) * 65, (1,) * 65),
    "has 20 bytes, not those of 6 elements": tensor(storage("fc.bias", 6), (5,), (1,)),
    "has 20 bytes, not those of 5 elements": tensor(
        storage("fc.bias", 5, "DoubleStorage"), (5,), (1,)
    ),
    "it does not contain the storage '../fc.bias'": tensor(storage("../fc.bias", 5), (5,), (1,)),
    "in a way that torch does not": text("fc.bias") + b"Q",
    "these entries are no tensors: 'fc.bias'": number(5),
    "described in a way that torch does not": tensor(storage("fc.bias", 5), (5,), (1,))
    + dictionary({"shape": number(1)})
    + b"b",
    "a tensor (1048576, 1048576) with strides (0, 0)": tensor(
        storage("fc.bias", 5), (1 << 20, 1 << 20), (0, 0)
    ),
}


@pytest.mark.parametrize("reason", INCONSISTENT)
def test_inconsistent_tensors_are_refused(reason, tmp_path):
    assert reason in refused(
        zipped(tmp_path / "w", tensors_of(ARRAYS) | {"fc.bias": INCONSISTENT[reason]})
    )


def test_a_storage_larger_than_the_file_is_refused(tmp_path):
    entries = program(dictionary({"w": tensor(storage("base", 1 << 40), (1 << 40,), (1,))}))
    message = refused(write_legacy(tmp_path / "w", entries, {"base": (1 << 40, b"12345678")}))
    assert f"storage 'base' has 8 bytes, not those of {1 << 40} elements" in message


def test_compressed_and_overlapping_entries_are_refused(tmp_path):
    assert "with compressed entries" in refused(
        zipped(tmp_path / "w", compression=zipfile.ZIP_DEFLATED)
    )
    content = bytearray(zipped(tmp_path / "w").read_bytes())
    entry = content.rfind(b"PK\x01\x02")  # its sizes are at byte 20
    content[entry + 20 : entry + 28] = struct.pack("<II", 1 << 30, 1 << 30)
    (tmp_path / "w").write_bytes(content)
    assert "its entries are larger than the file" in refused(tmp_path / "w")


def test_other_zip_files_and_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "w.npz", **ARRAYS)
    assert "it is a zip file without data.pkl" in refused(tmp_path / "w.npz")
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"w": [1.0]}))
    assert "it is a pickle, but not one of torch.save" in refused(tmp_path / "w.pkl")


def test_a_pickle_without_a_dict_of_tensors_is_refused(tmp_path):
    message = refused(write_zip(tmp_path / "w", program(b"]"), {}))
    assert "expected a dict of tensors by their names, got a list" in message
    entries = {"weights": dictionary(tensors_of(ARRAYS)), "epoch": number(3)}
    message = refused(zipped(tmp_path / "w", entries))
    assert (
        "one that has it as state_dict, model_state_dict, model; these entries are no tensors: 'weights', 'epoch'"
        in message
    )


def test_a_safetensors_header_that_does_not_match_the_file_is_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file(
        {"w": np.ones(1, "f")},
        tmp_path / "w",
        metadata={"tinyalex.structure": '{"dict": {"w": {"tensor": "v"}}}'},
    )
    assert "as a safetensors state" in refused(tmp_path / "w")


# Downloads


def test_torchvisions_weights_are_downloaded_with_their_checksum(tmp_path, monkeypatch):
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


def test_a_variant_without_published_weights_is_refused(tmp_path):
    with pytest.raises(
        ValueError,
        match="^fetch_weights: expected one of torchvision, cifar-.*, got 'paper'. Give a weights file.$",
    ):
        models.fetch_weights("paper")


@pytest.mark.parametrize("name", sorted(INCLUDED))
def test_weights_in_the_package_name_their_network_and_its_classes(name):
    path = models.fetch_weights(name)
    assert path.stat().st_size < 1_000_000
    assert models.read_weights(path).variant == name
    model, options = load_classifier(name)
    assert options["names"][3] == "cat"
    size = options["preprocess"].size
    assert model(np.zeros((1, 3, size, size), "f")).shape == (1, 10)


def test_reading_a_file_of_torch_imports_neither_torch_nor_onnx(tmp_path):
    path = zipped(tmp_path / "w")
    code = f"import sys; from tinyalex import models; models.read_weights({str(path)!r}); print([m for m in ('torch', 'onnx') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        == "[]"
    )
