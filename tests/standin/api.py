"""What CuPy has, by cupy_api.json, and the errors for what it does not have."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

API: dict[str, Any] = json.loads(
    Path(__file__).with_name("cupy_api.json").read_text(encoding="utf-8")
)
VERSION: str = API["version"]


def missing(owner: str, name: str) -> Exception:
    """The error for a missing name: NotImplementedError if CuPy has it."""
    if name in API[owner]:
        return NotImplementedError(f"{owner}.{name}: CuPy {VERSION} has it, the stand-in does not.")
    return AttributeError(f"{owner} of CuPy {VERSION} has no attribute {name!r}")


class Strict:
    """A class of CuPy: errors for missing attributes say whether CuPy has them."""

    __slots__ = ()
    _known_as: str
    """Its section of cupy_api.json."""

    def __getattr__(self, name: str) -> Any:
        raise missing(self._known_as, name)


@cache
def binder(name: str, signature: str | None) -> Callable[..., None]:
    """A function with the signature of CuPy's `name`; TypeError otherwise."""
    if signature is None:
        return lambda *args, **kwargs: None
    scope: dict[str, Any] = {}
    exec(f"def {name}{signature}: pass", scope)
    return scope[name]
