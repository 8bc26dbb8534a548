"""Predictions with the weights of CIFAR networks: one file has all that they need."""

import numpy as np
import pytest
from PIL import Image

import tinyalex as ta
from tinyalex import cli, data, models
from tinyalex.functional import softmax
from tinyalex.models import cifar_weights
from tinyalex.models.prediction import load_classifier, load_network, predict
from tinyalex.training.checkpoint import Run

NAMES = ("ant", "bee", "cow")


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)


@pytest.fixture
def saved(tmp_path, rng):
    """(model, mean, a function that saves it with changed metadata)."""
    model = models.cifar("quick", 3)
    mean = rng.uniform(50, 200, (3, 32, 32)).astype("f")

    def save(name="quick", **changed):
        entries = cifar_weights.metadata(name, NAMES, mean, 1 / 60) | changed
        entries = {key: text for key, text in entries.items() if text is not None}
        ta.save(tmp_path / "w.safetensors", model.state_dict(), entries)
        return tmp_path / "w.safetensors"

    return model, mean, save


def file_of(image, path, size=(32, 32)):
    Image.fromarray(image.transpose(1, 2, 0)).resize(size).save(path)
    return path


def test_a_prediction_is_that_of_the_test(saved, images, tmp_path):
    model, mean, save = saved
    loaded, options = load_classifier(save())
    assert options["names"] == NAMES
    logits = model.eval()(data.Normalize(mean, 1 / 60)(images))
    for image, expected in zip(images, softmax(logits, 1).numpy(), strict=True):
        prediction = predict(loaded, file_of(image, tmp_path / "a.png"), **options)
        np.testing.assert_allclose(
            [dict(prediction.classes)[n] for n in NAMES], expected, rtol=1e-5
        )
        np.testing.assert_array_equal(prediction.image, image.transpose(1, 2, 0))


def test_a_crop_and_ten_views_are_those_of_training(images, tmp_path, rng):
    model, mean = models.cifar("13pct", 3, lrn=True), rng.uniform(50, 200, (3, 32, 32)).astype("f")
    entries = cifar_weights.metadata("13pct", NAMES, mean, 1.0, 24, lrn="1")
    ta.save(tmp_path / "w.safetensors", model.state_dict(), entries)
    loaded, options = load_classifier(tmp_path / "w.safetensors")
    assert str(loaded) == str(model)  # with LRN, which is no default
    file, preprocess = file_of(images[0], tmp_path / "a.png"), options["preprocess"]
    centre, views = data.Normalize(mean, 1.0, 24), data.TenViews(mean, 1.0, size=24)
    np.testing.assert_array_equal(preprocess(file), centre(images[:1]))
    np.testing.assert_array_equal(preprocess.views(file), views(images[:1])[0])
    predicted = dict(predict(loaded, file, views=10, **options).classes)
    expected = softmax(model.eval()(views(images[:1])[0]), 1).numpy().mean(axis=0)
    np.testing.assert_allclose([predicted[name] for name in NAMES], expected, rtol=1e-4)


@pytest.mark.parametrize("size", [(32, 32), (301, 200), (10, 90)])
def test_the_command_takes_images_of_any_size(saved, images, tmp_path, capsys, size):
    _, _, save = saved
    file = file_of(images[0], tmp_path / "a.png", size)
    assert cli.main(["predict", str(file), "--weights", str(save())]) == 0
    assert sorted(line.split()[0] for line in capsys.readouterr().out.splitlines()[1:4]) == list(
        NAMES
    )


def test_columns_are_an_option_of_the_network(tmp_path):
    model = models.cifar("alexnet", 2, column_lrn=True)
    mean = np.zeros((3, 32, 32), "f")
    entries = cifar_weights.metadata("alexnet", ("a", "b"), mean, 1.0, column_lrn="1")
    ta.save(tmp_path / "w", model.state_dict(), entries)
    loaded, _ = load_classifier(tmp_path / "w")
    assert loaded.norm1.groups == 2


def test_files_without_a_mean_image_need_that_of_the_run(saved, images, tmp_path):
    _, mean, save = saved
    old = save(classes=None, mean=None, scale=None, image_size=None)
    with pytest.raises(ValueError, match="no usable preprocessing") as error:
        load_classifier(old)
    assert str(error.value) == (
        f"{old} has no usable preprocessing (a mean image and a scale): neither in its "
        f"metadata nor in {tmp_path / 'preprocessing.safetensors'}.\nCopy preprocessing.safetensors "
        "from the folder of its run, or train again."
    )
    for scale in (np.float32(0), np.zeros((2, 2), "f")):
        ta.save(tmp_path / "preprocessing.safetensors", {"mean": mean, "scale": scale})
        with pytest.raises(ValueError, match=r": in .*preprocessing\.safetensors, .*\nCopy"):
            load_classifier(old)
    ta.save(tmp_path / "preprocessing.safetensors", {"mean": mean, "scale": np.float32(1 / 60)})
    loaded, options = load_classifier(old)
    file = file_of(images[0], tmp_path / "a.png")
    assert predict(loaded, file, **options).classes[0][0].startswith("class ")
    np.testing.assert_array_equal(options["preprocess"].mean, mean)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mean": "%"}, "there is no square mean image"),
        ({"mean": ""}, "there is no square mean image"),
        ({"mean": "AAAA" * 8}, "there is no square mean image"),
        ({"mean": "AAAA" * 10**6}, "there is no square mean image"),
        ({"mean": "////" * 4096}, "the mean image has values other than numbers"),
        ({"scale": None}, "or no scale"),
        ({"scale": "nan"}, "the scale is nan"),
        ({"scale": "0"}, "the scale is 0; expected more than 0"),
        ({"scale": "1e300"}, r"the scale is 1e\+300; .* at most 1e\+06"),
    ],
)
def test_a_wrong_preprocessing_is_refused(saved, changed, message):
    _, _, save = saved
    with pytest.raises(ValueError, match=rf"no usable .*: in its metadata, .*{message}") as error:
        load_classifier(save(**changed))
    assert "Error" not in str(error.value)
    assert "Copy" not in str(error.value)  # metadata precede the file in the folder


@pytest.mark.parametrize("size", ["16", "33", "-1", "9" * 5000, "x", "000032", "0", "", "\u0663"])
def test_images_of_another_size_than_the_networks_are_refused(saved, size):
    _, _, save = saved
    with pytest.raises(ValueError, match=r"but cifar-quick has images of 32 x 32") as error:
        load_classifier(save(image_size=size))
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    ("name", "option"), [("alexnet", "column_lrn"), ("13pct", "lrn"), ("11pct", "lrn")]
)
def test_options_of_a_network_are_0_or_1(saved, name, option):
    _, _, save = saved
    with pytest.raises(ValueError, match=f"expected {option} in the metadata .* got 'true'"):
        load_classifier(save(name, **{option: "true"}))


@pytest.mark.parametrize(("classes", "inputs"), [(50_000, 1), (3, 50_000), (0, 64), (50_000, 0)])
def test_a_last_layer_with_other_inputs_is_refused_before_the_network_is_built(
    saved, monkeypatch, classes, inputs
):
    model, _, save = saved
    arrays = model.state_dict()
    arrays |= {"fc2.weight": np.ones((classes, inputs), "f"), "fc2.bias": np.ones(classes, "f")}
    assert_no_large_network(save(), arrays, monkeypatch)


def test_a_last_layer_with_strides_of_0_is_refused_before_the_network_is_built(saved, monkeypatch):
    model, _, save = saved
    one = np.ones(1, "f")
    last = {
        "fc2.weight": np.broadcast_to(one, (10**9, 64)),
        "fc2.bias": np.broadcast_to(one, 10**9),
    }
    assert_no_large_network(save(), model.state_dict() | last, monkeypatch)


def assert_no_large_network(file, arrays, monkeypatch):
    found = models.read_weights(file)._replace(arrays=arrays)
    built = cifar_weights.cifar

    def build(name, classes, **options):
        assert classes == 1
        return built(name, classes, **options)

    monkeypatch.setattr(cifar_weights, "cifar", build)
    with pytest.raises(ValueError, match="does not have the last layer of cifar-quick"):
        cifar_weights.load_cifar(file, found)


def test_of_a_run_the_file_for_predictions_is_named(saved, tmp_path):
    model, _, save = saved
    save().rename(tmp_path / "best.safetensors")
    with pytest.raises(ValueError, match=r"regular file\. Give .*best\.safetensors\.$"):
        load_classifier(tmp_path)
    (tmp_path / "best.safetensors").unlink()
    with pytest.raises(ValueError, match=r"is not a regular file\.$"):
        load_classifier(tmp_path)
    optimizer = ta.optim.SGD(model.parameters(), lr=0.1)
    run = Run(model, optimizer, None, {})
    ta.save(tmp_path / "checkpoint.safetensors", run.state_dict())
    with pytest.raises(
        ValueError, match=r"is a checkpoint\. Give best\.safetensors or model\.safetensors in its"
    ):
        load_classifier(tmp_path / "checkpoint.safetensors")


def test_other_networks_options_and_names_are_refused(saved):
    _, _, save = saved
    with pytest.raises(ValueError, match="of 'cifar-vgg'; expected one of cifar-quick, cifar-al"):
        load_classifier(save("vgg"))
    with pytest.raises(ValueError, match="are of 'cifar-quick'. Omit the variant and the image"):
        load_classifier(save(), "paper")
    with pytest.raises(ValueError, match="expected the names of 3 classes in the metadata"):
        load_classifier(save(classes="[1]"))
    with pytest.raises(ValueError, match="does not have the last layer of cifar-alexnet"):
        load_classifier(save("alexnet"))
    with pytest.raises(ValueError, match="expected the weights of an AlexNet"):
        load_network(save())
