"""imagenette: downloaded once, unpacked completely or not at all."""

import hashlib
import os

import pytest
from made_images import image_bytes, tar_of

from tinyalex import data
from tinyalex.data import imagenette_archive
from tinyalex.data.imagenette_archive import ARCHIVES, HOSTS, imagenette, unpack


def archive(files):
    return tar_of(files, "w:gz")


IMAGES = {
    f"imagenette2-160/{split}/n0144{c}/{i}.JPEG": image_bytes(i)
    for split in ("train", "val")
    for c in range(2)
    for i in range(2)
}


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A function that sets the downloaded bytes, and returns the requests."""
    monkeypatch.setenv("TINYALEX_CACHE", str(tmp_path / "cache"))
    requests = []

    def offer(content):
        monkeypatch.setitem(
            imagenette_archive.ARCHIVES,
            160,
            ("imagenette2-160.tgz", "md5:" + hashlib.md5(content).hexdigest()),
        )

        def fetch(name, mirrors, known_hash):
            requests.append((name, *mirrors))
            file = tmp_path / name
            file.write_bytes(content)
            return file

        monkeypatch.setattr(imagenette_archive, "fetch", fetch)
        return requests

    return offer


def test_it_is_downloaded_and_unpacked_once(mirror, tmp_path):
    requests = mirror(archive(IMAGES))
    folder = imagenette(160)
    assert imagenette(160) == folder == tmp_path / "cache" / "imagenette2-160"
    assert requests == [("imagenette2-160.tgz", *(host + "imagenette2-160.tgz" for host in HOSTS))]
    source = data.find_images(folder)
    assert (source.classes, len(source.train), len(source.val)) == (("n01440", "n01441"), 4, 4)
    assert [file.name for file in folder.parent.iterdir()] == ["imagenette2-160"]


def test_another_process_may_unpack_it_too(tmp_path, monkeypatch):
    (tmp_path / "x.tgz").write_bytes(archive(IMAGES))
    write = imagenette_archive._write
    pid, written = os.getpid(), []

    def interleaved(file, folder):
        write(file, folder)
        written.append(file.name)
        if len(written) == 3:
            monkeypatch.setattr(os, "getpid", lambda: pid + 1)
            unpack(tmp_path / "x.tgz", tmp_path / "images")

    monkeypatch.setattr(imagenette_archive, "_write", interleaved)
    unpack(tmp_path / "x.tgz", tmp_path / "images")
    assert len(list((tmp_path / "images").rglob("*.JPEG"))) == len(IMAGES)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["images", "x.tgz"]


def test_an_archive_that_would_write_elsewhere_is_refused(mirror, tmp_path):
    mirror(archive(IMAGES | {"../../escaped": b"bad"}))
    with pytest.raises(ValueError, match="is not a complete archive of one folder"):
        imagenette(160)
    assert not list(tmp_path.rglob("escaped"))
    assert not (tmp_path / "cache" / "imagenette2-160").exists()


@pytest.mark.parametrize(
    "content",
    [archive(IMAGES)[:1000], archive({"a/1": b"", "b/2": b""}), b"no archive"],
    ids=["truncated", "two folders", "no archive"],
)
def test_another_file_is_refused_and_leaves_nothing_behind(content, tmp_path):
    (tmp_path / "x.tgz").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"x.tgz is not a complete archive of one folder: .*\nRemove it"
    ):
        unpack(tmp_path / "x.tgz", tmp_path / "folder")
    assert [file.name for file in tmp_path.iterdir()] == ["x.tgz"]


def test_other_sizes_are_refused_and_all_downloads_have_checksums():
    with pytest.raises(ValueError, match="expected a shorter side of 160 or 320 pixels, got 224"):
        imagenette(224)
    assert all(
        known_hash.startswith("md5:") and len(known_hash) == 36
        for _, known_hash in ARCHIVES.values()
    )
    assert all(host.startswith("https://") for host in HOSTS)
