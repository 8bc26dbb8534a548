"""More workers than cores, images or rows: gradients, repeated runs, dropout, updates.

The thresholds below which a single thread computes are 0 here, and tiles are small:
each loop is divided among as many workers as it has elements.
"""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import device as devices
from tinyalex import functional as F
from tinyalex import nn, optim

WORKERS = 1, 2, 8, 64
IMAGES = 1, 3, 7
MAX_ERROR = 3e-5
"""Relative l2 error of float32: Winograd's, as in test_winograd.py, with a margin."""

CPU = "tinyalex.kernels.cpu"


@pytest.fixture
def use(monkeypatch):
    """use(workers): compute with so many from now on."""
    for module, threshold in (
        ("layout", "MIN_PARALLEL_BYTES"),
        ("gemm", "MIN_PARALLEL_MADDS"),
        ("convolution.winograd", "MIN_PARALLEL_MADDS"),
        ("convolution.rowwise", "MIN_PARALLEL_MADDS"),
        ("convolution.rowwise", "MIN_PARALLEL_BYTES"),
        ("sgd", "MIN_PARALLEL_ELEMENTS"),
    ):
        monkeypatch.setattr(f"{CPU}.{module}.{threshold}", 0)
    monkeypatch.setattr(f"{CPU}.convolution.winograd.MIN_TILE_IMAGES", 2)
    monkeypatch.setattr(devices.tiles, "MAX_TILE_BYTES", 1 << 16)

    def use(workers):
        monkeypatch.setenv("TINYALEX_THREADS", str(workers))
        devices.workers.cache_clear()

    yield use
    monkeypatch.undo()
    devices.workers.cache_clear()
    devices.tiles._executor.cache_clear()  # ends the threads


@pytest.fixture
def shares(monkeypatch):
    """The tiles that each worker computed in each loop."""
    run, found = devices.tiles.run_share, []
    monkeypatch.setattr(
        devices.tiles, "run_share", lambda share, body: found.append(share) or run(share, body)
    )
    return found


LAYERS = {
    "im2col": (
        lambda x, w, b: F.conv2d(x, w, b, padding=2, dilation=2, relu=True),
        "images", (4, 9, 8), (6, 4, 3, 3), (6,),
    ),
    "grouped": (
        lambda x, w: F.conv2d(x, w, groups=2, stride=2), "images", (4, 11, 7), (6, 2, 3, 2),
    ),
    "Winograd": (
        lambda x, w, b: F.conv2d(x, w, b, padding=1),
        "images", (16, 40, 40), (16, 16, 3, 3), (16,),
    ),
    "row-wise": (
        lambda x, w, b: F.conv2d(x, w, b, padding=2, relu=True),
        130, (3, 130, 9), (8, 3, 5, 5), (8,),
    ),
    "max pooling": (lambda x: F.max_pool2d(x, 3, 2, relu=True), 13, (5, 27, 9)),
    "average pooling": (lambda x: F.avg_pool2d(x, 3, 2, padding=1), 7, (5, 13, 9)),
    "ReLU": (F.relu, 13, (5, 13, 9)),
    "LRN": (lambda x: F.local_response_norm(x, 5, alpha=0.5), 13, (7, 13, 6)),
    "LRN in maps": (lambda x: F.spatial_response_norm(x, 3, alpha=0.5), 13, (3, 13, 6)),
    "linear": (lambda x, w, b: F.linear(x, w, b, relu=True), 8, (640,), (450, 640), (450,)),
}  # fmt: skip
"""A layer, what its loops divide (images, or so many rows or blocks), the shape of an
image, and those of the parameters."""


def gradients(layer, arrays, dtype):
    """y, and the gradients of x and the parameters, for a fixed upstream gradient."""
    trained = [name != "x" or layer != "row-wise" for name in arrays]
    tensors = [
        ta.Tensor(a.astype(dtype), requires_grad=needed)
        for a, needed in zip(arrays.values(), trained, strict=True)
    ]
    y = LAYERS[layer][0](*tensors)
    y.backward(np.random.default_rng(1).standard_normal(y.shape).astype(dtype))
    return [y.numpy(), *(t.grad for t in tensors if t.requires_grad)]


def make_arrays(rng, layer, images):
    _, _, x, *parameters = LAYERS[layer]
    arrays = {"x": rng.standard_normal((images, *x)).astype("f")}
    for shape in parameters:
        size = np.prod(shape[1:]) ** -0.5
        arrays[f"parameter {len(arrays)}"] = (size * rng.standard_normal(shape)).astype("f")
    return arrays


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("layer", LAYERS)
def test_gradients_equal_those_of_float64_and_of_a_second_run(layer, workers, rng, use, shares):
    for images in IMAGES:
        arrays = make_arrays(rng, layer, images)
        use(1)
        with ta.fast(False):
            exact = gradients(layer, arrays, "float64")
        use(workers)
        shares.clear()
        with ta.fast(True):
            first, second = (gradients(layer, arrays, "float32") for _ in range(2))
        divided = images if LAYERS[layer][1] == "images" else LAYERS[layer][1]
        if (layer, images) != ("linear", 1):  # BLAS's own threads multiply vectors
            assert len(shares) >= 2 * 2 * min(workers, divided)
        for value, again, expected in zip(first, second, exact, strict=True):
            error = np.linalg.norm(value - expected) / np.linalg.norm(expected)
            assert error < MAX_ERROR, (images, error)
            np.testing.assert_array_equal(value, again)


@pytest.mark.parametrize("images", IMAGES)
def test_dropout_does_not_depend_on_the_number_of_workers(images, rng, use):
    x, found = rng.standard_normal((images, 8, 13, 13)).astype("f"), []
    for workers in WORKERS:
        use(workers)
        ta.manual_seed(3)
        t = ta.Tensor(x, requires_grad=True)
        y = F.dropout(t, 0.5)
        y.backward(x)
        found.append((y.numpy(), t.grad))
    assert 0 < np.count_nonzero(found[0][0]) < x.size
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


@pytest.mark.parametrize("optimizer", [optim.SGD, optim.AdamW])
@pytest.mark.parametrize("shape", [(3,), (7, 130), (50, 11, 3)])
def test_updates_do_not_depend_on_the_number_of_workers(optimizer, shape, rng, use, shares):
    start, grads, found = rng.standard_normal(shape), rng.standard_normal((2, *shape)), []
    for workers in WORKERS:
        use(workers)
        w = nn.Parameter(start.astype("f"))
        update = optimizer([w], lr=0.1, weight_decay=0.01)
        shares.clear()
        for grad in grads:
            w.grad = grad.astype("f")
            update.step()
        assert len(shares) >= 2 * min(workers, start.size)
        found.append(w.numpy())
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def network():
    return nn.Sequential(
        nn.Conv2d(3, 16, 5, padding=2), nn.ReLU(), nn.LocalResponseNorm(5), nn.MaxPool2d(3, 2),
        nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(3, 2), nn.Flatten(),
        nn.Dropout(0.5), nn.Linear(16 * 31 * 4, 40), nn.ReLU(), nn.Linear(40, 5),
    )  # fmt: skip


@pytest.mark.parametrize("workers", WORKERS)
def test_training_steps_have_the_same_bits_in_every_run(workers, rng, use):
    """And nearly those of one worker: sums over tiles are rounded in another order."""
    images, labels = rng.standard_normal((7, 3, 128, 20)).astype("f"), rng.integers(0, 5, 7)
    found = []
    for count in (workers, workers, 1):
        use(count)
        ta.manual_seed(0)
        model = network()
        update = optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        for step in range(2):
            devices.set_step(step)
            update.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            update.step()
        found.append([p.numpy() for p in model.parameters()])
    for value, again, one in zip(*found, strict=True):
        np.testing.assert_array_equal(value, again)
        np.testing.assert_allclose(value, one, rtol=1e-3, atol=1e-5)
