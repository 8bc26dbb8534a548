"""From addresses of machine code back to lines of the source: where an error is, and what memory traffic each line makes."""

import ctypes
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SECTOR, ROW = 32, 128
"""Bytes: what global memory is read and written in; what 32 banks of shared memory of 4 bytes give at once."""


@dataclass(frozen=True)
class MemoryUse:
    """What the loads, or the stores, of one source line do to one kind of memory.

    line      "pooling.cu:31"
    space     "global" or "shared"
    access    "load" or "store"
    requests  how often a warp did it
    cost      a request: sectors of 32 bytes touched ("global"), or times that the banks were gone through ("shared")
    ideal     the least `cost` that so many bytes can have. More than that: uncoalesced accesses, or bank conflicts.
    """

    line: str
    space: str
    access: str
    requests: int
    cost: float
    ideal: float


def source_lines(library: Path, loaded: ctypes.CDLL, addresses: Sequence[int]) -> list[str]:
    """The line of each address in a checked library, such as pooling.cu:31. Empty without binutils' addr2line (it comes with g++)."""
    if not addresses or not shutil.which("addr2line"):
        return []
    loaded.load_address.restype = ctypes.c_void_p
    base = loaded.load_address()
    # Less 1: a return address is that of the instruction after the call.
    command = ["addr2line", "-e", str(library), *(hex(address - base - 1) for address in addresses)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [Path(line.partition(" (")[0]).name for line in output.splitlines()]


def memory_sites(loaded: ctypes.CDLL) -> str:
    """What the last launch of a library built with `stats` did, a line for each instruction."""
    loaded.memory_sites.restype = ctypes.c_char_p
    return loaded.memory_sites().decode()


def memory_report(library: Path, loaded: ctypes.CDLL, text: str) -> list[MemoryUse]:
    """What `memory_sites` gave, by source line."""
    sites = [[int(word) for word in line.split()] for line in text.splitlines()]
    lines = source_lines(library, loaded, [site[0] for site in sites]) or [
        f"at {site[0]:#x}" for site in sites
    ]
    # One line can be many instructions, of an unrolled loop for one.
    totals: dict[tuple[str, bool, bool], list[int]] = defaultdict(lambda: [0, 0, 0])
    for line, (_, shared, write, requests, size, sectors, passes) in zip(lines, sites, strict=True):
        total = totals[line, bool(shared), bool(write)]
        total[0] += requests
        total[1] += size
        total[2] += passes if shared else sectors
    return [
        MemoryUse(
            line,
            "shared" if shared else "global",
            "store" if write else "load",
            requests,
            cost / requests,
            max(1.0, size / requests / (ROW if shared else SECTOR)),
        )
        for (line, shared, write), (requests, size, cost) in sorted(totals.items(), key=_by_line)
    ]


def _by_line(item: tuple[tuple[str, bool, bool], list[int]]) -> tuple[str, int, bool, bool]:
    (line, shared, write), _ = item
    file, _, number = line.rpartition(":")
    return file, int(number) if number.isdigit() else 0, shared, write
