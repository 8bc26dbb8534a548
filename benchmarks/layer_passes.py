"""The layer to which each Function of a step belongs."""

from collections.abc import Callable
from typing import Any

from tinyalex.function import Function
from tinyalex.graph_tensor import GraphTensor
from tinyalex.nn.module import Module

FORWARD, BACKWARD = 0, 1


class LayerPasses:
    """A context that gives the forward and backward pass of each Function to `observe`,
    with the name of its layer as in `model.named_modules()`.

    A Function belongs to the layer whose parameters it reads, otherwise to the layer
    that is being called, otherwise to "loss". A fused Function (convolution, ReLU and
    LRN; linear, ReLU and dropout; ReLU and max pooling) counts for the convolution, the
    linear layer or the pooling.

    Inside the context, `Function.apply` and `Module.__call__` are replaced for the
    whole process: use one at a time.
    """

    def __init__(self, model: Module) -> None:
        self.names: dict[Module, str] = {}
        self.owners: dict[int, str] = {}
        self.called: list[str] = []
        for name, module in model.named_modules():
            if not any(module.named_children()):
                self.names[module] = name
                self.owners |= {id(p): name for p in module.parameters()}

    def observe(self, layer: str, which: int, compute: Callable[[], Any]) -> Any:
        """Return compute(), which is the pass `which`, FORWARD or BACKWARD."""
        raise NotImplementedError

    def reach(self, layer: str) -> None:
        """Called when a layer is called."""

    def __enter__(self) -> Any:
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
            self.reach(name)
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
            output = self.observe(name, FORWARD, lambda: original(cls, *inputs, **options))
            node = output.creator if isinstance(output, GraphTensor) else None
            if type(node) is cls:
                # An attribute of the node: freed with the graph.
                node.backward = self._observed(node.backward, name)  # type: ignore[method-assign]
            return output

        return classmethod(apply)

    def _observed(self, backward: Callable, name: str) -> Callable:
        return lambda grad_output: self.observe(name, BACKWARD, lambda: backward(grad_output))
