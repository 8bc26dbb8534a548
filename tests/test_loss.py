import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex.device import to_numpy
from tinyalex.functional.loss import SoftCrossEntropy, cross_entropy_naive

pytestmark = pytest.mark.anywhere


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_equals_its_naive_version_and_passes_gradcheck(reduction, dtype, rng):
    x, labels = rng.standard_normal((6, 5)).astype(dtype), rng.integers(0, 5, 6)
    expected = cross_entropy_naive(x, labels)
    y = F.cross_entropy(x, labels, reduction=reduction)
    assert y.dtype == dtype
    np.testing.assert_allclose(
        y.numpy(), expected if reduction == "none" else getattr(expected, reduction)(), rtol=1e-5
    )
    assert ta.gradcheck(lambda t: F.cross_entropy(t, labels, reduction=reduction), x).ok


def test_the_gradient_is_probability_minus_one_hot(rng):
    x = ta.Tensor(rng.standard_normal((1, 4)), requires_grad=True)
    F.cross_entropy(x, [2]).backward()
    p = np.exp(x.numpy()) / np.exp(x.numpy()).sum()
    np.testing.assert_allclose(to_numpy(x.grad), p - np.eye(4)[[2]])


def test_large_logits_do_not_overflow():
    x = ta.Tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]], requires_grad=True)
    loss = F.cross_entropy(x, [1, 2], reduction="none")
    loss.sum().backward()
    np.testing.assert_allclose(loss.numpy(), [2e4, np.log(2)], rtol=1e-6)
    assert np.isfinite(to_numpy(x.grad)).all()


def test_cross_entropy_names_arguments_that_do_not_match():
    x = np.zeros((3, 4))
    with pytest.raises(
        ValueError,
        match=r"cross_entropy: target has shape \(2,\), but input \(3, 4\) expects \(3,\)",
    ):
        F.cross_entropy(x, [0, 1])
    with pytest.raises(
        ValueError,
        match=r"cross_entropy: target has shape \(3,\), but probabilities need .* \(3, 4\). For class indices, give integers",
    ):
        F.cross_entropy(x, [0.0, 1.0, 2.0])
    with pytest.raises(
        TypeError,
        match="cross_entropy: target is bool, expected class indices from 0 to 3, or probabilities",
    ):
        F.cross_entropy(x, [True, True, False])
    with pytest.raises(TypeError, match="cross_entropy: input is float64, but target is float32"):
        F.cross_entropy(x, x.astype("f"))
    with pytest.raises(
        ValueError,
        match=r"cross_entropy: weight has shape \(3,\), but input \(3, 4\) has 4 classes",
    ):
        F.cross_entropy(x, [0, 1, 2], np.ones(3))
    with pytest.raises(
        ValueError, match=r"cross_entropy: label_smoothing must be from 0 to 1, got 2"
    ):
        F.cross_entropy(x, [0, 1, 2], label_smoothing=2)
    with pytest.raises(ValueError, match=r"cross_entropy: input has shape \(\), expected \(N, C\)"):
        F.cross_entropy(1.0, 0)
    with pytest.raises(
        ValueError, match="cross_entropy: reduction must be 'mean', 'sum' or 'none', got 'average'"
    ):
        F.cross_entropy(x, [0, 1, 2], reduction="average")


def test_a_class_out_of_range_raises_on_the_cpu():
    x, labels = (ta.Tensor(a, device="cpu") for a in (np.zeros((3, 4)), np.array([0, 1, 4])))
    with pytest.raises(
        ValueError, match=r"target has values 0 to 4, but input has the classes 0 to 3"
    ):
        F.cross_entropy(x, labels)


@pytest.mark.gpu
def test_the_loss_of_a_class_out_of_range_is_nan_on_a_gpu():
    losses = F.cross_entropy(np.zeros((3, 4)), [0, 4, -1], reduction="none").numpy()
    np.testing.assert_allclose(losses, [np.log(4), np.nan, np.nan])


def soft_naive(x, t, w):
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    return -(w * t * np.log(p)).sum(1)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_probabilities_as_targets_have_a_gradient(weighted, smoothing, reduction, rng):
    x, t = rng.standard_normal((4, 5)), rng.dirichlet(np.ones(5), 4)
    w = rng.uniform(0.5, 2, 5) if weighted else np.ones(5)
    expected = soft_naive(x, (1 - smoothing) * t + smoothing / 5, w)
    weight = w if weighted else None

    def f(a, b):
        return F.cross_entropy(a, b, weight, reduction=reduction, label_smoothing=smoothing)

    np.testing.assert_allclose(
        f(x, t).numpy(), expected if reduction == "none" else getattr(expected, reduction)()
    )
    assert ta.gradcheck(f, [x, t]).ok


def test_only_the_gradients_that_are_needed_are_computed(rng):
    x, t, w = rng.standard_normal((4, 5)), rng.dirichlet(np.ones(5), 4), np.ones(5)
    for needed in range(2):
        arguments = [ta.Tensor(a, requires_grad=i == needed) for i, a in enumerate((x, t, w))]
        losses = SoftCrossEntropy.apply(*arguments)
        gradients = losses.creator.backward(losses.data)
        assert [i for i, g in enumerate(gradients) if g is not None] == [needed]


@pytest.mark.parametrize("ignore", [-100, 2])
def test_smoothing_of_class_indices_equals_smoothed_probabilities(ignore, rng):
    x, w, labels = rng.standard_normal((6, 5)), rng.uniform(0.5, 2, 5), np.array([0, 1, 2, 2, 4, 1])
    counted = labels != ignore
    expected = counted * soft_naive(x, 0.8 * np.eye(5)[labels] + 0.2 / 5, w)

    def f(reduction):
        return F.cross_entropy(x, labels, w, ignore, reduction, label_smoothing=0.2).numpy()

    np.testing.assert_allclose(f("none"), expected)
    np.testing.assert_allclose(f("sum"), expected.sum())
    np.testing.assert_allclose(f("mean"), expected.sum() / w[labels][counted].sum())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_weights_ignored_classes_and_smoothing_pass_gradcheck(smoothing, rng):
    x, w, labels = rng.standard_normal((6, 5)), rng.uniform(0.5, 2, 5), np.array([0, 1, 2, 2, 4, 1])
    for reduction in ("mean", "sum", "none"):
        assert ta.gradcheck(
            lambda t, r=reduction: F.cross_entropy(t, labels, w, 2, r, smoothing), x
        ).ok


def test_ignored_samples_do_not_change_the_mean(rng):
    x, labels = rng.standard_normal((4, 5)), np.array([3, -100, 1, -100])
    assert F.cross_entropy(x, labels).item() == pytest.approx(
        F.cross_entropy(x[::2], labels[::2]).item()
    )
    logits = ta.Tensor(x, requires_grad=True)
    loss = F.cross_entropy(logits, np.full(4, -100))
    loss.backward()
    assert np.isnan(loss.item())
    assert not logits.grad.any()


@pytest.mark.parametrize("positions", [(3,), (3, 4), (3, 1, 2)], ids=str)
def test_an_image_may_have_a_class_at_each_pixel(positions, rng):
    x, labels = rng.standard_normal((2, 5, *positions)), rng.integers(0, 5, (2, *positions))
    flat, shape = np.moveaxis(x, 1, -1).reshape(-1, 5), (2, *positions)
    expected = F.cross_entropy(flat, labels.ravel(), reduction="none").numpy().reshape(shape)
    probabilities = np.moveaxis(np.eye(5)[labels], -1, 1)
    for target in (labels, probabilities):
        np.testing.assert_allclose(F.cross_entropy(x, target, reduction="none").numpy(), expected)
    assert ta.gradcheck(lambda t: F.cross_entropy(t, labels), x).ok


def test_a_single_sample_has_a_single_loss(rng):
    x = rng.standard_normal(5)
    assert F.cross_entropy(x, 3).item() == pytest.approx(F.cross_entropy(x[None], [3]).item())
    assert F.cross_entropy(x, 3, reduction="none").shape == ()


def test_a_logit_of_minus_infinity_keeps_the_other_gradients_finite():
    x = ta.Tensor([[0.0, -np.inf, 0.0]], requires_grad=True)
    loss = F.cross_entropy(x, [0])
    loss.backward()
    assert loss.item() == pytest.approx(np.log(2), rel=1e-6)
    np.testing.assert_allclose(to_numpy(x.grad), [[-0.5, 0, 0.5]], rtol=1e-6)


def test_targets_may_be_lists():
    assert F.cross_entropy([[0.0, 0.0]], [[0.25, 0.75]]).item() == pytest.approx(np.log(2))
    assert F.cross_entropy([[0.0, 0.0]], [1]).item() == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: F.leaky_relu(x, np.float64(0.1)),
        lambda x: F.batch_norm(x, None, None, training=True, eps=np.float64(1e-5)),
        lambda x: F.layer_norm(x, 4, eps=np.float64(1e-5)),
        lambda x: F.cross_entropy(x, [0, 1, 2], label_smoothing=np.float64(0.1)),
        lambda x: F.cross_entropy(x, x.softmax(1), label_smoothing=np.float64(0.1)),
    ],
    ids=["leaky_relu", "batch_norm", "layer_norm", "cross_entropy", "cross_entropy, soft"],
)
def test_an_option_that_is_a_numpy_number_does_not_change_the_dtype(f, rng):
    x = ta.tensor(rng.standard_normal((3, 4)), dtype=ta.float32, requires_grad=True)
    y = f(x)
    y.sum().backward()
    assert (y.dtype, x.grad.dtype) == (np.float32, np.float32)
