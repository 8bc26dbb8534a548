"""Autograd: the graph, its memory, and the checks of a Function's gradients."""

import gc
import weakref

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F

pytestmark = pytest.mark.anywhere


class Double(ta.Function):
    """y = 2 * x, counting its backward passes."""

    calls = 0

    def forward(self, x):
        return 2 * x

    def backward(self, dy):
        Double.calls += 1
        return 2 * dy


def mutant(gradients):
    """A Function of two inputs whose backward is `gradients`."""

    class Mutant(ta.Function):
        def forward(self, x, y):
            return x + y

        def backward(self, dy):
            return gradients(dy)

    return Mutant


def leaf(*shape, dtype=np.float32):
    return ta.Tensor(np.ones(shape, dtype), requires_grad=True)


@pytest.fixture
def long_chain(device):
    """A number of nodes above the recursion limit; on a GPU, each is a launch."""
    return 100_000 if device == "cpu" else 10_000


def test_a_long_chain_works(long_chain):
    x = y = leaf(1)
    for _ in range(long_chain):
        y = y + 1
    y.sum().backward()
    assert x.grad == 1


def test_a_long_chain_can_be_dropped_without_backward(long_chain):
    y = leaf(1)
    for _ in range(long_chain):
        y = y + 1
    del y


def test_backward_of_a_shared_node_runs_once():
    Double.calls = 0
    x = y = leaf(1)
    for _ in range(60):  # 2**60 paths
        y = Double.apply(y)
        y = y - y * 0.5
    y.sum().backward()
    assert (Double.calls, x.grad.item()) == (60, 1.0)


def test_gradients_of_all_uses_are_added():
    x = leaf(3)
    (x * x + x).sum().backward()
    assert x.grad.tolist() == [3, 3, 3]


def test_gradients_accumulate_over_backward_passes():
    x = leaf(2)
    for _ in range(3):
        (2 * x).sum().backward()
    assert x.grad.tolist() == [6, 6]


def test_two_leaves_do_not_share_a_gradient():
    x, y = leaf(2), leaf(2)
    (x + y).sum().backward()
    x.grad *= 10
    assert (x.grad.tolist(), y.grad.tolist()) == ([10, 10], [1, 1])


def test_a_second_backward_raises():
    y = (leaf(2) * 2).sum()
    y.backward()
    with pytest.raises(
        RuntimeError, match=r"the graph of Sum has been freed .* backward\(retain_graph=True\)"
    ):
        y.backward()


def test_backward_through_a_graph_freed_by_another_output_raises():
    h = leaf(2) * 2
    h.sum().backward()
    with pytest.raises(RuntimeError, match="of Multiply has been freed"):
        (h + 1).sum().backward()


def test_retain_graph_allows_a_second_backward():
    x = leaf(2)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4, 4]


def test_backward_frees_the_arrays_that_functions_store():
    class Storing(ta.Function):
        def forward(self, x):
            self.stored = x.copy()
            Storing.alive = weakref.ref(self.stored)
            return x

        def backward(self, dy):
            return dy

    y = Storing.apply(leaf(4)).sum()
    gc.collect()
    assert Storing.alive() is not None
    y.backward()
    gc.collect()
    assert Storing.alive() is None


def test_needs_input_grad_is_set_in_forward_and_backward():
    seen = []

    class Spy(ta.Function):
        def forward(self, x, y, z):
            seen.append(self.needs_input_grad)
            return x + y

        def backward(self, dy):
            seen.append(self.needs_input_grad)
            return dy, None, None

    Spy.apply(leaf(2), ta.Tensor(np.ones(2, "f")), None).sum().backward()
    assert seen == [(True, False, False)] * 2


def test_no_grad_records_no_graph():
    x = leaf(2)
    with ta.no_grad():
        y = x * 2
    assert (y.requires_grad, y.creator) == (False, None)
    assert (x * 2).requires_grad


@ta.no_grad()
def scaled(x):
    return x * 2


def test_no_grad_is_a_decorator():
    assert not scaled(leaf(2)).requires_grad


def test_a_first_convolution_computes_no_gradient_for_the_image(rng):
    image = ta.Tensor(rng.standard_normal((1, 3, 8, 8)).astype("f"))
    weight = ta.Tensor(rng.standard_normal((4, 3, 3, 3)).astype("f"), requires_grad=True)
    y = F.conv2d(image, weight)
    dx, dw, _ = y.creator.backward(ta.Tensor(np.ones(y.shape, "f")).data)
    assert dx is None
    assert dw.shape == weight.shape


def test_a_wrong_number_of_gradients_is_reported_with_its_class():
    y = mutant(lambda dy: dy).apply(leaf(2), leaf(2))
    with pytest.raises(ValueError, match=r"Mutant.backward: expected 2 gradients, .* got 1"):
        y.sum().backward()


def test_a_gradient_of_a_wrong_shape_is_reported_with_its_class():
    y = mutant(lambda dy: (dy, dy)).apply(leaf(3, 2), leaf(2))
    with pytest.raises(
        ValueError,
        match=r"Mutant.backward: gradient 1 is float32 array of shape \(3, 2\), but input 1 is .* \(2,\).*sum its",
    ):
        y.sum().backward()


def test_a_gradient_of_a_wrong_dtype_is_reported_with_its_class():
    y = mutant(lambda dy: (dy, dy * np.float64(0.5))).apply(leaf(2), leaf(2))
    with pytest.raises(
        ValueError, match=r"Mutant.backward: gradient 1 is float64 .* Return it as float32"
    ):
        y.sum().backward()


def test_a_gradient_that_is_not_an_array_is_reported_with_its_class():
    y = mutant(lambda dy: (dy, 1.0)).apply(leaf(2), leaf(2))
    with pytest.raises(
        ValueError, match=r"Mutant.backward: gradient 1 is a float, but .* Return an array"
    ):
        y.sum().backward()


def test_a_forward_that_does_not_return_an_array_raises():
    class Two(ta.Function):
        def forward(self, x):
            return x, x

    with pytest.raises(
        TypeError, match=r"Two.forward: expected one array to be returned, got a tuple"
    ):
        Two.apply(leaf(2))


def test_a_function_without_backward_raises():
    class ForwardOnly(ta.Function):
        def forward(self, x):
            return x / 2

    with pytest.raises(TypeError, match=r"ForwardOnly has no backward\(self, grad_output\)"):
        ForwardOnly.apply(leaf(2)).sum().backward()


def test_an_input_without_a_gradient_has_none():
    x, y = leaf(2), leaf(2)
    mutant(lambda dy: (None, dy)).apply(x * 2, y).sum().backward()
    assert x.grad is None
    assert y.grad.tolist() == [1, 1]


def test_a_function_of_plain_arrays_returns_a_plain_array():
    assert isinstance(Double.apply(np.ones(2)), np.ndarray)


def test_a_hook_is_called_once_with_the_complete_gradient_and_can_replace_it():
    x, seen = leaf(2), []
    x.register_hook(lambda grad: seen.append(grad.tolist()) or grad * 10)
    (x + x * 2).sum().backward()
    assert (seen, x.grad.tolist()) == ([[3, 3]], [30, 30])


def test_only_leaves_accept_hooks():
    with pytest.raises(ValueError, match="expected a leaf with requires_grad=True"):
        (leaf(2) * 2).register_hook(print)


def network(x, w, b, v):
    """Every operation of the CIFAR networks, and arithmetic."""
    h = F.relu(F.conv2d(x, w, b, padding=1, groups=2))
    h = F.local_response_norm(h, 3, alpha_mode="sum", groups=2)
    h = F.avg_pool2d(F.max_pool2d(h, 3, 2), 2, 1)
    h = F.dropout(F.linear(F.tanh(F.flatten(h, 1)), v), 0.5)
    loss = F.cross_entropy(h, np.zeros(len(h), int))
    penalty = (
        (w * w).mean()
        + (b**2).sum() / 2
        + 1.5 * w.exp().log().max()
        - (v[0] @ v.transpose())[:2].mean()
    )
    return loss + 0.01 * penalty


def test_every_gradient_has_the_dtype_of_its_tensor(dtype, rng):
    arrays = [
        rng.standard_normal(shape).astype(dtype)
        for shape in [(2, 4, 8, 8), (6, 2, 3, 3), (6,), (5, 24)]
    ]
    leaves = [ta.Tensor(a, requires_grad=True) for a in arrays]
    loss = network(*leaves)
    inner, to_visit = [], [loss.creator]
    while to_visit:
        inner.append(source := to_visit.pop())
        if isinstance(source, ta.Function):
            to_visit += [x for x in source.inputs if x is not None]
    assert {source.result_form.dtype for source in inner} == {dtype}
    loss.backward()
    assert {t.grad.dtype for t in leaves} == {dtype}
    assert all(t.grad.shape == t.shape for t in leaves)


def test_a_graph_keeps_no_output_that_no_operation_stores():
    x = leaf(2)
    outputs = [Double.apply(x)]
    outputs += [outputs[0].exp(), outputs[0].sum()]
    stored = outputs[1].data
    loss = outputs[1].sum() + outputs[2]
    tensors = [weakref.ref(tensor) for tensor in outputs]
    outputs.clear()
    assert [tensor() for tensor in tensors] == [None] * 3
    loss.backward()
    np.testing.assert_allclose(ta.Tensor(x.grad).numpy(), 2 * ta.Tensor(stored).numpy() + 2)


def test_a_leaf_does_not_share_its_gradient_with_an_array_that_an_operation_stores():
    class Times(ta.Function):
        def forward(self, x):
            self.w = 0 * x + 3
            Times.stored = self.w
            return x * self.w

        def backward(self, dy):
            return self.w

    x = leaf(2)
    Times.apply(x).sum().backward()
    x.grad *= 0
    assert Times.stored.tolist() == [3, 3]


def test_the_gradient_of_a_scalar_is_an_array():
    x = ta.Tensor(2.0, requires_grad=True)
    for expected in (4, 8):
        (x * x).backward()
        assert type(x.grad) is type(x.data)
        assert x.grad == expected


def test_infinities_give_no_warnings_in_worker_threads(monkeypatch):
    monkeypatch.setattr("tinyalex.device.tiles.workers", lambda: 2)
    x = np.full((8, 4, 3, 3), 1e30, "f")
    assert not np.isnan(F.local_response_norm(x, 5, 1.0).numpy()).any()


def test_forward_may_store_attributes_of_any_natural_name():
    class Square(ta.Function):
        def forward(self, x):
            self._version = self._versions = x
            self._output = x * x
            return self._output

        def backward(self, dy):
            return 2 * dy * self._version

    x = ta.Tensor([1.0, 2.0], requires_grad=True)
    Square.apply(x).sum().backward()
    assert x.grad.tolist() == [2, 4]


@pytest.mark.parametrize("leaf_first", [False, True])
def test_a_gradient_returned_twice_is_copied_for_a_leaf(leaf_first):
    class Double(ta.Function):
        def forward(self, x, y):
            return 2 * (x + y)

        def backward(self, dy):
            g = 2 * dy
            return g, g

    x, y = (ta.Tensor([1.0], requires_grad=True) for _ in range(2))
    y.register_hook(lambda grad: grad.__imul__(0) and None)
    result = x * 1
    Double.apply(*((y, result) if leaf_first else (result, y))).sum().backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([2], [0])


def test_a_result_in_the_other_byte_order_has_a_gradient():
    class Swapped(ta.Function):
        def forward(self, x):
            return x.astype(x.dtype.newbyteorder())

        def backward(self, dy):
            return dy

    x = ta.Tensor([1.0], requires_grad=True, device="cpu")  # CuPy has no other byte order
    (Swapped.apply(x) * 2).sum().backward()
    assert x.grad.tolist() == [2]


@pytest.mark.parametrize(
    "reduce", [lambda x: x.mean(), lambda x: x.var(0).sum()], ids=["mean", "var"]
)
def test_the_gradient_of_a_reduction_can_be_changed_in_place(reduce):
    x = leaf(2)
    reduce(x).backward()
    expected = 2 * ta.Tensor(x.grad).numpy()
    x.grad *= 2
    x.grad[0] += 1
    expected[0] += 1
    assert ta.Tensor(x.grad).numpy().tolist() == expected.tolist()


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x + np.ones((3, 2)),
        lambda x: np.ones((3, 2)) - x,
        lambda x: ta.where(np.array([True, False]), x, 0.0),
        lambda x: x.expand(3, 2),
    ],
    ids=["+", "-", "where", "expand"],
)
def test_a_graph_keeps_no_operand_that_the_gradient_does_not_depend_on(f):
    x = leaf(2)
    operand = x * 2
    stored = weakref.ref(operand.data)
    result = f(operand) + 0
    del operand
    assert stored() is None
    result.sum().backward()
    assert x.grad.shape == (2,)


@pytest.mark.parametrize("mode", [ta.no_grad, ta.enable_grad, ta.autocast])
def test_a_mode_does_not_decorate_a_generator(mode):
    def batches():
        yield 1

    with pytest.raises(TypeError, match=rf"{mode.__name__}: a generator runs after the decorated"):
        mode()(batches)


def test_set_grad_enabled_is_a_decorator_of_one_function():
    @ta.set_grad_enabled(False)
    def off():
        return ta.is_grad_enabled()

    @ta.set_grad_enabled(True)
    def on():
        return ta.is_grad_enabled()

    assert (ta.is_grad_enabled(), off(), on(), ta.is_grad_enabled()) == (True, False, True, True)
    with ta.no_grad():
        assert (off(), on(), ta.is_grad_enabled()) == (False, True, False)


def test_set_grad_enabled_applies_its_mode_when_it_is_entered():
    disabled = ta.set_grad_enabled(False)
    ta.set_grad_enabled(True)
    with disabled:
        assert not ta.is_grad_enabled()
    assert ta.is_grad_enabled()
