"""CUDA on a CPU, in two layers: to test and debug GPU programs without a GPU.

`kernels/` runs one .cu file on NumPy arrays:

    module = Module(code, "scale.cu", names=["scale<float>"])
    module.get_function("scale<float>")((blocks,), (threads,), (x, y, np.int32(n)))

`cuda/` runs programs that use CuPy. It replaces NVIDIA's libraries under the real CuPy,
whose kernels are then run by the first layer (docs/emulator.md):

    emulator.install()      # before anything imports CuPy; or `tinyalex emulate SCRIPT`
    with emulator.counting() as counts:
        step()
    counts.launches, counts.synchronizations

The GPU's source is compiled with g++; `kernels/include/cuda_on_cpu.h` defines
`__shared__`, `threadIdx`, `__syncthreads()` and others. Blocks run one after another,
and so do the threads of a block, each until it ends or waits at a barrier or in a warp
shuffle. A waiting thread keeps its call stack (a fiber), and is resumed when the others
have arrived. Each run is deterministic. `order=1` reverses the order of blocks and
threads, other values shuffle it: a result that depends on the order is a bug.

Arguments are checked against the kernel's signature, which CuPy does not do. A checked
build (`check=True`) also checks every memory access, and reports with its source line:

- an access out of bounds, or a write through a pointer to const
- a race: two threads access one byte, at least one writes, not both atomically, with no
  barrier between them
- a read of shared memory that no thread has written
- a missing or divergent barrier, or a thread that ends while others wait
- int overflow, division by zero, misaligned vector loads, local array bounds

Not emulated: time, caches and occupancy; weak memory order between blocks; the last
bits of powf, expf and fused multiply-adds (compare with a tolerance of 1e-5). Inline
PTX, cooperative groups and tensor cores do not compile. A loop that waits for another
block never ends. Denormals are 0, also in double. Launches from several Python threads
run one after another. Tested with g++ on Linux, x86-64.
"""

from tinyalex.emulator.cuda import (
    Settings,
    Statistics,
    Work,
    counting,
    install,
    is_installed,
    recording,
)
from tinyalex.emulator.errors import CompileError, LaunchError, LimitError
from tinyalex.emulator.kernels.cupy_replacement import running
from tinyalex.emulator.kernels.launching import Kernel
from tinyalex.emulator.kernels.module import Module

__all__ = [
    "CompileError",
    "Kernel",
    "LaunchError",
    "LimitError",
    "Module",
    "Settings",
    "Statistics",
    "Work",
    "counting",
    "install",
    "is_installed",
    "recording",
    "running",
]
