"""Shards and their index from the internet: wrong types, paths, huge numbers."""

import json

import pytest
from made_images import class_folders, image_bytes

from tinyalex.data import find_images, read_index
from tinyalex.data.preparing import Options, prepare
from tinyalex.data.shards import write_shard


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
        ("shards", ["train\0.tar"]),
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
