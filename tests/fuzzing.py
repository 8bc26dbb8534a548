"""Fuzzing of the readers of files: mutated files, limits, and a table of the outcomes.

A reader must return a right result or raise ValueError or another `Format.errors`, in
10 s and 1 GiB, start no program, and touch no file outside its folder.
"""

import collections
import copy
import json
import re
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis
from hypothesis import strategies as st
from limits import Worker

SECRET = "secret.jpg"
"""A file beside the folder of a format, which no reader may open."""


@dataclass
class Format:
    """A file format, its reader, and valid files of it."""

    name: str
    write: Callable[[Path], Path]
    """Writes valid files into a folder, and returns the one to mutate."""
    read: Callable[[Path, Path], None]
    """Reads (folder, file). Raises AssertionError for a wrong result."""
    unwrap: Callable[[bytes], bytes] = bytes
    """The part of the file to mutate, before compression and checksums."""
    wrap: Callable[[bytes, bytes], bytes] = lambda whole, part: part
    """The file with another part."""
    tokens: tuple[bytes, ...] = ()
    """Text that has a meaning in the format."""
    is_json: bool = False
    """Whether to change values, and leave the syntax as it is."""
    errors: tuple[type[Exception], ...] = (ValueError, FileNotFoundError)


@dataclass
class Outcome:
    """What a campaign has found."""

    files: int = 0
    read: int = 0
    errors: collections.Counter = field(default_factory=collections.Counter)

    def __str__(self):
        return f"{self.files} files, {self.read} read, {len(self.errors)} distinct errors"


NUMBERS = [0, 1, 7, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1]
NUMBERS += [2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
INTEGERS = [
    struct.pack(order + code, n)
    for n in NUMBERS
    for order in "<>"
    for code, limit in (("B", 2**8), ("H", 2**16), ("I", 2**32), ("Q", 2**64))
    if n < limit
]
TEXTS = [b"-1", b"1e999", b"NaN", b"null", b"true", b"{}", b"[]", b'""', b"9" * 400, b"../"]
TEXTS += [b"/etc/passwd", b"../" + SECRET.encode(), b"\0", b"\n", b"\xff\xfe", b"\x1b[2J", b"'"]
TEXTS += [b"[" * 3000, b"0.5", b"%s", b"~nouser", b"\xed\xa0\x80", b" ", b"a" * 5000]


def edits(tokens):
    """Changes: (position from 0 to 1, (bytes to remove, bytes to insert, copies))."""
    text = st.sampled_from([*TEXTS, *tokens]) if tokens else st.sampled_from(TEXTS)
    position = st.floats(0, 1, exclude_max=True)
    replaced = st.one_of(
        st.binary(min_size=1, max_size=1).map(lambda b: (1, b, 1)),
        st.sampled_from(INTEGERS).map(lambda b: (len(b), b, 1)),
        text.map(lambda b: (len(b), b, 1)),
        text.map(lambda b: (0, b, 1)),
        st.tuples(text, st.integers(2, 2000)).map(lambda pair: (0, *pair)),
        st.integers(1, 2000).map(lambda size: (size, b"", 1)),
        st.just((1 << 40, b"", 1)),
        st.tuples(st.integers(1, 200), st.integers(2, 300)).map(
            lambda pair: (pair[0], None, pair[1])
        ),
    )
    return st.lists(st.tuples(position, replaced), min_size=1, max_size=4)


def mutated(content, changes):
    for where, (size, inserted, copies) in changes:
        start = int(where * len(content))
        removed = content[start : start + size]
        new = (removed if inserted is None else inserted) * copies
        content = content[:start] + new[: 1 << 20] + content[start + size :]
    return content


VALUES = [None, True, 0, -1, 1, 0.5, 2**31, 2**64, 10**400, 1e308, float("nan"), float("inf")]
VALUES += [
    "",
    "x",
    "../x",
    "a" * 5000,
    "\0",
    "\x1b[2J",
    "\ud800",
    [],
    {},
    [1],
    [[[]]],
    {"x": 1},
    [0] * 5000,
]


def value_edits():
    """Changes of a JSON document: (position from 0 to 1, new value)."""
    position = st.floats(0, 1, exclude_max=True)
    return st.lists(st.tuples(position, st.sampled_from(VALUES)), min_size=1, max_size=3)


def with_values(content, changes):
    document = json.loads(content)
    for where, value in changes:
        places = list(places_in(document))
        container, key = places[int(where * len(places))]
        container[key] = copy.deepcopy(value)
    return json.dumps(document).encode()


def places_in(value):
    """(container, key) of each value in a JSON document."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in list(items):
        yield value, key
        if isinstance(item, (dict, list)):
            yield from places_in(item)


def campaign(form, count, scratch, seed=0):
    """Read `count` mutated files. Raises AssertionError for the smallest bad one."""
    original, folder = scratch / "original", scratch / "folder"
    original.mkdir(parents=True)
    (scratch / SECRET).write_bytes(b"secret")
    file = form.write(original)
    content, relative = file.read_bytes(), file.relative_to(original)
    part = form.unwrap(content)
    shutil.copytree(original, folder)
    outcome = Outcome()

    def read():
        form.read(folder, folder / relative)

    read()  # the valid file
    read.__name__ = form.name
    before = list_files(folder)

    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        report_multiple_bugs=False,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
    )
    @hypothesis.seed(seed)
    @hypothesis.given(value_edits() if form.is_json else edits(form.tokens))
    def read_mutated(changes):
        try:
            changed = (with_values if form.is_json else mutated)(part, changes)
            whole = form.wrap(content, changed)
        except (ValueError, struct.error):  # what cannot be wrapped
            hypothesis.reject()
        (folder / relative).write_bytes(whole)
        outcome.files += 1
        try:
            worker()
            outcome.read += 1
        except form.errors as error:
            outcome.errors[template(error)] += 1
        assert list_files(folder) == before, f"{form.name} left files"

    with Worker(read, folder, scratch) as worker:
        read_mutated()
    return outcome


def list_files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def template(error):
    """The error's first line without the names and numbers in it."""
    assert str(error).strip(), f"{type(error).__name__} without a message"
    text = re.sub(r"/[^\s:]*|b?'[^']*'|b?\"[^\"]*\"", "...", str(error).split("\n")[0])
    return f"{type(error).__name__}: {re.sub(r'[0-9]+', '0', text)[:60]}"
