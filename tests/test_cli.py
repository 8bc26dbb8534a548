"""The command line, with a file of layers such as a user writes."""

import os
import subprocess
import sys
from argparse import ArgumentTypeError

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import cli, models
from tinyalex.cli import main
from tinyalex.cli.options import file_path, positive_number

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
    def test_a_correct_layer_ends_with_status_0(self, options, expected, capsys):
        assert gradcheck(*options) == 0
        assert expected in capsys.readouterr().out

    def test_a_forward_that_modifies_its_input_cannot_be_checked(self, tmp_path, capsys):
        (tmp_path / "careless.py").write_text("def f(x):\n    x.data *= 2\n    return x * 1\n")
        assert gradcheck("careless.py:f", "--input", "3") == 2
        assert "forward changes input x in place" in capsys.readouterr().out

    def test_a_file_may_have_the_name_of_another_module(self, tmp_path):
        (tmp_path / "signal.py").write_text("def double(x):\n    return x * 2\n")
        assert gradcheck(f"{tmp_path}/signal.py:double", "--input", "3") == 0

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
            (["mylayers:Scale"], "expected --input SHAPE"),
        ],
    )
    def test_a_layer_that_cannot_be_checked_ends_with_status_2_and_one_line(
        self, options, message, capsys
    ):
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
    def test_malformed_options_are_named(self, options, message, capsys):
        with pytest.raises(SystemExit):
            gradcheck("mylayers:double", *options)
        assert message in capsys.readouterr().err


def test_python_m_tinyalex_runs_the_same_program(tmp_path):
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

    def test_predictions_are_printed_and_saved_as_a_figure(self, weights, photo, tmp_path, capsys):
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

    def test_an_unreadable_image_is_named_and_the_others_are_classified(
        self, weights, photo, tmp_path, capsys
    ):
        (tmp_path / "broken.jpg").write_bytes(b"not an image")
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
        output = capsys.readouterr()
        assert "broken.jpg" in output.err
        assert photo in output.out

    def test_missing_weights_end_with_status_2_and_one_line(self, photo, capsys):
        assert main(["predict", photo, "--weights", "nowhere.pth"]) == 2
        assert (
            capsys.readouterr().err
            == "tinyalex predict: load_weights: there is no file 'nowhere.pth'.\n"
        )

    def test_numbers_below_1_are_refused(self, photo, capsys):
        with pytest.raises(SystemExit):
            main(["predict", photo, "--weights", "x", "--top", "0"])
        assert "expected an integer of at least 1, got '0'" in capsys.readouterr().err


def test_models_prints_the_layers_of_a_variant_and_draws_it(tmp_path, capsys):
    assert main(["models", "torchvision", "--draw", str(tmp_path / "net.png")]) == 0
    assert "61,100,840" in capsys.readouterr().out
    assert (tmp_path / "net.png").exists()


def test_models_lists_the_variants_if_one_is_unknown(capsys):
    assert main(["models", "lenet"]) == 1
    assert "expected one of paper, original" in capsys.readouterr().err


def printed_plan(capsys, *options):
    """The header of `models --plan`, the algorithm of each layer, and the last line."""
    assert main(["models", *options, "--plan"]) == 0
    title, header, *rows, _, note = capsys.readouterr().out.splitlines()
    assert header.endswith("  algorithm")
    start = header.index("algorithm")
    return title, {row.split()[0]: row[start:] for row in rows}, note


def test_models_plan_prints_algorithms_and_fused_layers(capsys):
    title, plan, note = printed_plan(capsys, "torchvision")
    assert title == "torchvision: batches of 128, float32, cpu"
    assert plan["features.0"].startswith("Winograd")
    assert plan["features.1"] == "fused with features.2"
    assert plan["features.7"] == "fused with features.6"
    assert note == "To turn fast paths off: TINYALEX_FAST=0, or ta.set_fast(False) in Python"


def test_models_plan_is_im2col_without_fusion_if_fast_paths_are_off(capsys):
    with ta.fast(False):
        _, plan, note = printed_plan(capsys, "torchvision")
    convolutions = [f"features.{i}" for i in (0, 3, 6, 8, 10)]
    assert plan == {name: "im2col" if name in convolutions else "" for name in plan}
    assert note == "Fast paths are off: TINYALEX_FAST=0, or ta.set_fast(False) in Python"


def test_the_environment_turns_the_fast_paths_of_the_plan_off():
    command = [sys.executable, "-m", "tinyalex", "models", "--plan"]
    environment = os.environ | {"TINYALEX_FAST": "0"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.stdout.count("im2col") == 5
    assert "Winograd" not in result.stdout
    assert "fused" not in result.stdout


@pytest.mark.parametrize(
    "options", [["--batch-size", "1"], ["--dtype", "float64"], ["--device", "cuda"]]
)
def test_models_plan_depends_on_its_options(options, capsys):
    title, plan, _ = printed_plan(capsys, "torchvision", *options)
    assert plan["features.6"] == "im2col"
    assert options[1] in title


def test_models_plan_is_of_the_paper_by_default(capsys):
    title, plan, _ = printed_plan(capsys, "--batch-size", "4")
    assert title == "paper: batches of 4, float32, cpu"
    assert plan["relu5"] == "fused with pool5"


@pytest.mark.parametrize("options", [["paper"], ["--plan"], []], ids=["layers", "plan", "all"])
def test_models_prints_layers_for_an_image_size(options, capsys):
    assert main(["models", *options, "--image-size", "67"]) == 0
    assert "96x16x16" in capsys.readouterr().out.replace(" x ", "x")


def test_help_lists_the_commands_without_importing_plots_or_the_emulator():
    program = (
        "import sys; from tinyalex.cli import main\n"
        "try: main(['--help'])\n"
        "finally: print([m for m in sys.modules if m.startswith(('tinyalex.plots', "
        "'tinyalex.emulator', 'tinyalex.course', 'matplotlib', 'PIL'))])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    for command in (
        "doctor",
        "emulate",
        "explain",
        "gradcheck",
        "learn",
        "models",
        "predict",
        "prepare",
        "scale",
    ):
        assert f"\n    {command}" in result.stdout
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("text", ["0", "-0.1", "nan", "inf", "1e999", "fast", ""])
def test_a_positive_number_is_neither_zero_nor_negative_nor_infinite(text):
    with pytest.raises(ArgumentTypeError, match="expected a positive finite number, got '"):
        positive_number(text)


def test_a_positive_number_may_have_an_exponent():
    assert positive_number("1e-3") == 0.001


@pytest.mark.cuda
def test_explain_prints_a_kernel_and_the_effect_of_its_lines(capsys):
    assert main(["explain", "relu"]) == 0
    assert "const Wide<T> value = Wide<T>(x[index]);" in capsys.readouterr().out
    assert main(["explain", "nothing"]) == 1
    assert "cross_entropy" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["(" * 100_000, "-" * 100_000 + "1", "9" * 100_000])
def test_a_very_long_option_is_text(layers, capsys, value):
    assert gradcheck("mylayers:Dense", "--input", "2x3", "--option", f"name={value}") == 0


def test_an_empty_path_for_the_figure_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["predict", "x.jpg", "--weights", "w", "--save="])
    assert "argument --save: expected a path, got nothing" in capsys.readouterr().err


def test_a_figure_replaces_figures_only(tmp_path, capsys):
    photo = tmp_path / "cat.jpg"
    photo.write_bytes(b"\xff\xd8 a photo")
    for arguments in (
        ["predict", "x.png", "--weights", "cifar-18pct", "--save"],
        ["models", "--draw"],
    ):
        assert main([*arguments, str(photo)]) == (2 if arguments[0] == "predict" else 1)
        assert f"{photo} exists and is not a figure (PNG)" in capsys.readouterr().err
    own = tmp_path / "own.png"
    own.write_bytes(b"\x89PNG\r\n\x1a\n")
    assert main(["predict", str(own), "--weights", "cifar-18pct", "--save", str(own)]) == 2
    assert "is one of the images" in capsys.readouterr().err
    assert photo.read_bytes() == b"\xff\xd8 a photo"


def test_ctrl_c_ends_a_command_without_a_traceback(monkeypatch, capsys):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.models, "models_table", interrupted)
    assert main(["models"]) == 130
    assert capsys.readouterr().err == "\ntinyalex models: stopped.\n"


def test_a_path_may_begin_with_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert file_path("~/runs") == os.path.join(str(tmp_path), "runs")
    assert file_path("./torchvision") == "./torchvision"
