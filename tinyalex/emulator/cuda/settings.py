"""What is emulated: read from environment variables, which subprocesses inherit."""

import os
from dataclasses import asdict, dataclass, fields
from typing import Any

from tinyalex.emulator.kernels.limits import CAPABILITIES

PREFIX = "TINYALEX_EMULATOR_"


@dataclass(frozen=True)
class Settings:
    """Each is read from a variable such as TINYALEX_EMULATOR_DEVICES.

    devices     number of GPUs
    memory_gib  memory of each GPU in GiB; beyond it, OutOfMemoryError
    capability  compute capability, which sets the limits of a launch
    order       of blocks and threads: 0 forward, 1 reverse, other values seed a shuffle
    lazy        do nothing before the host waits for it: reveals missing waits
    pool        False: no memory pool in CuPy, so that an access beyond an array is one
                beyond its allocation, which is detected
    check       build kernels other than CuPy's own with checks of every memory access;
                implies pool=False
    """

    devices: int = 2
    memory_gib: float = 8.0
    capability: str = "9.0"
    order: int = 0
    lazy: bool = False
    pool: bool = True
    check: bool = False

    def __post_init__(self) -> None:
        is_memory = 0 < self.memory_gib < 2**30
        if self.devices < 0 or not is_memory or not 0 <= self.order < 2**32:
            raise ValueError(
                "the emulator's settings: expected devices >= 0, 0 < memory_gib < 2**30 and "
                f"0 <= order < 2**32, got {self}."
            )
        if self.capability not in CAPABILITIES:
            raise ValueError(
                f"the emulator's capability: expected one of {', '.join(CAPABILITIES)}, got "
                f"{self.capability!r}."
            )

    @property
    def memory_bytes(self) -> int:
        return int(self.memory_gib * 2**30)

    @property
    def has_pool(self) -> bool:
        return self.pool and not self.check

    def environment(self) -> dict[str, str]:
        """The variables that a subprocess reads these settings from."""
        values = {name: int(x) if isinstance(x, bool) else x for name, x in asdict(self).items()}
        return {PREFIX + name.upper(): str(value) for name, value in values.items()}

    @classmethod
    def from_environment(cls, **given: Any) -> "Settings":
        """The settings `given`; others from their variables, if these are set."""
        values = dict(given)
        for field in fields(cls):
            variable = PREFIX + field.name.upper()
            if field.name not in given and (text := os.environ.get(variable)):
                values[field.name] = _parsed(variable, text, type(field.default))
        return cls(**values)


def _parsed(variable: str, text: str, type_: type) -> object:
    if type_ is bool:
        if text not in ("0", "1"):
            raise ValueError(f"{variable}: expected 0 or 1, got {text!r}.")
        return text == "1"
    try:
        return type_(text)
    except ValueError:
        raise ValueError(f"{variable}: expected {type_.__name__}, got {text!r}.") from None


settings = Settings.from_environment()
