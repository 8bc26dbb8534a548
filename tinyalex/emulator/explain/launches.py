"""The launches to explain: primitives at AlexNet's sizes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyalex.emulator.kernels.launching import Kernel
from tinyalex.emulator.kernels.memory_reports import MemoryUse
from tinyalex.emulator.kernels.module import Module
from tinyalex.kernels import cpu, cuda
from tinyalex.kernels.cuda.launching import engine
from tinyalex.kernels.examples import examples


def calls_of(name: str) -> dict[str, tuple[Any, ...]]:
    """{title: arguments} of a primitive: typical calls, or the largest example."""
    if calls := {title: args for primitive, title, args in typical_calls() if primitive == name}:
        return calls
    largest = max(
        (example for example in examples("float32") if example.primitive == name),
        key=lambda example: sum(np.size(x) for x in example.arguments),
    )
    return {largest.label or "an example": tuple(largest.copies())}


def typical_calls() -> Iterator[tuple[str, str, tuple[Any, ...]]]:
    """Primitives with a title and arguments: small batches, few channels."""
    random = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return random.standard_normal(shape, np.float32)

    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape, np.float32)

    # Convolution
    conv1 = (1, 1, 227, 227), (1, 11, 11, 1, 55, 55), ((11, 11), (4, 4), (0, 0), (1, 1))
    conv3 = (1, 4, 13, 13), (4, 3, 3, 1, 13, 13), ((3, 3), (1, 1), (1, 1), (1, 1))
    for title, (image, columns, window) in (
        ("conv1, 11 x 11, stride 4, one channel", conv1),
        ("conv3, 3 x 3, four channels", conv3),
    ):
        yield "im2col", title, (normal(*image), zeros(*columns), *window)
        yield "col2im", title, (normal(*columns), zeros(*image), *window)
        filters = normal(8, image[1], *window[0])
        arguments = normal(*image), filters, None, zeros(1, 8, *columns[4:]), *window[1:], 1
        yield "conv2d", f"{title}, eight filters", arguments
    title, (image, _, (_, *steps)) = "conv3, 3 x 3, four channels, 64 filters", conv3
    x, w, y = normal(*image), normal(64, 4, 3, 3), normal(1, 64, 13, 13)
    yield "conv2d_input_grad", title, (y, w, zeros(*x.shape), *steps, 1)
    yield "conv2d_weight_grad", title, (x, y, zeros(*w.shape), *steps, 1)
    for layer, size in (("conv1", 55), ("conv3", 13)):
        title = f"{layer}, two images, eight filters"
        product, y = normal(8, 2, size, size), normal(2, 8, size, size)
        yield "from_columns", title, (product, normal(8), zeros(*y.shape))
        norm, maps = (5, 1e-4, 0.75, 2.0, 1), [zeros(*y.shape) for _ in range(3)]
        yield "from_columns_lrn", title, (product, normal(8), *maps, *norm)
        gradients = zeros(*product.shape), zeros(8)
        yield "to_columns_lrn", title, (y, np.maximum(y, 0), y, y**2 + 2, *gradients, *norm)
        yield "to_columns", title, (y, zeros(*product.shape), np.maximum(y, 0), zeros(8))

    # Pooling
    title, pool = "3 x 3, stride 2, after conv1, four channels", ((3, 3), (2, 2), (0, 0))
    x, y, dy = normal(1, 4, 55, 55), zeros(1, 4, 27, 27), normal(1, 4, 27, 27)
    winners, divisor = np.zeros(y.shape, np.uint8), np.full(y.shape[2:], 9, np.float32)
    yield "max_pool", title, (x, y, winners.copy(), *pool, (1, 1))
    cpu.max_pool(x, y, winners, *pool, (1, 1))
    yield "max_pool_backward", title, (dy, winners, zeros(*x.shape), *pool, (1, 1))
    yield "avg_pool", title, (x, y, divisor, *pool)
    yield "avg_pool_backward", title, (dy, divisor, zeros(*x.shape), *pool)

    # Normalization
    title = "5 of 96 channels, after pooling"
    x, dy, y = normal(1, 96, 27, 27), normal(1, 96, 27, 27), zeros(1, 96, 27, 27)
    yield "lrn", title, (x, y, zeros(*x.shape), 5, 1e-4, 0.75, 2.0, 1)
    yield "lrn_backward", title, (dy, x, y, y + 2, zeros(*x.shape), 5, 1e-4, 0.75, 1)
    title = "5 x 5 windows, 32 x 32 pixels of CIFAR"
    x, dy, y = normal(1, 8, 32, 32), normal(1, 8, 32, 32), zeros(1, 8, 32, 32)
    yield "spatial_norm", title, (x, y, zeros(*x.shape), 5, 1e-4, 0.75, 1.0)
    yield "spatial_norm_backward", title, (dy, x, y, y + 1, zeros(*x.shape), 5, 1e-4, 0.75)

    # Activation and dropout
    x, dy = normal(1, 64, 27, 27), normal(1, 64, 27, 27)
    yield "relu", "after conv2, 64 channels", (x, zeros(*x.shape))
    yield "relu_backward", "after conv2, 64 channels", (dy, np.maximum(x, 0), zeros(*x.shape))
    x, mask = normal(8, 4096), random.random((8, 4096)) < 0.5
    draw = 0.5, 2.0, (1, 2), np.zeros(1, np.uint64), 0, 0
    yield "dropout", "fc6, eight images", (x, mask.copy(), zeros(*x.shape), *draw)
    yield "scale_kept", "fc6, eight images", (x, mask, zeros(*x.shape), 2.0)

    # Fully connected layers
    x, dy, bias = normal(8, 4096), normal(8, 4096), normal(4096)
    yield "bias_relu_dropout", "fc6, eight images", (x.copy(), bias, *draw)
    yield "bias_relu", "fc6, eight images", (x, bias, True)
    outputs = zeros(8, 4096), zeros(4096)
    yield "bias_relu_backward", "fc6, eight images", (dy, np.maximum(x, 0), *outputs)

    # Loss
    title, x, loss = "1000 classes, eight images", normal(8, 1000), zeros(8)
    p, labels = np.full(x.shape, 1e-3, np.float32), np.arange(8) * 111
    weight = np.ones(1000, np.float32)
    yield "cross_entropy", title, (x, labels, weight, p, loss, loss.copy(), -100)
    upstream, total = np.array(1, np.float32), np.array(8, np.float32)
    gradient = upstream, p, labels, loss + 1, zeros(*x.shape), total
    yield "cross_entropy_backward", title, gradient

    # Optimizer and augmentation
    title = "65536 weights and 256 biases"

    def lists(count: int) -> list[list[np.ndarray]]:
        return [[normal(256, 256), normal(256)] for _ in range(count)]

    options = np.array([(0.01, 0.9, 0.0005, 0), (0.02, 0.9, 0, 0)], np.float32)
    yield "sgd_update", title, (*lists(3), options)
    yield "find_not_finite", title, (*lists(1), np.array([65536, 0, 0, 0], np.float32))
    yield "update_loss_scale", "one step", (np.array([65536, 0, 0, 0], np.float32), 2.0, 0.5, 2000)
    weights, means, squares, grads = lists(4)
    options = np.array([(1e-3, 0.1, 1e-3, 1e-8, 0, 0, 0.1, 1e-3)] * 2, np.float32)
    yield "adam_update", title, (weights, means, [s**2 for s in squares], grads, options)
    images, mean = random.integers(0, 256, (1, 1, 256, 256), np.uint8), normal(1, 256, 256)
    for title, mirror in (("227 x 227 crop, one channel", 0), ("mirrored, 227 x 227 crop", 1)):
        crop = np.array([[14, 9, mirror]], np.int32)
        yield "augment", title, (images, mean, zeros(1, 1, 227, 227), crop, normal(1, 1), 1.0)


@dataclass(frozen=True)
class MeasuredLaunch:
    """A launch of a kernel, and its memory traffic."""

    title: str
    kernel: str
    blocks: int
    arguments: tuple[Any, ...]
    uses: list[MemoryUse]

    @property
    def short_title(self) -> str:
        return self.title.partition(",")[0]


def measure(name: str, title: str, arguments: tuple[Any, ...]) -> MeasuredLaunch:
    """Call the primitive `name` on the emulator, which counts its memory accesses."""
    counter = _CountingEngine()
    with engine(counter):
        getattr(cuda, name)(*arguments)
    kernel = counter.kernel
    return MeasuredLaunch(
        title, kernel.name, counter.blocks, counter.arguments, kernel.memory_report()
    )


class _CountingEngine:
    """Replaces CuPy in `kernels.cuda.launching`: builds only the kernel called."""

    kernel: Kernel
    blocks: int
    arguments: tuple[Any, ...]

    def __call__(self, code: str, file: str, names: tuple[str, ...]) -> "_CountingEngine":
        self._code, self._file = code, file
        return self

    def get_function(self, name: str) -> Callable[..., None]:
        names = [name] if "<" in name else []
        self.kernel = Module(self._code, self._file, names, stats=True).get_function(name)
        return self._run

    def _run(
        self, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]
    ) -> None:
        self.blocks, self.arguments = grid[0], arguments
        self.kernel(grid, block, arguments)
