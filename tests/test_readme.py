"""README.md keeps its word: its programs run, and print what it says."""

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
OUTPUTS = re.findall(r"```\n(gradcheck .*?)```", README, re.DOTALL)


def run(program):
    result = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_layer_of_its_own_is_refused_with_the_table_shown():
    assert [run(PROGRAMS[0])] == OUTPUTS


def test_the_layer_has_about_twenty_lines():
    assert len([line for line in PROGRAMS[0].splitlines() if line.strip()]) <= 20


def test_with_its_bug_taken_out_every_gradient_is_right():
    assert "every gradient is right" in run(PROGRAMS[0].replace(".mean(", ".sum("))


def test_the_network_trains_a_step():
    run(PROGRAMS[0] + PROGRAMS[1])
