"""The emulator in the place of CuPy, for the kernels of tinyalex."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

from tinyalex.emulator.launching import Kernel
from tinyalex.emulator.module import Module


class _Engine:
    """What `kernels.cuda.launching.engine` is given: compiles a file, and remembers the kernels that were asked for."""

    def __init__(self, order: int, check: bool, stats: bool):
        self.order, self.check, self.stats = order, check, stats
        self.kernels: dict[str, Kernel] = {}

    def __call__(self, code: str, file: str, names: tuple[str, ...]) -> "_Ordered":
        return _Ordered(self, Module(code, file, names, check=self.check, stats=self.stats))


class _Ordered:
    """A module whose kernels run in the engine's order."""

    def __init__(self, engine: _Engine, module: Module):
        self._engine, self._module = engine, module

    def get_function(self, name: str) -> Callable[..., Any]:
        kernel = self._engine.kernels[name] = self._module.get_function(name)
        return partial(kernel, order=self._engine.order)


# One of each kind: `kernels.launch` keeps compiled kernels by the engine that they came from.
_engine = cache(_Engine)


@contextmanager
def running(
    *, order: int = 0, check: bool = False, stats: bool = False
) -> Iterator[dict[str, Kernel]]:
    """Within it, the primitives of `tinyalex.kernels.cuda` take NumPy arrays and run on the CPU.

    order, check and stats are those of `Kernel` and `Module`. Gives the kernels used so far by name, for their memory reports:

        with running(stats=True) as kernels:
            cuda.relu(x, y)
        kernels["relu<float>"].memory_report()
    """
    from tinyalex.kernels.cuda import launching

    engine = _engine(order, check, stats)
    with launching.engine(engine):
        yield engine.kernels
