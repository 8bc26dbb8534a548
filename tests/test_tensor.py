"""Tensor: construction, dtypes, and the operators and methods with their gradients."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex.device import to_numpy

pytestmark = pytest.mark.anywhere


def test_python_numbers_become_float32_and_arrays_keep_their_dtype():
    assert [ta.Tensor(x).dtype for x in (1, 2.5, [1, 2], np.ones(2), np.arange(2))] == [
        "f4",
        "f4",
        "f4",
        "f8",
        "i8",
    ]


def test_a_ragged_list_raises():
    with pytest.raises(ValueError, match="expected a number, a regular nested list of numbers"):
        ta.Tensor([[1, 2], [3]])


def test_only_floating_tensors_have_gradients():
    with pytest.raises(
        TypeError, match=r"needs a floating dtype, got int64\. Convert the array first"
    ):
        ta.Tensor(np.arange(3), requires_grad=True)


def test_python_numbers_do_not_change_the_dtype(dtype):
    x = ta.Tensor(np.ones(2, dtype), requires_grad=True)
    for y in (x + 1, 2.5 - x, x * 3, 1 / x, x**2, 2.0**x, -x, x / 7):
        assert y.dtype == dtype


def test_mixed_dtypes_promote_and_each_gradient_has_the_dtype_of_its_tensor(rng):
    x = ta.Tensor(rng.standard_normal(3).astype("f"), requires_grad=True)
    y = ta.Tensor(rng.standard_normal(3), requires_grad=True)
    z = x * y
    z.sum().backward()
    assert (z.dtype, x.grad.dtype, y.grad.dtype) == ("f8", "f4", "f8")


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: x + y,
        lambda x, y: x - y,
        lambda x, y: x * y,
        lambda x, y: x / y,
        lambda x, y: (x * x) ** y,
        lambda x, y: x + 2 * y - 1,
        lambda x, y: 1 / x + 3.0 ** (y - 2),
        lambda x, y: (x * x + 0.1).log() + y.exp().tanh(),
    ],
    ids=["+", "-", "*", "/", "**", "numbers", "reflected", "log exp tanh"],
)
@pytest.mark.parametrize(
    "shapes",
    [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1, 3), (4, 1)), ((), (2, 2)), ((1,), (1, 1))],
    ids=str,
)
def test_arithmetic_with_broadcasting_passes_gradcheck(f, shapes, rng):
    x, y = (rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape) for shape in shapes)
    assert ta.gradcheck(f, [x, y]).ok


@pytest.mark.parametrize(
    "shapes",
    [
        ((2, 3), (3, 4)),
        ((3,), (3, 4)),
        ((2, 3), (3,)),
        ((3,), (3,)),
        ((5, 1, 2, 3), (4, 3, 2)),
        ((3,), (2, 3, 2)),
    ],
    ids=str,
)
def test_matmul_passes_gradcheck(shapes, rng):
    assert ta.gradcheck(lambda x, y: x @ y, [rng.standard_normal(shape) for shape in shapes]).ok


def test_an_array_as_the_left_operand_returns_a_tensor():
    x = ta.Tensor(np.ones((2, 2)), requires_grad=True)
    for y in (
        np.ones((2, 2)) @ x,
        np.ones(2) + x,
        np.ones(2) - x,
        np.ones(2) * x,
        np.ones(2) / x,
        np.full(2, 2.0) ** x,
    ):
        assert isinstance(y, ta.Tensor)
        assert y.requires_grad


def test_powers_have_finite_gradients_at_zero():
    x, y = (
        ta.Tensor([0.0, 0.0, 2.0], requires_grad=True),
        ta.Tensor([1.0, 0.0, 2.0], requires_grad=True),
    )
    (x**y).sum().backward()
    np.testing.assert_allclose(to_numpy(x.grad), [1, 0, 4])
    np.testing.assert_allclose(to_numpy(y.grad), [0, 0, 4 * np.log(2)], rtol=1e-6)


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (1,), ()], ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", ["sum", "mean", "max"])
def test_reductions_equal_numpys_and_pass_gradcheck(name, axis, keepdims, rng):
    x = rng.standard_normal((2, 3, 4))
    ours = getattr(ta.Tensor(x), name)(axis=axis, keepdims=keepdims)
    np.testing.assert_allclose(ours.numpy(), getattr(x, name)(axis=axis, keepdims=keepdims))
    assert ta.gradcheck(lambda t: getattr(t, name)(axis, keepdims), x).ok


def test_equal_maxima_share_the_gradient():
    x = ta.Tensor([3.0, 1.0, 3.0], requires_grad=True)
    x.max().backward()
    assert x.grad.tolist() == [0.5, 0, 0.5]


@pytest.mark.parametrize(
    "index",
    [
        1,
        -1,
        slice(None, None, 2),
        (0, 1),
        (..., 0),
        (None, 1),
        [0, 0, 2],
        np.array([[0, 1], [1, 1]]),
        (slice(1, 3), [0, 0]),
        np.array([True, False, True]),
    ],
    ids=str,
)
def test_indexing_equals_numpys_and_passes_gradcheck(index, rng):
    x = rng.standard_normal((3, 4))
    np.testing.assert_array_equal(ta.Tensor(x)[index].numpy(), x[index])
    assert ta.gradcheck(lambda t: t[index], x).ok


def test_a_tensor_can_be_an_index():
    assert ta.Tensor([5.0, 6.0, 7.0])[ta.Tensor(np.array([2, 0]))].numpy().tolist() == [7, 5]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.reshape(4, -1),
        lambda x: x.reshape((24,)),
        lambda x: x.transpose(),
        lambda x: x.transpose(1, 2, 0),
        lambda x: x.transpose(0, -1, 1),
        lambda x: x.T,
    ],
)
def test_changes_of_shape_pass_gradcheck(f, rng):
    assert ta.gradcheck(f, rng.standard_normal((2, 3, 4))).ok


def test_the_gradient_of_astype_has_the_dtype_of_the_input():
    x = ta.Tensor([1.0, 2.0], requires_grad=True)
    y = x.astype("float64")
    y.sum().backward()
    assert (y.dtype, x.grad.dtype) == ("f8", "f4")


def test_detach_removes_the_graph():
    x = ta.Tensor([1.0], requires_grad=True)
    y = (x * 2).detach()
    assert (y.requires_grad, y.creator, y.numpy().tolist()) == (False, None, [2.0])


def test_numpy_is_c_contiguous_for_any_memory_order():
    assert ta.Tensor(np.zeros((4, 5, 6)).transpose(2, 0, 1)).numpy().flags.c_contiguous


def test_item_requires_one_element():
    with pytest.raises(ValueError, match=r"expected one element, got a tensor of shape \(2,\)"):
        ta.Tensor([1.0, 2.0]).item()


def test_backward_of_several_elements_requires_grad():
    x = ta.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(
        ValueError, match=r"expected a tensor of one element, got shape \(2,\).*y\.sum\(\)\.back"
    ):
        (x * 2).backward()
    with pytest.raises(ValueError, match=r"grad has shape \(3,\), but the tensor has shape \(2,\)"):
        (x * 2).backward(np.ones(3))
    (x * 2).backward(np.array([1.0, 10.0]))
    assert x.grad.tolist() == [2, 20]


def test_backward_without_requires_grad_raises():
    with pytest.raises(RuntimeError, match="needs no gradient: no input had requires_grad=True"):
        ta.Tensor([1.0]).sum().backward()


def test_repr_shows_values_dtype_and_creator():
    x = ta.Tensor([1.0, 2.0], requires_grad=True)
    assert repr(x) == "Tensor([1., 2.], dtype=float32, requires_grad=True)"
    assert repr(x + 1) == "Tensor([2., 3.], dtype=float32, creator=Add)"


def test_an_unknown_device_raises():
    with pytest.raises(ValueError, match="expected 'auto', 'cpu', 'cuda' or 'cuda:1', got 'tpu'"):
        ta.Tensor([1.0], device="tpu")


def test_operators_reject_strings():
    with pytest.raises(TypeError, match="unsupported operand"):
        ta.Tensor([1.0]) + "1"


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (
            lambda x: x + np.ones(4),
            r"Add: shapes \(2, 3\) and \(4,\) do not broadcast. From the last axis on, sizes must be equal",
        ),
        (lambda x: np.ones((2, 2)) / x, r"Divide: shapes \(2, 2\) and \(2, 3\) do not broadcast"),
        (
            lambda x: x @ x,
            r"MatMul: shapes \(2, 3\) and \(2, 3\) do not match. Expected \(..., n, k\) @ \(..., k, m\)",
        ),
        (lambda x: x @ 2.0, r"MatMul: shapes \(2, 3\) and \(\) do not match"),
        (
            lambda x: x.reshape(4, -1),
            r"reshape: 6 elements of shape \(2, 3\) do not fit into shape \(4, -1\)",
        ),
        (
            lambda x: x.transpose(0, 0),
            r"transpose: \(0, 0\) does not name each axis of a tensor of shape \(2, 3\) once",
        ),
        (lambda x: x.transpose(2, 0), r"transpose: \(2, 0\) does not name each axis"),
        (
            lambda x: x.sum(2),
            r"sum: axis=2 is out of range for a tensor of shape \(2, 3\)\. Use -2 to 1",
        ),
        (
            lambda x: x.mean((0, -2)),
            r"mean: axis=\(0, -2\) names an axis of a tensor of shape \(2, 3\) twice",
        ),
        (lambda x: x[:0].max(), r"max: a tensor of shape \(0, 3\) has no elements along axis=None"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_operations_name_shapes_that_do_not_match(f, message):
    with pytest.raises(ValueError, match=message):
        f(ta.Tensor(np.ones((2, 3))))


def test_a_tensor_of_shape_0_accepts_axis_0():
    x = ta.Tensor(np.array(3.0))
    assert x.sum(0).shape == x.mean(-1, keepdims=True).shape == x.max((0,)).shape == ()
    with pytest.raises(ValueError, match=r"sum: axis=1 is out of range for a tensor of shape \(\)"):
        x.sum(1)


def test_mean_of_integers_negative_of_bools_and_tensor_of_none_raise():
    with pytest.raises(
        TypeError,
        match=r"mean: the tensor is int64, but must be floating. Convert it: .astype\('float32'\)",
    ):
        ta.Tensor(np.arange(3)).mean()
    with pytest.raises(TypeError, match="not defined for a bool tensor. Convert it"):
        -ta.Tensor(np.array([True]))
    with pytest.raises(
        TypeError,
        match="Tensor: expected a number, a regular nested list of numbers, or an array, got None",
    ):
        ta.Tensor(None)


@pytest.mark.parametrize(
    "array", [np.array([1j]), np.array(["a"]), np.array([None]), np.array([1 + 2j], "c8")], ids=str
)
def test_dtypes_other_than_real_numbers_raise(array):
    with pytest.raises(
        TypeError,
        match=r"is not supported, expected a floating, integer or bool dtype.*complex numbers, give real",
    ):
        ta.Tensor(array)


def test_empty_tensors_have_empty_gradients(dtype):
    x = ta.Tensor(np.zeros((0, 3), dtype), requires_grad=True)
    y = ((x * 2 + 1).exp() @ np.ones((3, 2), dtype)).sum()
    y.backward()
    assert (y.item(), y.dtype, x.grad.shape) == (0, dtype, (0, 3))
    assert np.isnan(x.mean().item())


def test_infinities_and_nan_give_no_warnings():
    x = ta.Tensor([0.0, -1.0, 1e30], requires_grad=True)
    y = x.log() + (1 / x) + x * 1e30
    y.sum().backward()
    assert np.isnan(y.numpy()[:2]).all()
    assert np.isinf(y.numpy()[2])


def test_a_hook_must_return_a_gradient_of_the_same_shape_and_dtype_and_can_be_removed():
    x = ta.Tensor([1.0, 2.0], requires_grad=True)
    remove = x.register_hook(lambda grad: grad[:1])
    with pytest.raises(
        ValueError,
        match=r"must return None, or an array float32 \(2,\) that .* gradient, got float32 \(1,\)",
    ):
        x.sum().backward()
    remove()
    remove()
    x.sum().backward()
    assert x.grad.tolist() == [1, 1]


@pytest.mark.parametrize("numbers", [[None], ["1"], "1", [1, None], [1j]], ids=str)
def test_strings_none_and_complex_numbers_raise(numbers):
    with pytest.raises(
        TypeError, match="Tensor: expected a number, a regular nested list of numbers, or an array"
    ):
        ta.Tensor(numbers)


def test_an_error_of_numpy_that_is_not_about_shapes_keeps_its_text():
    with pytest.raises(ValueError, match="Integers to negative integer powers"):
        ta.Tensor(np.array([2]), device="cpu") ** -1


def test_an_integer_tensor_gets_no_gradient_by_assigning_requires_grad():
    x = ta.Tensor(np.array([1, 2]))
    x.requires_grad = True
    with pytest.raises(TypeError, match="requires_grad=True needs a floating dtype, got int64"):
        (x * 0.5).sum().backward()


def test_data_may_be_assigned_an_array_or_a_tensor():
    x = ta.Tensor([1.0])
    x.data = ta.Tensor([2.0, 3.0])
    assert (x * 2).tolist() == [4, 6]
    x.data = np.float32(3)
    assert (x * 2).item() == 6
    with pytest.raises(TypeError, match="data: expected an array or a tensor, got a list. Use np"):
        x.data = [1.0]
