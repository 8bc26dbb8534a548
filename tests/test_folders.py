"""Dataset, and datasets from class folders."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tinyalex.data.dataset import Dataset
from tinyalex.data.folders import image_folder, image_folders

RED, BLUE = (255, 0, 0), (0, 0, 255)


def save(file, image, **options):
    """`image` is a Pillow image, an array, or the colour of 4 x 6 pixels."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, tuple):
        image = Image.new("RGB", (6, 4), image)
    elif isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(file, **options)


def only_image(folder, **options):
    """uint8 (3, H, W): the only image in the folder, read by image_folder."""
    images = image_folder(folder, **options).images
    assert len(images) == 1
    return images[0]


# Dataset


@pytest.fixture
def dataset(rng):
    return Dataset(
        rng.integers(0, 256, (5, 3, 2, 4), dtype=np.uint8),
        np.array([0, 1, 2, 1, 0]),
        ("ant", "bee", "cow"),
    )


def test_an_item_is_an_image_and_its_label(dataset):
    image, label = dataset[np.int64(2)]
    np.testing.assert_array_equal(image, dataset.images[2])
    assert label == 2
    assert type(label) is int


def test_a_dataset_can_be_iterated(dataset):
    assert [label for _, label in dataset] == [0, 1, 2, 1, 0]
    assert len(dataset) == 5


@pytest.mark.parametrize(
    ("index", "selected"),
    [
        (slice(1, 3), [1, 2]),
        ([4, 0, 4], [4, 0, 4]),
        (np.array([True, False, False, False, True]), [0, 4]),
        ([], []),
        (range(2), [0, 1]),
        (np.array([-1], np.int32), [4]),
    ],
)
def test_slices_indices_and_masks_select_a_dataset(dataset, index, selected):
    part = dataset[index]
    np.testing.assert_array_equal(part.images, dataset.images[selected])
    np.testing.assert_array_equal(part.labels, dataset.labels[selected])
    assert part.classes == dataset.classes


@pytest.mark.parametrize("index", [True, 1.0, "1", (1, 2), None, [0.5], [[1]]])
def test_other_indices_are_refused(dataset, index):
    with pytest.raises(TypeError, match="expected an integer, a slice, or a 1-d array"):
        dataset[index]


def test_a_mask_must_cover_all_images(dataset):
    with pytest.raises(IndexError, match="a mask must have 5 elements, one for each image, got 2"):
        dataset[[True, False]]


def test_an_index_beyond_the_end_is_an_index_error(dataset):
    with pytest.raises(IndexError):
        dataset[5]


IMAGES, LABELS = np.zeros((2, 3, 4, 4), np.uint8), np.array([0, 1])


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        (
            (IMAGES.tolist(), LABELS, ("a", "b")),
            TypeError,
            r"images must be .* uint8 \(N, C, H, W\), got list.\nGive np.asarray",
        ),
        (
            (IMAGES / 255, LABELS, ("a", "b")),
            TypeError,
            r"uint8 .*, got float64.\nGive images.astype\(np.uint8\)",
        ),
        (
            (IMAGES[0], LABELS, ("a", "b")),
            ValueError,
            r"got the shape \(3, 4, 4\).\nReshape images to \(N, C, H, W\)",
        ),
        (
            (IMAGES, LABELS.astype(np.uint8), ("a", "b")),
            TypeError,
            r"labels must be .* int64 .*, got uint8.\nGive labels.astype",
        ),
        (
            (IMAGES, LABELS[:, None], ("a", "b")),
            ValueError,
            r"\(N,\), got the shape \(2, 1\).\nReshape labels to \(N,\)\.",
        ),
        (
            (IMAGES, LABELS[:1], ("a", "b")),
            ValueError,
            r"as many labels as images, got 2 images and 1 labels",
        ),
        (
            (IMAGES, LABELS, ("a",)),
            ValueError,
            r"expected labels from 0 to 0 for 1 classes, got 0 to 1.\nNumber the classes from 0",
        ),
        (
            (IMAGES, LABELS - 1, ("a", "b")),
            ValueError,
            r"expected labels from 0 to 1 for 2 classes, got -1 to 0",
        ),
        ((IMAGES, LABELS, "ab"), TypeError, r"classes must be a tuple of names, got 'ab'"),
        ((IMAGES, LABELS, (0, 1)), TypeError, r"classes must be a tuple of names, got \(0, 1\)"),
    ],
)
def test_a_dataset_refuses_parts_that_do_not_match(parts, error, message):
    with pytest.raises(error, match=message):
        Dataset(*parts)


def test_a_dataset_is_immutable(dataset):
    with pytest.raises(AttributeError):
        dataset.images = IMAGES


# One folder of classes


def test_class_folders_become_labels_in_the_order_of_their_names(tmp_path):
    save(tmp_path / "zebra" / "1.png", RED)
    save(tmp_path / "Ant" / "2.png", BLUE)
    save(tmp_path / "Ant" / "deeper" / "1.png", RED)
    animals = image_folder(str(tmp_path))
    assert animals.classes == ("Ant", "zebra")
    assert animals.labels.tolist() == [0, 0, 1]
    assert animals.images.shape == (3, 3, 4, 6)
    assert animals.images[:, :, 0, 0].tolist() == [list(BLUE), list(RED), list(RED)]


def test_files_that_are_no_images_are_ignored(tmp_path):
    save(tmp_path / "ant" / "1.PNG", RED)
    for name in ("notes.txt", "Thumbs.db", "no suffix", "._1.png", ".cache/2.png"):
        (tmp_path / "ant" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "ant" / name).write_text("not an image")
    (tmp_path / ".git").mkdir()
    (tmp_path / "labels.csv").write_text("not a class")
    assert len(image_folder(tmp_path)) == 1


def test_a_grey_image_has_its_value_in_each_channel(tmp_path, rng):
    grey = rng.integers(0, 256, (4, 6), dtype=np.uint8)
    save(tmp_path / "a" / "1.png", grey)
    np.testing.assert_array_equal(only_image(tmp_path), [grey] * 3)


def test_sixteen_bits_become_eight_and_keep_their_brightness(tmp_path):
    grey = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    save(tmp_path / "a" / "1.png", grey)
    assert only_image(tmp_path)[1].tolist() == [[0, 0, 1, 128, 255]]


def test_values_beyond_sixteen_bits_are_refused(tmp_path):
    save(tmp_path / "a" / "1.tif", np.array([[0, 100_000]], np.int32))
    with pytest.raises(
        ValueError, match=r"1.tif cannot be read as an image: .* got values from 0 to 100000"
    ):
        image_folder(tmp_path)


def test_floating_point_pixels_are_refused(tmp_path):
    save(tmp_path / "a" / "1.tif", np.ones((2, 2), np.float32))
    with pytest.raises(ValueError, match=r"1.tif cannot be read as an image: .* floating-point"):
        image_folder(tmp_path)


def test_cmyk_becomes_rgb(tmp_path):
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # no cyan, all magenta and yellow: red
    save(tmp_path / "a" / "1.jpg", cmyk, quality=100)
    red, green, blue = only_image(tmp_path).reshape(3, -1).mean(axis=1)
    assert red > 250
    assert green < 5
    assert blue < 5


def test_a_palette_becomes_its_colours(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([*BLUE, *RED])
    palette.putdata([1, 0])
    save(tmp_path / "a" / "1.png", palette)
    assert only_image(tmp_path)[:, 0].T.tolist() == [list(RED), list(BLUE)]


@pytest.mark.parametrize("transparency", [0, b"\x00\x80"])
def test_a_palette_with_transparency_keeps_its_colours(tmp_path, transparency):
    palette = Image.new("P", (2, 1))
    palette.putpalette([*BLUE, *RED])
    palette.putdata([1, 0])
    save(tmp_path / "a" / "1.png", palette, transparency=transparency)
    assert only_image(tmp_path)[:, 0].T.tolist() == [list(RED), list(BLUE)]


def test_transparency_is_dropped(tmp_path):
    save(tmp_path / "a" / "1.png", Image.new("RGBA", (2, 1), (*RED, 10)))
    assert only_image(tmp_path)[:, 0, 0].tolist() == list(RED)


def test_a_black_and_white_image_is_0_and_255(tmp_path):
    save(tmp_path / "a" / "1.png", np.array([[True, False]]))
    assert only_image(tmp_path)[0].tolist() == [[255, 0]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_rotated_upright(tmp_path, orientation):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = RED  # the upper left corner
    as_stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(
        tmp_path / "a" / "1.jpg",
        np.ascontiguousarray(as_stored),
        exif=exif,
        quality=100,
        subsampling=0,
    )
    image = only_image(tmp_path)
    assert image.shape == (3, 16, 32)
    np.testing.assert_allclose(image, upright.transpose(2, 0, 1), atol=12)


# Sizes


@pytest.mark.parametrize(
    ("size", "shape"),
    [(5, (3, 5, 5)), ((4, 7), (3, 4, 7)), ([4, 7], (3, 4, 7)), (np.int64(2), (3, 2, 2))],
)
def test_images_are_resized_to_height_and_width(tmp_path, size, shape):
    save(tmp_path / "a" / "1.png", RED)
    save(tmp_path / "a" / "2.png", Image.new("RGB", (30, 20), RED))
    images = image_folder(tmp_path, size=size).images
    assert images.shape == (2, *shape)
    assert (images == np.array(RED)[:, None, None]).all()


def test_downsampling_averages(tmp_path):
    board = np.indices((8, 8)).sum(axis=0) % 2 * np.uint8(255)
    save(tmp_path / "a" / "1.png", board.astype(np.uint8))
    assert np.ptp(only_image(tmp_path, size=2).astype(int) - 127) <= 16


@pytest.mark.parametrize("size", [0, -1, 1.5, "32", (1, 2, 3), (0, 4), True])
def test_another_size_than_positive_integers_is_refused(tmp_path, size):
    save(tmp_path / "a" / "1.png", RED)
    with pytest.raises(
        ValueError,
        match=r"expected size to be an integer of at least 1, or a pair \(height, width\)",
    ):
        image_folder(tmp_path, size=size)


def test_images_of_several_sizes_need_a_size(tmp_path):
    save(tmp_path / "a" / "1.png", RED)
    save(tmp_path / "b" / "2.png", Image.new("RGB", (9, 8)))
    with pytest.raises(
        ValueError, match=r"several sizes: .*1.png is 4 x 6 .*, .*2.png is 8 x 9.\nGive size="
    ):
        image_folder(tmp_path)


# Missing and damaged files


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tif", "webp", "bmp"])
def test_a_damaged_image_is_named(tmp_path, suffix, rng):
    save(tmp_path / "a" / f"1.{suffix}", rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    damaged = tmp_path / "a" / f"2.{suffix}"
    content = (tmp_path / "a" / f"1.{suffix}").read_bytes()
    damaged.write_bytes(content[: len(content) // 2])
    with pytest.raises(
        ValueError, match=rf"{damaged} cannot be read as an image: .*\nReplace it, or remove it"
    ):
        image_folder(tmp_path)


def test_a_file_with_the_suffix_but_not_the_content_of_an_image_is_named(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").write_text("<html>404</html>")
    with pytest.raises(ValueError, match=r"1.jpg cannot be read as an image"):
        image_folder(tmp_path)


def test_a_class_without_images_is_named(tmp_path):
    save(tmp_path / "a" / "1.png", RED)
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match=r"/b has no images .*\nAdd some, or remove the folder"):
        image_folder(tmp_path)


def test_a_folder_without_class_folders_is_refused(tmp_path):
    save(tmp_path / "1.png", RED)
    with pytest.raises(
        ValueError,
        match=r"expected a folder for each class in .*, found none.\nSort the images into folders",
    ):
        image_folder(tmp_path)


def test_another_path_than_a_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no .*nowhere"):
        image_folder(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"got the file .*file"):
        image_folder(tmp_path / "file")


# Two folders of classes


@pytest.mark.parametrize(
    ("first", "other"),
    [("train", "test"), ("train", "val"), ("train", "validation"), ("Train", "Valid")],
)
def test_train_and_test_become_two_datasets(tmp_path, first, other):
    for split, colour in ((first, RED), (other, BLUE)):
        save(tmp_path / split / "a" / "1.png", colour)
        save(tmp_path / split / "b" / "1.png", colour)
    train, test = image_folders(tmp_path, size=2)
    assert train.classes == test.classes == ("a", "b")
    assert train.images[:, :, 0, 0].tolist() == [list(RED)] * 2
    assert test.images[:, :, 0, 0].tolist() == [list(BLUE)] * 2


def test_val_is_taken_if_the_test_folder_has_no_classes(tmp_path):
    for split in ("train", "val"):
        save(tmp_path / split / "a" / "1.png", RED)
    save(tmp_path / "test" / "unlabelled.png", BLUE)
    _, test = image_folders(tmp_path)
    assert test.images[0, :, 0, 0].tolist() == list(RED)


def test_classes_of_only_one_split_are_named(tmp_path):
    for folder in ("train/a", "train/b", "train/c", "test/a", "test/d"):
        save(tmp_path / folder / "1.png", RED)
    with pytest.raises(
        ValueError,
        match=r"same classes in both .*; only in train: b, c; only in test: d.\nAdd the missing",
    ):
        image_folders(tmp_path)


def test_only_ten_of_many_different_classes_are_named(tmp_path):
    for folder in ("test/a", *(f"train/{i:03}" for i in range(200))):
        save(tmp_path / folder / "1.png", RED)
    with pytest.raises(
        ValueError, match=r"only in train: 000, 001, .* 009 and 190 more; only in test: a\."
    ):
        image_folders(tmp_path)


def test_a_missing_split_is_named(tmp_path):
    save(tmp_path / "train" / "a" / "1.png", RED)
    with pytest.raises(
        FileNotFoundError, match=r"expected the folders train/ and test/ \(or val/\) in "
    ):
        image_folders(tmp_path)


def test_both_splits_must_have_one_size(tmp_path):
    save(tmp_path / "train" / "a" / "1.png", RED)
    save(tmp_path / "test" / "a" / "1.png", Image.new("RGB", (9, 8)))
    with pytest.raises(
        ValueError, match=r"images of train and test have the sizes 4 x 6 and 8 x 9.\nGive size="
    ):
        image_folders(tmp_path)


def test_the_libraries_for_images_and_downloads_are_imported_on_first_use():
    modules = (
        "tinyalex.data.dataset, tinyalex.data.cifar, tinyalex.data.folders, tinyalex.data.download"
    )
    code = f"import sys, {modules}; print([m for m in ('PIL', 'pooch', 'tqdm', 'requests') if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
