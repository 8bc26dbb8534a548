"""Python functions as functions of a C API."""

import ctypes
import sys
import threading
import traceback
from collections.abc import Callable
from itertools import count
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

Pointer = Annotated[int, ctypes.c_size_t]
Size = Annotated[int, ctypes.c_size_t]
Handle = Annotated[int, ctypes.c_size_t]
Float = Annotated[float, ctypes.c_float]
Double = Annotated[float, ctypes.c_double]

OK = 0
INVALID_VALUE = 1
OUT_OF_MEMORY = 2
INVALID_IMAGE = 200
INVALID_HANDLE = 400
NOT_FOUND = 500
NOT_READY = 600
ILLEGAL_ADDRESS = 700
OUT_OF_RESOURCES = 701
LAUNCH_FAILED = 719
NOT_SUPPORTED = 801
UNKNOWN = 999

functions: dict[str, Any] = {}
"""The functions of all APIs by name, as ctypes callbacks."""

lock = threading.RLock()
"""One call at a time, from any thread."""


class Status(Exception):  # noqa: N818 - as in the C API
    """What a function returns instead of OK.

    The message becomes that of CuPy's exception.
    """

    def __init__(self, code: int, message: str = ""):
        super().__init__(message)
        self.code, self.message = code, message


class _Thread(threading.local):
    message = ""


_thread = _Thread()


def last_message() -> str:
    """Why the last call of this thread that failed did so; "" if nothing is known."""
    return _thread.message


def api(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """Add a function to its API. It returns a status, or raises one; None is OK.

    Parameters are 64 bits wide if annotated as Pointer, Size, Handle or Double, and 32
    if as int or Float.
    """
    functions[function.__name__] = callback(function)
    return function


def add(name: str, function: Callable[..., int | None]) -> None:
    """`api` for a function that is defined in a function."""
    function.__name__ = name
    api(function)


def callback(function: Callable[..., int | None]) -> Any:
    def call(*values: Any) -> int:
        with lock:
            try:
                code = function(*values) or OK
                if code:
                    _set_message(function.__name__, "")
                return code
            except Status as status:
                _set_message(function.__name__, status.message)
                return status.code
            except BaseException as error:
                # A bug of the emulator: nothing can be raised through C.
                traceback.print_exc()
                _thread.message = f"the emulator's {function.__name__} raised {error!r}"
                return UNKNOWN

    hints = get_type_hints(function, include_extras=True)
    hints.pop("return", None)
    types = [(get_args(hint) or (int, ctypes.c_int))[1] for hint in hints.values()]
    return ctypes.CFUNCTYPE(ctypes.c_int, *types)(call)


def _set_message(function: str, message: str) -> None:
    _thread.message = message
    if message and function.startswith(("cublas", "cufft", "curand", "cusolver", "cusparse")):
        # CuPy has its own texts for their errors.
        text = message if message.startswith(function) else f"{function}: {message}"
        print(f"tinyalex.emulator: {text}", file=sys.stderr)


def missing(name: str, status: int) -> Any:
    """A function that the emulator lacks: any arguments, and an error that names it."""

    def call() -> int:
        _set_message(name, f"{name} is not emulated")
        return status

    return ctypes.CFUNCTYPE(ctypes.c_int)(call)


def store(address: int, value: int) -> None:
    """Write an int (32 bits)."""
    ctypes.c_int.from_address(address).value = value


def store_wide(address: int, value: int) -> None:
    """Write a size, a pointer or a handle (64 bits)."""
    ctypes.c_size_t.from_address(address).value = value


# Handles

_objects: dict[int, Any] = {}
_numbers = count(0x1000, 16)

T = TypeVar("T")


def new_handle(thing: object) -> int:
    handle = next(_numbers)
    _objects[handle] = thing
    return handle


def object_of(handle: int, type_: type[T]) -> T:
    """The object behind a handle; Status INVALID_HANDLE if it is not of this type."""
    found = _objects.get(handle)
    if not isinstance(found, type_):
        raise Status(INVALID_HANDLE, f"{handle:#x} is not a {type_.__name__}")
    return found


def release_handle(handle: int, type_: type[T]) -> T:
    found = object_of(handle, type_)
    del _objects[handle]
    return found
