"""The loops over tiles of each layer's passes: how they are divided among workers, and
the time of each worker's share."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from layer_passes import LayerPasses

from tinyalex import device
from tinyalex.device import tiles
from tinyalex.nn.module import Module


class Share(NamedTuple):
    """The tiles of one worker in a loop."""

    length: int
    """Elements along the axis that is divided: images, rows or weights."""
    pieces: int
    seconds: float
    cpu_seconds: float
    """Of its thread. The rest of `seconds`, the thread waited."""
    thread: int


@dataclass
class Loop:
    """A call of `device.for_tiles`."""

    is_small: bool
    """Whether a single thread is faster, by the code's own threshold."""
    shares: list[Share] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Of the calling thread."""
    caller: int = field(default_factory=threading.get_ident)

    def overhead(self) -> float:
        """CPU seconds of the calling thread besides its share: it starts the workers,
        and adds their partial sums."""
        own = sum(share.cpu_seconds for share in self.shares if share.thread == self.caller)
        return self.cpu_seconds - own


@dataclass
class Pass:
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Of the calling thread, with its shares of the loops."""
    loops: list[Loop] = field(default_factory=list)

    def serial_seconds(self) -> float:
        """Outside of loops, where one thread computes."""
        return self.seconds - sum(loop.seconds for loop in self.loops)

    def serial_cpu_seconds(self) -> float:
        return self.cpu_seconds - sum(loop.cpu_seconds for loop in self.loops)


class LoopTimes(LayerPasses):
    """A context that records the loops over tiles of each pass.

    passes  {(layer, FORWARD or BACKWARD): Pass}, in order of execution

    Besides what `LayerPasses` replaces, `device.for_tiles` and the function that runs a
    worker's share are replaced for the whole process. A loop within a tile runs in the
    tile's thread, and is part of the tile.
    """

    def __init__(self, model: Module) -> None:
        super().__init__(model)
        self.passes: dict[tuple[str, int], Pass] = {}
        self.current: Pass | None = None
        self.thread = threading.local()

    def __enter__(self) -> Any:
        self.for_tiles, self.run_share = device.for_tiles, tiles.run_share
        device.for_tiles, tiles.run_share = self._for_tiles, self._run_share  # type: ignore[assignment]
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        device.for_tiles, tiles.run_share = self.for_tiles, self.run_share

    def observe(self, layer: str, which: int, compute: Callable[[], Any]) -> Any:
        outer, here = self.current, self.passes.setdefault((layer, which), Pass())
        self.current = here
        began, cpu_began = time.perf_counter(), time.thread_time()
        result = compute()
        here.seconds += time.perf_counter() - began
        here.cpu_seconds += time.thread_time() - cpu_began
        self.current = outer
        return result

    def _for_tiles(self, *arguments: Any, **options: Any) -> Any:
        if self.current is None or getattr(self.thread, "in_share", False):
            return self.for_tiles(*arguments, **options)
        loop = Loop(options.get("single_threaded", False))
        self.current.loops.append(loop)
        began, cpu_began = time.perf_counter(), time.thread_time()
        result = self.for_tiles(*arguments, **options)
        loop.seconds = time.perf_counter() - began
        loop.cpu_seconds = time.thread_time() - cpu_began
        return result

    def _run_share(self, share: list[tuple[int, int]], body: tiles.Body) -> Any:
        self.thread.in_share = True
        began, cpu_began = time.perf_counter(), time.thread_time()
        try:
            result = self.run_share(share, body)
        finally:
            self.thread.in_share = False
        seconds, cpu_seconds = time.perf_counter() - began, time.thread_time() - cpu_began
        if self.current is not None:
            length, thread = sum(hi - lo for lo, hi in share), threading.get_ident()
            self.current.loops[-1].shares.append(
                Share(length, len(share), seconds, cpu_seconds, thread)
            )
        return result
