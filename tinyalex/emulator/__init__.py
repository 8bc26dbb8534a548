"""CUDA kernels on a CPU: for readers without a GPU, and for finding mistakes that a GPU does not report.

    module = Module(code, "scale.cu", names=["scale<float>"])
    module.get_function("scale<float>")((blocks,), (threads,), (x, y, np.int32(n)))

The very text that the GPU gets is compiled with g++; `include/cuda_on_cpu.h` says what `__shared__`, `threadIdx`, `__syncthreads()` and the
rest mean here. A launch goes through its blocks one by one, and through the threads of a block one by one: each runs from its beginning to
its end. Only a thread that has to wait for others, at a barrier or in a warp's shuffle, is put aside with its call stack (a "fiber", which
costs nothing unless a thread waits) and taken up again when the others have arrived. So a kernel's run repeats exactly, and it can be
repeated in other orders (`order=1` in reverse, other numbers shuffled): whatever changes with the order is a mistake.

Arguments are held to the kernel's signature, because CuPy does not. A checked build (`check=True`) also watches every access to memory and
stops at the first wrong one, with its source line:

- reading or writing outside of all arrays, or writing through a pointer to const
- a race: two threads at one number, one of them writing, with no barrier between them and not both atomic
- reading shared memory that no thread has written
- a missing barrier, one in a branch that not all threads take, a thread that ends while others wait
- int overflow, division by zero, misaligned vector loads, an index outside of a local array

What it cannot show: time, caches and occupancy; asynchrony between streams; effects of weak memory order between blocks; the last bits of
CUDA's own powf, expf and of fused multiply-adds, so compare to 1e-5 and not bit by bit; spinning on another block, which never ends here.
Inline PTX, cooperative groups and tensor cores do not compile. Outside of a checked build a wrong index does what it does in C. Denormal
doubles are taken for 0 like floats. A launch from several Python threads waits its turn. Tried with g++ on Linux, x86-64.
"""

from tinyalex.emulator.engine import running
from tinyalex.emulator.errors import CompileError, LaunchError
from tinyalex.emulator.launching import Kernel
from tinyalex.emulator.module import Module

__all__ = ["CompileError", "Kernel", "LaunchError", "Module", "running"]
