"""The preprocessing of each variant, ten views, and kinds of image files."""

import numpy as np
import pytest
from PIL import Image

from tinyalex import models
from tinyalex.models import Preprocessing, class_names, imagenet_classes, preprocessing


@pytest.fixture
def photo(rng):
    """A smooth image, 400 wide and 300 high."""
    return Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
        (400, 300), Image.Resampling.BICUBIC
    )


def plain(colour):
    return Image.new("RGB", (300, 300), colour)


def resized(photo, size, left, top, side):
    return np.asarray(photo.resize(size, Image.Resampling.BILINEAR))[
        top : top + side, left : left + side
    ].astype(np.float64)


# The variants


def test_every_variant_has_a_preprocessing_to_its_image_size():
    sizes = {variant: preprocessing(variant).size for variant in models.VARIANTS}
    caffe = dict.fromkeys(("caffe", "caffenet"), 227)
    assert sizes == dict.fromkeys(models.VARIANTS, 224) | caffe


def test_the_preprocessing_of_torchvision(photo):
    square = resized(photo, (341, 256), round((341 - 224) / 2), 16, 224)
    expected = (square / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(
        preprocessing("torchvision")(photo)[0], expected.transpose(2, 0, 1), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("variant", ["caffe", "caffenet"])
def test_the_preprocessing_of_caffe(photo, variant):
    square = resized(photo, (256, 256), 14, 14, 227)
    expected = square[..., ::-1] - [104, 117, 123]
    np.testing.assert_array_equal(preprocessing(variant)(photo)[0], expected.transpose(2, 0, 1))


@pytest.mark.parametrize("variant", ["paper", "original", "single"])
def test_the_preprocessing_of_the_paper(photo, variant):
    square = resized(photo, (341, 256), round((341 - 224) / 2), 16, 224)
    np.testing.assert_array_equal(
        preprocessing(variant)(photo)[0], (square - [123, 117, 104]).transpose(2, 0, 1)
    )


def test_the_preprocessing_of_keras(photo):
    square = resized(photo, (341, 256), round((341 - 224) / 2), 16, 224)
    np.testing.assert_allclose(
        preprocessing("keras")(photo)[0], square.transpose(2, 0, 1) / 255, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("variant", "red"), [("paper", 0), ("caffe", 2), ("torchvision", 0), ("keras", 0)]
)
def test_red_is_in_the_channel_that_the_network_expects(variant, red):
    channels = preprocessing(variant)(plain((255, 0, 0)))[0].mean(axis=(1, 2))
    assert channels.argmax() == red


def test_the_result_is_one_contiguous_float32_image(photo):
    x = preprocessing("caffe", 67)(photo)
    assert (x.shape, x.dtype, x.flags.c_contiguous) == ((1, 3, 67, 67), np.float32, True)


def test_another_image_size_scales_the_resized_size():
    assert preprocessing("paper", 112) == Preprocessing(112, 128, mean=(123.0, 117.0, 104.0))
    assert preprocessing("caffe", 227) == preprocessing("caffe")


def test_an_upright_photo_is_resized_by_its_width():
    tall = Image.new("RGB", (100, 400), "white")
    tall.paste("black", (0, 150, 100, 250))  # the middle square
    assert preprocessing("paper").crop(tall).max() < 20
    assert preprocessing("caffe").crop(tall).max() == 255  # squeezed: white above and below


def test_the_crop_is_the_input_in_rgb_pixels(photo):
    preprocess = preprocessing("caffe", 67)
    pixels = preprocess.crop(photo)
    assert (pixels.shape, pixels.dtype) == ((67, 67, 3), np.uint8)
    np.testing.assert_array_equal(preprocess(photo), preprocess.normalize(pixels[None]))


# Ten views


@pytest.fixture
def coordinates():
    """An image 256 high and 300 wide whose pixels are (row, column, 0)."""
    rows, columns = np.mgrid[0:256, 0:300]
    return np.stack([rows, np.minimum(columns, 255), 0 * rows], axis=2).astype(np.uint8)


def test_ten_views_are_the_corners_and_the_centre_of_the_central_square_and_their_mirror_images(
    coordinates,
):
    views = Preprocessing(224, 256).views(coordinates)
    assert views.shape == (10, 3, 224, 224)
    corners = [tuple(view[:2, 0, 0].astype(int)) for view in views[:5]]
    assert corners == [(0, 22), (0, 54), (16, 38), (32, 22), (32, 54)]
    np.testing.assert_array_equal(views[5:], views[:5, :, :, ::-1])


@pytest.mark.parametrize("variant", models.VARIANTS)
def test_the_central_view_is_the_single_crop(variant, photo):
    preprocess = preprocessing(variant, 67)
    np.testing.assert_array_equal(preprocess.views(photo)[2:3], preprocess(photo))


# Kinds of images


def test_a_path_an_image_and_its_pixels_give_the_same_result(photo, tmp_path):
    photo.save(tmp_path / "photo.png")
    preprocess = preprocessing("paper", 67)
    expected = preprocess(photo)
    for image in (tmp_path / "photo.png", str(tmp_path / "photo.png"), np.asarray(photo)):
        np.testing.assert_array_equal(preprocess(image), expected)


def test_a_photo_is_rotated_by_its_exif_orientation(tmp_path):
    image = Image.new("RGB", (200, 200), "black")
    image.paste("white", (0, 0, 200, 100))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image.save(tmp_path / "turned.jpg", exif=exif)
    pixels = preprocessing("paper", 67).crop(tmp_path / "turned.jpg")
    assert pixels[:25].max() < 40
    assert pixels[-25:].min() > 215


@pytest.mark.parametrize("mode", ["L", "1", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_every_colour_mode_is_converted_to_rgb(mode, tmp_path):
    image = plain((200, 200, 200))
    if mode == "I;16":
        image = Image.fromarray(np.full((300, 300), 200 * 256, np.uint16))
    elif mode == "1":
        image = plain("white").convert("1")
    else:
        image = image.convert(mode)
    file = tmp_path / ("image.jpg" if mode in ("CMYK", "YCbCr") else "image.png")
    image.save(file)
    pixels = preprocessing("paper", 67).crop(file)
    assert pixels.shape == (67, 67, 3)
    np.testing.assert_allclose(pixels, 255 if mode == "1" else 200, atol=3)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\xff\xd8\xff\xe0\x00\x10JFIF"])
def test_a_corrupt_file_is_named(content, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(content)
    with pytest.raises(
        ValueError,
        match=r"preprocessing: .*broken\.jpg cannot be read as an image: .*\nReplace it, or leave it out\.",
    ):
        preprocessing("paper")(tmp_path / "broken.jpg")


def test_a_truncated_file_is_named(photo, tmp_path):
    photo.save(tmp_path / "complete.jpg")
    (tmp_path / "truncated.jpg").write_bytes((tmp_path / "complete.jpg").read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"truncated\.jpg cannot be read as an image"):
        preprocessing("paper")(tmp_path / "truncated.jpg")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"preprocessing: there is no file .*nothing\.jpg. Check the path\."
    ):
        preprocessing("paper")(tmp_path / "nothing.jpg")
    with pytest.raises(
        IsADirectoryError, match=r"expected an image, got the folder .*\. Give the files in it\."
    ):
        preprocessing("paper")(tmp_path)


@pytest.mark.parametrize(
    ("array", "came"),
    [
        (np.zeros((8, 8, 3), np.float32), r"float32 \(8, 8, 3\)"),
        (np.zeros((3, 8, 8), np.uint8), r"uint8 \(3, 8, 8\)"),
        (np.zeros((8, 8), np.uint8), r"uint8 \(8, 8\)"),
        (np.zeros((0, 8, 3), np.uint8), r"uint8 \(0, 8, 3\)"),
    ],
)
def test_an_array_must_be_pixels(array, came):
    with pytest.raises(
        ValueError,
        match=rf"expected an array of uint8 with the shape \(H, W, 3\), got {came}\.\nGive pixels from 0",
    ):
        preprocessing("paper")(array)


def test_an_object_that_is_not_an_image_is_named():
    with pytest.raises(
        TypeError, match=r"expected a path, a Pillow image or a uint8 array \(H, W, 3\), got int"
    ):
        preprocessing("paper")(7)


def test_an_unknown_variant_is_named():
    with pytest.raises(
        ValueError, match=r"models\.preprocessing: expected one of paper, original, .*, got 'vgg'\."
    ):
        preprocessing("vgg")
    with pytest.raises(ValueError, match=r"image_size must be at least 1, got 0"):
        preprocessing("paper", 0)


def test_invalid_options_raise():
    with pytest.raises(
        ValueError, match=r"a square of size=224 cannot be cropped from resize=200 pixels"
    ):
        Preprocessing(224, 200)
    with pytest.raises(ValueError, match=r"expected channels 'RGB' or 'BGR', got 'GBR'"):
        Preprocessing(224, 256, channels="GBR")


# Class names


def test_the_classes_of_imagenet_are_ordered_by_wnid():
    classes = imagenet_classes()
    assert len(classes) == 1000
    assert [row.wnid for row in classes] == sorted(row.wnid for row in classes)
    assert (classes[0].name, classes[999].name) == ("tench", "toilet tissue")
    assert classes[2].synonyms[1] == "white shark"


def test_the_names_of_classes_are_unique():
    names = class_names()
    assert len(set(names)) == 1000
    assert [name for name in names if "(" in name] == [
        "crane (n02012849)", "crane (n03126707)", "maillot (n03710637)", "maillot (n03710721)"
    ]  # fmt: skip
