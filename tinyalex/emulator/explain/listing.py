"""A kernel's source, with measurements under its lines."""

import re
import textwrap
from collections.abc import Iterator, Sequence

from tinyalex.emulator.explain.launches import MeasuredLaunch
from tinyalex.kernels.cuda import source_files

MAX_SOURCE_COLUMNS = 111


def listing(file: str, name: str, launches: Sequence[MeasuredLaunch]) -> Iterator[str]:
    """The kernel, the definitions it uses, and measurements in other files."""
    source = (source_files.FOLDER / file).read_text(encoding="utf-8").splitlines()
    shown: set[str] = set()
    for first, last in _excerpts(source, name):
        if shown:
            yield ""
        for number in range(first, last + 1):
            line = f"{file}:{number}"
            shown.add(line)
            yield from _numbered(number, source[number - 1])
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


_DEFINITION = re.compile(r"(?:struct|const int) (\w+)|[^ }#].*?\b([a-z]\w*)\(")
"""A definition outside of all braces; not the name of __launch_bounds__."""


def _excerpts(source: Sequence[str], name: str) -> list[tuple[int, int]]:
    """The paragraphs that define `name` and the names it uses."""
    code = [re.sub(r"//.*", "", line) for line in source]
    defined = {}
    for first, last in _paragraphs(source):
        for line in code[first - 1 : last]:
            if match := _DEFINITION.match(line):
                defined[match[1] or match[2]] = first, last
    names, found = [name], set()
    while names:
        paragraph = defined.get(names.pop())
        if paragraph and paragraph not in found:
            found.add(paragraph)
            names += re.findall(r"\w+", "\n".join(code[paragraph[0] - 1 : paragraph[1]]))
    return sorted(found)


def _paragraphs(source: Sequence[str]) -> Iterator[tuple[int, int]]:
    """(first, last line) of paragraphs: blank lines outside of braces end them."""
    first, depth = 1, 0
    for number, line in enumerate([*source, ""], 1):
        depth += line.count("{") - line.count("}")
        if not line.strip() and depth == 0:
            yield first, number - 1
            first = number + 1
