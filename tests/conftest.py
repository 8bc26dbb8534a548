"""Fixtures and options: devices, dtypes, random numbers, real images, `--no-skips`."""

import importlib.util
import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest

import tinyalex
from tinyalex import device as devices
from tinyalex import emulator
from tinyalex.data.download import data_folder

collect_ignore_glob = ["fuzz_atheris.py"]  # to look for doctests, pytest would import it

DEVICE = os.environ.get("TINYALEX_DEVICE", "cpu")
"""The device of tests marked `gpu`, which are skipped on cpu, the default."""

REPOSITORY = Path(__file__).resolve().parent.parent
PACKS = ("cifar10", "imagenet")
"""The real images in tests, by their names in `unpack.py`."""

NEEDS = {
    "hypothesis": [
        *("geometries.py", "test_fuzz.py", "test_peers_fuzz.py", "test_pickles.py"),
        *("fuzzing.py", "fuzz_formats.py", "test_fuzz_files.py", "torture.py"),
    ],
    "nbformat": ["test_site.py"],
    "requests": ["test_download.py"],
    "scipy": ["test_preparing.py", "test_train_imagenet.py"],
}
"""Test files that import an optional library at their top."""

collect_ignore = [
    file
    for library, files in NEEDS.items()
    if importlib.util.find_spec(library) is None
    for file in files
]

if "test_fuzz.py" not in collect_ignore:
    import hypothesis

    # No deadline: the machine may be busy. Derandomized: runs are reproducible.
    hypothesis.settings.register_profile("tinyalex", deadline=None, derandomize=True)
    hypothesis.settings.load_profile("tinyalex")


def pytest_report_header():
    device = f"device: {DEVICE}{', emulated' if emulator.is_installed() else ''}"
    if not collect_ignore:
        return device
    return [device, f"not collected, missing a library: {', '.join(collect_ignore)}"]


# Skips


def pytest_addoption(parser):
    parser.addoption(
        "--no-skips",
        action="store_true",
        help="fail if a selected test was skipped, and show the reason",
    )


class NoSkips:
    """Fails a run with a skipped test or test file (an expected failure is not one)."""

    def __init__(self):
        self.reasons = []

    def pytest_runtest_logreport(self, report):
        if report.skipped and not hasattr(report, "wasxfail"):
            self.note(report)

    def pytest_collectreport(self, report):
        if report.skipped:
            self.note(report)

    def note(self, report):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        self.reasons.append(f"{report.nodeid}: {reason}")

    def pytest_sessionfinish(self, session, exitstatus):
        if self.reasons and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        if self.reasons:
            terminalreporter.section("skipped, a failure with --no-skips", red=True)
            for reason in dict.fromkeys(self.reasons):
                terminalreporter.line(reason)


# Counts


@pytest.fixture
def tell(request):
    """tell(line): print a line at the end of the run, such as the number of cases."""
    return lambda line: request.node.user_properties.append(("count", line))


def pytest_terminal_summary(terminalreporter):
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    lines = [
        line
        for report in reports
        if report.when == "call"
        for name, line in report.user_properties
        if name == "count"
    ]
    if lines:
        terminalreporter.section("counts")
        terminalreporter.write("\n".join([*lines, ""]))


# Real images


def pytest_configure(config):
    if DEVICE != "cpu" and (reason := devices.why_no_cuda()):
        pytest.exit(
            f"TINYALEX_DEVICE={DEVICE}, but {reason}", returncode=pytest.ExitCode.USAGE_ERROR
        )
    if config.getoption("--no-skips"):
        config.pluginmanager.register(NoSkips())
    unpack = REPOSITORY.parent / "shared" / "data" / "unpack.py"
    if data_folder() is None and unpack.exists():
        os.environ["TINYALEX_DATA"] = str(unpacked_images(unpack))


def unpacked_images(unpack):
    """The folder with the real images as downloaded, created by the first run.

    It is renamed after unpacking, so that it is always complete.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    images = cache / f"tinyalex-test-data-{'-'.join(PACKS)}"
    if images.is_dir():
        return images
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="tinyalex-unpacking-") as folder:
        unpacked = Path(folder) / "images"
        subprocess.run([sys.executable, str(unpack), str(unpacked), *PACKS], check=True)
        try:
            unpacked.rename(images)
        except OSError:
            # Another run has created it.
            if not images.is_dir():
                raise
    return images


@pytest.fixture
def real_data():
    """The folder with cifar-10-batches-py and other data sets."""
    folder = data_folder()
    if folder is None:
        pytest.skip("no real images: set TINYALEX_DATA to a folder with cifar-10-batches-py in it")
    return folder


# Devices, dtypes, random numbers


@pytest.hookimpl(tryfirst=True)  # before -m selects by the marks
def pytest_collection_modifyitems(items):
    for item in items:
        if DEVICE != "cpu" and ("anywhere" in item.keywords or "device" in item.fixturenames):
            item.add_marker("gpu")
        elif DEVICE == "cpu" and "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="needs TINYALEX_DEVICE=cuda"))
        if "emulated" in item.keywords and not emulator.is_installed():
            reason = "needs emulated GPUs: pytest -p tinyalex.emulator.pytest_plugin"
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def device():
    return DEVICE


@pytest.fixture(autouse=True)
def on_the_device(request):
    """Tests that run on any device create their tensors on DEVICE.

    It is also CuPy's current device, except in test_gpu.py, which tests that it need
    not be.
    """
    device = DEVICE if "gpu" in request.keywords else "cpu"
    devices.set_default(device)
    with devices.on("cpu" if request.path.name == "test_gpu.py" else device):
        yield
    devices.set_default("cpu")


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture(autouse=True)
def seeded():
    """Each test starts with the same random streams of tinyalex."""
    tinyalex.manual_seed(0)


@pytest.fixture
def rng(request):
    """NumPy's generator, seeded by the name of the test."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


@pytest.fixture
def scripts(monkeypatch):
    """Makes the modules in benchmarks/ importable."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
