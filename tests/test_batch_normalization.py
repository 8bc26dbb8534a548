"""Batch normalization: the function, and the layer with its running statistics."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import nn
from tinyalex.functional.batch_normalization import batch_norm_naive

pytestmark = pytest.mark.anywhere


@pytest.mark.parametrize("shape", [(4, 3), (3, 2, 5), (2, 3, 4, 5)], ids=str)
def test_batch_norm_equals_its_naive_version(shape, dtype, rng):
    x = (5 + 3 * rng.standard_normal(shape)).astype(dtype)
    w, b = rng.standard_normal((2, shape[1])).astype(dtype)
    y = F.batch_norm(x, None, None, w, b, training=True)
    assert y.dtype == dtype
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(
        y.numpy(), batch_norm_naive(x.astype("f8"), w, b, 1e-5), rtol=tolerance, atol=tolerance
    )


def test_the_mean_in_float32_is_accurate_for_large_batches(rng):
    x = (100 + rng.standard_normal((128, 2, 32, 32))).astype("f")
    mean, var = (ta.Tensor(np.zeros(2, "f")) for _ in range(2))
    F.batch_norm(x, mean, var, training=True, momentum=1.0)
    np.testing.assert_allclose(mean.numpy(), x.mean((0, 2, 3), dtype="f8"), rtol=1e-6)
    np.testing.assert_allclose(var.numpy(), x.astype("f8").var((0, 2, 3), ddof=1), rtol=1e-4)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_passes_gradcheck(training, affine, rng):
    x, (w, b) = rng.standard_normal((3, 2, 4, 3)), rng.standard_normal((2, 2))
    mean, var = rng.standard_normal(2), rng.uniform(0.5, 2, 2)

    def f(x, w=None, b=None):
        running = (None, None) if training else (mean, var)
        return F.batch_norm(x, *running, w, b, training=training)

    assert ta.gradcheck(f, [x, w, b] if affine else [x]).ok


def test_the_layer_passes_gradcheck_in_both_modes(rng):
    layer = nn.BatchNorm2d(2).to("float64")
    layer.load_state_dict({"weight": [0.5, -2.0], "running_var": [4.0, 0.5]}, strict=False)
    x = rng.standard_normal((3, 2, 4, 3))
    assert ta.gradcheck(layer, x).ok
    assert ta.gradcheck(layer.eval(), x).ok


def test_running_statistics_are_those_of_the_batches(rng):
    layer, x = nn.BatchNorm2d(3), (2 + 3 * rng.standard_normal((4, 3, 5, 5))).astype("f")
    layer(x)
    np.testing.assert_allclose(layer.running_mean.numpy(), 0.1 * x.mean((0, 2, 3)), rtol=1e-5)
    expected = 0.9 + 0.1 * x.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(layer.running_var.numpy(), expected, rtol=1e-5)
    assert layer.num_batches_tracked.item() == 1
    state = layer.state_dict()
    layer.eval()(x)
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, state[name])


def test_without_momentum_the_running_mean_is_the_average_of_all_batches(rng):
    layer, batches = nn.BatchNorm2d(2, momentum=None), rng.standard_normal((3, 4, 2, 3, 3))
    for x in batches.astype("f"):
        layer(x)
    np.testing.assert_allclose(
        layer.running_mean.numpy(), batches.mean((0, 1, 3, 4)), rtol=1e-4, atol=1e-6
    )


def test_without_running_statistics_evaluation_uses_those_of_the_batch(rng):
    layer = nn.BatchNorm2d(2, affine=False, track_running_stats=False)
    assert list(layer.parameters()) == list(layer.buffers()) == []
    x = rng.standard_normal((4, 2, 3, 3)).astype("f")
    np.testing.assert_array_equal(layer.eval()(x).numpy(), layer.train()(x).numpy())


def test_a_state_has_torchs_names_and_order():
    names = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    layer = nn.BatchNorm2d(3)
    assert list(layer.state_dict()) == names
    assert [p.shape for p in layer.parameters()] == [(3,), (3,)]


def test_a_refused_batch_changes_no_statistics():
    layer = nn.BatchNorm2d(2)
    before = layer.state_dict()
    with pytest.raises(ValueError, match=r"input \(1, 2, 1, 1\) has 1 value in each channel"):
        layer(np.ones((1, 2, 1, 1), "f"))
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: F.batch_norm(x, None, None), "with training=False, running_mean and running_var must not be None"),
        (lambda x: F.batch_norm(x[0, :, 0, 0], None, None, training=True), r"input has shape \(3,\), expected \(N, C\) or"),
        (lambda x: F.batch_norm(x, None, None, np.ones(2, "f"), training=True), r"weight has shape \(2,\), but input \(4, 3, 2, 2\) has 3 channels. Give it the shape \(3,\)"),
        (lambda x: nn.BatchNorm2d(3)(x[0]), r"BatchNorm2d: input has shape \(3, 2, 2\), expected \(N, C, H, W\)"),
        (lambda x: nn.BatchNorm2d(0), "num_features must be at least 1, got 0"),
    ],
)  # fmt: skip
def test_invalid_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(ta.Tensor(np.ones((4, 3, 2, 2), "f")))


def test_another_dtype_is_named():
    with pytest.raises(TypeError, match="input is float64, but weight is float32"):
        nn.BatchNorm2d(3)(np.ones((4, 3, 2, 2)))
