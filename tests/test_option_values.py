"""Each option of each command with values that no user means to give.

No traceback, no hang, a status of 0, 1 or 2, and no file outside the current folder.
"""

import importlib.util
import io
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tinyalex as ta
from tinyalex import cli, models, nn, plots
from tinyalex.cli import predict, training_scripts
from tinyalex.models import prediction
from tinyalex.plots import figures

REPOSITORY = Path(__file__).resolve().parent.parent

VALUES = [
    "", " ", "nan", "inf", "-inf", "-1", "0", "0.5", "1e400", "9" * 30, "9" * 5000, "a" * 100_000,
    "\u0663", "\udcff", "\x1b[31m", ",", ":", "=", "1,2", "~nouser/x", "/", "/dev/null", "/dev/zero",
    "pipe", "folder", "file", "file/x", "missing/x", "pipe.py:x", "a=" + "9" * 9999, "9" * 99 + "x2",
]  # fmt: skip

COMMANDS = {
    "gradcheck": (
        ["gradcheck", "missing:x", "--input", "2"],
        ["--input", "--integers", "--option", "--h", "--rtol", "--seed"],
    ),
    "models": (["models", "paper"], ["--draw"]),
    "models --image-size": (["models", "missing"], ["--image-size"]),
    "models --plan": (["models", "missing", "--plan"], ["--batch-size", "--dtype", "--device"]),
    "predict": (
        ["predict", "image.png", "--weights", "missing"],
        ["--weights", "--variant", "--image-size", "--views", "--top", "--classes", "--device",
         "--save"],
    ),
    "prepare": (["prepare", "folder", "out"], ["--size", "--quality", "--per-shard"]),
    "learn": (["learn", "hint", "999"], ["--level"]),
    "scale": (
        ["scale", "--variant", "missing"],
        ["--variant", "--image-size", "--workers", "--batch-size", "--schemes", "--gflops",
         "--memory-bandwidth", "--bandwidth", "--latency", "--cores", "--overlap", "--library"],
    ),
    "emulate": (["emulate"], ["--devices", "--memory-gib", "--capability", "--order"]),
}  # fmt: skip
"""The arguments of a command that end soon, and its options with a value."""

POSITIONAL = {
    "models": ["models"],
    "gradcheck": ["gradcheck", "--input", "2"],
    "explain": ["explain"],
    "learn": ["learn", "hint"],
    "prepare SOURCE": ["prepare", "out"],
    "prepare OUT": ["prepare", "folder"],
    "emulate": ["emulate"],
}

RUN_OPTIONS = [
    "--seed", "--device", "--devices", "--parallel", "--output", "--resume", "--patience",
    "--skip-bad-steps", "--checkpoint-every", "--keep-checkpoints",
    "--epochs", "--batch-size", "--lr", "--weight-decay", "--schedule", "--data",
]  # fmt: skip
SCRIPTS = {
    "train_cifar": [*RUN_OPTIONS, "--model", "--augment", "--subset"],
    "train_imagenet": [
        *RUN_OPTIONS, "--val-fraction", "--classes", "--images-per-class", "--variant", "--image-size", "--resize",
        "--init", "--mean", "--colour-noise", "--noise-until", "--together", "--divide",
        "--workers", "--evaluate", "--views", "--weights", "--head-lr",
    ],
}  # fmt: skip


class Hang(BaseException):
    """Not an Exception, which the programs would catch."""


def draw_nothing(*arguments, **options):
    path = next(value for value in reversed(arguments) if isinstance(value, str))
    figures.save(figures.new_figure(1, 1), path)


def raise_hang(*_):
    raise Hang


@pytest.fixture(autouse=True)
def current_folder(tmp_path, monkeypatch):
    """A current folder with a file, a folder, an image and pipes; and a time limit."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "file").write_bytes(b"not what was expected")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.py")
    Image.new("RGB", (80, 80)).save(tmp_path / "image.png")
    for draw in ("draw_network", "draw_predictions"):  # drawing takes seconds
        monkeypatch.setattr(plots, draw, draw_nothing)
    before = signal.signal(signal.SIGALRM, raise_hang)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def status_of(program, *arguments):
    try:
        return program(*arguments)
    except SystemExit as error:
        return error.code


def check(program, arguments, capfd):
    """The program ends with a status, and not with a traceback."""
    status = status_of(program, arguments)
    error = capfd.readouterr().err
    assert status in (0, 1, 2), arguments
    assert status == 0 or error.strip(), arguments
    assert "Traceback" not in error, arguments
    assert "\x1b" not in error, arguments


@pytest.mark.parametrize("name", COMMANDS)
def test_options_of_commands(name, capfd, monkeypatch):
    arguments, options = COMMANDS[name]
    if name == "models":  # building the network takes a second
        monkeypatch.setattr(cli.models, "layers", lambda *_: "")
        monkeypatch.setattr(cli.models, "alexnet", lambda *_, **options: None)
    for option in options:
        for value in VALUES:
            check(cli.main, [*arguments, f"{option}={value}"], capfd)


@pytest.mark.parametrize("name", POSITIONAL)
def test_arguments_of_commands(name, capfd):
    command, *rest = POSITIONAL[name]
    for value in VALUES:
        values = [value, *rest] if name == "prepare SOURCE" else [*rest, value]
        check(cli.main, [command, "--", *values] if "-" == value[:1] else [command, *values], capfd)


def test_images_and_files_of_predict(capfd, monkeypatch):
    with nn.init.skipped():
        model = models.alexnet("paper", 2, 67)
    monkeypatch.setattr(predict, "load_classifier", lambda *_: (model, {}))
    monkeypatch.setattr(prediction, "run", lambda *_: ta.Tensor(np.zeros((1, 2), np.float32)))
    for value in VALUES:
        values = ["--", value] if value.startswith("-") else [value]
        check(cli.main, ["predict", "--weights", "x", *values], capfd)
        for option in ("--classes", "--save"):
            check(cli.main, ["predict", "image.png", "--weights=x", f"{option}={value}"], capfd)


def script(name):
    specification = importlib.util.spec_from_file_location(name, REPOSITORY / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)

    def run(arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [name, *arguments])
            training_scripts.run(module.main)

    return run


@pytest.mark.parametrize("name", SCRIPTS)
def test_options_of_training_scripts(name, capfd):
    run = script(name)
    for option in SCRIPTS[name]:
        for value in VALUES:
            check(run, ["--data=missing", "--output=out", f"{option}={value}"], capfd)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("train_cifar", ["--subset=9"], "9 training images are too few"),
        ("train_cifar", ["--resume=nothing"], "there is no file 'nothing'"),
        ("train_cifar", ["--devices=cpu,cpu"], "--model quick has no columns"),
        ("train_cifar", ["--devices=cpu,cpu,cpu"], "--devices expects two"),
        ("train_cifar", ["--devices=cpu,gpu"], "got 'gpu'"),
        ("train_cifar", ["--devices=cpu,cpu", "--parallel=data"], "Leave out --devices"),
        ("train_cifar", ["--devices=cpu,cpu", "--amp"], "Leave out --amp, or --devices"),
        ("train_cifar", ["--devices=cpu,cpu", "--graph"], "Leave out --graph, or --devices"),
        ("train_cifar", ["--parallel=data", "--graph"], "Leave out --graph, or --parallel"),
        ("train_cifar", ["--skip-bad-steps=1", "--graph"], "Leave out --graph, or --skip-bad-s"),
        ("train_imagenet", ["--parallel=hybrid", "--amp"], "or --parallel hybrid"),
        ("train_imagenet", ["--resume=nothing"], "there is no file 'nothing'"),
        ("train_imagenet", ["--evaluate", "nothing"], "there is no file 'nothing'"),
        ("train_imagenet", ["--evaluate", "folder"], "--evaluate folder is not a file"),
        ("train_imagenet", ["--weights", "nothing"], "no file 'nothing'. Check --weights"),
        ("train_imagenet", ["--image-size=10"], "image_size=10 is too small"),
        ("train_imagenet", ["--resize=9000"], "resize of at most 8192"),
        ("train_imagenet", ["--resize=200"], "cannot be cropped from resize=200"),
        ("train_imagenet", ["--column-lrn", "--variant=caffe"], "--column-lrn is an option"),
        ("train_imagenet", ["--devices=cpu,cpu", "--variant=keras"], "keras has no columns"),
    ],
)
def test_wrong_options_are_named_before_data_are_read(name, options, message, capfd):
    assert status_of(script(name), ["--data=missing", "--output=out", *options]) == 1
    error = capfd.readouterr().err
    assert message in error
    assert "missing" not in error


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_names_that_cannot_be_encoded_are_printed(encoding, monkeypatch):
    output = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", output)
    assert status_of(training_scripts.run, lambda: print("\udce9.jpg")) is None
    output.flush()
    assert output.buffer.getvalue() == b"\\udce9.jpg\n"


def test_wrong_options_of_predict_are_named_before_weights_are_read(capfd):
    for option in ("--device=gpu", "--classes=nothing", "--save=/", "--variant=x"):
        assert status_of(cli.main, ["predict", "image.png", "--weights=missing", option]) == 2
        assert "missing" not in capfd.readouterr().err
