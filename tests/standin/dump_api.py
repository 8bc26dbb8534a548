"""List the names and signatures of the installed CuPy. Needs no GPU.

`python dump_api.py > cupy_api.json`. Repeat it when tinyalex moves to another CuPy.
"""

import inspect
import json
import re
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

MODULES = [
    "cupy",
    "cupy.cuda",
    "cupy.cuda.runtime",
    "cupy.linalg",
    "cupy.random",
    "cupy._core",
    "cupy._core._routines_linalg",
]
CLASSES = [
    "cupy.ndarray",
    "cupy.ufunc",
    "cupy.RawKernel",
    "cupy.RawModule",
    "cupy.cuda.Device",
    "cupy.cuda.Event",
    "cupy.cuda.Memory",
    "cupy.cuda.MemoryPointer",
    "cupy.cuda.MemoryPool",
    "cupy.cuda.PinnedMemoryPool",
    "cupy.cuda.Stream",
    "cupy._core.flags.Flags",
]


def api() -> dict[str, Any]:
    """{"version": ..., "cupy": {"sum": {"kind": "function", ...}, ...}, ...}."""
    cupy = import_module("cupy")
    names: dict[str, Any] = {"version": cupy.__version__}
    for module in MODULES:
        names[module] = entries(import_module(module), cupy)
    for path in CLASSES:
        owner, _, name = path.rpartition(".")
        names[path] = entries(
            getattr(import_module(owner), name), cupy, operators=path == "cupy.ndarray"
        )
    return names


def entries(owner: Any, cupy: ModuleType, *, operators: bool = False) -> dict[str, Any]:
    """What `owner` has by its public names, and by those of its operators too."""
    wanted = [
        name
        for name in dir(owner)
        if not name.startswith("_") or (operators and name.startswith("__"))
    ]
    wanted = [name for name in wanted if type(getattr(owner, name)).__module__ != "__future__"]
    return {
        name: entry(getattr(owner, name), cupy)
        for name in wanted
        if name not in ("__doc__", "__pyx_vtable__", "__slots__")
    }


def entry(value: Any, cupy: ModuleType) -> dict[str, Any]:
    if isinstance(value, cupy.ufunc):
        return {
            "kind": "ufunc",
            "nin": value.nin,
            "nout": value.nout,
            "at": value._scatter_op is not None,
        }
    if isinstance(value, ModuleType):
        return {"kind": "module"}
    if isinstance(value, type):
        return {"kind": "type", "numpy": value.__module__.startswith("numpy") or value is bool}
    if not callable(value):
        return {"kind": "value"}
    found: dict[str, Any] = {"kind": "function", "signature": signature(value)}
    if "synchronize the device" in (value.__doc__ or ""):
        found["waits"] = True
    return found


def signature(function: Any) -> str | None:
    """The parameters as Python text with defaults of 0; None if CuPy hides them."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return embedded_signature(function.__doc__ or "")
    plain = [
        p.replace(annotation=p.empty, default=p.empty if p.default is p.empty else 0)
        for p in parameters
    ]
    return str(inspect.Signature(plain))


def embedded_signature(doc: str) -> str | None:
    """A signature from a docstring of Cython: `(self, axis=0, kind=0)`."""
    line = re.match(r"[\w.]+\((.*)\)( -> .*)?$", doc.split("\n")[0])
    if line is None:
        return None
    parameters = []
    for parameter in line[1].split(", ") if line[1] else []:
        declared, _, default = parameter.partition("=")
        parameters.append(declared.split()[-1] + ("=0" if default else ""))
    return f"({', '.join(parameters)})"


def text(names: dict[str, Any]) -> str:
    """JSON with one name per line, so that changes of CuPy show in a diff."""
    sections = []
    for section, found in names.items():
        if isinstance(found, dict):
            lines = ",\n".join(
                f"    {json.dumps(name)}: {json.dumps(found[name])}" for name in sorted(found)
            )
            sections.append(f"  {json.dumps(section)}: {{\n{lines}\n  }}")
        else:
            sections.append(f"  {json.dumps(section)}: {json.dumps(found)}")
    return "{\n" + ",\n".join(sections) + "\n}\n"


if __name__ == "__main__":
    sys.stdout.write(text(api()))
