"""`explain`: a kernel's text with what each line does to memory. Needs g++; NVRTC only where it says so."""

import re

import numpy as np
import pytest

from tinyalex import emulator
from tinyalex.emulator import explain as explaining
from tinyalex.emulator import nvrtc
from tinyalex.emulator.explain import explain
from tinyalex.emulator.reports import MemoryUse
from tinyalex.kernels import cpu, cuda
from tinyalex.kernels.cuda import sources

pytestmark = pytest.mark.cuda

KERNELS = {name: file for file in sources.files() for name in sources.signatures(file)}


@pytest.fixture
def without_nvrtc(monkeypatch):
    def missing(*args):
        raise ImportError("NVRTC is not installed")

    monkeypatch.setattr(nvrtc, "compile", missing)


def below(text, code):
    """The measurements under the line of source with `code` in it."""
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if code in line)
    rest = lines[at + 1 :]
    return [
        line.strip()
        for line in rest[: next(i for i, line in enumerate(rest) if not line.startswith("     >"))]
    ]


def test_im2col_with_a_stride_touches_more_sectors_than_without(without_nvrtc):
    text = explain("im2col")
    first, stores, second, _ = below(text, "*out = inside ?")
    wide, narrow = (
        float(re.search(r": (\S+) sectors a load", line)[1]) for line in (first, second)
    )
    # 32 places 4 pixels apart are 128 * 4 bytes, 16 sectors, and one more for a beginning within a sector and the ends of rows.
    assert 16 < wide < 18
    assert 4 < narrow < 5.5
    assert first == f"> conv1: {wide} sectors a load of global memory, 4.0 would do"
    assert "sectors a store of global memory" in stores
    assert (
        f"conv1: the loads at line 25 touch {wide} sectors of 32 bytes for a warp, 4.0 would be enough"
        in " ".join(text.split())
    )


def test_the_source_is_there_with_its_comment_and_line_numbers(without_nvrtc):
    text = explain("im2col")
    source = (sources.FOLDER / "columns.cu").read_text().splitlines()
    shown = {int(number): line for number, line in re.findall(r"^ +(\d+) \| (.*)$", text, re.M)}
    assert (
        min(shown)
        == source.index(next(line for line in source if line.startswith("// Patches to columns")))
        + 1
    )
    assert shown[max(shown)] == "}"
    assert all(source[number - 1].startswith(line) for number, line in shown.items())
    assert "col2im" not in " ".join(shown.values())


def test_it_says_what_was_launched(without_nvrtc):
    text = explain("im2col")
    assert text.startswith(
        "im2col<float> of columns.cu, run on the CPU with every access to memory counted:"
    )
    assert (
        "conv1, 11 x 11, stride 4, a channel of it: 12 blocks of 256 threads" in text
    )  # 55 * 55 threads
    assert "x (1, 1, 227, 227), col (1, 11, 11, 1, 55, 55)" in text
    assert "N=1, C=1, H=227, W=227, KH=11, KW=11, OH=55, OW=55, sh=4, sw=4" in text


def test_shared_memory_is_shown_where_a_helper_of_the_kernel_uses_it(without_nvrtc):
    text = explain("cross_entropy")
    assert below(text, "shared[t] = value;") == [
        "> 1.0 passes through the banks a store of shared memory"
    ]
    assert "Shared memory has no bank conflicts" in text
    assert "struct Larger" in text
    assert "W block_reduce(W value" in text
    assert "cross_entropy_backward" not in text


def test_stores_of_bytes_eight_apart_are_told_from_runs(without_nvrtc):
    text = explain("random_mask")
    assert "philox(unsigned long long c[4]" in text
    assert below(text, "threshold;") == ["> 8.0 sectors a store of global memory, 1.0 would do"]
    assert "88% are not written by it" in " ".join(text.split())


@pytest.mark.parametrize("name", ["im2col", "cross_entropy", "random_mask"])
def test_it_fits_a_terminal(without_nvrtc, name):
    assert max(map(len, explain(name).splitlines())) <= 120


@pytest.mark.parametrize("name", KERNELS)
def test_what_is_launched_computes_what_numpy_does(name):
    """Every kernel has launches, of shapes that fit together; built without statistics, as other tests have built it already."""
    for title, arguments in explaining._calls(name).items():
        mine, theirs = (
            [x.copy() if isinstance(x, np.ndarray) else x for x in arguments] for _ in range(2)
        )
        getattr(cpu, name)(*theirs)
        with emulator.running():
            getattr(cuda, name)(*mine)
        for x, y in zip(mine, theirs, strict=True):
            if isinstance(x, np.ndarray):
                np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4, err_msg=title)


def test_a_kernel_without_a_launch_of_its_own_gets_the_largest_example(monkeypatch):
    monkeypatch.setattr(explaining, "_activation", lambda random: iter(()))
    (arguments,) = explaining._calls("relu").values()
    assert arguments[0].dtype == np.float32


def test_an_unknown_kernel_is_refused_with_a_list():
    with pytest.raises(
        ValueError,
        match="explain: expected the name of a kernel, got 'conv'. There are augment, avg_pool, ",
    ) as error:
        explain("conv")
    assert all(name in str(error.value) for name in KERNELS)


def test_without_nvrtc_it_says_how_to_see_the_registers(without_nvrtc):
    assert "after pip install nvidia-cuda-nvrtc nvidia-cuda-runtime" in " ".join(
        explain("relu").split()
    )


@pytest.mark.parametrize(
    ("registers", "shared", "expected"),
    [
        (
            32,
            1024,
            "A multiprocessor holds 8 such blocks of 256 threads at once, 2048 of its 2048 threads.",
        ),
        (
            33,
            0,
            "A multiprocessor holds 6 such blocks of 256 threads at once, 1536 of its 2048 threads: it has no more registers.",
        ),
        (
            8,
            99 << 10,
            "A multiprocessor holds 2 such blocks of 256 threads at once, 512 of its 2048 threads: it has no more shared memory.",
        ),
    ],
)
def test_registers_and_shared_memory_say_how_many_blocks_fit(
    monkeypatch, registers, shared, expected
):
    taken = nvrtc.Compiled(
        registers=registers, stack=0, spills=0, shared=shared, barriers=0, doubles=0
    )
    monkeypatch.setattr(nvrtc, "compile", lambda code, file, names, arch: {names[0]: taken})
    monkeypatch.setattr(nvrtc, "version", lambda: (13, 0))
    text = explaining._resources("activation.cu", "relu<float>")
    assert text == (
        f"Compiled by NVRTC 13.0 for sm_90: {registers} registers a thread, 0 bytes spilled to memory, "
        f"{shared} bytes of shared memory a block. {expected}"
    )


def test_with_nvrtc_the_registers_are_those_of_the_kernel():
    try:
        nvrtc.version()
    except ImportError as missing:
        pytest.skip(str(missing))
    assert re.match(
        r"Compiled by NVRTC \S+ for sm_90: \d+ registers a thread",
        explaining._resources("activation.cu", "relu<float>"),
    )


def use(space="global", access="load", cost=4.0, ideal=4.0, requests=10):
    return MemoryUse("some.cu:7", space, access, requests, cost, ideal)


@pytest.mark.parametrize(
    ("uses", "expected"),
    [
        ([use()], "a: no access to global memory touches more sectors than its bytes fill: neighbouring threads use neighbouring numbers. In all, the sectors of 10 requests come to 1 kB; 100% of them belong to the loads at line 7."),
        ([use(cost=5.0)], "a: the loads at line 7 touch 5.0 sectors of 32 bytes for a warp, 4.0 would be enough: nearly one run of memory"),
        ([use(cost=16.0)], "of the bytes in those sectors 75% come along without being asked for"),
        ([use(access="store", cost=32.0)], "of the bytes in those sectors 88% are not written by it"),
        ([use(cost=1.0), use("global", "store")], "come to 2 kB; 80% of them belong to the stores at line 7."),
        ([use(), use("shared", cost=8.0, ideal=1.0)], "Shared memory has bank conflicts: the loads at line 7 go through the banks 8.0 times, where 1.0 would do."),
    ],
    ids=["ideal", "a run with gaps", "loads apart", "stores apart", "one number for all", "bank conflicts"],
)  # fmt: skip
def test_the_sentences_say_what_the_numbers_do(uses, expected):
    launched = explaining.Launched("a, b", "f<float>", (1,), (), uses)
    assert expected in explaining._meaning(launched)
