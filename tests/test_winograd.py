"""Winograd's algorithm: exact matrices, and the results of im2col up to rounding."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import device as devices
from tinyalex import functional as F
from tinyalex.kernels.cpu.convolution import winograd_transforms

SHAPES = {
    "3x3": {"x": (9, 32, 13, 13), "w": (48, 32, 3, 3), "padding": 1},
    "5x5 in two groups": {"x": (5, 64, 27, 27), "w": (96, 32, 5, 5), "padding": 2, "groups": 2},
    "wide, no padding": {"x": (7, 16, 9, 30), "w": (16, 16, 3, 3)},
    "padding of a whole window": {"x": (8, 16, 12, 11), "w": (20, 16, 3, 3), "padding": 2},
    "conv1": {"x": (5, 3, 67, 67), "w": (32, 3, 11, 11), "stride": 4, "padding": 2},
    "5x5 stride 2": {"x": (4, 4, 33, 33), "w": (16, 4, 5, 5), "stride": 2, "padding": 2},
    "pixels that no window sees": {"x": (17, 16, 38, 40), "w": (16, 16, 11, 11), "stride": 4},
}
MAX_ERROR = 5e-6


def error(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def gradients(x, weight, bias, dy, dtype, **options):
    """(the name of the algorithm, y, dx, dw, db)"""
    tensors = [ta.Tensor(a.astype(dtype), requires_grad=True) for a in (x, weight, bias)]
    y = F.conv2d(*tensors, **options)
    algorithm = type(y.creator).__name__
    y.backward(dy.astype(dtype))
    return algorithm, y.numpy(), *(t.grad for t in tensors)


@pytest.mark.parametrize(("m", "r"), [(2, 3), (4, 3), (5, 3), (2, 5), (4, 5), (3, 2), (1, 3)])
def test_the_matrices_compute_a_correlation_exactly(m, r, rng):
    at, g, bt = winograd_transforms.matrices(m, r)
    x, w = rng.integers(-9, 9, m + r - 1), rng.integers(-9, 9, r)
    expected = np.correlate(x, w, "valid")
    np.testing.assert_allclose(at @ ((g @ w) * (bt @ x)), expected, rtol=1e-11, atol=1e-11)


def test_every_output_depends_on_the_point_one_with_weight_one():
    for m, r in ((5, 3), (4, 5), (2, 3)):
        assert (winograd_transforms.matrices(m, r)[0][:, winograd_transforms.ONE] == 1).all()


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_winograd_equals_im2col_in_float64(shape, relu, rng):
    options = dict(SHAPES[shape], relu=relu)
    x, weight = (rng.standard_normal(options.pop(key)).astype("f") for key in ("x", "w"))
    weight /= np.float32(np.sqrt(weight[0].size))
    bias = rng.standard_normal(len(weight)).astype("f")
    dy = rng.standard_normal(F.conv2d(x, weight, **options).shape).astype("f")
    name, *right = gradients(x, weight, bias, dy, "float64", **options)
    assert name == "Conv2d"
    if relu:  # no gradient where rounding may decide whether an output is positive
        dy[np.abs(right[0]) < 1e-4] = 0
        near = F.conv2d(*(a.astype("d") for a in (x, weight, bias)), **options | {"relu": False})
        dy[np.abs(near.numpy()) < 1e-4] = 0
        name, *right = gradients(x, weight, bias, dy, "float64", **options)
    name, *fast = gradients(x, weight, bias, dy, "float32", **options)
    assert name == "Winograd"
    for what, a, b in zip(("y", "dx", "dw", "db"), fast, right, strict=True):
        assert error(a, b) < 2 * MAX_ERROR, what
    assert error(fast[0], right[0]) < MAX_ERROR


def test_im2col_is_more_accurate(rng):
    x, weight = rng.standard_normal((8, 64, 13, 13)), rng.standard_normal((64, 64, 3, 3)) / 24
    right = F.conv2d(x, weight, padding=1).numpy()
    errors = {}
    for enabled in (True, False):
        with ta.fast(enabled):
            y = F.conv2d(x.astype("f"), weight.astype("f"), padding=1).numpy()
        errors[enabled] = error(y, right)
    assert errors[False] < errors[True] / 2 < MAX_ERROR / 2


def test_workers_compute_the_same_bits_in_every_run(rng, monkeypatch):
    monkeypatch.setattr(devices.tiles, "workers", lambda: 2)
    x, weight, bias = (rng.standard_normal(s) for s in ((40, 32, 13, 13), (32, 32, 3, 3), (32,)))
    dy = rng.standard_normal((40, 32, 13, 13))
    first, second = (gradients(x, weight, bias, dy, "float32", padding=1)[1:] for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_result_does_not_depend_on_the_memory_order_of_the_images(rng):
    x = rng.standard_normal((8, 32, 13, 13)).astype("f")
    weight = rng.standard_normal((32, 32, 3, 3)).astype("f")
    other_order = np.asfortranarray(x)[:, ::-1][:, ::-1]
    expected = F.conv2d(x, weight).numpy()
    np.testing.assert_array_equal(F.conv2d(other_order, weight).numpy(), expected)


@pytest.mark.parametrize(
    "trained", [("x",), ("weight",), ("bias",), ("x", "bias"), ("weight", "bias")]
)
def test_only_the_gradients_that_are_needed_are_returned(trained, rng):
    arrays = {"x": (8, 16, 15, 15), "weight": (16, 16, 3, 3), "bias": (16,)}
    arrays = {name: rng.standard_normal(shape).astype("f") for name, shape in arrays.items()}
    tensors = {name: ta.Tensor(a, requires_grad=name in trained) for name, a in arrays.items()}
    y = F.conv2d(*tensors.values())
    assert type(y.creator).__name__ == "Winograd"
    y.sum().backward()
    assert [name for name, t in tensors.items() if t.grad is not None] == list(trained)
