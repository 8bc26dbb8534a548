"""cupy.cuda: devices, streams and events. Everything is done immediately."""

import time
from typing import Any

from standin.api import Strict
from standin.memory import DEVICE_BYTES, DEVICES, accounts
from standin.state import thread, wait

CUDA_VERSION = 13020


class CUDARuntimeError(RuntimeError):
    """What CUDA itself refuses."""


def current_stream() -> "Stream":
    return thread.streams.get(thread.device, Stream.null)


class Device(Strict):
    """A device by its number; the current one without."""

    _known_as = "cupy.cuda.Device"

    def __init__(self, device: "int | Device | None" = None) -> None:
        self.id = thread.device if device is None else int(device)
        if not 0 <= self.id < DEVICES:
            raise CUDARuntimeError(
                f"cudaErrorInvalidDevice: invalid device ordinal {self.id}, there are {DEVICES}"
            )

    def use(self) -> None:
        thread.device = self.id

    def __enter__(self) -> "Device":
        thread.entered.append(thread.device)
        self.use()
        return self

    def __exit__(self, *error: object) -> None:
        thread.device = thread.entered.pop()

    def synchronize(self) -> None:
        wait("Device.synchronize()")

    @property
    def compute_capability(self) -> str:
        return "90"

    @property
    def attributes(self) -> dict[str, int]:
        return {
            "ComputeCapabilityMajor": 9,
            "ComputeCapabilityMinor": 0,
            "MaxSharedMemoryPerBlock": 48 << 10,
            "MaxThreadsPerBlock": 1024,
            "MultiProcessorCount": 132,
            "WarpSize": 32,
        }

    @property
    def mem_info(self) -> tuple[int, int]:
        """(free, total) bytes: free is what the memory pool has not taken."""
        return DEVICE_BYTES - accounts[self.id].total, DEVICE_BYTES

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return self.id

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"


class Stream(Strict):
    """A stream: all of them are in step, because everything is done at once."""

    _known_as = "cupy.cuda.Stream"
    null: "Stream"

    def __init__(
        self,
        null: bool = False,
        non_blocking: bool = False,
        ptds: bool = False,
        priority: int | None = None,
    ) -> None:
        self.ptr = 0 if null else id(self)
        self.device_id = -1 if null else thread.device
        self.is_non_blocking = non_blocking
        self.done = True

    def use(self) -> "Stream":
        if self.device_id not in (-1, thread.device):
            raise RuntimeError(
                f"A stream of device {self.device_id} was used while device {thread.device} is the current one."
            )
        thread.streams[thread.device] = self
        return self

    def __enter__(self) -> "Stream":
        thread.entered.append((thread.device, current_stream()))
        return self.use()

    def __exit__(self, *error: object) -> None:
        device, stream = thread.entered.pop()
        thread.streams[device] = stream

    def synchronize(self) -> None:
        wait("Stream.synchronize()")

    def record(self, event: "Event | None" = None) -> "Event":
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: "Event") -> None:
        """The stream waits, not the host."""

    def __repr__(self) -> str:
        return f"<Stream {self.ptr} (device {self.device_id})>"


Stream.null = Stream(null=True)


class Event(Strict):
    """A moment in a stream, by the host's clock."""

    _known_as = "cupy.cuda.Event"

    def __init__(
        self, block: bool = False, disable_timing: bool = False, interprocess: bool = False
    ) -> None:
        self._timed = not disable_timing
        self._recorded_at: float | None = None
        self.done = True

    def record(self, stream: Stream | None = None) -> None:
        self._recorded_at = time.perf_counter()

    def synchronize(self) -> None:
        wait("Event.synchronize()")


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    """Milliseconds between two events."""
    for event in (start_event, end_event):
        if not event._timed or event._recorded_at is None:
            raise CUDARuntimeError(
                "cudaErrorInvalidResourceHandle: an event without timing, or that was not recorded"
            )
    return (end_event._recorded_at - start_event._recorded_at) * 1e3


def set_device(device: int) -> None:
    Device(device).use()


def device_properties(device: int) -> dict[str, Any]:
    """What cudaGetDeviceProperties would say."""
    Device(device)
    return {
        "name": b"tinyalex's stand-in",
        "totalGlobalMem": DEVICE_BYTES,
        "major": 9,
        "minor": 0,
        "multiProcessorCount": 132,
        "warpSize": 32,
        "maxThreadsPerBlock": 1024,
        "sharedMemPerBlock": 48 << 10,
    }
