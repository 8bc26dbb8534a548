"""Sequential: a chain of layers."""

from collections.abc import Iterator
from itertools import count
from typing import Any, Self

from tinyalex.kernels.fast_paths import switch
from tinyalex.nn.fusion import fuse
from tinyalex.nn.module import Module
from tinyalex.nn.tracing import note_stage


class Sequential(Module):
    """A chain of layers, named by their indices or by the keys of a dict.

    With fast paths on, some adjacent layers are computed in one pass (nn/fusion.py).

    >>> import tinyalex as ta
    >>> net = Sequential(ta.nn.Linear(4, 8), ta.nn.ReLU(), ta.nn.Linear(8, 2))
    >>> net[0], len(net), [name for name, _ in net.named_parameters()]
    (Linear(4, 8), 3, ['0.weight', '0.bias', '2.weight', '2.bias'])
    """

    def __init__(self, *layers: Any) -> None:
        if len(layers) == 1 and isinstance(layers[0], dict):
            named = layers[0]
        else:
            named = {str(i): layer for i, layer in enumerate(layers)}
        for name, layer in named.items():
            self.add_module(name, layer)

    def append(self, layer: Any) -> Self:
        """Add a last layer, named by its index, or by the next number that is free."""
        names = map(str, count(len(self)))  # the layers of a slice keep their names
        self.add_module(next(name for name in names if name not in vars(self)), layer)
        return self

    def forward(self, x: Any) -> Any:
        if not switch.enabled:
            for layer in self:
                x = layer(x)
            return x
        for stage in fuse(list(self)):
            x = stage.run(x)
            note_stage(stage.layer, stage.fused)
        return x

    def __len__(self) -> int:
        return len(dict(self.named_children()))

    def __iter__(self) -> Iterator[Module]:
        return (layer for _, layer in self.named_children())

    def __getitem__(self, index: Any) -> Any:
        """A layer; for a slice, a Sequential of layers that keep their names."""
        layers = list(self.named_children())[index]
        return Sequential(dict(layers)) if isinstance(layers, list) else layers[1]

    def __setitem__(self, index: int, layer: Any) -> None:
        """Replace a layer: `classifier[-1] = nn.Linear(4096, 10)`."""
        name, _ = list(self.named_children())[index]
        self.add_module(name, layer)
