"""Names of a function and of its inputs, for reports."""

import inspect
from typing import Any


def owner(f: Any) -> type | None:
    """The class whose `apply` (or other class method) `f` is."""
    found = getattr(f, "__self__", None)
    return found if isinstance(found, type) else None


def function_name(f: Any) -> str:
    return getattr(owner(f) or f, "__name__", type(f).__name__)


def input_names(f: Any, count: int) -> list[str]:
    """Names of the inputs, from the signature of forward: "input x"; else "input 0"."""
    try:
        forward = getattr(getattr(f, "__self__", f), "forward", f)
        parameters = list(inspect.signature(forward).parameters.values())
    except (TypeError, ValueError):  # some built-in callables have no signature
        parameters = []
    names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"]
    return [f"input {names[i] if len(names) >= count else i}" for i in range(count)]
