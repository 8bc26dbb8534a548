"""Run tests on emulated GPUs: `pytest -p tinyalex.emulator.pytest_plugin`.

The settings are environment variables (`tinyalex.emulator.Settings`). Processes that
the tests start have emulated GPUs, too.
"""

import os
from collections.abc import Callable

import pytest

from tinyalex.emulator import cuda

os.environ.update(cuda.subprocess_environment())
cuda.install()


def pytest_report_header() -> str:
    return f"emulated GPUs: {cuda.settings}"


@pytest.fixture
def gpu_statistics() -> Callable[[], cuda.Statistics]:
    """gpu_statistics(): the counts of GPU work since the test began."""
    before = cuda.statistics.copy()
    return lambda: cuda.statistics.copy() - before
