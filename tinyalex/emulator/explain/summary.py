"""A launch's memory traffic in a few sentences."""

from tinyalex.emulator.explain.launches import MeasuredLaunch
from tinyalex.emulator.kernels.memory_reports import SECTOR_BYTES, TOLERANCE, MemoryUse

CONTIGUOUS = 1.5
"""Accesses up to this multiple of the ideal cost are called almost contiguous."""


def summary(launch: MeasuredLaunch) -> str:
    """The worst access, the total traffic, and bank conflicts."""
    uses = [use for use in launch.uses if use.space == "global"]
    shared = [use for use in launch.uses if use.space == "shared"]
    worst = max(uses, key=lambda use: (use.cost - use.ideal) * use.requests)
    most = max(uses, key=lambda use: use.cost * use.requests)
    requests = sum(use.requests for use in uses)
    moved = sum(use.requests * use.cost for use in uses)
    # A line costs less than its ideal if threads share an element.
    ideal = sum(use.requests * min(use.cost, use.ideal) for use in uses)
    at_best = f" (ideal {_kilobytes(ideal)})" if moved > TOLERANCE * ideal else ""
    sentences = [
        f"{launch.short_title}: {_coalescing(worst)}",
        f"In all, {requests:,} requests move {_kilobytes(moved)}{at_best}, "
        f"{most.cost * most.requests / moved:.0%} of it by {_site(most)}.",
    ]
    if shared:
        sentences.append(_conflicts(max(shared, key=lambda use: use.cost / use.ideal)))
    return " ".join(sentences)


def _kilobytes(sectors: float) -> str:
    return f"{sectors * SECTOR_BYTES / 1000:,.0f} kB"


def _site(use: MemoryUse) -> str:
    return f"the {use.access}s at line {use.line.rpartition(':')[2]}"


def _coalescing(use: MemoryUse) -> str:
    if use.is_ideal:
        return "all global accesses are coalesced: they touch no more sectors than needed."
    counts = f"{_site(use)} touch {use.cost:.1f} sectors per warp (ideal {use.ideal:.1f})"
    if use.cost <= CONTIGUOUS * use.ideal:
        return (
            f"{counts}: almost contiguous, but the range starts within a sector, wraps at the end "
            "of a row, or some threads are inactive."
        )
    unused = f"{counts}, and {1 - use.ideal / use.cost:.0%} of the bytes in those sectors are"
    if use.access == "load":
        return f"{unused} not used: wasted, unless they stay in the cache for another request."
    return f"{unused} not written: slow, unless the cache combines them with other requests."


def _conflicts(use: MemoryUse) -> str:
    if use.is_ideal:
        return (
            "Shared memory has no bank conflicts: the threads of a warp access different banks, "
            "or the same word."
        )
    return (
        f"Shared memory has bank conflicts: {_site(use)} take {use.cost:.1f} passes "
        f"(ideal {use.ideal:.1f})."
    )
