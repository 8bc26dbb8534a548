"""Comparisons, in-place operators, and functions of single elements."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex.device import to_numpy

pytestmark = pytest.mark.anywhere


def apart(rng, *shape):
    """Distinct values, none near an integer: no kinks for the numerical gradient."""
    return (rng.permutation(int(np.prod(shape))).reshape(shape) - 4) / 2 + 0.2


@pytest.mark.parametrize(
    "name", ["exp", "sqrt", "rsqrt", "log", "log1p", "square", "abs", "sin", "cos", "tanh"]
)
def test_functions_of_one_element_equal_numpys_and_pass_gradcheck(name, rng):
    x = rng.uniform(0.1, 3, (3, 4))
    expected = 1 / np.sqrt(x) if name == "rsqrt" else getattr(np, name)(x)
    np.testing.assert_allclose(getattr(ta, name)(x).numpy(), expected, rtol=1e-12)
    assert ta.gradcheck(getattr(ta, name), x).ok


@pytest.mark.parametrize("name", ["floor", "ceil", "round", "sign"])
def test_steps_have_gradients_of_zero(name, rng):
    x = ta.Tensor(apart(rng, 3, 4), requires_grad=True)
    y = getattr(x, name)()
    y.sum().backward()
    np.testing.assert_array_equal(y.numpy(), getattr(np, name)(x.numpy()))
    np.testing.assert_array_equal(to_numpy(x.grad), np.zeros((3, 4)))


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: x.maximum(y) * ta.minimum(x, 0.7),
        lambda x, y: x % y,
        lambda x, y: ta.where(x > y, x * x, y),
        lambda x, y: ta.where(x > 1, 0.0, y) + ta.where(x > 1, x, 3),
        lambda x, y: x.clamp(-1, 2) + y.clamp(min=0) + y.clip(max=1),
        lambda x, y: x.masked_fill(y > 0, 5.0) * y,
        lambda x, y: x.add(y, alpha=2).sub(1).mul(y).div(3).pow(2),
    ],
    ids=["max min", "%", "where", "where with numbers", "clamp", "masked_fill", "named"],
)
def test_operations_of_two_tensors_pass_gradcheck(f, rng):
    assert ta.gradcheck(f, [apart(rng, 3, 4), apart(rng, 4) + 0.15]).ok


def test_equal_elements_share_the_gradient_of_maximum_and_minimum():
    for f in (ta.maximum, ta.minimum):
        x, y = (ta.Tensor([2.0], requires_grad=True) for _ in range(2))
        f(x, y).backward()
        assert (x.grad.item(), y.grad.item()) == (0.5, 0.5)


def test_clamp_passes_the_gradient_at_its_limits_and_requires_numbers():
    x = ta.Tensor([-1.0, 0.0, 1.0, 2.0], requires_grad=True)
    x.clamp(0, 1).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 0]
    with pytest.raises(ValueError, match="clamp: give min, max or both"):
        x.clamp()
    with pytest.raises(
        TypeError,
        match="clamp: limits must be numbers or None, got a Tensor for max.*use ta.minimum",
    ):
        x.clamp(max=x)


@pytest.mark.parametrize("symbol", ["==", "!=", "<", "<=", ">", ">="])
@pytest.mark.parametrize("other", [1, 1.0, np.array([1, 5, 0]), [1, 5, 0]], ids=str)
def test_comparisons_are_elementwise(symbol, other):
    numbers = np.array([[0, 1, 2], [1, 5, 9]])
    x = ta.Tensor(numbers)
    expected = eval(f"a {symbol} b", {"a": numbers, "b": np.asarray(other)})
    for y in (other, ta.Tensor(np.asarray(other))):
        result = eval(f"a {symbol} b", {"a": x, "b": y})
        assert (result.dtype, result.requires_grad) == (bool, False)
        np.testing.assert_array_equal(result.numpy(), expected)


def test_comparisons_of_parameters_have_no_graph_and_an_array_may_be_first():
    x = ta.Tensor([1.0, 2.0], requires_grad=True)
    for result in (x == 1, np.array([1, 3]) == x, 1 >= x, [1, 3] == x):
        assert isinstance(result, ta.Tensor)
        assert (result.creator, result.numpy().tolist()) == (None, [True, False])


@pytest.mark.parametrize("other", [None, "1", {}, 1j, object()], ids=lambda x: type(x).__name__)
def test_comparisons_with_other_objects_raise(other):
    for compare in (lambda x: x == other, lambda x: x != other, lambda x: x < other):
        with pytest.raises(TypeError, match="can be compared with tensors, arrays and numbers"):
            compare(ta.Tensor([1.0]))


def test_shapes_that_do_not_broadcast_are_not_unequal_but_an_error():
    with pytest.raises(ValueError, match=r"Equal: shapes \(2,\) and \(3,\) do not broadcast"):
        ta.eq([1.0, 2.0], [1.0, 2.0, 3.0])


def test_tensors_are_found_in_lists_and_dicts_by_identity():
    x, y = ta.Tensor([1.0, 2.0]), ta.Tensor([1.0, 2.0])
    assert x in [x, y]
    assert {x: "x", y: "y"}[y] == "y"
    assert len({x, y, x}) == 2
    with pytest.raises(ValueError, match="ambiguous"):
        [x, y].index(ta.Tensor([1.0, 2.0]))


def test_bools_are_combined_and_negated():
    x = ta.Tensor([1.0, 2.0, 3.0])
    assert ((x > 1) & (x < 3)).tolist() == [False, True, False]
    assert ((x < 2) | (x > 2)).tolist() == [True, False, True]
    assert ((x > 1) ^ (x > 2)).tolist() == [False, True, False]
    assert (~(x > 1)).tolist() == (x > 1).logical_not().tolist() == [True, False, False]
    assert (ta.Tensor(np.array([5, 7])) // 2).tolist() == [2, 3]


def test_values_that_are_not_finite_are_found():
    x = ta.Tensor([np.nan, np.inf, 1.0])
    assert (x.isnan().tolist(), ta.isinf(x).tolist()) == (
        [True, False, False],
        [False, True, False],
    )
    assert ta.isfinite(x).tolist() == [False, False, True]


def test_allclose_and_equal_return_python_bools(dtype):
    x = ta.Tensor(np.array([1.0, 2.0], dtype))
    assert x.allclose(x + 1e-6) is True
    assert ta.allclose(x, x + 1e-3) is False
    assert ta.allclose(x, x + 1e-3, atol=1e-2) is True
    assert ta.equal(x, x.clone()) is True
    assert ta.equal(x, x[:1]) is False


def test_within_no_grad_an_in_place_operator_updates_a_parameter():
    w = ta.Tensor([1.0, 2.0], requires_grad=True)
    (w * w).sum().backward()
    before, version = w, w.version
    with ta.no_grad():
        w -= 0.25 * ta.Tensor(w.grad)
    assert w is before
    assert w.requires_grad
    assert (w.tolist(), w.version) == ([0.5, 1.0], version + 1)
    with ta.no_grad(), pytest.raises(ValueError, match=r"shape \(3, 2\) does not fit .*\(2,\)"):
        w += ta.zeros(3, 2)


def test_elsewhere_an_in_place_operator_makes_a_new_tensor():
    w = ta.Tensor([1.0, 2.0], requires_grad=True)
    y = w
    y *= 3
    assert y is not w
    y.sum().backward()
    assert w.grad.tolist() == [3, 3]
    with ta.no_grad():
        x = z = ta.Tensor([1.0])
        z += 1
    assert (x.tolist(), z.tolist()) == ([1.0], [2.0])


def test_named_operations_reject_other_objects():
    with pytest.raises(TypeError, match="unsupported operand"):
        ta.Tensor([1.0]).sub("a")
    with pytest.raises(
        TypeError, match="maximum: expected a tensor, an array or a number, got a str"
    ):
        ta.Tensor([1.0]).maximum("a")
    with pytest.raises(ValueError, match=r"where: shapes \(2,\), \(3,\) and \(\) do not broadcast"):
        ta.where(np.array([True, False]), np.ones(3), 0.0)


def test_the_gradient_of_a_quotient_neither_overflows_nor_underflows():
    for size in (1e-25, 1e25):
        x, y = ta.full((1,), size), ta.full((1,), size, requires_grad=True)
        (x / y).sum().backward()
        np.testing.assert_allclose(to_numpy(y.grad), -1 / np.float32(size), rtol=1e-6)


def test_the_size_of_a_tensor_does_not_change_a_dtype():
    x = ta.ones(4)
    assert (x.sum() / x.size).dtype == (x * x.size(0)).dtype == (x.size * x).dtype == np.float32


def test_all_operators_in_place_change_a_parameter():
    for change, expected in (
        (lambda w: w.__ipow__(2), 9),
        (lambda w: w.__imod__(2), 1),
        (lambda w: w.__ifloordiv__(2), 1),
    ):
        w = ta.nn.Parameter(np.full(2, 3.0))
        with ta.no_grad():
            assert change(w) is w
        assert w.tolist() == [expected, expected]


def test_methods_have_the_names_of_their_class_in_errors():
    with pytest.raises(TypeError, match=r"Tensor\.round\(\) got an unexpected keyword"):
        ta.ones(2).round(decimals=1)


def test_a_list_is_an_operand_of_logical_and():
    assert ta.ones(2).logical_and([0, 1]).tolist() == [False, True]
    assert ta.zeros(2).logical_or([0, 1]).tolist() == [False, True]


def test_numpys_numbers_are_limits_and_do_not_change_the_dtype():
    x = ta.Tensor([-1.0, 0.5, 2.0], requires_grad=True)
    y = x.clamp(np.float64(0), np.float32(1))
    y.sum().backward()
    assert (y.tolist(), y.dtype, x.grad.dtype) == ([0, 0.5, 1], np.float32, np.float32)


def test_masked_fill_of_integers_takes_integers():
    x, mask = ta.arange(3), ta.tensor([True, False, True])
    for value in (7, 7.0, np.int32(7), np.float32(7)):
        filled = x.masked_fill(mask, value)
        assert (filled.tolist(), filled.dtype) == ([7, 1, 7], np.int64)
    with pytest.raises(TypeError, match=r"expected an integer for a tensor of int64, got 0\.5"):
        x.masked_fill(mask, 0.5)


@pytest.mark.parametrize("text", ["ab", b"ab"], ids=repr)
def test_a_text_is_not_repeated(text):
    for f in (lambda x: x * text, lambda x: text * x, lambda x: x.mul(text)):
        with pytest.raises(TypeError, match="Multiply: unsupported operand, expected a tensor"):
            f(ta.tensor(3))


def test_equal_takes_lists_and_arrays():
    assert ta.ones(2).equal([1.0, 1.0]) is True
    assert ta.ones(2).equal(np.ones(3)) is False
