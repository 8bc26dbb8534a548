"""--resume: options of the checkpoint, those that are given, where a run continues."""

import argparse
import re
import sys

import numpy as np
import pytest
from toy_run import toy

import tinyalex as ta
from tinyalex import training
from tinyalex.cli import resuming, training_scripts
from tinyalex.training import history

OPTIONS = {"model": "alexnet", "lr": 0.02, "subset": None, "column_lrn": True, "seed": 3}
DEFAULTS = {
    "data": "images",
    "epochs": 2,
    "patience": 5,
    "skip_bad_steps": 0,
    "checkpoint_every": 1.5,
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two epochs, of five steps each."""
    output = tmp_path_factory.mktemp("run")
    toy(output, epochs=2, options=OPTIONS, defaults=DEFAULTS).fit()
    return output


def parse(*given, output=None):
    """The options of a script like train_cifar.py."""
    p = argparse.ArgumentParser()
    p.add_argument("--model", choices=["quick", "alexnet"], default="quick")
    p.add_argument("--data", default="cifar10")
    p.add_argument("--lr", type=float)
    p.add_argument("--subset", type=int)
    p.add_argument("--epochs", type=int)
    p.add_argument("--lrn", action=argparse.BooleanOptionalAction)
    training_scripts.add_run_options(p, "runs/MODEL")
    given = [*given, *([] if output is None else ["--output", str(output)])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["script.py", *map(str, given)])
        return resuming.parse_arguments(p, [*OPTIONS, "lrn"], lambda args: f"runs/{args.model}")


def test_the_default_output_has_the_name_of_the_model():
    assert parse().output == "runs/quick"
    assert parse("--model", "alexnet", "--resume", "auto").output == "runs/alexnet"


def test_options_that_are_not_given_come_from_the_checkpoint(finished):
    args = parse("--resume", "auto", output=finished)
    assert (args.model, args.lr, args.subset, args.column_lrn, args.seed) == (
        "alexnet", 0.02, None, True, 3
    )  # fmt: skip
    assert (args.data, args.epochs, args.patience, args.checkpoint_every) == ("images", 2, 5, 1.5)
    assert (args.skip_bad_steps, args.keep_checkpoints) == (0, history.KEEP_CHECKPOINTS)


def test_options_that_are_given_are_kept(finished):
    given = "--epochs", 9, "--lr", 0.5, "--data", "others", "--resume", "auto"
    args = parse(*given, output=finished)
    assert (args.epochs, args.lr, args.data, args.patience) == (9, 0.5, "others", 5)


def test_flags_that_were_switched_off_stay_off(tmp_path):
    ta.save(tmp_path / history.CHECKPOINT, {"options": {"lrn": False, "column_lrn": False}})
    assert parse("--resume", "auto", output=tmp_path).lrn is False
    assert parse("--resume", "auto", "--lrn", output=tmp_path).lrn is True


def test_the_path_of_a_checkpoint_determines_the_folder_too(finished, tmp_path):
    path = finished / "checkpoint.1.safetensors"
    args = parse("--resume", path)
    assert (args.output, args.model, args.epochs) == (str(finished), "alexnet", 2)
    assert parse("--resume", path, output=tmp_path).output == str(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"there is no file 'nothing'. Check --resume"):
        parse("--resume", "nothing")
    with pytest.raises(ValueError, match=f"got the folder {tmp_path}. Give --resume auto --output"):
        parse("--resume", tmp_path)


def test_without_a_run_options_are_the_defaults(tmp_path):
    args = parse("--resume", "auto", output=tmp_path)
    assert (args.model, args.data, args.epochs) == ("quick", "cifar10", None)


def test_if_the_newest_checkpoint_is_damaged_options_are_those_of_the_next(finished, tmp_path):
    for file in history.existing(finished / history.CHECKPOINT):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / history.CHECKPOINT).write_bytes(b"damaged")
    assert parse("--resume", "auto", output=tmp_path).model == "alexnet"
    (tmp_path / "checkpoint.1.safetensors").write_bytes(b"")
    assert parse("--resume", "auto", output=tmp_path).model == "quick"


@pytest.mark.parametrize("state", [{"a": ta.Tensor([1.0])}, [1], {"options": [], "defaults": 3}])
def test_other_files_have_no_options(tmp_path, state):
    ta.save(tmp_path / history.CHECKPOINT, state)
    assert parse("--resume", "auto", output=tmp_path).model == "quick"


def test_a_file_cannot_give_other_options_or_wrong_values(tmp_path, capsys):
    path = tmp_path / history.CHECKPOINT
    hostile = {"help": True, "output": "/etc", "resume": "x", "device": "cuda", "lr": {"a": 1}}
    ta.save(path, {"options": hostile, "defaults": {"epochs": [1]}})
    args = parse("--resume", "auto", output=tmp_path)
    assert (args.output, args.resume, args.device, args.lr) == (str(tmp_path), "auto", "auto", None)
    for wrong in ({"seed": -1}, {"model": "vgg"}, {"lr": "a --output x"}):
        ta.save(path, {"options": wrong})
        with pytest.raises(SystemExit):
            parse("--resume", "auto", output=tmp_path)
        assert f"argument --{next(iter(wrong))}: " in capsys.readouterr().err


def test_an_option_that_differs_is_named_with_both_values(finished):
    other = toy(finished, epochs=3, options=OPTIONS | {"lr": 0.5}, defaults=DEFAULTS)
    with pytest.raises(ValueError, match="lr was 0.02, now 0.5"):
        resuming.resume(other, "auto")


def test_other_images_are_named_with_the_path_of_the_first(tmp_path):
    toy(tmp_path, epochs=1, options={"pictures": "abc"}, defaults={"data": "photos"}).fit()
    other = toy(tmp_path, epochs=2, options={"pictures": "def"}, defaults={"data": "others"})
    with pytest.raises(ValueError, match=r"images have changed. They were from 'photos'.\)"):
        other.resume(other.checkpoint)
    moved = toy(tmp_path, epochs=2, options={"pictures": "abc"}, defaults={"data": "others"})
    moved.resume(moved.checkpoint)


def test_the_run_prints_where_it_continues(finished, tmp_path, capsys):
    newest = finished / history.CHECKPOINT
    resuming.resume(toy(finished, epochs=3), "auto")
    assert capsys.readouterr().out == f"Resuming {newest} at epoch 3, step 10\n"
    resuming.resume(toy(finished, epochs=2), str(newest))
    assert capsys.readouterr().out == (
        f"{newest} is from the end of epoch 2. To train longer, give more --epochs.\n"
    )
    resuming.resume(toy(tmp_path, epochs=2), "auto")
    assert capsys.readouterr().out == f"{tmp_path} contains no run to resume: this is a new one.\n"


def test_a_run_that_is_out_of_patience_says_so(tmp_path, capsys):
    toy(tmp_path, epochs=9, lr=0.0, patience=1).fit()
    stopped = toy(tmp_path, epochs=9, patience=1)
    resuming.resume(stopped, "auto")
    said = "from a run whose validation error has not fallen for 1 epochs (--patience)."
    assert f"{said} To train longer, give --patience 0.\n" in capsys.readouterr().out
    resuming.resume(toy(tmp_path, epochs=2, patience=1), "auto")
    assert "give --patience 0 and more --epochs.\n" in capsys.readouterr().out
    args = argparse.Namespace(epochs=9, output="out", parallel=None, device=None, devices=None)
    args.tf32 = args.graph = False
    setup = argparse.Namespace(shard=(0, 1))
    result = training.Evaluation(0.1, 0.0, np.eye(2, dtype=int) * 50, 0.0)
    steps = training_scripts.next_steps(args, setup, stopped, result)
    assert "--output out --epochs 18 --patience 0    # trains longer" in steps
    assert "--patience" not in training_scripts.next_steps(
        args, setup, toy(tmp_path, epochs=9), result
    )


def test_patience_and_skipped_steps_can_be_switched_off(tmp_path):
    stored = {"patience": 5, "skip_bad_steps": 3}
    ta.save(tmp_path / history.CHECKPOINT, {"options": {}, "defaults": stored})
    given = "--patience", 0, "--skip-bad-steps", 0, "--epochs", 1, "--resume", "auto"
    args = parse(*given, output=tmp_path)
    made = training_scripts.trainer_options(args, (), "")
    assert (made["patience"], made["skip_bad_steps"]) == (None, 0)


def test_a_folder_without_a_run_is_named(finished, tmp_path):
    missing = re.escape(f"{tmp_path} contains no run to resume. Give its folder (--output), or")
    with pytest.raises(FileNotFoundError, match=missing):
        resuming.require_run(parse("--resume", "auto", output=tmp_path))
    resuming.require_run(parse("--resume", "auto", output=finished))
    resuming.require_run(parse(output=tmp_path))


def test_the_command_that_resumes_names_the_folder_and_the_devices(monkeypatch):
    args = parse("--device", "cuda:1", "--tf32", "--graph", output="a b")
    monkeypatch.setattr(sys, "argv", ["train.py"])
    assert resuming.resume_command(args, 1, "--epochs", "9") == (
        "python train.py --resume auto --output 'a b' --device cuda:1 --tf32 --graph --epochs 9"
    )
    args = parse("--parallel", "data", output="out")
    assert resuming.resume_command(args, 4) == (
        "mpirun -n 4 python train.py --resume auto --output out --parallel data"
    )
