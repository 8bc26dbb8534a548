"""`explain`: the memory traffic of each line. Needs g++; NVRTC only where stated."""

import re

import numpy as np
import pytest
from test_kernels import arrays_of

from tinyalex import emulator
from tinyalex.emulator import explain as explain_module
from tinyalex.emulator import nvrtc
from tinyalex.emulator.explain import explain, launches
from tinyalex.emulator.explain.summary import summary
from tinyalex.emulator.kernels.memory_reports import MemoryUse
from tinyalex.installation import pip_install
from tinyalex.kernels import cpu, cuda
from tinyalex.kernels.cuda import source_files
from tinyalex.kernels.example_arguments import on_arrays

pytestmark = pytest.mark.cuda

KERNELS = {name: file for file in source_files.files() for name in source_files.signatures(file)}


@pytest.fixture
def without_nvrtc(monkeypatch):
    def missing(*args):
        raise ImportError("NVRTC is not installed")

    monkeypatch.setattr(nvrtc, "compile", missing)


def notes_under(text, code):
    """The measurements under the source line that contains `code`."""
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if code in line)
    rest = lines[at + 1 :]
    return [
        line.strip()
        for line in rest[: next(i for i, line in enumerate(rest) if not line.startswith("     >"))]
    ]


def test_im2col_with_a_stride_touches_more_sectors_than_without(without_nvrtc):
    text = explain("im2col")
    first, stores, second, _ = notes_under(text, "*out = inside ?")
    wide, narrow = (
        float(re.search(r": (\S+) sectors per global load", line)[1]) for line in (first, second)
    )
    # 32 pixels with a stride of 4 span 128 * 4 bytes, 16 sectors, and one more if they
    # start within a sector or wrap at the end of a row.
    assert 16 < wide < 18
    assert 4 < narrow < 5.5
    assert first == f"> conv1: {wide} sectors per global load (ideal 4.0)"
    assert "sectors per global store" in stores
    one_line = " ".join(text.split())
    assert re.search(
        rf"conv1: the loads at line \d+ touch {wide} sectors per warp \(ideal 4.0\)", one_line
    )


def test_explain_shows_the_source_with_comments_and_line_numbers(without_nvrtc):
    text = explain("im2col")
    source = (source_files.FOLDER / "columns.cu").read_text().splitlines()
    shown = {int(number): line for number, line in re.findall(r"^ +(\d+) \| (.*)$", text, re.M)}
    first = min(shown) - 1
    assert source[first].startswith("//")
    assert not source[first - 1]
    assert shown[max(shown)] == "}"
    assert all(source[number - 1].startswith(line) for number, line in shown.items())
    assert "col2im" not in " ".join(shown.values())


def test_explain_shows_the_launch_and_its_arguments(without_nvrtc):
    text = explain("im2col")
    assert text.startswith(
        "im2col<float> of columns.cu, run on the CPU with every memory access counted:"
    )
    size = "12 blocks of 256 threads"  # 55 * 55 threads
    assert f"conv1, 11 x 11, stride 4, one channel: {size}" in text
    assert "x (1, 1, 227, 227), col (1, 11, 11, 1, 55, 55)" in text
    assert "N=1, C=1, H=227, W=227, KH=11, KW=11, OH=55, OW=55, sh=4, sw=4" in text


def test_shared_memory_is_shown_in_the_functions_that_a_kernel_calls(without_nvrtc):
    text = explain("cross_entropy")
    assert notes_under(text, "shared[t] = value;") == ["> 1.0 passes per shared store"]
    assert "Shared memory has no bank conflicts" in text
    assert "struct Larger" in text
    assert "W block_reduce(W value" in text
    assert "cross_entropy_backward" not in text


def test_bank_conflicts_are_shown_beside_coalesced_accesses(without_nvrtc):
    text = explain("dropout")
    assert "philox(unsigned long long c[4]" in text
    assert notes_under(text, "0xffffffffull) < threshold;") == [
        "> 2.0 passes per shared store (ideal 1.0)"
    ]
    assert "fc6: all global accesses are coalesced" in " ".join(text.split())


def test_headers_are_shown_as_far_as_a_kernel_uses_them(without_nvrtc):
    text = explain("sgd_update")
    assert "array_lists.cuh:\n" in text
    assert "struct Arrays" in text
    assert "common.cuh" not in text


@pytest.mark.parametrize("name", ["im2col", "cross_entropy", "dropout"])
def test_explain_fits_a_terminal_of_120_columns(without_nvrtc, name):
    assert max(map(len, explain(name).splitlines())) <= 120


@pytest.mark.parametrize("name", KERNELS)
def test_explained_calls_equal_those_of_numpy(name):
    """Without statistics, so that the builds of other tests are reused."""
    for title, arguments in launches.calls_of(name).items():
        actual, expected = ([on_arrays(np.copy, x) for x in arguments] for _ in range(2))
        getattr(cpu, name)(*expected)
        with emulator.running():
            getattr(cuda, name)(*actual)
        for argument in zip(actual, expected, strict=True):
            for x, y in zip(*map(arrays_of, argument), strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4, err_msg=title)


def test_a_kernel_without_a_typical_call_is_explained_with_the_largest_example(monkeypatch):
    monkeypatch.setattr(launches, "typical_calls", lambda: iter(()))
    (arguments,) = launches.calls_of("relu").values()
    assert arguments[0].dtype == np.float32


def test_explain_lists_the_kernels_for_an_unknown_name():
    with pytest.raises(
        ValueError,
        match="explain: expected the name of a kernel, got 'conv'. There are adam_update, augment, ",
    ) as error:
        explain("conv")
    assert all(name in str(error.value) for name in KERNELS)


def test_without_nvrtc_explain_states_how_to_install_it(without_nvrtc):
    text = " ".join(explain("relu").split())
    assert f"on a GPU: {pip_install('cuda-check')}" in text


@pytest.mark.parametrize(
    ("registers", "shared", "expected"),
    [
        (32, 1024, "8 blocks of 256 threads per multiprocessor, 2048 of its 2048 threads."),
        (33, 0, "6 blocks of 256 threads per multiprocessor, 1536 of its 2048 threads, limited by registers."),
        (8, 99 << 10, "2 blocks of 256 threads per multiprocessor, 512 of its 2048 threads, limited by shared memory."),
    ],
)  # fmt: skip
def test_occupancy_follows_from_registers_and_shared_memory(
    monkeypatch, registers, shared, expected
):
    used = nvrtc.Compiled(
        registers=registers, stack=0, spills=0, shared=shared, barriers=0, doubles=0
    )
    monkeypatch.setattr(nvrtc, "compile", lambda code, file, names, arch: {names[0]: used})
    monkeypatch.setattr(nvrtc, "version", lambda: (13, 0))
    text = explain_module._resources("activation.cu", "relu<float>")
    assert text == (
        f"Compiled by NVRTC 13.0 for sm_90: {registers} registers per thread, 0 bytes spilled, "
        f"{shared} bytes of shared memory per block. Occupancy: {expected}"
    )


def test_nvrtc_reports_the_registers_of_a_kernel():
    try:
        nvrtc.version()
    except ImportError as missing:
        pytest.skip(str(missing))
    text = explain_module._resources("activation.cu", "relu<float>")
    assert re.match(r"Compiled by NVRTC \S+ for sm_90: \d+ registers per thread", text)


def use(space="global", access="load", cost=4.0, ideal=4.0, requests=10):
    return MemoryUse("some.cu:7", space, access, requests, cost, ideal)


@pytest.mark.parametrize(
    ("uses", "expected"),
    [
        ([use()], "a: all global accesses are coalesced: they touch no more sectors than needed. In all, 10 requests move 1 kB, 100% of it by the loads at line 7."),
        ([use(cost=5.0)], "a: the loads at line 7 touch 5.0 sectors per warp (ideal 4.0): almost contiguous"),
        ([use(cost=16.0)], "75% of the bytes in those sectors are not used"),
        ([use(access="store", cost=32.0)], "88% of the bytes in those sectors are not written"),
        ([use(cost=1.0), use("global", "store")], "move 2 kB, 80% of it by the stores at line 7."),
        ([use(), use("shared", cost=8.0, ideal=1.0)], "Shared memory has bank conflicts: the loads at line 7 take 8.0 passes (ideal 1.0)."),
    ],
    ids=["coalesced", "almost contiguous", "strided loads", "strided stores", "one element for all", "bank conflicts"],
)  # fmt: skip
def test_the_summary_describes_the_measurements(uses, expected):
    launch = launches.MeasuredLaunch("a, b", "f<float>", 1, (), uses)
    assert expected in summary(launch)
