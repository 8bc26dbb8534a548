"""What a user gets: a wheel and an sdist that hold the package, its licence and its README, and nothing else."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    # The backend by itself, as it is installed here: no second environment, no network.
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


def test_the_wheel_holds_the_package_and_its_licence(dist):
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


def test_the_sdist_holds_the_package_and_what_builds_it(dist):
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


def test_the_package_says_that_it_is_typed():
    assert "tinyalex/py.typed" in source_files()
