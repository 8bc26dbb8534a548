"""New tensors: constants, ranges, random numbers."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import device as devices

pytestmark = pytest.mark.anywhere


def test_tensor_infers_torchs_dtypes_and_copies(device):
    kinds = [ta.tensor(v).dtype for v in (1, [1.0], [True], np.ones(2), [[1, 2]])]
    assert kinds == ["i8", "f4", "?", "f8", "i8"]
    array = np.ones(2)
    x = ta.tensor(array)
    array[0] = 5
    assert (x.tolist(), x.device) == ([1, 1], device)
    assert ta.tensor([0, 1], dtype=ta.float32, requires_grad=True).requires_grad
    w = ta.ones(2, requires_grad=True)
    copy = ta.tensor(w * 2)
    assert (copy.requires_grad, copy.tolist()) == (False, [2, 2])
    assert ta.tensor([ta.tensor(1.0), ta.tensor(2.0)]).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1j], "its dtype would be complex128; give real and imaginary parts"),
        ("1", "expected a number, a regular nested list of numbers, or an array"),
        (None, "got None"),
        ([[1], [2, 3]], "regular nested list"),
    ],
    ids=repr,
)
def test_tensor_rejects_what_is_not_numbers(values, message):
    with pytest.raises((TypeError, ValueError), match=message):
        ta.tensor(values)


def test_as_tensor_and_from_numpy_share_memory():
    array = np.zeros(2, "f")
    x = ta.from_numpy(array)
    array[0] = 3
    assert (x.tolist(), x.device) == ([3, 0], "cpu")
    assert ta.as_tensor(x) is x
    assert (ta.as_tensor([1, 2]).dtype, ta.as_tensor(x, ta.float64).dtype) == ("i8", "f8")
    with pytest.raises(TypeError, match="from_numpy: expected a NumPy array, got a list. Use ta.t"):
        ta.from_numpy([1])


def test_constants_have_shapes_dtypes_and_devices(device):
    for x, value, dtype in (
        (ta.zeros(2, 3), 0, "f4"),
        (ta.ones((2, 3), dtype=ta.long), 1, "i8"),
        (ta.full((2, 3), 7), 7, "i8"),
        (ta.full((2, 3), 0.5), 0.5, "f4"),
        (ta.zeros_like(np.ones((2, 3))), 0, "f8"),
        (ta.ones_like(ta.zeros(2, 3), dtype=ta.bool), True, "?"),
        (ta.full_like(ta.zeros(2, 3), 4), 4, "f4"),
    ):
        np.testing.assert_array_equal(x.numpy(), np.full((2, 3), value))
        assert (x.dtype, x.device) == (dtype, device)
    assert ta.empty([2, 3]).shape == (2, 3)
    assert ta.zeros(()).shape == ta.zeros().shape == ()
    assert ta.ones(2, device="cpu", requires_grad=True).device == "cpu"


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (lambda: ta.arange(4), np.arange(4)),
        (lambda: ta.arange(5, 1, -2), np.arange(5, 1, -2)),
        (lambda: ta.arange(0, 1, 0.1), np.arange(0, 1, 0.1, dtype="f")),
        (lambda: ta.arange(3.0), np.arange(3, dtype="f")),
        (lambda: ta.arange(3, dtype=ta.float64), np.arange(3.0)),
        (lambda: ta.arange(3, 1), np.arange(3, 1)),
        (lambda: ta.linspace(0, 1, 5), np.linspace(0, 1, 5, dtype="f")),
        (lambda: ta.eye(2, 3), np.eye(2, 3, dtype="f")),
        (lambda: ta.eye(2, dtype=ta.int64), np.eye(2, dtype=int)),
    ],
)
def test_ranges_equal_numpys(x, expected):
    assert x().dtype == expected.dtype
    np.testing.assert_allclose(x().numpy(), expected, rtol=1e-6)


def draws():
    x = ta.zeros(2, 3)
    return [
        ta.randn(2, 3),
        ta.randn((2, 3)),
        ta.rand(2, 3),
        ta.randn_like(x),
        ta.rand_like(x),
        ta.randint(0, 100, (2, 3)),
        ta.randint(100, (2, 3)),
        ta.randint(100, size=(2, 3)),
        ta.randperm(50),
    ]


def test_random_numbers_are_reproducible_and_differ_from_call_to_call(device):
    first, second = draws(), draws()
    ta.manual_seed(0)
    repeated = draws()
    for a, b, c in zip(first, second, repeated, strict=True):
        assert a.device == device
        np.testing.assert_array_equal(a.numpy(), c.numpy())
        assert (a.numpy() != b.numpy()).any()
    ta.manual_seed(1)
    assert not ta.equal(draws()[0], first[0])


def test_random_numbers_are_a_function_of_the_step():
    devices.set_step(3)
    first = ta.randn(4)
    devices.set_step(4)
    assert not ta.equal(ta.randn(4), first)
    devices.set_step(3)
    assert ta.equal(ta.randn(4), first)


def test_random_numbers_have_their_distributions():
    normal, uniform = ta.randn(100, 100).numpy(), ta.rand(100, 100).numpy()
    assert (abs(normal.mean()) < 0.05, abs(normal.std() - 1) < 0.05) == (True, True)
    assert (uniform.min() >= 0, uniform.max() < 1, abs(uniform.mean() - 0.5) < 0.02) == (True,) * 3
    assert np.unique(ta.randint(2, 5, (1000,)).numpy()).tolist() == [2, 3, 4]
    assert sorted(ta.randperm(9).tolist()) == list(range(9))
    assert ta.randn(2, dtype=ta.float64, requires_grad=True).requires_grad


def test_a_generator_is_refused_with_the_seed_as_the_equivalent():
    with pytest.raises(TypeError, match=r"generator= is not supported.*ta\.manual_seed\(n\)"):
        ta.randn(2, generator=object())


def test_without_a_dtype_new_tensors_are_float32():
    for x in (ta.zeros(2, dtype=None), ta.randn(2, dtype=None), ta.eye(2, dtype=None)):
        assert x.dtype == np.float32
    assert ta.zeros_like(ta.ones(2), requires_grad=True).requires_grad
    assert ta.linspace(0, 1, 3, requires_grad=True).requires_grad
    with pytest.raises(ValueError, match="arange: step must not be 0"):
        ta.arange(0, 1, 0)


def test_uniform_numbers_are_below_1_in_each_dtype():
    assert ta.rand(100_000, dtype=ta.float16).numpy().max() < 1


def test_numbers_in_where_keep_their_values_and_the_dtype_of_the_tensor():
    mask = ta.tensor([True, False])
    assert ta.where(mask, 0.1, ta.zeros(2, dtype=ta.float64)).tolist() == [0.1, 0]
    assert ta.where(mask, 16777217, ta.tensor([1, 2])).tolist() == [16777217, 2]
    assert ta.where(mask, 1, 0).dtype == np.int64
    assert ta.where(mask, 1.5, ta.tensor([1, 2])).dtype == np.float32
