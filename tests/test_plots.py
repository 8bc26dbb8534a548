"""Inspection of networks; and figures: their sizes, and pixels of their colours."""

import itertools

import numpy as np
import pytest
from PIL import Image

from tinyalex import models, nn, plots
from tinyalex.functional import softmax
from tinyalex.plots.network import _blocks, _caption
from tinyalex.training import Epoch


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def count(path, colour):
    """The number of pixels of the colour "#rrggbb"."""
    return (pixels(path) == tuple(bytes.fromhex(colour[1:]))).all(axis=2).sum()


@pytest.fixture
def small():
    return nn.Sequential(
        {
            "conv": nn.Conv2d(3, 4, 3, padding=1),
            "relu": nn.ReLU(),
            "pool": nn.MaxPool2d(2),
            "flatten": nn.Flatten(),
            "hidden": nn.Linear(4 * 4 * 4, 6),
            "tanh": nn.Tanh(),
            "drop": nn.Dropout(0.5),
            "output": nn.Linear(6, 5),
        }
    )


@pytest.fixture
def images(rng):
    return rng.standard_normal((70, 3, 8, 8)).astype(np.float32)  # more than one batch


@pytest.fixture
def photo(rng):
    return rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)


# Inspection


def test_activations_are_the_layers_output_in_evaluation_mode(small, images):
    small.eval()
    expected, later = small[:3](images).numpy(), small[:7](images).numpy()
    small.train()
    np.testing.assert_allclose(plots.activations(small, images, "pool"), expected, rtol=1e-6)
    np.testing.assert_allclose(plots.activations(small, images, "drop"), later, rtol=1e-5)


def test_last_features_are_the_input_of_the_last_linear_layer(small, images):
    np.testing.assert_array_equal(
        plots.last_features(small, images), plots.activations(small, images, "tanh")
    )


def test_inspection_restores_modes_and_hooks(small, images):
    small.drop.eval()
    plots.activations(small, images, "pool")
    assert (small.training, small.drop.training) == (True, False)
    assert small.pool._forward_hooks == []


def test_an_unknown_layer_is_refused(small, images):
    with pytest.raises(
        ValueError,
        match=r"activations: Sequential has no layer 'conv1'. It has conv, relu, pool, .*output\.",
    ):
        plots.activations(small, images, "conv1")


def test_no_images_and_no_linear_layer_are_refused(small, images):
    with pytest.raises(ValueError, match=r"activations: got no images"):
        plots.activations(small, images[:0], "conv")
    with pytest.raises(
        ValueError, match=r"last_features: Sequential has no nn\.Linear. Name a layer"
    ):
        plots.last_features(small[:3], images)


def test_nearest_equals_a_sort_of_all_distances(rng):
    queries, among = rng.standard_normal((4, 30)), rng.standard_normal((50, 30))
    indices, distances = plots.nearest(queries, among, 3)
    for query, where, how_far in zip(queries, indices, distances, strict=True):
        all_distances = [float(np.linalg.norm(query - one)) for one in among]
        np.testing.assert_array_equal(where, np.argsort(all_distances)[:3])
        np.testing.assert_allclose(how_far, sorted(all_distances)[:3], rtol=1e-9)


def test_a_row_is_its_own_nearest_neighbour(rng):
    among = 1000 + rng.standard_normal((5, 8)).astype(np.float32)
    indices, distances = plots.nearest(among, among, 1)
    np.testing.assert_array_equal(indices[:, 0], range(5))
    np.testing.assert_allclose(distances, 0, atol=1e-4)


def test_nearest_refuses_too_few_rows_and_other_features():
    with pytest.raises(
        ValueError, match=r"nearest: count=6 is not between 1 and the number of rows, 5"
    ):
        plots.nearest(np.zeros((1, 4)), np.zeros((5, 4)))
    with pytest.raises(
        ValueError,
        match=r"nearest: queries have 4 features, but the others 3. Take both from the same layer",
    ):
        plots.nearest(np.zeros((1, 4)), np.zeros((9, 3)))


@pytest.fixture
def depends_on_one_pixel():
    """Class 1 of 3 depends on channel 0 at row 5, column 2 of 8 x 8 pixels."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3))
    for p in model.parameters():
        p.data[...] = 0
    model[1].weight.data[1, 5 * 8 + 2] = 4
    return model


def test_the_probability_is_lower_where_the_square_hides_the_pixel(depends_on_one_pixel):
    image = np.ones((1, 3, 8, 8), np.float32)
    result = plots.occlusion(depends_on_one_pixel, image, side=2, step=1)
    assert (result.label, result.side, result.step) == (1, 2, 1)
    assert result.probabilities.shape == (7, 7)
    hidden = np.zeros((7, 7), bool)
    hidden[4:6, 1:3] = True
    np.testing.assert_allclose(result.probabilities[hidden], 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(result.probabilities[~hidden], result.whole, rtol=1e-6)
    assert result.whole == pytest.approx(np.exp(4) / (np.exp(4) + 2))
    assert (image == 1).all()


def test_occlusion_uses_the_given_class_step_and_fill(depends_on_one_pixel):
    image = np.ones((1, 3, 8, 8), np.float32)
    result = plots.occlusion(depends_on_one_pixel, image, 0, side=3, step=4, fill=(2.0, 0.0, 0.0))
    expected = softmax(np.array([[0.0, 8.0, 0.0]]), 1).numpy()[0, 0]
    assert result.label == 0
    assert result.probabilities.shape == (2, 2)
    np.testing.assert_allclose(
        result.probabilities[1, 0], expected, rtol=1e-5
    )  # rows 4 to 6, columns 0 to 2


def test_occlusion_refuses_a_square_or_a_class_that_does_not_fit(depends_on_one_pixel):
    image = np.zeros((1, 3, 8, 8), np.float32)
    with pytest.raises(
        ValueError,
        match=r"a square of side=9, moved by step=8, does not fit an image of 8 x 8\.\nGive a side from 1 to 8",
    ):
        plots.occlusion(depends_on_one_pixel, image, side=9)
    with pytest.raises(ValueError, match=r"occlusion: expected a label from 0 to 2, got 3"):
        plots.occlusion(depends_on_one_pixel, image, 3, side=2)


# Drawing


def test_curves_are_drawn(tmp_path):
    log = [
        Epoch(i + 1, 0.1 if i < 3 else 0.01, 2 / (i + 1), 0.5, 2.1 / (i + 1), 0.6, 100.0, 1.0)
        for i in range(5)
    ]
    plots.draw_curves(log, tmp_path / "curves.png")
    assert count(tmp_path / "curves.png", "#0b6e99") > 500
    assert [f.name for f in tmp_path.iterdir()] == ["curves.png"]


def test_filters_show_their_colours(tmp_path):
    weight = np.zeros((8, 3, 5, 5))
    weight[3, 0] = 1
    plots.draw_filters(weight, tmp_path / "filters.png")
    assert count(tmp_path / "filters.png", "#ff8080") or count(tmp_path / "filters.png", "#ff7f7f")


def test_filters_of_other_than_three_channels_are_refused(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"expected filters \(O, 3, KH, KW\) of RGB images, got shape \(8, 4, 5, 5\)",
    ):
        plots.draw_filters(np.zeros((8, 4, 5, 5)), tmp_path / "x.png")


def test_a_confusion_matrix_is_drawn_even_if_a_class_is_missing(tmp_path):
    names = ["a", "$\\no math$"]
    plots.draw_confusion(np.array([[9, 1], [0, 0]]), names, tmp_path / "confusion.png")
    assert pixels(tmp_path / "confusion.png").min() < 100


def test_maps_are_black_to_white_and_constant_ones_blue(tmp_path):
    maps = np.zeros((3, 4, 4), np.float32)
    maps[0, :2], maps[1, :, :2] = -7, 1e-6
    plots.draw_maps(maps, tmp_path / "maps.png")
    assert count(tmp_path / "maps.png", "#cce0f2") > 1000
    assert count(tmp_path / "maps.png", "#000000") > 2000


def test_the_image_is_drawn_next_to_its_maps(tmp_path, photo):
    plots.draw_maps(np.zeros((1, 4, 4)), tmp_path / "maps.png", title="$x$ of conv1")
    plots.draw_maps(np.zeros((1, 4, 4)), tmp_path / "both.png", image=photo, title="conv1")
    assert pixels(tmp_path / "both.png").shape[1] > pixels(tmp_path / "maps.png").shape[1]


def test_maps_of_several_images_are_refused(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"draw_maps: expected the maps \(C, H, W\) of one image, got shape \(1, 4, 8, 8\). Select one of",
    ):
        plots.draw_maps(np.zeros((1, 4, 8, 8)), tmp_path / "x.png")


def test_the_bar_of_the_true_class_is_red(tmp_path, photo):
    prediction = [
        ("cat", 0.6),
        ("a class with a name that does not fit by far", 0.3),
        ("$x$", 0.1),
    ]
    for truth, name in (("cat", "right.png"), ("dog", "wrong.png"), (None, "unknown.png")):
        plots.draw_predictions([photo], [prediction], tmp_path / name, truths=[truth])
    red, blue = "#f2a7a0", "#a9c7e8"
    assert count(tmp_path / "right.png", red) > 2 * count(tmp_path / "right.png", blue) * 0.7 > 0
    assert count(tmp_path / "wrong.png", red) == count(tmp_path / "unknown.png", red) == 0


@pytest.mark.parametrize(
    ("number", "across"), [(1, 1), (3, 3), (4, 4), (5, 5), (6, 3), (7, 4), (9, 3)]
)
def test_predictions_are_arranged_with_few_empty_positions(number, across, tmp_path, photo):
    plots.draw_predictions([photo] * number, [[("cat", 1.0)]] * number, tmp_path / "x.png")
    assert pixels(tmp_path / "x.png").shape[1] == 375 * across


def test_each_image_needs_a_prediction(tmp_path, photo):
    with pytest.raises(
        ValueError, match=r"expected a prediction for each image, got 2 images and 1 predictions"
    ):
        plots.draw_predictions([photo] * 2, [[("cat", 1.0)]], tmp_path / "x.png")
    with pytest.raises(
        ValueError, match=r"expected a list of neighbours for each image, got 1 images and 2 lists"
    ):
        plots.draw_neighbours([photo], [[photo]] * 2, tmp_path / "x.png")


def test_neighbours_are_drawn_in_rows(tmp_path):
    red, blue = (np.full((20, 20, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    plots.draw_neighbours(
        [red, red],
        [[blue] * 3, [blue] * 2],
        tmp_path / "x.png",
        query_titles=["a", "b"],
        titles=[["c"] * 3, ["d"] * 2],
    )
    reds, blues = count(tmp_path / "x.png", "#ff0000"), count(tmp_path / "x.png", "#0000ff")
    assert blues / reds == pytest.approx(5 / 2, rel=0.1)


def test_occlusion_is_drawn(tmp_path, photo):
    result = plots.Occlusion(1, 0.5, np.array([[0.1, 0.5], [0.5, 0.9]]), side=8, step=4)
    plots.draw_occlusion(photo, result, tmp_path / "x.png", name="$x$ cat")
    assert pixels(tmp_path / "x.png").shape == (630, 1290, 3)
    plots.draw_occlusion(
        photo, plots.Occlusion(1, 0.5, np.full((2, 2), 0.5), 8, 4), tmp_path / "flat.png"
    )


# The network


BLUE, ORANGE, GREY = "#8fb4dd", "#eab37c", "#c3c8cf"


def test_a_network_with_groups_is_drawn_in_two_columns(tmp_path):
    plots.draw_network(models.cifar("alexnet"), tmp_path / "two.png", (3, 32, 32), title="CIFAR")
    blue, orange = count(tmp_path / "two.png", BLUE), count(tmp_path / "two.png", ORANGE)
    assert blue > 10_000
    assert orange == pytest.approx(blue, rel=0.02)
    assert count(tmp_path / "two.png", GREY) > 1000


def test_a_network_without_groups_is_drawn_in_one_column(tmp_path):
    plots.draw_network(models.cifar("quick"), tmp_path / "one.png", (3, 32, 32))
    assert count(tmp_path / "one.png", BLUE) > 10_000
    assert count(tmp_path / "one.png", ORANGE) == 0


def test_columns_start_before_the_first_grouped_layer_and_end_before_the_output():
    blocks = _blocks(models.outline(models.cifar("alexnet"), (3, 32, 32)))
    columns = {block.name: block.columns for block in blocks}
    assert columns == {
        "image": 1,
        "conv1": 2,
        "conv2": 2,
        "conv3": 2,
        "conv4": 2,
        "conv5": 2,
        "fc6": 2,
        "fc7": 2,
        "fc8": 1,
    }


def test_captions_name_the_layers():
    net = nn.Sequential(
        nn.ZeroPad2d(1), nn.Conv2d(3, 8, (3, 5), stride=2, groups=1), nn.ReLU(), nn.LocalResponseNorm(5), nn.MaxPool2d(3, 2),
        nn.Conv2d(8, 8, 3, groups=2), nn.Sigmoid(), nn.AvgPool2d(2, 1), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 5),
    )  # fmt: skip
    captions = [
        " | ".join(_caption(block)).replace("\N{NO-BREAK SPACE}", " ")
        for block in _blocks(models.outline(net, (3, 32, 32)))
    ]
    assert captions == [
        "zero padding",
        "3 × 5, stride 2 | ReLU, LRN, | max pool 3 × 3 / 2",
        "3 × 3, 2 groups | Sigmoid, | avg pool 2 × 2 / 1, | avg pool to 2 × 2",
        "dense",
    ]


def test_a_network_of_linear_layers_is_drawn(tmp_path):
    plots.draw_network(
        nn.Sequential(nn.Linear(20, 10), nn.ReLU(), nn.Linear(10, 3)), tmp_path / "x.png", (20,)
    )
    assert count(tmp_path / "x.png", BLUE) > 500


# Outlines


def test_an_outline_lists_the_layers_in_the_order_of_computation(small):
    steps = models.outline(small, (3, 8, 8))
    assert [step.name for step in steps] == [
        "conv",
        "relu",
        "pool",
        "flatten",
        "hidden",
        "tanh",
        "drop",
        "output",
    ]
    assert all(before.shape == after.input_shape for before, after in itertools.pairwise(steps))
    assert steps[0].input_shape == (3, 8, 8)
    assert sum(step.parameters for step in steps) == sum(p.size for p in small.parameters())


def test_an_outline_has_the_multiply_adds_of_the_summary(small):
    total = small.summary((3, 8, 8)).splitlines()[-1].split()
    assert f"{sum(step.multiply_adds for step in models.outline(small, (3, 8, 8))):,}" == total[-1]


def test_an_outline_needs_the_input_shape(small):
    with pytest.raises(
        ValueError,
        match=r"outline: the image size of a Sequential is not known. Give input_shape, such as \(3, 32, 32\)",
    ):
        models.outline(small)
