"""The device to compute on: names, the default, and settings of a GPU."""

import numpy as np

from tinyalex.device.arrays import canonical, gpu_index, gpu_library, on
from tinyalex.device.availability import why_no_cuda


def check(name: str) -> str:
    """The canonical name of a device. "auto" is the first GPU if usable, else the CPU.

    Raises ValueError for an unknown name, RuntimeError with the reason if the GPU is
    not usable.
    """
    if name == "auto":
        return "cuda" if cuda_is_available() else "cpu"
    found = canonical(name)
    if found == "cpu":
        return "cpu"
    if reason := why_no_cuda():
        raise RuntimeError(
            f"device {name!r}: {reason}\nUse 'cpu' or 'auto'; `tinyalex doctor` shows the details."
        )
    if gpu_index(found) >= gpu_count():
        gpus = f"{gpu_count()} GPU{'s' * (gpu_count() > 1)}"
        raise ValueError(f"device {name!r}: this machine has {gpus}, counted from 'cuda:0'.")
    return found


def gpu_count() -> int:
    """The number of GPUs; 0 if none is usable."""
    return 0 if why_no_cuda() else gpu_library().cuda.runtime.getDeviceCount()


def hardware_id(name: str) -> str:
    """The PCI bus id of a GPU, the same in all processes of a machine."""
    return gpu_library().cuda.Device(gpu_index(check(name))).pci_bus_id


def default() -> str:
    """The device of new tensors from Python numbers or NumPy arrays; at first "cpu"."""
    return _default[0]


def set_default(name: str) -> None:
    """Set the device of new tensors, which includes the parameters of new modules."""
    _default[0] = check(name)


_default = ["cpu"]


def cuda_is_available() -> bool:
    """Whether a GPU is usable."""
    return why_no_cuda() is None


def allow_tf32(allow: bool = True) -> None:
    """Let float32 matrix multiplications use TF32: tensor cores, a 10-bit mantissa.

    Off by default, as in CuPy and PyTorch. Raises RuntimeError without a GPU that has
    TF32 (sm_80).
    """
    check("cuda")
    capability = gpu_library().cuda.Device().compute_capability
    if int(capability) < 80:
        raise RuntimeError(
            f"allow_tf32: expected a GPU of compute capability 80 or more, got {capability}, "
            "which has no TF32. Leave it out."
        )
    # CuPy's only public switch is an environment variable, read at import.
    from cupy._core import _routines_linalg as linalg

    mode = linalg.COMPUTE_TYPE_TF32 if allow else linalg.COMPUTE_TYPE_DEFAULT
    linalg.set_compute_type(np.dtype(np.float32), mode)


def memory(name: str = "cuda") -> dict[str, int]:
    """A GPU's memory in bytes: `total`, `free`; of CuPy's pool: `used`, `holds`."""
    cupy = gpu_library()
    with on(check(name)):
        free, total = cupy.cuda.Device().mem_info
        pool = cupy.get_default_memory_pool()
        return {
            "total": total, "free": free, "used": pool.used_bytes(), "holds": pool.total_bytes()
        }  # fmt: skip
