"""The time of each layer in a step of tinyalex, without changes of the library."""

import time
from collections.abc import Callable
from typing import Any

from tinyalex.function import Function, GraphTensor
from tinyalex.nn.module import Module

FORWARD, BACKWARD = 0, 1


class LayerTimes:
    """A context that times the forward and backward pass of each Function, by layer.

    seconds  {name as in `model.named_modules()`: [forward, backward]}, in order of
    execution

    A Function belongs to the layer whose parameters it reads, otherwise to the layer
    that is being called, otherwise to "loss". A fused Function (convolution and ReLU,
    ReLU and max pooling) counts for the convolution or the pooling. `wait` synchronises
    with an asynchronous device before the clock is read.

    Inside the context, `Function.apply` and `Module.__call__` are replaced for the
    whole process: use one at a time.
    """

    def __init__(self, model: Module, wait: Callable[[], None] = lambda: None) -> None:
        self.wait = wait
        self.seconds: dict[str, list[float]] = {}
        self.names: dict[Module, str] = {}
        self.owners: dict[int, str] = {}
        self.called: list[str] = []
        for name, module in model.named_modules():
            if not any(module.named_children()):
                self.names[module] = name
                self.owners |= {id(p): name for p in module.parameters()}

    def __enter__(self) -> "LayerTimes":
        self.before: tuple[Any, Any] = Function.__dict__["apply"], Module.__dict__["__call__"]
        Function.apply = self._apply()  # type: ignore[method-assign]
        Module.__call__ = self._call()  # type: ignore[method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        Function.apply, Module.__call__ = self.before  # type: ignore[method-assign]

    def _call(self) -> Callable:
        _, original = self.before

        def call(module: Module, *inputs: Any, **options: Any) -> Any:
            name = self.names.get(module)
            if name is None:
                return original(module, *inputs, **options)
            self.called.append(name)
            self.seconds.setdefault(name, [0.0, 0.0])
            try:
                return original(module, *inputs, **options)
            finally:
                self.called.pop()

        return call

    def _apply(self) -> Any:
        original = self.before[0].__func__

        def apply(cls: type[Function], *inputs: Any, **options: Any) -> Any:
            name = next((self.owners[id(x)] for x in inputs if id(x) in self.owners), None)
            if name is None:
                name = self.called[-1] if self.called else "loss"
            began = time.perf_counter()
            output = original(cls, *inputs, **options)
            self._add(name, FORWARD, began)
            node = output.creator if isinstance(output, GraphTensor) else None
            if type(node) is cls:
                # An attribute of the node: freed with the graph.
                node.backward = self._timed(node.backward, name)  # type: ignore[method-assign]
            return output

        return classmethod(apply)

    def _timed(self, backward: Callable, name: str) -> Callable:
        def timed(grad_output: Any) -> Any:
            began = time.perf_counter()
            grads = backward(grad_output)
            self._add(name, BACKWARD, began)
            return grads

        return timed

    def _add(self, name: str, which: int, began: float) -> None:
        self.wait()
        self.seconds.setdefault(name, [0.0, 0.0])[which] += time.perf_counter() - began


def synchronizer(device: str) -> Callable[[], None]:
    """A function that synchronises with the device; on the CPU it does nothing."""
    if device == "cpu":
        return lambda: None
    import cupy

    number = int(device.partition(":")[2] or 0)
    return lambda: cupy.cuda.Device(number).synchronize()
