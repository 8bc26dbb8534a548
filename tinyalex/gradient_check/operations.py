"""Which operation of a network has a wrong backward pass.

A wrong gradient of a network can be caused by any of its operations. Each one in the
graph is run again in isolation, with the inputs that it had in the network, and its
gradient is checked. If all are right, an array that one of them stored may have been
changed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function, observer
from tinyalex.gradient_check import contract
from tinyalex.gradient_check.numerical import NumericalGradient
from tinyalex.gradient_check.report import Row
from tinyalex.gradient_check.signature import input_names
from tinyalex.graph_tensor import GraphTensor
from tinyalex.tensor import Tensor


class Operation:
    """One call of Function.apply, with copies of its arrays before and after it."""

    def __init__(self, function: type[Function], inputs: tuple[Any, ...], options: dict[str, Any]):
        self.function, self.inputs, self.options = function, inputs, options
        names = input_names(function.apply, len(inputs))
        self.arrays: dict[str, Array] = {}
        for name, x in zip(names, inputs, strict=True):
            array = x.data if isinstance(x, Tensor) else x
            if device.is_array(array) and array.dtype.kind == "f":
                self.arrays[name] = array
        self.copies = {name: device.to_numpy(a).copy() for name, a in self.arrays.items()}
        self.before = dict(self.copies)
        self.names = names
        self.node: Function | None = None

    def finish(self, output: Tensor) -> None:
        self.node = output.creator
        self.arrays["the output"] = output.data
        self.copies["the output"] = device.to_numpy(output.data).copy()

    def changes(self) -> list[str]:
        """The names of arrays that have changed since this was last asked."""
        changed = []
        for name, array in self.arrays.items():
            now = device.to_numpy(array)
            if not np.array_equal(now, self.copies[name], equal_nan=True):
                changed.append(name)
                self.copies[name] = now.copy()
        return changed

    def isolated(self, numerical: NumericalGradient) -> NumericalGradient:
        """The numerical gradient of this operation, with copies of its inputs."""
        assert self.node is not None
        arguments, leaves = list(self.inputs), {}
        needed = self.node.needs_input_grad
        for i, name in enumerate(self.names):
            if name in self.before:
                array = device.to(self.before[name].copy(), device.of(self.arrays[name]))
                arguments[i] = Tensor(array, requires_grad=needed[i])
                if needed[i]:
                    leaves[name] = arguments[i]

        def f(*inputs: Any) -> Tensor:
            return self.function.apply(*inputs, **self.options)

        return NumericalGradient(f, arguments, leaves, numerical.h, numerical.rtol, numerical.seed)


Check = Callable[[NumericalGradient], list[Row]]
"""The rows of a report, with hints for wrong gradients."""


def find_wrong_operations(numerical: NumericalGradient, check: Check) -> list[str]:
    """Sentences on the operations with a wrong backward pass.

    Empty if the function consists of a single operation.
    """
    operations, others, changes = _recorded(numerical)
    count = len(operations) + len(others)
    if count < 2:
        return []
    names = _names(operations, count, numerical.leaves)
    checked, wrong, failed, lines = 0, [], [], []
    for operation, name in zip(operations, names, strict=True):
        try:
            isolated = operation.isolated(numerical)
            if problems := contract.in_place_changes(isolated):
                changes = [*(f"{name}: {problem}" for problem in problems), *changes]
                continue  # its gradient cannot be checked
            rows = [row for row in check(isolated) if row.wrong]
        except Exception:  # a forward pass that needs the rest of the network
            failed.append(name)
            continue
        checked += 1
        if rows:
            wrong.append(name)
        lines += [f"{name}, {row.name}: {row.hint.text}" for row in rows if row.hint]
    sentences = _summary(checked, count, wrong, bool(changes))
    if failed:
        sentences.append(f"{_listed(failed)} could not be run in isolation.")
    if others:
        sentences.append(
            f"{_listed(others)} {'was' if len(others) == 1 else 'were'} run in another thread, or "
            "before the function was called."
        )
    return [" ".join(sentences), *lines, *changes]


def is_single(numerical: NumericalGradient) -> bool:
    """Whether the function consists of at most one operation."""
    return len(_nodes(numerical.call())) < 2


def _summary(checked: int, count: int, wrong: list[str], changed: bool) -> list[str]:
    which = f"{checked} of {count} operations {'was' if checked == 1 else 'were'}"
    if checked == count:
        which = f"Each of the {count} operations was"
    sentences = [f"{which} checked in isolation, on the inputs from this forward pass."]
    if wrong:
        verb = "has a wrong backward pass" if len(wrong) == 1 else "have wrong backward passes"
        others = checked - len(wrong)
        right = f"; the other {others} {'is' if others == 1 else 'are'} right" if others else ""
        sentences.append(f"{_listed(wrong)} {verb}{right if not changed else ''}.")
    if changed:
        sentences.append("Arrays are changed in place, which other operations may have stored.")
    elif not wrong and checked == count:
        sentences.append(
            "All are right. Is the graph cut by .detach(), .data or .numpy()? Do two operations "
            "share an attribute?"
        )
    return sentences


def _listed(names: list[str]) -> str:
    return " and ".join(names)


def _recorded(numerical: NumericalGradient) -> tuple[list[Operation], list[str], list[str]]:
    """(operations in their order, names of others in the graph, changes of arrays)."""
    with _recording() as (operations, changes):
        y = numerical.call()
        changes += _changes(operations, "code between the operations")
    recorded = {operation.node for operation in operations}
    others = [type(node).__name__ for node in _nodes(y) if node not in recorded]
    if y.requires_grad:
        y.backward(device.to(numerical.cotangent.copy(), y.device))
        changes += _changes(operations, "the backward pass")
    return operations, others, changes


def _nodes(y: GraphTensor) -> list[Function]:
    """All operations in the graph of `y`."""
    found: dict[Function, None] = {}
    to_visit: list[Any] = [y.creator]
    while to_visit:
        node = to_visit.pop()
        if isinstance(node, Function) and node not in found:
            found[node] = None
            to_visit += node.inputs or ()
    return list(found)


@contextmanager
def _recording() -> Iterator[tuple[list[Operation], list[str]]]:
    """A context that records each call of Function.apply that enters the graph."""
    operations: list[Operation] = []
    changes: list[str] = []

    def start(
        function: type[Function], inputs: tuple[Any, ...], options: dict[str, Any]
    ) -> Callable[[Any], None]:
        changes.extend(_changes(operations, "code between the operations"))
        operation = Operation(function, inputs, options)

        def finish(output: Any) -> None:
            name = f"the forward pass of {function.__name__} (operation {len(operations) + 1})"
            changes.extend(_changes(operations, name))
            operation.changes()  # of its own inputs, which contract.in_place_changes reports
            if output.creator is not None:
                operation.finish(output)
                operations.append(operation)

        return finish

    before, observer.start = observer.start, start
    try:
        yield operations, changes
    finally:
        observer.start = before


def _changes(operations: list[Operation], cause: str) -> list[str]:
    return [
        f"{name[0].upper()}{name[1:]} of {operation.function.__name__} (operation {i}) is changed "
        f"in place by {cause}."
        for i, operation in enumerate(operations, 1)
        for name in operation.changes()
    ]


def _names(operations: list[Operation], count: int, leaves: dict[str, Tensor]) -> list[str]:
    """Such as "Linear (operation 5 of 7, with parameter 3.weight)"."""
    parameters = {id(t): name for name, t in leaves.items() if name.startswith("parameter ")}
    names = []
    for i, operation in enumerate(operations, 1):
        used = [parameters[id(x)] for x in operation.inputs if id(x) in parameters][:1]
        label = ", with ".join([f"operation {i} of {count}", *used])
        names.append(f"{operation.function.__name__} ({label})")
    return names
