"""Every mutant of kernel_mutants.py is detected: a wrong index, barrier or type."""

import ctypes
from collections import Counter

import numpy as np
import pytest
from kernel_mutants import MUTANTS
from test_kernels import CALLS, equals_numpy

from tinyalex.emulator import CompileError, LaunchError, Module, nvrtc
from tinyalex.kernels.cuda import launching, source_files

pytestmark = pytest.mark.cuda

ORDERS = 0, 1, 7
MARGIN_BYTES = 1 << 18
"""Bytes around each array, for out-of-bounds writes of a mutant."""

FOUND = Counter()


class Mutated:
    """An engine for `launching.engine` that compiles `text`, and one kernel of it."""

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
            copies = []  # (array, its copy)
            values = map(with_margins, arguments, kernel.parameters, [copies] * len(arguments))
            kernel(grid, block, tuple(values), order=self.order)
            for x, copy in copies:
                x[...] = copy

        return run


def with_margins(x, parameter, copies):
    """An argument with copies of its arrays; margins absorb writes out of bounds."""
    if isinstance(x, np.ndarray):
        return copied(x, copies)
    if parameter.arrays is None:
        return x
    struct = np.array(x)
    for pointer in parameter.arrays.pointers(0, struct.ctypes.data):
        memory = (ctypes.c_char * pointer.bytes).from_address(pointer.word.value)
        pointer.word.value = copied(np.frombuffer(memory, np.uint8), copies).ctypes.data
    return struct[()]


def copied(x, copies):
    memory = np.full(x.nbytes + 2 * MARGIN_BYTES, 0xC5, np.uint8)
    copy = memory[MARGIN_BYTES:-MARGIN_BYTES].view(x.dtype).reshape(x.shape)
    copy[...] = x
    copies.append((x, copy))
    return copy


def run_examples(engine, kernel, dtype):
    with launching.engine(engine):
        for call, example in CALLS.items():
            if example.primitive == kernel and call[1] == dtype:
                equals_numpy(call)


def how_found(text, kernel, dtype):
    """What detects a fault in a kernel, or None. The slow checks are last."""
    try:
        for order in ORDERS:
            run_examples(Mutated(text, order), kernel, dtype)
    except CompileError:
        return "compiler"
    except AssertionError:
        return "comparison"
    except LaunchError:
        return "launch"
    try:
        run_examples(Mutated(text, check=True), kernel, dtype)
    except LaunchError:
        return "checks"
    return None


def rejected_by_nvrtc(mutant):
    """Whether it does not compile, or exceeds the resources of test_nvrtc.py."""
    names = source_files.instantiations(mutant.file, source_files.REAL[mutant.dtype])
    try:
        compiled = nvrtc.compile(mutant.text(), mutant.file, names, 90)
    except CompileError:
        return True
    return any(kernel.doubles or kernel.spills for kernel in compiled.values())


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.kernel}: {mutant.what}")
def test_a_mutant_is_detected(mutant):
    if mutant.found == "NVRTC":
        try:
            assert rejected_by_nvrtc(mutant)
        except ImportError as missing:
            pytest.skip(str(missing))
    else:
        assert how_found(mutant.text(), mutant.kernel, mutant.dtype) == mutant.found
    FOUND[mutant.found] += 1


def test_no_fault_is_detected_in_a_correct_kernel():
    assert how_found(source_files.text("columns.cu"), "from_columns", "float32") is None


def test_every_kernel_has_mutants_and_no_two_are_equal(tell):
    assert {mutant.kernel for mutant in MUTANTS} == {
        name for file in source_files.files() for name in source_files.signatures(file)
    }
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in MUTANTS}) == len(MUTANTS)
    how = {
        "comparison": "by comparison with NumPy",
        "checks": "by the checked build",
        "launch": "at launch",
        "compiler": "by the compiler",
        "NVRTC": "by NVRTC",
    }
    tell(
        f"{FOUND.total()} mutants of kernels detected: {', '.join(f'{FOUND[found]} {how[found]}' for found in how if FOUND[found])}"
    )
