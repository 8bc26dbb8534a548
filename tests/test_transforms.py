import numpy as np
import pytest

import tinyalex
from tinyalex.data import IMAGENET_COLOURS, Augment, Normalize, TenViews, mean_image
from tinyalex.models.image_preprocessing import Preprocessing


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (40, 3, 8, 6), dtype=np.uint8)


@pytest.fixture
def mean(images):
    return mean_image(images)


def crops(image, padding):
    """(top, left, mirrored) -> the crop at each position."""
    _, h, w = image.shape
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    corners = [(top, left) for top in range(2 * padding + 1) for left in range(2 * padding + 1)]
    seen = {(*at, False): padded[:, at[0] : at[0] + h, at[1] : at[1] + w] for at in corners}
    return seen | {(top, left, True): crop[:, :, ::-1] for (top, left, _), crop in seen.items()}


# Augment


def test_each_image_becomes_one_of_its_crops_or_a_mirrored_one(images, mean):
    for image, x in zip(images, Augment(mean, padding=2)(images, epoch=0, first=0), strict=True):
        assert any(np.array_equal(x, crop) for crop in crops(image - mean, 2).values())


def test_all_crops_and_mirrored_crops_are_equally_likely(rng):
    image = rng.integers(0, 256, (1, 5, 5), dtype=np.uint8)
    places = {crop.tobytes(): place for place, crop in crops(image.astype(np.float32), 1).items()}
    batch = np.broadcast_to(image, (18_000, 1, 5, 5))
    seen = [places[x.tobytes()] for x in Augment([0], padding=1)(batch, epoch=0, first=0)]
    times = [seen.count(place) for place in places.values()]
    assert len(times) == 18
    # A count is 1000 with a standard deviation of 31.
    assert 850 < min(times) <= max(times) < 1150


@pytest.mark.parametrize("batch_size", [1, 7, 40])
def test_the_batch_size_changes_no_image(images, mean, batch_size):
    augment = Augment(mean)
    whole = augment(images, epoch=3, first=100)
    parts = [
        augment(images[i : i + batch_size], epoch=3, first=100 + i)
        for i in range(0, len(images), batch_size)
    ]
    assert np.array_equal(np.concatenate(parts), whole)


def test_another_epoch_has_other_crops(images, mean):
    one, other = (Augment(mean)(images, epoch=epoch, first=0) for epoch in (0, 1))
    assert sum(map(np.array_equal, one, other)) < 4


def test_another_seed_has_other_crops(images, mean):
    one = Augment(mean)(images, epoch=0, first=0)
    tinyalex.manual_seed(1)
    assert sum(map(np.array_equal, one, Augment(mean)(images, epoch=0, first=0))) < 4


def test_without_padding_and_mirroring_an_image_is_only_normalized(images, mean):
    x = Augment(mean, padding=0, flip=False, scale=0.5)(images, epoch=0, first=0)
    assert np.array_equal(x, Normalize(mean, scale=0.5)(images))


def test_without_flip_no_crop_is_mirrored(images, mean):
    for image, x in zip(
        images, Augment(mean, padding=1, flip=False)(images, epoch=0, first=0), strict=True
    ):
        seen = [
            mirrored
            for (_, _, mirrored), crop in crops(image - mean, 1).items()
            if np.array_equal(x, crop)
        ]
        assert seen == [False]


def test_scale_multiplies_the_crops(images, mean):
    one, half = (Augment(mean, scale=scale)(images, epoch=0, first=0) for scale in (1.0, 0.5))
    assert np.array_equal(half, one * np.float32(0.5))


def test_the_padding_is_zero_after_the_mean_is_subtracted(mean):
    white = np.full((60, 3, 8, 6), 255, np.uint8)
    x = Augment(mean)(white, epoch=0, first=0)
    assert (x.min(axis=(1, 2, 3)) == 0).sum() > 50
    assert set(np.unique(Augment([100, 100, 100])(white, epoch=0, first=0))) == {0.0, 155.0}


def test_an_empty_batch_stays_empty(images, mean):
    assert Augment(mean)(images[:0], epoch=0, first=0).shape == (0, 3, 8, 6)


# Augment and Normalize


@pytest.mark.parametrize("transform", [Augment, Normalize])
def test_a_mean_colour_is_a_mean_image_of_one_colour(transform, images):
    colour = np.array([120.5, 110.25, 100.0])
    image = np.broadcast_to(colour[:, None, None], (3, 8, 6))
    one, two, three = (
        transform(m)(images, epoch=0, first=0) for m in (colour, colour[:, None, None], image)
    )
    assert np.array_equal(one, two)
    assert np.array_equal(one, three)


@pytest.mark.parametrize("transform", [Augment, Normalize])
@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float64])
def test_the_result_is_float32_and_the_images_are_unchanged(transform, kind, images, mean):
    given = images.astype(kind)
    x = transform(mean.astype(np.float64), scale=0.1)(given, epoch=0, first=0)
    assert x.dtype == np.float32
    assert np.array_equal(given, images)


@pytest.mark.parametrize("transform", [Augment, Normalize])
def test_a_mean_of_other_dimensions_is_refused(transform):
    with pytest.raises(
        ValueError,
        match=rf"{transform.__name__}: expected a mean image \(C, H, W\) or .* got the shape \(8, 6\)",
    ):
        transform(np.zeros((8, 6)))


@pytest.mark.parametrize("transform", [Augment, Normalize])
@pytest.mark.parametrize("shape", [(3, 8, 7), (1, 8, 6), (3, 1, 6), (1,), (4, 1, 1)])
def test_a_mean_that_does_not_match_the_images_is_refused(transform, shape, images):
    wanted = rf"{transform.__name__}: the mean \(.*\) does not match images \(40, 3, 8, 6\), which need \(3, 8, 6\) or \(3, 1, 1\)\."
    with pytest.raises(ValueError, match=wanted):
        transform(np.zeros(shape))(images, epoch=0, first=0)


@pytest.mark.parametrize("transform", [Augment, Normalize])
def test_a_single_image_is_refused(transform, images, mean):
    with pytest.raises(
        ValueError, match=r"expected a batch of images \(N, C, H, W\), got the shape \(3, 8, 6\)"
    ):
        transform(mean)(images[0], epoch=0, first=0)


@pytest.mark.parametrize("padding", [-1, 1.5])
def test_a_padding_that_is_negative_or_no_integer_is_refused(padding, mean):
    with pytest.raises(
        ValueError, match=f"Augment: expected padding to be an integer of at least 0, got {padding}"
    ):
        Augment(mean, padding=padding)


def test_a_padding_as_large_as_the_image_is_refused(images, mean):
    with pytest.raises(
        ValueError,
        match=r"Augment: expected a padding below 6, the shorter side of a crop, got 6\.\nGive a smaller",
    ):
        Augment(mean, padding=6)(images, epoch=0, first=0)


# Normalize, mean_image


def test_normalize_subtracts_the_mean_and_multiplies_by_the_scale(images, mean):
    x = Normalize(mean, scale=1 / 64)(images, epoch=0, first=0)
    np.testing.assert_allclose(x, (images.astype(np.float64) - mean) / 64, rtol=1e-6, atol=1e-6)


def test_normalized_training_images_have_the_mean_zero(images, mean):
    np.testing.assert_allclose(Normalize(mean)(images).mean(axis=0), 0, atol=1e-4)


def test_the_mean_image_is_the_mean_of_each_pixel(images, mean):
    assert mean.dtype == np.float32
    assert np.array_equal(mean, images.mean(axis=0, dtype=np.float64).astype(np.float32))


def test_the_mean_image_is_summed_in_float64():
    images = np.ones((1024, 1, 2, 2), np.float32)
    images[0] = 2.0**24  # in float32, adding 1 to it changes nothing
    assert np.array_equal(
        mean_image(images), np.full((1, 2, 2), (2.0**24 + 1023) / 1024, np.float32)
    )


@pytest.mark.parametrize("shape", [(0, 3, 8, 6), (3, 8, 6)])
def test_the_mean_image_of_no_images_is_refused(shape):
    with pytest.raises(
        ValueError, match=r"mean_image: expected images \(N, C, H, W\), at least one, got the shape"
    ):
        mean_image(np.zeros(shape, np.uint8))


# Squares of larger images


def numbered(n=400, height=8, width=9):
    """Images whose pixels are 10*row + column."""
    return np.broadcast_to(
        (10 * np.arange(height)[:, None] + np.arange(width)).astype(np.uint8), (n, 3, height, width)
    )


def test_normalize_crops_the_centre():
    x = Normalize([0, 0, 0], size=4)(numbered(1))
    np.testing.assert_array_equal(x[0, 0], 10 * np.arange(2, 6)[:, None] + np.arange(2, 6))
    mean = np.broadcast_to(np.arange(8.0)[:, None], (3, 8, 9))
    np.testing.assert_array_equal(
        Normalize(mean, size=4)(numbered(1))[0, 0], 9 * np.arange(2, 6)[:, None] + np.arange(2, 6)
    )


def test_augment_crops_squares_at_all_positions():
    x = Augment([0, 0, 0], padding=0, flip=False, size=5)(numbered(), epoch=0, first=0)
    assert x.shape == (400, 3, 5, 5)
    corners = x[:, 0, 0, 0].astype(int)
    np.testing.assert_array_equal(
        x[:, 2], corners[:, None, None] + 10 * np.arange(5)[:, None] + np.arange(5)
    )
    assert set(corners.tolist()) == {10 * row + column for row in range(4) for column in range(5)}


def test_a_square_may_extend_beyond_the_edge_by_the_padding():
    x = Augment([0, 0, 0], padding=1, flip=False, size=8)(numbered() + 1, epoch=0, first=0)
    assert {int((image[0] == 0).all(axis=1).sum()) for image in x} == {0, 1}
    assert x.shape == (400, 3, 8, 8)


def test_a_padding_as_large_as_the_square_is_refused():
    with pytest.raises(
        ValueError, match="expected a padding below 4, the shorter side of a crop, got 4"
    ):
        Augment([0, 0, 0], size=4, padding=4)(numbered(1), epoch=0, first=0)


def test_a_square_is_within_the_image_unless_a_padding_is_given():
    assert Augment([0, 0, 0], size=5)(numbered() + 1, epoch=0, first=0).min() > 0


def test_the_ten_views_are_those_of_predict(rng):
    photos = rng.integers(0, 256, (2, 11, 11, 3), np.uint8)
    views = TenViews([120, 110, 100], scale=0.5, size=8)(photos.transpose(0, 3, 1, 2))
    preprocess = Preprocessing(8, 11, mean=(120.0, 110.0, 100.0), std=(2.0, 2.0, 2.0))
    np.testing.assert_allclose(
        views, np.stack([preprocess.views(photo) for photo in photos]), rtol=1e-6, atol=1e-5
    )
    np.testing.assert_array_equal(
        views[:, 2], Normalize([120, 110, 100], scale=0.5, size=8)(photos.transpose(0, 3, 1, 2))
    )


# Options of the 2012 code


def test_neighbours_can_be_cropped_alike_and_shifted_in_colour_separately():
    augment = Augment([0, 0, 0], size=5, together=32, colours=np.eye(3))
    x = augment(numbered(100), epoch=0, first=16)  # 16 of the first chunk, 32, 32, 20
    assert len({tuple(colour) for colour in x[:, :, 0, 0] % 1}) == 100
    x = Augment([0, 0, 0], size=5, together=32)(numbered(100), epoch=0, first=16)
    alike = [np.array_equal(x[i], x[i + 1]) for i in range(99)]
    assert [i for i in range(99) if not alike[i]] == [15, 47, 79]
    np.testing.assert_array_equal(
        x[40:], Augment([0, 0, 0], size=5, together=32)(numbered(60), epoch=0, first=56)
    )
    with pytest.raises(ValueError, match="expected together to be an integer of at least 1, got 0"):
        Augment([0, 0, 0], together=0)


def test_images_are_divided_only_while_colours_are_shifted(rng):
    grey = np.full((2, 3, 6, 6), 150, np.uint8)
    options = {"size": 4, "colours": np.zeros((2, 3)), "until": 1}  # axes of no length
    augment = Augment([100, 100, 100], divide=1.25, **options)
    assert [float(augment(grey, epoch=epoch, first=0).max()) for epoch in (0, 1)] == [40, 50]
    assert Augment([100, 100, 100], size=4, divide=1.25)(grey, epoch=0, first=0).max() == 50
    with pytest.raises(ValueError, match="expected divide to be positive, got 0"):
        Augment([100, 100, 100], divide=0)


def test_colours_are_not_shifted_from_the_epoch_until():
    grey = np.full((8, 3, 6, 6), 100, np.uint8)
    augment = Augment([100, 100, 100], size=4, colours=IMAGENET_COLOURS, until=2)
    spread = [float(augment(grey, epoch=epoch, first=0).std()) for epoch in range(4)]
    assert spread[0] > 1
    assert spread[1] > 1
    assert spread[2:] == [0, 0]


def test_imagenets_colours_are_axes():
    products = IMAGENET_COLOURS @ IMAGENET_COLOURS.T
    np.testing.assert_allclose(
        products / np.outer(*2 * [np.sqrt(products.diagonal())]), np.eye(3), atol=1e-4
    )


@pytest.mark.parametrize("size", [0, 9, 2.5])
@pytest.mark.parametrize("make", [Normalize, Augment])
def test_a_square_larger_than_the_images_is_refused(make, size):
    with pytest.raises(
        ValueError,
        match=rf"{make.__name__}: a square of size={size} cannot be cropped from images of 8 x 9.\nGive at most 8",
    ):
        make([0, 0, 0], size=size)(numbered(1), epoch=0, first=0)
