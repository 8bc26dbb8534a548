"""The processor's name and instruction sets."""

import platform
from pathlib import Path


def model() -> str:
    """Such as "AMD EPYC 7B13", or the architecture if the name is unknown."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def flags() -> list[str]:
    """Its instruction sets, such as "avx2"; empty if unknown."""
    return (_cpuinfo("flags") or "").split()


def _cpuinfo(key: str) -> str | None:
    try:  # Linux only
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), None)
