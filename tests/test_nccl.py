"""NCCL between processes with emulated GPUs, compared with NumPy."""

import importlib.util
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from nccl_ranks import CASES

from tinyalex.installation import pip_install

pytestmark = [
    pytest.mark.emulated,
    pytest.mark.skipif(importlib.util.find_spec("mpi4py") is None, reason="needs mpi4py"),
]

PROGRAM = Path(__file__).with_name("nccl_ranks.py")
MPIRUN = Path(sys.executable).with_name("mpirun")
SECONDS = 300


def environment(lazy=False):
    return os.environ | {
        "OPENBLAS_NUM_THREADS": "1",
        "TINYALEX_THREADS": "1",
        "TINYALEX_EMULATOR_LAZY": str(int(lazy)),
    }


def python(program):
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=SECONDS
    )


@pytest.fixture(scope="session")
def outcomes_of(tmp_path_factory):
    """outcomes_of(processes, lazy): by rank, the outcomes of all cases in one run."""

    @cache
    def run(processes, lazy):
        folder = tmp_path_factory.mktemp("nccl")
        start = [MPIRUN, "-n", str(processes)] if processes > 1 else []
        command = [*start, sys.executable, PROGRAM, folder]
        try:
            result = subprocess.run(
                command, env=environment(lazy), capture_output=True, text=True, timeout=SECONDS
            )
            error = result.stderr
        except subprocess.TimeoutExpired as expired:
            error = f"no end after {SECONDS} seconds: {expired.stderr}"
        files = [folder / f"{rank}.json" for rank in range(processes)]
        outcomes = [json.loads(file.read_text()) if file.exists() else {} for file in files]
        return [{name: one.get(name, error) for name in CASES} for one in outcomes]

    return run


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("lazy", [False, True], ids=["at once", "lazy"])
@pytest.mark.parametrize("processes", [1, 2, 4])
def test_nccl(outcomes_of, processes, lazy, case):
    for rank, outcomes in enumerate(outcomes_of(processes, lazy)):
        assert outcomes[case] == "passed", f"rank {rank}:\n{outcomes[case]}"


def test_without_mpi4py_the_error_says_how_to_install_it():
    result = python("import sys; sys.modules['mpi4py'] = None; from cupy.cuda import nccl; nccl.get_unique_id()")  # fmt: skip
    assert "NCCL_ERROR_SYSTEM_ERROR: NCCL is emulated between processes of MPI" in result.stderr
    assert f"Install it: {pip_install('mpi')}" in result.stderr


def test_without_nccl_the_error_says_how_to_install_it(monkeypatch):
    import cupy
    from cupy.cuda import nccl

    from tinyalex.device.nccl import Nccl

    monkeypatch.setattr(nccl, "available", False)
    major = cupy.cuda.runtime.runtimeGetVersion() // 1000
    message = f"pip install nvidia-nccl-cu{major}; or use --device cpu"
    with pytest.raises(RuntimeError, match=message):
        Nccl(0, 1, lambda x: x, "cuda")


REDUCTION = """
import cupy
from cupy.cuda import nccl
from mpi4py import MPI
world = MPI.COMM_WORLD
unique_id = world.bcast(nccl.get_unique_id() if world.rank == 0 else None)
communicator = nccl.NcclCommunicator(world.size, unique_id, world.rank)
x = cupy.ones(1000, "f")
communicator.allReduce(x.data.ptr, x.data.ptr, 1000, nccl.NCCL_FLOAT32, nccl.NCCL_SUM, 0)
assert (x == world.size).all()
"""


def test_mpirun_starts_tinyalex_emulate(tmp_path):
    (tmp_path / "program.py").write_text(REDUCTION)
    command = [MPIRUN, "-n", "2", sys.executable, "-m", "tinyalex", "emulate", "program.py"]
    result = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=SECONDS
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("4,000 bytes to other processes") == 2
