"""A kernel explained without a GPU: its source, and under each line that touches memory what a run on the CPU measured there."""

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyalex.emulator import nvrtc
from tinyalex.emulator.errors import CompileError
from tinyalex.emulator.launching import Kernel
from tinyalex.emulator.module import Module
from tinyalex.emulator.reports import SECTOR, MemoryUse
from tinyalex.kernels import cpu, cuda
from tinyalex.kernels.cuda import sources
from tinyalex.kernels.cuda.launching import BLOCK, engine
from tinyalex.kernels.examples import examples

WIDTH = 118
ARCH = 90
REGISTERS, THREADS, SHARED, RESERVED = 65536, 2048, 228 << 10, 1 << 10
"""Of a multiprocessor of that architecture. Of its shared memory each block takes the last besides its own."""

NEAR = 1.05
"""A cost within 5% of the ideal is called ideal."""

GAPS = 1.5
"""Up to so many times the ideal, a warp's numbers are taken for one run of memory with gaps in it."""

Call = tuple[str, str, tuple[Any, ...]]
"""A primitive, what the call stands for, and its arguments."""


@dataclass(frozen=True)
class Launched:
    """A kernel that has run: how it was launched, and what it did to memory."""

    title: str
    kernel: str
    grid: tuple[int, ...]
    arguments: tuple[Any, ...]
    uses: list[MemoryUse]


def explain(name: str) -> str:
    """The text of `tinyalex explain NAME`: the kernel's source, and under its lines the memory traffic that the emulator counted.

    Raises ValueError for a name that no kernel has, and CompileError where there is no g++.
    """
    files = {kernel: file for file in sources.files() for kernel in sources.signatures(file)}
    if name not in files:
        raise ValueError(
            f"explain: expected the name of a kernel, got {name!r}. There are {', '.join(sorted(files))}."
        )
    file = files[name]
    launches = [_launched(title, name, arguments) for title, arguments in _calls(name).items()]
    parts = [
        _filled(
            f"{launches[0].kernel} of {file}, run on the CPU with every access to memory counted:"
        ),
        [line for launched in launches for line in _heading(file, name, launched)],
        _filled(_resources(file, launches[0].kernel)),
        _filled(
            "Under a line of the source: what a warp of 32 threads does to memory each time that it comes by. Global memory is moved in "
            f"sectors of {SECTOR} bytes. Shared memory has 32 banks, and is gone through again for each further number in the same bank. "
            "(A thread that skips a turn of a loop is counted with the others' next turn, so that such a line looks worse than it is.)"
        ),
        _listing(file, name, launches),
        [line for launched in launches for line in _filled(_meaning(launched))],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts)


def _filled(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


# What is launched


def _calls(name: str) -> dict[str, tuple[Any, ...]]:
    """The arguments of a primitive in each of its launches, by what they stand for; of the largest example if none is made here."""
    random = np.random.default_rng(0)
    makers = (_convolution, _pooling, _normalization, _activation, _loss, _training)
    made = {
        title: arguments
        for make in makers
        for primitive, title, arguments in make(random)
        if primitive == name
    }
    if made:
        return made
    largest = max(
        (e for e in examples("float32") if e.primitive == name),
        key=lambda e: sum(np.size(x) for x in e.arguments),
    )
    return {largest.label or "an example": tuple(largest.copies())}


def _normal(random: np.random.Generator, *shape: int) -> np.ndarray:
    return random.standard_normal(shape, np.float32)


def _empty(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def _convolution(random: np.random.Generator) -> Iterator[Call]:
    windows = {
        "conv1, 11 x 11, stride 4, a channel of it": (
            (1, 1, 227, 227),
            (1, 11, 11, 1, 55, 55),
            (4, 4),
            (0, 0),
        ),
        "conv3, 3 x 3, four channels of it": ((1, 4, 13, 13), (4, 3, 3, 1, 13, 13), (1, 1), (1, 1)),
    }
    for title, (image, columns, stride, padding) in windows.items():
        window = columns[1:3], stride, padding, (1, 1)
        yield "im2col", title, (_normal(random, *image), _empty(*columns), *window)
        yield "col2im", title, (_normal(random, *columns), _empty(*image), *window)
    for title, size in (("conv1, two images", 55), ("conv3, two images", 13)):
        product, y = _normal(random, 8, 2, size, size), _normal(random, 2, 8, size, size)
        yield (
            "from_columns",
            title + ", eight filters",
            (product, _normal(random, 8), _empty(*y.shape)),
        )
        yield "to_columns", title + ", eight filters", (y, _empty(*product.shape))


def _pooling(random: np.random.Generator) -> Iterator[Call]:
    title, window = "3 x 3, stride 2, after conv1, four channels", ((3, 3), (2, 2), (0, 0))
    x, y, winners = (
        _normal(random, 1, 4, 55, 55),
        _empty(1, 4, 27, 27),
        np.zeros((1, 4, 27, 27), np.uint8),
    )
    dy, divisor = _normal(random, *y.shape), np.full(y.shape[2:], 9, np.float32)
    yield "max_pool", title, (x, y, winners, *window, (1, 1))
    won = winners.copy()
    cpu.max_pool(x, y, won, *window, (1, 1))
    yield "max_pool_backward", title, (dy, won, _empty(*x.shape), *window, (1, 1))
    yield "avg_pool", title, (x, y, divisor, *window)
    yield "avg_pool_backward", title, (dy, divisor, _empty(*x.shape), *window)


def _normalization(random: np.random.Generator) -> Iterator[Call]:
    x, dy, y = _normal(random, 1, 96, 27, 27), _normal(random, 1, 96, 27, 27), _empty(1, 96, 27, 27)
    yield "lrn", "5 of 96 channels, after pooling", (x, y, _empty(*x.shape), 5, 1e-4, 0.75, 2.0, 1)
    yield (
        "lrn_backward",
        "5 of 96 channels, after pooling",
        (dy, x, y, y + 2, _empty(*x.shape), 5, 1e-4, 0.75, 1),
    )
    x, dy, y = _normal(random, 1, 8, 32, 32), _normal(random, 1, 8, 32, 32), _empty(1, 8, 32, 32)
    yield (
        "spatial_norm",
        "5 x 5 places of CIFAR's 32 x 32",
        (x, y, _empty(*x.shape), 5, 1e-4, 0.75, 1.0),
    )
    yield (
        "spatial_norm_backward",
        "5 x 5 places of CIFAR's 32 x 32",
        (dy, x, y, y + 1, _empty(*x.shape), 5, 1e-4, 0.75),
    )


def _activation(random: np.random.Generator) -> Iterator[Call]:
    x, dy = _normal(random, 1, 64, 27, 27), _normal(random, 1, 64, 27, 27)
    yield "relu", "after conv2, 64 channels", (x, _empty(*x.shape))
    yield "relu_backward", "after conv2, 64 channels", (dy, np.maximum(x, 0), _empty(*x.shape))
    yield "random_mask", "fc6 for eight images", (np.zeros((8, 4096), bool), 0.5, (1, 2), 0, 0, 0)


def _loss(random: np.random.Generator) -> Iterator[Call]:
    x, p, t, loss = (
        _normal(random, 8, 1000),
        np.full((8, 1000), 1e-3, np.float32),
        np.arange(8) * 111,
        _empty(8),
    )
    yield (
        "cross_entropy",
        "1000 classes, eight images",
        (x, t, np.ones(1000, np.float32), p, loss, loss.copy(), -100),
    )
    yield (
        "cross_entropy_backward",
        "1000 classes, eight images",
        (loss + 1, p, t, loss + 1, _empty(*x.shape)),
    )


def _training(random: np.random.Generator) -> Iterator[Call]:
    w, velocity, grad = _normal(random, 3, 256 * 256)
    yield "sgd_update", "65536 weights", (w, velocity, grad, 0.01, 0.9, 0.0005)
    images, mean = random.integers(0, 256, (1, 1, 256, 256), np.uint8), _normal(random, 1, 256, 256)
    for title, flip in (("a crop of 227 x 227, one channel", 0), ("the same mirrored", 1)):
        moves = np.array([[14, 9, flip]], np.int32)
        yield (
            "augment",
            title,
            (images, mean, _empty(1, 1, 227, 227), moves, _normal(random, 1, 1), 1.0),
        )


class _Counted:
    """For `kernels.launch` in the place of CuPy: builds the one kernel that is called, with its accesses counted, and runs it."""

    kernel: Kernel
    grid: tuple[int, ...]
    arguments: tuple[Any, ...]

    def __call__(self, source: str, file: str, names: tuple[str, ...]) -> "_Counted":
        self._source, self._file = source, file
        return self

    def get_function(self, name: str) -> Callable[..., None]:
        self.kernel = Module(
            self._source, self._file, [name] if "<" in name else (), stats=True
        ).get_function(name)
        return self._run

    def _run(
        self, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]
    ) -> None:
        self.grid, self.arguments = grid, arguments
        self.kernel(grid, block, arguments)


def _launched(title: str, name: str, arguments: tuple[Any, ...]) -> Launched:
    counted = _Counted()
    with engine(counted):
        getattr(cuda, name)(*arguments)
    return Launched(
        title, counted.kernel.name, counted.grid, counted.arguments, counted.kernel.memory_report()
    )


# What is shown


def _heading(file: str, name: str, launched: Launched) -> list[str]:
    arrays, numbers = [], []
    for parameter, value in zip(
        sources.signatures(file)[name].parameters, launched.arguments, strict=True
    ):
        if parameter.is_array:
            arrays.append(f"{parameter.name} {value.shape}")
        else:
            numbers.append(
                f"{parameter.name}={value:g}"
                if isinstance(value, np.floating)
                else f"{parameter.name}={value}"
            )
    blocks = f"{launched.grid[0]:,} block{'s' * (launched.grid[0] > 1)} of {BLOCK} threads"
    return [
        f"  {launched.title}: {blocks}",
        *_filled(", ".join(arrays), "    "),
        *_filled(", ".join(numbers), "    "),
    ]


def _resources(file: str, kernel: str) -> str:
    """What NVRTC says that the kernel takes, and how much of a multiprocessor that lets be used."""
    try:
        names = [kernel] if "<" in kernel else []
        taken = nvrtc.compile(sources.text(file), file, names, ARCH)[kernel]
    except ImportError:
        return f"Its registers, spills and shared memory on a GPU would be shown here after {nvrtc.INSTALL}"
    except CompileError as error:
        return f"NVRTC does not compile it here, so that its registers are not known ({str(error).splitlines()[-1].strip()})."
    in_registers = REGISTERS // (-(-taken.registers // 8) * 8 * BLOCK)
    in_shared = SHARED // (taken.shared + RESERVED)
    blocks = min(THREADS // BLOCK, in_registers, in_shared)
    text = (
        f"Compiled by NVRTC {'.'.join(map(str, nvrtc.version()))} for sm_{ARCH}: {taken.registers} registers a thread, "
        f"{taken.spills} bytes spilled to memory, {taken.shared} bytes of shared memory a block"
    )
    if taken.stack:
        text += f", {taken.stack} bytes a thread of arrays in local memory"
    scarce = "registers" if in_registers == blocks else "shared memory"
    full = f"A multiprocessor holds {blocks} such blocks of {BLOCK} threads at once, {blocks * BLOCK} of its {THREADS} threads"
    return f"{text}. {full}{'' if blocks == THREADS // BLOCK else f': it has no more {scarce}'}."


def _listing(file: str, name: str, launches: Sequence[Launched]) -> list[str]:
    """The kernel and what it calls in its file, with the measurements under the lines that they belong to."""
    source = (sources.FOLDER / file).read_text(encoding="utf-8").splitlines()
    lines: list[str] = []
    shown = set()
    for first, last in _excerpts(source, name):
        lines += [""] if lines else []
        for number in range(first, last + 1):
            place = f"{file}:{number}"
            lines += _numbered(number, source[number - 1]) + _notes(place, launches)
            shown.add(place)
    elsewhere = sorted({use.line for launched in launches for use in launched.uses} - shown)
    return lines + [note for place in elsewhere for note in (f"{place}:", *_notes(place, launches))]


def _numbered(number: int, text: str) -> list[str]:
    """A line of the source, folded where it is too wide."""
    indent = " " * (len(text) - len(text.lstrip()))
    comment = "// " if text.lstrip().startswith("//") else "    "
    folded = textwrap.wrap(
        text.strip(), WIDTH - 7, initial_indent=indent, subsequent_indent=indent + comment
    ) or [""]
    return [f"{number if i == 0 else '':>4} | {part}".rstrip() for i, part in enumerate(folded)]


def _notes(place: str, launches: Sequence[Launched]) -> list[str]:
    notes = []
    for launched in launches:
        which = f"{_short(launched)}: " if len(launches) > 1 else ""
        for use in launched.uses:
            if use.line == place:
                unit = "sectors" if use.space == "global" else "passes through the banks"
                what = f"{use.cost:.1f} {unit} a {use.access} of {use.space} memory"
                notes.append(
                    f"     > {which}{what}{f', {use.ideal:.1f} would do' if use.cost > NEAR * use.ideal else ''}"
                )
    return notes


def _short(launched: Launched) -> str:
    return launched.title.partition(",")[0]


_HEADING = re.compile(r"(?:struct|const int) (\w+)|[^ }#].*?\b([a-z]\w*)\(")
"""What begins a definition, outside of all braces; not the name of __launch_bounds__."""


def _excerpts(source: Sequence[str], name: str) -> list[tuple[int, int]]:
    """First and last line of each paragraph that belongs to a kernel: its own, and those of the functions and constants it uses."""
    code = [re.sub(r"//.*", "", line) for line in source]
    paragraphs = _paragraphs(source)
    defined = {}
    for first, last in paragraphs:
        for line in code[first - 1 : last]:
            if heading := _HEADING.match(line):
                defined[heading[1] or heading[2]] = first, last
    wanted, found = [name], set()
    while wanted:
        paragraph = defined.get(wanted.pop())
        if paragraph and paragraph not in found:
            found.add(paragraph)
            wanted += re.findall(r"\w+", "\n".join(code[paragraph[0] - 1 : paragraph[1]]))
    return sorted(found)


def _paragraphs(source: Sequence[str]) -> list[tuple[int, int]]:
    """What is divided by blank lines outside of all braces."""
    paragraphs, first, depth = [], 1, 0
    for number, line in enumerate([*source, ""], 1):
        depth += line.count("{") - line.count("}")
        if not line.strip() and depth == 0:
            paragraphs.append((first, number - 1))
            first = number + 1
    return paragraphs


# What it means


def _meaning(launched: Launched) -> str:
    """Two or three sentences on the numbers of a launch."""
    uses = [use for use in launched.uses if use.space == "global"]
    shared = [use for use in launched.uses if use.space == "shared"]
    worst = max(uses, key=lambda use: (use.cost - use.ideal) * use.requests)
    most = max(uses, key=lambda use: use.cost * use.requests)
    moved = sum(use.requests * use.cost for use in uses)
    needed = sum(
        use.requests * min(use.cost, use.ideal) for use in uses
    )  # it costs less where threads share a number
    traffic = f"In all, the sectors of {sum(use.requests for use in uses):,} requests come to {_kilobytes(moved)}"
    if moved > NEAR * needed:
        traffic += f", where {_kilobytes(needed)} would do"
    sentences = [
        f"{_short(launched)}: {_coalescing(worst)}",
        f"{traffic}; {most.cost * most.requests / moved:.0%} of them belong to {_site(most)}.",
    ]
    if shared:
        sentences.append(_conflicts(max(shared, key=lambda use: use.cost / use.ideal)))
    return " ".join(sentences)


def _kilobytes(sectors: float) -> str:
    return f"{sectors * SECTOR / 1000:,.0f} kB"


def _site(use: MemoryUse) -> str:
    return f"the {use.access}s at line {use.line.rpartition(':')[2]}"


def _coalescing(use: MemoryUse) -> str:
    if use.cost <= NEAR * use.ideal:
        return "no access to global memory touches more sectors than its bytes fill: neighbouring threads use neighbouring numbers."
    counts = f"{_site(use)} touch {use.cost:.1f} sectors of {SECTOR} bytes for a warp, {use.ideal:.1f} would be enough"
    if use.cost <= GAPS * use.ideal:
        return f"{counts}: nearly one run of memory, but it starts within a sector, a row ends in it, or some threads sit out."
    counts += f": its threads' numbers lie apart, and of the bytes in those sectors {1 - use.ideal / use.cost:.0%}"
    if use.access == "load":
        return f"{counts} come along without being asked for, wasted unless the cache keeps them until another request wants them."
    return f"{counts} are not written by it: slow, unless the cache gathers them from other requests before it writes to memory."


def _conflicts(use: MemoryUse) -> str:
    if use.cost <= NEAR * use.ideal:
        return "Shared memory has no bank conflicts: what a warp wants at once lies in different banks, or is one and the same number."
    return f"Shared memory has bank conflicts: {_site(use)} go through the banks {use.cost:.1f} times, where {use.ideal:.1f} would do."
