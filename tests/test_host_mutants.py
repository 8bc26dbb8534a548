"""Every mutant of host_mutants.py is detected: wrong arguments, devices and waits."""

import os
import subprocess
import sys

import kernel_mutants
import pytest
from host_mutants import MUTANTS, REPOSITORY, VARIABLE

from tinyalex.emulator import Settings

SETTINGS = {
    "": Settings(),
    "lazy": Settings(lazy=True),
    "no pool": Settings(pool=False),
    "check": Settings(check=True),
}


def run(checks, device, setting, index=None):
    """(exit status, output) of checks on emulated GPUs, with the mutant `index`."""
    command = [sys.executable, "-m", "pytest", "--no-skips", "--tb=short", "-p", "no:cacheprovider"]
    plugins = ["-p", "host_mutants", "-p", "tinyalex.emulator.pytest_plugin"]
    environment = {
        **{name: value for name, value in os.environ.items() if name != VARIABLE},
        **SETTINGS[setting].environment(),
        "PYTHONPATH": os.pathsep.join(
            [str(REPOSITORY / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
        "TINYALEX_DEVICE": device,
    }
    if index is not None:
        environment[VARIABLE] = str(index)
    result = subprocess.run(
        [*command, *plugins, *(f"tests/{check}" for check in checks)],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
    )
    return result.returncode, result.stdout + result.stderr


@pytest.mark.parametrize("mutant", [*MUTANTS, *kernel_mutants.MUTANTS], ids=lambda m: m.what)
def test_a_mutant_changes_the_code_as_it_is(mutant):
    assert mutant.text()


@pytest.mark.cuda
@pytest.mark.parametrize("index", range(len(MUTANTS)), ids=lambda i: MUTANTS[i].what)
def test_a_mutant_is_detected(index):
    mutant = MUTANTS[index]
    status, output = run([mutant.check], mutant.device, mutant.setting, index)
    assert status == pytest.ExitCode.TESTS_FAILED, output
    errors = [line for line in output.splitlines() if line.startswith("E  ")]
    assert any(mutant.error in line for line in errors), output


RUNS = sorted({(mutant.device, mutant.setting) for mutant in MUTANTS})


@pytest.mark.cuda
@pytest.mark.parametrize(("device", "setting"), RUNS, ids=lambda part: part or "default")
def test_the_checks_pass_without_a_mutant(device, setting):
    checks = {m.check for m in MUTANTS if (m.device, m.setting) == (device, setting)}
    status, output = run(sorted(checks), device, setting)
    assert status == pytest.ExitCode.OK, output
    assert f"{len(checks)} passed" in output


def test_no_two_mutants_are_equal(tell):
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in MUTANTS}) == len(MUTANTS)
    files = {mutant.file for mutant in MUTANTS}
    tell(f"{len(MUTANTS)} mutants of host code, in {len(files)} files, each with a check")
