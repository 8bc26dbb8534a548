"""The benchmarks that train networks for CIFAR-10, or read runs of train_cifar.py."""

import json
import subprocess
import sys

import numpy as np
import pytest
from benchmark_scripts import BENCHMARKS, run

import tinyalex as ta
from tinyalex import models, nn
from tinyalex.models.prediction import load_classifier


def test_relu_and_tanh_train_until_the_target(tmp_path):
    options = ("--data=shapes", "--subset=256", "--target=0.85", "--rates=0.02,0.01", "--epochs=4")
    printed, found = run("relu_against_tanh.py", *options, folder=tmp_path)
    assert [(r["activation"], r["lr"]) for r in found["runs"]] == [
        (name, lr) for name in ("relu", "tanh") for lr in (0.02, 0.01)
    ]
    assert any(r["epochs"] is not None for r in found["runs"])
    for r in found["runs"]:
        errors = [error for _, error in r["curve"]]
        assert all(error > 0.85 for error in errors[:-1])
        assert r["epochs"] is None or errors[-1] <= 0.85
    assert "epochs to 85 % training error" in printed
    # Stopped after two runs, of which it now keeps the results.
    file = tmp_path / "found.json"
    kept = found["runs"][0] | {"epochs": 3.5}
    file.write_text(json.dumps(found | {"runs": [kept, found["runs"][1]]}))
    _, resumed = run("relu_against_tanh.py", *options, "--resume", folder=tmp_path)
    assert resumed["runs"][0] == kept
    assert resumed["runs"][1:] == found["runs"][1:]
    command = [sys.executable, str(BENCHMARKS / "relu_against_tanh.py"), *options, "--subset=200"]
    command += ["--resume", "--output", str(tmp_path), "--name=found"]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert "has images 256, expected 200" in refused.stderr


def test_rates_without_a_result_are_labelled(scripts, tmp_path, monkeypatch, recwarn):
    import relu_against_tanh as benchmark

    run = {"activation": "relu", "lr": 0.1, "epochs": None, "diverged": False, "limit": 4.0}
    runs = [run | {"curve": [[0.1, 0.9]]}, run | {"lr": 9.0, "diverged": True, "curve": []}]
    runs += [r | {"activation": "tanh"} for r in runs]
    found = {"target": 0.25, "images": 9, "machine": benchmark.machine.describe(), "runs": runs}
    text = benchmark.as_text(found)
    assert text.count("> 4.0") == text.count("diverged") == 2
    figures = []
    monkeypatch.setattr(benchmark.report, "write_figure", lambda figure, _: figures.append(figure))
    benchmark.draw(found, tmp_path / "a.png")
    (axes,) = figures[0].axes
    labels = [label.get_text() for label in axes.get_legend().get_texts()]
    assert labels == ["relu, rate 0.1", "tanh, rate 0.1"]
    benchmark.draw(found | {"runs": runs[1::2]}, tmp_path / "a.png")  # all diverged
    assert not recwarn.list


@pytest.mark.parametrize("script", ["relu_against_tanh.py", "cifar_recipes.py"])
def test_wrong_data_end_in_a_message(script, tmp_path):
    command = [sys.executable, BENCHMARKS / script, "--data", tmp_path / "none"]
    command += ["run"] if script == "cifar_recipes.py" else []
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{script}: cifar10: there is no ")


def finished_run(folder, recipe, **options):
    """The output folder of train_cifar.py, with an untrained network."""
    folder.mkdir()
    model = models.cifar(recipe, **options)
    metadata = {"variant": f"cifar-{recipe}"}
    if recipe != "18pct":
        metadata |= {"image_size": "24", "lrn": str(int(options["lrn"]))}
    ta.save(folder / "model.safetensors", model.state_dict(), metadata)
    mean = np.full((3, 32, 32), 120, np.float32)
    ta.save(folder / "preprocessing.safetensors", {"mean": mean, "scale": np.float32(1)})
    head = "epoch,lr,train_error,valid_error,images_per_second,seconds"
    (folder / "log.csv").write_text(f"{head}\n1,0.1,0.9,nan,5,1800\n2,0.01,0.5,nan,7,1800\n")
    return model


def test_recipes_are_tested_as_trained_and_rounded(tmp_path):
    finished_run(tmp_path / "one", "18pct")
    model = finished_run(tmp_path / "two", "11pct", lrn=True)
    options = ("one", "two", "--data=shapes", "--subset=30", "--weights=small")
    printed, found = run("cifar_recipes.py", *options, folder=tmp_path)
    one, two = found["runs"]
    assert [len(one["errors"]), len(two["errors"]), one["lrn"], two["lrn"]] == [1, 2, False, True]
    assert (two["epochs"], two["hours"], two["train_error"]) == (2, 1, 0.5)
    assert one["small_bytes"] < two["small_bytes"] < 1_000_000
    assert "| two" in printed
    printed, again = run(
        "cifar_recipes.py", "two", "--data=shapes", "--subset=30", "--add", folder=tmp_path
    )
    assert [each["run"] for each in again["runs"]] == ["one", "two"]
    assert again["runs"][0] == one
    assert "| one" in printed
    with nn.init.skipped():
        other = models.cifar("11pct")
    models.load_weights(other, tmp_path / "small" / "two" / "best.safetensors")
    loaded, options = load_classifier(tmp_path / "small" / "two" / "best.safetensors")
    assert (len(options["names"]), options["preprocess"].size) == (10, 24)
    assert str(loaded) == str(other)
    for name, weight in model.state_dict().items():
        error = np.linalg.norm(other.state_dict()[name] - weight)
        assert error <= 0.25 * np.linalg.norm(weight), name


def test_small_files_of_recipes_have_different_names_and_less_than_1_mb(
    scripts, tmp_path, monkeypatch
):
    import cifar_recipes

    def main(*runs):
        options = ("--data=shapes", "--subset=2", "--weights=small", "--output=out")
        monkeypatch.setattr("sys.argv", ["cifar_recipes.py", *runs, *options])
        return cifar_recipes.main()

    finished_run(tmp_path / "one", "18pct")
    (tmp_path / "other").mkdir()
    finished_run(tmp_path / "other" / "one", "18pct")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"expected folders with different names, .*'one', 'one'"):
        main("one", "other/one")
    monkeypatch.setattr(cifar_recipes, "MAX_SMALL_BYTES", 10_000)
    with pytest.raises(ValueError, match=r"best\.safetensors has 1.*, expected less than 10,000"):
        main("one")
    monkeypatch.setattr(cifar_recipes, "MAX_SMALL_BYTES", 1_000_000)
    (tmp_path / "small" / "one" / "best.safetensors").unlink()
    monkeypatch.chdir(tmp_path / "one")
    main(".")
    assert (tmp_path / "one" / "small" / "one" / "best.safetensors").is_file()
