"""One process, a column of the network on each of two devices."""

import numpy as np
import parallel_steps
import pytest

import tinyalex as ta
from tinyalex import models, training


@pytest.mark.parametrize("name", ["alexnet", "paper"])
def test_two_devices_compute_what_one_does(name):
    steps = 7 if name == "alexnet" else 2
    network, size = parallel_steps.network(name)
    reference = parallel_steps.train(training.Scheme(network, "cpu"), "float64", size, steps)
    network, size = parallel_steps.network(name)
    columns = training.Scheme(models.Columns(network, ("cpu", "cpu")), "cpu")
    found = parallel_steps.differences(
        reference, parallel_steps.train(columns, "float64", size, steps)
    )
    assert found["parameters"] < 1e-9
    assert found["velocities"] < 1e-9
    assert found["confusion"]


def test_each_device_holds_one_column():
    whole = models.alexnet("paper", 10, 67, column_lrn=True)
    parts = models.alexnet("paper", 10, 67, column_lrn=True, devices=("cpu", "cpu"))
    for column in parts.columns:
        shapes = [
            getattr(column, name).weight.shape for name in ("conv1", "conv2", "conv3", "conv4")
        ]
        assert shapes == [(48, 3, 11, 11), (128, 48, 5, 5), (192, 256, 3, 3), (192, 192, 3, 3)]
        assert [len(getattr(column, name).bias) for name in ("conv5", "fc6", "fc7", "fc8")] == [
            128,
            2048,
            2048,
            5,
        ]
    assert parts.state_shapes() == whole.state_shapes()
    assert parts.metadata() == whole.metadata()


def test_a_state_of_two_devices_opens_on_one_and_back(tmp_path):
    options = {"num_classes": 3, "image_size": 67, "column_lrn": True}
    parts = models.alexnet("paper", **options, devices=("cpu", "cpu"))
    ta.save(tmp_path / "w.safetensors", parts.state_dict(), parts.metadata())
    whole = models.alexnet("paper", **options)
    models.load_weights(whole, tmp_path / "w.safetensors")
    x = np.random.default_rng(0).standard_normal((2, 3, 67, 67)).astype("f")
    np.testing.assert_allclose(whole.eval()(x).numpy(), parts.eval()(x).numpy(), rtol=1e-5)
    for p in parts.parameters():
        p.data[...] = 0
    models.load_weights(parts, tmp_path / "w.safetensors")
    for name, array in whole.state_dict().items():
        np.testing.assert_array_equal(parts.state_dict()[name], array)


def test_networks_that_cannot_be_divided_say_why():
    with pytest.raises(ValueError, match="norm1 normalizes across the columns.*column_lrn=True"):
        models.alexnet("paper", 10, 67, devices=("cpu", "cpu"))
    with pytest.raises(ValueError, match="does not have 2 columns: no convolution has 2 groups"):
        models.alexnet("torchvision", 10, 67, devices=("cpu", "cpu"))
    with pytest.raises(ValueError, match="at least two columns, got 1"):
        models.alexnet("paper", 10, 67, column_lrn=True, devices=("cpu",))
    with pytest.raises(ValueError, match="'quick' has no columns"):
        models.cifar("quick", column_lrn=True)
    parts = models.cifar("alexnet", column_lrn=True, devices=("cpu", "cpu"))
    with pytest.raises(ValueError, match="The columns are on cpu, cpu"):
        parts.to("cpu")
    with pytest.raises(ValueError, match="fc8.bias is missing"):
        parts.load_state_dict({})
