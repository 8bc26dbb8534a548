"""A whole AlexNet in float32, by the fast algorithms, against the same network in float64, by im2col.

Plainly compared, their gradients differ by up to some thousandths: of millions of ReLUs and windows a handful decide otherwise, where two
numbers are nearly equal. So float64 is given the decisions that float32 has made; what is left is rounding.
"""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import models, nn
from tinyalex.kernels.cpu.convolution import winograd
from tinyalex.nn.module import hooked


class Through(ta.Function):
    """ReLU where it has been decided which numbers go through."""

    def forward(self, x, *, positive):
        self.positive = positive
        return x * positive

    def backward(self, dy):
        return dy * self.positive


class Chosen(ta.Function):
    """Max-pooling where it has been decided which pixel (counted through the map) each window takes."""

    def forward(self, x, *, pixels):
        self.shape, self.pixels = x.shape, pixels
        maps = x.reshape(*x.shape[:2], -1)
        return np.take_along_axis(maps, pixels.reshape(*x.shape[:2], -1), 2).reshape(pixels.shape)

    def backward(self, dy):
        n, c, *_ = self.shape
        dx = np.zeros((n * c, np.prod(self.shape[2:])))
        np.add.at(
            dx, (np.arange(n * c)[:, None], self.pixels.reshape(n * c, -1)), dy.reshape(n * c, -1)
        )
        return dx.reshape(self.shape)


class Decided(nn.Module):
    def __init__(self, function, **decision):
        self.function, self.decision = function, decision

    def forward(self, x):
        return self.function.apply(x, **self.decision)


def winners(pool, x, y):
    """For each window the first pixel, row by row, that has the window's maximum."""
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
def test_gradients_are_those_of_float64_with_the_same_decisions(variant, seed):
    ta.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = models.alexnet(variant, num_classes=10).eval()  # without dropout
    for p in model.parameters():
        if (
            p.ndim > 1
        ):  # He's: the paper's own sigmas, made for pixels up to 255, would leave nothing to compare after eight layers
            p.data[...] = rng.standard_normal(p.shape) * np.sqrt(2 / np.prod(p.shape[1:]))
        else:
            p.data[...] = rng.standard_normal(p.shape) * 0.1
    exact = models.alexnet(variant, num_classes=10).eval()
    exact.load_state_dict(model.state_dict())
    exact.to("float64")
    images, labels = rng.standard_normal((8, 3, 224, 224)).astype("f"), rng.integers(0, 10, 8)
    decided = {}

    def decide(name):
        def hook(module, inputs, output):
            x, y = inputs[0].numpy(), output.numpy()
            decided[name] = (
                Decided(Through, positive=y > 0)
                if isinstance(module, nn.ReLU)
                else Decided(Chosen, pixels=winners(module, x, y))
            )

        return hook

    assert winograd.setting() == "fast"
    deciding = {
        name: m for name, m in model.named_modules() if isinstance(m, (nn.ReLU, nn.MaxPool2d))
    }
    with hooked([(m, decide(name)) for name, m in deciding.items()]):
        fast = gradients(model, images, labels)
    own = dict(exact.named_modules())
    for name, layer in decided.items():
        replace(exact, own[name], layer)
    errors = {}
    for name, right in gradients(exact, images.astype("d"), labels).items():
        errors[name] = np.linalg.norm(fast[name] - right) / np.linalg.norm(right)
    assert max(errors.values()) < 3e-5, errors
    assert len(decided) == 10
