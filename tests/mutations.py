"""Broken backward passes: each one a mistake that people make. gradcheck must refuse them all (tests/test_mutations.py).

A mutation is (what is wrong, the hint that the report must give, a function, its inputs). The function is the real operation with its
backward replaced.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

import tinyalex as ta
from tinyalex import kernels, ops
from tinyalex.functional import activation, convolution, loss, normalization, pooling
from tinyalex.functional.adaptive_pooling import AdaptiveAvgPool2d
from tinyalex.functional.dropout import Dropout
from tinyalex.functional.joining import Cat
from tinyalex.functional.linear import Linear
from tinyalex.functional.padding import Pad
from tinyalex.functional.softmax import LogSoftmax, Softmax
from tinyalex.kernels.cpu.windows import offset_slices
from tinyalex.kernels.window import Window

RNG = np.random.default_rng(0)


@dataclass
class Mutation:
    name: str
    hint: str
    function: Any
    inputs: list


MUTATIONS: list[Mutation] = []


def mutation(name, hint, *inputs, **options):
    """Decorates a subclass of an operation: the mutation calls it on the inputs with the options."""

    def register(cls):
        MUTATIONS.append(
            Mutation(name, hint, lambda *tensors: cls.apply(*tensors, **options), list(inputs))
        )
        return cls

    return register


def normal(*shape):
    return RNG.standard_normal(shape)


def distinct(*shape):
    return RNG.permutation(np.prod(shape)).reshape(shape) / 10


def images_and_filters(groups):
    return normal(2, 4, 6, 5), normal(4, 4 // groups, 3, 2), normal(4)


def conv_options(groups=1, stride=1):
    x, w = (2, 4, 6, 5), (4, 4 // groups, 3, 2)
    return {"shape": convolution.conv_shape(x, w, stride, padding=(1, 0), groups=groups)}


POOL = {"window": Window((3, 3), (2, 2), (1, 1)), "out": (3, 3)}
LRN = {"size": 5, "a": 1.0, "beta": 0.75, "k": 2.0, "groups": 1}


@mutation(
    "LRN without the competition between channels",
    "wrong term",
    normal(2, 7, 3, 2),
    **LRN | {"a": 0.1},
)
class LRNWithoutCrossTerm(normalization.LocalResponseNorm):
    def backward(self, dy):
        return dy * self.s**-self.beta


@mutation(
    "LRN at the paper's alpha without the competition",
    "wrong term",
    30 * normal(2, 7, 3, 2),
    **LRN | {"a": 1e-4},
)
class LRNWithoutCrossTermAtSmallAlpha(LRNWithoutCrossTerm):
    pass


@mutation(
    "LRN with a competition that ignores the columns",
    "some elements",
    normal(2, 8, 3, 2),
    **LRN | {"groups": 2},
)
class LRNAcrossColumns(normalization.LocalResponseNorm):
    def backward(self, dy):
        self.groups = 1
        return super().backward(dy)


@mutation("LRN without the factor 2 of a square's slope", "wrong term", normal(2, 7, 3, 2), **LRN)
class LRNHalfCrossTerm(normalization.LocalResponseNorm):
    def backward(self, dy):
        return (super().backward(dy) + dy * self.s**-self.beta) / 2


@mutation("max-pooling with = where windows overlap", "some elements", distinct(2, 2, 6, 6), **POOL)
class MaxPoolAssigns(pooling.MaxPool2d):
    def backward(self, dy):
        dx = np.zeros(self.shape, dy.dtype)
        for offset, seen, out in offset_slices(dx, dy, slice(0, 3), *self.window):
            seen[...] = np.where(self.argmax[out] == offset, dy[out], seen)
        return dx


@mutation("max-pooling that gives to every tap", "some elements", distinct(2, 2, 6, 6), **POOL)
class MaxPoolForgetsTheWinner(pooling.MaxPool2d):
    def backward(self, dy):
        return pooling.AvgPool2d.backward(self, dy)

    divisor = np.ones((3, 3), "f")


@mutation(
    "max-pooling with rows and columns of the tap exchanged",
    "some elements",
    distinct(2, 2, 6, 6),
    **POOL,
)
class MaxPoolTransposedTap(pooling.MaxPool2d):
    def backward(self, dy):
        self.argmax = self.argmax % 3 * 3 + self.argmax // 3
        return super().backward(dy)


@mutation(
    "average pooling without the division",
    "factor",
    normal(2, 2, 6, 6),
    **POOL,
    divisor=np.full((3, 3), 9.0),
)
class AvgPoolForgetsDivisor(pooling.AvgPool2d):
    def backward(self, dy):
        self.divisor = np.ones((3, 3), dy.dtype)
        return super().backward(dy)


class CrossEntropy(loss.SoftmaxCrossEntropy):
    """With room of its own for how much each sample counts."""

    def forward(self, x, t, w, *, ignore):
        return super().forward(x, t, w, ignore=ignore, counts=np.empty(len(x)))


@mutation(
    "softmax without its off-diagonal",
    "lost places",
    normal(4, 5),
    RNG.integers(0, 5, 4),
    np.ones(5),
    ignore=-1,
)
class SoftmaxDiagonalOnly(CrossEntropy):
    def backward(self, dloss):
        dx, *_ = super().backward(dloss)
        mine = np.zeros_like(dx)
        samples = np.arange(len(dx))
        mine[samples, self.t] = dx[samples, self.t]
        return mine, None, None


@mutation(
    "cross-entropy that forgets to subtract the one-hot target",
    "some elements",
    normal(4, 5),
    RNG.integers(0, 5, 4),
    np.ones(5),
    ignore=-1,
)
class CrossEntropyForgetsTarget(CrossEntropy):
    def backward(self, dloss):
        return self.p * dloss[:, None], None, None


@mutation(
    "cross-entropy that ignores the gradient from above",
    "factor by slice",
    normal(4, 5),
    RNG.integers(0, 5, 4),
    np.ones(5),
    ignore=-1,
)
class CrossEntropyIgnoresAbove(CrossEntropy):
    def backward(self, dloss):
        return super().backward(np.ones_like(dloss))


@mutation("mean without its 1/N", "factor", normal(3, 4), axis=None, keepdims=False)
class MeanForgetsN(ops.Mean):
    def backward(self, dy):
        return super().backward(dy) * self.count


@mutation(
    "convolution whose groups read the wrong weights",
    "none",
    *images_and_filters(2),
    **conv_options(groups=2),
)
class ConvWrongGroup(convolution.Conv2d):
    def backward(self, dy):
        self.w = np.roll(self.w, 2, axis=0)
        return super().backward(dy)


@mutation(
    "convolution with the filter turned around", "none", *images_and_filters(1), **conv_options()
)
class ConvTurnedFilter(convolution.Conv2d):
    def backward(self, dy):
        self.w = self.w[..., ::-1, ::-1]
        return super().backward(dy)


@mutation(
    "col2im that assigns where patches overlap",
    "wrong term",
    *images_and_filters(1),
    **conv_options(),
)
class ConvAssigns(convolution.Conv2d):
    def backward(self, dy):
        _, dw, db = super().backward(dy)
        dx = np.zeros((2, 4, 8, 5), dy.dtype)  # with the padding of one row above and below
        for i in range(6):
            for j in range(4):
                dx[:, :, i : i + 3, j : j + 2] = np.einsum("no,ocuv->ncuv", dy[:, :, i, j], self.w)
        return dx[:, :, 1:-1], dw, db


@mutation(
    "convolution whose stride is forgotten in backward",
    "none",
    *images_and_filters(1),
    **conv_options(stride=2),
)
class ConvForgetsStride(convolution.Conv2d):
    def backward(self, dy):
        window = self.shape.window._replace(stride=(1, 1))
        self.shape = self.shape._replace(window=window)
        return super().backward(dy)


@mutation(
    "bias gradient of the first sample only", "none", *images_and_filters(1), **conv_options()
)
class ConvBiasOfOneSample(convolution.Conv2d):
    def backward(self, dy):
        dx, dw, _ = super().backward(dy)
        return dx, dw, dy[0].sum(axis=(1, 2))


@mutation("ReLU that lets everything through", "lets through", normal(4, 5))
class ReLULetsAllThrough(activation.ReLU):
    def backward(self, dy):
        return dy.copy()


@mutation("ReLU with its sign flipped", "other mask", normal(4, 5))
class ReLUFlipped(activation.ReLU):
    def backward(self, dy):
        return dy * (self.y <= 0)


@mutation(
    "tanh that forgets the gradient from above", "cotangent", np.linspace(-2, 2, 20).reshape(4, 5)
)
class TanhForgetsAbove(ops.Tanh):
    def backward(self, dy):
        return 1 - self.y**2


@mutation("tanh with the slope of the sigmoid", "none", normal(4, 5))
class TanhAsSigmoid(ops.Tanh):
    def backward(self, dy):
        return dy * self.y * (1 - self.y)


@mutation("dropout that forgets its scale", "factor", normal(6, 5), p=0.5)
class DropoutForgetsScale(Dropout):
    def backward(self, dy):
        return dy * self.mask


@mutation("dropout that draws a new mask in backward", "other mask", normal(6, 5), p=0.5)
class DropoutNewMask(Dropout):
    def backward(self, dy):
        kernels.of(dy).random_mask(self.mask, 0.5, (1, 2), 3, 4, first=0)
        return super().backward(dy)


@mutation("linear with its weight transposed", "none", normal(3, 4), normal(4, 4), normal(4))
class LinearTransposed(Linear):
    def backward(self, dy):
        _, dw, db = super().backward(dy)
        return dy @ self.w.T, dw, db


@mutation("linear that forgets its bias", "zero", normal(3, 4), normal(2, 4), normal(2))
class LinearForgetsBias(Linear):
    def backward(self, dy):
        dx, dw, _ = super().backward(dy)
        return dx, dw, None


@mutation(
    "a product that sends both factors the same gradient", "exchanged", normal(3, 4), normal(3, 4)
)
class MultiplyTwice(ops.Multiply):
    def dy(self, dz, x, y):
        return dz * y


@mutation("a difference whose second term keeps its sign", "sign", normal(3, 4), normal(4))
class SubtractAsAdd(ops.Subtract):
    def dy(self, dz, x, y):
        return dz


@mutation("a matrix product with the factors exchanged", "exchanged", normal(3, 3), normal(3, 3))
class MatMulExchanged(ops.MatMul):
    def backward(self, dz):
        dx, dy = super().backward(dz)
        return dy, dx


@mutation("a transpose whose gradient stays transposed", "transposed", normal(3, 3), axes=None)
class TransposeForgets(ops.Transpose):
    def backward(self, dy):
        return dy.copy()


@mutation(
    "an index that loses one of two gradients",
    "some elements",
    normal(4),
    index=np.array([0, 0, 2]),
)
class IndexAssigns(ops.Index):
    def backward(self, dy):
        dx = np.zeros_like(self.like)
        dx[self.index] = dy
        return dx


@mutation(
    "a sum that sends its gradient to one axis only",
    "lost places",
    normal(3, 4),
    axis=None,
    keepdims=False,
)
class SumToFirstRow(ops.Sum):
    def backward(self, dy):
        dx = super().backward(dy).copy()
        dx[1:] = 0
        return dx


@mutation("a maximum that gives to all", "lets through", distinct(3, 4), axis=1, keepdims=False)
class MaxGivesToAll(ops.Max):
    def backward(self, dy):
        self.is_max = np.ones_like(self.is_max)
        return super().backward(dy) * 4


@mutation(
    "a maximum that gives to the smallest", "other mask", distinct(3, 4), axis=1, keepdims=False
)
class MaxGivesToSmallest(ops.Max):
    def forward(self, x, **options):
        y = super().forward(x, **options)
        self.is_max = x == x.min(axis=1, keepdims=True)
        return y


@mutation(
    "a quotient whose divisor has the wrong sign", "sign", normal(3, 4), 2 + np.abs(normal(3, 4))
)
class DividePositive(ops.Divide):
    def dy(self, dz, x, y):
        return dz * x / (y * y)


@mutation(
    "a quotient whose divisor is not squared", "wrong term", normal(3, 4), 2 + np.abs(normal(3, 4))
)
class DivideNotSquared(ops.Divide):
    def dy(self, dz, x, y):
        return -dz * x / y**3


@mutation("a square without its 2", "factor", normal(3, 4))
class SquareForgetsTwo(ops.Exp):
    def forward(self, x):
        self.y = x
        return x * x


@mutation("a power that forgets its exponent", "factor", 1 + np.abs(normal(3, 4)))
class PowerForgetsExponent(ops.Log):
    def forward(self, x):
        self.x = x**-2
        return x**3


@mutation("a logarithm whose gradient is multiplied", "wrong term", 1 + np.abs(normal(3, 4)))
class LogMultiplies(ops.Log):
    def backward(self, dy):
        return dy * self.x


@mutation("an exponential that is divided by itself", "wrong term", normal(3, 4))
class ExpForgetsItself(ops.Exp):
    def backward(self, dy):
        return dy / self.y


@mutation("a reshape that goes back by columns", "reordered", normal(3, 4), shape=(12,))
class ReshapeByColumns(ops.Reshape):
    def backward(self, dy):
        return dy.reshape(self.shape, order="F")


@mutation("a cat whose parts go back in reverse", "exchanged", normal(2, 3), normal(2, 3), axis=0)
class CatReversed(Cat):
    def backward(self, dy):
        return super().backward(dy)[::-1]


@mutation(
    "a pad that goes back one pixel off",
    "shifted",
    normal(2, 9),
    widths=((0, 0), (2, 2)),
    value=0.0,
)
class PadShifted(Pad):
    def backward(self, dy):
        return dy[:, 1:-3].copy()


@mutation(
    "adaptive pooling that divides by the number of outputs",
    "some elements",
    normal(1, 2, 5, 4),
    out=(2, 3),
)
class AdaptiveAssigns(AdaptiveAvgPool2d):
    def backward(self, dy):
        dx = np.zeros(self.shape, dy.dtype)
        for i, j, window in self.windows(dy.shape[2:]):
            dx[window] = dy[:, :, i, j, None, None] / dx[window][0, 0].size
        return dx


@mutation(
    "the spatial norm without the competition between places",
    "wrong term",
    normal(2, 2, 4, 4),
    size=3,
    a=0.2,
    beta=0.75,
    k=1.0,
)
class SpatialNormWithoutCrossTerm(normalization.SpatialResponseNorm):
    def backward(self, dy):
        return dy * self.s**-self.beta


@mutation("a sigmoid without its 1 - y", "wrong term", normal(3, 4))
class SigmoidForgetsHalf(activation.Sigmoid):
    def backward(self, dy):
        return dy * self.y


@mutation("softmax without the sum over its axis", "wrong term", normal(6, 8), axis=1)
class SoftmaxWithoutSum(Softmax):
    def backward(self, dy):
        return self.y * dy


@mutation("softmax whose sum runs over the batch", "none", normal(3, 4), axis=1)
class SoftmaxOverBatch(Softmax):
    def backward(self, dy):
        self.axis = 0
        return super().backward(dy)


@mutation("log_softmax without the sum over its axis", "wrong term", normal(6, 8), axis=1)
class LogSoftmaxWithoutSum(LogSoftmax):
    def backward(self, dy):
        return dy.copy()


@mutation("a mean over the places that is taken off twice", "common term", normal(3, 4))
class CentreTwice(ta.Function):
    """y = x - its mean along axis 1, which is its own gradient's rule; this one forgets it."""

    def forward(self, x):
        return x - x.mean(axis=1, keepdims=True)

    def backward(self, dy):
        return dy.copy()


@mutation("a filter that runs the other way in backward", "reversed", normal(8))
class MirrorForgets(ta.Function):
    def forward(self, x):
        return x[::-1] * 2.0

    def backward(self, dy):
        return dy * 2.0


@mutation(
    "soft cross-entropy that forgets the weights' sum",
    "wrong term",
    normal(4, 5),
    RNG.dirichlet(np.ones(5), 4),
    1 + np.abs(normal(5)),
)
class SoftCrossEntropyForgetsSum(loss.SoftCrossEntropy):
    def backward(self, dloss):
        _, dt, _ = super().backward(dloss)
        return (
            np.exp(self.log_p) * dloss[:, None] - self.q * dloss[:, None],
            dt,
            -(self.q / self.w * self.log_p * dloss[:, None]).sum(0),
        )


@mutation(
    "a class's weight lost in the gradient",
    "factor by slice",
    normal(4, 5),
    np.array([0, 1, 4, 2]),
    1.5 + np.arange(5.0),
    ignore=-1,
)
class CrossEntropyForgetsWeight(CrossEntropy):
    def forward(self, x, t, w, *, ignore):
        y = super().forward(x, t, w, ignore=ignore)
        self.counts = np.ones_like(self.counts)
        return y

    def backward(self, dloss):
        return (*super().backward(dloss)[:2], None)


@mutation("a gradient only inside of the border", "border", normal(2, 6))
class BorderDoubled(ta.Function):
    def forward(self, x):
        return x * 3

    def backward(self, dy):
        dx = dy * 3
        dx[:, [0, -1]] *= 2
        return dx


@mutation("a gradient that is not a number", "not finite", np.array([0.0, 1.0, 2.0]))
class AbsDividesByZero(ta.Function):
    def forward(self, x):
        return x * x

    def backward(self, dy):
        return dy * np.array([np.nan, 2, 4], dy.dtype)


MUTATIONS.append(
    Mutation(
        "a wrong sign hidden at a scale of 1e-8",
        "sign",
        lambda x: SubtractAsAdd.apply(x * 0, x * 1e-8),
        [np.abs(normal(4)) + 1],
    )
)
