"""Names and texts of CUDA's errors, which CuPy's exceptions contain."""

import ctypes

from tinyalex.emulator.cuda.api import last_message

NAMES = {
    1: ("cudaErrorInvalidValue", "CUDA_ERROR_INVALID_VALUE"),
    2: ("cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY"),
    100: ("cudaErrorNoDevice", "CUDA_ERROR_NO_DEVICE"),
    101: ("cudaErrorInvalidDevice", "CUDA_ERROR_INVALID_DEVICE"),
    200: ("cudaErrorInvalidKernelImage", "CUDA_ERROR_INVALID_IMAGE"),
    400: ("cudaErrorInvalidResourceHandle", "CUDA_ERROR_INVALID_HANDLE"),
    401: ("cudaErrorIllegalState", "CUDA_ERROR_ILLEGAL_STATE"),
    500: ("cudaErrorSymbolNotFound", "CUDA_ERROR_NOT_FOUND"),
    600: ("cudaErrorNotReady", "CUDA_ERROR_NOT_READY"),
    700: ("cudaErrorIllegalAddress", "CUDA_ERROR_ILLEGAL_ADDRESS"),
    701: ("cudaErrorLaunchOutOfResources", "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"),
    704: ("cudaErrorPeerAccessAlreadyEnabled", "CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED"),
    705: ("cudaErrorPeerAccessNotEnabled", "CUDA_ERROR_PEER_ACCESS_NOT_ENABLED"),
    719: ("cudaErrorLaunchFailure", "CUDA_ERROR_LAUNCH_FAILED"),
    801: ("cudaErrorNotSupported", "CUDA_ERROR_NOT_SUPPORTED"),
    900: ("cudaErrorStreamCaptureUnsupported", "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"),
    905: ("cudaErrorStreamCaptureIsolation", "CUDA_ERROR_STREAM_CAPTURE_ISOLATION"),
    906: ("cudaErrorStreamCaptureImplicit", "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT"),
}
"""By status: the names in the runtime and in the driver."""

_texts: dict[bytes, ctypes.Array[ctypes.c_char]] = {}


def c_string(text: str) -> int:
    """The address of a C string that stays valid."""
    encoded = text.encode()
    return ctypes.addressof(_texts.setdefault(encoded, ctypes.create_string_buffer(encoded)))


def driver_name(status: int) -> int:
    return c_string(NAMES.get(status, ("", f"CUDA_ERROR {status}"))[1])


def message() -> int:
    """The text of the last error of this thread: its cause, not only its kind."""
    return c_string(last_message() or "no details")


@ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_int)
def error_name(status: int) -> int:
    """cudaGetErrorName."""
    return c_string(NAMES.get(status, (f"cudaError {status}", ""))[0])


@ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_int)
def error_string(status: int) -> int:
    """cudaGetErrorString, and the like of other libraries."""
    return message()
