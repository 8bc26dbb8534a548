"""gradcheck: what it accepts, what it reports, and what it restores."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import nn
from tinyalex.functional.convolution import Conv2d, conv_shape
from tinyalex.functional.linear import Linear
from tinyalex.gradient_check import numerical, operations
from tinyalex.gradient_check.hints import GUESSES


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
    assert (report.ok, report.worst.name, report.worst.index, report.worst.wrong) == (
        False,
        "input t",
        (1, 4, 0, 1),
        1,
    )
    assert "[1, 4, 0, 1]" in str(report)
    assert report.worst.error == pytest.approx(0.01 / 1.01, rel=1e-4)
    assert "29 of 30" in str(report)
    assert "(float64, h=1e-05, rtol=1e-05, seed=0)" in str(report)


def test_a_gradient_that_is_nan_is_the_worst():
    def one_nan(self, dy):
        return np.where(np.arange(3) == 1, np.nan, dy)

    report = reports(layer(lambda self, x: x.copy(), one_nan).apply, np.ones(3))
    assert (report.worst.index, report.worst.wrong) == ((1,), 1)


def test_the_error_is_the_report(rng):
    with pytest.raises(ta.GradcheckError, match=r"the gradient of input t is WRONG[\s\S]*\[0\]"):
        ta.gradcheck(lambda t: WrongAt.apply(t, index=0), rng.uniform(1, 2, 3))


def test_a_right_gradient_passes_at_any_scale():
    for scale in (1e-8, 1.0, 1e3):
        assert ta.gradcheck(lambda x: x**2, scale * np.array([1.0, -2.0, 3.0]), h=1e-5 * scale).ok
    assert ta.gradcheck(lambda x: x**2, np.array([1e3, -2e3])).ok


def test_a_wrong_sign_fails_at_any_scale():
    class Negated(ta.Function):
        def forward(self, x):
            return 1e-8 * x

        def backward(self, dy):
            return -1e-8 * dy

    with pytest.raises(ta.GradcheckError):
        ta.gradcheck(Negated.apply, np.ones(3))


def test_mistakes_that_cancel_in_a_sum_are_detected(rng):
    class SoftmaxOfZeros(ta.Function):
        """A softmax has a constant sum, so a cotangent of ones would accept zeros."""

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


def test_a_module_must_keep_float32():
    class Root(nn.Module):
        def forward(self, x):
            return x * np.full(3, 2**0.5)

    assert "With float32 inputs the output is float64" in str(reports(Root(), np.ones(3)))
    assert reports(Root().forward, np.ones(3)).ok  # a function may contain float64 arrays


def test_the_report_names_the_function():
    functions = ReLU, ReLU.apply, F.relu, nn.ReLU(), nn.ReLU().forward
    names = [reports(f, np.ones(3)).name for f in functions]
    assert names == ["Layer", "Layer", "relu", "ReLU", "forward"]


def test_inputs_of_a_function_without_a_signature_are_numbered():
    assert reports(max, np.ones(1)).rows[0].name == "input 0"


def test_a_parameter_without_gradient_is_detected():
    class Scale(nn.Module):
        def __init__(self):
            self.factor = nn.Parameter(np.ones(3))

        def forward(self, x):
            return x * self.factor.detach()

    with pytest.raises(ta.GradcheckError, match="the gradient of parameter factor is WRONG"):
        ta.gradcheck(Scale(), np.arange(1.0, 4.0))


def test_parameters_and_gradients_are_restored_even_after_an_exception():
    model = nn.Linear(3, 2)
    before = model.weight.data
    model.weight.grad = np.ones((2, 3), "f")
    ta.gradcheck(model, np.ones((1, 3)))
    with pytest.raises(ValueError, match="expects 3 features"):
        ta.gradcheck(model, np.ones((1, 4)))
    assert model.weight.data is before
    assert model.weight.grad.dtype == np.float32
    assert model.weight.grad.sum() == 6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_buffers_are_float64_and_restored(dtype, rng):
    x, labels = rng.standard_normal((2, 3, 2, 1)), np.array([[[0], [1]], [[2], [0]]])
    layer = nn.BatchNorm2d(3).to(dtype)
    before = layer.state_dict()
    assert ta.gradcheck(layer, x).ok
    for name, values in layer.state_dict().items():
        np.testing.assert_array_equal(values, before[name], strict=True)
    assert ta.gradcheck(nn.CrossEntropyLoss(weight=np.ones(3, dtype)), [x, labels]).ok


def test_a_layer_with_a_buffer_or_a_frozen_parameter_returns_float32_for_float32(rng):
    class Standardize(nn.Module):
        def __init__(self):
            self.register_buffer("mean", np.ones(3, "f"))
            self.factor = nn.Parameter(np.ones(3, "f"), requires_grad=False)

        def forward(self, x):
            return (x - self.mean) * self.factor

    assert ta.gradcheck(Standardize(), rng.standard_normal((2, 3))).ok


def test_a_graph_of_the_checked_module_remains_valid():
    model = nn.Linear(3, 2)
    loss = model(ta.ones(1, 3)).sum()
    ta.gradcheck(model, np.ones((1, 3)))
    loss.backward()
    assert model.bias.grad.tolist() == [1, 1]


def test_inputs_are_copied_to_float64_and_not_changed():
    x = ta.Tensor(np.ones(3, "f"), requires_grad=True)
    labels = np.array([0])
    dtypes = []

    def f(t, n):
        assert n is labels
        dtypes.append(t.dtype)
        return F.cross_entropy(t.reshape(1, 3), n)

    ta.gradcheck(f, [x, labels])
    assert dtypes[0] == np.float64
    assert (x.dtype, x.grad, x.data.tolist()) == ("f4", None, [1, 1, 1])


def test_inputs_may_be_lists_numbers_and_tensors_without_a_gradient():
    for inputs, count in (([[1.0, 2.0]], 2), (3.0, 1), (ta.Tensor([1.0, 2.0, 3.0]), 3)):
        assert ta.gradcheck(lambda x: x * x, inputs).rows[0].checked == count


def test_the_seed_determines_the_cotangent(rng):
    x = rng.standard_normal(4)
    one, two = (ta.gradcheck(lambda t: t * t, x, seed=s).worst for s in (0, 1))
    assert one.analytic != two.analytic


def test_the_cotangent_differs_from_an_input_drawn_with_the_same_seed():
    class Square(ta.Function):
        def forward(self, x):
            self.x = x
            return x * x

        def backward(self, dy):
            return 2 * self.x * self.x  # x for dy

    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal((3, 4))
        with pytest.raises(ta.GradcheckError):
            ta.gradcheck(Square.apply, x, seed=seed)


def reports(f, inputs, **options):
    return ta.gradcheck(f, inputs, raise_exception=False, **options)


def layer(forward, backward):
    """A Function of one input with this forward and backward."""
    return type("Layer", (ta.Function,), {"forward": forward, "backward": backward})


def relu_forward(self, x):
    self.x = x
    return np.maximum(x, 0)


def relu_backward(self, dy):
    return dy * (self.x > 0)


ReLU = layer(relu_forward, relu_backward)
ReLUOffByOnePercent = layer(relu_forward, lambda self, dy: 1.01 * dy * (self.x > 0))


@pytest.mark.parametrize("distance", [3e-6, -3e-6, 3e-7, -5e-8, 0.0])
def test_a_kink_within_a_step_causes_no_false_alarm_and_hides_no_bug(distance):
    """x is closer to the kink of ReLU than h; or on it, then inputs are perturbed."""
    x = np.array([1.0, distance, -2.0, 0.5])
    assert reports(ReLU.apply, x).ok
    report = reports(ReLUOffByOnePercent.apply, x)
    assert report.rows[0].wrong >= 2
    assert not report.ok


def test_an_element_on_a_kink_is_checked_after_a_perturbation_and_this_is_reported():
    report = reports(ReLU.apply, np.zeros(3))
    assert report.ok
    assert report.rows[0].moved == 3
    assert report.worst.error < 1e-5
    assert (
        "3 elements were on a kink, and were checked after a small random perturbation of all inputs."
        in str(report)
    )


def test_a_wrong_gradient_that_only_a_perturbation_reveals_is_counted():
    Leaky = layer(lambda self, x: np.maximum(x, x / 2), lambda self, dy: 0.7 * dy)
    row = reports(Leaky.apply, np.zeros(3)).rows[0]
    assert (row.wrong, row.moved, row.kinks) == (3, 3, 0)
    one, other = (reports(ReLUOffByOnePercent.apply, np.zeros(9)) for _ in range(2))
    assert str(one) == str(other)  # the perturbations are reproducible
    row = one.rows[0]
    assert (0 < row.wrong < 9, row.moved) == (True, 9)
    assert row.error == pytest.approx(0.01 / 1.01, rel=1e-4)


def test_a_wrong_element_is_worse_than_one_on_a_kink():
    """The central difference at the kink is 0.5, where backward returns 0."""

    def backward(self, dy):
        return dy * (self.x > 0) * np.where(self.x > 1.5, 1.01, 1.0)

    worst = reports(layer(relu_forward, backward).apply, np.array([0.0, 1.0, 2.0])).worst
    assert (worst.index, worst.wrong, worst.moved) == ((2,), 1, 1)
    assert worst.error == pytest.approx(0.01 / 1.01, rel=1e-4)


def test_elements_that_stay_on_a_kink_are_undecided(monkeypatch):
    monkeypatch.setattr(numerical, "MAX_PERTURBATION", 0.0)
    report = reports(ReLU.apply, np.array([1.0, 0.0, 0.0]))
    row = report.rows[0]
    assert (row.wrong, row.moved, row.kinks, row.hint.kind) == (0, 0, 2, "kink")
    assert not report.ok
    assert "UNDECIDED" in str(report)
    assert "2 elements are on a kink, the first at [1]" in str(report)


def test_ties_in_a_maximum_are_resolved_by_perturbation():
    assert reports(lambda x: F.max_pool2d(x, 2), np.zeros((1, 1, 4, 4))).ok


def test_a_function_with_kinks_everywhere_is_undecided():
    Sawtooth = layer(lambda self, x: np.abs(x * 1e9 - np.round(x * 1e9)), lambda self, dy: 1e9 * dy)
    report = reports(Sawtooth.apply, np.array([0.3, 0.7]))
    assert not report.ok


def test_a_step_function_is_undecided_or_wrong_but_never_right():
    Step = layer(lambda self, x: np.where(x >= 0, 1.0, 0.0), lambda self, dy: dy)
    assert not reports(Step.apply, np.zeros(2)).ok


@pytest.mark.parametrize("seed", range(5))
def test_no_false_alarm_on_a_network_with_many_kinks(seed):
    ta.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 3)
    )
    assert ta.gradcheck(model, np.random.default_rng(seed).standard_normal((2, 1, 4, 4))).ok


def test_fast_checks_directions_and_names_the_element_where_they_fail(rng):
    x = rng.uniform(1, 2, (6, 7))
    report, other = (ta.gradcheck(lambda t: t**3, x, fast=True) for _ in range(2))
    row = report.rows[0]
    assert (row.checked, row.fast) == (4, True)
    assert row.analytic == pytest.approx(row.numeric) != 0
    assert row.analytic == other.rows[0].analytic  # the directions are reproducible
    report = reports(lambda t: WrongAt.apply(t, index=(4, 5)), x, fast=True)
    assert (report.worst.index, report.worst.wrong, report.worst.fast) == ((4, 5), 1, False)


def test_fast_runs_few_forward_passes():
    calls = 0

    def f(x):
        nonlocal calls
        calls += 1
        return x.tanh()

    ta.gradcheck(f, np.linspace(-1, 1, 1000), fast=True)
    assert calls < 25


def scale_in_place(self, x):
    x *= 2
    return x.copy()


def double_in_place(self, dy):
    dy *= 2
    return dy


@pytest.mark.parametrize(
    ("forward", "backward", "message"),
    [
        (scale_in_place, lambda self, dy: 2 * dy, "forward changes input x in place. Work on a copy"),
        (lambda self, x: 2 * x, double_in_place, "backward changes grad_output in place. Other operations may hold the same array"),
        (relu_forward, lambda self, dy: np.multiply(self.x, 0, out=self.x) + dy, "backward changes input x in place"),
        (lambda self, x: x + np.random.random(x.shape), lambda self, dy: dy, "Two forward passes with the same inputs differ"),  # noqa: NPY002
        (lambda self, x: x * np.float64(2) if x.dtype == "f8" else x.astype("f8"), lambda self, dy: 2 * dy, "With float32 inputs the output is float64"),
        (lambda self, x: 2 * x, lambda self, dy: dy * np.float64(2), "With float32 inputs: Layer.backward: gradient 0 is float64"),
        (lambda self, x: 2 * np.lib.stride_tricks.as_strided(x, x.shape, (8,)), lambda self, dy: 2 * dy, "With non-contiguous inputs, the output is different."),
    ],
    ids=["forward in place", "backward in place", "backward changes an input", "random", "float64 output", "float64 gradient", "strides"],
)  # fmt: skip
def test_other_violations_of_the_contract_are_reported(forward, backward, message):
    x = np.array([1.0, 2.0, 3.0])
    report = reports(layer(forward, backward).apply, x)
    assert not report.ok
    assert message in str(report)
    assert ("Two forward passes" in str(report)) == ("Two forward passes" in message)
    assert x.tolist() == [1, 2, 3]


def test_a_violation_of_the_contract_raises():
    with pytest.raises(ta.GradcheckError, match="backward changes grad_output in place"):
        ta.gradcheck(layer(lambda self, x: 2 * x, double_in_place).apply, np.ones(3))


def test_a_gradient_of_a_wrong_shape_is_reported_by_the_graph():
    with pytest.raises(
        ValueError,
        match=r"Layer.backward: gradient 0 is float64 array of shape \(2,\), but input 0 is",
    ):
        ta.gradcheck(
            layer(lambda self, x: x.sum(axis=0), lambda self, dy: dy).apply, np.ones((3, 2))
        )


def test_an_exception_in_a_forward_pass_restores_the_parameters():
    model, calls = nn.Linear(3, 2), 0
    before = model.weight.data

    def fails_later(module, inputs, output):
        nonlocal calls
        calls += 1
        if calls == 9:
            raise RuntimeError("hook failed")

    model.register_forward_hook(fails_later)
    with pytest.raises(RuntimeError, match="hook failed"):
        ta.gradcheck(model, np.ones((1, 3)))
    assert model.weight.data is before


def test_an_error_is_raised_if_there_is_nothing_to_check():
    with pytest.raises(ValueError, match="none of the inputs is floating, and f has no parameters"):
        ta.gradcheck(lambda t: t, [np.arange(3)])
    with pytest.raises(TypeError, match="the function returned a ndarray, expected one tensor"):
        ta.gradcheck(lambda t: t.numpy(), np.ones(3))


def test_a_function_class_is_accepted():
    assert ta.gradcheck(ReLU, np.array([1.0, -1.0])).name == "Layer"


def test_empty_inputs_pass():
    assert ta.gradcheck(lambda x: x * 2, np.zeros((0, 3))).ok
    assert ta.gradcheck(lambda x: x * 2, np.zeros((0, 3)), fast=True).ok


# Hints on normalizations, convolutions and masks


def normalization(axes, subtract_mean, terms):
    """A normalization along axes, whose backward has only the terms in `terms`."""

    def forward(self, x):
        mean = x.mean(axes, keepdims=True) if subtract_mean else 0.0
        self.s = np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + 0.1)
        self.y = (x - mean) / self.s
        return self.y

    def backward(self, dy):
        dx = dy
        if "mean" in terms:
            dx = dx - dy.mean(axes, keepdims=True)
        if "variance" in terms:
            dx = dx - self.y * (dy * self.y).mean(axes, keepdims=True)
        return dx / self.s

    return layer(forward, backward)


@pytest.mark.parametrize("axes", [(1,), (0, 2, 3), (1, 2, 3), (2, 3)])
@pytest.mark.parametrize(
    ("subtract_mean", "terms", "kind", "words"),
    [
        (True, (), "constant statistics", "treats the mean and the variance of a normalization as"),
        (True, ("mean",), "constant statistics", "treats the variance that forward divides by"),
        (True, ("variance",), "common term", "If forward subtracts a mean, backward treats it as"),
        (False, (), "constant statistics", "treats a statistic that forward divides by"),
    ],
)
def test_statistics_that_backward_treats_as_constants_are_named(
    axes, subtract_mean, terms, kind, words, rng
):
    f = normalization(axes, subtract_mean, terms)
    report = reports(f, rng.standard_normal((3, 4, 2, 3)), fast=True)
    assert report.rows[0].hint.kind == kind
    assert words in report.rows[0].hint.text
    names = ", ".join(map(str, axes))
    assert f"along ax{'is' if len(axes) == 1 else 'es'} {names}" in report.rows[0].hint.text


def test_a_normalization_with_all_terms_passes(rng):
    x = rng.standard_normal((3, 4, 2, 3))
    assert reports(normalization((0, 2, 3), True, ("mean", "variance")), x).ok
    assert reports(normalization((1,), False, ("variance",)), x).ok


class Correlate(ta.Function):
    """A convolution of one channel without padding.

    kernel, reverse  how backward reverses the kernel for dx, and its result for dw
    """

    def forward(self, x, w, *, kernel, reverse):
        self.x, self.w, self.kernel, self.reverse = x, w, kernel, reverse
        return self.correlated(x, w)

    def backward(self, dy):
        kh, kw = self.w.shape
        padded = np.pad(dy, [(kh - 1, kh - 1), (kw - 1, kw - 1)])
        dw = self.correlated(self.x, dy)
        return self.correlated(padded, self.w[self.kernel]), dw[self.reverse].copy()

    @staticmethod
    def correlated(x, w):
        windows = np.lib.stride_tricks.sliding_window_view(x, w.shape)
        return np.einsum("ijuv,uv->ij", windows, w)


BOTH, ROWS, NEITHER = np.s_[::-1, ::-1], np.s_[::-1], np.s_[:]


@pytest.mark.parametrize(
    ("kernel", "reverse", "name", "kind", "words"),
    [
        (NEITHER, NEITHER, "input x", "other input", "if input w were reversed along axes 0, 1"),
        (ROWS, NEITHER, "input x", "other input", "if input w were reversed along axis 1"),
        (BOTH, BOTH, "input w", "reversed", "right after np.flip along axes 0, 1"),
        (BOTH, ROWS, "input w", "reversed", "right after np.flip along axis 0"),
    ],
)
def test_a_kernel_that_is_not_reversed_or_is_one_too_many_is_named(
    kernel, reverse, name, kind, words, rng
):
    def f(x, w):
        return Correlate.apply(x, w, kernel=kernel, reverse=reverse)

    report = reports(f, [rng.standard_normal((5, 4)), rng.standard_normal((3, 2))])
    (row,) = [row for row in report.rows if row.wrong]
    assert (row.name, row.hint.kind) == (name, kind)
    assert words in row.hint.text


def test_a_kernel_of_images_gets_a_remark_on_convolutions(rng):
    class Flipped(Conv2d):
        def backward(self, dy):
            dx, dw, db = super().backward(dy)
            return dx, dw[:, :, ::-1, ::-1].copy(), db

    x, w = rng.standard_normal((1, 2, 4, 4)), rng.standard_normal((2, 2, 3, 2))
    shape = conv_shape(x.shape, w.shape)
    report = reports(lambda x, w: Flipped.apply(x, w, None, shape=shape), [x, w], fast=True)
    assert report.rows[1].hint.kind == "reversed"
    assert "dw is a correlation of x with dy, without a flip" in report.rows[1].hint.text


@pytest.mark.parametrize(
    ("forward", "backward", "words"),
    [
        (lambda self, x: np.where(x > 0, x, 0.3 * x), lambda self, dy: dy.copy(), "where the input is < 0"),
        (lambda self, x: np.where(x > 0, 2 * x, 0.3 * x), lambda self, dy: 0.3 * dy, "where the input is > 0"),
    ],
)  # fmt: skip
def test_a_mask_that_is_missing_is_named(forward, backward, words, rng):
    report = reports(layer(forward, backward), rng.standard_normal((4, 5)))
    assert report.rows[0].hint.kind == "masked by sign"
    assert words in report.rows[0].hint.text


# Networks


class Times3(ta.Function):
    """3*x, whose backward has a 2 for the 3."""

    def forward(self, x):
        return 3 * x

    def backward(self, dy):
        return 2 * dy


class Apply(nn.Module):
    """A Function as a Module, which may also be called by several."""

    def __init__(self, function):
        self.function = function

    def forward(self, x):
        return self.function.apply(x)


def network(*layers):
    ta.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), *layers, nn.Linear(5, 3))


INPUT = np.linspace(-1, 2, 12).reshape(3, 4)


@pytest.mark.parametrize("fast", [False, True])
def test_the_operation_whose_backward_is_wrong_is_named(fast):
    report = reports(network(Apply(ReLU), Apply(Times3)), INPUT, fast=fast)
    summary, hint = report.operations
    assert "Each of the 5 operations was checked in isolation" in summary
    assert "Times3 (operation 4 of 5) has a wrong backward pass; the other 4 are right." in summary
    assert hint.startswith("Times3 (operation 4 of 5), input x: Every element is 0.666667 times")
    assert f"{summary}\n{hint}" in str(report)


def test_two_wrong_operations_of_one_class_are_told_apart():
    report = reports(network(Apply(Times3), nn.Tanh(), Apply(Times3)), INPUT, fast=True)
    assert (
        "Times3 (operation 3 of 6) and Times3 (operation 5 of 6) have wrong backward passes; the "
        "other 4 are right." in report.operations[0]
    )


def test_a_wrong_operation_with_a_parameter_is_named_with_it():
    class Half(Linear):
        def backward(self, dy):
            dx, dw, db = super().backward(dy)
            return dx / 2, dw, db

    class HalfLinear(nn.Linear):
        def forward(self, x):
            return Half.apply(x, self.weight, self.bias)

    report = reports(network(HalfLinear(5, 5)), INPUT, fast=True)
    assert "Half (operation 3 of 4, with parameter 2.weight)" in report.operations[0]
    assert "input x: Every element is 1/2 times" in report.operations[1]


def test_a_missing_mask_inside_a_network_is_named():
    report = reports(network(Apply(layer(relu_forward, lambda self, dy: dy.copy()))), INPUT)
    assert "elements should be 0 and are not" in report.operations[1]


def test_guesses_on_the_whole_network_are_not_shown_beside_a_wrong_operation():
    text = str(reports(network(Apply(Times3), nn.Tanh()), INPUT))
    assert "No simple pattern" not in text
    assert "have similar directions" not in text


def test_an_output_that_a_later_operation_changes_in_place_is_named():
    """Tanh stores its output for backward; the next operation doubles it."""
    report = reports(network(Apply(layer(scale_in_place, lambda self, dy: 2 * dy))), INPUT)
    text = "\n".join(report.operations)
    assert "Arrays are changed in place" in text
    assert "Layer (operation 3 of 4): forward changes input x in place" in text
    name = "the forward pass of Layer (operation 3)"
    assert f"The output of Tanh (operation 2) is changed in place by {name}." in text
    assert "wrong backward pass" not in text


def test_a_change_by_code_between_operations_is_named():
    def f(x):
        y = x.tanh()
        z = y * 2
        y.data[...] *= 3
        return z

    report = reports(f, INPUT)
    assert (
        "The output of Tanh (operation 1) is changed in place by code between the operations."
        in report.operations
    )


def test_a_change_during_the_backward_pass_is_named():
    class Overwrites(ta.Function):
        def forward(self, x):
            self.x = x
            return x * 1.0

        def backward(self, dy):
            self.x *= 5
            return dy.copy()

    report = reports(lambda x: Overwrites.apply(x.tanh()), INPUT)
    assert report.operations[1:] == [
        "Overwrites (operation 2 of 2): backward changes input x in place. Work on a copy.",
        "The output of Tanh (operation 1) is changed in place by the backward pass.",
        "Input x of Overwrites (operation 2) is changed in place by the backward pass.",
    ]


def test_a_graph_that_is_cut_is_suspected_if_all_operations_are_right():
    report = reports(lambda x: x * x.detach().exp(), INPUT)
    assert not report.ok
    assert report.operations == []  # a single operation is in the graph
    report = reports(lambda x: x.tanh() * x.detach().exp(), INPUT)
    assert "All are right. Is the graph cut by .detach()" in report.operations[0]


def test_a_right_network_and_a_single_operation_get_no_list_of_operations():
    assert reports(network(nn.ReLU()), INPUT, fast=True).operations == []
    assert reports(Times3, INPUT).operations == []


times_3 = Times3.apply


def test_a_wrong_operation_is_named_also_if_its_apply_was_stored_earlier():
    report = reports(lambda x: times_3(x.tanh()), INPUT)
    assert "Times3 (operation 2 of 2) has a wrong backward pass" in report.operations[0]


def test_an_operation_of_another_thread_is_not_said_to_be_right():
    def f(x):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(times_3, x.tanh()).result().exp()

    (text,) = reports(f, INPUT).operations
    assert text == (
        "2 of 3 operations were checked in isolation, on the inputs from this forward pass. "
        "Times3 was run in another thread, or before the function was called."
    )


def test_an_operation_that_cannot_be_run_in_isolation_is_not_said_to_be_right():
    runs = []

    class NotAlone(Times3):
        def forward(self, x):
            if not runs:
                raise ValueError("forward needs the rest of the network")
            return 3 * x

    def f(x):
        runs.append(1)
        y = NotAlone.apply(x.tanh())
        runs.pop()
        return y

    (text,) = reports(f, INPUT).operations
    assert text == (
        "1 of 2 operations was checked in isolation, on the inputs from this forward pass. "
        "NotAlone (operation 2 of 2) could not be run in isolation."
    )


def test_operations_are_recorded_only_while_their_network_is_called():
    x = ta.Tensor([1.0], requires_grad=True)
    with operations._recording() as (recorded, _):
        x.tanh()
    x.exp()
    assert [operation.function.__name__ for operation in recorded] == ["Tanh"]


def test_other_inputs_are_tried_for_single_operations_only(rng):
    """In a network, each trial is a forward pass of all operations."""
    w = rng.standard_normal((3, 2))

    def f(x, w):
        return Correlate.apply(x, w, kernel=NEITHER, reverse=NEITHER).tanh()

    report = reports(f, [rng.standard_normal((5, 4)), w], fast=True)
    assert report.rows[0].hint.kind == "wrong term"
    assert "input x: This would be the right gradient if input w were" in report.operations[1]


def test_a_forward_pass_that_rejects_a_changed_input_gets_a_hint(rng):
    """The rows of a positive definite matrix in reverse order are no such matrix."""

    class Factored(ta.Function):
        def forward(self, x, a):
            self.factor = np.linalg.cholesky(a)
            return x @ self.factor

        def backward(self, dy):
            return dy @ self.factor, None  # factor for factor.T

    a = 4 * np.eye(3) + rng.uniform(0, 1, (3, 3))
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.cholesky(a[::-1])
    report = reports(Factored, [rng.standard_normal((2, 3)), a])
    assert report.rows[0].hint.kind in GUESSES


def test_a_gradient_that_is_right_in_its_first_digits_is_no_multiple(rng):
    """As of a network in which the effect of a wrong operation is small."""

    def backward(self, dy):
        return dy * (1 + 1e-4 * np.tanh(self.x)) * self.factor

    def forward(self, x, *, factor):
        self.x, self.factor = x, factor
        return factor * x

    x = rng.standard_normal((4, 24))
    f = layer(forward, backward)
    hint = reports(lambda x: f.apply(x, factor=2.0), x).rows[0].hint
    assert hint.kind == "wrong term"
    assert "(cosine 1.0000, the same sign at 96 of 96)" in hint.text
