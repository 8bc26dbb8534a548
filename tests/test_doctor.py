"""`tinyalex doctor` on different machines, each a process; why no GPU is usable."""

import os
import subprocess
import sys

import pytest

from tinyalex.installation import pip_install

NO_CUPY = "import sys; sys.modules['cupy'] = None\n"

NO_DRIVER = """
import sys, types
cupy = types.ModuleType("cupy")
cupy.__version__, cupy.__spec__ = "14.2.0", types.SimpleNamespace()
cupy.is_available = lambda: False
cupy.ndarray = type("ndarray", (), {})
cupy.cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(driverGetVersion=lambda: DRIVER, runtimeGetVersion=lambda: 13000))
sys.modules["cupy"] = cupy
"""
"""CuPy without a driver: it can be imported, but no device is available."""

EMULATED = """
from tinyalex import emulator; emulator.install()
import cupy
"""

BROKEN_COMPILER = (
    EMULATED
    + """
def missing(**options):
    raise RuntimeError("CuPy failed to load libnvrtc.so.13: cannot open shared object file")
cupy.RawModule = missing
"""
)

BROKEN_CUBLAS = (
    """
from tinyalex.emulator.cuda import libraries
load = libraries._load
def load_others(soname, *arguments, **options):
    if not soname.startswith("libcublas.so"):
        return load(soname, *arguments, **options)
libraries._load = load_others
"""
    + EMULATED
)

OLD_CUPY = NO_DRIVER.replace("14.2.0", "13.6.0")

OLD_DRIVER = NO_DRIVER.replace("DRIVER", "12040")

NO_DRIVER = NO_DRIVER.replace("DRIVER", "0")


def doctor(machine, **environment):
    program = machine + "\nimport sys; from tinyalex.cli import main; sys.exit(main(['doctor']))"
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in ("TINYALEX_DATA", "TINYALEX_DEVICE")
    }
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=clean | environment
    )
    assert result.stderr == ""
    return result.returncode, result.stdout.splitlines()


def line(lines, name):
    return next(text for text in lines if text[8:].startswith(name))


def test_a_machine_without_cupy_is_ready_on_the_cpu():
    status, lines = doctor(NO_CUPY)
    assert status == 0
    assert lines[-1].startswith(
        "ready: training works on the CPU. For a GPU: Install it: " + pip_install("cuda13")
    )
    assert line(lines, "NumPy").startswith("ok")
    assert line(lines, "BLAS").startswith("ok      BLAS          multiplies matrices; ")
    assert line(lines, "CuPy") == "-       CuPy          not installed"


def test_streams_by_thread_are_refused():
    status, lines = doctor(NO_DRIVER, CUPY_CUDA_PER_THREAD_DEFAULT_STREAM="1")
    assert status == 1
    assert "CUPY_CUDA_PER_THREAD_DEFAULT_STREAM is set: each " in line(lines, "stream")
    assert lines[-1] == "Unset CUPY_CUDA_PER_THREAD_DEFAULT_STREAM. Until then, use the CPU."


@pytest.mark.skipif(os.path.exists("/dev/nvidiactl"), reason="this machine has a driver")
def test_cupy_without_a_driver_requires_the_driver():
    status, lines = doctor(NO_DRIVER)
    assert status == 1
    assert line(lines, "driver").startswith("BROKEN  driver        OSError: libcuda.so.1")
    assert lines[-1].startswith("Install NVIDIA's driver for this machine's GPU")
    assert lines[-1].endswith("Until then, use the CPU.")


@pytest.mark.cuda
@pytest.mark.parametrize(
    ("machine", "name", "message"),
    [
        (BROKEN_COMPILER, "NVRTC", "RuntimeError: CuPy failed to load libnvrtc.so.13"),
        (BROKEN_CUBLAS, "cuBLAS", 'ImportError: Failure finding "libcublas.so.13'),
    ],
    ids=["no compiler", "no cuBLAS"],
)
def test_a_broken_toolkit_is_named_and_requires_cudas_libraries(machine, name, message):
    status, lines = doctor(machine)
    assert status == 1
    assert line(lines, name).startswith(f"BROKEN  {name:<14}{message}")
    assert pip_install("cuda13") in lines[-1]


def test_a_driver_older_than_cupy_requires_another_cupy():
    status, lines = doctor(OLD_DRIVER)
    assert status == 1
    assert line(lines, "driver").endswith(
        "RuntimeError: for CUDA 12, older than the CUDA 13 of this CuPy"
    )
    assert "or, for an older driver, the CuPy package for it: " + pip_install("cuda12") in lines[-1]


def test_an_invalid_number_of_threads_is_reported():
    status, lines = doctor(NO_CUPY, TINYALEX_THREADS="zero")
    assert status == 1
    assert "TINYALEX_THREADS: expected an integer of at least 1, got 'zero'" in line(lines, "NumPy")


def test_an_old_cupy_must_be_updated():
    status, lines = doctor(OLD_CUPY)
    assert status == 1
    assert "version 13.6.0, but 14 or newer is needed" in line(lines, "CuPy")


@pytest.mark.cuda
def test_a_machine_on_which_everything_works_is_ready():
    status, lines = doctor(EMULATED)
    assert (status, lines[-1]) == (0, "ready: training works on the GPU and the CPU.")
    assert all(text.startswith(("ok", "-")) for text in lines[:-1])


def test_data_sets_are_listed_and_a_missing_folder_is_an_error(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    assert line(doctor(NO_CUPY, TINYALEX_DATA=str(tmp_path))[1], "data").endswith(
        ": cifar-10-batches-py"
    )
    status, lines = doctor(NO_CUPY, TINYALEX_DATA=str(tmp_path / "nowhere"))
    assert (status, lines[-1]) == (1, "Set TINYALEX_DATA to the folder with the data sets.")


def test_requesting_cuda_names_the_reason_why_it_is_not_usable():
    program = NO_CUPY + "import tinyalex as ta; ta.Tensor([1.0], device='cuda')"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (
        f"RuntimeError: device 'cuda': CuPy: not installed. Install it: {pip_install('cuda13')}"
        in result.stderr
    )
