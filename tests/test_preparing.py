"""Sources of images, decoding, and shards."""

import csv
import io
import json
import os
import signal
import struct
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from made_images import WNIDS, class_folders, image_bytes, official_files, tar_of
from PIL import Image, ImageOps

from tinyalex import cli, data
from tinyalex.data import ilsvrc, preparing, shards, sources
from tinyalex.data.dataset import StoredImages
from tinyalex.data.decoding import decode, decode_square
from tinyalex.data.preparing import Options, prepare
from tinyalex.data.records import ByteRange, ImageRecord, tar_members
from tinyalex.data.sources import find_images
from tinyalex.models.image_preprocessing import Preprocessing

REPOSITORY = Path(__file__).resolve().parent.parent
SMALL = Options(size=16, per_shard=5)


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


# Sources


def test_class_folders_are_found(tmp_path):
    source = find_images(class_folders(tmp_path))
    assert source.classes == ("cat", "dog")
    assert [(p.name, p.label) for p in source.val] == [
        ("val/cat/0.jpg", 0),
        ("val/cat/2.jpg", 0),
        ("val/dog/1.jpg", 1),
        ("val/dog/3.jpg", 1),
    ]
    assert source.train[0].stored.read() == image_bytes(0)


def test_the_official_tars_are_read_without_unpacking_and_labelled_by_sorted_wnid(tmp_path):
    root = official_files(tmp_path / "official")
    source = find_images(root)
    assert source.classes == WNIDS
    assert [p.label for p in source.train] == [0] * 4 + [1] * 4 + [2] * 4
    assert source.train[5].stored.read() == image_bytes(11)
    assert [(p.name[-6:-5], p.label) for p in source.val] == [
        ("1", 2),
        ("2", 0),
        ("3", 1),
        ("4", 2),
    ]
    (root / ilsvrc.DEVKIT).unlink()
    with open(root / ilsvrc.KAGGLE, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["ImageId", "PredictionString"])
        for p in reversed(source.val):
            rows.writerow(
                [
                    p.name.removesuffix(".JPEG"),
                    f"{WNIDS[p.label]} 85 1 499 272 {WNIDS[p.label]} 1 2 3 4 ",
                ]
            )
    assert find_images(root) == source


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda root: (root / ilsvrc.VAL).unlink(),
            "there is no ILSVRC2012_img_val.tar in .*\nAdd both of the official ",
        ),
        (
            lambda root: (root / ilsvrc.DEVKIT).unlink(),
            "there are no labels of the validation images in ",
        ),
        (
            lambda root: truncate(root / ilsvrc.TRAIN, 9000),
            "ILSVRC2012_img_train.tar is not a complete tar archive: .*\nDownload it again",
        ),
        (
            lambda root: (root / ilsvrc.VAL).write_bytes(
                tar_of({"ILSVRC2012_val_00000001.JPEG": b""})
            ),
            "labels 4 validation images, but there are 1",
        ),
        (
            lambda root: (root / ilsvrc.VAL).write_bytes(tar_of({"a.JPEG": b""})),
            "validation image 1 is a.JPEG, expected",
        ),
        (
            lambda root: overwrite(root / ilsvrc.TRAIN, 2 * 512 + 1024),
            "ILSVRC2012_img_train.tar is not a complete tar archive: a header is damaged",
        ),
        (
            lambda root: truncate(root / ilsvrc.VAL, third_member(root / ilsvrc.VAL)),
            "ILSVRC2012_img_val.tar is not a complete tar archive: its end",
        ),
        (
            lambda root: truncate(root / ilsvrc.DEVKIT, 100),
            "devkit_t12.tar.gz cannot be read: .*\nDownload the devkit of 2012",
        ),
        (
            lambda root: (root / ilsvrc.DEVKIT).write_bytes(b"<html>"),
            "devkit_t12.tar.gz cannot be read: ValueError: its end is missing",
        ),
    ],
    ids=[
        "no val",
        "no labels",
        "cut",
        "another year",
        "other names",
        "damaged header within",
        "cut between members",
        "cut devkit",
        "no devkit",
    ],
)
def test_official_files_that_do_not_match_are_named(damage, message, tmp_path):
    root = official_files(tmp_path / "official")
    damage(root)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        find_images(root)


def overwrite(file, offset):
    """Damage a header of an archive within the archive."""
    content = bytearray(file.read_bytes())
    content[offset : offset + 512] = b"\xff" * 512
    file.write_bytes(content)


def third_member(file):
    """The offset of the third member of an archive."""
    with tarfile.open(file) as tar:
        return tar.getmembers()[2].offset


def truncate(file, size):
    file.write_bytes(file.read_bytes()[:size])


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*nowhere"):
        find_images(tmp_path / "nowhere")
    with pytest.raises(
        ValueError,
        match=r"found no folder .*\nExpected in .* the folders train/ and val/.*\n.*ILSVRC2012_img_train.tar",
    ):
        find_images(tmp_path)
    class_folders(tmp_path)
    (tmp_path / "val" / "bird").mkdir()
    (tmp_path / "val" / "bird" / "1.jpg").write_bytes(image_bytes(1))
    with pytest.raises(ValueError, match="validation images of bird, but no training images"):
        find_images(tmp_path)


# Decoding


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        (Image.new("L", (6, 4), 100), "PNG", (100, 100, 100)),
        (Image.fromarray(np.full((4, 6), 100 << 8, np.uint16)), "PNG", (100, 100, 100)),
        (Image.new("RGBA", (6, 4), (10, 20, 30, 40)), "PNG", (10, 20, 30)),
        (Image.new("RGB", (6, 4), (200, 100, 0)).convert("P"), "PNG", (204, 102, 0)),
        (Image.new("CMYK", (6, 4), (0, 255, 255, 0)), "JPEG", (255, 0, 0)),
    ],
    ids=["grey", "16 bits", "transparent", "palette", "CMYK"],
)
def test_every_mode_becomes_rgb(image, kind, expected):
    file = io.BytesIO()
    image.save(file, kind, **({"quality": 100} if kind == "JPEG" else {}))
    pixels = np.asarray(decode(file.getvalue()))
    assert pixels.shape == (4, 6, 3)
    assert np.abs(pixels.astype(int) - expected).max() <= 2


@pytest.mark.parametrize(
    ("size", "expected"),
    [((40, 20), (20, 10)), ((20, 40), (10, 20)), ((5, 7), (10, 14)), ((1000, 750), (13, 10))],
)
def test_the_shorter_side_has_the_requested_length(size, expected):
    assert decode(image_bytes(0, size), 10).size == expected


@pytest.mark.parametrize("size", [(60, 40), (41, 60), (18, 24), (300, 200)])
def test_a_square_is_the_centre_of_the_resized_image(size):
    reference = np.asarray(decode(image_bytes(4, size), 18)).astype(int)
    top, left = ((side - 18) // 2 for side in reference.shape[:2])
    square = np.asarray(decode_square(image_bytes(4, size), 18))
    difference = np.abs(square - reference[top : top + 18, left : left + 18]).mean()
    assert difference == 0 if min(size) == 18 else difference < 6  # shifted by half a pixel


def test_a_jpeg_that_is_reduced_by_its_decoder_looks_the_same():
    large = image_bytes(3, (1200, 800))
    small, reference = decode(large, 64), decode(large).resize((96, 64), Image.Resampling.BILINEAR)
    assert np.abs(np.asarray(small).astype(int) - np.asarray(reference)).max() <= 3


@pytest.mark.parametrize(
    "content",
    [b"", b"no image", image_bytes(0)[:300], image_bytes(0, kind="PNG")[:60]],
    ids=["empty", "text", "cut JPEG", "cut PNG"],
)
def test_bytes_that_are_no_image_are_refused(content):
    with pytest.raises(ValueError, match="not a readable image"):
        decode(content)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_rotated_as_exif_says_even_if_its_other_tags_are_damaged(orientation):
    reference = exif_jpeg(orientation, (0x0100, 3, 1, 24))  # ImageWidth, a short number
    damaged = exif_jpeg(orientation, (0x0100, 2, 4, 0x6564_6977))  # ImageWidth, the text "wide"
    rotated = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(reference))))
    np.testing.assert_array_equal(np.asarray(decode(reference)), rotated)
    np.testing.assert_array_equal(np.asarray(decode(damaged)), rotated)


def exif_jpeg(orientation, entry):
    """A JPEG with the EXIF tags `entry`, (tag, type, count, value), and orientation."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in (entry, (0x0112, 3, 1, orientation)))
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)
    jpeg = image_bytes(2)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def test_an_extreme_aspect_ratio_is_refused():
    with pytest.raises(
        ValueError, match="expected an aspect ratio of at most 100 : 1, got 1010 x 10 pixels"
    ):
        decode(image_bytes(0, (1010, 10)), 256)


def test_all_original_files_of_imagenet_decode(real_data, tell):
    files = sorted((real_data / "imagenet-sample-full").rglob("*.JPEG"))
    counts = {"grey": 0, "rotated": 0}
    for file in files:
        pixels = np.asarray(decode(file.read_bytes()))
        with Image.open(file) as image:
            orientation, mode = image.getexif().get(0x0112, 1), image.mode
            plain = np.asarray(image)
        if mode == "L":
            counts["grey"] += 1
            plain = np.repeat(plain[..., None], 3, axis=2)
        rotated = {3: plain[::-1, ::-1], 6: np.rot90(plain, -1), 8: np.rot90(plain)}.get(
            orientation, plain
        )
        counts["rotated"] += orientation in (3, 6, 8)
        np.testing.assert_array_equal(pixels, rotated)
        assert min(decode(file.read_bytes(), 256).size) == 256
    assert len(files) == 200
    assert counts == {"grey": 14, "rotated": 1}
    tell(
        f"imagenet-sample-full: {len(files)} original files decoded, {counts['grey']} grey, {counts['rotated']} rotated"
    )


# Preparing


def test_images_become_shards_with_an_index(tmp_path):
    source = class_folders(tmp_path / "photos")
    index = prepare(source, tmp_path / "out", SMALL, progress=False)
    assert index["shards"] == [
        "train-00000.tar",
        "train-00001.tar",
        "train-00002.tar",
        "val-00000.tar",
    ]
    assert shards.read_index(tmp_path / "out") == index
    classes, train, val, note = find_images(tmp_path / "out")
    assert note == index
    assert (len(train), len(val), classes) == (12, 4, ("cat", "dog"))
    assert sorted(p.label for p in train) == [0] * 6 + [1] * 6
    assert [p.label for p in val] == [0, 0, 1, 1]
    expected = np.asarray(decode(image_bytes(100), 16))[:, 2:18].transpose(
        2, 0, 1
    )  # 21 x 16, its centre
    assert (
        np.abs(StoredImages(val, classes, 16).take([0])[0][0].astype(int) - expected).max() < 25
    )  # the error of JPEG
    pixels = np.concatenate(
        [np.asarray(decode(p.stored.read(), 16)).reshape(-1, 3) for p in find_images(source).train]
    ).astype("d")
    np.testing.assert_allclose(index["mean"], pixels.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(index["covariance"], np.cov(pixels.T, bias=True), rtol=1e-6)


def test_a_loader_reads_shards(tmp_path):
    index = prepare(class_folders(tmp_path / "photos"), tmp_path / "out", SMALL, progress=False)
    source = find_images(tmp_path / "out")
    train = StoredImages(source.train, source.classes, 16)
    batches = list(data.Loader(train, 5, shuffle=True, transform=data.Normalize(index["mean"])))
    assert [x.shape for x, _ in batches] == [(5, 3, 16, 16), (5, 3, 16, 16), (2, 3, 16, 16)]
    assert abs(np.concatenate([x for x, _ in batches]).mean()) < 8


def test_images_that_cannot_be_read_are_left_out_and_named(tmp_path, capsys):
    source = class_folders(tmp_path / "photos")
    (source / "train" / "cat" / "2.jpg").write_bytes(image_bytes(2)[:200])
    assert (
        cli.main(
            ["prepare", str(source), str(tmp_path / "out"), "--size", "16", "--per-shard", "5"]
        )
        == 0
    )
    out = capsys.readouterr().out
    assert "left out: train/cat/2.jpg: not a readable image: " in out
    assert "2 classes, 4 shards in" in out
    assert len(find_images(tmp_path / "out").train) == 11


def test_a_run_that_was_killed_resumes_to_the_same_bytes(tmp_path):
    source = class_folders(tmp_path / "photos", train=60, val=20)
    (source / "train" / "cat" / "0.jpg").write_bytes(b"no image")
    prepare(source, tmp_path / "reference", SMALL, progress=False)
    expected = contents(tmp_path / "reference")
    out = tmp_path / "killed"
    command = [
        sys.executable,
        "-m",
        "tinyalex",
        "prepare",
        source,
        out,
        "--size",
        "16",
        "--per-shard",
        "5",
    ]
    kills = 0
    for shards_before in range(0, 16, 3):
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and len(list(out.glob("[tv]*.tar"))) <= shards_before:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 3
    prepare(source, out, SMALL, progress=False)
    assert contents(out) == expected


@pytest.mark.parametrize("moment", range(1, 6))
def test_a_failure_at_any_write_loses_nothing(moment, tmp_path, monkeypatch):
    source = class_folders(tmp_path / "photos")
    prepare(source, tmp_path / "reference", SMALL, progress=False)
    writes = []
    own = os.replace

    def fail(a, b):
        writes.append(b)
        if len(writes) == moment:
            raise KeyboardInterrupt
        own(a, b)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(KeyboardInterrupt):
            prepare(source, tmp_path / "out", SMALL, progress=False)
    prepare(source, tmp_path / "out", SMALL, progress=False)
    assert contents(tmp_path / "out") == contents(tmp_path / "reference")


def test_a_folder_with_other_files_is_refused_and_unchanged(tmp_path):
    source = class_folders(tmp_path / "photos")
    out = tmp_path / "out"
    prepare(source, out, SMALL, progress=False)
    before = contents(out)
    with pytest.raises(
        ValueError, match="was started with other images or options: size 16, not 32"
    ):
        prepare(source, out, SMALL._replace(size=32), progress=False)
    (source / "train" / "cat" / "new.jpg").write_bytes(image_bytes(7))
    with pytest.raises(
        ValueError,
        match="was started with other images or options: train 12, not 13; other image files ",
    ):
        prepare(source, out, SMALL, progress=False)
    (source / "train" / "cat" / "new.jpg").unlink()
    own = (source / "train" / "cat" / "0.jpg").read_bytes()
    (source / "train" / "cat" / "0.jpg").write_bytes(image_bytes(8, (60, 40)))
    with pytest.raises(
        ValueError,
        match="was started with other images or options: other image files \\(a hash",
    ):
        prepare(source, out, SMALL, progress=False)
    (source / "train" / "cat" / "0.jpg").write_bytes(own)
    assert contents(out) == before
    with pytest.raises(ValueError, match="has files that are not from"):
        prepare(source, source, SMALL, progress=False)
    with pytest.raises(ValueError, match="expected quality to be an integer from 1 to 95, got 100"):
        prepare(source, out, Options(quality=100), progress=False)
    (out / ".index.json.swp").write_text("an editor's")
    prepare(source, out, SMALL, progress=False)
    assert (out / ".index.json.swp").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "plan.json").write_text("[]")
    with pytest.raises(ValueError, match="plan.json was not written by `tinyalex prepare`"):
        prepare(source, tmp_path / "other", SMALL, progress=False)
    (out / "index.json").unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r"`tinyalex prepare` has not finished .*: there is no index.json.\nRun it again",
    ):
        find_images(out)


def test_a_shard_of_another_program_is_named(tmp_path):
    source = class_folders(tmp_path / "photos")
    prepare(source, tmp_path / "out", SMALL, progress=False)
    (tmp_path / "out" / "train-00001.tar").write_bytes(tar_of({"a.jpg": image_bytes(1)}))
    with pytest.raises(ValueError, match="train-00001.tar was not written by `tinyalex prepare`"):
        prepare(source, tmp_path / "out", SMALL, progress=False)


# Shards of other programs


def test_shards_of_webdataset_are_read(tmp_path):
    files = {
        "a/0001.jpg": image_bytes(1),
        "a/0001.cls": b"1\n",
        "b.json": b"{}",
        "a/0002.cls": b"0",
        "a/0002.PNG": image_bytes(2, kind="PNG"),
        "b.cls": b"1",
        "b.jpeg": image_bytes(3),
    }
    (tmp_path / "x.tar").write_bytes(tar_of(files))
    records = list(shards.read_shards([tmp_path / "x.tar"]))
    assert [(p.name, p.label) for p in records] == [
        ("x.tar/a/0001", 1),
        ("x.tar/b", 1),
        ("x.tar/a/0002", 0),
    ]
    images, labels = StoredImages(records, ("cat", "dog"), 18).take(np.array([2, 0]))
    assert (images.shape, labels.tolist()) == ((2, 3, 18, 18), [0, 1])
    np.testing.assert_array_equal(
        images[0], np.asarray(decode(image_bytes(2, kind="PNG")))[:, 3:21].transpose(2, 0, 1)
    )


def test_a_folder_of_shards_of_other_programs_is_a_source(tmp_path):
    for name, label in (("train-0", b"1"), ("train-1", b"0"), ("val-0", b"1")):
        (tmp_path / f"{name}.tar").write_bytes(tar_of({"a.jpg": image_bytes(1), "a.cls": label}))
    source = find_images(tmp_path)
    assert (source.classes, [p.label for p in source.train], [p.label for p in source.val]) == (
        ("0", "1"),
        [1, 0],
        [1],
    )
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert find_images(tmp_path).classes == ("cat", "dog")
    (tmp_path / "classes.txt").write_text("cat\n")
    with pytest.raises(ValueError, match="images of class 1, but 1 class names"):
        find_images(tmp_path)


def test_the_unpacked_archive_of_kaggle_is_a_source(tmp_path):
    folder = tmp_path / "ILSVRC" / "Data" / "CLS-LOC"
    for name in (
        "train/n01/n01_1.JPEG",
        "train/n02/n02_1.JPEG",
        "val/ILSVRC2012_val_00000001.JPEG",
        "val/ILSVRC2012_val_00000002.JPEG",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(image_bytes(0))
    with pytest.raises(FileNotFoundError, match="there are no labels of the validation images in "):
        find_images(tmp_path)
    rows = "ImageId,PredictionString\nILSVRC2012_val_00000002,n01 1 2 3 4\nILSVRC2012_val_00000001,n02 1 2 3 4\n"
    (tmp_path / ilsvrc.KAGGLE).write_text(rows)
    source = find_images(tmp_path)
    assert (source.classes, [p.label for p in source.train], [p.label for p in source.val]) == (
        ("n01", "n02"),
        [0, 1],
        [1, 0],
    )


def test_a_subset_has_the_first_classes_and_the_first_images_of_each(tmp_path):
    source = find_images(class_folders(tmp_path, train=12, val=6, classes=("cat", "dog", "eel")))
    small = source.subset(classes=2, per_class=3)
    assert small.classes == ("cat", "dog")
    assert [p.name for p in small.train] == [
        f"train/{n}.jpg" for n in ("cat/0", "cat/3", "cat/6", "dog/1", "dog/10", "dog/4")
    ]
    assert [p.label for p in small.val] == [0, 0, 1, 1]
    assert source.subset() == source
    with pytest.raises(ValueError, match=r"there are 3 classes, not 4.\nGive at most 3"):
        source.subset(classes=4)
    with pytest.raises(ValueError, match="there are no validation images"):
        source._replace(val=source.val[-1:]).subset(classes=1)


def test_the_digest_of_a_source_depends_on_names_classes_and_sizes(tmp_path):
    folder = class_folders(tmp_path)
    digests = [find_images(folder).digest()]
    (folder / "train" / "cat" / "0.jpg").write_bytes(image_bytes(9, (60, 40)))
    digests.append(find_images(folder).digest())
    for split in ("train", "val"):
        (folder / split / "cat").rename(folder / split / "zebra")
    digests.append(find_images(folder).digest())
    assert len(set(digests)) == 3


def test_the_unpacked_official_tars_are_a_source(tmp_path):
    root = official_files(tmp_path / "official")
    tars = find_images(root)
    for split, records in (("train", tars.train), ("val", tars.val)):
        for p in records:
            file = root / split / (WNIDS[p.label] if split == "train" else "") / p.name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(p.stored.read())
    (root / ilsvrc.TRAIN).unlink()
    (root / ilsvrc.VAL).unlink()
    found = find_images(root)
    assert [(p.name, p.label) for p in (*found.train, *found.val)] == [
        (p.name, p.label) for p in (*tars.train, *tars.val)
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.jpg": image_bytes(1)}, r"x.tar: the sample a has no class \(.cls\)"),
        ({"a.cls": b"1"}, r"x.tar: the sample a has no image"),
        (
            {"a.jpg": image_bytes(1), "a.cls": b"cat"},
            "the class of a is 'cat', expected an integer from 0 to 999999",
        ),
        (
            {"a.jpg": image_bytes(1), "a.png": image_bytes(1), "a.cls": b"1"},
            "x.tar: there are two images with the key a",
        ),
    ],
)
def test_incomplete_samples_are_named(files, message, tmp_path):
    (tmp_path / "x.tar").write_bytes(tar_of(files))
    with pytest.raises(ValueError, match=message):
        list(shards.read_shards([tmp_path / "x.tar"]))


def test_an_image_that_cannot_be_read_is_left_out_of_its_batch_and_named(tmp_path):
    files = [image_bytes(0), image_bytes(1)[:200], image_bytes(2)]
    for i, content in enumerate(files):
        (tmp_path / f"{i}.jpg").write_bytes(content)
    records = [ImageRecord(f"p{i}", i % 2, ByteRange(tmp_path / f"{i}.jpg")) for i in range(3)]
    found = StoredImages(records, ("cat", "dog"), 18, workers=2)
    ((x, y),) = data.Loader(found, 3)
    assert (x.shape, y.tolist()) == ((2, 3, 18, 18), [0, 0])
    assert list(found.unreadable) == [1]
    assert "not a readable image" in found.unreadable[1]
    assert len(found.in_memory()) == 2
    assert len(found.take(np.array([1]))[0]) == 0
    with pytest.raises(
        ValueError, match="None of 1 images can be read, for example p1: not a readable image"
    ):
        StoredImages(records[1:2], ("cat", "dog"), 18).take(np.array([0]))


def test_images_can_be_squashed_to_a_square(tmp_path):
    (tmp_path / "x.jpg").write_bytes(image_bytes(1, (40, 20)))
    images, _ = StoredImages(
        [ImageRecord("x", 0, ByteRange(tmp_path / "x.jpg"))], ("cat",), 16, squash=True
    ).take(np.array([0]))
    squashed = Preprocessing(size=16, resize=16, squash=True).crop(tmp_path / "x.jpg")
    np.testing.assert_array_equal(images[0], squashed.transpose(2, 0, 1))


def test_a_tar_within_a_tar_is_read_without_unpacking(tmp_path):
    (tmp_path / "outer.tar").write_bytes(
        tar_of({"folder/inner.tar": tar_of({"x": b"hello", "y": b"world"})})
    )
    ((_, inner),) = tar_members(ByteRange(tmp_path / "outer.tar"))
    assert [(name, stored.read()) for name, stored in tar_members(inner)] == [
        ("x", b"hello"),
        ("y", b"world"),
    ]


def test_tar_readers_ignore_the_note_of_a_shard(tmp_path):
    shards.write_shard(tmp_path / "x.tar", [("a", image_bytes(1), 0)], {"skipped": []})
    with tarfile.open(tmp_path / "x.tar") as tar:
        assert tar.getnames() == ["a.jpg", "a.cls"]
    assert shards.read_note(tmp_path / "x.tar") == {"skipped": []}
    assert json.loads(json.dumps(preparing.Options()._asdict()))["size"] == 256


def test_the_earlier_names_can_be_imported():
    assert data.StoredPictures is data.StoredImages
    assert data.find_pictures is data.find_images


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-00000.tar", "train"),
        ("val-00000.tar", "val"),
        ("validation_1.tar", "val"),
        ("Training-1.tar", "train"),
        ("medieval-train-00000.tar", "train"),
        ("carnival-train-00000.tar", "train"),
        ("interval.tar", None),
    ],
)
def test_the_split_of_a_shard_is_a_word_of_its_name(name, split):
    assert sources._split_of(Path(name)) == split


@pytest.mark.parametrize("content", ["cat\ndog", "cat\ndog\n", "cat\r\ndog\r\n"])
def test_names_of_classes_end_with_any_line_break(tmp_path, content):
    (tmp_path / "classes.txt").write_bytes(content.encode())
    assert sources._read_names(tmp_path / "classes.txt") == ("cat", "dog")
