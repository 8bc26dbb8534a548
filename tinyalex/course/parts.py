"""The parts of a network: tinyalex's own, and those that call the learner's answers.

A part is an operation on tensors, with a few exceptions (see TINYALEX_PARTS). Each
function here takes answers, which are functions or a Function's class, and returns the
part. Arrays are float64. What an answer returns must have the right shape.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyalex import functional as F
from tinyalex import optim
from tinyalex.course.derivatives import backward
from tinyalex.course.expected import expect
from tinyalex.function import Function
from tinyalex.tensor import Tensor

LR, MOMENTUM, DECAY = 0.01, 0.9, 0.0005

Answer = Callable[..., Any]
Operation = Callable[..., Any]
Parts = dict[str, Any]
Weights = dict[str, Tensor]


def add(unbroadcast: Answer) -> Operation:
    class Add(Function):
        """y = x + b. db is dy, summed to b's shape by exercise 3."""

        def forward(self, x: np.ndarray, b: np.ndarray) -> np.ndarray:
            self.shape = b.shape
            return x + b

        def backward(self, dy: np.ndarray) -> Any:
            return dy, expect(self.shape, unbroadcast(dy, self.shape), "unbroadcast", 3)

    return Add.apply


def prelu(answer: Any) -> Operation:
    """Exercise 4's layer, whose channels are axis 1 of (N, C, H, W), on (N, C)."""

    def apply(x: Tensor, a: Tensor) -> Any:
        images = x.reshape(*x.shape, 1, 1)
        return expect(images.shape, answer.apply(images, a), "PReLU", 4).reshape(x.shape)

    return apply


def conv2d(im2col: Answer, col2im: Answer) -> Operation:
    class Convolution(Function):
        """y = w @ im2col(x), and its adjoint: exercises 5 and 6."""

        def forward(self, x: np.ndarray, w: np.ndarray, *, stride: int, padding: int) -> np.ndarray:
            self.window = w.shape[2], stride, padding
            self.x, self.w = x, w.reshape(len(w), -1)
            self.weight_shape = w.shape
            height, width = ((n + 2 * padding - w.shape[2]) // stride + 1 for n in x.shape[2:])
            self.col_shape = self.w.shape[1], len(x) * height * width
            y = self.w @ self.columns()
            return y.reshape(len(w), len(x), height, width).swapaxes(0, 1)

        def columns(self) -> np.ndarray:
            col: np.ndarray = expect(self.col_shape, im2col(self.x, *self.window), "im2col", 5)
            return col

        def backward(self, dy: np.ndarray) -> Any:
            dy = dy.swapaxes(0, 1).reshape(len(self.w), -1)
            dw = (dy @ self.columns().T).reshape(self.weight_shape)
            dx = None
            if self.needs_input_grad[0]:
                dx = col2im(self.w.T @ dy, self.x.shape, *self.window)
                expect(self.x.shape, dx, "col2im", 6)
            return dx, dw

    def apply(x: Any, w: Tensor, b: Tensor, stride: int, padding: int) -> Any:
        return Convolution.apply(x, w, stride=stride, padding=padding) + b.reshape(-1, 1, 1)

    return apply


def relu(answer: Any) -> Operation:
    return lambda x: expect(x.shape, answer.apply(x), "ReLU", 7)


def max_pool2d(max_pool_backward: Answer) -> Operation:
    class MaxPool(Function):
        """Overlapping max pooling, with the backward pass of exercise 8."""

        def forward(self, x: np.ndarray, *, kernel: int, stride: int) -> np.ndarray:
            self.x, self.window = x, (kernel, stride)
            return F.max_pool2d(x, kernel, stride).numpy()

        def backward(self, dy: np.ndarray) -> Any:
            dx = max_pool_backward(dy, self.x, *self.window)
            return expect(self.x.shape, dx, "max_pool_backward", 8)

    return lambda x, kernel, stride: MaxPool.apply(x, kernel=kernel, stride=stride)


def lrn(lrn_backward: Answer) -> Operation:
    class LRN(Function):
        """Local response normalization, with the backward pass of exercise 9."""

        def forward(self, x: np.ndarray, **constants: Any) -> np.ndarray:
            self.x, self.constants = x, constants
            return F.local_response_norm(x, **constants, alpha_mode="sum").numpy()

        def backward(self, dy: np.ndarray) -> Any:
            dx = lrn_backward(dy, self.x, **self.constants)
            return expect(self.x.shape, dx, "lrn_backward", 9)

    return LRN.apply


def dropout(answer: Any) -> Operation:
    def apply(x: Tensor, p: float, u: np.ndarray) -> Any:
        return expect(x.shape, answer.apply(x, p=p, u=u, training=True), "Dropout", 10)

    return apply


def cross_entropy(softmax_cross_entropy: Answer) -> Operation:
    class SoftmaxCrossEntropy(Function):
        """The loss and its gradient, which exercise 11 computes together."""

        def forward(self, logits: np.ndarray, *, target: np.ndarray) -> np.ndarray:
            loss, self.dlogits = softmax_cross_entropy(logits, target)
            expect(logits.shape, self.dlogits, "softmax_cross_entropy", 11)
            return np.asarray(expect((), loss, "softmax_cross_entropy", 11))

        def backward(self, dloss: np.ndarray) -> Any:
            return dloss * self.dlogits

    return lambda logits, target: SoftmaxCrossEntropy.apply(logits, target=target)


def tinyalex_prelu(x: Tensor, a: Tensor) -> Any:
    positive = F.relu(x)
    return positive + a * (x - positive)


def tinyalex_step(weights: Weights) -> Callable[[], None]:
    return optim.SGD(weights.values(), LR, momentum=MOMENTUM, weight_decay=DECAY).step


def sigma(he_sigma: Answer) -> Operation:
    return lambda shape: expect((), he_sigma(shape), "he_sigma", 12)


def views(ten_views: Answer) -> Operation:
    def cropped(image: np.ndarray, size: int) -> Any:
        return expect((10, len(image), size, size), ten_views(image, size), "ten_views", 14)

    return cropped


def step(momentum_step: Callable[..., Any]) -> Callable[[Weights], Callable[[], None]]:
    def prepare(weights: Weights) -> Callable[[], None]:
        velocities = {name: np.zeros(w.shape) for name, w in weights.items()}

        def step() -> None:
            for name, w in weights.items():
                arrays = w.data, velocities[name], w.grad
                new = momentum_step(*arrays, LR, MOMENTUM, DECAY)
                expect((2, *w.shape), np.asarray(new), "momentum_step", 13)
                w.data, velocities[name] = new

        return step

    return prepare


TINYALEX_PARTS: Parts = {
    "backward": lambda loss: loss.backward(),
    "add": lambda x, b: x + b,
    "prelu": tinyalex_prelu,
    "conv2d": F.conv2d,
    "relu": F.relu,
    "max_pool2d": F.max_pool2d,
    "lrn": lambda x, **constants: F.local_response_norm(x, **constants, alpha_mode="sum"),
    "dropout": lambda x, p, u: x * ((u >= p) / (1 - p)),
    "cross_entropy": F.cross_entropy,
    "sigma": lambda shape: math.sqrt(2 / math.prod(shape[1:])),
    "step": tinyalex_step,
    "views": None,
}
"""tinyalex's own parts. `backward` takes the loss; `sigma` gives the standard deviation
of initial weights of a shape; `step` takes the weights and returns the function that
updates them; `views` is only an answer's: without it, one view is tested."""

ANSWER_PARTS: dict[str, tuple[tuple[int, ...], Callable[..., Any]]] = {
    "backward": ((2,), lambda m: backward(m.Node, m.backward)),
    "add": ((3,), lambda m: add(m.unbroadcast)),
    "prelu": ((4,), lambda m: prelu(m.PReLU)),
    "conv2d": ((5, 6), lambda m, n: conv2d(m.im2col, n.col2im)),
    "relu": ((7,), lambda m: relu(m.ReLU)),
    "max_pool2d": ((8,), lambda m: max_pool2d(m.max_pool_backward)),
    "lrn": ((9,), lambda m: lrn(m.lrn_backward)),
    "dropout": ((10,), lambda m: dropout(m.Dropout)),
    "cross_entropy": ((11,), lambda m: cross_entropy(m.softmax_cross_entropy)),
    "sigma": ((12,), lambda m: sigma(m.he_sigma)),
    "step": ((13,), lambda m: step(m.momentum_step)),
    "views": ((14,), lambda m: views(m.ten_views)),
}
"""For each part, the exercises that it needs, and a function of their modules."""
