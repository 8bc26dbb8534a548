"""cat and pad, and their gradients."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex.device import to_numpy

pytestmark = pytest.mark.anywhere


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_cat_concatenates_and_passes_gradcheck(dim, rng):
    arrays = [
        rng.standard_normal(np.add((2, 3, 4), (np.arange(3) == dim % 3) * n)) for n in (0, 1, -2)
    ]
    np.testing.assert_array_equal(F.cat(arrays, dim).numpy(), np.concatenate(arrays, dim))
    assert ta.gradcheck(lambda *parts: F.cat(parts, dim), arrays).ok


def test_cat_skips_tensors_of_shape_0():
    empty, x = (
        ta.Tensor(np.zeros(0), requires_grad=True),
        ta.Tensor(np.ones((2, 3)), requires_grad=True),
    )
    y = F.cat([empty, x, x], 1)
    y.backward(np.ones((2, 6)))
    assert y.shape == (2, 6)
    np.testing.assert_array_equal(to_numpy(x.grad), np.full((2, 3), 2.0))
    assert F.cat([empty, empty]).shape == (0,)


def test_cat_names_tensors_that_do_not_match():
    with pytest.raises(
        ValueError,
        match=r"along dim=0, tensor 1 of shape \(2, 4\) does not match tensor 0 of shape \(2, 3\)",
    ):
        F.cat([np.zeros((2, 3)), np.zeros((2, 4))])
    with pytest.raises(ValueError, match=r"expected a list of at least one tensor, got \[\]"):
        F.cat([])
    with pytest.raises(ValueError, match="tensors of shape \\(\\) have no axis"):
        F.cat([1.0, 2.0])
    with pytest.raises(TypeError, match="cat: tensor 1 is None. Give a tensor or an array"):
        F.cat([np.zeros(2), None])
    with pytest.raises(TypeError, match="cat: tensor 0 is float32, but tensor 1 is float64"):
        F.cat([np.zeros(2, "f"), np.zeros(2)])
    with pytest.raises(ValueError, match=r"cat: dim=2 is out of range for a tensor"):
        F.cat([np.zeros((2, 3))], 2)


@pytest.mark.parametrize(
    "widths", [(1, 2), (0, 1, 2, 0), (-1, 0), (-1, 2, 1, -2), (1, 1, 1, 1, 1, 1)], ids=str
)
def test_pad_adds_or_removes_a_border_and_passes_gradcheck(widths, rng):
    x = rng.standard_normal((2, 3, 4))
    y = F.pad(x, widths, value=7.0).numpy()
    pairs = [(0, 0)] * (3 - len(widths) // 2) + list(zip(widths[::2], widths[1::2], strict=True))[
        ::-1
    ]
    grown = np.pad(x, [(max(0, a), max(0, b)) for a, b in pairs], constant_values=7.0)
    cut = tuple(
        slice(max(0, -a), n - max(0, -b)) for (a, b), n in zip(pairs, grown.shape, strict=True)
    )
    np.testing.assert_array_equal(y, grown[cut])
    assert ta.gradcheck(lambda t: F.pad(t, widths), x).ok


def test_pad_names_widths_that_do_not_match():
    x = np.zeros((2, 3))
    with pytest.raises(
        ValueError,
        match=r"an even number of widths, at most 4 for an input of shape \(2, 3\), got \(1, 2, 3\)",
    ):
        F.pad(x, (1, 2, 3))
    with pytest.raises(ValueError, match=r"\(-2, -2\) removes more than the 3 elements of axis 1"):
        F.pad(x, (-2, -2))
    with pytest.raises(ValueError, match="mode='reflect' is not supported"):
        F.pad(x, (1, 1), mode="reflect")
    with pytest.raises(
        TypeError, match=r"expected integers, two per axis, the last axis first, got \(1.5, 0\)"
    ):
        F.pad(x, (1.5, 0))
