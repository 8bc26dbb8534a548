"""tinyalex and PyTorch agree in values, gradients and errors of random layers."""

import numpy as np
import pytest
from geometries import DTYPES, convolutions, pairs, pools
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_peers import assert_equal

from tinyalex import functional as F

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers installs it")
TF = torch.nn.functional

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths"),
]


def agree(ours, theirs, arrays, dtype):
    """Both return the same values and gradients, or both raise."""
    try:
        theirs(*(torch.tensor(a) for a in arrays))
    except (RuntimeError, ValueError, TypeError, IndexError):
        with pytest.raises((ValueError, TypeError), match=r"\w+: .*"):
            ours(*arrays)
        return
    assert_equal(ours, theirs, arrays, np.dtype(dtype))


def normal(shape, dtype):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


@settings(max_examples=150)
@given(convolutions(), DTYPES)
def test_conv2d(layer, dtype):
    shapes, options = layer
    agree(
        lambda *a: F.conv2d(*a, **options),
        lambda *a: TF.conv2d(*a, **options),
        [normal(s, dtype) for s in shapes],
        dtype,
    )


@settings(max_examples=150)
@given(pools(dilated=True), DTYPES)
def test_max_pool2d(layer, dtype):
    shape, options = layer
    if options["dilation"] not in (1, (1, 1)):
        # A window may then contain no pixel. Both return -inf, but the backward pass of
        # torch 2.13 writes out of bounds and aborts.
        try:
            assume(np.isfinite(F.max_pool2d(normal(shape, dtype), **options).numpy()).all())
        except ValueError:
            assume(False)
    agree(
        lambda x: F.max_pool2d(x, **options),
        lambda x: TF.max_pool2d(x, **options),
        [normal(shape, dtype)],
        dtype,
    )


@settings(max_examples=150)
@given(pools(dilated=False), DTYPES)
def test_avg_pool2d(layer, dtype):
    shape, options = layer
    agree(
        lambda x: F.avg_pool2d(x, **options),
        lambda x: TF.avg_pool2d(x, **options),
        [normal(shape, dtype)],
        dtype,
    )


@settings(max_examples=60)
@given(st.lists(st.integers(1, 5), min_size=3, max_size=4), pairs(1, 6), DTYPES)
def test_adaptive_avg_pool2d(shape, size, dtype):
    agree(
        lambda x: F.adaptive_avg_pool2d(x, size),
        lambda x: TF.adaptive_avg_pool2d(x, size),
        [normal(shape, dtype)],
        dtype,
    )


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=5),
    st.integers(1, 9),
    st.sampled_from([1e-4, 1.0]),
    DTYPES,
)
def test_local_response_norm(shape, size, alpha, dtype):
    agree(
        lambda x: F.local_response_norm(x, size, alpha),
        lambda x: TF.local_response_norm(x, size, alpha),
        [normal(shape, dtype)],
        dtype,
    )


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 4), max_size=3),
    st.integers(-4, 4),
    st.sampled_from(["softmax", "log_softmax"]),
    DTYPES,
)
def test_softmax(shape, dim, name, dtype):
    agree(
        lambda x: getattr(F, name)(x, dim),
        lambda x: getattr(TF, name)(x, dim),
        [normal(shape, dtype)],
        dtype,
    )


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.lists(st.integers(-2, 3), max_size=6),
    DTYPES,
)
def test_pad(shape, widths, dtype):
    agree(
        lambda x: F.pad(x, widths, value=2.0),
        lambda x: TF.pad(x, widths, value=2.0),
        [normal(shape, dtype)],
        dtype,
    )


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=3), min_size=1, max_size=3),
    st.integers(-3, 3),
    DTYPES,
)
def test_cat(shapes, dim, dtype):
    agree(
        lambda *a: F.cat(a, dim),
        lambda *a: torch.cat(a, dim),
        [normal(s, dtype) for s in shapes],
        dtype,
    )


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 3), max_size=3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.booleans(),
    DTYPES,
)
def test_linear(leading, features, outputs, biased, dtype):
    shapes = [(*leading, features), (outputs, features), (outputs,)][: 2 + biased]
    agree(F.linear, TF.linear, [normal(s, dtype) for s in shapes], dtype)


@settings(max_examples=100)
@given(
    st.integers(1, 4), st.lists(st.integers(1, 3), max_size=2), st.booleans(), st.booleans(),
    st.sampled_from(["mean", "sum", "none"]), st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from([-100, 0, 2]), DTYPES,
)  # fmt: skip
def test_cross_entropy_of_class_indices(
    classes, space, single, weighted, reduction, smoothing, ignore, dtype
):
    shape = (classes,) if single else (3, classes, *space)
    labels = np.random.default_rng(1).integers(0, classes, () if single else (3, *space))
    w = np.linspace(0.5, 2, classes).astype(dtype) if weighted else None
    options = {"ignore_index": ignore, "reduction": reduction, "label_smoothing": smoothing}
    agree(
        lambda x: F.cross_entropy(x, labels, w, **options),
        lambda x: TF.cross_entropy(
            x, torch.tensor(labels), None if w is None else torch.tensor(w), **options
        ),
        [normal(shape, dtype)],
        dtype,
    )


@settings(max_examples=60)
@given(
    st.integers(1, 4),
    st.lists(st.integers(1, 3), max_size=2),
    st.booleans(),
    st.sampled_from(["mean", "sum", "none"]),
    st.sampled_from([0.0, 0.3]),
    DTYPES,
)
def test_cross_entropy_of_probabilities(classes, space, weighted, reduction, smoothing, dtype):
    shape = (3, classes, *space)
    t = np.abs(normal(shape, dtype))
    t /= t.sum(axis=1, keepdims=True)
    w = np.linspace(0.5, 2, classes).astype(dtype) if weighted else None
    options = {"reduction": reduction, "label_smoothing": smoothing}
    agree(
        lambda x, y: F.cross_entropy(x, y, w, **options),
        lambda x, y: TF.cross_entropy(x, y, None if w is None else torch.tensor(w), **options),
        [2 * normal(shape, dtype), t],
        dtype,
    )
