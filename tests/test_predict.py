"""The functions of `tinyalex predict` and `tinyalex models`."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

import tinyalex as ta
from tinyalex import models, nn
from tinyalex.cli import models as tables
from tinyalex.cli.predict import predict_files, report, true_class
from tinyalex.functional import softmax
from tinyalex.models import Preprocessing
from tinyalex.models import prediction as predicting
from tinyalex.models.prediction import Prediction, load_network

PREPROCESS = Preprocessing(8, 10, white=1.0)
NAMES = ("red", "green", "blue", "cyan", "magenta", "yellow")


@pytest.fixture
def colour_network():
    """A network with six classes: the first three are red, green and blue."""
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 6))
    for p in model.parameters():
        p.data[...] = 0
    model[2].weight.data[range(3), range(3)] = 5
    return model


@pytest.fixture
def photo(tmp_path):
    file = tmp_path / "photo.png"
    Image.new("RGB", (40, 30), (255, 127, 0)).save(file)
    return file


def predict(model, file, **options):
    return predicting.predict(model, file, preprocess=PREPROCESS, **options)


# Predictions


def test_classes_are_sorted_by_probability(colour_network, photo):
    prediction = predict(colour_network, photo, names=NAMES)
    assert [name for name, _ in prediction.classes] == ["red", "green", "blue", "cyan", "magenta"]
    expected = softmax(np.array([5, 5 * 127 / 255, 0, 0, 0, 0]), 0).numpy()
    np.testing.assert_allclose([p for _, p in prediction.classes], expected[:5], rtol=1e-5)
    assert prediction.file == str(photo)
    assert prediction.image.shape == (8, 8, 3)


def test_there_are_at_most_top_classes(colour_network, photo):
    assert len(predict(colour_network, photo, top=2).classes) == 2
    assert len(predict(colour_network, photo, top=50).classes) == 6


def test_with_ten_views_probabilities_are_averaged(colour_network, photo, rng):
    Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(photo)
    colour_network[2].weight.data[...] = rng.standard_normal((6, 3)) * 20
    prediction = predict(colour_network, photo, views=10, top=6, names=NAMES)
    expected = softmax(colour_network(PREPROCESS.views(photo)).numpy(), 1).numpy().mean(axis=0)
    np.testing.assert_allclose(
        [dict(prediction.classes)[name] for name in NAMES], expected, rtol=1e-5
    )


def test_a_rotated_photo_is_rotated_once(colour_network, tmp_path):
    stored = Image.new("RGB", (40, 40))
    stored.paste("white", (0, 0, 40, 20))
    exif = Image.Exif()
    exif[0x0112] = 3  # by 180 degrees
    file = tmp_path / "photo.jpg"
    stored.save(file, exif=exif)
    image = predict(colour_network, file).image
    assert image[0].max() < 20
    assert image[-1].min() > 235
    np.testing.assert_array_equal(image, PREPROCESS.crop(file))


def test_classes_without_names_are_numbered(colour_network, photo):
    assert predict(colour_network, photo).classes[1][0] == "class 1"


def test_a_thousand_classes_have_imagenets_names(photo):
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1000))
    model[2].bias.data[207] = 100
    assert predict(model, photo).classes[0] == ("golden retriever", pytest.approx(1))


def test_an_alexnet_defines_its_preprocessing(photo):
    model = models.alexnet("caffe", 3, 67)
    expected = softmax(model.eval()(models.preprocessing("caffe", 67)(photo)).numpy(), 1).numpy()[0]
    prediction = predicting.predict(model, photo, names="abc")
    np.testing.assert_allclose(
        [dict(prediction.classes)[name] for name in "abc"], expected, rtol=1e-5
    )


def test_the_mode_of_the_network_is_restored(colour_network, photo):
    predict(colour_network, photo)
    assert colour_network.training


def test_invalid_arguments_are_refused(colour_network, photo):
    with pytest.raises(
        ValueError,
        match=r"predict: the network has 6 classes, but 5 names were given. Give one name for each class",
    ):
        predict(colour_network, photo, names=NAMES[:5])
    with pytest.raises(ValueError, match=r"predict: expected views=1 or views=10, got 5"):
        predict(colour_network, photo, views=5)
    with pytest.raises(ValueError, match=r"predict: top must be at least 1, got 0"):
        predict(colour_network, photo, top=0)
    with pytest.raises(
        ValueError,
        match=r"predict: Sequential does not define its preprocessing. Give preprocess",
    ):
        predicting.predict(colour_network, photo)


def test_names_are_read_from_a_file(tmp_path):
    (tmp_path / "names.txt").write_text("red\n dark green \n\nblå\n", encoding="utf-8")
    assert predicting.read_names(tmp_path / "names.txt") == ("red", "dark green", "blå")


# Text


def test_a_report_has_a_line_for_each_class_with_a_bar():
    answers = (("pug", 1.0), ("American Staffordshire terrier's friend", 0.5), ("ant", 0.0))
    lines = report(
        Prediction("a.jpg", answers, np.zeros((8, 8, 3), np.uint8)), width=60
    ).splitlines()
    assert lines == [
        "a.jpg",
        "  pug                            100.0 %  █████████████████",
        "  American Staffordshire terr...  50.0 %  ████████▌",
        "  ant                              0.0 %",
    ]


def test_a_report_can_be_ascii_and_of_any_width():
    prediction = Prediction("a.jpg", (("pug", 0.5), ("x" * 50, 0.5)), np.zeros((8, 8, 3), np.uint8))
    text = report(prediction, width=80, blocks=False)
    assert text.isascii()
    assert text.splitlines()[1].endswith(" " + "#" * 18)
    assert all(
        len(line) <= width
        for width in (60, 80, 100)
        for line in report(prediction, width).splitlines()
    )


def test_each_file_is_reported_and_an_unreadable_one_is_named(
    colour_network, photo, tmp_path, capsys
):
    (tmp_path / "broken.jpg").write_bytes(b"?")
    status = predict_files(
        colour_network, [tmp_path / "broken.jpg", photo], names=NAMES, preprocess=PREPROCESS
    )
    out, err = capsys.readouterr()
    assert status == 1
    assert out.startswith(f"{photo}\n  red ")
    assert "broken.jpg cannot be read as an image" in err


def test_the_figure_contains_all_predictions(colour_network, photo, tmp_path, capsys):
    figure = tmp_path / "figure.png"
    status = predict_files(
        colour_network, [photo, photo], names=NAMES, preprocess=PREPROCESS, figure=figure
    )
    assert status == 0
    with Image.open(figure) as image:
        assert image.width == 750
    assert capsys.readouterr().out.endswith(f"figure: {figure}\n")


def test_without_predictions_no_figure_is_saved(colour_network, tmp_path, capsys):
    status = predict_files(
        colour_network, [tmp_path / "no.jpg"], preprocess=PREPROCESS, figure=tmp_path / "figure.png"
    )
    assert (status, list(tmp_path.iterdir())) == (1, [])


def test_bars_are_ascii_if_the_terminal_cannot_print_blocks(colour_network, photo, monkeypatch):
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", screen)
    assert predict_files(colour_network, [photo], preprocess=PREPROCESS) == 0
    screen.flush()
    assert b"####" in screen.buffer.getvalue()


def test_the_folder_of_an_imagenet_file_names_its_class():
    assert true_class("train/n02110958/n02110958_pug.JPEG") == "pug"
    assert true_class("photos/pug.jpg") is None


# Networks from files


@pytest.fixture(scope="module")
def trained():
    return models.alexnet("caffe", 3, 67)


def test_a_file_defines_variant_and_number_of_classes(trained, tmp_path):
    ta.save(tmp_path / "weights.safetensors", trained.state_dict(), metadata={"variant": "caffe"})
    model = load_network(tmp_path / "weights.safetensors", image_size=67)
    assert (model.variant, model.fc8.weight.shape) == ("caffe", (3, 4096))
    np.testing.assert_array_equal(model.fc8.weight.numpy(), trained.fc8.weight.numpy())
    with pytest.raises(
        ValueError,
        match=r"variant 'paper' was requested, but the weights in .* are of 'caffe'. Omit it",
    ):
        load_network(tmp_path / "weights.safetensors", "paper")


def test_a_file_that_does_not_name_its_variant_is_refused(trained, tmp_path):
    ta.save(tmp_path / "weights.safetensors", {"fc8.weight": trained.fc8.weight})
    with pytest.raises(
        ValueError,
        match=r"weights\.safetensors does not name its variant. Give one of paper, original",
    ):
        load_network(tmp_path / "weights.safetensors")


def test_a_file_without_weights_is_refused(tmp_path):
    ta.save(tmp_path / "weights.safetensors", {})
    with pytest.raises(
        ValueError,
        match=r"^[^:]*weights\.safetensors contains no weights. Save a model's state_dict",
    ):
        load_network(tmp_path / "weights.safetensors")


@pytest.mark.peers
def test_the_classes_of_an_onnx_file_are_counted_by_its_last_bias(trained, tmp_path):
    pytest.importorskip("onnx")
    models.export_onnx(trained, tmp_path / "weights.onnx")
    model = load_network(tmp_path / "weights.onnx", "caffe", 67)
    np.testing.assert_array_equal(model.fc8.weight.numpy(), trained.fc8.weight.numpy())


def test_published_weights_are_downloaded(tmp_path, monkeypatch):
    requested = []

    def fetch(variant):
        requested.append(variant)
        raise ConnectionError

    monkeypatch.setattr(predicting, "fetch_weights", fetch)
    with pytest.raises(ConnectionError):
        load_network("torchvision")
    assert requested == ["torchvision"]


def test_a_name_of_no_published_weights_is_answered_with_the_names():
    with pytest.raises(
        FileNotFoundError, match="no weights file 'cifar-9pct'.*torchvision.*cifar-18pct"
    ):
        load_network("cifar-9pct")


# The table


def test_the_table_compares_networks_side_by_side(trained):
    original = models.alexnet("original", 3, 67)
    lines = tables.side_by_side([trained, original]).splitlines()
    cells = {line[:14].strip(): line[14:].split() for line in lines[: lines.index("")]}
    assert cells[""] == ["caffe", "original"]
    assert cells["conv1"] == ["96x15x15", "96x15x15"]
    assert cells["after conv1"] == ["RNP", "NPR"]
    assert cells["after conv2"] == ["RNP", "RNSP"]
    assert cells["pooled conv5"] == ["256x1x1", "256x1x1"]
    assert cells["fc8"] == ["3", "3"]
    assert cells["groups"] == ["2", "2"]
    for column, model in enumerate((trained, original)):
        total = model.summary((3, 67, 67)).splitlines()[-1].split()
        assert cells["parameters"][column] == total[1]
        assert cells["multiply-adds"][column] == f"{int(total[2].replace(',', '')) / 1e6:,.1f}"


def test_the_table_fits_100_columns(trained, monkeypatch):
    monkeypatch.setattr(tables, "alexnet", lambda variant, image_size: trained)
    assert max(map(len, tables.models_table().splitlines())) <= 100


def test_a_file_defines_the_options_of_its_network(tmp_path):
    model = models.alexnet("paper", 3, 67, column_lrn=True)
    ta.save(tmp_path / "w.safetensors", model.state_dict(), model.metadata())
    again = load_network(tmp_path / "w.safetensors")
    assert (again.variant, again.image_size, again.norm1.groups) == ("paper", 67, 2)


def test_weights_of_another_network_or_image_size_are_refused(tmp_path):
    ta.save(tmp_path / "quick", models.cifar("quick").state_dict(), {"variant": "cifar-quick"})
    with pytest.raises(
        ValueError,
        match=r"expected the weights of an AlexNet .*, but those in .* are of 'cifar-quick'",
    ):
        load_network(tmp_path / "quick")
    ta.save(tmp_path / "small", models.alexnet("caffe", 3, 67).state_dict(), {"variant": "caffe"})
    with pytest.raises(
        ValueError, match=r"trained with images of another size, add --image-size S"
    ):
        load_network(tmp_path / "small")


def test_weights_that_are_not_finite_are_refused(photo):
    model = models.alexnet("paper", 3, 67)
    model.fc8.bias.data[0] = np.nan
    with pytest.raises(ValueError, match=r"the weights contain NaN or infinity"):
        predicting.predict(model, photo)
