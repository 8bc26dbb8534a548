"""What all tests share: the device, the dtypes, seeded random numbers, real images where there are some, and `--no-skips`."""

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

DEVICE = os.environ.get("TINYALEX_DEVICE", "cpu")
"""Where the tests marked `gpu` run: cuda, cuda:1, or the default cpu, which has none of them."""

REPOSITORY = Path(__file__).resolve().parent.parent
PACKS = ("cifar10", "imagenet")
"""The real images that tests use, by the names `unpack.py` has for them."""

NEEDS = {
    "hypothesis": ["geometries.py", "test_fuzz.py", "test_peers_fuzz.py"],
    "requests": ["test_download.py"],
    "scipy": ["test_preparing.py", "test_train_imagenet.py"],
}
"""Files that import, at their top, what a machine that is lent for its GPU may not have."""

collect_ignore = [
    file
    for library, files in NEEDS.items()
    if importlib.util.find_spec(library) is None
    for file in files
]

if "test_fuzz.py" not in collect_ignore:
    import hypothesis

    # No deadline: the machine may be busy with something else. Derandomized: a run that was green stays green.
    hypothesis.settings.register_profile("tinyalex", deadline=None, derandomize=True)
    hypothesis.settings.load_profile("tinyalex")


def pytest_report_header():
    device = f"device: {DEVICE}{', the stand-in' if 'TINYALEX_STANDIN' in os.environ else ''}"
    return (
        [device, f"left out, for lack of a library: {', '.join(collect_ignore)}"]
        if collect_ignore
        else device
    )


# Skips


def pytest_addoption(parser):
    parser.addoption(
        "--no-skips",
        action="store_true",
        help="fail if a selected test was skipped, and say why it was",
    )


class NoSkips:
    """A run in which a skipped test, or a test file that skips itself as a whole, is a failure (an expected failure is not)."""

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
            terminalreporter.section("skipped, which --no-skips makes a failure", red=True)
            for reason in dict.fromkeys(self.reasons):
                terminalreporter.line(reason)


# Counts


TOLD = pytest.StashKey[list[str]]()


@pytest.fixture
def tell(request):
    """tell(line): print a line at the end of the run, such as how many cases a test went through."""
    return request.config.stash[TOLD].append


def pytest_terminal_summary(terminalreporter, config):
    if lines := config.stash[TOLD]:
        terminalreporter.section("counts")
        terminalreporter.write("\n".join([*lines, ""]))


# Real images


def pytest_configure(config):
    config.stash[TOLD] = []
    if "TINYALEX_STANDIN" in os.environ:  # before anything imports cupy
        import standin

        standin.install()
    if DEVICE != "cpu" and (reason := devices.why_no_cuda()):
        pytest.exit(
            f"TINYALEX_DEVICE={DEVICE}, but {reason}", returncode=pytest.ExitCode.USAGE_ERROR
        )
    if config.getoption("--no-skips"):
        config.pluginmanager.register(NoSkips())
    unpack = REPOSITORY.parent / "shared" / "data" / "unpack.py"
    if "TINYALEX_DATA" not in os.environ and unpack.exists():
        os.environ["TINYALEX_DATA"] = str(unpacked_images(unpack))


def unpacked_images(unpack):
    """The folder with the real images as their downloads lay them out, made by the first run on this machine.

    They are unpacked under another name and renamed, so that a folder with the right name is always complete.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    images = cache / f"tinyalex-test-data-{'-'.join(PACKS)}"
    if images.is_dir():
        return images
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="tinyalex-unpacking-") as folder:
        made = Path(folder) / "images"
        subprocess.run([sys.executable, str(unpack), str(made), *PACKS], check=True)
        try:
            made.rename(images)
        except OSError:
            # Another run came first: its images are as good as ours.
            if not images.is_dir():
                raise
    return images


@pytest.fixture
def real_data():
    """The folder with cifar-10-batches-py and the like."""
    if "TINYALEX_DATA" not in os.environ:
        pytest.skip("no real images: set TINYALEX_DATA to a folder with cifar-10-batches-py in it")
    return Path(os.environ["TINYALEX_DATA"])


# Devices, dtypes, random numbers


@pytest.hookimpl(tryfirst=True)  # before -m looks at the marks
def pytest_collection_modifyitems(items):
    for item in items:
        if DEVICE != "cpu" and ("anywhere" in item.keywords or "device" in item.fixturenames):
            item.add_marker("gpu")
        elif DEVICE == "cpu" and "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="needs TINYALEX_DEVICE=cuda"))


@pytest.fixture
def device():
    return DEVICE


@pytest.fixture(autouse=True)
def on_the_device(request):
    """Tensors of tests that run anywhere are made on the device: conftest alone knows which it is."""
    devices.set_default(DEVICE if "gpu" in request.keywords else "cpu")
    yield
    devices.set_default("cpu")


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture(autouse=True)
def seeded():
    """tinyalex's random numbers start anew in each test, whichever ran before."""
    tinyalex.manual_seed(0)


@pytest.fixture
def rng(request):
    """NumPy's random numbers, seeded by the name of the test: the same ones when it is run again, alone or with others."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))
