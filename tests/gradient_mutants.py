"""Mutants: operations with a common mistake in their backward pass.

gradcheck must reject each of them, with the hint given here (test_gradient_mutants.py).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

import tinyalex as ta
from tinyalex import kernels, ops
from tinyalex.functional import (
    activation,
    convolution,
    locally_connected,
    loss,
    normalization,
    pooling,
)
from tinyalex.functional.adaptive_pooling import AdaptiveAvgPool2d
from tinyalex.functional.batch_normalization import BatchNorm, across
from tinyalex.functional.dropout import Dropout
from tinyalex.functional.gelu import GELU
from tinyalex.functional.joining import Cat
from tinyalex.functional.layer_normalization import LayerNorm
from tinyalex.functional.leaky_relu import LeakyReLU
from tinyalex.functional.linear import Linear
from tinyalex.functional.logistic_loss import BinaryCrossEntropyWithLogits
from tinyalex.functional.negative_log_likelihood import NLLLoss
from tinyalex.functional.padding import Pad
from tinyalex.functional.regression_loss import L1Loss, MSELoss
from tinyalex.functional.softmax import LogSoftmax, Softmax
from tinyalex.functional.unit_vectors import Normalize
from tinyalex.kernels.cpu.sliding_windows import offset_slices
from tinyalex.kernels.geometry import Window

RNG = np.random.default_rng(0)


@dataclass
class Mutant:
    """An operation with the injected fault `name`; `hint` is the expected hint."""

    name: str
    hint: str
    function: Any
    inputs: list


MUTANTS: list[Mutant] = []


def mutant(name, hint, *inputs, **options):
    """Registers the decorated Function as a mutant with these inputs and options."""

    def register(cls):
        MUTANTS.append(
            Mutant(name, hint, lambda *tensors: cls.apply(*tensors, **options), list(inputs))
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


@mutant(
    "LRN without the term of the neighbouring channels",
    "wrong term",
    normal(2, 7, 3, 2),
    **LRN | {"a": 0.1},
)
class LRNWithoutCrossTerm(normalization.LocalResponseNorm):
    def backward(self, dy):
        return dy * self.s**-self.beta


@mutant(
    "LRN without the term of the neighbouring channels, at the paper's alpha",
    "wrong term",
    30 * normal(2, 7, 3, 2),
    **LRN | {"a": 1e-4},
)
class LRNWithoutCrossTermAtSmallAlpha(LRNWithoutCrossTerm):
    pass


@mutant(
    "LRN whose backward pass ignores groups",
    "some elements",
    normal(2, 8, 3, 2),
    **LRN | {"groups": 2},
)
class LRNAcrossColumns(normalization.LocalResponseNorm):
    def backward(self, dy):
        self.groups = 1
        return super().backward(dy)


@mutant(
    "LRN without the factor 2 in the derivative of a square",
    "wrong term",
    normal(2, 7, 3, 2),
    **LRN,
)
class LRNHalfCrossTerm(normalization.LocalResponseNorm):
    def backward(self, dy):
        return (super().backward(dy) + dy * self.s**-self.beta) / 2


@mutant(
    "max-pooling with = instead of += where windows overlap",
    "some elements",
    distinct(2, 2, 6, 6),
    **POOL,
)
class MaxPoolAssigns(pooling.MaxPool2d):
    def backward(self, dy):
        dx = np.zeros(self.shape, dy.dtype)
        for offset, seen, out in offset_slices(dx, dy, slice(0, 3), *self.window):
            seen[...] = np.where(self.argmax[out] == offset, dy[out], seen)
        return dx


@mutant(
    "max-pooling with a gradient for all elements of a window",
    "none",
    distinct(2, 2, 6, 6),
    **POOL,
)
class MaxPoolIgnoresArgmax(pooling.MaxPool2d):
    def backward(self, dy):
        return pooling.AvgPool2d.backward(self, dy)

    divisor = np.ones((3, 3), "f")


@mutant(
    "max-pooling with rows and columns of the kernel offset exchanged",
    "some elements",
    distinct(2, 2, 6, 6),
    **POOL,
)
class MaxPoolTransposedOffset(pooling.MaxPool2d):
    def backward(self, dy):
        self.argmax = self.argmax % 3 * 3 + self.argmax // 3
        return super().backward(dy)


@mutant(
    "average pooling without the division",
    "factor",
    normal(2, 2, 6, 6),
    **POOL,
    divisor=np.full((3, 3), 9.0),
)
class AvgPoolWithoutDivisor(pooling.AvgPool2d):
    def backward(self, dy):
        self.divisor = np.ones((3, 3), dy.dtype)
        return super().backward(dy)


class CrossEntropy(loss.SoftmaxCrossEntropy):
    """SoftmaxCrossEntropy that allocates the weights of the samples."""

    def forward(self, x, t, w, *, ignore):
        return super().forward(x, t, w, ignore=ignore, counts=np.empty(len(x)))


@mutant(
    "softmax without the off-diagonal of its Jacobian",
    "missing elements",
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


@mutant(
    "cross-entropy without the subtraction of the one-hot target",
    "some elements",
    normal(4, 5),
    RNG.integers(0, 5, 4),
    np.ones(5),
    ignore=-1,
)
class CrossEntropyWithoutTarget(CrossEntropy):
    def backward(self, dloss):
        return self.p * dloss[:, None], None, None


@mutant(
    "cross-entropy that ignores the upstream gradient",
    "factor by slice",
    normal(4, 5),
    RNG.integers(0, 5, 4),
    np.ones(5),
    ignore=-1,
)
class CrossEntropyIgnoresUpstream(CrossEntropy):
    def backward(self, dloss):
        return super().backward(np.ones_like(dloss))


@mutant("mean without the factor 1/N", "factor", normal(3, 4), axis=None, keepdims=False)
class MeanWithoutN(ops.Mean):
    def backward(self, dy):
        return super().backward(dy) * self.count


@mutant(
    "convolution with the weights of another group",
    "other input",
    *images_and_filters(2),
    **conv_options(groups=2),
)
class ConvWrongGroup(convolution.Conv2d):
    def backward(self, dy):
        self.w = np.roll(self.w, 2, axis=0)
        return super().backward(dy)


@mutant(
    "convolution with mirrored filters", "other input", *images_and_filters(1), **conv_options()
)
class ConvMirroredFilter(convolution.Conv2d):
    def backward(self, dy):
        self.w = self.w[..., ::-1, ::-1]
        return super().backward(dy)


@mutant(
    "col2im with = instead of += where patches overlap",
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


@mutant(
    "convolution whose backward pass ignores the stride",
    "none",
    *images_and_filters(1),
    **conv_options(stride=2),
)
class ConvIgnoresStride(convolution.Conv2d):
    def backward(self, dy):
        window = self.shape.window._replace(stride=(1, 1))
        self.shape = self.shape._replace(window=window)
        return super().backward(dy)


@mutant("bias gradient of the first sample only", "none", *images_and_filters(1), **conv_options())
class ConvBiasOfOneSample(convolution.Conv2d):
    def backward(self, dy):
        dx, dw, _ = super().backward(dy)
        return dx, dw, dy[0].sum(axis=(1, 2))


@mutant("ReLU without a mask", "not masked", normal(4, 5))
class ReLUWithoutMask(activation.ReLU):
    def backward(self, dy):
        return dy.copy()


@mutant("ReLU with the opposite mask", "other mask", normal(4, 5))
class ReLUOppositeMask(activation.ReLU):
    def backward(self, dy):
        return dy * (self.y <= 0)


@mutant(
    "tanh that ignores the upstream gradient", "cotangent", np.linspace(-2, 2, 20).reshape(4, 5)
)
class TanhIgnoresUpstream(ops.Tanh):
    def backward(self, dy):
        return 1 - self.y**2


@mutant("tanh with the derivative of the sigmoid", "none", normal(4, 5))
class TanhAsSigmoid(ops.Tanh):
    def backward(self, dy):
        return dy * self.y * (1 - self.y)


@mutant("dropout without its scale", "factor", normal(6, 5), p=0.5)
class DropoutWithoutScale(Dropout):
    def backward(self, dy):
        return dy * self.mask


@mutant("dropout that draws a new mask in backward", "other mask", normal(6, 5), p=0.5)
class DropoutNewMask(Dropout):
    def backward(self, dy):
        y, draw = np.empty_like(dy), ((1, 2), np.array([3]), 4, 0)
        kernels.of(dy).dropout(dy, self.mask, y, 0.5, self.scale, *draw)
        return y


@mutant("linear with its weight transposed", "other input", normal(3, 4), normal(4, 4), normal(4))
class LinearTransposed(Linear):
    def backward(self, dy):
        _, dw, db = super().backward(dy)
        return dy @ self.w.T, dw, db


@mutant("linear without a gradient for its bias", "zero", normal(3, 4), normal(2, 4), normal(2))
class LinearWithoutBiasGradient(Linear):
    def backward(self, dy):
        dx, dw, _ = super().backward(dy)
        return dx, dw, None


@mutant(
    "a product with the same gradient for both factors", "exchanged", normal(3, 4), normal(3, 4)
)
class MultiplyTwice(ops.Multiply):
    def dy(self, dz, x, y):
        return dz * y


@mutant("a difference whose second term has the wrong sign", "sign", normal(3, 4), normal(4))
class SubtractAsAdd(ops.Subtract):
    def dy(self, dz, x, y):
        return dz


@mutant("a matrix multiplication with exchanged gradients", "exchanged", normal(3, 3), normal(3, 3))
class MatMulExchanged(ops.MatMul):
    def backward(self, dz):
        dx, dy = super().backward(dz)
        return dy, dx


@mutant("a transpose whose gradient remains transposed", "transposed", normal(3, 3), axes=None)
class TransposeIdentity(ops.Transpose):
    def backward(self, dy):
        return dy.copy()


@mutant(
    "an index with = instead of += for repeated elements",
    "some elements",
    normal(4),
    index=np.array([0, 0, 2]),
)
class IndexAssigns(ops.Index):
    def backward(self, dy):
        dx = np.zeros_like(self.like)
        dx[self.index] = dy
        return dx


@mutant(
    "a sum whose gradient is not broadcast along axis 0",
    "missing elements",
    normal(3, 4),
    axis=None,
    keepdims=False,
)
class SumToFirstRow(ops.Sum):
    def backward(self, dy):
        dx = super().backward(dy).copy()
        dx[1:] = 0
        return dx


@mutant(
    "a maximum with a gradient for all elements",
    "not masked",
    distinct(3, 4),
    axis=1,
    keepdims=False,
)
class MaxOfAll(ops.Max):
    def backward(self, dy):
        self.is_max = np.ones_like(self.is_max)
        return super().backward(dy) * 4


@mutant(
    "a maximum with the gradient of the minimum",
    "other mask",
    distinct(3, 4),
    axis=1,
    keepdims=False,
)
class MaxAsMin(ops.Max):
    def forward(self, x, **options):
        y = super().forward(x, **options)
        self.is_max = x == x.min(axis=1, keepdims=True)
        return y


@mutant(
    "a quotient whose divisor has the wrong sign", "sign", normal(3, 4), 2 + np.abs(normal(3, 4))
)
class DividePositive(ops.Divide):
    def dy(self, dz, x, y):
        return dz * x / (y * y)


@mutant(
    "a quotient whose divisor is not squared", "wrong term", normal(3, 4), 2 + np.abs(normal(3, 4))
)
class DivideNotSquared(ops.Divide):
    def dy(self, dz, x, y):
        return -dz * x / y**3


@mutant("a square without the factor 2", "factor", normal(3, 4))
class SquareWithoutTwo(ops.Exp):
    def forward(self, x):
        self.y = x
        return x * x


@mutant("a power without its exponent as a factor", "factor", 1 + np.abs(normal(3, 4)))
class PowerWithoutExponent(ops.Log):
    def forward(self, x):
        self.x = x**-2
        return x**3


@mutant("a logarithm that multiplies by x", "wrong term", 1 + np.abs(normal(3, 4)))
class LogMultiplies(ops.Log):
    def backward(self, dy):
        return dy * self.x


@mutant("an exponential that divides by y", "wrong term", normal(3, 4))
class ExpDivides(ops.Exp):
    def backward(self, dy):
        return dy / self.y


@mutant("a square root without the factor 1/2", "factor", 1 + np.abs(normal(3, 4)))
class SqrtWithoutHalf(ops.Sqrt):
    def backward(self, dy):
        return dy / self.y


@mutant("an inverse square root with the square of y", "wrong term", 1 + np.abs(normal(3, 4)))
class RsqrtSquared(ops.Rsqrt):
    def backward(self, dy):
        return -0.5 * dy * self.y**2


@mutant("log(1 + x) with the derivative of log(x)", "wrong term", 1 + np.abs(normal(3, 4)))
class Log1pAsLog(ops.Log1p):
    def backward(self, dy):
        return dy / self.x


@mutant("an absolute value without the sign", "missing elements", normal(3, 4))
class AbsWithoutSign(ops.Abs):
    def backward(self, dy):
        return dy * (self.x > 0)


@mutant("a square with the derivative x", "factor", normal(3, 4))
class SquareHalf(ops.Square):
    def backward(self, dy):
        return dy * self.x


@mutant("a sine with the derivative of the cosine", "none", normal(3, 4))
class SinAsCos(ops.Sin):
    def backward(self, dy):
        return -dy * np.sin(self.x)


@mutant("a cosine with the wrong sign", "sign", normal(3, 4))
class CosWithoutMinus(ops.Cos):
    def backward(self, dy):
        return dy * np.sin(self.x)


@mutant("a rounding with the gradient of x", "not masked", 0.2 + distinct(3, 4))
class RoundAsIdentity(ops.Round):
    def backward(self, dy):
        return dy.copy()


@mutant("a maximum of two that ignores which is larger", "not masked", distinct(3, 4), normal(4))
class MaximumUnmasked(ops.Maximum):
    def dx(self, dz, x, y):
        return dz.copy()


@mutant("a minimum with the gradients of the maximum", "exchanged", normal(3, 4), normal(3, 4))
class MinimumAsMaximum(ops.Minimum):
    dx, dy = ops.Maximum.dx, ops.Maximum.dy


@mutant("a remainder without the gradient of y", "zero", 5 + normal(3, 4), 1.3 + np.zeros((3, 4)))
class RemainderOfConstant(ops.Remainder):
    def dy(self, dz, x, y):
        return np.zeros_like(dz)


@mutant(
    "where with exchanged gradients",
    "exchanged",
    RNG.random((3, 4)) < 0.5,
    normal(3, 4),
    normal(3, 4),
)
class WhereExchanged(ops.Where):
    def backward(self, dz):
        _, dx, dy = super().backward(dz)
        return None, dy, dx


@mutant("a clamp without its mask", "not masked", 3 * normal(3, 4), low=-1, high=1)
class ClampUnmasked(ops.Clamp):
    def backward(self, dy):
        return dy.copy()


@mutant(
    "a variance that divides by the count",
    "factor",
    normal(3, 4),
    axis=1,
    keepdims=False,
    correction=1,
)
class VarBiased(ops.Var):
    def backward(self, dy):
        return super().backward(dy) * 3 / 4


@mutant(
    "a standard deviation without its own division",
    "factor by slice",
    normal(3, 4),
    axis=1,
    keepdims=False,
    correction=1,
)
class StdAsVar(ops.Std):
    def backward(self, dy):
        return ops.Var.backward(self, dy)


@mutant("a norm without the division by y", "factor by slice", normal(3, 4), axis=1, keepdims=False)
class NormUndivided(ops.Norm):
    def backward(self, dy):
        return super().backward(dy * self.y)


@mutant(
    "a minimum along an axis with the gradient of the maximum",
    "other mask",
    distinct(3, 4),
    axis=1,
    keepdims=False,
)
class MinAsMax(ops.Min):
    def forward(self, x, **options):
        y = super().forward(x, **options)
        self.is_max = x == x.max(axis=1, keepdims=True)
        return y


@mutant("a cumulative sum that is not reversed", "none", normal(3, 4), axis=1)
class CumSumForward(ops.CumSum):
    def backward(self, dy):
        return dy.cumsum(axis=1)


@mutant("a repetition whose gradient is not added", "none", normal(1, 4), shape=(3, 4))
class ExpandFirst(ops.Expand):
    def backward(self, dy):
        return dy[:1].copy()


@mutant("a reshape that is inverted in column-major order", "reordered", normal(3, 4), shape=(12,))
class ReshapeColumnMajor(ops.Reshape):
    def backward(self, dy):
        return dy.reshape(self.shape, order="F")


@mutant(
    "a cat with the gradients in reverse order", "exchanged", normal(2, 3), normal(2, 3), axis=0
)
class CatReversed(Cat):
    def backward(self, dy):
        return super().backward(dy)[::-1]


@mutant(
    "a pad whose gradient is shifted by one pixel",
    "shifted",
    normal(2, 9),
    widths=((0, 0), (2, 2)),
    value=0.0,
)
class PadShifted(Pad):
    def backward(self, dy):
        return dy[:, 1:-3].copy()


@mutant(
    "adaptive pooling with = instead of += where windows overlap",
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


def local_arguments():
    """For 2 x 3 positions with stride 2 and padding 1."""
    x, w, b = normal(2, 2, 3, 5), normal(2, 3, 2, 2, 2, 2), normal(2, 3, 2)
    return [x, w, b], {"window": Window((2, 2), (2, 2), (1, 1))}


LOCAL, LOCAL_OPTIONS = local_arguments()


@mutant(
    "a locally connected layer with a convolution's gradient of the bias",
    "none",
    *LOCAL,
    **LOCAL_OPTIONS,
)
class LocalBiasShared(locally_connected.LocallyConnected2d):
    def backward(self, dy):
        dx, dw, db = super().backward(dy)
        return dx, dw, np.broadcast_to(db.sum(axis=(0, 1)), db.shape).copy()


@mutant(
    "a locally connected layer with a convolution's gradient of the weight",
    "none",
    *LOCAL,
    **LOCAL_OPTIONS,
)
class LocalWeightShared(locally_connected.LocallyConnected2d):
    def backward(self, dy):
        dx, dw, db = super().backward(dy)
        return dx, np.broadcast_to(dw.sum(axis=(0, 1)), dw.shape).copy(), db


@mutant(
    "a locally connected layer whose backward pass uses the filters of one position",
    "none",
    *LOCAL,
    **LOCAL_OPTIONS,
)
class LocalFirstFilters(locally_connected.LocallyConnected2d):
    def backward(self, dy):
        self.w = np.broadcast_to(self.w[:1, :1], self.w.shape)
        return super().backward(dy)


@mutant(
    "a locally connected layer whose backward pass counts positions by columns",
    "none",
    *LOCAL,
    **LOCAL_OPTIONS,
)
class LocalPositionsByColumns(locally_connected.LocallyConnected2d):
    def backward(self, dy):
        oh, ow, *rest = self.w.shape
        self.w = self.w.reshape(ow, oh, *rest).swapaxes(0, 1)
        return super().backward(dy)


@mutant(
    "the spatial norm without the term of the neighbouring pixels",
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


@mutant("a sigmoid without the factor 1 - y", "wrong term", normal(3, 4))
class SigmoidWithoutFactor(activation.Sigmoid):
    def backward(self, dy):
        return dy * self.y


@mutant("softmax without the sum over its axis", "wrong term", normal(6, 8), axis=1)
class SoftmaxWithoutSum(Softmax):
    def backward(self, dy):
        return self.y * dy


@mutant("softmax whose sum runs over the batch", "none", normal(3, 4), axis=1)
class SoftmaxOverBatch(Softmax):
    def backward(self, dy):
        self.axis = 0
        return super().backward(dy)


@mutant("log_softmax without the sum over its axis", "wrong term", normal(6, 8), axis=1)
class LogSoftmaxWithoutSum(LogSoftmax):
    def backward(self, dy):
        return dy.copy()


class BatchNormInTraining(BatchNorm):
    """BatchNorm that allocates the statistics of the batch."""

    def forward(self, x, w, b):
        mean, var = np.empty((2, x.shape[1]), x.dtype)
        return super().forward(x, w, b, mean=mean, var=var, eps=1e-5, training=True)


BATCH = normal(4, 2, 3, 3), np.array([0.5, 2.0]), normal(2)


@mutant("batch normalization with the mean of the batch as a constant", "common term", *BATCH)
class BatchNormConstantMean(BatchNormInTraining):
    def backward(self, dy):
        dx, dw, db = super().backward(dy)
        mean = dy.mean(axis=(0, 2, 3))
        return dx + across(mean * self.w / self.std, dy), dw, db


@mutant("batch normalization with its variance as a constant", "constant statistics", *BATCH)
class BatchNormConstantVariance(BatchNormInTraining):
    def backward(self, dy):
        dx, dw, db = super().backward(dy)
        m = dy.size // dy.shape[1]
        return dx + self.z * across(dw / m * self.w / self.std, dy), dw, db


@mutant("batch normalization with all statistics as constants", "constant statistics", *BATCH)
class BatchNormOfEvaluation(BatchNormInTraining):
    def backward(self, dy):
        self.training = False
        return super().backward(dy)


@mutant("layer normalization without its weight", "factor", normal(3, 4), np.full(4, 2.0), normal(4), axes=(-1,), eps=1e-5)  # fmt: skip
class LayerNormWithoutWeight(LayerNorm):
    def backward(self, dy):
        dx, dw, db = super().backward(dy)
        return dx / 2, dw, db


@mutant("layer normalization whose means run over the batch", "none", normal(3, 4), None, None, axes=(-1,), eps=1e-5)  # fmt: skip
class LayerNormOverBatch(LayerNorm):
    def backward(self, dy):
        self.axes = (0,)
        return super().backward(dy)


@mutant("a leaky ReLU without its small gradient", "missing elements", normal(4, 5), a=0.1)
class LeakyReLUAsReLU(LeakyReLU):
    def backward(self, dy):
        return dy * self.positive


@mutant("GELU without the derivative of its probability", "wrong term", normal(4, 5), approximate=False)  # fmt: skip
class GELUWithoutDensity(GELU):
    def backward(self, dy):
        return dy * self.p


@mutant("GELU by tanh without the derivative of the cubic", "wrong term", normal(4, 5), approximate=True)  # fmt: skip
class GELUWithoutCubic(GELU):
    def backward(self, dy):
        return dy * (self.p + self.x * 2 * self.p * (1 - self.p))


@mutant("a normalization to length 1 with the length as a constant", "constant statistics", normal(4, 6), axis=1, eps=1e-12)  # fmt: skip
class NormalizeConstantLength(Normalize):
    def backward(self, dy):
        return dy / self.n


@mutant("a squared error without the factor 2", "factor", normal(3, 4), normal(3, 4))
class MSELossWithoutTwo(MSELoss):
    def backward(self, dloss):
        return self.difference * dloss, -self.difference * dloss


@mutant("a squared error whose target has the gradient of its input", "sign", normal(3, 4), normal(3, 4))  # fmt: skip
class MSELossSameSign(MSELoss):
    def backward(self, dloss):
        dx, _ = super().backward(dloss)
        return dx, dx


@mutant("an absolute error without the sign", "none", normal(3, 4), normal(3, 4))
class L1LossWithoutSign(L1Loss):
    def backward(self, dloss):
        return dloss, -dloss


class NegativeLogLikelihood(NLLLoss):
    """NLLLoss that allocates the weights of the samples."""

    def forward(self, x, t, w):
        return super().forward(x, t, w, ignore=-1, counts=np.empty(len(x)))


LIKELIHOOD = normal(4, 5), np.array([0, 1, 4, 2]), 1.5 + np.arange(5.0)


@mutant("a negative log-likelihood with the wrong sign", "sign", *LIKELIHOOD)
class NLLLossWithoutMinus(NegativeLogLikelihood):
    def backward(self, dloss):
        dx, dt, dw = super().backward(dloss)
        return -dx, dt, dw


@mutant("a negative log-likelihood without the weights of the classes", "factor by slice", *LIKELIHOOD)  # fmt: skip
class NLLLossWithoutWeights(NegativeLogLikelihood):
    def backward(self, dloss):
        self.counts = np.ones_like(self.counts)
        return super().backward(dloss)


BINARY = normal(3, 4), RNG.random((3, 4)), np.array(3.0)


@mutant("binary cross-entropy without the factor of the positive class", "none", *BINARY)
class BinaryCrossEntropyWithoutFactor(BinaryCrossEntropyWithLogits):
    def backward(self, dloss):
        _, dt, _ = super().backward(dloss)
        return dloss * (1 - self.one_minus_p - self.t), dt, None


@mutant("binary cross-entropy with the derivative of the sigmoid as a factor", "none", *BINARY)
class BinaryCrossEntropyOfSquares(BinaryCrossEntropyWithLogits):
    def backward(self, dloss):
        dx, dt, _ = super().backward(dloss)
        return dx * self.one_minus_p * (1 - self.one_minus_p), dt, None


@mutant("a centring whose backward pass does not centre", "common term", normal(3, 4))
class CentreIdentity(ta.Function):
    """y = x - its mean along axis 1; dx should be dy - its mean."""

    def forward(self, x):
        return x - x.mean(axis=1, keepdims=True)

    def backward(self, dy):
        return dy.copy()


@mutant("a flip that is not inverted", "reversed", normal(8))
class FlipIdentity(ta.Function):
    def forward(self, x):
        return x[::-1] * 2.0

    def backward(self, dy):
        return dy * 2.0


@mutant(
    "soft cross-entropy without the sum of the weights",
    "wrong term",
    normal(4, 5),
    RNG.dirichlet(np.ones(5), 4),
    1 + np.abs(normal(5)),
)
class SoftCrossEntropyWithoutSum(loss.SoftCrossEntropy):
    def backward(self, dloss):
        _, dt, _ = super().backward(dloss)
        return (
            np.exp(self.log_p) * dloss[:, None] - self.q * dloss[:, None],
            dt,
            -(self.q / self.w * self.log_p * dloss[:, None]).sum(0),
        )


@mutant(
    "cross-entropy without the weights of the classes",
    "factor by slice",
    normal(4, 5),
    np.array([0, 1, 4, 2]),
    1.5 + np.arange(5.0),
    ignore=-1,
)
class CrossEntropyWithoutWeights(CrossEntropy):
    def forward(self, x, t, w, *, ignore):
        y = super().forward(x, t, w, ignore=ignore)
        self.counts = np.ones_like(self.counts)
        return y

    def backward(self, dloss):
        return (*super().backward(dloss)[:2], None)


@mutant("a gradient that is doubled at the border", "border", normal(2, 6))
class BorderDoubled(ta.Function):
    def forward(self, x):
        return x * 3

    def backward(self, dy):
        dx = dy * 3
        dx[:, [0, -1]] *= 2
        return dx


@mutant("a gradient with NaN", "not finite", np.array([0.0, 1.0, 2.0]))
class AbsDividesByZero(ta.Function):
    def forward(self, x):
        return x * x

    def backward(self, dy):
        return dy * np.array([np.nan, 2, 4], dy.dtype)


MUTANTS.append(
    Mutant(
        "a wrong sign hidden at a scale of 1e-8",
        "sign",
        lambda x: SubtractAsAdd.apply(x * 0, x * 1e-8),
        [np.abs(normal(4)) + 1],
    )
)
