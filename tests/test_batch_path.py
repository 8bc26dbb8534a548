"""The files that run for a batch are those in docs/architecture.md."""

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
    """(the result, the files of tinyalex in the order of their first call)"""
    files = []

    def on_event(frame, event, argument):
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            name = path.relative_to(PACKAGE).as_posix()
            # Without a GPU, CuPy's kernels run in the emulator.
            if name not in files and not name.startswith("emulator/"):
                files.append(name)

    sys.setprofile(on_event)
    try:
        result = function(*arguments)
    finally:
        sys.setprofile(None)
    return result, files


def walk(device):
    """(files of the forward pass, files of the backward pass)"""
    net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)).to(device)
    x = ta.Tensor(np.ones((16, 3, 16, 16), np.float32), device=device)
    net(x).sum().backward()  # imports and caches
    y, forward = traced(net, x)
    dy = ta.Tensor(np.ones(y.shape, np.float32), device=device)
    _, backward = traced(y.backward, dy)
    return forward, backward


@pytest.mark.anywhere
def test_a_batch_runs_the_listed_files(device):
    where = "CPU" if device == "cpu" else "CUDA"
    with ta.fast(False):
        forward, backward = walk(device)
    assert forward == files_under(f"Forward, {where}")
    assert backward == files_under(f"Backward, {where}")
    assert len({*forward, *backward}) <= 17


def test_fast_paths_run_the_listed_files():
    with ta.fast(True):
        forward, backward = walk("cpu")
    assert forward == files_under("Forward, CPU, with fast paths")
    assert backward == files_under("Backward, CPU, with fast paths")
