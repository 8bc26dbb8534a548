"""Times of GPU work by CUDA events; none on an emulated GPU."""

from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any

from layer_passes import LayerPasses

from tinyalex import emulator
from tinyalex.nn.module import Module

WARM_UP = 3
"""Calls before the first that is timed."""

MAX_STEPS = 50


def times(work: Callable[[], Any], count: int) -> list[float] | None:
    """Seconds of each of `count` calls, one after another without a wait between them.

    Events are recorded in the default stream, which is also PyTorch's. None on an
    emulated GPU, whose times say nothing.
    """
    import cupy

    events = [cupy.cuda.Event() for _ in range(count + 1)]
    events[0].record()
    for event in events[1:]:
        work()
        event.record()
    events[-1].synchronize()
    return seconds_between(events)


def seconds_between(events: list[Any]) -> list[float] | None:
    """Between each event and the next, all of which have happened."""
    import cupy

    if emulator.is_installed():
        return None
    return [cupy.cuda.get_elapsed_time(a, b) / 1e3 for a, b in pairwise(events)]


def warm_up(work: Callable[[], Any], seconds: float) -> int:
    """Call `work`, and return how many calls take about `seconds`."""
    for _ in range(WARM_UP):
        work()
    found = times(work, 1)
    return 1 if found is None else max(3, min(MAX_STEPS, round(seconds / found[0])))


def spread(values: list[float] | None) -> dict[str, float] | None:
    """Median, shortest and longest."""
    if values is None:
        return None
    return {"median": median(values), "shortest": min(values), "longest": max(values)}


class LayerEvents(LayerPasses):
    """A context that records events around the passes of each layer.

    `seconds()` waits, and returns {layer: [forward, backward]} in order of execution;
    None on an emulated GPU. The host does not wait between passes: the time of a pass
    whose work is shorter than its launches is that of the launches.
    """

    def __init__(self, model: Module) -> None:
        super().__init__(model)
        self.passes: list[tuple[str, int, Any, Any]] = []

    def observe(self, layer: str, which: int, compute: Callable[[], Any]) -> Any:
        import cupy

        began, ended = cupy.cuda.Event(), cupy.cuda.Event()
        began.record()
        result = compute()
        ended.record()
        self.passes.append((layer, which, began, ended))
        return result

    def seconds(self) -> dict[str, list[float]] | None:
        found: dict[str, list[float]] = {}
        for layer, which, began, ended in self.passes:
            ended.synchronize()
            taken = seconds_between([began, ended])
            if taken is None:
                return None
            found.setdefault(layer, [0.0, 0.0])[which] += taken[0]
        return found
