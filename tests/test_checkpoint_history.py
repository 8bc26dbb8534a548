"""Rotation of checkpoints, damaged ones, and SIGKILL at each step of a save."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ranks import ONE_THREAD
from toy_run import toy

import tinyalex as ta
from tinyalex import models
from tinyalex.cli import resuming, training_scripts
from tinyalex.training import history

NEWEST, BEFORE = "checkpoint.safetensors", "checkpoint.1.safetensors"


def step_of(path):
    return ta.load(path)["progress"]["step"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two epochs, of five steps each."""
    output = tmp_path_factory.mktemp("run")
    toy(output, epochs=2).fit()
    return output


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it."""
    for file in finished.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_a_run_that_keeps_fewer_deletes_the_others(tmp_path):
    toy(tmp_path, epochs=4, keep_checkpoints=4).fit()
    assert len(history.existing(tmp_path / NEWEST)) == 4
    again = toy(tmp_path, epochs=5, keep_checkpoints=2)
    again.resume(tmp_path / NEWEST)
    again.fit()
    assert [path.name for path in history.existing(tmp_path / NEWEST)] == [NEWEST, BEFORE]
    assert step_of(tmp_path / BEFORE) == 20


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_last_checkpoints_are_kept(tmp_path, keep):
    toy(tmp_path, epochs=4, keep_checkpoints=keep).fit()
    paths = history.existing(tmp_path / NEWEST)
    assert [path.name for path in paths] == [NEWEST, BEFORE, "checkpoint.2.safetensors"][:keep]
    assert [step_of(path) for path in paths] == [20, 15, 10][:keep]


@pytest.mark.parametrize("present", ["N1234", "N134", "N", "1234", ""])
def test_at_each_step_of_a_rotation_the_other_checkpoints_exist(tmp_path, monkeypatch, present):
    """A number is free after a run that was killed, or kept fewer."""
    for name in present:
        file = NEWEST if name == "N" else f"checkpoint.{name}.safetensors"
        (tmp_path / file).write_text(name)
    replace = os.replace

    def contents():
        return "".join(path.read_text() for path in history.existing(tmp_path / NEWEST))

    def checked(*paths):
        replace(*paths)
        assert contents() in (present, present.replace("3", ""))

    monkeypatch.setattr("os.replace", checked)
    history.rotate(tmp_path / NEWEST, keep=4)
    assert contents() == ("N124" if present == "N1234" else present)
    assert not (tmp_path / NEWEST).exists()  # its place is free


def test_checkpoints_of_a_link_are_next_to_the_file_it_points_to(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / NEWEST).symlink_to(tmp_path / "disk" / "state")
    toy(tmp_path / "run", epochs=3).fit()
    paths = history.existing(tmp_path / "run" / NEWEST)
    assert [step_of(path) for path in paths] == [15, 10]
    assert (tmp_path / "run" / NEWEST).is_symlink()
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == ["state", "state.1"]


def test_files_with_similar_names_are_not_checkpoints(run):
    for name in ("0", "x", "1.old", "-1", "01"):
        (run / f"checkpoint.{name}.safetensors").write_text("")
    assert [path.name for path in history.existing(run / NEWEST)] == [NEWEST, BEFORE]


def empty(path):
    path.write_bytes(b"")


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


DAMAGE = {
    empty: "is not a complete safetensors file",
    truncate: "is not a complete safetensors file",
    flip_a_bit: "its contents do not match its checksum",
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGE.items())
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(run, capsys, damage, reason):
    weights = (run / "model.safetensors").read_bytes()
    damage(run / NEWEST)
    trainer = toy(run, epochs=2)
    resuming.resume(trainer, "auto")
    assert trainer.progress.step == 5
    warning, then = capsys.readouterr().out.splitlines()[:2]
    assert warning.startswith("warning: ")
    assert repr(str(run / NEWEST)) in warning
    assert reason in warning
    assert then == f"Resuming {run / BEFORE} at epoch 2, step 5"
    trainer.fit()
    assert [step_of(path) for path in history.existing(run / NEWEST)] == [10, 5]
    assert (run / "model.safetensors").read_bytes() == weights


def test_if_all_checkpoints_are_damaged_each_is_named(run):
    flip_a_bit(run / NEWEST)
    empty(run / BEFORE)
    with pytest.raises(ValueError, match="no checkpoint is intact") as error:
        resuming.resume(toy(run, epochs=2), "auto")
    lines = str(error.value).splitlines()
    assert NEWEST in lines[1]
    assert "checksum" in lines[1]
    assert BEFORE in lines[2]
    assert "not a complete" in lines[2]


def test_a_damaged_checkpoint_that_is_given_is_refused_with_an_intact_one(run):
    flip_a_bit(run / NEWEST)
    with pytest.raises(ValueError, match="checksum") as error:
        resuming.resume(toy(run, epochs=2), str(run / NEWEST))
    assert str(error.value).endswith(f"Resume from {run / BEFORE} instead, which is intact.")
    flip_a_bit(run / BEFORE)
    with pytest.raises(ValueError, match="checksum") as error:
        resuming.resume(toy(run, epochs=2), str(run / NEWEST))
    assert "instead" not in str(error.value)


def test_an_earlier_checkpoint_of_the_folder_can_be_given(run):
    weights = (run / "model.safetensors").read_bytes()
    trainer = toy(run, epochs=2)
    resuming.resume(trainer, str(run / BEFORE))
    assert trainer.progress.step == 5
    trainer.fit()
    assert [step_of(path) for path in history.existing(run / NEWEST)] == [10, 5]
    assert (run / "model.safetensors").read_bytes() == weights


def test_other_options_are_no_damage(run):
    other = toy(run, epochs=2, options={"lr": 1})
    with pytest.raises(ValueError, match="lr was None, now 1"):
        resuming.resume(other, "auto")


def test_a_run_with_only_an_earlier_checkpoint_is_not_overwritten(run):
    (run / NEWEST).unlink()
    with pytest.raises(FileExistsError, match="already contains a run"):
        training_scripts.make_output_folder(run, None)


@pytest.mark.parametrize("resume", [None, "auto"])
@pytest.mark.parametrize("file", ["best.safetensors", "model.safetensors"])
def test_weights_without_a_checkpoint_are_not_overwritten(tmp_path, file, resume):
    (tmp_path / file).write_bytes(b"trained")
    with pytest.raises(FileExistsError, match="contains trained weights, but no checkpoint"):
        training_scripts.make_output_folder(tmp_path, resume)


@pytest.mark.parametrize("file", ["best.safetensors", "model.safetensors"])
def test_damaged_weights_are_refused(run, file):
    model = toy(run, epochs=2).model
    models.load_weights(model, run / file)
    flip_a_bit(run / file)
    with pytest.raises(ValueError, match="do not match its checksum"):
        models.load_weights(model, run / file)


# SIGKILL

KILLED = """if True:
    import os, signal, sys
    from pathlib import Path
    import safetensors.numpy, tqdm
    from toy_run import toy
    from tinyalex.cli import resuming
    from tinyalex.training.output_folder import locked

    folder = Path(sys.argv[1])
    os.fsync = lambda file: None  # slow, and of no use to a process that is killed

    def in_child(function, *arguments):
        child = os.fork()  # before this process has any threads
        if child == 0:
            function(*arguments)
            os._exit(0)
        return os.waitpid(child, 0)[1]

    def train(output):
        with locked(output):
            trainer = toy(output, epochs=2)
            resuming.resume(trainer, "auto")
            resumed = trainer.progress.step
            trainer.fit()
            print("resumed at", resumed, flush=True)

    def killed(output, fatal):
        "Train, and kill the process at the call number `fatal` of these functions."
        calls = 0

        def patch(module, name):
            original = getattr(module, name)

            def call(*arguments, **options):
                nonlocal calls
                calls += 1
                if calls < fatal:
                    return original(*arguments, **options)
                if name == "save_file":
                    original(*arguments, **options)
                    os.truncate(arguments[1], os.path.getsize(arguments[1]) // 2)
                os.kill(os.getpid(), signal.SIGKILL)

            setattr(module, name, call)

        for module, name in ((safetensors.numpy, "save_file"), (os, "fsync"), (os, "replace")):
            patch(module, name)
        train(output)

    assert in_child(train, folder / "whole") == 0
    weights = (folder / "whole/model.safetensors").read_bytes()
    fatal, status = 0, signal.SIGKILL
    while status == signal.SIGKILL:
        fatal += 1
        output = folder / str(fatal)
        status = in_child(killed, output, fatal)
        assert in_child(train, output) == 0
        assert (output / "model.safetensors").read_bytes() == weights
        assert not list(output.glob(".*"))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.fuzz
def test_a_run_that_is_killed_at_any_step_of_a_save_is_resumed(tmp_path):
    """In the middle of each file, before its fsync, and before each renaming."""
    tests = str(Path(__file__).parent)
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": os.pathsep.join([tests, *sys.path])}
    command = [sys.executable, "-c", KILLED, tmp_path]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    resumed = [int(line.split()[-1]) for line in result.stdout.splitlines() if "resumed" in line]
    # The first and the last of the runs were not killed. The others: in the six
    # calls until the first checkpoint is complete, in nine until the second is, later.
    assert resumed == [0] + 6 * [0] + 9 * [5] + 7 * [10] + [0, 10]


def test_a_full_disk_in_training_leaves_the_checkpoints(tmp_path, monkeypatch):
    trainer = toy(tmp_path, epochs=3)

    def fill_the_disk(log):
        def full(*arguments):
            raise OSError(28, "No space left on device")

        if len(log) == 2:
            monkeypatch.setattr("os.fsync", full)

    trainer.after_epoch = fill_the_disk
    with pytest.raises(OSError, match=r"safetensors cannot be written .*No space left") as error:
        trainer.fit()
    assert error.value.errno == 28
    assert [step_of(path) for path in history.existing(tmp_path / NEWEST)] == [10, 5]
    assert not list(tmp_path.glob(".*"))
