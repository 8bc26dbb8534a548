"""NVIDIA's libraries under the real CuPy, on the CPU.

CuPy's own wheel runs: its Cython, kernels, memory pool and rules. What it calls of
NVIDIA's libraries is written here in Python:

    libcudart    runtime/      devices, memory, streams, events, graphs
    libcuda      driver.py     modules, launches
    libnvrtc     compiler.py   sources are translated and compiled by `emulator.kernels`
    libcublas    cublas.py     matrix multiplications by NumPy (gemm.py)
    libcurand    curand.py     random numbers by NumPy
    libnccl      nccl.py       arrays of several processes, by MPI (nccl_queue.py,
                               collectives.py)

`stubs.py` makes libraries with NVIDIA's names, whose functions jump to Python's, and
loads them before CuPy does. The runtime is linked statically into CuPy's extension: its
functions are overwritten with jumps, in the memory of this process. So are the sorting
and random kernels that were compiled into CuPy (sorting.py, distributions.py).

Work is given to streams (`runtime.streams.submit`) and done at once, or, with lazy
execution, when it is waited for (work_queue.py).
"""

from tinyalex.emulator.cuda.installation import install, is_installed, subprocess_environment
from tinyalex.emulator.cuda.settings import Settings, settings
from tinyalex.emulator.cuda.statistics import Statistics, counting, statistics
from tinyalex.emulator.cuda.work_records import Work, recording

__all__ = [
    "Settings",
    "Statistics",
    "Work",
    "counting",
    "install",
    "is_installed",
    "recording",
    "settings",
    "statistics",
    "subprocess_environment",
]
