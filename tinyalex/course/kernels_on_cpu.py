"""The source of CUDA kernels, and kernels on the CPU, for lesson 19.

They are compiled with g++, without CuPy.
"""

import re
from collections import Counter
from functools import cache
from typing import Any

from tinyalex.kernels.cuda import source_files


@cache
def why_not_compiled() -> str:
    """Why kernels cannot be compiled for the CPU, or ""."""
    from tinyalex.emulator import CompileError
    from tinyalex.emulator.kernels import compiling

    try:
        compiling.compiler("lesson 19")
    except CompileError:
        return "compiling kernels for the CPU needs g++"
    return ""


def kernel_source(file: str, name: str) -> str:
    """The definition of a kernel of tinyalex, which is in a .cu file."""
    text = (source_files.FOLDER / file).read_text(encoding="utf-8")
    found = re.search(rf"^template <[^>]*>\n__global__ void {name}\(.*?^}}\n", text, re.M | re.S)
    if found is None:
        raise ValueError(f"kernel_source: {file} has no kernel {name!r}.")
    return found[0]


class Kernels:
    """CUDA kernels on the CPU, with each memory access checked and counted.

    code   the definitions of the kernels, which may use tinyalex's common.cuh
    names  such as "relu<float>"

    Raises CompileError without g++.
    """

    def __init__(self, code: str, *names: str) -> None:
        from tinyalex.emulator import Module

        self.module = Module(source_files.text("common.cuh") + code, "lesson.cu", names, stats=True)

    def run(self, name: str, threads: int, *arguments: Any) -> dict[str, float]:
        """Launch the kernel with this number of threads, in blocks of 256.

        Returns the sectors of 32 bytes that a warp touches, in the mean over all of its
        loads ("load") and stores ("store"). Raises LaunchError for an access out of
        bounds.
        """
        kernel, block = self.module.get_function(name), source_files.BLOCK_THREADS
        values = tuple(
            x if parameter.is_pointer or parameter.dtype is None else parameter.dtype.type(x)
            for x, parameter in zip(arguments, kernel.parameters, strict=True)
        )
        kernel((-(-threads // block),), (block,), values)
        requests, moved = Counter[str](), Counter[str]()
        for use in kernel.memory_report():
            requests[use.access] += use.requests
            moved[use.access] += round(use.requests * use.cost)
        return {access: moved[access] / n for access, n in requests.items()}
