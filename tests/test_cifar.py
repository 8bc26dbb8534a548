"""CIFAR-10 in all published formats, and damaged or hostile files."""

import io
import os
import pickle
import pickletools
import tarfile

import numpy as np
import pytest
from made_cifar import (
    FOLDERS,
    KINDS,
    NDARRAY,
    PER_BATCH,
    make_archive,
    make_folder,
    py2_array,
    py2_bytes,
    py2_dict,
    py2_labels,
    python_batch,
)
from PIL import Image

from tinyalex.data import cifar
from tinyalex.data.cifar import cifar10


@pytest.fixture
def expected(rng):
    """Images uint8 (18, 3, 32, 32), labels (18,): five training and one test batch."""
    n = 6 * PER_BATCH
    return rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8), rng.integers(0, 10, n)


def assert_read(result, expected):
    """All images and labels are read, in the order of the batches."""
    images, labels = expected
    for split, part in zip(
        result, (slice(0, 5 * PER_BATCH), slice(5 * PER_BATCH, None)), strict=True
    ):
        np.testing.assert_array_equal(split.images, images[part])
        np.testing.assert_array_equal(split.labels, labels[part])
        assert split.classes == cifar.CLASSES
        assert split.images.flags.writeable
        assert split.images.flags.c_contiguous


# All formats


@pytest.mark.parametrize("kind", KINDS)
def test_cifar10_reads_the_official_folders(tmp_path, kind, expected):
    assert_read(cifar10(make_folder(tmp_path, kind, expected)), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_cifar10_reads_the_archives_under_any_name(tmp_path, kind, expected):
    assert_read(cifar10(make_archive(tmp_path, kind, expected, name="download")), expected)


def test_cifar10_reads_an_archive_that_the_browser_has_unzipped(tmp_path, expected):
    folder = make_folder(tmp_path, "python", expected)
    with tarfile.open(tmp_path / "cifar-10-python.tar", "w") as tar:
        tar.add(folder, folder.name)
    assert_read(cifar10(tmp_path / "cifar-10-python.tar"), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [make_folder, make_archive])
def test_cifar10_reads_a_folder_that_contains_the_folder_or_the_archive(
    tmp_path, make, kind, expected
):
    make(tmp_path, kind, expected)
    assert_read(cifar10(str(tmp_path)), expected)


def test_cifar10_writes_no_files(tmp_path, expected):
    archive = make_archive(tmp_path, "python", expected)
    before = sorted(tmp_path.rglob("*"))
    cifar10(archive)
    assert sorted(tmp_path.rglob("*")) == before


def test_cifar10_reads_arrays_that_numpy_2_has_pickled(tmp_path, expected):
    folder = make_folder(tmp_path, "python", expected)
    images, labels = (part[:PER_BATCH] for part in expected)
    batch = {b"data": images.reshape(PER_BATCH, -1), b"labels": labels.tolist()}
    (folder / "data_batch_1").write_bytes(pickle.dumps(batch, protocol=3))
    assert_read(cifar10(folder), expected)


def test_cifar10_reads_class_folders_with_images(tmp_path, rng):
    pixels = rng.integers(0, 256, (2, 2, 32, 32, 3), dtype=np.uint8)
    for split, in_split in zip(("train", "test"), pixels, strict=True):
        for name, image in zip(("frog", "cat"), in_split, strict=True):
            (tmp_path / split / name).mkdir(parents=True)
            Image.fromarray(image).save(tmp_path / split / name / "1.png")
    train, test = cifar10(tmp_path)
    assert train.classes == test.classes == ("cat", "frog")
    np.testing.assert_array_equal(train.images, pixels[0, ::-1].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(test.images, pixels[1, ::-1].transpose(0, 3, 1, 2))


def test_cifar10_refuses_class_folders_with_images_of_another_size(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split / "cat").mkdir(parents=True)
        Image.new("RGB", (40, 30)).save(tmp_path / split / "cat" / "1.png")
    with pytest.raises(
        ValueError,
        match=r"expected images of 32 x 32 in .*, got 30 x 40.\nResize .*image_folders\(path, size=32\)",
    ):
        cifar10(tmp_path)


@pytest.mark.parametrize("make", [make_folder, make_archive])
def test_without_a_path_cifar10_reads_the_data_folder(tmp_path, monkeypatch, make, expected):
    make(tmp_path, "binary", expected)
    monkeypatch.setenv("TINYALEX_DATA", str(tmp_path))
    monkeypatch.setattr(cifar, "fetch", lambda *anything: pytest.fail("it downloads"))
    assert_read(cifar10(), expected)
    assert cifar.cifar10_source().parent == tmp_path


@pytest.mark.parametrize("data", [None, "empty", "not there"])
def test_without_a_path_and_a_data_folder_cifar10_downloads(tmp_path, monkeypatch, data, expected):
    (tmp_path / "empty").mkdir()
    monkeypatch.delenv("TINYALEX_DATA", raising=False)
    if data:
        monkeypatch.setenv("TINYALEX_DATA", str(tmp_path / data))
    archive = make_archive(tmp_path, "python", expected)
    asked = []
    monkeypatch.setattr(cifar, "fetch", lambda *request: asked.append(request) or archive)
    assert_read(cifar10(), expected)
    assert asked == [("cifar-10-python.tar.gz", cifar.MIRRORS, cifar.SHA256)]


def test_an_empty_tinyalex_data_is_not_the_current_folder(tmp_path, monkeypatch, expected):
    archive = make_archive(tmp_path, "python", expected)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYALEX_DATA", "")
    asked = []
    monkeypatch.setattr(cifar, "fetch", lambda *request: asked.append(request) or archive)
    assert_read(cifar10(), expected)
    assert len(asked) == 1
    assert cifar.data_folder() is None


# Missing and damaged files


def test_cifar10_names_a_path_that_does_not_exist(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"there is no .*nowhere.\nGive the folder or the archive"
    ):
        cifar10(tmp_path / "nowhere")


def test_cifar10_lists_the_names_it_has_searched_for(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=r"found no CIFAR-10 in .*cifar-10-batches-py or .*\nGive the path of one",
    ):
        cifar10(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_cifar10_names_the_missing_batches(tmp_path, kind, expected):
    folder = make_folder(tmp_path, kind, expected)
    for gone in folder.glob("*batch_[24]*"):
        gone.unlink()
    end = "" if kind == "python" else ".bin"
    with pytest.raises(
        FileNotFoundError,
        match=rf"missing: data_batch_2{end}, data_batch_4{end}.\nGet the official archive",
    ):
        cifar10(folder)


def test_cifar10_names_the_missing_batches_of_an_archive_of_something_else(tmp_path):
    with tarfile.open(tmp_path / "cifar-100-python.tar.gz", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("cifar-100-python/train"), io.BytesIO())
    with pytest.raises(FileNotFoundError, match=r"cifar-100-python.tar.gz; missing: data_batch_1"):
        cifar10(tmp_path / "cifar-100-python.tar.gz")


def test_cifar10_refuses_a_file_that_is_no_archive(tmp_path):
    (tmp_path / "page.html").write_text("<html>Please log in</html>" * 100)
    with pytest.raises(
        ValueError,
        match=r"expected .*page.html to be cifar-10-python.tar.gz or .*\nDownload it again",
    ):
        cifar10(tmp_path / "page.html")


@pytest.mark.parametrize("part", [0.3, 0.9])
def test_cifar10_refuses_a_truncated_archive(tmp_path, part, expected):
    archive = make_archive(tmp_path, "binary", expected)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match=r"got a file that is not a complete tar archive"):
        cifar10(archive)


def test_cifar10_refuses_an_archive_with_a_single_wrong_bit(tmp_path, expected):
    archive = make_archive(tmp_path, "binary", expected)
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= (
        1  # a pixel, as noise is stored uncompressed: the archive can still be unpacked
    )
    archive.write_bytes(content)
    with pytest.raises(
        ValueError, match="got a file that is not a complete tar archive: CRC check failed"
    ):
        cifar10(archive)


def test_cifar10_refuses_a_truncated_binary_batch(tmp_path, expected):
    folder = make_folder(tmp_path, "binary", expected)
    content = (folder / "data_batch_3.bin").read_bytes()
    (folder / "data_batch_3.bin").write_bytes(content[:-1])
    with pytest.raises(
        ValueError,
        match=r"data_batch_3.bin in .*expected a multiple of 3073 bytes.*, got 9218.\nReplace it",
    ):
        cifar10(folder)


def test_cifar10_refuses_a_truncated_python_batch(tmp_path, expected):
    folder = make_folder(tmp_path, "python", expected)
    content = (folder / "test_batch").read_bytes()
    (folder / "test_batch").write_bytes(content[:5000])
    with pytest.raises(
        ValueError, match=r"test_batch in .* is not a batch of CIFAR-10: .*\nReplace it"
    ):
        cifar10(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_cifar10_refuses_labels_beyond_the_ten_classes(tmp_path, kind, expected):
    expected[1][7] = 12
    with pytest.raises(
        ValueError, match=r"data_batch_3.* expected labels from 0 to 9, got \d to 12"
    ):
        cifar10(make_folder(tmp_path, kind, expected))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"labels": py2_labels([1])},
            r"expected data of the shape \(1, 3072\) for 1 labels, got \(3, 3072\)",
        ),
        ({"labels": b"](" + py2_bytes(b"cat") * 3 + b"e"}, "labels a list of integers"),
        ({"data": py2_bytes(b"no array")}, "expected data to be an array"),
        (
            {"data": py2_array(np.zeros((3, 3072), np.uint8), dtype=b"i1")},
            "expected data to be an array of uint8",
        ),
        (
            {"data": py2_array(np.zeros((3, 3072), np.uint8), dtype=b"O")},
            "expected data to be an array of uint8",
        ),
        ({"data": py2_array(np.zeros((3, 100), np.uint8))}, r"got \(3, 100\)"),
    ],
)
def test_cifar10_refuses_a_python_batch_whose_parts_do_not_match(
    tmp_path, changes, complaint, expected
):
    folder = make_folder(tmp_path, "python", expected)
    images, labels = (part[:PER_BATCH] for part in expected)
    (folder / "data_batch_1").write_bytes(python_batch(images, labels, **changes))
    with pytest.raises(ValueError, match=complaint):
        cifar10(folder)


@pytest.mark.parametrize("content", [b"\x80\x02].", py2_dict(labels=py2_labels([1]))])
def test_cifar10_refuses_a_pickle_of_something_else(tmp_path, content, expected):
    folder = make_folder(tmp_path, "python", expected)
    (folder / "data_batch_1").write_bytes(content)
    with pytest.raises(ValueError, match="expected a dictionary with data and labels"):
        cifar10(folder)


# Hostile pickles


class Attack:
    """Unpickling it creates a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch '{self.file}'",)


@pytest.mark.parametrize("packed", [False, True])
def test_a_pickle_that_runs_a_command_is_refused_and_does_not_run_it(tmp_path, packed, expected):
    source = make_folder(tmp_path, "python", expected)
    trace = tmp_path / "it ran"
    (source / "data_batch_1").write_bytes(pickle.dumps(Attack(trace), protocol=2))
    if packed:
        with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as tar:
            tar.add(source, source.name)
        source = tmp_path / "cifar-10-python.tar.gz"
    with pytest.raises(
        ValueError, match=r"data_batch_1 in .* refers to '\w+.system', .* was not executed"
    ) as caught:
        cifar10(source)
    assert str(source) in str(caught.value)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"cnumpy\nload\n" + py2_bytes(b"x.npy") + b"\x85R", "refers to 'numpy.load'"),
        (b"c__builtin__\neval\n" + py2_bytes(b"1") + b"\x85R", "refers to '__builtin__.eval'"),
        (b"c_codecs\nencode\n" + py2_bytes(b"1") + b"\x85R", "refers to '_codecs.encode'"),
        (
            py2_array(np.zeros((3, 3072), np.uint8), kind=b"cnumpy\nmatrix\n"),
            "refers to 'numpy.matrix'",
        ),
        (
            py2_array(np.zeros((3, 3072), np.uint8), kind=b"cnumpy\ndtype\n"),
            "expected data to be an array of uint8",
        ),
        (py2_array(np.zeros((3, 3072), np.uint8), reconstruct=NDARRAY), "is not a batch"),
        (
            b"cnumpy\ndtype\n)}" + py2_bytes(b"code") + py2_bytes(b"u1") + b"s\x86b",
            "is not a batch",
        ),
    ],
    ids=[
        "numpy.load",
        "eval",
        "encode",
        "foreign array",
        "dtype as array",
        "ndarray called",
        "class changed",
    ],
)
def test_a_pickle_that_refers_to_anything_but_a_plain_array_is_refused(
    tmp_path, data, complaint, expected
):
    folder = make_folder(tmp_path, "python", expected)
    images, labels = (part[:PER_BATCH] for part in expected)
    content = python_batch(images, labels, data=data)
    pickletools.dis(content, out=io.StringIO())  # the attack itself is a valid pickle
    (folder / "data_batch_1").write_bytes(content)
    with pytest.raises(ValueError, match=complaint):
        cifar10(folder)


# The real images


def test_both_official_formats_have_the_same_images_with_the_known_mean(real_data):
    folders = [real_data / folder for folder in FOLDERS.values()]
    if not all(folder.is_dir() for folder in folders):
        pytest.skip(f"no real images: {real_data} lacks {' or '.join(FOLDERS.values())}")
    (train, test), from_binary = (cifar10(folder) for folder in folders)
    assert (len(train), len(test)) == (50_000, 10_000)
    mean = train.images.mean(axis=(0, 2, 3)) / 255
    np.testing.assert_allclose(mean, [0.49139968, 0.48215841, 0.44653091], atol=5e-9)
    assert np.bincount(train.labels).tolist() == [5000] * 10
    assert np.bincount(test.labels).tolist() == [1000] * 10
    for ours, theirs in zip((train, test), from_binary, strict=True):
        assert np.array_equal(ours.images, theirs.images)
        assert np.array_equal(ours.labels, theirs.labels)
