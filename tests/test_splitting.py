"""find_images: class folders without validation images, and tar archives of them."""

import argparse
import gzip
import io
import tarfile

import pytest
from made_images import class_folders, image_bytes, tar_of

from tinyalex import data
from tinyalex.cli.imagenet_images import find_images


def photos(root, **counts):
    """root/cat/0.jpg, ...: as many images of each class."""
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for i in range(count):
            (root / name / f"{i}.jpg").write_bytes(image_bytes(100 * label + i))
    return root


def names(records):
    return [record.name for record in records]


def files(prefix="", **counts):
    return {
        f"{prefix}{name}/{i}.jpg": image_bytes(i) for name, n in counts.items() for i in range(n)
    }


def test_a_tenth_of_each_class_is_held_out(tmp_path):
    source = data.find_images(photos(tmp_path, cat=20, dog=4, eel=31))
    assert source.classes == ("cat", "dog", "eel")
    assert source.is_split
    assert [sum(r.label == k for r in source.val) for k in range(3)] == [2, 1, 3]
    assert sorted(names(source.train + source.val)) == sorted(files(cat=20, dog=4, eel=31))
    # The same for every seed, and a larger fraction holds out the same and others.
    assert data.find_images(tmp_path) == source
    more = data.find_images(tmp_path, val_fraction=0.5)
    assert [sum(r.label == k for r in more.val) for k in range(3)] == [10, 2, 16]
    assert set(names(source.val)) < set(names(more.val))


def test_new_images_change_the_split_of_few_others(tmp_path):
    before = data.find_images(photos(tmp_path, cat=200, dog=200))
    for i in range(20):
        (tmp_path / "cat" / f"0{i}.jpg").write_bytes(image_bytes(i))
    after = data.find_images(tmp_path)
    # The number of held-out images increases by two, and new images take some places.
    assert len(set(names(before.train)) & set(names(after.val))) <= 3
    assert len(set(names(before.val)) & set(names(after.train))) <= 3
    assert [n for n in names(after.val) if "dog" in n] == [
        n for n in names(before.val) if "dog" in n
    ]


def test_at_least_one_image_of_each_class_is_for_training(tmp_path):
    source = data.find_images(photos(tmp_path, cat=2, dog=3), val_fraction=0.99)
    assert [r.label for r in source.train] == [0, 1]
    photos(tmp_path, eel=1)
    with pytest.raises(ValueError, match=r"two images or more of each class, .* one of 'eel'"):
        data.find_images(tmp_path)


def test_train_without_val_is_split(tmp_path):
    source = data.find_images(photos(tmp_path / "train", cat=5, dog=5).parent)
    assert (source.classes, len(source.train), len(source.val)) == (("cat", "dog"), 8, 2)
    assert source.train[0].name.startswith("train/cat/")


def test_train_may_be_the_name_of_a_class(tmp_path):
    assert data.find_images(photos(tmp_path, bus=3, train=3)).classes == ("bus", "train")


def test_images_in_folders_of_a_class_folder_are_found(tmp_path):
    photos(tmp_path, cat=3, dog=3)
    (tmp_path / "dog" / "2019").mkdir()
    (tmp_path / "dog" / "2019" / "a.jpg").write_bytes(image_bytes(1))
    source = data.find_images(tmp_path)
    assert "dog/2019/a.jpg" in names(source.train + source.val)


def test_a_fraction_for_data_with_validation_images_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"validation images of its own.\nLeave out --val-fraction"
    ):
        data.find_images(class_folders(tmp_path), val_fraction=0.2)


@pytest.mark.parametrize("prefix", ["", "./", "photos/", "a/b/"])
def test_a_tar_of_class_folders_is_split_like_the_folders(tmp_path, prefix):
    archive = tmp_path / "photos.tar"
    hidden = {f"{prefix}cat/.x.jpg": b"", f"{prefix}README.md": b"", "a.jpg": b""}
    archive.write_bytes(tar_of(files(prefix, cat=20, dog=10) | (hidden if not prefix else {})))
    source = data.find_images(archive)
    assert (source.classes, len(source.train), len(source.val)) == (("cat", "dog"), 27, 3)
    assert source.is_split
    folder = data.find_images(photos(tmp_path / "unpacked", cat=20, dog=10))
    assert names(source.val) == [prefix + name for name in names(folder.val)]
    assert data.StoredImages(source.val, source.classes, 8).in_memory().images.shape == (3, 3, 8, 8)


def unpacked(root, members):
    """The same files in folders."""
    for name, content in members.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


@pytest.fixture(params=["folder", "tar"])
def found(tmp_path, request):
    """find_images for files in folders, or in an archive of them."""

    def find(members):
        if request.param == "folder":
            return data.find_images(unpacked(tmp_path / "photos", members))
        (tmp_path / "photos.tar").write_bytes(tar_of(members))
        return data.find_images(tmp_path / "photos.tar")

    return find


@pytest.mark.parametrize(
    ("train", "val"),
    [("train", "val"), ("train", "test"), ("train", "valid"), ("train", "validation"),
     ("Train", "Valid"), ("TRAIN", "Val")],
)  # fmt: skip
def test_validation_images_have_a_folder_of_one_of_several_names(found, train, val):
    source = found(files(f"{train}/", cat=3, dog=3) | files(f"{val}/", cat=1, dog=1))
    assert (len(source.train), len(source.val), source.is_split) == (6, 2, False)
    assert source.classes == ("cat", "dog")


def test_the_images_in_test_are_not_for_validation_if_there_is_val(found):
    splits = {"train": 3, "val": 2, "test": 1}
    source = found(
        {
            name: content
            for split, count in splits.items()
            for name, content in files(f"{split}/", cat=count, dog=count).items()
        }
    )
    assert (len(source.train), len(source.val)) == (6, 4)


def test_folders_that_are_not_splits_are_ignored_if_train_has_class_folders(found):
    source = found(files("train/", cat=5, dog=5) | files("more/", a=2, b=2))
    assert (source.classes, source.is_split) == (("cat", "dog"), True)


@pytest.mark.parametrize("stray", ["logo.jpg", "photos/readme.jpg"])
def test_images_outside_the_class_folders_of_a_tar_are_ignored(tmp_path, stray):
    members = files("photos/", cat=3, dog=2) | {stray: image_bytes(1)}
    (tmp_path / "x.tar").write_bytes(tar_of(members))
    source = data.find_images(tmp_path / "x.tar")
    assert source.classes == ("cat", "dog")
    assert len(source.train + source.val) == 5


@pytest.mark.parametrize(
    "members",
    [files(cat=3), files("train/", cat=3), files(cat=3) | files("cat/", old=1, new=1)],
)
def test_one_folder_with_images_is_refused_by_its_name(found, members):
    with pytest.raises(ValueError, match=r"^found one folder with images \(cat\); two or more are"):
        found(members)


def test_no_folder_with_images_is_refused(found):
    with pytest.raises(ValueError, match=r"^found no folder with images.\nExpected in .*photos"):
        found({"a.jpg": image_bytes(1)})


def test_of_a_name_that_a_tar_has_twice_the_last_file_counts(tmp_path):
    names_and_seeds = [("cat/0.jpg", 1), ("cat/1.jpg", 2), ("dog/0.jpg", 3), ("dog/1.jpg", 4)]
    file = tmp_path / "x.tar"
    with tarfile.open(file, "w") as tar:
        for name, seed in [*names_and_seeds, ("./cat/0.jpg", 5)]:
            content = image_bytes(seed)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    source = data.find_images(file)
    contents = {record.name: record.stored.read() for record in source.train + source.val}
    assert contents == {
        name.replace("cat/0", "./cat/0"): image_bytes(5 if name == "cat/0.jpg" else seed)
        for name, seed in names_and_seeds
    }


def test_another_file_is_named_as_a_file(tmp_path):
    file = tmp_path / "photo.jpg"
    file.write_bytes(image_bytes(1))
    with pytest.raises(
        ValueError, match=r"photo.jpg is a file, and not a tar archive.\nGive a fol"
    ):
        data.find_images(file)
    file.write_bytes(gzip.compress(tar_of(files(cat=2))))
    with pytest.raises(ValueError, match=r"is a file, compressed with gzip.\nUnpack it"):
        data.find_images(file)
    file.write_bytes(tar_of({"a.jpg": b"", "notes.txt": b""}))
    with pytest.raises(
        ValueError, match=r"found no folder with images.\nExpected in .*photo.jpg a"
    ):
        data.find_images(file)
    file.write_bytes(tar_of(files(cat=2))[:700])
    with pytest.raises(ValueError, match="is not a complete tar archive"):
        data.find_images(file)


def test_what_was_found_is_printed_and_the_fraction_is_stored(tmp_path, capsys):
    photos(tmp_path, cat=20, dog=10)
    args = argparse.Namespace(
        data=str(tmp_path), val_fraction=None, classes=None, images_per_class=None
    )
    find_images(args)
    assert capsys.readouterr().out == (
        f"{tmp_path}: 2 classes (cat, dog), 27 training and 3 validation images (0.1 of each "
        "class)\n"
    )
    assert args.val_fraction == 0.1
    args.val_fraction, args.classes = 0.5, 1
    find_images(args)
    assert ": 1 classes (cat), 10 training and 10 validation images (0.5" in capsys.readouterr().out
