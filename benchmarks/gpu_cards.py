"""Ceilings of graphics cards, as their manufacturer states them, for gpu_model.py.

Peaks are those of dense matrices; data sheets also give twice as much, for sparse ones.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

LAUNCH_SECONDS = 20e-6
"""The host's time for a call of CuPy that launches a kernel: the CPU time of an
addition of 100 x 100 elements in the comparison of https://github.com/cupy/cupy/pull/8457
(CuPy 13 with Cython 3). It depends on the host, not on the card."""


@dataclass(frozen=True)
class Card:
    """bandwidth  bytes/s of the memory
    l2            bytes of the L2 cache
    flops         FLOP/s of matrix multiplications, by precision. Half precision
                  accumulates in float32. None: the card does not have it
    source        of all numbers; of L2, the whitepaper of the architecture (Hopper,
                  Ampere, Turing, Ada)
    """

    name: str
    bandwidth: float
    l2: float
    flops: dict[str, float | None]
    source: str

    def parts(self, work: Any, precision: str) -> tuple[float, float]:
        """The seconds of a launch's bytes and of its operations."""
        is_single = precision == "half" and work.dtype != "float16"
        peak = self.flops["float32" if is_single else precision]
        return work.bytes / self.bandwidth, work.flop / (peak or 1)

    def seconds(self, works: Iterable[Any], precision: str) -> float:
        """Of launches one after another, each bound by its bytes or its operations."""
        return sum(max(self.parts(work, precision)) for work in works)


def _peaks(float32: float, tf32: float | None, half: float) -> dict[str, float | None]:
    """From TFLOP/s."""
    return {"float32": 1e12 * float32, "tf32": tf32 and 1e12 * tf32, "half": 1e12 * half}


CARDS = {
    "h100": Card(
        "NVIDIA H100 SXM5, 80 GB",
        3350e9,
        50e6,
        _peaks(66.9, 494.7, 989.4),
        "NVIDIA H100 Tensor Core GPU Architecture, whitepaper, and H100 data sheet (bandwidth); "
        "read at https://glennklockwood.com/garden/processors/h100",
    ),
    "a100": Card(
        "NVIDIA A100 SXM4, 80 GB",
        2039e9,
        40e6,
        _peaks(19.5, 156, 312),
        "NVIDIA A100 data sheet, https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/"
        "a100/pdf/nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf; "
        "read at https://glennklockwood.com/garden/processors/A100",
    ),
    "t4": Card(
        "NVIDIA T4",
        320e9,
        4e6,
        _peaks(8.1, None, 65),
        "NVIDIA T4 data sheet; read at https://sysrqmts.com/en/gpus/nvidia/tesla/t4",
    ),
    "rtx4090": Card(
        "NVIDIA GeForce RTX 4090",
        1008e9,
        72e6,
        _peaks(82.6, 82.6, 165.2),
        "NVIDIA Ada GPU Architecture, whitepaper, appendix A; "
        "read at https://waredb.com/processor/nvidia-geforce-rtx-4090",
    ),
}
