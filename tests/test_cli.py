"""The command line, on a file of layers as a user writes them."""

import subprocess
import sys

import pytest

from tinyalex import cli

LAYERS = """
import numpy as np
import tinyalex as ta

class Scale(ta.Function):
    def forward(self, x, w, *, power=1):
        self.x, self.w, self.power = x, w, power
        return x * w**power

    def backward(self, dy):
        return dy * self.w**self.power, (dy * self.x * self.power * self.w ** (self.power - 1)).sum(axis=(0, 1))

class Wrong(Scale):
    def backward(self, dy):
        dx, dw = super().backward(dy)
        return -dx, dw

class Dense(ta.nn.Module):
    def __init__(self, width=2, name="x"):
        self.name = name
        self.linear = ta.nn.Linear(3, width)

    def forward(self, x):
        return self.linear(x).tanh()

def double(x):
    return x * 2

def crash(x):
    raise RuntimeError("not finished yet")
"""


@pytest.fixture
def layers(tmp_path, monkeypatch):
    (tmp_path / "mylayers.py").write_text(LAYERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    sys.modules.pop("mylayers", None)


def gradcheck(*options):
    return cli.main(["gradcheck", *options])


@pytest.mark.usefixtures("layers")
class TestGradcheck:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (["mylayers:Scale", "--input", "2x4x3", "--input", "3"], "gradcheck Scale: every gradient is right"),
            (["mylayers.py:Scale", "--input", "2x4x3", "--input", "3", "--option", "power=3"], "  input w "),
            (
                ["mylayers:Dense", "--input", "2x3", "--option", "width=4", "--option", "name=any text"],
                "parameter linear.weight 4 x 3",
            ),
            (["mylayers:double", "--input", "5", "--fast"], "4 of 4 directions"),
            (
                ["tinyalex.functional:cross_entropy", "--input", "4x5", "--integers", "4:5"],
                "gradcheck cross_entropy: every gradient",
            ),
            (
                [
                    "tinyalex.functional:local_response_norm",
                    "--input",
                    "2x7x3x3",
                    "--option",
                    "size=5",
                    "--option",
                    "alpha_mode=sum",
                ],
                "126 of 126",
            ),
        ],
    )
    def test_a_right_layer_ends_with_status_0(self, options, expected, capsys):
        assert gradcheck(*options) == 0
        assert expected in capsys.readouterr().out

    def test_a_wrong_layer_ends_with_status_1_and_the_table(self, capsys):
        assert gradcheck("mylayers:Wrong", "--input", "2x4x3", "--input", "3") == 1
        assert "the gradient of input x is WRONG" in (out := capsys.readouterr().out)
        assert "Every element has the opposite sign" in out

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["mylayers:Missing", "--input", "3"], "mylayers has no Missing; it has np, ta, Scale, Wrong, Dense, double, crash"),
            (["mylayers", "--input", "3"], "expected module:name or file.py:name"),
            (["nowhere:Layer", "--input", "3"], "No module named 'nowhere'"),
            (["mylayers:crash", "--input", "3"], "RuntimeError: not finished yet"),
            (["mylayers:Scale"], "expected an input: --input SHAPE"),
        ],
    )
    def test_what_cannot_be_checked_ends_with_status_2_and_one_line(self, options, message, capsys):
        assert gradcheck(*options) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--input", "2,3"], "expected a shape such as 2x7x3x3, got '2,3'"),
            (["--integers", "4"], "such as 4:10, got '4'"),
            (["--option", "n"], "expected NAME=VALUE, such as n=5, got 'n'"),
        ],
    )
    def test_misspelt_options_are_named(self, options, message, capsys):
        with pytest.raises(SystemExit):
            gradcheck("mylayers:double", *options)
        assert message in capsys.readouterr().err


def test_python_m_tinyalex_is_the_same_program(tmp_path):
    command = [sys.executable, "-m", "tinyalex", "gradcheck", "tinyalex.functional:relu", "--input", "7"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
