"""The bytes that kernels request, counted by the emulator's checked build."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import recorded_step
from gpu_cards import Card
from recorded_step import Row

LEFT_OUT = ("sgd.cu", "adam.cu")
"""The update: too many elements to count, and each is requested once."""


def by_launch(network: dict[str, Any], batch: int = 1) -> list[dict[str, Any]]:
    """Of each launch of our kernels in a step, without those of the update:
    {"layer", "pass", "kernel", "bytes", "requested"}, in order by row.

    bytes      of its arrays, each once
    requested  of the sectors that warps ask for; a cache serves a part of them
    """
    requested: dict[int, int] = {}

    def launched(work: Any, source: str, file: str, name: str, *launch: Any) -> None:
        if file not in LEFT_OUT:
            requested[id(work)] = of_launch(source, file, name, *launch)

    return [
        {
            "layer": row.layer,
            "pass": row.which,
            "kernel": work.name,
            "bytes": work.bytes,
            "requested": requested[id(work)],
        }
        for row in recorded_step.record(network, batch, launched=launched)
        for work in row.work
        if id(work) in requested
    ]


def uncached_seconds(
    rows: list[Row], requests: list[dict[str, Any]], card: Card, precision: str
) -> float:
    """Of the launches of a step, if no cache served a request: the bytes of a kernel
    have the ratio of requested bytes to those of its arrays as in `requests`."""
    sums: dict[tuple[str, str, str], list[int]] = {}
    for r in requests:
        total = sums.setdefault((r["layer"], r["pass"], r["kernel"]), [0, 0])
        total[0], total[1] = total[0] + r["requested"], total[1] + r["bytes"]
    seconds = 0.0
    for row in rows:
        for work in row.work:
            requested, size = sums.get((row.layer, row.which, work.name), (1, 1))
            moved = replace(work, bytes=work.bytes * requested / size)
            seconds += card.seconds([moved], precision)
    return seconds


def of_launch(
    source: str, file: str, name: str, grid: Any, block: Any, arguments: tuple[Any, ...]
) -> int:
    """Of a launch on arrays of ones, which are as large as the arguments."""
    from tinyalex.emulator.kernels.memory_reports import SECTOR_BYTES

    kernel = _counting_kernel(source, file, name)
    ones: dict[int, np.ndarray] = {}
    kernel(
        grid,
        block,
        tuple(
            x
            if isinstance(x, np.generic)
            else ones.setdefault(x.data.ptr, np.ones(x.shape, x.dtype))
            for x in arguments
        ),
    )
    uses = [use for use in kernel.memory_report() if use.space == "global"]
    return round(sum(SECTOR_BYTES * use.requests * use.cost for use in uses))


@cache
def _counting_kernel(source: str, file: str, name: str) -> Any:
    from tinyalex.emulator import Module

    return Module(source, file, [name] if "<" in name else [], stats=True).get_function(name)
