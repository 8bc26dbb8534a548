"""Maxima with positions, sorting, variance, norms, and torch's keywords."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex.device import to_numpy

pytestmark = pytest.mark.anywhere


@pytest.fixture
def x(rng):
    """Distinct values in a random order."""
    return rng.permutation(24).reshape(2, 3, 4) / 5


@pytest.mark.parametrize(
    "name", ["sum", "mean", "amax", "amin", "std", "var", "norm", "any", "all"]
)
def test_reductions_take_torchs_keywords(name, x):
    method = getattr(ta.Tensor(x), name)
    assert method(dim=1).shape == (2, 4)
    assert method(dim=(0, -1), keepdim=True).shape == (1, 3, 1)
    assert getattr(ta, name)(x, dim=2, keepdim=True).shape == (2, 3, 1)


def test_an_axis_can_be_given_once(x):
    t = ta.Tensor(x)
    for call in (
        lambda: t.sum(axis=1, dim=1),
        lambda: t.mean(keepdim=True, keepdims=True),
        lambda: t.max(1, axis=1),
        lambda: t.max(1, dim=1),
        lambda: t.max(axis=1, keepdim=True),
    ):
        with pytest.raises(TypeError, match="give"):
            call()


@pytest.mark.parametrize("name", ["max", "min"])
def test_max_and_min_with_numpys_arguments_are_tensors(name, x):
    t = ta.Tensor(x)
    expected = getattr(x, name)(1)
    for result in (
        getattr(t, name)(1),
        getattr(t, name)(axis=1),
        getattr(t, name)(axis=(1,)),
        getattr(t, name)(1, True).squeeze(1),
        getattr(t, name)(1, keepdims=True).squeeze(1),
    ):
        assert isinstance(result, ta.Tensor)
        np.testing.assert_array_equal(result.numpy(), expected)
    assert getattr(t, name)().item() == getattr(x, name)()
    assert [row.shape for row in getattr(t, name)(axis=1)] == [(4,), (4,)]
    assert ta.gradcheck(lambda t: getattr(t, name)(1) * 2, x).ok


@pytest.mark.parametrize("name", ["max", "min"])
def test_max_and_min_with_torchs_arguments_are_values_and_indices(name, x):
    t = ta.Tensor(x)
    positions = getattr(np, f"arg{name}")(x, 1)
    for values, indices in (
        getattr(t, name)(1),
        getattr(t, name)(dim=1),
        getattr(ta, name)(t, 1),
        getattr(ta, name)(x, dim=-2),
        [part.squeeze(1) for part in getattr(t, name)(1, keepdim=True)],
    ):
        np.testing.assert_array_equal(values.numpy(), getattr(x, name)(1))
        np.testing.assert_array_equal(indices.numpy(), positions)
        assert indices.dtype == np.int64
    pair = getattr(t, name)(dim=1)
    np.testing.assert_array_equal(pair[1].numpy(), pair.indices.numpy())
    result = getattr(t, name)(1)
    np.testing.assert_array_equal(result.indices.numpy(), positions)
    np.testing.assert_array_equal(result.values.numpy(), getattr(x, name)(1))
    assert ta.gradcheck(lambda t: getattr(t, name)(dim=1).values ** 2, x).ok


def test_the_index_of_an_ambiguous_maximum_warns():
    t = ta.Tensor([[1.0, 2.0], [4.0, 3.0]])
    with pytest.warns(UserWarning, match=r"torch's values and indices, use out\.max\(dim=1\)\[1\]"):
        assert t.max(1)[1].item() == 4
    assert t.max(axis=1)[1].item() == 4
    assert t.max(1)[:1].tolist() == [2]


def test_max_of_two_tensors_is_their_maximum():
    x, y = ta.Tensor([1.0, 5.0]), ta.Tensor([2.0, 3.0])
    assert x.max(y).tolist() == ta.max(x, y).tolist() == [2, 5]
    assert x.min(y).tolist() == ta.min(x, y).tolist() == [1, 3]


def test_torchs_maximum_needs_one_axis():
    with pytest.raises(TypeError, match="max: dim must be an integer. For several, use axis="):
        ta.Tensor(np.ones((2, 3))).max(dim=(0, 1))
    with pytest.raises(ValueError, match="min: a tensor of shape .* and so no minimum"):
        ta.zeros(0, 3).min()


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_positions_equal_numpys(name, x):
    t = ta.Tensor(x)
    assert getattr(t, name)().item() == getattr(x, name)()
    for axis in (0, 1, -1):
        expected = getattr(x, name)(axis)
        np.testing.assert_array_equal(getattr(t, name)(axis).numpy(), expected)
        np.testing.assert_array_equal(getattr(ta, name)(t, dim=axis).numpy(), expected)
    assert getattr(t, name)(1, keepdim=True).shape == (2, 1, 4)
    assert getattr(t, name)(keepdims=True).shape == (1, 1, 1)
    with pytest.raises(ValueError, match=f"{name}: a tensor of shape .* has no elements"):
        getattr(ta.zeros(0, 3), name)(0)


@pytest.mark.parametrize("descending", [False, True])
def test_sort_keeps_the_order_of_equal_elements(descending):
    x = ta.Tensor([[2.0, 1.0, 2.0], [3.0, 3.0, 3.0]])
    values, indices = x.sort(descending=descending)
    assert values.tolist() == ([[2, 2, 1], [3, 3, 3]] if descending else [[1, 2, 2], [3, 3, 3]])
    assert indices.tolist() == ([[0, 2, 1], [0, 1, 2]] if descending else [[1, 0, 2], [0, 1, 2]])
    assert x.argsort(1, descending).tolist() == indices.tolist()


def test_topk_equals_a_sorted_array_and_passes_gradcheck(x):
    values, indices = ta.topk(x, 2, 1)
    np.testing.assert_array_equal(values.numpy(), -np.sort(-x, 1)[:, :2])
    np.testing.assert_array_equal(np.take_along_axis(x, indices.numpy(), 1), values.numpy())
    np.testing.assert_array_equal(ta.topk(x, 3, largest=False)[0].numpy(), np.sort(x)[..., :3])
    assert ta.gradcheck(lambda t: t.topk(2, 1).values * t.sort(0).values[:, :2], x).ok
    with pytest.raises(ValueError, match=r"topk: k=4 is out of range .*\(2, 3, 4\) along dim=1"):
        ta.topk(x, 4, 1)


@pytest.mark.parametrize("axis", [None, 1, (0, 2)], ids=str)
def test_std_and_var_equal_numpys_and_pass_gradcheck(axis, x):
    for name in ("std", "var"):
        for options, ddof in (({}, 1), ({"unbiased": False}, 0), ({"correction": 0.5}, 0.5)):
            ours = getattr(ta.Tensor(x), name)(axis, **options)
            np.testing.assert_allclose(ours.numpy(), getattr(x, name)(axis, ddof=ddof))
        assert ta.gradcheck(lambda t, name=name: getattr(t, name)(axis), x).ok
    assert ta.Tensor(x).std(False).item() == pytest.approx(x.std())


def test_std_and_norm_have_gradients_of_zero_where_they_are_zero():
    for f in (ta.std, ta.norm):
        x = ta.Tensor([0.0, 0.0], requires_grad=True)
        f(x).backward()
        assert x.grad.tolist() == [0, 0]


@pytest.mark.parametrize("p", [1, 2, 3, np.inf, "fro"], ids=str)
def test_norms_equal_numpys_and_pass_gradcheck(p, x):
    x = x - 2.1
    order = 2 if p == "fro" else p
    np.testing.assert_allclose(ta.norm(x, p, 1).numpy(), np.linalg.norm(x, order, 1))
    assert ta.gradcheck(lambda t: t.norm(p, dim=1, keepdim=True), x).ok


def test_norm_rejects_other_orders_and_integers():
    with pytest.raises(ValueError, match="norm: p must be a positive number.*got 'nuc'"):
        ta.norm(np.ones(2), "nuc")
    with pytest.raises(TypeError, match="norm: the tensor is int64, but must be floating"):
        ta.norm(np.ones(2, int))
    with pytest.raises(TypeError, match="var: the tensor is int64, but must be floating"):
        ta.var(np.ones(2, int))


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_cumsum_equals_numpys_and_passes_gradcheck(dim, x):
    np.testing.assert_allclose(ta.cumsum(x, dim).numpy(), x.cumsum(dim))
    assert ta.gradcheck(lambda t: t.cumsum(dim), x).ok


def test_max_with_torchs_keywords_gives_the_gradient_to_one_of_equal_maxima():
    x = ta.Tensor([[3.0, 1.0, 3.0]], requires_grad=True)
    x.max(dim=1).values.backward()
    assert to_numpy(x.grad).tolist() == [[1, 0, 0]]


@pytest.mark.parametrize("p", [0.5, 1, 1.5, 3])
def test_the_norm_of_a_zero_vector_has_gradients_of_zero(p, rng):
    x = ta.Tensor(rng.standard_normal((3, 4)), requires_grad=True)
    assert ta.gradcheck(lambda x: x.norm(p, 1), [x.numpy()]).ok
    zero = ta.zeros(2, requires_grad=True)
    zero.norm(p).backward()
    assert to_numpy(zero.grad).tolist() == [0, 0]


def test_means_of_float16_do_not_overflow():
    ones = ta.ones(100_000, dtype=ta.float16)
    assert (ones.mean().item(), ones.var().item(), ones.mean().dtype) == (1, 0, np.float16)


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda x: x.sum(0), 4096),
        (lambda x: x.cumsum(0)[-1], 4096),
        (lambda x: (300 * x[:4]).norm(dim=0), 600),
        (lambda x: (60 * x[:8]).norm(3, dim=0), 120),
    ],
    ids=["sum", "cumsum", "norm", "norm(3)"],
)
def test_sums_of_float16_are_computed_in_float32(f, expected):
    y = f(ta.ones(4096, 2, dtype=ta.float16))
    assert (y.tolist(), y.dtype) == ([expected] * 2, np.float16)


def test_the_gradient_of_a_cumulative_sum_of_float16_is_computed_in_float32():
    x = ta.ones(4096, dtype=ta.float16, requires_grad=True)
    x.cumsum(0).backward(np.ones(4096, np.float16))
    assert x.grad[0] == 4096


def test_sums_of_integers_and_bools_are_integers():
    assert ta.tensor([True, True]).sum().dtype == ta.arange(3).cumsum(0).dtype == np.int64


def test_norm_takes_numpys_numbers(x):
    t = ta.tensor(x, dtype=ta.float32, requires_grad=True)
    for p in (np.float64(3), np.int64(3)):
        y = t.norm(p)
        y.backward()
        assert (y.dtype, t.grad.dtype) == (np.float32, np.float32)
