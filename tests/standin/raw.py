"""cupy.RawModule and RawKernel, compiled and run by tinyalex.emulator."""

import os
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from standin.api import Strict
from standin.arrays import ndarray, unwrap
from standin.state import count, launches

STANDARD = re.compile(r"-{1,2}std=c\+\+\d\d")
"""The one option that the emulator, which has its own, can do without."""


class RawModule(Strict):
    """Source and its kernels. TINYALEX_CHECKED=1 checks every memory access."""

    _known_as = "cupy.RawModule"

    def __init__(
        self,
        *,
        code: str | None = None,
        path: str | None = None,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        name_expressions: Sequence[str] | None = None,
        jitify: bool | None = None,
    ) -> None:
        if (code is None) == (path is None):
            raise TypeError("Exactly one of `code` and `path` keyword arguments must be given.")
        if not isinstance(options, tuple):
            raise TypeError(f"RawModule: options must be a tuple, got {type(options).__name__}.")
        if not isinstance(name_expressions, (tuple, list, type(None))):
            raise TypeError(
                f"RawModule: name_expressions must be a tuple or a list, got {type(name_expressions).__name__}."
            )
        if (
            path is not None
            or backend != "nvrtc"
            or translate_cucomplex
            or enable_cooperative_groups
            or jitify
        ):
            raise NotImplementedError(
                "RawModule: the stand-in takes code, options and name_expressions only."
            )
        if others := [option for option in options if not STANDARD.fullmatch(option)]:
            raise NotImplementedError(
                f"RawModule: of all options the stand-in knows --std=c++17 only, got {' '.join(others)}."
            )
        self.code = code
        self.options = options
        self.backend = backend
        self.name_expressions = name_expressions

    @cached_property
    def _module(self) -> Any:
        from tinyalex.emulator import Module

        said = re.match(r'\s*#line 1 "(.*)"', self.code)
        file = said[1] if said else "<RawModule>"
        checked = os.environ.get("TINYALEX_CHECKED") == "1"
        return Module(
            self.code, file, tuple(self.name_expressions or ()), check=checked, unwrap=_numpy_array
        )

    def compile(self, log_stream: Any = None) -> None:
        self._module  # noqa: B018, looking at it compiles

    def get_function(self, name: str) -> "RawKernel":
        return RawKernel._of(self, name)


class RawKernel(Strict):
    """One kernel, called as `kernel(grid, block, arguments)`."""

    _known_as = "cupy.RawKernel"

    def __init__(
        self,
        code: str,
        name: str,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        **kwargs: Any,
    ) -> None:
        self._make(RawModule(code=code, options=options, backend=backend, **kwargs), name)

    @classmethod
    def _of(cls, module: RawModule, name: str) -> "RawKernel":
        kernel = cls.__new__(cls)
        kernel._make(module, name)
        kernel.compile()
        return kernel

    def _make(self, module: RawModule, name: str) -> None:
        self.name = name
        self.code, self.options, self.backend = module.code, module.options, module.backend
        self._of_module = module

    @cached_property
    def _kernel(self) -> Any:
        return self._of_module._module.get_function(self.name)

    def compile(self, log_stream: Any = None) -> None:
        self._kernel  # noqa: B018, looking at it compiles

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self._kernel.max_dynamic_shared_size_bytes

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        self._kernel.max_dynamic_shared_size_bytes = size

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: Sequence[Any],
        *,
        shared_mem: int = 0,
        stream: Any = None,
        enable_cooperative_groups: bool = False,
    ) -> None:
        if enable_cooperative_groups:
            raise NotImplementedError("RawKernel: the stand-in has no cooperative groups.")
        self._kernel(grid, block, args, shared_mem=shared_mem)
        count("launch")
        launches.append(self.name)


def _numpy_array(x: object) -> np.ndarray | None:
    return unwrap(x) if isinstance(x, ndarray) else None
