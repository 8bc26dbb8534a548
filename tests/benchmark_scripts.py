"""Runs a benchmark as a program."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


def run(script, *options, folder):
    """The script's output, and the JSON that it wrote."""
    command = [sys.executable, BENCHMARKS / script, *options, "--output", folder, "--name", "found"]
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "found.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "found.md").read_text(encoding="utf-8").strip() in done.stdout
    return done.stdout, json.loads((folder / "found.json").read_text(encoding="utf-8"))
