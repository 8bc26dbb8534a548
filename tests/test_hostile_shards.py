"""Shards and their index from the internet: wrong types, paths, huge numbers."""

import json
import os
import tarfile

import numpy as np
import pytest
from made_images import class_folders, image_bytes, tar_of

from tinyalex.data import StoredImages, find_images, ilsvrc, read_index
from tinyalex.data.preparing import Options, prepare
from tinyalex.data.shards import NOTE, read_note, write_shard


@pytest.fixture
def folder(tmp_path):
    source = class_folders(tmp_path / "photos")
    prepare(source, tmp_path / "out", Options(16, 90, 10), progress=False)
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classes", "5"),
        ("classes", 3),
        ("classes", [1, 2]),
        ("classes", None),
        ("shards", {"train-00000.tar": 1}),
        ("shards", [["train-00000.tar"]]),
        ("shards", ["../train-00000.tar"]),
        ("shards", ["/etc/train-passwd"]),
        ("shards", [".."]),
        ("shards", ["train-00000.tar"] * 2),
        ("shards", ["train\0.tar"]),
        ("shards", ["train" + "a" * 300 + ".tar"]),
        ("mean", 5),
        ("mean", [1, 2]),
        ("mean", [1, 2, float("nan")]),
        ("mean", ["a", "b", "c"]),
        ("mean", [1, 2, {}]),
        ("covariance", [[1e999] * 3] * 3),
        ("covariance", [1, 2, 3]),
        ("skipped", 7),
    ],
)
def test_an_index_with_a_wrong_entry_is_refused(folder, name, value):
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(index | {name: value}))
    with pytest.raises(ValueError, match="index.json was not written by `tinyalex prepare`"):
        find_images(folder)


@pytest.mark.parametrize("text", ["[]", "3", "[" * 100_000, '{"classes": 9' + "9" * 100_000, ""])
def test_an_index_that_is_none_is_refused(folder, text):
    (folder / "index.json").write_text(text)
    with pytest.raises(ValueError, match="index.json was not written by `tinyalex prepare`"):
        read_index(folder)


@pytest.mark.parametrize("label", ["9999999999", "9" * 100_000, "-1", "1e3", "", "\u0663"])
def test_a_label_that_no_class_has_is_refused(tmp_path, label):
    write_shard(tmp_path / "train-0.tar", [("a", image_bytes(0), label)], note={})
    with pytest.raises(ValueError, match="expected an integer from 0 to 999999"):
        find_images(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"pixels": "5"},
        {"pixels": -1},
        {"pixels": 2**64},
        {"sums": [1, 2]},
        {"sums": None},
        {"products": [[1, 2, 3]] * 4},
        {"products": [[1, 2, float("nan")]] * 3},
        {"skipped": 7},
        {"skipped": [{"name": 1, "error": "x"}]},
        {"skipped": ["a"]},
    ],
)
def test_a_note_with_a_wrong_value_is_refused(folder, change):
    shard = next(folder.glob("train*.tar"))
    write_shard(shard, [], read_note(shard) | change)
    with pytest.raises(ValueError, match=r"tar was not written by `tinyalex prepare`"):
        prepare(folder.parent / "photos", folder, Options(16, 90, 10), progress=False)


@pytest.mark.parametrize("note", ["[" * 100_000, "", "{", '"\\ud800'])
def test_a_note_that_is_none_is_refused(tmp_path, note):
    header = {NOTE: note}
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT, pax_headers=header):
        pass
    with pytest.raises(ValueError, match=r"x.tar was not written by `tinyalex prepare`"):
        read_note(tmp_path / "x.tar")


@pytest.mark.parametrize("plan", ["[" * 100_000, "3", '{"pictures": [[1]], "size": "\\u001b[31m"}'])
def test_a_plan_of_another_program_is_refused(folder, plan):
    (folder / "plan.json").write_text(plan)
    with pytest.raises(ValueError, match="was not written by|was started with other images"):
        prepare(folder.parent / "photos", folder, Options(16, 90, 10), progress=False)


FILES = {
    "index.json": lambda root: read_index(root),
    "train-00000.tar": lambda root: find_images(root),
    "classes.txt": lambda root: find_images(root),
    "LOC_val_solution.csv": lambda root: find_images(root),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["pipe", "device", "very large"])
def test_files_whose_reading_does_not_end_are_refused(tmp_path, name, kind):
    if name == "LOC_val_solution.csv":
        (tmp_path / ilsvrc.TRAIN).write_bytes(tar_of({}))
        (tmp_path / ilsvrc.VAL).write_bytes(tar_of({}))
    elif name == "classes.txt":
        write_shard(tmp_path / "train-0.tar", [("a", image_bytes(0), 0)], note={})
    file = tmp_path / name
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    else:
        with open(file, "wb") as sparse:
            sparse.truncate(1 << 40)
    with pytest.raises(ValueError, match="is not a regular file|more than 16 MiB|no training"):
        FILES[name](tmp_path)


def test_a_large_image_is_refused_before_it_is_read(tmp_path):
    class_folders(tmp_path)
    with open(tmp_path / "train" / "cat" / "large.jpg", "wb") as file:
        file.truncate(1 << 40)
    source = find_images(tmp_path)
    images = StoredImages(source.train, source.classes, 16)
    assert len(images.take(np.arange(len(images)))[0]) == len(images) - 1
    assert [*images.unreadable.values()] == [
        "expected at most 268,435,456 bytes, got 1,099,511,627,776"
    ]


def test_names_of_classes_are_printable(tmp_path):
    class_folders(tmp_path, classes=("cat\x1b[31m", "dog"))
    assert find_images(tmp_path).classes == ("cat\\x1b[31m", "dog")
