"""autocast: the dtype of each operation, and the gradients of a network in float16."""

import re
import threading

import numpy as np
import pytest
from given_masks import share_choices

import tinyalex as ta
from tinyalex import device as devices
from tinyalex import functional as F
from tinyalex import mixed_precision, models, modes, nn, ops, optim

HALF, FLOAT = np.dtype("float16"), np.dtype("float32")


def image(dtype=HALF):
    return ta.ones(2, 4, 6, 6, dtype=dtype, requires_grad=True)


def rows(dtype=HALF):
    return ta.ones(2, 4, dtype=dtype, requires_grad=True)


def ones(*shape):
    return ta.ones(*shape)


LABELS = np.array([0, 1])


def labels():
    return ta.tensor(LABELS)


IN_HALF = {
    "conv2d": lambda t: F.conv2d(image(t), ones(3, 4, 3, 3), ones(3)),
    "linear": lambda t: F.linear(rows(t), ones(3, 4), ones(3)),
    "locally_connected2d": lambda t: F.locally_connected2d(image(t), ones(6, 6, 2, 4, 1, 1)),
    "matmul": lambda t: rows(t) @ ones(4, 3),
    "an array @": lambda t: np.ones((3, 2), "f") @ rows(t),
}
IN_FLOAT = {
    "batch_norm": lambda t: F.batch_norm(image(t), None, None, ones(4), ones(4), training=True),
    "layer_norm": lambda t: F.layer_norm(rows(t), 4, ones(4), ones(4)),
    "normalize": lambda t: F.normalize(rows(t)),
    "softmax": lambda t: F.softmax(rows(t), 1),
    "log_softmax": lambda t: F.log_softmax(rows(t), 1),
    "gelu": lambda t: F.gelu(rows(t)),
    "cross_entropy": lambda t: F.cross_entropy(rows(t), labels(), ones(4)),
    "cross_entropy, probabilities": lambda t: F.cross_entropy(rows(t), rows(HALF)),
    "nll_loss": lambda t: F.nll_loss(rows(t), labels()),
    "mse_loss": lambda t: F.mse_loss(rows(t), rows(FLOAT)),
    "l1_loss": lambda t: F.l1_loss(rows(t), rows(FLOAT)),
    "binary_cross_entropy_with_logits": lambda t: F.binary_cross_entropy_with_logits(
        rows(t), rows(FLOAT), pos_weight=ones(4)
    ),
    "exp": lambda t: rows(t).exp(),
    "log": lambda t: rows(t).log(),
    "log1p": lambda t: rows(t).log1p(),
    "**": lambda t: rows(t) ** 2,
    "square": lambda t: rows(t).square(),
    "rsqrt": lambda t: rows(t).rsqrt(),
    "sum": lambda t: rows(t).sum(1),
    "mean": lambda t: rows(t).mean(1),
    "var": lambda t: rows(t).var(1),
    "std": lambda t: rows(t).std(1),
    "norm": lambda t: rows(t).norm(),
    "norm, p": lambda t: rows(t).norm(3),
    "cumsum": lambda t: rows(t).cumsum(1),
    "cat, wider": lambda t: F.cat([rows(t), rows(FLOAT)]),
    "+, wider": lambda t: rows(t) + rows(FLOAT),
}
AS_GIVEN = {
    "relu": lambda t: F.relu(image(t)),
    "leaky_relu": lambda t: F.leaky_relu(image(t)),
    "tanh": lambda t: F.tanh(image(t)),
    "sigmoid": lambda t: F.sigmoid(image(t)),
    "max_pool2d": lambda t: F.max_pool2d(image(t), 2),
    "avg_pool2d": lambda t: F.avg_pool2d(image(t), 2),
    "adaptive_avg_pool2d": lambda t: F.adaptive_avg_pool2d(image(t), 4),
    "local_response_norm": lambda t: F.local_response_norm(image(t), 3),
    "spatial_response_norm": lambda t: F.spatial_response_norm(image(t), 3),
    "dropout": lambda t: F.dropout(image(t)),
    "dropout2d": lambda t: F.dropout2d(image(t)),
    "flatten": lambda t: F.flatten(image(t)),
    "pad": lambda t: F.pad(image(t), (1, 1)),
    "cat": lambda t: F.cat([rows(t), rows(t)]),
    "+": lambda t: rows(t) + rows(t),
    "* 2": lambda t: rows(t) * 2,
    "max": lambda t: rows(t).max(),
    "sqrt": lambda t: rows(t).sqrt(),
    "reshape": lambda t: rows(t).reshape(-1),
    "[]": lambda t: rows(t)[0],
}
TABLE = [
    (name, operation, given, {"half": HALF, "float": FLOAT, "given": given}[expected])
    for expected, group in (("half", IN_HALF), ("float", IN_FLOAT), ("given", AS_GIVEN))
    for name, operation in group.items()
    for given in (HALF, FLOAT)
]


@pytest.mark.parametrize(
    ("operation", "given", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_an_operation_computes_in_the_dtype_of_the_table(operation, given, expected):
    with ta.autocast():
        y = operation(given)
    assert y.dtype == expected
    y.sum().backward()  # an error if the dtype of a gradient is not that of its input


def test_every_function_of_functional_is_in_the_table():
    names = {name.partition(",")[0] for name, *_ in TABLE}
    assert {*F.__all__} - names == {"one_hot"}  # of integers
    assert {name for name in mixed_precision.DTYPES if isinstance(name, str)} <= {*F.__all__}


# The context


def matmul_dtype():
    return (rows(FLOAT) @ ta.ones(4, 2)).dtype


def test_contexts_nest_and_end_with_an_error():
    with ta.autocast():
        with ta.autocast(enabled=False):
            assert matmul_dtype() == FLOAT
            with ta.autocast():
                assert matmul_dtype() == HALF
        with pytest.raises(ZeroDivisionError), ta.autocast(enabled=False):
            _ = 1 / 0
        assert matmul_dtype() == HALF
    assert matmul_dtype() == FLOAT


def test_autocast_is_a_decorator():
    @ta.autocast()
    def countdown(n):
        return countdown(n - 1) if n else matmul_dtype()

    assert countdown(3) == HALF
    assert matmul_dtype() == FLOAT


def test_another_thread_is_not_affected():
    found = []
    with ta.autocast():
        thread = threading.Thread(target=lambda: found.append(matmul_dtype()))
        thread.start()
        thread.join()
    assert found == [FLOAT]


def test_torchs_arguments_are_accepted(device):
    kind = device.partition(":")[0]
    with ta.autocast(kind, dtype=ta.float16):
        assert matmul_dtype() == HALF
    with ta.autocast(device_type=kind, dtype=ta.float16, enabled=False):
        assert matmul_dtype() == FLOAT
    with ta.autocast("cuda" if kind == "cpu" else "cpu", cache_enabled=True):
        assert matmul_dtype() == FLOAT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtype": "bfloat16"}, "dtype must be float16, got 'bfloat16'. There is no bfloat16"),
        ({"dtype": ta.float32}, "dtype must be float16, got dtype('float32')"),
        ({"device_type": "float16"}, "must be 'cpu' or 'cuda', got 'float16'. Leave it out"),
    ],
    ids=["bfloat16", "float32", "a dtype first"],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ta.autocast(**arguments)


def test_float64_and_integers_are_not_cast():
    with ta.autocast():
        assert (ta.ones(2, 2, dtype="float64") @ ta.ones(2, 2, dtype="float64")).dtype == "float64"
        assert ta.ones(2, 2, dtype="int64").sum().dtype == "int64"
        with pytest.raises(TypeError, match="linear: input is float64, but weight is float32"):
            F.linear(ta.ones(2, 4, dtype="float64"), ones(3, 4))


@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_with_another_dtype_no_operand_is_rounded(dtype, device):
    x, y = ta.full((1, 4), 3, dtype=dtype), ta.full((4, 1), 1 / 3)
    with ta.autocast():
        product = x @ y
    assert product.dtype == "float64"
    assert product.item() == (x @ y).item()


@pytest.mark.gpu
def test_each_type_of_device_has_a_state_of_its_own(device):
    def dtypes():
        cpu = ta.ones(2, 2, device="cpu")
        return matmul_dtype(), (cpu @ cpu).dtype

    with ta.autocast("cuda"):
        with ta.autocast("cpu", enabled=False):
            assert dtypes() == (HALF, FLOAT)
            with ta.autocast("cpu"):
                assert dtypes() == (HALF, HALF)
        with ta.autocast("cpu"):
            assert dtypes() == (HALF, HALF)
            with ta.autocast("cuda", enabled=False):
                assert dtypes() == (FLOAT, HALF)
    assert dtypes() == (FLOAT, FLOAT)


@pytest.mark.parametrize("dtype", ["half", "f2", np.float16, np.dtype("float16"), None])
def test_names_of_float16(dtype):
    with ta.autocast(dtype=dtype):
        assert matmul_dtype() == HALF


def test_operations_of_a_backward_pass_are_not_cast():
    w, seen = ta.ones(4, 3, requires_grad=True), []
    w.register_hook(lambda grad: seen.append(matmul_dtype()))
    with ta.autocast():
        (rows(FLOAT) @ w).sum().backward()
    assert seen == [FLOAT]


def test_inputs_of_the_right_dtype_are_not_copied():
    seen = []
    with ta.autocast(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(ops.Cast, "apply", lambda x, dtype: seen.append(dtype))
        rows(HALF) @ rows(HALF).T
        F.relu(rows(FLOAT))
        rows(FLOAT).sum()
    assert seen == []


def test_batch_statistics_are_updated_in_either_dtype():
    for dtype in (FLOAT, HALF):
        layer = nn.BatchNorm2d(4).to(dtype)
        with ta.autocast():
            layer(image(HALF) * 3)
        assert layer.running_mean.dtype == dtype
        np.testing.assert_allclose(layer.running_mean.numpy(), 0.3, rtol=1e-3)


# Networks


def test_parameters_and_their_gradients_stay_float32(device):
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        with ta.autocast():
            loss = F.cross_entropy(model(image(FLOAT)), labels()[:1].expand(2))
        loss.backward()
        assert {p.grad.dtype for p in model.parameters()} == {FLOAT}
        optimizer.step()
        losses.append(loss.item())
    assert {p.dtype for p in model.parameters()} == {FLOAT}
    assert losses[-1] < losses[0]


def test_gradients_of_a_whole_network_are_those_of_float32(device, rng):
    """The relative error of each gradient, as a norm: at most 2**-11 per rounding.

    Forward and backward, a value passes each of 8 layers and up to 3 other operations
    around it (bias, LRN, dropout, pooling), whose inputs and results are rounded: not
    more than 64 roundings, which are independent, so that their errors add as squares.
    """
    with nn.init.skipped():
        exact, model = (models.alexnet("paper", 10, 67).eval().to("cpu") for _ in range(2))
    for p, q in zip(exact.parameters(), model.parameters(), strict=True):
        scale = np.sqrt(2 / np.prod(p.shape[1:])) if p.ndim > 1 else 0.1
        values = FLOAT.type(scale) * rng.standard_normal(p.shape, FLOAT)
        p.data[...], q.data[...] = values, values
    images = rng.standard_normal((2, 3, 67, 67), FLOAT)

    def gradients(net):
        where = next(net.parameters()).device
        logits = net(ta.tensor(images, device=where))
        F.cross_entropy(logits, ta.tensor(LABELS, device=where)).backward()
        grads = {name: devices.to_numpy(p.grad) for name, p in net.named_parameters()}
        return {"logits": logits.numpy()} | grads

    @ta.autocast()
    def in_half(net):
        return gradients(net)

    found = share_choices(model.to(device), exact, in_half)
    expected = gradients(exact)
    assert found["logits"].dtype == HALF
    errors = {
        name: np.linalg.norm(found[name] - values) / np.linalg.norm(values)
        for name, values in expected.items()
    }
    assert max(errors.values()) < 8 * 2**-11, errors
    assert min(errors.values()) > 2**-14, errors  # it has been computed in half precision


def test_the_casts_are_recorded_in_the_graph():
    w = ta.ones(4, 3, requires_grad=True)
    with ta.autocast():
        y = ones(2, 4) @ w
    cast = y.creator.inputs[1]
    assert isinstance(cast, ops.Cast)
    assert cast.inputs == (w,)
    assert modes.cast_inputs("conv2d", [w]) == [w]
