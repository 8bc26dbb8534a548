"""A thread's modes: whether operations record a graph, and how they cast inputs."""

import inspect
import threading
from collections.abc import Callable, Sequence
from contextlib import ContextDecorator
from typing import Any, TypeVar

Casts = Callable[[Any, Sequence[Any]], Sequence[Any] | None]
"""(operation, inputs) -> the inputs in the dtype in which it computes; None: the
enclosing context decides."""

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


class _Modes(threading.local):
    """A thread's modes, as stacks: the last entry is that of the innermost context."""

    def __init__(self) -> None:
        self.stack = [True]
        """Whether operations record a graph."""
        self.casts: list[Casts] = []
        """How operations cast their inputs."""


_modes = _Modes()


class _Mode(ContextDecorator):
    """A context, or a decorator."""

    def __call__(self, function: AnyFunction) -> AnyFunction:
        if inspect.isgeneratorfunction(function):
            raise TypeError(
                f"{type(self).__name__}: a generator runs after the decorated call has returned. "
                "Use the context within its body."
            )
        return super().__call__(function)


class no_grad(_Mode):  # noqa: N801 - used like a keyword: `with no_grad():`
    """A context, or a decorator, in which operations record no graph."""

    mode = False

    def __enter__(self) -> None:
        _modes.stack.append(self.mode)

    def __exit__(self, *error: object) -> None:
        _modes.stack.pop()


class enable_grad(no_grad):  # noqa: N801 - as no_grad
    """A context, or a decorator, in which operations record a graph."""

    mode = True


class set_grad_enabled:  # noqa: N801 - as no_grad
    """Record a graph from here on, or not; as a context, until its end; as a decorator,
    within the function."""

    def __init__(self, mode: bool) -> None:
        self.mode = bool(mode)
        self.before, _modes.stack[-1] = _modes.stack[-1], self.mode

    def __call__(self, function: AnyFunction) -> AnyFunction:
        _modes.stack[-1] = self.before
        return (enable_grad if self.mode else no_grad)()(function)

    def __enter__(self) -> None:
        _modes.stack[-1] = self.mode

    def __exit__(self, *error: object) -> None:
        _modes.stack[-1] = self.before


def is_grad_enabled() -> bool:
    """Whether operations record a graph: False within `no_grad`."""
    return _modes.stack[-1]


class casting(_Mode):  # noqa: N801 - as no_grad
    """A context, or a decorator, in which operations cast their inputs: `autocast`."""

    def __init__(self, casts: Casts) -> None:
        self.casts = casts

    def __enter__(self) -> None:
        _modes.casts.append(self.casts)

    def __exit__(self, *error: object) -> None:
        _modes.casts.pop()


def cast_inputs(operation: Any, inputs: Sequence[Any]) -> Sequence[Any]:
    """The inputs in the dtype in which the operation computes.

    operation  a Function, or the name of a function in `functional`
    """
    for casts in reversed(_modes.casts):
        if (found := casts(operation, inputs)) is not None:
            return found
    return inputs
