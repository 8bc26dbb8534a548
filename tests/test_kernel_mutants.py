"""Whoever breaks a kernel of ours by one index, one barrier or one type is told: every break of tests/kernel_breaks.py is found."""

from collections import Counter

import numpy as np
import pytest
from kernel_breaks import BREAKS
from test_kernels import CALLS, equals_numpy

from tinyalex.emulator import CompileError, LaunchError, Module, nvrtc
from tinyalex.kernels.cuda import launching, sources

pytestmark = pytest.mark.cuda

ORDERS = 0, 1, 7
ROOM = 1 << 18
"""Bytes around each array, for what a broken kernel writes outside of it."""

FOUND = Counter()


class Broken:
    """Compiles another text than the file's, only the instantiation that is launched; for `kernels.cuda.launching.engine`."""

    def __init__(self, text, order=0, check=False):
        self.text, self.order, self.check = text, order, check

    def __call__(self, code, file, names):
        self.file = file
        return self

    def get_function(self, name):
        kernel = Module(
            self.text, self.file, [name] if "<" in name else (), check=self.check
        ).get_function(name)

        def run(grid, block, arguments):
            roomy = [with_room(x) for x in arguments]
            kernel(grid, block, tuple(roomy), order=self.order)
            for x, copy in zip(arguments, roomy, strict=True):
                if isinstance(x, np.ndarray):
                    x[...] = copy

        return run


def with_room(x):
    """A copy of an array with space before and behind it, where a kernel that is not checked can do no harm."""
    if not isinstance(x, np.ndarray):
        return x
    memory = np.full(x.nbytes + 2 * ROOM, 0xC5, np.uint8)
    copy = memory[ROOM:-ROOM].view(x.dtype).reshape(x.shape)
    copy[...] = x
    return copy


def run_examples(engine, kernel, dtype):
    with launching.engine(engine):
        for call, example in CALLS.items():
            if example.primitive == kernel and call[1] == dtype:
                equals_numpy(call)


def how_found(text, kernel, dtype):
    """What finds a mistake in a kernel, of what CI does with each; None if nothing does. The checks come last, being slow."""
    try:
        for order in ORDERS:
            run_examples(Broken(text, order), kernel, dtype)
    except CompileError:
        return "compiler"
    except AssertionError:
        return "comparison"
    except LaunchError:
        return "launch"
    try:
        run_examples(Broken(text, check=True), kernel, dtype)
    except LaunchError:
        return "checks"
    return None


def refused_by_nvrtc(b):
    """Whether it does not compile, or takes of a GPU what tests/test_nvrtc.py does not allow."""
    names = sources.instantiations(b.file, sources.REAL[b.dtype])
    try:
        compiled = nvrtc.compile(b.text(), b.file, names, 90)
    except CompileError:
        return True
    return any(kernel.doubles or kernel.spills for kernel in compiled.values())


@pytest.mark.parametrize("b", BREAKS, ids=lambda b: f"{b.kernel}: {b.what}")
def test_a_broken_kernel_is_found(b):
    if b.found == "NVRTC":
        try:
            assert refused_by_nvrtc(b)
        except ImportError as missing:
            pytest.skip(str(missing))
    else:
        assert how_found(b.text(), b.kernel, b.dtype) == b.found
    FOUND[b.found] += 1


def test_nothing_is_found_in_a_kernel_that_is_whole():
    assert how_found(sources.text("columns.cu"), "from_columns", "float32") is None


def test_every_file_and_kernel_is_broken_and_no_break_is_there_twice(tell):
    assert {b.kernel for b in BREAKS} == {
        name for file in sources.files() for name in sources.signatures(file)
    }
    assert len({(b.file, b.old, b.new) for b in BREAKS}) == len(BREAKS)
    how = {
        "comparison": "by comparison with NumPy",
        "checks": "by the checked build",
        "launch": "at launch",
        "compiler": "by the compiler",
        "NVRTC": "by NVRTC",
    }
    tell(
        f"{FOUND.total()} broken kernels found: {', '.join(f'{FOUND[found]} {how[found]}' for found in how if FOUND[found])}"
    )
