"""The progress bar on a terminal, which is a pseudoterminal here."""

import os
import re
import sys

import pytest
from toy_run import toy

from tinyalex.training.progress import Progress, progress_bar

if os.name == "nt":
    pytest.skip("Windows has no pseudoterminals", allow_module_level=True)

import fcntl
import pty
import struct
import termios

END = "(end)"


@pytest.fixture
def terminal():
    """A terminal of 80 columns: a file to write to, and what was written."""
    reading, writing = pty.openpty()
    fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    with open(writing, "w") as file:

        def lines():
            print(END, file=file, flush=True)
            text = ""
            while END not in text:  # the kernel passes on what was written in parts
                text += os.read(reading, 1 << 16).decode()
            text = text.partition(END)[0]
            return [line for line in re.split(r"[\r\n]|\x1b\[A", text) if line.strip()]

        yield file, lines
    os.close(reading)


def test_the_bar_of_a_run_fits_80_columns(terminal, tmp_path, monkeypatch):
    stderr, written = terminal
    monkeypatch.setattr(sys, "stderr", stderr)  # pytest sets it before each test
    monkeypatch.setattr("tinyalex.training.trainer.READ_INTERVAL_SECONDS", -1)
    toy(tmp_path, epochs=1).fit()
    lines = written()
    assert max(map(len, lines)) <= 80
    shown = re.compile(r"epoch 1/1  40%\|.*\|00:0\d, loss .*, error .* %, .* images/s, wait .* %")
    assert any(map(shown.fullmatch, lines))
    assert any(line.startswith("validation   0%|") for line in lines)


def test_a_long_status_is_shown_completely(terminal, monkeypatch):
    stderr, written = terminal
    monkeypatch.setattr(sys, "stderr", stderr)
    progress = Progress(images=10**6, loss=6.9e6, wrong=999_000, seconds=10.1, waited=10.0)
    with progress_bar(total=10_000, desc="epoch 10/90") as bar:
        bar.start_t -= 5000
        bar.n = 5000
        bar.set_postfix_str(progress.short_status())
    line = next(line for line in written() if "wait" in line)
    assert len(line) <= 80
    assert re.match(r"epoch 10/90  50%\|.*\|1:23:2\d, loss 6.90, error 99.9 %, 99010", line)
    assert line.endswith(" images/s, wait 99 %")
