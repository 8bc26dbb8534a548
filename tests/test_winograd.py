"""Winograd's convolution: its matrices are exact, and its answers are im2col's to the error that its file documents."""

import os
import subprocess
import sys

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import device as devices
from tinyalex import functional as F
from tinyalex.functional.arguments import Window
from tinyalex.kernels.cpu.convolution import toom_cook
from tinyalex.kernels.cpu.convolution import winograd as w

SHAPES = {
    "3x3": {"x": (9, 32, 13, 13), "w": (48, 32, 3, 3), "padding": 1},
    "5x5 in two groups": {"x": (5, 64, 27, 27), "w": (96, 32, 5, 5), "padding": 2, "groups": 2},
    "wide, no border": {"x": (7, 16, 9, 30), "w": (16, 16, 3, 3)},
    "border of a whole window": {"x": (8, 16, 12, 11), "w": (20, 16, 3, 3), "padding": 2},
    "conv1": {"x": (5, 3, 67, 67), "w": (32, 3, 11, 11), "stride": 4, "padding": 2},
    "5x5 stride 2": {"x": (4, 4, 33, 33), "w": (16, 4, 5, 5), "stride": 2, "padding": 2},
    "pixels that no window sees": {"x": (17, 16, 38, 40), "w": (16, 16, 11, 11), "stride": 4},
}
ERRORS = {"fast": 5e-6, "accurate": 2e-6}


@pytest.fixture
def setting():
    yield w.use
    w.use("fast")


def error(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def gradients(x, weight, bias, dy, dtype, **options):
    tensors = [ta.Tensor(a.astype(dtype), requires_grad=True) for a in (x, weight, bias)]
    y = F.conv2d(*tensors, **options)
    assert (y.creator.fast is not None) == (dtype == "float32")
    y.backward(dy.astype(dtype))
    return [y.numpy(), *(t.grad for t in tensors)]


@pytest.mark.parametrize(("m", "r"), [(2, 3), (4, 3), (5, 3), (2, 5), (4, 5), (3, 2), (1, 3)])
def test_the_matrices_compute_a_correlation_exactly(m, r, rng):
    at, g, bt = toom_cook.matrices(m, r)
    x, taps = rng.integers(-9, 9, m + r - 1), rng.integers(-9, 9, r)
    np.testing.assert_allclose(
        at @ ((g @ taps) * (bt @ x)), np.correlate(x, taps, "valid"), rtol=1e-11, atol=1e-11
    )


def test_the_point_one_sees_every_output():
    for m, r in ((5, 3), (4, 5), (2, 3)):
        assert (toom_cook.matrices(m, r)[0][:, toom_cook.ONE] == 1).all()


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("shape", SHAPES)
def test_it_agrees_with_im2col_in_float64(shape, name, setting, rng):
    options = dict(SHAPES[shape])
    x, weight = (rng.standard_normal(options.pop(key)) for key in ("x", "w"))
    weight /= np.sqrt(weight[0].size)
    bias = rng.standard_normal(len(weight))
    dy = rng.standard_normal(F.conv2d(x, weight, **options).shape)
    right = gradients(x, weight, bias, dy, "float64", **options)
    setting(name)
    fast = gradients(x, weight, bias, dy, "float32", **options)
    for what, a, b in zip(("y", "dx", "dw", "db"), fast, right, strict=True):
        assert error(a, b) < 2 * ERRORS[name], what
    assert error(fast[0], right[0]) < ERRORS[name]


def test_off_is_im2col_and_more_accurate_tiles_are_more_accurate(setting, rng):
    x, weight = rng.standard_normal((8, 64, 13, 13)), rng.standard_normal((64, 64, 3, 3)) / 24
    right = F.conv2d(x, weight, padding=1).numpy()
    errors = {}
    for name in w.SIZES:
        setting(name)
        errors[name] = error(F.conv2d(x.astype("f"), weight.astype("f"), padding=1).numpy(), right)
    assert max(errors["off"], errors["accurate"]) < errors["fast"] / 2 < 2.5e-6
    with pytest.raises(
        ValueError, match=r"winograd.use: expected one of fast, accurate, off, got 'slow'"
    ):
        w.use("slow")


@pytest.mark.parametrize(
    ("x", "weight", "window"),
    [
        ((8, 32, 13, 13), (32, 32, 3, 3), Window((3, 3), (1, 1), (1, 1), (2, 2))),
        ((8, 32, 13, 13), (32, 32, 1, 1), Window((1, 1), (1, 1), (0, 0))),
        ((8, 32, 13, 13), (32, 32, 3, 5), Window((3, 5), (1, 1), (1, 1))),
        ((8, 32, 13, 13), (32, 32, 3, 3), Window((3, 3), (1, 2), (1, 1))),
        ((8, 3, 32, 32), (32, 3, 5, 5), Window((5, 5), (1, 1), (2, 2))),
        ((1, 32, 13, 13), (32, 32, 3, 3), Window((3, 3), (1, 1), (1, 1))),
    ],
    ids=["dilated", "1x1", "not square", "two strides", "three channels", "a single small image"],
)
def test_other_windows_and_little_work_are_left_to_im2col(x, weight, window):
    x, weight = np.zeros(x, "f"), np.zeros(weight, "f")
    assert w.winograd(x, weight, window, (13, 13), 1) is None
    assert w.winograd(x.astype("d"), weight.astype("d"), window, (13, 13), 1) is None


def test_threads_give_the_same_bits_each_time(rng, monkeypatch):
    monkeypatch.setattr(devices.tiles, "workers", lambda: 2)
    x, weight, bias = (rng.standard_normal(s) for s in ((40, 32, 13, 13), (32, 32, 3, 3), (32,)))
    dy = rng.standard_normal((40, 32, 13, 13))
    first, second = (gradients(x, weight, bias, dy, "float32", padding=1) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_images_that_lie_in_any_order_give_the_same_answer(rng):
    x, weight = (
        rng.standard_normal((8, 32, 13, 13)).astype("f"),
        rng.standard_normal((32, 32, 3, 3)).astype("f"),
    )
    lies_otherwise = np.asfortranarray(x)[:, ::-1][:, ::-1]
    np.testing.assert_array_equal(
        F.conv2d(x, weight).numpy(), F.conv2d(lies_otherwise, weight).numpy()
    )


def test_a_process_begins_with_what_the_environment_says():
    program = "from tinyalex.kernels.cpu.convolution import winograd; print(winograd.setting())"
    for value, expected in (("accurate", "accurate"), ("", "fast")):
        environment = os.environ | {"TINYALEX_WINOGRAD": value}
        result = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, env=environment
        )
        assert result.stdout.strip() == expected
