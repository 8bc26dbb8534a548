"""Image files that are made to run programs or to exhaust memory."""

import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from limits import limited
from PIL import Image

from tinyalex import data, models
from tinyalex.data.decoding import decode

EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 8 8
%%EndComments
0 0 8 8 rectfill
showpage
%%EOF
"""


def png(width, height, bits=1):
    """A PNG file with this size in its header, and no pixels."""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def tiff(tags, content):
    """A TIFF file with these tags, as 32-bit integers unless the key has a type."""
    entries = {key if isinstance(key, tuple) else (key, 4): value for key, value in tags.items()}
    start = 8 + 2 + 12 * len(entries) + 4
    file = b"II*\0" + struct.pack("<IH", 8, len(entries))
    for (tag, kind), value in sorted(entries.items()):
        file += struct.pack("<HHII", tag, kind, 1, start if value == "start" else value)
    return file + bytes(4) + content


def tiled(width, length, width_type=4):
    """A TIFF file of 16 x 16 pixels in one tile of this size."""
    content = zlib.compress(bytes(1000))
    shape = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1}
    tile = {(322, width_type): width, 323: length, 324: "start", 325: len(content)}
    return tiff({**shape, **tile}, content)


def read_by_decode(folder, content):
    return decode(content)


def read_by_preprocessing(folder, content):
    (folder / "image.jpg").write_bytes(content)
    return models.preprocessing("paper")(folder / "image.jpg")


def read_by_image_folder(folder, content):
    (folder / "train" / "cat").mkdir(parents=True)
    (folder / "train" / "cat" / "image.jpg").write_bytes(content)
    return data.image_folder(folder / "train")


READERS = [read_by_decode, read_by_preprocessing, read_by_image_folder]


@pytest.mark.parametrize("read", READERS)
def test_an_eps_file_named_jpg_starts_no_ghostscript(read, tmp_path, monkeypatch):
    programs = tmp_path / "programs"
    programs.mkdir()
    ghostscript = programs / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\nexit 1\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(ValueError, match="none of JPEG, PNG"):
        read(tmp_path, EPS)
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("size", [(9000, 9000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(read, size, tmp_path):
    content = png(*size)
    assert len(content) < 100
    with pytest.raises(ValueError, match=r"pixels|bomb"):
        read(tmp_path, content)


@pytest.mark.parametrize("read", READERS)
def test_an_extreme_aspect_ratio_is_refused_before_it_is_decoded(read, tmp_path):
    with pytest.raises(ValueError, match="aspect ratio of at most 100 : 1, got 20000 x 1 pixels"):
        read(tmp_path, png(20_000, 1))


def test_sixteen_bits_become_eight():
    values = np.zeros((100, 100), np.uint16)
    values[50:] = 65535
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    pixels = np.asarray(decode(file.getvalue()))
    assert (pixels[:50] == 0).all()
    assert (pixels[50:] == 255).all()


@pytest.mark.parametrize(
    "content", [tiled(40_000, 40_000), tiled(1 << 30, 16), tiled(255, 1 << 24, width_type=1)]
)
def test_a_small_tiff_file_with_a_large_tile_is_refused(content):
    assert len(content) < 200
    with pytest.raises(ValueError, match="tile"):
        limited(decode, content)


def progressive(scans, size=(16, 16)):
    """A JPEG file whose last scan is repeated."""
    file = io.BytesIO()
    Image.new("L", size).save(file, "JPEG", progressive=True)
    content = file.getvalue()[:-2]
    # Its Huffman table precedes it.
    last = content[content.rindex(b"\xff\xc4") :]
    return content + last * (scans - content.count(b"\xff\xda")) + b"\xff\xd9"


def test_a_jpeg_file_of_many_scans_is_refused():
    decode(progressive(100))
    content = progressive(60_000, (4000, 4000))
    with pytest.raises(ValueError, match="at most 100 scans"):
        limited(decode, content)


def test_a_jpeg_file_of_many_segments_is_refused():
    content = progressive(1)
    comments = b"\xff\xe5\x00\x02"  # an empty segment of an application
    decode(content[:2] + 9_000 * comments + content[2:])
    with pytest.raises(ValueError, match="at most 10,000 segments"):
        limited(decode, content[:2] + 11_000 * comments + content[2:])


def test_scans_of_a_jpeg_file_are_counted_up_to_its_end():
    thumbnail = b"\xff\xfe\x01\x00" + b"\xff\xd9\xff\xda".ljust(254, b"\0")
    content = progressive(10)
    content = content[:2] + thumbnail + content[2:]
    assert decode(content + content[2:] * 20).size == (16, 16)
    many = progressive(101)
    with pytest.raises(ValueError, match="at most 100 scans"):
        decode(many[:2] + thumbnail + many[2:])


@pytest.mark.parametrize(("bits", "compression"), [(8, 1), (4, 2)])
def test_a_run_length_encoded_bmp_file_is_refused(bits, compression):
    pixels = bytes([16, 0, 0, 0]) * 16 + bytes([0, 1])
    start = 14 + 40 + 4 * 2**bits
    content = struct.pack("<2sIII", b"BM", start + len(pixels), 0, start)
    content += struct.pack("<IiiHHI", 40, 16, 16, 1, bits, compression)
    content += struct.pack("<IiiII", len(pixels), 0, 0, 0, 0) + bytes(4 * 2**bits) + pixels
    with pytest.raises(ValueError, match="run-length encoded BMP"):
        decode(content)


def test_damaged_tags_print_no_warnings():
    tags = {256: 16, 257: 16, 258: 8, 259: 1, 262: 1, 277: 1, 273: "start", 279: 256}
    # Type 12, 64-bit floats, has an offset as its value: these are outside of the file.
    damaged = {(1000 + i, 12): 1 << 20 for i in range(20)}
    program = (
        "import sys; from tinyalex.data.decoding import decode; decode(sys.stdin.buffer.read())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=tiff({**tags, **damaged}, bytes(256)),
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
