"""Ctrl+C while CuPy calls the emulator: an exception cannot pass through C."""

import _thread
import signal
import threading
from types import FrameType

from tinyalex.emulator.cuda import api

RETRY_SECONDS = 0.005


def defer() -> None:
    """Let an interrupt wait until the emulator has returned to the program.

    If the program handles SIGINT itself, nothing changes.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    while frame:
        if frame.f_code.co_filename == api.__file__:
            retry = threading.Timer(RETRY_SECONDS, _thread.interrupt_main)
            retry.daemon = True
            retry.start()
            return
        frame = frame.f_back
    raise KeyboardInterrupt
