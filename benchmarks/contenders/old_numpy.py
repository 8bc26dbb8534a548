"""Base classes of the Chainer and DeZero adapters: lists of layers, on the CPU."""

from __future__ import annotations

from typing import Any


class Steps:
    """A network whose layers are called one after the other."""

    steps: list[Any]

    def forward(self, x: Any) -> Any:
        for step in self.steps:
            x = step(x)
        return x


class CpuOnly:
    """A contender on the CPU: synchronous, its memory is that of the process."""

    def __init__(self, network: dict[str, Any], args: Any) -> None:
        if args.device != "cpu":
            raise ValueError(
                f"{args.framework} needs an old CuPy on a GPU: measure it with --device cpu."
            )
        self.model = self.build(network["layers"])

    def build(self, layers: list[dict[str, Any]]) -> Any:
        raise TypeError(
            f"{type(self).__name__} has no build(layers). Write one that returns the network."
        )

    def wait(self) -> None:
        pass

    def peak_memory(self) -> None:
        return None
