import re

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import nn
from tinyalex.functional.locally_connected import locally_connected2d_naive

pytestmark = pytest.mark.anywhere

GEOMETRIES = [((1, 1), (0, 0), (3, 2)), ((1, 1), (1, 2), (3, 3)), ((2, 3), (2, 1), (4, 3))]
"""Strides, paddings and kernels."""


def arguments(rng, stride, padding, kernel, dtype="float64", images=3):
    """Images (N, 2, 6, 7), weights and biases of 4 filters for each position."""
    out = [
        (size + 2 * p - k) // s + 1
        for size, s, p, k in zip((6, 7), stride, padding, kernel, strict=True)
    ]
    shapes = (images, 2, 6, 7), (*out, 4, 2, *kernel), (*out, 4)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize(("stride", "padding", "kernel"), GEOMETRIES)
def test_locally_connected2d_equals_its_naive_version(stride, padding, kernel, dtype, rng):
    x, w, b = arguments(rng, stride, padding, kernel, dtype)
    tolerance = {"rtol": 1e-4, "atol": 1e-5}
    for bias in (b, None):
        y = F.locally_connected2d(x, w, bias, stride, padding)
        assert y.dtype == dtype
        expected = locally_connected2d_naive(x, w, bias, stride, padding)
        np.testing.assert_allclose(y.numpy(), expected, **tolerance)
    single = F.locally_connected2d(x[0], w, b, stride, padding)
    expected = locally_connected2d_naive(x[:1], w, b, stride, padding)[0]
    np.testing.assert_allclose(single.numpy(), expected, **tolerance)


@pytest.mark.parametrize(("stride", "padding", "kernel"), GEOMETRIES)
def test_gradcheck_accepts_locally_connected2d(stride, padding, kernel, rng, device):
    inputs = arguments(rng, stride, padding, kernel, images=2)
    fast = device != "cpu"  # each element would be two launches of each kernel
    assert ta.gradcheck(lambda *t: F.locally_connected2d(*t, stride, padding), inputs, fast=fast).ok


def test_with_equal_weights_it_is_a_convolution(rng):
    x = rng.standard_normal((5, 3, 6, 6)).astype("float32")
    w, b = rng.standard_normal((4, 3, 3, 3)).astype("f"), rng.standard_normal(4).astype("f")
    y = F.locally_connected2d(x, np.tile(w, (6, 6, 1, 1, 1, 1)), np.tile(b, (6, 6, 1)), 1, 1)
    np.testing.assert_allclose(
        y.numpy(), F.conv2d(x, w, b, padding=1).numpy(), rtol=1e-4, atol=1e-5
    )


def test_gradients_of_a_large_batch_are_sums_over_its_tiles(rng, monkeypatch):
    x, w, b = arguments(rng, (1, 1), (1, 1), (3, 3), images=7)
    dy = rng.standard_normal((7, 4, 6, 7))

    def gradients():
        tensors = [ta.Tensor(a, requires_grad=True) for a in (x, w, b)]
        F.locally_connected2d(*tensors, padding=1).backward(dy)
        return [ta.Tensor(t.grad).numpy() for t in tensors]

    expected = gradients()
    for limit in ("MAX_TILE_BYTES", "max_gpu_tile_bytes"):
        monkeypatch.setattr(f"tinyalex.device.tiles.{limit}", 20_000)
    for found, wanted in zip(gradients(), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-10)


def test_an_empty_batch_has_empty_outputs_and_zero_gradients(rng):
    x, w, b = (
        ta.Tensor(a, requires_grad=True)
        for a in arguments(rng, (1, 1), (0, 0), (3, 2), "float32", images=0)
    )
    y = F.locally_connected2d(x, w, b)
    assert y.shape == (0, 4, 4, 6)
    y.sum().backward()
    assert x.grad.shape == x.shape
    assert float(abs(w.grad).max()) == float(abs(b.grad).max()) == 0


def test_the_layer_has_a_filter_for_each_position(rng):
    layer = nn.LocallyConnected2d(3, 4, 5, stride=2, padding=2, input_size=(8, 6))
    assert layer.weight.shape == (4, 3, 4, 3, 5, 5)
    assert layer.bias.shape == (4, 3, 4)
    x = rng.standard_normal((2, 3, 8, 6)).astype("float32")
    expected = locally_connected2d_naive(
        x, layer.weight.numpy(), layer.bias.numpy(), (2, 2), (2, 2)
    )
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-4, atol=1e-5)
    assert layer.multiply_adds((4, 4, 3)) == 4 * 4 * 3 * 3 * 5 * 5
    assert "input_size=(8, 6)" in repr(layer)
    assert nn.LocallyConnected2d(3, 4, 5, bias=False, input_size=6).bias is None


def test_the_initial_weights_are_those_of_a_convolution():
    layer = nn.LocallyConnected2d(3, 40, 5, input_size=9)
    bound = 1 / np.sqrt(3 * 5 * 5)
    for p in (layer.weight, layer.bias):
        assert bound * 0.99 < abs(p.numpy()).max() <= bound
    nn.init.kaiming_normal_(layer.weight)
    np.testing.assert_allclose(layer.weight.numpy().std(), np.sqrt(2) * bound, rtol=0.01)
    nn.init.xavier_uniform_(layer.weight)
    bound = np.sqrt(6 / (3 * 25 + 40 * 25))
    assert bound * 0.99 < abs(layer.weight.numpy()).max() <= bound


@pytest.mark.parametrize(
    ("x", "w", "b", "message"),
    [
        ((1, 3, 4, 4), (4, 4, 8, 3, 3), None, "expected (OH, OW, O, C, KH, KW), not empty"),
        ((1, 3, 4, 4), (2, 2, 0, 3, 3, 3), None, "expected (OH, OW, O, C, KH, KW), not empty"),
        (
            (1, 2, 4, 4),
            (2, 2, 8, 3, 3, 3),
            None,
            "input has 2 channels, but weight (2, 2, 8, 3, 3, 3) expects 3",
        ),
        (
            (1, 3, 4, 4),
            (2, 2, 8, 3, 3, 3),
            (8,),
            "bias has shape (8,), but weight (2, 2, 8, 3, 3, 3) expects (2, 2, 8)",
        ),
        (
            (1, 3, 5, 4),
            (2, 2, 8, 3, 3, 3),
            None,
            "has filters for 2 x 2 positions, but input (1, 3, 5, 4) has 3 x 2. Use images of the "
            "size for which the weight was made",
        ),
        ((3, 2), (2, 2, 8, 3, 3, 3), None, "expected (N, C, H, W), or (C, H, W) for a single"),
        ((1, 3, 2, 2), (1, 1, 8, 3, 3, 3), None, "a window of 3 x 3 pixels does not fit"),
    ],
)
def test_errors_name_the_shapes_that_do_not_match(x, w, b, message):
    arrays = [None if shape is None else np.zeros(shape, "f") for shape in (x, w, b)]
    with pytest.raises(ValueError, match=f"locally_connected2d: .*{re.escape(message)}"):
        F.locally_connected2d(*arrays)


def test_the_layer_names_invalid_sizes():
    with pytest.raises(ValueError, match="LocallyConnected2d: input_size must be at least 1"):
        nn.LocallyConnected2d(3, 4, 3, input_size=0)
    with pytest.raises(ValueError, match="LocallyConnected2d: out_channels must be at least 1"):
        nn.LocallyConnected2d(3, 0, 3, input_size=4)
    with pytest.raises(ValueError, match="LocallyConnected2d: a window of 3 x 3 pixels does not"):
        nn.LocallyConnected2d(3, 4, 3, input_size=2)
