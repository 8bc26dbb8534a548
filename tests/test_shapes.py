"""Shapes and indices, by torch's names."""

import copy
import pickle
from array import array
from collections import deque

import numpy as np
import pytest

import tinyalex as ta
from tinyalex.device import to_numpy

pytestmark = pytest.mark.anywhere


@pytest.fixture
def x(rng):
    return rng.standard_normal((2, 3, 4))


def test_size_is_a_number_and_a_method():
    x = ta.zeros(2, 3)
    assert (x.size, x.size + 1, x.numel(), x.dim()) == (6, 7, 6, 2)
    assert (x.size(), x.size(0), x.size(-1)) == ((2, 3), 2, 3)
    assert pickle.loads(pickle.dumps(x.size))() == copy.copy(x.size)() == (2, 3)
    with pytest.raises(ValueError, match="size: dim=2 is out of range"):
        x.size(2)


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda t: t.view(4, -1), lambda a: a.reshape(4, -1)),
        (lambda t: t.view_as(ta.zeros(6, 4)), lambda a: a.reshape(6, 4)),
        (lambda t: t.flatten(1), lambda a: a.reshape(2, 12)),
        (lambda t: t.unsqueeze(1), lambda a: a[:, None]),
        (lambda t: t.unsqueeze(-1), lambda a: a[..., None]),
        (lambda t: t[:1].squeeze(), lambda a: a[0]),
        (lambda t: t[:1].squeeze(0), lambda a: a[0]),
        (lambda t: t.squeeze(1), lambda a: a),
        (lambda t: t[:, :1, :1].squeeze((1, 2)), lambda a: a[:, 0, 0]),
        (lambda t: t.permute(2, 0, 1), lambda a: a.transpose(2, 0, 1)),
        (lambda t: t.permute((1, 0, 2)), lambda a: a.transpose(1, 0, 2)),
        (lambda t: t.transpose(0, 2), lambda a: a.swapaxes(0, 2)),
        (lambda t: t.transpose(1, -1), lambda a: a.swapaxes(1, 2)),
        (lambda t: t[0].t(), lambda a: a[0].T),
        (lambda t: t[:, :1].expand(2, 5, 4), lambda a: np.repeat(a[:, :1], 5, 1)),
        (lambda t: t[:, :1].expand(3, -1, 2, -1), lambda a: np.tile(a[:, :1], (3, 1, 2, 1))),
        (lambda t: t[0].expand_as(t), lambda a: np.broadcast_to(a[0], a.shape)),
        (lambda t: t.repeat(2, 1, 1, 3), lambda a: np.tile(a, (2, 1, 1, 3))),
        (lambda t: t.flip(0, -1), lambda a: a[::-1, :, ::-1]),
        (lambda t: t.split(2, dim=2)[1], lambda a: a[..., 2:]),
        (lambda t: t.split([1, 3], -1)[1], lambda a: a[..., 1:]),
        (lambda t: t.chunk(2, 1)[0], lambda a: a[:, :2]),
        (lambda t: t.unbind(1)[2], lambda a: a[:, 2]),
        (lambda t: t.index_select(1, ta.tensor([2, 0, 2])), lambda a: a[:, [2, 0, 2]]),
        (lambda t: t.contiguous(), lambda a: a),
        (lambda t: t.clone(), lambda a: a),
        (lambda t: ta.stack([t, 2 * t], 1), lambda a: np.stack([a, 2 * a], 1)),
        (lambda t: ta.transpose(t[0], 0, 1), lambda a: a[0].T),
    ],
)
def test_changes_of_shape_equal_numpys_and_pass_gradcheck(f, expected, x):
    np.testing.assert_array_equal(f(ta.Tensor(x)).numpy(), expected(x))
    assert ta.gradcheck(f, x).ok


def test_gather_equals_take_along_axis_and_adds_gradients(x, rng):
    index = rng.integers(0, 3, (2, 5, 4))
    expected = np.take_along_axis(x, index, 1)
    np.testing.assert_array_equal(ta.gather(x, 1, index).numpy(), expected)
    np.testing.assert_array_equal(ta.gather(x, 1, index[:1, :, :2]).numpy(), expected[:1, :, :2])
    assert ta.gradcheck(lambda t: t.gather(1, ta.tensor(index)), x).ok


def test_a_transpose_that_torch_understands_differently_warns():
    x = ta.zeros(2, 3)
    with pytest.warns(UserWarning, match=r"keeps the order of the axes, as in NumPy.*use x\.T"):
        assert x.transpose(0, 1).shape == (2, 3)
    assert x.transpose((0, 1)).shape == (2, 3)
    assert x.transpose(1, 0).shape == x.transpose().shape == (3, 2)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda t: t.t(), r"t: expected at most two axes, got shape \(2, 3, 4\)"),
        (lambda t: t.expand(2, 3, 5), r"expand: shape \(2, 3, 4\) does not expand to \(2, 3, 5\)"),
        (lambda t: t.repeat(2), r"repeat: expected a number for each axis of shape \(2, 3, 4\)"),
        (lambda t: t.split(0), "split: split_size must be at least 1, got 0"),
        (lambda t: t.split([1, 2]), r"split: the sizes \[1, 2\] do not add up to 2 along dim=0"),
        (lambda t: t.split([3, -1]), r"split: sizes must be at least 0, got \[3, -1\]"),
        (lambda t: t.repeat(1, -1, 1), r"repeat: numbers must be at least 0, got \(1, -1, 1\)"),
        (lambda t: t.chunk(0), "chunk: chunks must be at least 1, got 0"),
        (lambda t: t.gather(0, ta.tensor([0])), r"gather: an index of shape \(1,\) does not match"),
        (lambda t: t.unsqueeze(4), "unsqueeze: dim=4 is out of range"),
        (lambda t: ta.stack([t, t[0]]), r"stack: tensor 1 has shape \(3, 4\), but tensor 0 has"),
    ],
    ids=lambda v: v.split(":")[0] if isinstance(v, str) else "",
)
def test_errors_name_the_shapes(f, message, x):
    with pytest.raises(ValueError, match=message):
        f(ta.Tensor(x))


def test_a_tensor_is_iterated_along_its_first_axis():
    assert [row.tolist() for row in ta.Tensor([[1.0], [2.0]])] == [[1.0], [2.0]]
    with pytest.raises(TypeError, match="0-d|unsized"):
        list(ta.Tensor(1.0))


def test_elements_of_a_tensor_without_a_gradient_can_be_assigned():
    x = ta.zeros(2, 3)
    x[0, 1] = 5
    x[1] = ta.ones(3)
    x[x == 0] = np.float32(-1)
    x[:, ta.tensor([2])] = ta.full((2, 1), 7.0)
    assert x.tolist() == [[-1, 5, 7], [1, 1, 7]]
    assert x.version == 4


def test_elements_of_a_tensor_with_a_gradient_are_assigned_within_no_grad_only():
    w = ta.ones(3, requires_grad=True)
    for t in (w, w * 2):
        with pytest.raises(RuntimeError, match=r"x needs a gradient.*Use ta.where"):
            t[0] = 0
    with ta.no_grad():
        w[0] = 0
    assert (w.tolist(), w.version) == ([0, 1, 1], 1)
    y = (w * w).sum()
    with ta.no_grad():
        w[1] = 3
    with pytest.raises(RuntimeError, match="has been changed"):
        y.backward()


def test_the_gradient_of_a_repeated_tensor_is_added():
    x = ta.Tensor([[1.0], [2.0]], requires_grad=True)
    (x.expand(2, 3) * ta.Tensor([1.0, 2.0, 3.0])).sum().backward()
    assert to_numpy(x.grad).tolist() == [[6], [6]]


def test_two_axes_are_exchanged_by_negative_numbers_or_by_name():
    x = ta.Tensor(np.arange(6.0).reshape(2, 3))
    for y in (x.transpose(-2, -1), x.transpose(0, -1), x.transpose(dim0=0, dim1=1)):
        np.testing.assert_array_equal(y.numpy(), x.numpy().T)
    with pytest.raises(TypeError, match="give both dim0 and dim1"):
        x.transpose(dim0=0)


def test_a_tuple_of_positions_within_an_index_may_repeat_some():
    x = ta.ones(3, 2, requires_grad=True)
    x[(0, 0, 1), :].sum().backward()
    assert to_numpy(x.grad).tolist() == [[2, 2], [1, 1], [0, 0]]


def test_a_value_with_a_gradient_is_not_assigned():
    w, out = ta.ones(3, requires_grad=True), ta.zeros(3)
    with pytest.raises(RuntimeError, match="value needs a gradient, which assignments do not pass"):
        out[0] = w.sum()
    out[0] = w.sum().detach()
    assert out.tolist() == [3, 0, 0]


def test_no_slices_are_unbound_from_an_empty_axis():
    assert ta.zeros(0, 3).unbind() == ()
    assert len(ta.zeros(0, 3).unbind(1)) == 3
    with pytest.raises(ValueError, match=r"split: a tensor of shape \(\) has no axis to split"):
        ta.tensor(1.0).split(1)
    with pytest.raises(ValueError, match=r"unsqueeze: dim=5 .* shape \(2, 3\). Use -3 to 2"):
        ta.ones(2, 3).unsqueeze(5)


@pytest.mark.parametrize(
    "positions", [deque([0, 0, 2]), array("q", [0, 0, 2]), [0, 0, 2]], ids=type
)
def test_a_sequence_of_positions_may_repeat_some(positions):
    x = ta.Tensor([1.0, 2.0, 3.0], requires_grad=True, device="cpu")
    x[positions].sum().backward()
    assert x.grad.tolist() == [2, 0, 1]


@pytest.mark.parametrize("positions", [np.array([0, 1]), [0, 1], np.array([True, True, False])])
def test_an_index_may_be_changed_before_the_backward_pass(positions):
    x = ta.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x[positions]
    positions[0] = positions[1] = 0
    y.sum().backward()
    assert to_numpy(x.grad).tolist() == [1, 1, 0]
