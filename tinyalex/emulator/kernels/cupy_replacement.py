"""The emulator in place of CuPy, for the kernels of tinyalex."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

from tinyalex.emulator.kernels.launching import Kernel
from tinyalex.emulator.kernels.module import Module


class _Engine:
    """A `kernels.cuda.launching.Load` that collects the kernels used."""

    def __init__(self, order: int, check: bool, stats: bool):
        self.order, self.check, self.stats = order, check, stats
        self.kernels: dict[str, Kernel] = {}

    def __call__(self, code: str, file: str, names: tuple[str, ...]) -> "_EngineModule":
        return _EngineModule(self, Module(code, file, names, check=self.check, stats=self.stats))


class _EngineModule:
    """A module whose kernels run in the engine's order."""

    def __init__(self, engine: _Engine, module: Module):
        self._engine, self._module = engine, module

    def get_function(self, name: str) -> Callable[..., Any]:
        kernel = self._engine.kernels[name] = self._module.get_function(name)
        return partial(kernel, order=self._engine.order)


# One per setting: `kernels.cuda.launching` caches compiled kernels by engine.
_engine = cache(_Engine)


@contextmanager
def running(
    *, order: int = 0, check: bool = False, stats: bool = False
) -> Iterator[dict[str, Kernel]]:
    """A context in which `kernels.cuda` takes NumPy arrays and runs on the CPU.

    order, check and stats are those of `Kernel` and `Module`. Yields the kernels used
    so far by name, for their memory reports:

        with running(stats=True) as kernels:
            cuda.relu(x, y)
        kernels["relu<float>"].memory_report()
    """
    from tinyalex.kernels.cuda import launching

    engine = _engine(order, check, stats)
    with launching.engine(engine):
        yield engine.kernels
