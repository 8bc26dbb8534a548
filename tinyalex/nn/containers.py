"""Modules that compute nothing: ModuleList and Identity."""

from collections.abc import Iterable, Iterator
from typing import Any, Self

from tinyalex.nn.module import Module
from tinyalex.tensor import Tensor, wrap


class ModuleList(Module):
    """A list of Modules, with the methods of a Module.

    An attribute that is a plain list of Modules is registered too.

    >>> import tinyalex as ta
    >>> heads = ModuleList(ta.nn.Linear(4, k) for k in (2, 3))
    >>> heads[1], len(heads), [name for name, _ in heads.named_parameters()]
    (Linear(4, 3), 2, ['0.weight', '0.bias', '1.weight', '1.bias'])
    """

    def __init__(self, modules: Iterable[Any] = ()) -> None:
        self.extend(modules)

    def append(self, module: Any) -> Self:
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Any]) -> Self:
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Any) -> None:
        modules = list(self)
        modules.insert(index, module)
        for i, each in enumerate(modules):
            self.add_module(str(i), each)

    def __setitem__(self, index: int, module: Any) -> None:
        self.add_module(str(range(len(self))[index]), module)

    def __len__(self) -> int:
        return len(list(self.children()))

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __getitem__(self, index: Any) -> Any:
        """A Module; for a slice, a ModuleList."""
        found = list(self.children())[index]
        return ModuleList(found) if isinstance(found, list) else found


class Identity(Module):
    """Returns its input. Replaces a layer, whose arguments it accepts and ignores."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        pass

    def forward(self, x: Any) -> Tensor:
        return wrap(x)
