"""Updates of parameters, the loss scale and augmentation."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.kernels.examples.example import Example, Random, empty, with_long


def training(random: Random, dtype: np.dtype) -> Iterator[Example]:
    wide = device.sum_dtype(dtype)

    def lists(count: int, *shapes: tuple[int, ...]) -> list[list[np.ndarray]]:
        """`count` lists of arrays of these shapes."""
        return [
            [random.standard_normal(shape).astype(dtype) for shape in shapes] for _ in range(count)
        ]

    sizes: dict[str, list[tuple[int, ...]]] = {
        "one array": [(7, 41)],
        "four arrays": [(7, 41), (300,), (0, 3), ()],
        "33 arrays": [*[(2,)] * 32, (9,)],
        "many weights": [(66000,)],
    }
    for label, shapes in sizes.items():
        # lr, momentum, decay, nesterov
        rows = [(0.01, 0.9, 0.0005, 0), (0.02, 0.9, 0.0, 0), (0.3, 0.5, 0.1, 1), (0.3, 0.5, 0, 1)]
        options = np.array([rows[i % 5 % 4] for i in range(len(shapes))], wide)
        yield Example("sgd_update", label, (*lists(3, *shapes), options), (0, 1))
    for label, scaling in (("scaled", [16.0, 0.0]), ("skipped", [16.0, 1.0])):
        options = np.array([(0.01, 0.9, 0.0005, 0), (0.02, 0.9, 0, 1)], wide)
        arguments = *lists(3, (7, 41), (300,)), options, np.array(scaling, wide)
        yield Example("sgd_update", label, arguments, (0, 1))
    yield from loss_scale(lists)
    weights, means, squares, grads = lists(4, (7, 41), (300,))
    # lr, a1, a2, eps, l2, decay, c1, c2: decay in the gradient, then decoupled
    rates = [(0.01, 0.1, 0.05, 1e-8, *decays, 0.3, 0.1) for decays in ((0.1, 0.0), (0.0, 0.5))]
    arrays = weights, means, [s * s for s in squares], grads
    yield Example("adam_update", "two arrays", (*arrays, np.array(rates, wide)), (0, 1, 2))

    def augment(label: str, *arguments: Any) -> Example:
        return Example("augment", label, arguments, (2,))

    def images(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        pixels = random.integers(0, 256, shape).astype(np.uint8)
        return pixels, random.uniform(0, 255, shape[1:]).astype(dtype)

    for label, (shape, *_) in with_long({}, dtype).items():
        if label != "many channels":
            x, mean = images(shape)
            mirrored = np.tile(np.array([[0, 0, 1]], np.int32), (shape[0], 1))
            yield augment(label, x, mean, empty(shape, dtype), mirrored, None, 1.0)
    shape = 5, 3, 9, 8
    x, mean = images(shape)
    moves = np.array([[-2, 1, 0], [3, -4, 1], [0, 0, 1], [9, 0, 0], [1, 2, 1]], np.int32)
    colour = random.standard_normal((5, 3)).astype(dtype)
    out, small = empty(shape, dtype), empty((5, 3, 6, 5), dtype)
    floats, mean_colour = x.astype(np.float32), mean[:, :1, :1].copy()
    yield augment("bytes", x, mean, out, moves, None, 1.0)
    yield augment("smaller crops, colour noise", x, mean, small, moves, colour, 0.5)
    yield augment("floats, mean colour", floats, mean_colour, out, moves, colour, 0.25)


def loss_scale(lists: Callable[..., list[list[np.ndarray]]]) -> Iterator[Example]:
    def state(scale: float, found: float, steps: float) -> np.ndarray:
        return np.array([scale, found, steps, 7], np.float32)

    for label, value in (("finite", 60000.0), ("infinite", -np.inf), ("not a number", np.nan)):
        for position in (0, -1):
            (grads,) = lists(1, *[(7, 41)] * 33)
            grads[position].ravel()[position] = value
            where = "the first" if position == 0 else "the last"
            yield Example("find_not_finite", f"{label}, {where}", (grads, state(2, 0, 3)), (1,))
    (grads,) = lists(1, (7, 41), (300,))
    grads[1][::2] = np.nan
    yield Example("find_not_finite", "several", (grads, state(2, 0, 3)), (1,))
    states = {
        "found": state(1024, 1, 5),
        "not found": state(1024, 0, 5),
        "the last step of an interval": state(1024, 0, 9),
        "found in the last step": state(1024, 1, 9),
        "the largest factor": state(3e38, 0, 9),
    }
    for label, before in states.items():
        yield Example("update_loss_scale", label, (before, 2.0, 0.5, 10), (0,))
