"""tinyalex and PyTorch return the same values and gradients for the same inputs."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import nn, optim
from tinyalex.functional import convolution
from tinyalex.functional.implicit_convolution import ImplicitConv2d

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers installs it")
TF = torch.nn.functional

pytestmark = pytest.mark.peers

TOLERANCE = {"float32": {"rtol": 1e-4, "atol": 1e-5}, "float64": {"rtol": 1e-10, "atol": 1e-12}}


def assert_equal(ours, theirs, arrays, dtype):
    """The value, the dtype, and the gradient of each array for a random cotangent."""
    mine = [ta.Tensor(a.astype(dtype), requires_grad=True) for a in arrays]
    other = [torch.tensor(a.astype(dtype), requires_grad=True) for a in arrays]
    y, z = ours(*mine), theirs(*other)
    assert (tuple(y.shape), str(y.dtype)) == (tuple(z.shape), str(z.dtype).removeprefix("torch."))
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), **TOLERANCE[str(dtype)])
    cotangent = np.random.default_rng(0).standard_normal(y.shape).astype(dtype)
    y.backward(cotangent)
    z.backward(torch.tensor(cotangent))
    for a, b in zip(mine, other, strict=True):
        np.testing.assert_allclose(a.grad, b.grad.numpy(), **TOLERANCE[str(dtype)])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1},
        {"groups": 2, "padding": "same"},
        {"groups": 4, "dilation": (2, 1), "stride": (1, 3), "padding": (0, 2)},
        {"padding": "same", "dilation": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("implicit", [False, True], ids=["selected", "implicit GEMM"])
def test_conv2d(options, implicit, dtype, rng, monkeypatch):
    if implicit:
        monkeypatch.setattr(convolution, "conv_algorithm", lambda *a: ImplicitConv2d)
    groups = options.get("groups", 1)
    arrays = [rng.standard_normal(shape) for shape in [(3, 8, 9, 11), (8, 8 // groups, 3, 3), (8,)]]
    assert_equal(
        lambda *a: F.conv2d(*a, **options), lambda *a: TF.conv2d(*a, **options), arrays, dtype
    )


@pytest.mark.parametrize(
    "args",
    [
        (3, 2),
        (3, 2, 1),
        (2,),
        ((3, 2), (1, 2), (1, 1), (2, 1)),
        (3, 2, 1, 1, True),
        (2, 3, 0, 1, True),
    ],
    ids=str,
)
def test_max_pool2d(args, dtype, rng):
    x = rng.standard_normal((2, 3, 10, 9)) - 3
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    options = dict(zip(names, args, strict=False))
    assert_equal(
        lambda t: F.max_pool2d(t, **options), lambda t: TF.max_pool2d(t, **options), [x], dtype
    )


@pytest.mark.parametrize(
    "args",
    [(3, 2), (3, 2, 1), (2,), (3, 2, 1, True), (3, 2, 1, True, False), (3, 2, 1, False, True, 5)],
    ids=str,
)
def test_avg_pool2d(args, dtype, rng):
    x = rng.standard_normal((2, 3, 10, 9))
    assert_equal(lambda t: F.avg_pool2d(t, *args), lambda t: TF.avg_pool2d(t, *args), [x], dtype)


@pytest.mark.parametrize(
    "args", [(5,), (5, 1.0, 0.75, 2.0), (4, 0.5, 0.5), (3, 1.0, 1.0, 1.0)], ids=str
)
@pytest.mark.parametrize("shape", [(2, 7, 3), (2, 7, 3, 4), (1, 4, 2, 2, 3)], ids=str)
def test_local_response_norm(args, shape, dtype, rng):
    x = rng.standard_normal(shape)
    assert_equal(
        lambda t: F.local_response_norm(t, *args),
        lambda t: TF.local_response_norm(t, *args),
        [x],
        dtype,
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy(reduction, dtype, rng):
    labels = rng.integers(0, 7, 5)
    assert_equal(
        lambda t: F.cross_entropy(t, labels, reduction=reduction),
        lambda t: TF.cross_entropy(t, torch.tensor(labels), reduction=reduction),
        [5 * rng.standard_normal((5, 7))],
        dtype,
    )


def test_relu_tanh_linear_flatten(dtype, rng):
    arrays = [rng.standard_normal(shape) for shape in [(2, 3, 4), (5, 12), (5,)]]
    assert_equal(
        lambda x, w, b: F.linear(F.flatten(F.tanh(F.relu(x)), 1), w, b),
        lambda x, w, b: TF.linear(torch.flatten(torch.tanh(TF.relu(x)), 1), w, b),
        arrays,
        dtype,
    )


def test_sgd_with_a_constant_learning_rate(dtype, rng):
    start, grads = rng.standard_normal(5).astype(dtype), rng.standard_normal((6, 5)).astype(dtype)
    mine, other = (
        ta.Tensor(start.copy(), requires_grad=True),
        torch.tensor(start.copy(), requires_grad=True),
    )
    options = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}
    ours, theirs = optim.SGD([mine], **options), torch.optim.SGD([other], **options)
    for g in grads:
        mine.grad, other.grad = g, torch.tensor(g)
        ours.step()
        theirs.step()
    np.testing.assert_allclose(mine.data, other.detach().numpy(), **TOLERANCE[str(dtype)])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}),
        ("Adam", {"lr": 0.05, "weight_decay": 0.1}),
        ("Adam", {"betas": (0.5, 0.6), "eps": 0.1}),
        ("AdamW", {"lr": 0.05}),
    ],
)
def test_optimizers_with_clipped_gradients(name, options, dtype, rng):
    starts = [rng.standard_normal(shape).astype(dtype) for shape in ((5,), (2, 3))]
    mine = [ta.Tensor(a.copy(), requires_grad=True) for a in starts]
    other = [torch.tensor(a.copy(), requires_grad=True) for a in starts]
    ours, theirs = (
        getattr(optim, name)(mine, **options),
        getattr(torch.optim, name)(other, **options),
    )
    for norm_type in (2.0, 1.0, float("inf")) * 2:
        for p, q in zip(mine, other, strict=True):
            p.grad = rng.standard_normal(p.shape).astype(dtype)
            q.grad = torch.tensor(p.grad)
        norm = nn.utils.clip_grad_norm_(mine, 1.5, norm_type)
        expected = torch.nn.utils.clip_grad_norm_(other, 1.5, norm_type)
        assert norm.dtype == dtype
        assert norm.item() == pytest.approx(expected.item(), rel=1e-5)
        ours.step()
        theirs.step()
    for p, q in zip(mine, other, strict=True):
        np.testing.assert_allclose(p.data, q.detach().numpy(), **TOLERANCE[str(dtype)])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("MultiStepLR", {"milestones": [2, 4], "gamma": 0.5}),
        ("CosineAnnealingLR", {"T_max": 5, "eta_min": 0.01}),
        ("ExponentialLR", {"gamma": 0.9}),
        ("LambdaLR", {"lr_lambda": lambda epoch: (epoch + 1) / 5}),
    ],
)
def test_schedules(name, options):
    w, v = ta.Tensor([1.0], requires_grad=True), torch.ones(1, requires_grad=True)
    ours, theirs = optim.SGD([w], lr=0.1), torch.optim.SGD([v], lr=0.1)
    mine = getattr(optim.lr_scheduler, name)(ours, **options)
    other = getattr(torch.optim.lr_scheduler, name)(theirs, **options)
    for _ in range(9):
        assert mine.get_last_lr() == pytest.approx(other.get_last_lr())
        theirs.step()
        mine.step()
        other.step()


def test_batch_norm_in_training_and_evaluation(rng):
    ours, theirs = nn.BatchNorm2d(3).to("float64"), torch.nn.BatchNorm2d(3).double()
    theirs.load_state_dict({n: torch.tensor(a) for n, a in ours.state_dict().items()})
    for mode in (True, True, False):
        ours.train(mode)
        theirs.train(mode)
        x = 2 + 3 * rng.standard_normal((4, 3, 5, 5))
        y, z = ours(x), theirs(torch.tensor(x))
        np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-10, atol=1e-12)
    for name, array in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name], array.numpy(), rtol=1e-10)


@pytest.mark.parametrize("epochs", [1, 3])
def test_step_lr_and_plateau_schedules(epochs):
    w, v = ta.Tensor([1.0], requires_grad=True), torch.ones(1, requires_grad=True)
    for name, options in (
        ("StepLR", {"step_size": epochs}),
        ("ReduceLROnPlateau", {"patience": epochs, "factor": 0.5}),
    ):
        ours, theirs = optim.SGD([w], lr=0.1), torch.optim.SGD([v], lr=0.1)
        mine = getattr(optim.lr_scheduler, name)(ours, **options)
        other = getattr(torch.optim.lr_scheduler, name)(theirs, **options)
        for error in [5.0, 4.0, 4.0, 4.0, 4.0, 3.0, 3.0, 3.0, 3.0, 3.0]:
            theirs.step()
            for schedule in (mine, other):
                schedule.step(error) if name == "ReduceLROnPlateau" else schedule.step()
            assert ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"])


@pytest.mark.parametrize("name", ["quick", "alexnet"])
def test_a_cifar_network_trains_as_in_torch(name, rng):
    """Three steps in float64, against the same network of torch's layers."""
    model = ta.models.cifar(name).to("float64")
    layers = []
    for layer in model:
        match layer:
            case nn.Conv2d():
                out, per_group, *kernel = layer.weight.shape
                other = torch.nn.Conv2d(
                    per_group * layer.groups,
                    out,
                    kernel,
                    padding=layer.padding,
                    groups=layer.groups,
                )
            case nn.Linear():
                other = torch.nn.Linear(*reversed(layer.weight.shape))
            case nn.MaxPool2d():
                other = torch.nn.MaxPool2d(layer.kernel_size, layer.stride, ceil_mode=True)
            case nn.AvgPool2d():
                other = torch.nn.AvgPool2d(layer.kernel_size, layer.stride, ceil_mode=True)
            case nn.LocalResponseNorm():  # torch's alpha multiplies the mean
                other = torch.nn.LocalResponseNorm(
                    layer.size, layer.alpha * layer.size, layer.beta, layer.k
                )
            case nn.Dropout():
                other = torch.nn.Identity()
            case nn.ReLU():
                other = torch.nn.ReLU()
            case nn.Flatten():
                other = torch.nn.Flatten()
        layers.append(other.double())
    peer = torch.nn.Sequential(*layers)
    for p, q in zip(model.parameters(), peer.parameters(), strict=True):
        q.data = torch.tensor(p.numpy().copy())
    model.eval()
    ours = optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=0.004)
    theirs = torch.optim.SGD(peer.parameters(), lr=0.01, momentum=0.9, weight_decay=0.004)
    for _ in range(3):
        x, labels = rng.standard_normal((4, 3, 32, 32)), rng.integers(0, 10, 4)
        ours.zero_grad()
        theirs.zero_grad()
        loss, other = (
            F.cross_entropy(model(x), labels),
            TF.cross_entropy(peer(torch.tensor(x)), torch.tensor(labels)),
        )
        assert loss.item() == pytest.approx(other.item(), rel=1e-10)
        loss.backward()
        other.backward()
        for p, q in zip(model.parameters(), peer.parameters(), strict=True):
            np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-6, atol=1e-10)
        ours.step()
        theirs.step()


def test_sigmoid(dtype, rng):
    assert_equal(F.sigmoid, torch.sigmoid, [10 * rng.standard_normal((3, 4))], dtype)


@pytest.mark.parametrize("axis", [None, 0, (0, 2), -1], ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions(axis, keepdims, dtype, rng):
    x = rng.integers(0, 3, (2, 3, 4)).astype(float)  # with ties
    dim = tuple(range(3)) if axis is None else axis
    for ours, theirs in (("sum", torch.sum), ("mean", torch.mean), ("max", torch.amax)):
        assert_equal(
            lambda t, o=ours: getattr(t, o)(axis, keepdims),
            lambda t, f=theirs: f(t, dim=dim, keepdim=keepdims),
            [x],
            dtype,
        )


INDICES = [
    0,
    (slice(None), 1),
    (..., slice(None, None, 2)),
    [0, 0, 1],
    ([0, 1, 1], [2, 2, 0]),
    np.array([True, False]),
    (None, 1, ..., None),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_indexing(index, dtype, rng):
    torch_index = torch.tensor(index) if isinstance(index, np.ndarray) else index
    assert_equal(
        lambda t: t[index], lambda t: t[torch_index], [rng.standard_normal((2, 3, 4))], dtype
    )


def test_arithmetic(dtype, rng):
    arrays = [
        rng.uniform(0.5, 2, (2, 1, 3)),
        rng.uniform(0.5, 2, (4, 1)),
        rng.standard_normal((3, 5)),
    ]
    f = lambda x, y, z: (((x + 2) * y - 1 / x) ** y / (3 - y) + x.exp().log().tanh()) @ z  # noqa: E731
    assert_equal(f, f, arrays, dtype)


SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e4, -1e4]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (F.relu, torch.relu),
        (F.tanh, torch.tanh),
        (F.sigmoid, torch.sigmoid),
        (lambda x: x.exp(), torch.exp),
        (lambda x: x.log(), torch.log),
        (lambda x: x * x - 1 / x, lambda x: x * x - 1 / x),
        (lambda x: F.softmax(x.reshape(3, 3), 1), lambda x: TF.softmax(x.reshape(3, 3), 1)),
        (lambda x: F.log_softmax(x.reshape(3, 3), 0), lambda x: TF.log_softmax(x.reshape(3, 3), 0)),
        (lambda x: F.max_pool2d(x.reshape(1, 3, 3), 2, 1, 1), lambda x: TF.max_pool2d(x.reshape(1, 3, 3), 2, 1, 1)),
        (lambda x: F.avg_pool2d(x.reshape(1, 3, 3), 2, 1), lambda x: TF.avg_pool2d(x.reshape(1, 3, 3), 2, 1)),
        (lambda x: F.cross_entropy(x.reshape(3, 3), [1, 0, 1], reduction="none"), lambda x: TF.cross_entropy(x.reshape(3, 3), torch.tensor([1, 0, 1]), reduction="none")),
        (lambda x: x.max(), torch.amax),
        (lambda x: x.sum() + x.mean(), lambda x: x.sum() + x.mean()),
    ],
    ids=["relu", "tanh", "sigmoid", "exp", "log", "arithmetic", "softmax", "log_softmax", "max_pool2d", "avg_pool2d", "cross_entropy", "max", "sum"],
)  # fmt: skip
def test_infinities_nan_and_large_values(ours, theirs, dtype):
    assert_equal(ours, theirs, [np.array(SPECIAL)], dtype)


def test_autocast(rng):
    """Values that round differently differ by 2**-10, and are rare."""
    shapes = (6, 4, 9, 9), (8, 4, 3, 3), (8,), (5, 8 * 16), (5,)
    arrays, labels = [rng.standard_normal(shape, np.float32) for shape in shapes], np.arange(6) % 5
    found = []
    for tensor, functional, context in (
        (ta.tensor, F, ta.autocast),
        (torch.tensor, TF, lambda: torch.autocast("cpu", dtype=torch.float16)),
    ):
        x, w, b, v, c = (tensor(a, requires_grad=True) for a in arrays)
        with context():
            y = functional.conv2d(x, w, b, padding=1)
            z = functional.max_pool2d(functional.relu(y), 2).reshape(6, -1) * 0.125
            logits = functional.linear(z, v, c)
            loss = functional.cross_entropy(logits, tensor(labels))
        assert [str(t.dtype).removeprefix("torch.") for t in (y, z, logits, loss)] == [
            *["float16"] * 3,
            "float32",
        ]
        loss.backward()
        grads = [np.asarray(p.grad) for p in (x, w, b, v, c)]
        found.append([logits.detach().numpy().astype("f"), *grads])
    for mine, theirs in zip(*found, strict=True):
        assert mine.dtype == theirs.dtype == np.float32
        assert np.linalg.norm(mine - theirs) < 2**-11 * np.linalg.norm(theirs)
