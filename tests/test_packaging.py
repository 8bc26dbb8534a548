"""The files in the wheel and the sdist, and the version."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

import tinyalex

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    # The build backend that is installed: no second environment, no network.
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    return folder


def source_files():
    files = (
        file
        for file in (REPOSITORY / "tinyalex").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    )
    return {file.relative_to(REPOSITORY).as_posix() for file in files}


def test_the_wheel_contains_the_package_and_its_license(dist):
    (wheel,) = dist.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    meta = {name for name in names if PurePosixPath(name).parts[0].endswith(".dist-info")}
    assert names - meta == source_files()
    assert {PurePosixPath(name).name for name in meta} == {
        "METADATA",
        "WHEEL",
        "RECORD",
        "LICENSE",
        "entry_points.txt",
    }
    assert wheel.name.endswith("-py3-none-any.whl")


def test_the_sdist_contains_the_package_and_the_build_files(dist):
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names - source_files() == {
        "PKG-INFO",
        "README.md",
        "LICENSE",
        "pyproject.toml",
        ".gitignore",
    }


def test_the_package_is_marked_as_typed():
    assert "tinyalex/py.typed" in source_files()


def test_the_wheel_and_the_package_have_the_same_version(dist):
    (wheel,) = dist.glob("*.whl")
    assert wheel.name.split("-")[1] == tinyalex.__version__
