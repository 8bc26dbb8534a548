"""Devices, dtypes, conversions to Python and NumPy; leaves and their gradients."""

import copy
import pickle

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import device as devices

pytestmark = pytest.mark.anywhere


def test_to_takes_a_device_a_dtype_both_or_a_tensor(device):
    x = ta.Tensor([1.0, 2.0])
    assert x.to(device) is x
    assert x.to(ta.device(device), non_blocking=True) is x
    assert x.to(device, copy=True) is not x
    for y in (x.to(device, ta.float64), x.to(dtype="float64"), x.to(ta.zeros(1, dtype=ta.double))):
        assert (y.dtype, y.device, y.tolist()) == (np.float64, device, [1, 2])
    with pytest.raises(TypeError, match="to: expected a device, a dtype or a tensor"):
        x.to()
    with pytest.raises(ValueError, match="expected 'auto', 'cpu', 'cuda' or 'cuda:1', got None"):
        x.to(None)


def test_dtypes_have_torchs_names():
    x = ta.Tensor([0.0, 1.5])
    kinds = ("half", "float", "double", "int", "long", "bool")
    assert [getattr(x, k)().dtype for k in kinds] == ["f2", "f4", "f8", "i4", "i8", "?"]
    assert [getattr(ta, k) for k in kinds] == [getattr(x, k)().dtype for k in kinds]
    assert x.type(ta.int64).to(x).dtype == ta.float32 == x.dtype
    assert {ta.float32: "single"}[x.dtype] == "single"
    assert x.float() is x


def test_gradients_pass_conversions_between_floating_dtypes_and_clone():
    x = ta.Tensor([1.0, 2.0], requires_grad=True)
    (x.clone().double() * 3).sum().backward()
    assert (x.grad.tolist(), x.grad.dtype) == ([3, 3], np.float32)


def test_a_clone_is_a_copy():
    x = ta.Tensor([1.0, 2.0])
    y = x.clone()
    y[0] = 5
    assert (x.tolist(), y.tolist()) == ([1, 2], [5, 2])
    assert ta.tensor([1, 2]).clone().dtype == np.int64


def test_a_device_is_a_text_with_torchs_attributes(device):
    x = ta.Tensor([1.0])
    assert (x.device, x.device.type, x.is_cuda) == (device, device.split(":")[0], device != "cpu")
    assert (ta.device("cuda:1").index, ta.device("cuda", 1), ta.device("cpu").index) == (
        1,
        "cuda:1",
        None,
    )
    assert ta.device("cuda:0") == "cuda"
    assert pickle.loads(pickle.dumps(ta.device("cuda:1"))) == "cuda:1"
    assert ta.device is devices
    assert x.cpu().device == "cpu"
    with pytest.raises(ValueError, match="expected 'auto', 'cpu', 'cuda' or 'cuda:1', got 'tpu'"):
        ta.device("tpu")


def test_cuda_moves_to_the_gpu_or_says_why_not(device):
    x = ta.Tensor([1.0], device="cpu")
    if ta.cuda.is_available():
        assert x.cuda(0).device == x.cuda().device == "cuda"
    else:
        with pytest.raises(RuntimeError, match="tinyalex doctor"):
            x.cuda()
    assert ta.cuda.device_count() == devices.gpu_count()


def test_tensors_convert_to_python_and_numpy():
    x = ta.Tensor(np.array([[1, 2]]))
    assert (x.tolist(), float(x[0, 0]), int(x[0, 1]), bool(x[0, 0])) == ([[1, 2]], 1.0, 2, True)
    assert ["a", "b", "c"][x[0, 1]] == "c"
    assert list(range(x[0, 1])) == [0, 1]
    np.testing.assert_array_equal(np.asarray(x), [[1, 2]])
    assert np.array(ta.Tensor([1.0]), dtype=np.float64).dtype == np.float64
    with pytest.raises(TypeError, match="expected integers as indices, got a tensor of float32"):
        ["a"][ta.Tensor(0.0)]


def test_a_single_element_can_be_formatted():
    assert f"{ta.Tensor(2 / 3):.3f} {ta.Tensor([5.0]):4.1f}" == "0.667  5.0"
    assert f"{ta.Tensor([1.0, 2.0])}" == "Tensor([1., 2.], dtype=float32)"


def test_only_leaves_can_begin_to_need_a_gradient():
    x = ta.zeros(2)
    assert x.requires_grad_() is x
    assert (x.requires_grad, x.is_leaf, (x * 2).is_leaf) == (True, True, False)
    assert not x.requires_grad_(False).requires_grad
    with pytest.raises(TypeError, match="needs a floating dtype, got int64"):
        ta.tensor([1]).requires_grad_()
    with pytest.raises(ValueError, match=r"requires_grad_: expected a leaf.*detach\(\)"):
        (ta.ones(1, requires_grad=True) * 2).requires_grad_()


def test_tensor_does_not_take_sizes():
    with pytest.raises(TypeError, match=r"requires_grad must be a bool, got 3.*ta\.zeros\(2, 3\)"):
        ta.Tensor(2, 3)


def test_tensors_are_copied_with_their_gradients():
    w = ta.ones(2, requires_grad=True)
    (w * 3).sum().backward()
    other = copy.deepcopy(w)
    other.data += 1
    assert (w.tolist(), other.tolist(), other.grad.tolist()) == ([1, 1], [2, 2], [3, 3])


def test_a_graph_is_recorded_in_the_mode_of_the_innermost_context():
    w = ta.ones(1, requires_grad=True)

    def records():
        assert ta.is_grad_enabled() == (w * 2).requires_grad
        return ta.is_grad_enabled()

    with ta.no_grad():
        assert not records()
        with ta.enable_grad():
            assert records()
        with ta.set_grad_enabled(True):
            assert records()
        assert not records()
        ta.set_grad_enabled(True)
        assert records()
    assert records()
    ta.set_grad_enabled(False)
    assert not records()
    ta.set_grad_enabled(True)
    assert (records(), ta.no_grad()(records)(), ta.inference_mode()(records)()) == (
        True,
        False,
        False,
    )
