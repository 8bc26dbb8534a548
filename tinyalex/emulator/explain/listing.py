"""A kernel's source, with measurements under its lines."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tinyalex.emulator.explain.launches import MeasuredLaunch
from tinyalex.kernels.cuda import source_files

MAX_SOURCE_COLUMNS = 111


def listing(file: str, name: str, launches: Sequence[MeasuredLaunch]) -> Iterator[str]:
    """The kernel, the definitions it uses, and measurements in other files."""
    shown: set[str] = set()
    for excerpt in _excerpts(file, name):
        if shown:
            yield ""
        if excerpt.file != file:
            yield f"{excerpt.file}:"
        for number, text in enumerate(excerpt.lines, excerpt.first):
            line = f"{excerpt.file}:{number}"
            shown.add(line)
            yield from _numbered(number, text)
            yield from _notes(line, launches)
    for line in sorted({use.line for launch in launches for use in launch.uses} - shown):
        yield f"{line}:"
        yield from _notes(line, launches)


def _numbered(number: int, text: str) -> Iterator[str]:
    """A line of the source, wrapped if it is too wide."""
    parts = textwrap.wrap(text, MAX_SOURCE_COLUMNS, subsequent_indent=" " * 8)
    for i, part in enumerate(parts or [""]):
        yield f"{'' if i else number:>4} | {part}".rstrip()


def _notes(line: str, launches: Sequence[MeasuredLaunch]) -> Iterator[str]:
    for launch in launches:
        title = f"{launch.short_title}: " if len(launches) > 1 else ""
        for use in launch.uses:
            if use.line == line:
                unit = "sectors" if use.space == "global" else "passes"
                ideal = "" if use.is_ideal else f" (ideal {use.ideal:.1f})"
                yield f"     > {title}{use.cost:.1f} {unit} per {use.space} {use.access}{ideal}"


_DEFINITION = re.compile(r"(?:template <.*> )?(?:struct|const int) (\w+)|[^ }#].*?\b([a-z]\w*)\(")
"""A definition outside of all braces; not the name of __launch_bounds__."""


class _Excerpt(NamedTuple):
    file: str
    first: int
    lines: tuple[str, ...]

    @property
    def code(self) -> list[str]:
        """The lines without comments."""
        return [re.sub(r"//.*", "", line) for line in self.lines]


def _excerpts(file: str, name: str) -> list[_Excerpt]:
    """The paragraphs that define `name` and the names it uses, in the file and in its
    headers, without those of common.cuh."""
    source = (source_files.FOLDER / file).read_text(encoding="utf-8")
    headers = set(re.findall('#include "(.*)"', source)) - {"common.cuh"}
    paragraphs = [p for each in (*sorted(headers), file) for p in _paragraphs(each)]
    defined = {}
    for paragraph in paragraphs:
        for line in paragraph.code:
            if match := _DEFINITION.match(line):
                defined[match[1] or match[2]] = paragraph
    names, found = [name], set()
    while names:
        used = defined.get(names.pop())
        if used and used not in found:
            found.add(used)
            names += re.findall(r"\w+", "\n".join(used.code))
    return [paragraph for paragraph in paragraphs if paragraph in found]


def _paragraphs(file: str) -> Iterator[_Excerpt]:
    """The paragraphs of a file: blank lines outside of braces end them."""
    lines = (source_files.FOLDER / file).read_text(encoding="utf-8").splitlines()
    first, depth = 1, 0
    for number, line in enumerate([*lines, ""], 1):
        depth += line.count("{") - line.count("}")
        if not line.strip() and depth == 0:
            yield _Excerpt(file, first, tuple(lines[first - 1 : number - 1]))
            first = number + 1
