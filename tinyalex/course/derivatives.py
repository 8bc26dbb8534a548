"""`loss.backward()` by the answer to exercise 2."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinyalex.course.expected import WrongShapeError, expect
from tinyalex.function import Function, Source
from tinyalex.graph_tensor import GraphTensor
from tinyalex.tensor import Tensor


class Derivative:
    """The derivative of a Function's output with respect to one of its inputs.

    Exercise 2 multiplies it by the gradient of the output: for arrays, that product is
    what the Function's `backward` returns for this input.
    """

    __array_ufunc__ = None  # array * Derivative calls __rmul__, not once per element

    def __init__(self, function: Function, index: int, shape: tuple[int, ...]) -> None:
        self.function, self.index, self.shape = function, index, shape

    def __mul__(self, grad: Any) -> Any:
        shares = self.function.backward(np.asarray(grad))
        share = shares[self.index] if isinstance(shares, (tuple, list)) else shares
        if np.shape(share) != self.shape:
            name = type(self.function).__name__
            raise WrongShapeError(
                f"{name}.backward: gradient {self.index} has shape {np.shape(share)}, expected "
                f"{self.shape}."
            )
        return share

    __rmul__ = __mul__


def backward(node_class: Any, answer: Callable[..., Any]) -> Callable[[Tensor], None]:
    """The Nodes of exercise 2 have the edges of the loss's graph."""

    def run(loss: Tensor) -> None:
        nodes: dict[Any, Any] = {}
        leaves: list[tuple[GraphTensor, Any]] = []

        def node_of(source: Source) -> Any:
            if source not in nodes:
                function = source if isinstance(source, Function) else None
                inputs = function.inputs if function else None
                used = [(i, x) for i, x in enumerate(inputs or ()) if x is not None]
                derivatives = [
                    Derivative(function, i, x.result_form.shape) for i, x in used if function
                ]
                nodes[source] = node_class([node_of(x) for _, x in used], derivatives)
                if isinstance(source, GraphTensor):
                    leaves.append((source, nodes[source]))
            return nodes[source]

        answer(node_of(loss.creator or loss))
        for leaf, node in leaves:
            leaf.accumulate_grad(expect(leaf.data.shape, node.grad, "backward", 2))

    return run
