"""Which operation of a network has a wrong backward pass.

A wrong gradient of a network can be caused by any of its operations. Each one in the
graph is run again alone, with the inputs that it had in the network, and its gradient
is checked. If all are right, an array that one of them stored may have been changed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.function import Function
from tinyalex.gradient_check import contract
from tinyalex.gradient_check.numerical import NumericalGradient
from tinyalex.gradient_check.report import Row
from tinyalex.gradient_check.signature import input_names
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
        self.output: Tensor | None = None

    def finish(self, output: Tensor) -> None:
        self.output = output
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

    def alone(self, numerical: NumericalGradient) -> NumericalGradient:
        """The numerical gradient of this operation, with copies of its inputs."""
        assert self.output is not None
        assert self.output.creator is not None
        arguments, leaves = list(self.inputs), {}
        needed = self.output.creator.needs_input_grad
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
    operations, changes = _recorded(numerical)
    if len(operations) < 2:
        return []
    names = _names(operations, numerical.leaves)
    wrong, unchecked, lines = [], [], []
    for operation, name in zip(operations, names, strict=True):
        try:
            alone = operation.alone(numerical)
            if problems := contract.in_place_changes(alone):
                changes = [*(f"{name}: {problem}" for problem in problems), *changes]
                continue  # its gradient cannot be checked
            rows = [row for row in check(alone) if row.wrong]
        except Exception:  # a forward pass that needs the rest of the network
            unchecked.append(name)
            continue
        if rows:
            wrong.append(name)
        lines += [f"{name}, {row.name}: {row.hint.text}" for row in rows if row.hint]
    return [*_summary(len(operations), wrong, unchecked, bool(changes)), *lines, *changes]


def _summary(count: int, wrong: list[str], unchecked: list[str], changed: bool) -> list[str]:
    text = f"Each of the {count} operations was checked alone, with the inputs that it has here."
    others = count - len(wrong) - len(unchecked)
    sentences = [text]
    if wrong:
        verb = "has a wrong backward pass" if len(wrong) == 1 else "have wrong backward passes"
        right = f"; the other {others} {'is' if others == 1 else 'are'} right" if others else ""
        sentences.append(f"{' and '.join(wrong)} {verb}{right if not changed else ''}.")
    if changed:
        sentences.append("Arrays are changed in place, which other operations may have stored.")
    elif not wrong and not unchecked:
        sentences.append(
            "All are right. Is the graph cut by .detach(), .data or .numpy()? Do two operations "
            "share an attribute?"
        )
    if unchecked:
        sentences.append(f"{' and '.join(unchecked)} could not be run alone.")
    return [" ".join(sentences)]


def _recorded(numerical: NumericalGradient) -> tuple[list[Operation], list[str]]:
    """The operations in their order, and sentences on arrays that were changed."""
    with _recording() as (operations, changes):
        y = numerical.call()
        changes += _changes(operations, "code between the operations")
    if y.requires_grad:
        y.backward(device.to(numerical.cotangent.copy(), y.device))
        changes += _changes(operations, "the backward pass")
    return operations, changes


@contextmanager
def _recording() -> Iterator[tuple[list[Operation], list[str]]]:
    """A context that records each call of Function.apply that enters the graph."""
    operations: list[Operation] = []
    changes: list[str] = []
    original = Function.__dict__["apply"]

    def apply(cls: type[Function], *inputs: Any, **options: Any) -> Any:
        changes.extend(_changes(operations, "code between the operations"))
        operation = Operation(cls, inputs, options)
        output = original.__func__(cls, *inputs, **options)
        name = f"the forward pass of {cls.__name__} (operation {len(operations) + 1})"
        changes.extend(_changes(operations, name))
        operation.changes()  # of its own inputs, which contract.in_place_changes reports
        if isinstance(output, Tensor) and output.creator is not None:
            operation.finish(output)
            operations.append(operation)
        return output

    Function.apply = classmethod(apply)  # type: ignore[method-assign, assignment]
    try:
        yield operations, changes
    finally:
        Function.apply = original  # type: ignore[method-assign]


def _changes(operations: list[Operation], cause: str) -> list[str]:
    return [
        f"{name[0].upper()}{name[1:]} of {operation.function.__name__} (operation {i}) is changed "
        f"in place by {cause}."
        for i, operation in enumerate(operations, 1)
        for name in operation.changes()
    ]


def _names(operations: list[Operation], leaves: dict[str, Tensor]) -> list[str]:
    """Such as "Linear (operation 5 of 7, with parameter 3.weight)"."""
    parameters = {id(t): name for name, t in leaves.items() if name.startswith("parameter ")}
    names = []
    for i, operation in enumerate(operations, 1):
        used = [parameters[id(x)] for x in operation.inputs if id(x) in parameters][:1]
        place = ", with ".join([f"operation {i} of {len(operations)}", *used])
        names.append(f"{operation.function.__name__} ({place})")
    return names
