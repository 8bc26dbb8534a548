"""What a GPU computes in one kernel, or keeps: launches, and the same results."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import emulator, nn
from tinyalex import functional as F
from tinyalex.device import tiles, to_numpy
from tinyalex.kernels.cuda import convolution
from tinyalex.nn.fusion import fuse

pytestmark = pytest.mark.gpu

on_the_emulator = pytest.mark.skipif(
    not emulator.is_installed(), reason="a GPU does not count launches"
)


def layer(device, rng):
    """x and w of a convolution with two groups."""
    arrays = (rng.standard_normal(shape).astype("f") for shape in ((5, 4, 9, 8), (6, 2, 3, 3)))
    return [ta.Tensor(a, requires_grad=True, device=device) for a in arrays]


def gradients(y, leaves):
    for leaf in leaves:
        leaf.grad = None
    y.sum().backward(retain_graph=True)
    return [to_numpy(leaf.grad) for leaf in leaves]


@on_the_emulator
def test_columns_that_are_kept_are_not_computed_again(device, monkeypatch):
    found = []
    for kept in (1 << 30, 0):
        monkeypatch.setattr(convolution, "_memory_bytes", lambda name, kept=kept: 1000 * kept)
        with emulator.counting() as counts:
            leaves = layer(device, np.random.default_rng(0))
            y = F.conv2d(*leaves, padding=1, groups=2, relu=True)
            once = gradients(y, leaves)
        assert counts.launches["im2col<float>"] == (1 if kept else 2)
        for one, other in zip(once, gradients(y, leaves), strict=True):  # dx has overwritten none
            np.testing.assert_array_equal(one, other)
        found.append(once)
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@on_the_emulator
def test_all_columns_that_are_kept_at_a_time_take_a_limited_part_of_the_memory(device, monkeypatch):
    def results(count):
        leaves = layer(device, np.random.default_rng(0))
        return [F.conv2d(*leaves, padding=1, groups=2) for _ in range(count)]

    first = results(1)
    size = first[0].creator.kept_columns.nbytes
    monkeypatch.setattr(convolution, "MAX_KEPT_SHARE", 4)
    monkeypatch.setattr(convolution, "_memory_bytes", lambda name: 4 * 3 * size)
    assert [y.creator.kept_columns is not None for y in results(4)] == [True, True, False, False]
    first[0].sum().backward()  # frees its graph
    assert [y.creator.kept_columns is not None for y in results(4)] == [True, True, True, False]


@pytest.mark.parametrize("norm", [None, {"size": 3, "alpha": 0.5}])
def test_columns_are_kept_only_for_the_gradient_of_a_weight_and_of_one_tile(
    device, rng, monkeypatch, norm
):
    options = {"padding": 1, "groups": 2, "relu": norm is not None, "norm": norm}
    x, w = layer(device, rng)
    y = F.conv2d(x, w, **options)
    assert y.creator.kept_columns is not None
    assert F.conv2d(x, w.detach(), **options).creator.kept_columns is None
    whole = gradients(y, (x, w))
    monkeypatch.setattr(tiles, "_gpu_tile_bytes", lambda name: 1)
    in_tiles = F.conv2d(x, w, **options)
    assert in_tiles.creator.kept_columns is None
    for one, other in zip(whole, gradients(in_tiles, (x, w)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_sequential_fuses_a_convolution_its_relu_and_normalization(device, dtype, rng):
    norm = nn.LocalResponseNorm(5, alpha=0.1, k=2.0, alpha_mode="sum", groups=2)
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), norm, nn.MaxPool2d(2)
    model = nn.Sequential(*layers).to("cpu")
    assert [stage.fused for stage in fuse(layers)] == [(layers[1],), (), ()]
    model.to(device)
    assert [stage.fused for stage in fuse(layers)] == [(layers[1], norm), ()]
    x, found = rng.standard_normal((4, 3, 11, 11)).astype("f"), []
    for enabled in (True, False):
        with ta.fast(enabled), ta.autocast(enabled=dtype == "float16"):
            y = model(ta.Tensor(x, device=device))
        names = {type(y.creator).__name__, type(y.creator.inputs[0]).__name__}
        assert names == {"MaxPool2d", "Conv2d" if enabled else "LocalResponseNorm"}
        y.sum().backward()
        found.append([y.numpy(), *(to_numpy(p.grad) for p in layers[0].parameters())])
        for p in layers[0].parameters():
            p.grad = None
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * abs(other).max())
