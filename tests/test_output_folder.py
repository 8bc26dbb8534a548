"""The folder of a run: its lock, temporary files of killed runs, a missing folder."""

import os
import shutil
import subprocess
import sys

import pytest
from toy_run import toy

from tinyalex.training.output_folder import LOCK, locked

HOLD = """if True:
    import sys
    from pathlib import Path
    from tinyalex.training.output_folder import locked
    with locked(Path(sys.argv[1])):
        print("locked", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """A process that has locked the folder."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], **pipes) as process:
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


needs_locks = pytest.mark.skipif(os.name == "nt", reason="Windows has no flock")


def is_refused(folder, message):
    with pytest.raises(RuntimeError, match=message), locked(folder):
        pass


@needs_locks
def test_a_folder_in_use_is_refused_until_the_process_is_killed(tmp_path, other):
    is_refused(tmp_path, f"(?s)in use by process {other.pid} on .*--output")
    other.kill()
    other.wait()
    assert (tmp_path / LOCK).exists()
    with locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


@needs_locks
def test_the_lock_of_a_folder_that_was_created_again_is_not_deleted(tmp_path):
    folder = tmp_path / "run"
    with locked(folder):
        shutil.rmtree(folder)
        with locked(folder):
            is_refused(folder, f"in use by process {os.getpid()} on")
        (folder / LOCK).write_text("another process's")
    assert (folder / LOCK).exists()


@needs_locks
def test_only_temporary_files_of_the_run_are_deleted(tmp_path):
    left = [".checkpoint.safetensors.123", ".log.csv.1", ".curves.png.99", ".mean.safetensors.5"]
    kept = [
        *("checkpoint.safetensors.123", ".checkpoint.safetensors", ".checkpoint.safetensors.x"),
        *(".checkpoint.safetensors.123.bak", ".notes.txt.123", "log.csv", ".log.csv.1~"),
    ]
    for name in left + kept:
        (tmp_path / name).write_text("")
    (tmp_path / ".best.safetensors.7").mkdir()
    (tmp_path / ".best.safetensors.8").symlink_to(tmp_path / "log.csv")
    with locked(tmp_path):
        pass
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {*kept, ".best.safetensors.7", ".best.safetensors.8"}


def test_without_locks_a_folder_can_be_used(tmp_path, monkeypatch):
    monkeypatch.setattr("tinyalex.training.output_folder.fcntl", None)
    (tmp_path / ".log.csv.1").write_text("")
    with locked(tmp_path / "run"), locked(tmp_path / "run"):
        assert not list((tmp_path / "run").iterdir())
    assert (tmp_path / ".log.csv.1").exists()


@needs_locks
def test_on_a_file_system_without_locks_a_folder_can_be_used(tmp_path, monkeypatch):
    def flock(*arguments):
        raise OSError("no locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    with locked(tmp_path):
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_folder_that_is_deleted_during_the_run_ends_it(tmp_path, epoch):
    trainer = toy(tmp_path / "run", epochs=3)
    step = trainer.step

    def delete(images, labels):
        if trainer.progress.step == 5 * epoch + 2:
            shutil.rmtree(tmp_path / "run")
        step(images, labels)

    trainer.step = delete
    with pytest.raises(FileNotFoundError, match="folder .*run has been deleted or unmounted"):
        trainer.fit()
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_created_again_after_an_epoch_ends_the_run(tmp_path):
    """As by a figure that is being drawn while the folder is deleted."""
    trainer = toy(tmp_path / "run", epochs=3)

    def create_again(log):
        shutil.rmtree(tmp_path / "run")
        (tmp_path / "run").mkdir()

    trainer.after_epoch = create_again
    with pytest.raises(FileNotFoundError, match=r"checkpoints in .*run have been deleted"):
        trainer.fit()


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), OSError(30, "Read-only file system")]
)
def test_a_folder_that_becomes_read_only_ends_the_run(tmp_path, monkeypatch, error):
    trainer = toy(tmp_path, epochs=3)

    def refuse(*arguments, **options):
        raise error

    def make_read_only(log):
        for name in ("os.replace", "pathlib.Path.touch", "pathlib.Path.unlink"):
            monkeypatch.setattr(name, refuse)

    trainer.after_epoch = make_read_only
    with pytest.raises(type(error), match=rf"safetensors cannot be written .*{error.strerror}"):
        trainer.fit()
    assert (tmp_path / "checkpoint.safetensors").exists()


def test_a_lock_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "file").write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".tinyalex.lock").symlink_to(tmp_path / "file")
    with pytest.raises(OSError, match=r"\.tinyalex\.lock"), locked(tmp_path / "run"):
        pass
    assert (tmp_path / "file").read_text() == "precious"
