"""The files that a batch goes through, as docs/architecture.md lists them."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import nn

PACKAGE = Path(ta.__file__).parent
PAGE = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")


def files_under(heading):
    """The files in the first column of the table below a heading."""
    section = PAGE.split(f"\n### {heading}\n")[1].split("\n### ")[0]
    return re.findall(r"^\| `([\w/]+\.py)` \|", section, re.MULTILINE)


def traced(function, *arguments):
    """The result, and the files of tinyalex in the order in which they were entered."""
    files = []

    def on_event(frame, event, argument):
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            name = path.relative_to(PACKAGE).as_posix()
            # The emulator runs below CuPy, where there is no GPU.
            if name not in files and not name.startswith("emulator/"):
                files.append(name)

    sys.setprofile(on_event)
    try:
        result = function(*arguments)
    finally:
        sys.setprofile(None)
    return result, files


def walk(device):
    """The files of the forward pass, and those of the backward pass."""
    net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)).to(device)
    x = ta.Tensor(np.ones((16, 3, 16, 16), np.float32), device=device)
    net(x).sum().backward()  # imports and caches
    y, forward = traced(net, x)
    dy = ta.Tensor(np.ones(y.shape, np.float32), device=device)
    _, backward = traced(y.backward, dy)
    return forward, backward


@pytest.mark.anywhere
def test_a_batch_goes_through_the_files_that_are_listed(device):
    where = "CPU" if device == "cpu" else "CUDA"
    with ta.fast(False):
        forward, backward = walk(device)
    assert forward == files_under(f"Forward, {where}")
    assert backward == files_under(f"Backward, {where}")
    assert len({*forward, *backward}) <= 12


def test_fast_paths_go_through_the_files_that_are_listed():
    with ta.fast(True):
        forward, backward = walk("cpu")
    assert forward == files_under("Forward, CPU, with fast paths")
    assert backward == files_under("Backward, CPU, with fast paths")
