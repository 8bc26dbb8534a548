import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex.functional.loss import cross_entropy_naive


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_equals_its_naive_version_and_passes_gradcheck(reduction, dtype, rng):
    x, labels = rng.standard_normal((6, 5)).astype(dtype), rng.integers(0, 5, 6)
    expected = cross_entropy_naive(x, labels)
    y = F.cross_entropy(x, labels, reduction=reduction)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.numpy(), expected if reduction == "none" else getattr(expected, reduction)(), rtol=1e-5)
    assert ta.gradcheck(lambda t: F.cross_entropy(t, labels, reduction=reduction), x).ok


def test_the_gradient_is_probability_minus_one_hot(rng):
    x = ta.Tensor(rng.standard_normal((1, 4)), requires_grad=True)
    F.cross_entropy(x, [2]).backward()
    p = np.exp(x.data) / np.exp(x.data).sum()
    np.testing.assert_allclose(x.grad, p - np.eye(4)[[2]])


def test_huge_logits_overflow_nowhere():
    x = ta.Tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]], requires_grad=True)
    loss = F.cross_entropy(x, [1, 2], reduction="none")
    loss.sum().backward()
    np.testing.assert_allclose(loss.numpy(), [2e4, np.log(2)], rtol=1e-6)
    assert np.isfinite(x.grad).all()


def test_cross_entropy_names_what_does_not_fit():
    x = np.zeros((3, 4))
    with pytest.raises(ValueError, match=r"target has shape \(2,\), but input \(3, 4\) expects \(3,\)"):
        F.cross_entropy(x, [0, 1])
    with pytest.raises(ValueError, match=r"target holds 0 to 4, but input \(3, 4\) has the classes 0 to 3"):
        F.cross_entropy(x, [0, 1, 4])
    with pytest.raises(TypeError, match="target is float64, expected whole numbers: class indices from 0 to 3"):
        F.cross_entropy(x, [0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match=r"input has shape \(4,\), expected logits \(N, C\)"):
        F.cross_entropy(x[0], [0])
    with pytest.raises(ValueError, match="reduction is 'mean', 'sum' or 'none', got 'average'"):
        F.cross_entropy(x, [0, 1, 2], reduction="average")
