"""Starts programs under mpirun, for tests."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinyalex as ta

TESTS = Path(__file__).resolve().parent
CIFAR, IMAGENET = TESTS.parent / "train_cifar.py", TESTS.parent / "train_imagenet.py"
MPIRUN = Path(sys.executable).with_name("mpirun")
ONE_THREAD = {"TINYALEX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
SMALL = ("--model", "alexnet", "--batch-size", 16)
LIMIT_SECONDS = 120


def needs_mpi(test):
    without = pytest.mark.skipif(not MPIRUN.exists(), reason="needs pip install '.[mpi]'")
    return pytest.mark.parallel(without(test))


def command(ranks, program, *options):
    launcher = [MPIRUN, "-n", ranks] if ranks else []
    return list(map(str, [*launcher, sys.executable, program, *options]))


def start(ranks, program, *options, **settings):
    environment = os.environ | ONE_THREAD | settings
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command(ranks, program, *options), env=environment, **pipes)


def run(ranks, program, *options, **settings):
    """(stdout, stderr) of a program with this many ranks; without mpirun for 0."""
    process = start(ranks, program, *options, **settings)
    output, errors = results(process)
    assert process.returncode == 0, errors
    return output, errors


def results(process):
    """(stdout, stderr). A run that hangs is killed, with all of its ranks."""
    try:
        return process.communicate(timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail(f"{process.args} did not end: {process.communicate()}")


def largest_difference(one, other):
    a, b = (ta.load(folder / "model.safetensors") for folder in (one, other))
    assert a.keys() == b.keys()
    return max(float(np.abs(a[name] - b[name]).max()) for name in a)
