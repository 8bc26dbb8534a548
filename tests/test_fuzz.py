"""Random layers against their naive versions, and by gradcheck."""

import numpy as np
import pytest
from geometries import DTYPES, convolutions, pools
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinyalex as ta
from tinyalex import functional as F
from tinyalex.functional.arguments import output_size
from tinyalex.functional.convolution import conv2d_naive
from tinyalex.functional.normalization import local_response_norm_naive
from tinyalex.functional.pooling import avg_pool2d_naive, max_pool2d_naive
from tinyalex.kernels.geometry import Window

pytestmark = [pytest.mark.anywhere, pytest.mark.slow]


def normal(shape, dtype="float64"):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def both(value):
    return value if isinstance(value, tuple) else (value, value)


def result_or_discard(f, *arrays, **options):
    """The result of f; an example with invalid arguments is discarded."""
    try:
        return f(*arrays, **options)
    except ValueError:
        assume(False)


def close(ours, naive, dtype):
    assert ours.dtype == dtype
    np.testing.assert_allclose(
        ours.numpy(),
        naive,
        rtol=1e-4 if dtype == "float32" else 1e-10,
        atol=1e-5 if dtype == "float32" else 1e-12,
    )


@settings(max_examples=60)
@given(convolutions(), DTYPES)
def test_conv2d(layer, dtype):
    shapes, options = layer
    arrays = [normal(shape, dtype) for shape in shapes]
    y = result_or_discard(F.conv2d, *arrays, **options)
    if options["padding"] not in ("same", "valid"):
        x = arrays[0].reshape(-1, *arrays[0].shape[-3:])
        geometry = {name: both(options[name]) for name in ("stride", "padding", "dilation")}
        close(
            y,
            conv2d_naive(x, *arrays[1:], **geometry, groups=options["groups"]).reshape(y.shape),
            dtype,
        )
    assert ta.gradcheck(lambda *a: F.conv2d(*a, **options), arrays, fast=True).ok


@settings(max_examples=60)
@given(pools(dilated=True), DTYPES)
def test_max_pool2d(layer, dtype):
    shape, options = layer
    x = np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape).astype(dtype) / 10
    y = result_or_discard(F.max_pool2d, x, **options)
    batch = x.reshape(-1, *shape[-3:])
    window = Window(
        *(both(options[n] or options["kernel_size"]) for n in ("kernel_size", "stride")),
        *map(both, (options["padding"], options["dilation"])),
    )
    out = output_size(
        "max_pool2d",
        batch.shape[2:],
        window,
        window.padding,
        options["ceil_mode"],
        starts_inside=True,
    )
    try:
        naive = max_pool2d_naive(batch, window, out)
    except ValueError:  # a dilated window may contain no pixel of the image
        return
    close(y, naive.reshape(y.shape), dtype)
    assert ta.gradcheck(lambda t: F.max_pool2d(t, **options), x, fast=True).ok


@settings(max_examples=60)
@given(pools(dilated=False), DTYPES)
def test_avg_pool2d(layer, dtype):
    shape, options = layer
    x = normal(shape, dtype)
    y = result_or_discard(F.avg_pool2d, x, **options)
    if not options["count_include_pad"] and options["divisor_override"] is None:
        batch = x.reshape(-1, *shape[-3:])
        window = Window(
            *(both(options[n] or options["kernel_size"]) for n in ("kernel_size", "stride")),
            both(options["padding"]),
        )
        out = output_size(
            "avg_pool2d",
            batch.shape[2:],
            window,
            window.padding,
            options["ceil_mode"],
            starts_inside=True,
        )
        close(y, avg_pool2d_naive(batch, window, out).reshape(y.shape), dtype)
    assert ta.gradcheck(lambda t: F.avg_pool2d(t, **options), x, fast=True).ok


@settings(max_examples=60)
@given(
    st.integers(1, 4), st.integers(1, 4), st.integers(1, 9), st.lists(st.integers(1, 3), min_size=1, max_size=3),
    st.sampled_from([1e-4, 0.1, 1.0]), st.sampled_from([0.5, 0.75, 1.0]), st.sampled_from(["sum", "mean"]), DTYPES,
)  # fmt: skip
def test_local_response_norm(groups, per_group, size, space, alpha, beta, mode, dtype):
    x = normal((2, groups * per_group, *space), dtype)
    y = F.local_response_norm(x, size, alpha, beta, 2.0, alpha_mode=mode, groups=groups)
    close(
        y,
        local_response_norm_naive(
            x, size, alpha / size if mode == "mean" else alpha, beta, 2.0, groups
        ),
        dtype,
    )
    assert ta.gradcheck(
        lambda t: F.local_response_norm(t, size, alpha, beta, 2.0, alpha_mode=mode, groups=groups),
        x,
        fast=True,
    ).ok


SHAPES = st.lists(st.integers(0, 3), max_size=4).map(tuple)


@settings(max_examples=60)
@given(SHAPES, st.data(), DTYPES)
def test_reductions_reshapes_and_indices(shape, data, dtype):
    x = normal(shape, dtype)
    axes = data.draw(
        st.one_of(
            st.none(),
            st.lists(st.sampled_from(range(len(shape))), unique=True).map(tuple)
            if shape
            else st.none(),
        )
    )
    keepdims = data.draw(st.booleans())
    f = lambda t: t.sum(axes, keepdims) + (t * t).mean(axes, keepdims)  # noqa: E731
    if x.size:
        close(
            f(ta.Tensor(x)),
            x.sum(axes, keepdims=keepdims) + (x * x).mean(axes, keepdims=keepdims),
            dtype,
        )
    order = data.draw(st.permutations(range(len(shape))))
    moved = ta.Tensor(x).transpose(order).reshape(-1)
    close(moved, x.transpose(order).reshape(-1), dtype)
    assert ta.gradcheck(lambda t: t.transpose(order).reshape(-1) * 2 + 1, x, fast=True).ok
    if x.size:
        assert ta.gradcheck(f, x, fast=True).ok
        index = data.draw(st.lists(st.integers(0, x.size - 1), min_size=1, max_size=5))
        assert ta.gradcheck(lambda t: t.reshape(-1)[index] ** 2, x + 3, fast=True).ok


@settings(max_examples=60)
@given(SHAPES, SHAPES, st.sampled_from(["+", "-", "*", "/"]), DTYPES)
def test_broadcasting(one, two, operator, dtype):
    x, y = normal(one, dtype), normal(two, dtype) + 5
    f = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
        "/": lambda a, b: a / b,
    }[operator]
    try:
        np.broadcast_shapes(one, two)
    except ValueError:
        with pytest.raises(ValueError, match="do not broadcast"):
            f(ta.Tensor(x), ta.Tensor(y))
        return
    close(f(ta.Tensor(x), ta.Tensor(y)), f(x, y), dtype)
    assert ta.gradcheck(f, [x, y], fast=True).ok
