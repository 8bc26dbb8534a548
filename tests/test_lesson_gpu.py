"""Lesson 19: what it checks with CuPy and g++, and what it says without them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinyalex.course import kernels_on_cpu
from tinyalex.emulator import LaunchError

REPOSITORY = Path(__file__).resolve().parent.parent
LESSON = REPOSITORY / "lessons" / "19_gpu.py"

WITHOUT_CUPY = """
import runpy, sys
sys.modules["cupy"] = sys.modules["cupy_backends"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(folder, *program, **variables):
    env = dict(os.environ) | {"PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-W", "error", *program, str(LESSON)]
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=env | variables, encoding="utf-8"
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.mark.lessons
def test_all_claims_are_checked_with_cupy_and_a_compiler(tmp_path):
    if sys.platform != "linux":
        pytest.skip("the emulator needs Linux")
    output = run(tmp_path)
    assert "GPU: cuda; emulated, its work is counted." in output
    assert "not checked" not in output
    assert "operations in the queue" in output


@pytest.mark.lessons
@pytest.mark.parametrize(
    ("program", "variables", "missing", "count"),
    [
        (("-c", WITHOUT_CUPY), {}, "needs CuPy: pip install -e ", 2),
        ((), {"CXX": "no-compiler"}, "compiling kernels for the CPU needs g++", 4),
    ],
)
def test_the_lesson_says_what_is_not_checked(program, variables, missing, count, tmp_path):
    output = run(tmp_path, *program, **variables)
    skipped = [line for line in output.splitlines() if "not checked" in line]
    assert len(skipped) == count
    assert all(missing in line for line in skipped)
    assert (tmp_path / "runs" / "lessons" / "19_gpu.png").exists()
    assert "operations in the queue" not in output  # of a GPU that does not exist


def test_kernel_source_is_one_definition():
    source = kernels_on_cpu.kernel_source("columns.cu", "im2col")
    assert source.startswith("template <typename T>\n__global__ void im2col(")
    assert source.count("__global__") == 1
    assert source.endswith("\n}\n")
    with pytest.raises(ValueError, match=r"columns\.cu has no kernel 'relu'"):
        kernels_on_cpu.kernel_source("columns.cu", "relu")


@pytest.mark.cuda
def test_kernels_count_sectors_and_check_bounds():
    kernels = kernels_on_cpu.Kernels(
        kernels_on_cpu.kernel_source("activation.cu", "relu"), "relu<float>"
    )
    x = np.linspace(-1, 1, 64, dtype="f")
    y = np.zeros_like(x)
    assert kernels.run("relu<float>", 64, x, y, 64) == {"load": 4, "store": 4}
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    assert kernels.run("relu<float>", 8, x, y, 8) == {"load": 1, "store": 1}
    with pytest.raises(LaunchError, match="out of bounds: element 64"):
        kernels.run("relu<float>", 65, x, y, 65)
