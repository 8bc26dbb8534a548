"""Tensors that are changed between the forward and the backward pass."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import nn, optim

pytestmark = pytest.mark.anywhere


def loss_of(w, v):
    """The gradient of each needs the values of the other."""
    return (w * v).sum()


def leaves():
    return [nn.Parameter(np.array(values, "f")) for values in ([1, 2], [5, 7])]


def step(w):
    w.grad = ta.Tensor(np.ones(2, "f")).data
    optim.SGD([w], lr=1.0).step()


def subtract_in_place(w):
    w.data -= 1


def replace(w):
    w.data = w.data - 1


def fill(w):
    nn.init.zeros_(w)


def move(w):
    layer = nn.Module()
    layer.w = w
    layer.to("float64")


@pytest.mark.parametrize("change", [step, subtract_in_place, replace, fill, move])
@pytest.mark.parametrize("tensor", [0, 1])
def test_backward_after_a_change_raises(change, tensor):
    w, v = tensors = leaves()
    w.data = v.data  # a change before the forward pass is no error
    loss = loss_of(w, v)
    change(tensors[tensor])
    with pytest.raises(
        RuntimeError, match=r"Multiply, a Parameter of shape \(2,\), has been changed"
    ):
        loss.backward()
    assert v.grad is None or change is step


def test_without_the_check_the_gradient_would_be_wrong():
    (w, v), (w2, v2) = leaves(), leaves()
    loss, correct = loss_of(w, v), loss_of(w2, v2)
    correct.backward()
    step(w)
    w.version -= 1
    loss.backward()
    assert v2.grad.tolist() == [1, 2]
    assert v.grad.tolist() == [0, 1]


def test_the_message_names_the_operation_and_its_input():
    layer = nn.Linear(4, 3)
    loss = layer(np.ones((2, 4), "f")).sum()
    layer.load_state_dict(layer.state_dict())
    with pytest.raises(
        RuntimeError,
        match=r"backward: input 1 of Linear, a Parameter of shape \(3, 4\), has been changed after "
        r"the forward pass .* by optimizer.step\(\) or an assignment to .data.*Call backward\(\)",
    ):
        loss.backward()
    assert all(p.grad is None for p in layer.parameters())


def test_a_result_may_get_another_array():
    """The straight-through estimator: rounded in forward, the identity in backward."""
    x = ta.Tensor([0.4, 1.6], requires_grad=True)
    y = x * 1
    y.data = y.data.round()
    (y * y).sum().backward()
    assert x.grad.tolist() == [0, 4]


def test_a_subclass_may_set_its_array_first():
    class Early(ta.Tensor):
        def __init__(self, data):
            self.data = data
            super().__init__(data, requires_grad=True)

    x = Early(np.ones(2, "f"))
    (x * x).sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_a_function_may_store_any_name():
    class Scale(ta.Function):
        def forward(self, x):
            self.versions = 7
            return 7 * x

        def backward(self, dy):
            return self.versions * dy

    x = ta.Tensor([1.0], requires_grad=True)
    Scale.apply(x).backward()
    assert x.grad.tolist() == [7]


def test_a_changed_result_of_an_operation_raises():
    """Exp stores its result for the gradient."""
    x = leaves()[0]
    y = x.exp()
    y.data *= 2
    for root in (y.sum(), y):
        with pytest.raises(RuntimeError, match=r"of shape \(2,\), has been changed"):
            root.backward(np.ones(root.shape, "f"))


def test_a_change_of_a_result_is_detected_after_its_tensor_has_been_deleted():
    y = leaves()[0].exp()
    total = y.sum()
    y.data *= 2
    del y
    with pytest.raises(RuntimeError, match=r"input 0 of Sum, a result of Exp of shape \(2,\), has"):
        total.backward()


def test_a_graph_that_was_kept_is_checked_again():
    w, v = leaves()
    loss = loss_of(w, v)
    loss.backward(retain_graph=True)
    loss.backward(retain_graph=True)
    assert v.grad.tolist() == [2, 4]
    w.data = v.data
    with pytest.raises(RuntimeError, match="has been changed"):
        loss.backward()


def test_training_with_accumulated_gradients_and_a_constraint():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, labels = np.ones((4, 3), "f"), ta.Tensor(np.array([0, 1, 1, 1])).data
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        for _ in range(2):
            loss = F.cross_entropy(model(x), labels)
            loss.backward()
        optimizer.step()
        for p in model.parameters():
            p.data *= 0.999
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)


def test_a_hook_may_update_its_parameter_during_backward():
    w, v = leaves()

    def update(grad):
        v.data -= grad

    v.register_hook(update)
    loss_of(w, v).backward()
    assert v.numpy().tolist() == [4, 5]
    assert w.grad.tolist() == [5, 7]


def test_tensors_that_need_no_gradient_and_no_grad_are_not_checked():
    w, constant = leaves()[0], ta.Tensor(np.array([5, 7], "f"))
    loss = loss_of(w, constant)
    constant.data = constant.data * 2
    with ta.no_grad():
        loss_of(w, constant)
    loss.backward()
    assert w.grad.tolist() == [5, 7]


def test_changes_of_elements_are_seen_if_the_version_is_incremented():
    w, v = leaves()
    loss = loss_of(w, v)
    w.data[0] = 9
    w.version += 1
    with pytest.raises(RuntimeError, match="has been changed"):
        loss.backward()
