"""imagenette: downloaded from a server on this machine, unpacked once, whole or not at all."""

import hashlib

import pytest
from made_pictures import picture, tar_of

from tinyalex import data
from tinyalex.data import ten_classes as module
from tinyalex.data.ten_classes import ARCHIVES, HOSTS, imagenette, unpack


def archive(files):
    return tar_of(files, "w:gz")


PICTURES = {
    f"imagenette2-160/{split}/n0144{c}/{i}.JPEG": picture(i)
    for split in ("train", "val")
    for c in range(2)
    for i in range(2)
}


@pytest.fixture
def offered(tmp_path, monkeypatch):
    """A function that puts bytes where the download would come from, with their own checksum; the cache is a folder of the test's."""
    monkeypatch.setenv("TINYALEX_CACHE", str(tmp_path / "cache"))
    asked = []

    def offer(content):
        monkeypatch.setitem(
            module.ARCHIVES, 160, ("imagenette2-160.tgz", "md5:" + hashlib.md5(content).hexdigest())
        )

        def fetch(name, mirrors, known_hash):
            asked.append((name, *mirrors))
            file = tmp_path / name
            file.write_bytes(content)
            return file

        monkeypatch.setattr(module, "fetch", fetch)
        return asked

    return offer


def test_it_is_downloaded_and_unpacked_once(offered, tmp_path):
    asked = offered(archive(PICTURES))
    folder = imagenette(160)
    assert imagenette(160) == folder == tmp_path / "cache" / "imagenette2-160"
    assert asked == [("imagenette2-160.tgz", *(host + "imagenette2-160.tgz" for host in HOSTS))]
    source = data.find_pictures(folder)
    assert (source.classes, len(source.train), len(source.val)) == (("n01440", "n01441"), 4, 4)
    assert [file.name for file in folder.parent.iterdir()] == ["imagenette2-160"]


def test_an_archive_that_would_write_elsewhere_is_refused(offered, tmp_path):
    offered(archive(PICTURES | {"../../escaped": b"bad"}))
    with pytest.raises(ValueError, match="is not the archive of one folder that it should be"):
        imagenette(160)
    assert not list(tmp_path.rglob("escaped"))
    assert not (tmp_path / "cache" / "imagenette2-160").exists()


@pytest.mark.parametrize(
    "content", [archive(PICTURES)[:1000], archive({"a/1": b"", "b/2": b""}), b"no archive"]
)
def test_what_is_not_the_archive_leaves_nothing_behind(content, tmp_path):
    (tmp_path / "x.tgz").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"x.tgz is not the archive of one folder that it should be: .*\nRemove it"
    ):
        unpack(tmp_path / "x.tgz", tmp_path / "folder")
    assert [file.name for file in tmp_path.iterdir()] == ["x.tgz"]


def test_other_sizes_are_refused_and_all_is_checked():
    with pytest.raises(ValueError, match="expected a shorter side of 160 or 320 pixels, got 224"):
        imagenette(224)
    assert all(
        known_hash.startswith("md5:") and len(known_hash) == 36
        for _, known_hash in ARCHIVES.values()
    )
    assert all(host.startswith("https://") for host in HOSTS)
