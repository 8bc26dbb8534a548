"""Measurements for the cost model, of one core and of messages between two processes.

calibration.py runs this file as a program, which prints JSON:

    python -m tinyalex.parallel.cost.measurements compute paper 224 128
    python -m tinyalex.parallel.cost.measurements slice
    mpirun -n 2 python -m tinyalex.parallel.cost.measurements messages
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise, starmap
from statistics import median
from typing import Any

import numpy as np

from tinyalex import device, models, nn, optim, parallel
from tinyalex import functional as F
from tinyalex.device.blas import single_threaded_blas
from tinyalex.device.tiles import MAX_TILE_BYTES
from tinyalex.nn.module import Module
from tinyalex.parallel.cost.layers import LayerShape, layer_shapes
from tinyalex.parallel.cost.traffic import ELEMENT_BYTES
from tinyalex.tensor import Tensor

ROUNDS = 5
"""Repetitions of each measurement. The result is their median."""

MEMORY_BYTES = 64 << 20
"""Of each array that measures bandwidth: more than the caches have."""

SLICE_SECONDS = 1.0
MIN_SLICE = 5e-4
"""Seconds to measure time slices, and the smallest: an interrupt is shorter."""

SMALL_OPERATIONS = 200
"""All-reduces in a row that measure latency."""


def build(variant: str, image_size: int | None) -> tuple[nn.Sequential, tuple[int, int, int]]:
    """A network by name, and the shape of its images.

    variant  one of models.VARIANTS, or "cifar-quick" or "cifar-alexnet"
    """
    if variant.startswith("cifar-"):
        if image_size not in (None, 32):
            raise ValueError(
                f"scale: {variant} has images of 32 x 32 pixels, got {image_size}. Leave out the "
                "image size."
            )
        name = variant.removeprefix("cifar-")
        return models.cifar(name, column_lrn=name == "alexnet"), (3, 32, 32)
    # The scheme columns needs column_lrn.
    options: dict[str, Any] = {"column_lrn": True} if variant == "paper" else {}
    model = models.alexnet(variant, image_size=image_size, **options)
    return model, (3, model.image_size, model.image_size)


def gemm_flops(layers: Sequence[LayerShape], images: int) -> float:
    """FLOP/s of one thread for matrices as in these layers, weighted by their work.

    Convolutions multiply filters by the columns of a tile of images.
    """
    rng = np.random.default_rng(0)
    flop = seconds = 0.0
    with single_threaded_blas():
        for layer in layers:
            if not layer.multiply_adds:
                continue
            rows, inner = layer.parameters[0][0], int(np.prod(layer.parameters[0][1:]))
            if layer.kind == "conv":
                positions = images * layer.outputs // rows
                columns = min(positions, MAX_TILE_BYTES // (ELEMENT_BYTES * inner))
                rows //= layer.groups
            else:
                columns = images
            a = rng.standard_normal((rows, inner), dtype=np.float32)
            b = rng.standard_normal((inner, columns), dtype=np.float32)
            c = np.empty((rows, columns), np.float32)
            rate = 2 * rows * inner * columns / timed(partial(np.matmul, a, b, out=c))
            flop += 2 * layer.multiply_adds
            seconds += 2 * layer.multiply_adds / rate
    return flop / seconds


def memory_bandwidth() -> float:
    """Bytes/s that c = a + b reads and writes."""
    a, b, c = (np.ones(MEMORY_BYTES // 4, np.float32) for _ in range(3))
    return 3 * MEMORY_BYTES / timed(lambda: np.add(a, b, out=c))


def timed(work: Callable[[], Any]) -> float:
    """The median of the seconds that it takes, after one call that is not timed."""
    work()
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return median(seconds)


class Step:
    """A step in two parts: the layers before the first linear one; the others."""

    def __init__(self, model: nn.Sequential, input_shape: tuple[int, ...]) -> None:
        model.train()
        children = list(model)
        split = next(i for i, child in enumerate(children) if any(map(_is_linear, child.modules())))
        self.model, self.input_shape = model, input_shape
        self.parts = model[:split], model[split:]
        self.optimizer = optim.SGD(model.parameters(), lr=1e-6, momentum=0.9, weight_decay=5e-4)
        self.rng = np.random.default_rng(0)
        self.count = 0

    def seconds(self, images: int) -> list[float]:
        """Of forward and backward of both parts, and of the update: five numbers."""
        x = self.rng.standard_normal((images, *self.input_shape), dtype=np.float32)
        labels = np.zeros(images, np.int64)
        convolutional, linear = self.parts
        device.set_step(self.count)
        self.count += 1
        self.optimizer.zero_grad()
        clock = [time.perf_counter()]
        features = convolutional(x)
        clock.append(time.perf_counter())
        leaf = Tensor(features.data, requires_grad=True)
        loss = F.cross_entropy(linear(leaf), labels)
        clock.append(time.perf_counter())
        loss.backward()
        clock.append(time.perf_counter())
        features.backward(leaf.grad)
        clock.append(time.perf_counter())
        self.optimizer.step()
        clock.append(time.perf_counter())
        forward, linear_forward, linear_backward, backward, update = starmap(
            lambda began, ended: ended - began, pairwise(clock)
        )
        return [forward, backward, linear_forward, linear_backward, update]


def _is_linear(module: Module) -> bool:
    return isinstance(module, nn.Linear)


def step_seconds(step: Step, sizes: Sequence[int]) -> dict[int, list[float]]:
    """The medians of Step.seconds for batches of these sizes, which alternate."""
    rounds: dict[int, list[list[float]]] = {size: [] for size in sizes}
    for size in sizes:
        step.seconds(size)  # allocates memory
    for _ in range(ROUNDS):
        for size in sizes:
            rounds[size].append(step.seconds(size))
    return {
        size: [median(part) for part in zip(*found, strict=True)] for size, found in rounds.items()
    }


def measure_compute(variant: str, image_size: int | None, sizes: Sequence[int]) -> dict[str, Any]:
    model, input_shape = build(variant, image_size)
    layers = layer_shapes(model, input_shape)
    return {
        "flops": gemm_flops(layers, max(sizes)),
        "memory_bandwidth": memory_bandwidth(),
        "parameters": sum(layer.size for layer in layers),
        "steps": step_seconds(Step(model, input_shape), sizes),
    }


def measure_messages() -> dict[str, float] | None:
    """Rates of the operations of a Communicator of two processes. None in the second.

    An all-gather sends half of the array while it receives the other half. So does a
    reduce-scatter, which adds what it receives. An all-reduce is one after the other.
    """
    world = parallel.connect("cpu")
    if world.size != 2:
        raise ValueError(
            f"measurements: expected 2 processes, got {world.size}. Start it with mpirun -n 2."
        )
    small, large = (np.zeros(size // ELEMENT_BYTES, np.float32) for size in (8, MEMORY_BYTES))
    halves = world.sections(large.size)

    def all_reduces() -> None:
        for _ in range(SMALL_OPERATIONS):
            world.all_reduce(small)

    latency = timed(all_reduces) / SMALL_OPERATIONS / 2
    found = {
        "latency": latency,
        "message_bandwidth": MEMORY_BYTES / 2 / timed(lambda: world.all_gather(large, halves)),
        "sum_bandwidth": MEMORY_BYTES / 2 / timed(lambda: world.reduce_scatter(large, halves)),
    }
    return found if world.rank == 0 else None


def time_slice() -> float:
    """The median of the seconds in which another process has had this core."""
    gaps = []
    ends = (last := time.perf_counter()) + SLICE_SECONDS
    while last < ends:
        now = time.perf_counter()
        if now - last > MIN_SLICE:
            gaps.append(now - last)
        last = now
    return median(gaps or [0.0])


def main(arguments: list[str]) -> None:
    found: dict[str, Any] | None
    if arguments[0] == "messages":
        found = measure_messages()
    elif arguments[0] == "slice":
        found = {"time_slice": time_slice()}
    else:
        variant, image_size, sizes = arguments[1:]
        found = measure_compute(variant, int(image_size), list(map(int, sizes.split(","))))
    if found is not None:
        print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
