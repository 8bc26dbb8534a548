"""Explain a kernel without a GPU: its source with the memory traffic of each line."""

import textwrap
from typing import Any

from tinyalex.emulator import nvrtc
from tinyalex.emulator.errors import CompileError
from tinyalex.emulator.explain.launches import MeasuredLaunch, calls_of, measure
from tinyalex.emulator.explain.listing import listing
from tinyalex.emulator.explain.summary import summary
from tinyalex.installation import pip_install
from tinyalex.kernels.cuda import source_files
from tinyalex.kernels.cuda.launching import BLOCK_THREADS

WIDTH = 118

ARCH = 90
MAX_REGISTERS, MAX_THREADS, MAX_SHARED_BYTES = 65536, 2048, 228 << 10
"""Of a multiprocessor of that architecture."""

RESERVED_BYTES = 1 << 10
"""Shared memory that CUDA reserves for each block."""

LEGEND = """\
Under a source line: the memory traffic of one warp of 32 threads that executes it once.
Global memory is moved in sectors of 32 bytes. Shared memory has 32 banks; different
words in one bank take a pass each. (A thread that skips an iteration of a loop is
counted with the next iteration of the others, so such a line looks worse than it is.)"""


def explain(name: str) -> str:
    """The output of `tinyalex explain NAME`.

    Raises ValueError for an unknown kernel, and CompileError without g++.
    """
    files = {
        kernel: file for file in source_files.files() for kernel in source_files.signatures(file)
    }
    if name not in files:
        raise ValueError(
            f"explain: expected the name of a kernel, got {name!r}. "
            f"There are {', '.join(sorted(files))}."
        )
    file = files[name]
    launches = [measure(name, *call) for call in calls_of(name).items()]
    kernel = launches[0].kernel
    parts = [
        [f"{kernel} of {file}, run on the CPU with every memory access counted:"],
        [_heading(file, name, launch) for launch in launches],
        [_fill(_resources(file, kernel))],
        [_fill(LEGEND)],
        listing(file, name, launches),
        [_fill(summary(launch)) for launch in launches],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts)


def _fill(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def _heading(file: str, name: str, launch: MeasuredLaunch) -> str:
    """The title, size and arguments of a launch."""
    parameters = source_files.signatures(file)[name].parameters
    arguments = ", ".join(map(_argument, parameters, launch.arguments))
    size = f"{launch.blocks:,} block{'s' * (launch.blocks > 1)} of {BLOCK_THREADS} threads"
    return f"  {launch.title}: {size}\n{_fill(arguments, '    ')}"


def _argument(parameter: source_files.Parameter, value: Any) -> str:
    if parameter.is_list:
        return f"{parameter.name} of {' and '.join(str(n) for n in value['size'] if n)} elements"
    return f"{parameter.name} {value.shape}" if parameter.is_array else f"{parameter.name}={value}"


def _resources(file: str, kernel: str) -> str:
    """The resources that a kernel uses on a GPU, and its occupancy."""
    try:
        names = [kernel] if "<" in kernel else []
        used = nvrtc.compile(source_files.text(file), file, names, ARCH)[kernel]
    except ImportError:
        return f"For its registers, spills and shared memory on a GPU: {pip_install('cuda-check')}"
    except CompileError as error:
        reason = str(error).splitlines()[-1].strip()
        return f"Its registers are unknown, because NVRTC does not compile it ({reason})."
    by_registers = MAX_REGISTERS // (-(-used.registers // 8) * 8 * BLOCK_THREADS)
    by_shared = MAX_SHARED_BYTES // (used.shared + RESERVED_BYTES)
    blocks = min(MAX_THREADS // BLOCK_THREADS, by_registers, by_shared)
    stack = f", {used.stack} bytes of local arrays per thread" if used.stack else ""
    limit = ""
    if blocks < MAX_THREADS // BLOCK_THREADS:
        limit = f", limited by {'registers' if blocks == by_registers else 'shared memory'}"
    return (
        f"Compiled by NVRTC {'.'.join(map(str, nvrtc.version()))} for sm_{ARCH}: "
        f"{used.registers} registers per thread, {used.spills} bytes spilled, "
        f"{used.shared} bytes of shared memory per block{stack}. "
        f"Occupancy: {blocks} blocks of {BLOCK_THREADS} threads per multiprocessor, "
        f"{blocks * BLOCK_THREADS} of its {MAX_THREADS} threads{limit}."
    )
