"""Messages name the command that installs an optional package."""

import os
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from tinyalex import installation
from tinyalex.installation import CHECKOUT, pip_install

ROOT = Path(__file__).resolve().parent.parent


def test_in_a_checkout_the_command_is_that_of_the_readme(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert pip_install("onnx") == "pip install -e '.[onnx]'"
    assert pip_install("onnx") in (ROOT / "README.md").read_text(encoding="utf-8")


def test_in_another_folder_the_command_has_the_path_of_the_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert pip_install("mpi") == f"pip install -e '{ROOT}[mpi]'"
    (tmp_path / "pyproject.toml").touch()  # another project's
    assert pip_install("mpi") == f"pip install -e '{ROOT}[mpi]'"


@pytest.mark.skipif(os.name == "nt", reason="Windows does not delete the current folder")
def test_the_current_folder_may_have_been_deleted(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert pip_install("mpi") == f"pip install -e '{ROOT}[mpi]'"


def test_an_installed_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(installation, "CHECKOUT", tmp_path)
    assert pip_install("onnx") == "pip install 'tinyalex[onnx]'"


def test_a_path_with_quotes_is_quoted(tmp_path, monkeypatch):
    checkout = tmp_path / "it's here"
    checkout.mkdir()
    (checkout / "pyproject.toml").touch()
    monkeypatch.setattr(installation, "CHECKOUT", checkout)
    monkeypatch.chdir(tmp_path)
    assert shlex.split(pip_install("mpi")) == ["pip", "install", "-e", f"{checkout}[mpi]"]


def test_each_extra_in_a_message_exists():
    assert CHECKOUT == ROOT
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [file.read_text(encoding="utf-8") for file in ROOT.glob("tinyalex/**/*.py")]
    named = {name for text in texts for name in re.findall(r"pip_install\(['\"]([\w-]+)", text)}
    assert len(named) > 4
    assert named - set(project["optional-dependencies"]) == set()
