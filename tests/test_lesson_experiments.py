"""The experiments of lessons 17 and 21, on few images, and their recorded results."""

import json

import numpy as np
import pytest
from made_images import class_folders

import tinyalex as ta
from tinyalex import data, nn
from tinyalex.course import ablations, lesson, ten_classes


@pytest.fixture
def few_images():
    train, test = data.shapes(96, 32)
    return ablations.Split(train[:64], train[64:], test)


@pytest.mark.parametrize(
    ("variant", "lacks"),
    [
        ("tanh", nn.ReLU),
        ("no LRN", nn.LocalResponseNorm),
        ("no dropout", nn.Dropout),
        ("all five", nn.Tanh),
    ],
)
def test_a_variant_lacks_its_layer_only(variant, lacks):
    kinds = {type(layer) for layer in ablations.network(variant)}
    every = {type(layer) for layer in ablations.network("all five")} | {nn.Tanh}
    expected = every - {lacks} - ({nn.Tanh} if variant != "tanh" else set())
    assert kinds == expected


@pytest.mark.parametrize("variant", ablations.VARIANTS)
def test_all_variants_have_the_same_initial_weights(variant):
    ta.manual_seed(3)
    weights = ablations.network(variant).state_dict()
    ta.manual_seed(3)
    expected = ablations.network(ablations.ALL).state_dict()
    for ours, other in zip(weights.values(), expected.values(), strict=True):
        assert np.array_equal(ours, other)
    assert ablations.network(variant)(ta.Tensor(np.zeros((2, 3, 32, 32), "f"))).shape == (2, 10)


def test_a_run_is_repeatable_and_depends_on_seed_and_variant(few_images, monkeypatch):
    monkeypatch.setattr(ablations, "EPOCHS", 3)
    runs = [("all five", 0), ("all five", 0), ("all five", 1), ("no augmentation", 0)]
    one, same, *others = (ablations.train(v, seed, 0.01, few_images, "cpu") for v, seed in runs)
    assert one == same
    assert all(other["training_loss"] != one["training_loss"] for other in others)
    assert set(one) == {
        f"{name}_{measure}" for name in few_images._fields for measure in ("error", "loss")
    }


def test_training_validation_and_test_images_are_different(monkeypatch):
    monkeypatch.setattr(ablations, "TRAINING", 20)
    monkeypatch.setattr(ablations, "VALIDATION", 10)
    train, test = data.shapes(40, 5)
    images = ablations.split(train, test)
    assert [len(part) for part in images] == [20, 10, 5]
    seen = {image.tobytes() for part in images for image in part.images}
    assert len(seen) == 35


@pytest.fixture
def fake_training(monkeypatch):
    """Runs that take no time: 0.03 is the better rate for tanh. Returns their list."""
    done = []

    def train(variant, seed, lr, images, device_name, measured):
        done.append((variant, seed, lr))
        error = 0.3 if (variant == "tanh") == (lr == 0.03) else 0.4
        errors = {"training_error": 0.2, "validation_error": error, "test_error": 0.5}
        return {f"{name}_error": errors[f"{name}_error"] for name in measured}

    monkeypatch.setattr(ablations, "train", train)
    monkeypatch.setattr(data, "cifar10", lambda: data.shapes(40, 5))
    return done


def test_the_rate_is_chosen_by_the_validation_error(fake_training, tmp_path):
    ablations.experiment(tmp_path / "results.json")
    compared = {(variant, lr) for variant, seed, lr in fake_training if seed in ablations.SEEDS}
    assert compared == {(v, 0.03 if v == "tanh" else 0.01) for v in ablations.VARIANTS}


def test_the_test_images_are_not_used_while_a_rate_is_chosen(fake_training, tmp_path, capsys):
    content = ablations.experiment(tmp_path / "results.json")
    tested = {run["phase"]: "test_error" in run for run in content["runs"]}
    assert tested == {"rate": False, "compare": True}
    chosen = [line for line in capsys.readouterr().out.splitlines() if "rate " in line]
    assert len(chosen) == 4
    assert all("validation error" in line for line in chosen)


def test_only_the_measured_images_are_evaluated(few_images, monkeypatch):
    monkeypatch.setattr(ablations, "EPOCHS", 1)
    result = ablations.train("tanh", 0, 0.01, few_images, "cpu", ("training", "validation"))
    measures = {
        f"{name}_{kind}" for name in ("training", "validation") for kind in ("error", "loss")
    }
    assert set(result) == measures


def test_an_experiment_is_not_continued_on_another_device(fake_training, tmp_path):
    file = tmp_path / "results.json"
    content = ablations.experiment(file)
    assert ablations.experiment(file, "cuda") == content  # no run is missing
    lesson.record(file, content | {"runs": content["runs"][:5], "date": "2012-12-03"})
    with pytest.raises(
        ValueError, match=r"its machine is '.*, cpu', that of this run is '.*, cuda'"
    ):
        ablations.experiment(file, "cuda")
    assert len(ablations.experiment(file)["runs"]) == len(content["runs"])


def test_an_interrupted_experiment_continues(fake_training, tmp_path, monkeypatch):
    file = tmp_path / "results.json"
    train, count = ablations.train, 0

    def interrupted(*arguments):
        nonlocal count
        count += 1
        if count == 8:
            raise KeyboardInterrupt
        return train(*arguments)

    monkeypatch.setattr(ablations, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ablations.experiment(file)
    assert len(json.loads(file.read_text())["runs"]) == 7
    content = ablations.experiment(file)
    assert len(fake_training) == len(set(fake_training)) == len(content["runs"]) == 34
    assert content == json.loads(file.read_text())


def test_the_recorded_results_of_lesson_17_are_those_of_the_whole_experiment(monkeypatch, tmp_path):
    recorded = lesson.results("17_cifar10")
    file = tmp_path / "results.json"
    file.write_text(json.dumps(recorded))
    monkeypatch.setattr(data, "cifar10", lambda: data.shapes(40, 5))
    monkeypatch.setattr(ablations, "train", None)  # no run is missing
    assert ablations.experiment(file) == recorded


@pytest.mark.fuzz
def test_ten_classes_are_trained_evaluated_and_recorded(tmp_path, monkeypatch):
    class_folders(tmp_path / ten_classes.FOLDER, classes=("a", "b", "c", "d", "e", "f"))
    monkeypatch.setenv("TINYALEX_DATA", str(tmp_path))
    options = ("--image-size", "67", "--resize", "72", "--epochs", "1", "--batch-size", "6")
    file = tmp_path / "results.json"
    output = str(tmp_path / "run")
    results = ten_classes.experiment(file, (*options, "--output", output))
    assert results == json.loads(file.read_text())
    assert results.keys() >= lesson.results("21_imagenet").keys() - {"commit", "note"}
    for views in ("one_view", "ten_views"):
        assert results[views].keys() == lesson.results("21_imagenet")[views].keys()
    assert [epoch["epoch"] for epoch in results["epochs"]] == [1]
    resumed = ten_classes.experiment(file, (*options, "--output", output))
    assert resumed == {key: value for key, value in results.items() if key != "seconds"}


def test_a_failed_run_of_ten_classes_raises(tmp_path, monkeypatch):
    class_folders(tmp_path / ten_classes.FOLDER)
    monkeypatch.setenv("TINYALEX_DATA", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"train_imagenet.py .* exit status"):
        ten_classes.experiment(tmp_path / "results.json", ("--epochs", "0", "--output", "run"))


def test_results_outside_of_the_repository_are_explained(tmp_path, monkeypatch):
    monkeypatch.setattr(lesson, "REPOSITORY", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="Clone tinyalex's repository"):
        lesson.results("17_cifar10")
