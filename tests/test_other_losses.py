"""Squared and absolute errors, negative log-likelihood, binary cross-entropy."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import nn
from tinyalex.device import to_numpy
from tinyalex.functional.logistic_loss import binary_cross_entropy_with_logits_naive
from tinyalex.functional.negative_log_likelihood import nll_loss_naive
from tinyalex.functional.regression_loss import l1_loss_naive, mse_loss_naive

pytestmark = pytest.mark.anywhere

REDUCTIONS = ["mean", "sum", "none"]
bce = F.binary_cross_entropy_with_logits


@pytest.mark.parametrize(
    ("f", "naive"), [(F.mse_loss, mse_loss_naive), (F.l1_loss, l1_loss_naive)], ids=["mse", "l1"]
)
def test_errors_equal_their_naive_versions_and_pass_gradcheck(f, naive, dtype, rng):
    x, t = rng.standard_normal((2, 3, 4)).astype(dtype)
    loss = f(x, t)
    assert loss.dtype == dtype
    np.testing.assert_allclose(loss.item(), naive(x, t), rtol=1e-5)
    np.testing.assert_allclose(f(x, t, reduction="sum").item(), 12 * naive(x, t), rtol=1e-5)
    w = rng.uniform(1, 2, (3, 4))
    for reduction in REDUCTIONS:
        assert ta.gradcheck(lambda x, t, r=reduction: f(x, t, r), [x, t]).ok
        assert ta.gradcheck(lambda x, t, r=reduction: f(x, t, r, w), [x, t]).ok


def test_weighted_errors_are_divided_by_the_sum_of_the_weights():
    x, t, w = np.array([1.0, 5.0]), np.zeros(2), np.array([3.0, 1.0])
    assert F.mse_loss(x, t, weight=w).item() == (3 * 1 + 25) / 4
    assert F.l1_loss(x, t, "none", w).numpy().tolist() == [3, 5]


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_nll_loss_equals_its_naive_version_and_passes_gradcheck(reduction, dtype, rng):
    x, labels = rng.standard_normal((6, 5)).astype(dtype), rng.integers(0, 5, 6)
    loss, expected = F.nll_loss(x, labels, reduction=reduction), nll_loss_naive(x, labels)
    assert loss.dtype == dtype
    expected = expected if reduction == "none" else getattr(expected, reduction)()
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-5)
    w = rng.uniform(1, 2, 5)
    assert ta.gradcheck(lambda x: F.nll_loss(x, labels, w, 2, reduction), x.astype("f8")).ok


def test_nll_loss_of_log_softmax_is_cross_entropy(rng):
    x, labels, w = rng.standard_normal((4, 5, 3)), rng.integers(0, 5, (4, 3)), rng.uniform(1, 2, 5)
    labels[1] = 4
    expected = F.cross_entropy(x, labels, w, ignore_index=4)
    loss = nn.NLLLoss(w, ignore_index=4)(nn.LogSoftmax(1)(x), labels)
    np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-12)


def test_an_ignored_sample_has_no_loss_even_if_its_input_is_infinite():
    x = ta.Tensor([[-np.inf, 0.0], [-1.0, -2.0]], requires_grad=True)
    loss = F.nll_loss(x, [0, 1], ignore_index=0)
    loss.backward()
    assert (loss.item(), x.grad.tolist()) == (2, [[0, 0], [0, -1]])


def test_a_class_that_does_not_exist_raises_or_is_nan():
    x = ta.Tensor(np.zeros((2, 3)))
    if x.device == "cpu":
        with pytest.raises(ValueError, match="nll_loss: target has values 0 to 3, but input has"):
            F.nll_loss(x, [0, 3])
    else:
        loss = F.nll_loss(x, [0, 3], reduction="none").numpy()
        assert np.isnan(loss).tolist() == [False, True]


def test_binary_cross_entropy_equals_its_naive_version(dtype, rng):
    x, t = rng.standard_normal((3, 4)).astype(dtype), rng.random((3, 4)).astype(dtype)
    loss = bce(x, t, reduction="none")
    assert loss.dtype == dtype
    np.testing.assert_allclose(
        loss.numpy(), binary_cross_entropy_with_logits_naive(x, t), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_binary_cross_entropy_passes_gradcheck_with_weights(reduction, rng):
    x, t = 3 * rng.standard_normal((3, 4)), rng.random((3, 4))
    w, c = rng.uniform(1, 2, (3, 1)), rng.uniform(1, 5, 4)
    assert ta.gradcheck(lambda x, t: bce(x, t, reduction=reduction), [x, t]).ok
    assert ta.gradcheck(lambda x, t: bce(x, t, w, reduction, c), [x, t]).ok


def test_binary_cross_entropy_does_not_overflow_and_keeps_small_losses(dtype):
    x = ta.Tensor(np.array([-1e4, 1e4, 1e4, 30], dtype), requires_grad=True)
    loss = bce(x, np.array([1, 0, 1, 1], dtype), reduction="sum")
    loss.backward()
    assert loss.item() == 2e4
    np.testing.assert_allclose(to_numpy(x.grad)[:3], [-1, 1, 0])
    assert bce(x[3:], np.ones(1, dtype)).item() == pytest.approx(np.exp(-30), rel=1e-4)


def test_the_modules_pass_their_options_on(rng):
    x, t = rng.standard_normal((3, 4)), rng.random((3, 4))
    w, c = rng.uniform(1, 2, 4), rng.uniform(1, 2, 4)
    assert nn.BCEWithLogitsLoss(w, "sum", c)(x, t).item() == bce(x, t, w, "sum", c).item()
    assert nn.MSELoss("sum")(x, t).item() == F.mse_loss(x, t, "sum").item()
    assert nn.L1Loss(reduction="sum")(x, t).item() == F.l1_loss(x, t, "sum").item()
    labels = np.array([0, 3, 1])
    loss = nn.NLLLoss(w, 3, "sum")(x, labels)
    assert loss.item() == F.nll_loss(x, labels, w, 3, "sum").item()


@pytest.mark.parametrize("f", [F.mse_loss, F.l1_loss, bce])
def test_a_target_of_another_shape_is_named(f):
    with pytest.raises(
        ValueError,
        match=r"input has shape \(3, 1\), but target has \(3,\). Reshape one of them: target.reshape\(\(3, 1\)\)",
    ):
        f(np.zeros((3, 1)), np.zeros(3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: F.mse_loss(x, x, "average"), "mse_loss: reduction must be 'mean', 'sum' or 'none', got 'average'"),
        (lambda x: F.nll_loss(x, [0, 1]), r"nll_loss: target has shape \(2,\), but input \(3, 2\) expects \(3,\)"),
        (lambda x: F.nll_loss(x, [0.5, 1, 1]), "nll_loss: target is float64, expected class indices from 0 to 1."),
        (lambda x: F.nll_loss(x, [0, 1, 1], np.ones(3)), r"nll_loss: weight has shape \(3,\), but input \(3, 2\) has 2 classes"),
    ],
)  # fmt: skip
def test_invalid_arguments_are_named(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(np.zeros((3, 2)))


def test_the_weights_of_losses_are_buffers():
    loss = nn.BCEWithLogitsLoss(pos_weight=ta.tensor([2.0])).double()
    assert list(loss.state_dict()) == ["pos_weight"]
    assert loss(np.ones(2), np.ones(2)).dtype == np.float64
    assert list(nn.CrossEntropyLoss(np.ones(3)).state_dict()) == ["weight"]
    assert list(nn.CrossEntropyLoss().state_dict()) == []
    assert nn.NLLLoss(np.ones(3, "f")).double().weight.dtype == np.float64


@pytest.mark.parametrize("name", ["weight", "pos_weight"])
def test_factors_larger_than_the_input_are_refused(name):
    x = np.ones(3, "f")
    with pytest.raises(ValueError, match=rf"{name} has shape \(4, 3\), which does not broadcast"):
        bce(x, x, **{name: np.ones((4, 3), "f")})
