"""A whole AlexNet in float32, with fast paths, against the same network in float64.

Compared directly, their gradients differ by some thousandths: of millions of ReLUs and
pooling windows, a few select another value where two are nearly equal. The float64
network therefore uses the masks and maxima of the float32 network; the remaining
difference is rounding.
"""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import models, nn
from tinyalex.nn.tracing import hooked


class MaskedBy(ta.Function):
    """ReLU with a given mask."""

    def forward(self, x, *, positive):
        self.positive = positive
        return x * positive

    def backward(self, dy):
        return dy * self.positive


class PixelsAt(ta.Function):
    """Max-pooling where the maxima are given as indices of pixels in a channel."""

    def forward(self, x, *, pixels):
        self.shape, self.pixels = x.shape, pixels
        flat = x.reshape(*x.shape[:2], -1)
        return np.take_along_axis(flat, pixels.reshape(*x.shape[:2], -1), 2).reshape(pixels.shape)

    def backward(self, dy):
        n, c, *_ = self.shape
        dx = np.zeros((n * c, np.prod(self.shape[2:])))
        where = np.arange(n * c)[:, None], self.pixels.reshape(n * c, -1)
        np.add.at(dx, where, dy.reshape(n * c, -1))
        return dx.reshape(self.shape)


class Given(nn.Module):
    def __init__(self, function, **options):
        self.function, self.options = function, options

    def forward(self, x):
        return self.function.apply(x, **self.options)


def maxima(pool, x, y):
    """For each window, the first pixel, row by row, with the window's maximum."""
    k, s, found = pool.kernel_size, pool.stride, np.full(y.shape, -1)
    for u in reversed(range(k)):
        for v in reversed(range(k)):
            seen = x[
                :, :, u : u + (y.shape[2] - 1) * s + 1 : s, v : v + (y.shape[3] - 1) * s + 1 : s
            ]
            rows, cols = np.indices(y.shape[2:]) * s
            found = np.where(seen == y, (rows + u) * x.shape[3] + cols + v, found)
    return found


def replace(model, old, new):
    for module in model.modules():
        for name, value in vars(module).items():
            if value is old:
                setattr(module, name, new)


def gradients(model, images, labels):
    F.cross_entropy(model(images), labels).backward()
    return {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("variant", ["torchvision", "paper"])
def test_gradients_equal_those_of_float64_with_the_same_masks_and_maxima(variant, seed):
    ta.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = models.alexnet(variant, num_classes=10).eval()  # without dropout
    for p in model.parameters():
        # He's sigmas: gradients would vanish with the paper's, for pixels up to 255.
        if p.ndim > 1:
            p.data[...] = rng.standard_normal(p.shape) * np.sqrt(2 / np.prod(p.shape[1:]))
        else:
            p.data[...] = rng.standard_normal(p.shape) * 0.1
    exact = models.alexnet(variant, num_classes=10).eval()
    exact.load_state_dict(model.state_dict())
    exact.to("float64")
    images, labels = rng.standard_normal((8, 3, 224, 224)).astype("f"), rng.integers(0, 10, 8)
    given = {}

    def record(name):
        def hook(module, inputs, output):
            x, y = inputs[0].numpy(), output.numpy()
            if isinstance(module, nn.ReLU):
                given[name] = Given(MaskedBy, positive=y > 0)
            else:
                given[name] = Given(PixelsAt, pixels=maxima(module, x, y))

        return hook

    kinds = nn.ReLU, nn.MaxPool2d
    chosen = [(name, m) for name, m in model.named_modules() if isinstance(m, kinds)]
    with ta.fast(True), hooked([(m, record(name)) for name, m in chosen]):
        fast = gradients(model, images, labels)
    own = dict(exact.named_modules())
    for name, layer in given.items():
        replace(exact, own[name], layer)
    errors = {}
    for name, expected in gradients(exact, images.astype("d"), labels).items():
        errors[name] = np.linalg.norm(fast[name] - expected) / np.linalg.norm(expected)
    assert max(errors.values()) < 3e-5, errors
    assert len(given) == 10
