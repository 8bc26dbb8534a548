"""Sums of float16 are computed in float32, on both devices, and rounded once."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import device as devices
from tinyalex import functional as F
from tinyalex import ops
from tinyalex.functional.convolution import Conv2d, conv_algorithm, conv_shape
from tinyalex.functional.locally_connected import LocallyConnected2d

HALF, FLOAT = np.dtype("float16"), np.dtype("float32")

K = 1 << 16
"""Terms of a sum, whose running total in float16 would lose most of them."""

SUMS = {
    "linear": (F.linear, (2, K), (3, K)),
    "linear, dw and db": (F.linear, (K, 2), (3, 2), (3,)),
    "conv2d": (F.conv2d, (1, K // 4, 3, 3), (2, K // 4, 2, 2)),
    "conv2d, dw and db": (F.conv2d, (2, 1, 256, 128), (2, 1, 1, 1), (2,)),
    "conv2d, dx": (F.conv2d, (1, 1, 3, 3), (K, 1, 2, 2)),
    "conv2d, many windows": (F.conv2d, (1, 1, 1, 1025), (2, 1, 1, 513)),
    "locally_connected2d": (F.locally_connected2d, (1, K, 2, 2), (2, 2, 3, K, 1, 1)),
    "locally_connected2d, dw and db": (
        F.locally_connected2d,
        *((K, 1, 2, 1), (2, 1, 2, 1, 1, 1), (2, 1, 2)),
    ),
    "matmul": (ta.matmul, (2, K), (K, 3)),
    "matmul, stacks": (ta.matmul, (2, 2, K), (2, K, 3)),
    "+, broadcast": (ops.Add.apply, (K, 2), (2,)),
}


def results(operation, arrays, dtype, device):
    """The output and the gradients in float64, for a cotangent of 1/16."""
    inputs = [ta.tensor(a, dtype=dtype, device=device, requires_grad=True) for a in arrays]
    y = operation(*inputs)
    y.backward(np.full(y.shape, 1 / 16, dtype))
    return [devices.to_numpy(a).astype("d") for a in (y.data, *(x.grad for x in inputs))]


@pytest.mark.parametrize("name", SUMS)
def test_float16_is_added_in_float32(name, device, rng):
    """Terms are positive: results have the relative error of their roundings, 2**-11
    each. There are up to two: bias after the product, col2im after the columns."""
    operation, *shapes = SUMS[name]
    arrays = [rng.uniform(1 / 32, 3 / 32, shape).astype(HALF) for shape in shapes]
    exact = results(operation, arrays, "float64", "cpu")
    for got, expected in zip(results(operation, arrays, HALF, device), exact, strict=True):
        np.testing.assert_allclose(got, expected, rtol=2 * 2**-11 + 2**-20)


@pytest.mark.parametrize(
    "dot",
    [
        lambda x, y: x @ y,
        lambda x, y: x[None] @ y[:, None],
        lambda x, y: F.linear(x[None], y[None]),
    ],
    ids=["vectors", "row and column", "linear"],
)
def test_dot_products_are_added_in_float32(dot, device):
    """In float16, 2048 + 1 is 2048."""
    x, y = np.ones(65, HALF), np.ones(65, HALF)
    x[0] = 2048
    assert dot(ta.tensor(x), ta.tensor(y)).item() == 2112


@pytest.mark.parametrize(
    ("operation", "w", "b"),
    [(F.conv2d, (1, 1, 1, 1), 1), (F.locally_connected2d, (1, 1, 1, 1, 1, 1), (1, 1, 1))],
    ids=["conv2d", "locally_connected2d"],
)
def test_the_gradients_of_tiles_are_added_in_float32(operation, w, b, device, monkeypatch):
    monkeypatch.setattr(devices.tiles, "MAX_TILE_BYTES", 1)
    monkeypatch.setattr(devices.tiles, "_gpu_tile_bytes", lambda _: 1)
    x = ta.ones(65, 1, 1, 1, dtype=HALF)
    weight, bias = (ta.ones(s, dtype=HALF, requires_grad=True) for s in (w, b))
    dy = np.ones((65, 1, 1, 1), HALF)
    dy[0] = 2048
    operation(x, weight, bias).backward(dy)
    assert weight.grad.item() == bias.grad.item() == 2112


def test_tiles_of_locally_connected_layers_count_the_bytes_of_their_dtype(device):
    """On the CPU, columns of float16 images are float32."""
    layer = LocallyConnected2d()
    layer.x, layer.w = ta.ones(1, 2, 3, 3, dtype=HALF).data, ta.ones(2, 2, 5, 2, 2, 2).data
    layer.out = 2, 2
    col = layer.columns(devices.Scratch(devices.xp(layer.x)), 1)
    filters = 2 * 2 * 5 * col.itemsize
    assert layer.bytes_each() == col.nbytes + filters
    assert col.itemsize == (4 if device == "cpu" else 2)


def test_float16_products_are_rounded_once(device, rng):
    """The error of rounding, 2**-11 of each value, and of a sum in float32."""
    x, w = (rng.standard_normal(shape).astype(HALF) for shape in ((3, 500), (500, 4)))
    y = (ta.tensor(x) @ ta.tensor(w)).numpy()
    exact = x.astype("d") @ w.astype("d")
    sums = abs(x.astype("d")) @ abs(w.astype("d"))
    assert (abs(y - exact) <= 2**-11 * abs(exact) + 500 * 2**-24 * sums).all()
    assert abs(y - exact).max() > 0


def test_no_other_convolution_is_chosen_for_float16():
    shape = conv_shape((16, 16, 16, 16), (16, 16, 3, 3), padding=1)
    assert conv_algorithm(shape, FLOAT, "cpu", True) is not Conv2d
    assert conv_algorithm(shape, HALF, "cpu", True) is Conv2d
