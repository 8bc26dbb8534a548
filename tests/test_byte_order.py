"""Arrays in the other byte order, as from files of other machines, are converted."""

import sys

import numpy as np
import pytest

import tinyalex as ta
import tinyalex.functional as F
from tinyalex import data, nn, optim

OTHER = ">" if sys.byteorder == "little" else "<"


def other(*shape, dtype="f4"):
    return np.random.default_rng(0).standard_normal(shape).astype(OTHER + dtype)


@pytest.mark.parametrize("kind", [ta.Tensor, lambda x, requires_grad: nn.Parameter(x)])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_a_tensor_has_the_byte_order_of_the_machine_and_a_gradient(kind, dtype):
    x = kind(other(2, 3, dtype=dtype), requires_grad=True)
    (x.exp() * 2).sum().backward()
    assert x.dtype.isnative
    assert x.grad.dtype == x.dtype == dtype
    np.testing.assert_array_equal(x.data, other(2, 3, dtype=dtype))


def test_an_operand_an_input_labels_and_an_upstream_gradient_are_converted():
    layer = nn.Conv2d(2, 3, 3)
    y = layer(other(1, 2, 5, 5)) + other(3, 1, 1)
    (y * 2).backward(other(*y.shape))
    assert layer.weight.grad.dtype == "f4"
    w = ta.Tensor(other(4, 3), requires_grad=True)
    F.cross_entropy(w, np.array([0, 1, 2, 0], OTHER + "i8")).backward()
    assert w.grad.dtype == "f4"


def test_a_state_a_hook_and_a_requested_dtype_are_converted(tmp_path):
    layer = nn.Linear(3, 2)
    state = {"weight": other(2, 3), "bias": other(2)}
    layer.load_state_dict(state)
    layer.weight.register_hook(lambda grad: grad.astype(OTHER + "f4"))
    layer(other(1, 3)).sum().backward()
    optim.SGD(list(layer.parameters()), lr=0.1, momentum=0.9).step()
    assert layer.weight.grad.dtype == layer.weight.dtype == "f4"
    assert layer.weight.astype(OTHER + "f8").dtype == layer.to(OTHER + "f8").weight.dtype == "f8"
    ta.save(tmp_path / "x.safetensors", {"nested": state})
    loaded = ta.load(tmp_path / "x.safetensors")["nested"]
    np.testing.assert_array_equal(loaded["weight"], state["weight"])


def test_gradcheck_and_batches_are_converted():
    assert ta.gradcheck(lambda x, y: x * y, [other(2, 3, dtype="f8"), other(2, 3, dtype="f8")]).ok

    class Images:
        images, labels = other(4, 3, 8, 8), np.arange(4, dtype=OTHER + "i4")

    ((x, y),) = data.Loader(Images(), 4)
    assert (x.dtype, y.dtype) == ("f4", "i8")
