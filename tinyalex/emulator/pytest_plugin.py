"""Run tests on emulated GPUs: `pytest -p tinyalex.emulator.pytest_plugin`.

The settings are environment variables (`tinyalex.emulator.Settings`). Processes that
the tests start have emulated GPUs, too.
"""

import os

import pytest

from tinyalex.emulator import cuda

os.environ.update(cuda.subprocess_environment())
cuda.install()


def pytest_report_header() -> str:
    return f"emulated GPUs: {cuda.settings}"


@pytest.fixture
def gpu_statistics() -> cuda.Statistics:
    """What has been asked of the GPUs since the test began; see `emulator.counting`."""
    return cuda.statistics
