"""A network on the CPU that uses the ReLUs' masks and the pooling's maxima of another.

Where two values are nearly equal, another rounding selects the other one, and the
gradient takes another path. With the same paths, gradients differ by rounding only.
"""

import numpy as np

import tinyalex as ta
from tinyalex import nn
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
        n, c, *space = self.shape
        dx = np.zeros((n * c, np.prod(space)), dy.dtype)
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


def share_choices(model, other, run):
    """The result of run(model), whose masks and maxima `other` uses from then on."""
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
    with hooked([(m, record(name)) for name, m in chosen]):
        result = run(model)
    own = dict(other.named_modules())
    assert given.keys() == {name for name, _ in chosen}
    for name, layer in given.items():
        _replace(other, own[name], layer)
    return result


def _replace(model, old, new):
    for module in model.modules():
        for name, value in vars(module).items():
            if value is old:
                setattr(module, name, new)
