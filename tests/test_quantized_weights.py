"""Weights files with few levels for each weight."""

import json
import math

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import models, nn
from tinyalex.models.quantized_weights import QUANTIZED, dequantize, quantize


@pytest.fixture
def state(rng):
    shapes = {
        "conv.weight": (4, 3, 5, 5),
        "local.weight": (2, 3, 4, 5, 3, 3),
        "fc.weight": (10, 7),
        "fc.bias": (10,),
    }
    state = {name: rng.standard_normal(shape).astype("f") for name, shape in shapes.items()}
    state["conv.weight"] *= np.float32(1e-6) * np.arange(4, dtype="f")[:, None, None, None]
    return state


WEIGHTS = ("conv.weight", "local.weight", "fc.weight")


@pytest.mark.parametrize(
    ("levels", "per_word", "error"), [(3, 40, 0.6), (9, 20, 0.25), (11, 18, 0.2), (255, 8, 0.02)]
)
def test_weights_are_rounded_to_levels_and_packed(levels, per_word, error, state):
    arrays, metadata = quantize(state, dict.fromkeys(WEIGHTS, levels))
    found = dequantize(arrays, metadata)
    assert found.keys() == state.keys()
    np.testing.assert_array_equal(found["fc.bias"], state["fc.bias"].astype(np.float16))
    for name in WEIGHTS:
        assert arrays[name].nbytes == 8 * math.ceil(state[name].size / per_word)
        assert (found[name].shape, found[name].dtype) == (state[name].shape, np.float32)
        distance = np.linalg.norm(found[name] - state[name])
        assert distance < error * np.linalg.norm(state[name])
        filters = found[name].reshape(len(arrays[f"{name}.scale"]), -1)
        assert max(len(np.unique(row)) for row in filters) <= levels


def test_a_scale_belongs_to_one_filter_of_one_position(state):
    arrays, _ = quantize(state, dict.fromkeys(WEIGHTS, 15))
    assert [len(arrays[f"{name}.scale"]) for name in WEIGHTS] == [4, 2 * 3 * 4, 10]


def test_all_words_of_64_bits_are_digits():
    count = 255
    weight = np.full((1, 16), 127, np.float32)
    arrays, metadata = quantize({"w": weight}, {"w": count})
    assert arrays["w"].tolist() == [count**8 - 1] * 2
    np.testing.assert_allclose(dequantize(arrays, metadata)["w"], weight)


def test_a_network_is_loaded_from_a_quantized_file(tmp_path, rng):
    model = models.cifar("18pct")
    state = model.state_dict()
    names = [name for name in state if name.endswith("weight")]
    arrays, metadata = quantize(state, dict.fromkeys(names, 255))
    ta.save(tmp_path / "small", arrays, metadata | {"variant": "cifar-18pct"})
    assert (tmp_path / "small").stat().st_size < 95_000
    with nn.init.skipped():
        other = models.cifar("18pct")
    models.load_weights(other, tmp_path / "small")
    assert models.read_weights(tmp_path / "small").variant == "cifar-18pct"
    x = 60 * rng.standard_normal((2, 3, 32, 32)).astype("f")
    np.testing.assert_allclose(other(x).numpy(), model(x).numpy(), rtol=0.05, atol=1e-3)


@pytest.mark.parametrize("levels", [1, 4, 257])
def test_an_invalid_number_of_levels_is_refused(levels, state):
    with pytest.raises(ValueError, match=f"from 3 to 255 for fc.weight, got {levels}"):
        quantize(state, {"fc.weight": levels})


@pytest.mark.parametrize(
    "entry",
    [
        [9, 7, 10, 1],
        [9, 7, 11],
        [9],
        9,
        [8, 7, 10],
        [9.0, 7, 10],
        [9, -7, -10],
        [True, 7, 10],
        [9, 2**40, 1],
        [9, *[1] * 9, 70],
        ["9", 7, 10],
    ],
    ids=str,
)
def test_an_entry_that_does_not_match_the_arrays_is_refused(entry, state, tmp_path):
    arrays, _ = quantize({"w": state["fc.weight"]}, {"w": 9})
    if entry == [9, 7, 10, 1]:
        arrays["w.scale"] = arrays["w.scale"][:9]
    ta.save(tmp_path / "bad", arrays, {QUANTIZED: json.dumps({"w": entry})})
    with pytest.raises(ValueError, match=r"cannot read .*bad.* for 'w', but the file has no arr"):
        models.read_weights(tmp_path / "bad")


@pytest.mark.parametrize("text", ["[]", "{", "[" * 100_000, '"x"'])
def test_an_entry_that_is_no_dict_is_refused(text, tmp_path, state):
    ta.save(tmp_path / "bad", state, {QUANTIZED: text})
    with pytest.raises(ValueError, match="expected the metadata entry 'quantized' to be a dict"):
        models.read_weights(tmp_path / "bad")


def test_a_quantized_array_without_its_scale_is_refused(state):
    arrays, metadata = quantize(state, {"fc.weight": 9})
    del arrays["fc.weight.scale"]
    with pytest.raises(ValueError, match="for 'fc.weight', but the file has no arrays"):
        dequantize(arrays, metadata)
