"""Tar archives from the internet: sizes, links, headers and names that are wrong."""

import bz2
import gzip
import io
import struct
import tarfile

import numpy as np
import pytest
from made_images import official_files, tar_of

from tinyalex.data import ilsvrc
from tinyalex.data.imagenette_archive import unpack
from tinyalex.data.records import ByteRange, tar_members
from tinyalex.data.sources import find_images
from tinyalex.data.tar_files import compressed_tar_files

FILES = {"folder/a": b"hello", "folder/b": b""}
END = bytes(1024)


def member(name="a", size=0, contents=b"", kind=tarfile.REGTYPE, **fields):
    """A header with any size, and its contents."""
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    header = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = size if isinstance(size, bytes) else b"%011o\0" % size  # bytes: not octal
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + contents + bytes(-len(contents) % 512)


def negative(size=-512):
    return struct.pack(">i", -1) + struct.pack(">q", size)


def pax(**records):
    """An extended header."""
    text = b""
    for key, value in records.items():
        record = f" {key}={value}\n".encode()
        length = next(n for n in range(5, 9999) if n == len(record) + len(str(n)))
        text += str(length).encode() + record
    return member("pax", len(text), text, tarfile.XHDTYPE)


HOSTILE = {
    "negative size": member(size=negative()) + END,
    "negative size in an extended header": pax(size="-512") + member() + END,
    "size that is no number": pax(size="\u0661") + member() + END,
    "size of 5,000 digits": pax(size="9" * 5000) + member() + END,
    "size of 2**80": member(size=b"\x80" + b"\xff" * 11) + END,
    "damaged checksum": member().replace(b"ustar", b"Ustar") + END,
    "no end": member(),
    "long name without an end": member(size=8 << 30, kind=tarfile.GNUTYPE_LONGNAME) + END,
    "extended header of 2 MiB": member(size=2 << 20, contents=bytes(2 << 20), kind=b"x") + END,
    "extended header without a length": member(size=4, contents=b"a=b\n", kind=b"x") + END,
    "extended header of length 0": member(size=6, contents=b"0 a=b\n", kind=b"x") + END,
    "sparse file": member(kind=tarfile.GNUTYPE_SPARSE) + END,
    "sparse file of PAX": pax(**{"GNU.sparse.major": "1"}) + member() + END,
    "zero in a name": pax(path="a\0b") + member() + END,
    "empty": b"",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused_compressed_or_not(content, tmp_path):
    file = tmp_path / "x.tar"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="x.tar is not a complete tar archive: "):
        list(tar_members(ByteRange(file)))
    for compress in (gzip.compress, bz2.compress):
        file.write_bytes(compress(content))
        with pytest.raises(ValueError, match="expected|damaged|missing|truncated|size|name"):
            list(compressed_tar_files(file, 1 << 24))


def test_a_chain_of_extended_headers_is_no_recursion(tmp_path):
    (tmp_path / "x.tar").write_bytes(pax(path="b") * 5_000 + member() + END)
    assert [name for name, _ in tar_members(ByteRange(tmp_path / "x.tar"))] == ["b"]


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"5", b"6"])
def test_links_devices_and_folders_are_left_out(kind, tmp_path):
    other = member("other", kind=kind, linkname="/etc/passwd")
    (tmp_path / "x.tar").write_bytes(other + member("a") + END)
    assert [name for name, _ in tar_members(ByteRange(tmp_path / "x.tar"))] == ["a"]


@pytest.mark.parametrize(
    "form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=str
)
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2"])
def test_archives_of_each_format_are_read_as_tarfile_reads_them(form, mode, tmp_path):
    rng = np.random.default_rng(0)
    names = ["a", "d/" * 40 + "b", "d/" * 60 + "e" * 90, "\u00e9"]
    names += ["n" * 150] if form != tarfile.USTAR_FORMAT else []
    files = {name: rng.bytes(int(rng.integers(2000))) for name in names}
    with tarfile.open(tmp_path / "x.tar", mode, format=form) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    found = compressed_tar_files(tmp_path / "x.tar", 1 << 20)
    assert {file.name: file.read() for file in found} == files


def bomb(path, size):
    """A compressed archive with a file of zeros."""
    with gzip.open(path, "wb", 1) as file:
        file.write(member("folder/a", size))
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
        file.write(END)


def test_a_bomb_is_refused_before_it_is_decompressed(tmp_path):
    bomb(tmp_path / "x.tgz", 65 << 20)
    with pytest.raises(ValueError, match=r"'folder/a' has 68,157,440 bytes, expected at most"):
        unpack(tmp_path / "x.tgz", tmp_path / "folder")
    with pytest.raises(ValueError, match="'folder/a' is truncated"):
        list(compressed_tar_files(tmp_path / "x.tgz", 64 << 20))
    with gzip.open(tmp_path / "x.tgz", "wb", 1) as file:
        file.write(tar_of(FILES) + bytes(4 << 20))
    with pytest.raises(ValueError, match="it has more than 2,097,152 bytes"):
        list(compressed_tar_files(tmp_path / "x.tgz", 2 << 20))


def test_millions_of_headers_are_not_read(tmp_path):
    with gzip.open(tmp_path / "x.tgz", "wb", 1) as file:
        file.write(member() * 61_000 + END)
    with pytest.raises(ValueError, match="headers have more than 60,000 blocks"):
        list(compressed_tar_files(tmp_path / "x.tgz", 1 << 30))


@pytest.mark.parametrize("name", ["../a", "/a", "d/../../a", "d//a", "d/./a", "..\\a"])
def test_a_path_out_of_the_folder_is_refused(name, tmp_path):
    (tmp_path / "x.tgz").write_bytes(gzip.compress(tar_of({"d/b": b"", name: b"bad"})))
    with pytest.raises(ValueError, match="leads out of it"):
        unpack(tmp_path / "x.tgz", tmp_path / "out" / "folder")
    assert not list(tmp_path.rglob("a"))


@pytest.mark.parametrize("names", [("d/a", "d/a/b"), ("d/a/b", "d/a"), ("d/" + "a" * 256,)])
def test_names_that_no_folder_can_have_are_refused(names, tmp_path):
    (tmp_path / "x.tgz").write_bytes(gzip.compress(tar_of(dict.fromkeys(names, b""))))
    with pytest.raises(ValueError, match="name of a folder, or in a file|too long"):
        unpack(tmp_path / "x.tgz", tmp_path / "folder")
    assert [file.name for file in tmp_path.iterdir()] == ["x.tgz"]


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b[:-8] + bytes(8), lambda b: b"BZ"])
def test_a_damaged_compressed_archive_is_refused(damage, tmp_path):
    (tmp_path / "x.tgz").write_bytes(damage(gzip.compress(tar_of(FILES))))
    with pytest.raises(ValueError, match="x.tgz is not a complete archive of one folder"):
        unpack(tmp_path / "x.tgz", tmp_path / "folder")


def test_a_hostile_archive_within_an_archive_is_named(tmp_path):
    root = official_files(tmp_path / "official")
    (root / ilsvrc.TRAIN).write_bytes(tar_of({"n01440764.tar": member(size=negative()) + END}))
    with pytest.raises(ValueError, match="ILSVRC2012_img_train.tar is not a complete tar archive"):
        find_images(root)
