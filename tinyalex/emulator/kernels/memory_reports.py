"""Source lines of machine code addresses, and the memory traffic of each line."""

import ctypes
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SECTOR_BYTES = 32
"""The unit in which global memory is read and written."""

BANKS_BYTES = 128
"""The width of shared memory: 32 banks of 4 bytes."""


TOLERANCE = 1.05
"""Costs up to 5% above the ideal are called ideal."""


@dataclass(frozen=True)
class MemoryUse:
    """The loads, or the stores, of one source line in one kind of memory.

    line      "pooling.cu:31"
    space     "global" or "shared"
    access    "load" or "store"
    requests  the number of executions by a warp
    cost      per request: sectors of 32 bytes ("global"), or passes over the banks
              ("shared")
    ideal     the minimum cost for as many bytes; a higher cost means uncoalesced
              accesses or bank conflicts
    """

    line: str
    space: str
    access: str
    requests: int
    cost: float
    ideal: float

    @property
    def is_ideal(self) -> bool:
        return self.cost <= TOLERANCE * self.ideal


def source_lines(library: Path, loaded: ctypes.CDLL, addresses: Sequence[int]) -> list[str]:
    """The line of each address in a checked library, such as "pooling.cu:31".

    Empty without binutils' addr2line, which comes with g++.
    """
    if not addresses or not shutil.which("addr2line"):
        return []
    loaded.load_address.restype = ctypes.c_void_p
    base = loaded.load_address()
    # Minus 1: a return address is that of the instruction after the call.
    command = ["addr2line", "-e", str(library), *(hex(address - base - 1) for address in addresses)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [Path(line.partition(" (")[0]).name for line in output.splitlines()]


def memory_sites(loaded: ctypes.CDLL) -> str:
    """The counts of the last launch, a line per instruction; needs `stats`."""
    loaded.memory_sites.restype = ctypes.c_char_p
    return loaded.memory_sites().decode()


def memory_report(library: Path, loaded: ctypes.CDLL, text: str) -> list[MemoryUse]:
    """The text of `memory_sites`, by source line."""
    sites = [[int(word) for word in line.split()] for line in text.splitlines()]
    addresses = [site[0] for site in sites]
    lines = source_lines(library, loaded, addresses) or [f"at {a:#x}" for a in addresses]
    # A line has several instructions if, for example, its loop is unrolled.
    totals: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for line, (_, shared, write, requests, size, sectors, passes) in zip(lines, sites, strict=True):
        key = line, "shared" if shared else "global", "store" if write else "load"
        counts = requests, size, passes if shared else sectors
        totals[key] = [a + b for a, b in zip(totals[key], counts, strict=True)]
    uses = []
    for (line, space, access), (requests, size, cost) in totals.items():
        ideal = size / requests / (BANKS_BYTES if space == "shared" else SECTOR_BYTES)
        use = MemoryUse(line, space, access, requests, cost / requests, max(1.0, ideal))
        uses.append(use)
    return sorted(uses, key=_by_line)


def _by_line(use: MemoryUse) -> tuple[str, int, str, str]:
    file, _, number = use.line.rpartition(":")
    return file, int(number) if number.isdigit() else 0, use.space, use.access
