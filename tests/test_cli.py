"""The command line, on a file of layers as a user writes them."""

import subprocess
import sys

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import cli, models
from tinyalex.cli import main

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
            (
                ["mylayers:Scale", "--input", "2x4x3", "--input", "3"],
                "gradcheck Scale: every gradient is right",
            ),
            (
                ["mylayers.py:Scale", "--input", "2x4x3", "--input", "3", "--option", "power=3"],
                "  input w ",
            ),
            (
                [
                    "mylayers:Dense",
                    "--input",
                    "2x3",
                    "--option",
                    "width=4",
                    "--option",
                    "name=any text",
                ],
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

    def test_a_forward_that_changes_its_input_cannot_be_checked(self, tmp_path, capsys):
        (tmp_path / "careless.py").write_text("def f(x):\n    x.data *= 2\n    return x * 1\n")
        assert gradcheck("careless.py:f", "--input", "3") == 2
        assert "forward changes input x in place" in capsys.readouterr().out

    def test_a_wrong_layer_ends_with_status_1_and_the_table(self, capsys):
        assert gradcheck("mylayers:Wrong", "--input", "2x4x3", "--input", "3") == 1
        assert "the gradient of input x is WRONG" in (out := capsys.readouterr().out)
        assert "Every element has the opposite sign" in out

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                ["mylayers:Missing", "--input", "3"],
                "mylayers has no Missing; it has np, ta, Scale, Wrong, Dense, double, crash",
            ),
            (["mylayers", "--input", "3"], "expected module:name or file.py:name"),
            (["nowhere:Layer", "--input", "3"], "No module named 'nowhere'"),
            (["nowhere.py:Layer", "--input", "3"], "there is no file nowhere.py"),
            (
                ["mylayers:crash", "--input", "3"],
                "RuntimeError: not finished yet\n  mylayers.py, line ",
            ),
            (["mylayers:Scale"], "expected an input: --input SHAPE"),
        ],
    )
    def test_what_cannot_be_checked_ends_with_status_2_and_one_line(self, options, message, capsys):
        assert gradcheck(*options) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1 + message.count("\n")

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
    command = [
        sys.executable,
        "-m",
        "tinyalex",
        "gradcheck",
        "tinyalex.functional:relu",
        "--input",
        "7",
    ]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


class TestPredict:
    @pytest.fixture
    def weights(self, tmp_path):
        model = models.alexnet("paper", num_classes=3, image_size=67)
        ta.save(tmp_path / "w.safetensors", model.state_dict(), metadata={"variant": "paper"})
        (tmp_path / "names").write_text("cat\ndog\nnewt\n")
        return tmp_path / "w.safetensors"

    @pytest.fixture
    def photo(self, tmp_path):
        from PIL import Image

        Image.fromarray(
            np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
        ).save(tmp_path / "photo.png")
        return str(tmp_path / "photo.png")

    def test_photos_are_named_with_their_classes_and_drawn(self, weights, photo, tmp_path, capsys):
        options = [
            "--image-size",
            "67",
            "--classes",
            str(tmp_path / "names"),
            "--top",
            "2",
            "--save",
            str(tmp_path / "out.png"),
        ]
        assert main(["predict", photo, "--weights", str(weights), *options, "--device", "cpu"]) == 0
        out = capsys.readouterr().out
        assert sum(name in out for name in ("cat", "dog", "newt")) == 2
        assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")

    def test_a_photo_that_cannot_be_read_is_named_and_the_others_are_answered(
        self, weights, photo, tmp_path, capsys
    ):
        (tmp_path / "broken.jpg").write_bytes(b"no picture")
        files = [str(tmp_path / "broken.jpg"), photo]
        assert (
            main(
                [
                    "predict",
                    *files,
                    "--weights",
                    str(weights),
                    "--image-size",
                    "67",
                    "--device",
                    "cpu",
                ]
            )
            == 1
        )
        told = capsys.readouterr()
        assert "broken.jpg" in told.err
        assert photo in told.out

    def test_weights_that_are_not_there_end_with_status_2_and_one_line(self, photo, capsys):
        assert main(["predict", photo, "--weights", "nowhere.pth"]) == 2
        assert (
            capsys.readouterr().err
            == "tinyalex predict: load_weights: there is no file 'nowhere.pth'.\n"
        )

    def test_misspelt_numbers_are_refused(self, photo, capsys):
        with pytest.raises(SystemExit):
            main(["predict", photo, "--weights", "x", "--top", "0"])
        assert "expected a whole number from 1 on, got '0'" in capsys.readouterr().err


def test_models_prints_one_variants_layers_and_draws_it(tmp_path, capsys):
    assert main(["models", "torchvision", "--draw", str(tmp_path / "net.png")]) == 0
    assert "61,100,840" in capsys.readouterr().out
    assert (tmp_path / "net.png").exists()


def test_models_names_the_variants_where_one_is_unknown(capsys):
    assert main(["models", "lenet"]) == 1
    assert "expected one of paper, original" in capsys.readouterr().err


@pytest.mark.cuda
def test_explain_prints_a_kernel_and_what_its_lines_do(capsys):
    assert main(["explain", "relu"]) == 0
    assert "const Wide<T> number = Wide<T>(x[at]);" in capsys.readouterr().out
    assert main(["explain", "nothing"]) == 1
    assert "cross_entropy" in capsys.readouterr().err
