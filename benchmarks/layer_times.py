"""The time of each layer in a step of tinyalex."""

import time
from collections.abc import Callable
from typing import Any

from layer_passes import LayerPasses

from tinyalex.nn.module import Module


class LayerTimes(LayerPasses):
    """A context that times the forward and backward pass of each Function, by layer.

    seconds  {layer: [forward, backward]}, in order of execution

    `wait` synchronises with an asynchronous device before the clock is read.
    """

    def __init__(self, model: Module, wait: Callable[[], None] = lambda: None) -> None:
        super().__init__(model)
        self.wait = wait
        self.seconds: dict[str, list[float]] = {}

    def reach(self, layer: str) -> None:
        self.seconds.setdefault(layer, [0.0, 0.0])

    def observe(self, layer: str, which: int, compute: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = compute()
        self.wait()
        self.seconds.setdefault(layer, [0.0, 0.0])[which] += time.perf_counter() - began
        return result


def synchronizer(device: str) -> Callable[[], None]:
    """A function that synchronises with the device; on the CPU it does nothing."""
    if device == "cpu":
        return lambda: None
    import cupy

    number = int(device.partition(":")[2] or 0)
    return lambda: cupy.cuda.Device(number).synchronize()
