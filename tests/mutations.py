"""Broken backward passes: each one a mistake that people make. gradcheck must refuse them all (tests/test_mutations.py).

A mutation is (what is wrong, a function, its inputs). The function uses the real operation with one line of its backward replaced.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyalex import functional as F
from tinyalex import kernels, ops
from tinyalex.functional import activation, convolution, loss, normalization, pooling
from tinyalex.functional.dropout import Dropout
from tinyalex.functional.linear import Linear
from tinyalex.functional.window import Window
from tinyalex.kernels import cpu

RNG = np.random.default_rng(0)


@dataclass
class Mutation:
    name: str
    function: Any
    inputs: list


MUTATIONS: list[Mutation] = []


def mutation(name, *inputs, **options):
    """Decorates a subclass of an operation: the mutation calls it on the inputs with the options."""

    def register(cls):
        MUTATIONS.append(Mutation(name, lambda *tensors: cls.apply(*tensors, **options), list(inputs)))
        return cls

    return register


def normal(*shape):
    return RNG.standard_normal(shape)


def distinct(*shape):
    return RNG.permutation(np.prod(shape)).reshape(shape) / 10


def images_and_filters(groups):
    return normal(2, 4, 6, 5), normal(4, 4 // groups, 3, 2), normal(4)


def conv_options(groups=1, stride=1):
    window = Window((3, 2), (stride, stride), (1, 0))
    return {"window": window, "out": ((6 + 2 - 3) // stride + 1, (5 - 2) // stride + 1), "groups": groups}


POOL = {"window": Window((3, 3), (2, 2), (1, 1)), "out": (3, 3)}
LRN = {"size": 5, "a": 1.0, "beta": 0.75, "k": 2.0, "groups": 1}


@mutation("LRN without the competition between channels", normal(2, 7, 3, 2), **LRN)
class LRNWithoutCrossTerm(normalization.LocalResponseNorm):
    def backward(self, dy):
        return dy * self.s**-self.beta


@mutation("LRN at the paper's alpha without the competition", 30 * normal(2, 7, 3, 2), **LRN | {"a": 1e-4})
class LRNWithoutCrossTermAtSmallAlpha(LRNWithoutCrossTerm):
    pass


@mutation("LRN with a competition that ignores the columns", normal(2, 8, 3, 2), **LRN | {"groups": 2})
class LRNAcrossColumns(normalization.LocalResponseNorm):
    def backward(self, dy):
        self.groups = 1
        return super().backward(dy)


@mutation("LRN without the factor 2 of a square's slope", normal(2, 7, 3, 2), **LRN)
class LRNHalfCrossTerm(normalization.LocalResponseNorm):
    def backward(self, dy):
        return (super().backward(dy) + dy * self.s**-self.beta) / 2


@mutation("max-pooling with = where windows overlap", distinct(2, 2, 6, 6), **POOL)
class MaxPoolAssigns(pooling.MaxPool2d):
    def backward(self, dy):
        dx = np.zeros(self.shape)
        for (u, v), out, pixels in cpu._taps(dx.shape[2:], dy.shape[2:], *self.window):
            dx[pixels] = np.where(self.argmax[out] == 3 * u + v, dy[out], dx[pixels])
        return dx


@mutation("max-pooling that gives to every tap", distinct(2, 2, 6, 6), **POOL)
class MaxPoolForgetsTheWinner(pooling.MaxPool2d):
    def backward(self, dy):
        return pooling.AvgPool2d.backward(self, dy)

    divisor = np.ones((3, 3))


@mutation("max-pooling with rows and columns of the tap exchanged", distinct(2, 2, 6, 6), **POOL)
class MaxPoolTransposedTap(pooling.MaxPool2d):
    def backward(self, dy):
        self.argmax = self.argmax % 3 * 3 + self.argmax // 3
        return super().backward(dy)


@mutation("average pooling without the division", normal(2, 2, 6, 6), **POOL, divisor=np.full((3, 3), 9.0))
class AvgPoolForgetsDivisor(pooling.AvgPool2d):
    def backward(self, dy):
        self.divisor = np.ones((3, 3))
        return super().backward(dy)


@mutation("softmax without its off-diagonal", normal(4, 5), RNG.integers(0, 5, 4))
class SoftmaxDiagonalOnly(loss.SoftmaxCrossEntropy):
    def backward(self, dloss):
        dx, _ = super().backward(dloss)
        mine = np.zeros_like(dx)
        mine[self.samples, self.t] = dx[self.samples, self.t]
        return mine, None


@mutation("cross-entropy that forgets to subtract the one-hot target", normal(4, 5), RNG.integers(0, 5, 4))
class CrossEntropyForgetsTarget(loss.SoftmaxCrossEntropy):
    def backward(self, dloss):
        return self.p * dloss[:, None], None


@mutation("cross-entropy that ignores the gradient from above", normal(4, 5), RNG.integers(0, 5, 4))
class CrossEntropyIgnoresAbove(loss.SoftmaxCrossEntropy):
    def backward(self, dloss):
        return super().backward(np.ones_like(dloss))


@mutation("mean without its 1/N", normal(3, 4), axis=None, keepdims=False)
class MeanForgetsN(ops.Mean):
    def backward(self, dy):
        return super().backward(dy) * self.count


@mutation("convolution whose groups read the wrong weights", *images_and_filters(2), **conv_options(groups=2))
class ConvWrongGroup(convolution.Conv2d):
    def backward(self, dy):
        self.w = np.roll(self.w, 2, axis=0)
        return super().backward(dy)


@mutation("convolution with the filter turned around", *images_and_filters(1), **conv_options())
class ConvTurnedFilter(convolution.Conv2d):
    def backward(self, dy):
        self.w = self.w[..., ::-1, ::-1]
        return super().backward(dy)


@mutation("col2im that assigns where patches overlap", *images_and_filters(1), **conv_options())
class ConvAssigns(convolution.Conv2d):
    def backward(self, dy):
        _, dw, db = super().backward(dy)
        dx = np.zeros((2, 4, 8, 5))  # with the padding of one row above and below
        for i in range(6):
            for j in range(4):
                dx[:, :, i : i + 3, j : j + 2] = np.einsum("no,ocuv->ncuv", dy[:, :, i, j], self.w)
        return dx[:, :, 1:-1], dw, db


@mutation("convolution whose stride is forgotten in backward", *images_and_filters(1), **conv_options(stride=2))
class ConvForgetsStride(convolution.Conv2d):
    def backward(self, dy):
        self.window = self.window._replace(stride=(1, 1))
        return super().backward(dy)


@mutation("bias gradient of the first sample only", *images_and_filters(1), **conv_options())
class ConvBiasOfOneSample(convolution.Conv2d):
    def backward(self, dy):
        dx, dw, _ = super().backward(dy)
        return dx, dw, dy[0].sum(axis=(1, 2))


@mutation("ReLU that lets everything through", normal(4, 5))
class ReLULetsAllThrough(activation.ReLU):
    def backward(self, dy):
        return dy.copy()


@mutation("ReLU with its sign flipped", normal(4, 5))
class ReLUFlipped(activation.ReLU):
    def backward(self, dy):
        return dy * ~self.positive


@mutation("tanh with the slope of the sigmoid", normal(4, 5))
class TanhAsSigmoid(ops.Tanh):
    def backward(self, dy):
        return dy * self.y * (1 - self.y)


@mutation("dropout that forgets its scale", normal(6, 5), p=0.5)
class DropoutForgetsScale(Dropout):
    def backward(self, dy):
        return dy * self.mask


@mutation("dropout that draws a new mask in backward", normal(6, 5), p=0.5)
class DropoutNewMask(Dropout):
    def backward(self, dy):
        kernels.of(dy).random_mask(self.mask, 0.5, (1, 2), 3, 4, first=0)
        return super().backward(dy)


@mutation("linear with its weight transposed", normal(3, 4), normal(4, 4), normal(4))
class LinearTransposed(Linear):
    def backward(self, dy):
        _, dw, db = super().backward(dy)
        return dy @ self.w.T, dw, db


@mutation("linear that forgets its bias", normal(3, 4), normal(2, 4), normal(2))
class LinearForgetsBias(Linear):
    def backward(self, dy):
        dx, dw, _ = super().backward(dy)
        return dx, dw, None


@mutation("a product that sends both factors the same gradient", normal(3, 4), normal(3, 4))
class MultiplyTwice(ops.Multiply):
    def dy(self, dz, x, y):
        return dz * y


@mutation("a difference whose second term keeps its sign", normal(3, 4), normal(4))
class SubtractAsAdd(ops.Subtract):
    def dy(self, dz, x, y):
        return dz


@mutation("a matrix product with the factors exchanged", normal(3, 3), normal(3, 3))
class MatMulExchanged(ops.MatMul):
    def backward(self, dz):
        dx, dy = super().backward(dz)
        return dy, dx


@mutation("a transpose whose gradient stays transposed", normal(3, 3), axes=None)
class TransposeForgets(ops.Transpose):
    def backward(self, dy):
        return dy.copy()


@mutation("an index that loses one of two gradients", normal(4), index=np.array([0, 0, 2]))
class IndexAssigns(ops.Index):
    def backward(self, dy):
        dx = np.zeros_like(self.like)
        dx[self.index] = dy
        return dx


MUTATIONS.append(
    Mutation("a wrong sign hidden at a scale of 1e-8", lambda x: 1e-8 * ReLUFlipped.apply(F.relu(x)), [np.abs(normal(4)) + 1])
)
