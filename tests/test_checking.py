"""gradcheck: what it accepts, what it reports, and what it leaves as it was."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import nn


class WrongAt(ta.Function):
    """x**3, whose gradient is 1 % off at one element."""

    def forward(self, x, *, index):
        self.x, self.index = x, index
        return x**3

    def backward(self, dy):
        dx = 3 * self.x**2 * dy
        dx[self.index] *= 1.01
        return dx


def test_the_worst_element_is_named(rng):
    x = rng.uniform(1, 2, (2, 5, 1, 3))
    report = ta.gradcheck(lambda t: WrongAt.apply(t, index=(1, 4, 0, 1)), x, raise_exception=False)
    assert (report.ok, report.worst.name, report.worst.index, report.worst.wrong) == (False, "input t", (1, 4, 0, 1), 1)
    assert "[1, 4, 0, 1]" in str(report)
    assert "29 of 30" in str(report)


def test_the_error_is_the_report(rng):
    with pytest.raises(ta.GradcheckError, match=r"the gradient of input t is WRONG[\s\S]*\[0\]"):
        ta.gradcheck(lambda t: WrongAt.apply(t, index=0), rng.uniform(1, 2, 3))


def test_a_right_gradient_passes_at_any_scale():
    for scale in (1e-8, 1.0, 1e3):
        assert ta.gradcheck(lambda x: x**2, scale * np.array([1.0, -2.0, 3.0]), h=1e-5 * scale).ok
    assert ta.gradcheck(lambda x: x**2, np.array([1e3, -2e3])).ok


def test_a_wrong_sign_fails_however_small_the_output_is():
    class Negated(ta.Function):
        def forward(self, x):
            return 1e-8 * x

        def backward(self, dy):
            return -1e-8 * dy

    with pytest.raises(ta.GradcheckError):
        ta.gradcheck(Negated.apply, np.ones(3))


def test_mistakes_that_cancel_in_a_sum_are_found(rng):
    class SoftmaxOfZeros(ta.Function):
        """The sum of a softmax never changes: under an all-ones cotangent a backward of zeros looks right."""

        def forward(self, x):
            e = np.exp(x - x.max(1, keepdims=True))
            return e / e.sum(1, keepdims=True)

        def backward(self, dy):
            return np.zeros_like(dy)

    with pytest.raises(ta.GradcheckError):
        ta.gradcheck(SoftmaxOfZeros.apply, rng.standard_normal((3, 4)))


def test_a_module_is_checked_with_its_parameters():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 2))
    report = ta.gradcheck(model, np.linspace(-1, 1, 32).reshape(1, 2, 4, 4))
    assert [row.name for row in report.rows] == [
        "input x",
        *(f"parameter {n}" for n in ("0.weight", "0.bias", "3.weight", "3.bias")),
    ]
    assert sum(row.checked for row in report.rows) == 32 + 54 + 3 + 24 + 2


def test_a_forgotten_parameter_is_found():
    class Scale(nn.Module):
        def __init__(self):
            self.factor = nn.Parameter(np.ones(3))

        def forward(self, x):
            return x * self.factor.detach()

    with pytest.raises(ta.GradcheckError, match="the gradient of parameter factor is WRONG"):
        ta.gradcheck(Scale(), np.arange(1.0, 4.0))


def test_parameters_and_gradients_are_put_back_even_after_an_exception():
    model = nn.Linear(3, 2)
    before = model.weight.data
    model.weight.grad = np.ones((2, 3), "f")
    ta.gradcheck(model, np.ones((1, 3)))
    with pytest.raises(ValueError, match="expects 3 features"):
        ta.gradcheck(model, np.ones((1, 4)))
    assert model.weight.data is before
    assert model.weight.grad.dtype == np.float32
    assert model.weight.grad.sum() == 6


def test_inputs_are_copied_to_float64_and_left_alone():
    x = ta.Tensor(np.ones(3, "f"), requires_grad=True)
    labels = np.array([0])
    ta.gradcheck(lambda t, n: F.cross_entropy(t.reshape(1, 3), n), [x, labels])
    assert (x.dtype, x.grad, x.data.tolist()) == ("f4", None, [1, 1, 1])


def test_the_seed_draws_the_cotangent(rng):
    x = rng.standard_normal(4)
    one, two = (ta.gradcheck(lambda t: t * t, x, seed=s).worst for s in (0, 1))
    assert one.analytic != two.analytic
