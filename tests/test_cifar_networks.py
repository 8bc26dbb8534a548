"""cuda-convnet's networks: published sizes, initial weights, and options."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import models, nn

pytestmark = pytest.mark.anywhere

RECIPES = ["18pct", "13pct", "11pct"]


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("18pct", {}, 89_578),
        ("13pct", {}, 1_116_490),
        ("13pct", {"image_size": 32}, 1_901_386),
        ("13pct", {"lrn": True}, 1_116_490),
        ("11pct", {}, 2_112_970),
        ("11pct", {"lrn": False}, 2_112_970),
    ],
)
def test_the_networks_have_the_published_numbers_of_parameters(name, options, parameters, rng):
    with nn.init.skipped():
        model = models.cifar(name, **options)
    assert sum(p.size for p in model.parameters()) == parameters
    size = options.get("image_size", 32 if name == "18pct" else 24)
    x = rng.standard_normal((2, 3, size, size)).astype("f")
    with ta.no_grad():
        assert model(x).shape == (2, 10)


@pytest.mark.parametrize("name", RECIPES)
def test_the_initial_weights_have_the_published_sigmas(name):
    expected = {"conv1": 1e-4, "local3": 0.04, "local4": 0.04}
    for parameter, p in models.cifar(name).named_parameters():
        layer, _, kind = parameter.partition(".")
        values = p.numpy()
        if kind == "bias":
            assert not values.any()
        else:
            np.testing.assert_allclose(values.std(), expected.get(layer, 0.01), rtol=0.05)


def kinds(name, **options):
    with nn.init.skipped():
        return [type(layer).__name__ for layer in models.cifar(name, **options)]


def test_lrn_is_the_only_difference_of_the_pair():
    without, with_lrn = kinds("13pct"), kinds("13pct", lrn=True)
    assert [kind for kind in with_lrn if kind != "LocalResponseNorm"] == without
    assert with_lrn == kinds("11pct")
    assert without == kinds("11pct", lrn=False) == kinds("13pct", lrn=False)


def test_the_order_of_the_layers_is_cuda_convnets():
    conv, relu, pool, norm = "Conv2d", "ReLU", "MaxPool2d", "LocalResponseNorm"
    local, end = ["LocallyConnected2d", relu], ["Flatten", "Linear"]
    first, second = [conv, relu, pool, norm], [conv, relu, norm, pool]
    assert kinds("11pct") == [*first, *second, *local, *local, *end]
    average, norm = "AvgPool2d", "SpatialResponseNorm"
    first, second = [conv, pool, relu, norm], [conv, relu, average, norm]
    assert kinds("18pct") == [*first, *second, conv, relu, average, *end]


def test_errors_name_the_option_that_a_network_does_not_have():
    with pytest.raises(ValueError, match="'18pct' does not have the option lrn. '13pct' and"):
        models.cifar("18pct", lrn=True)
    with pytest.raises(ValueError, match="'quick' is for image_size=32, got 24"):
        models.cifar("quick", image_size=24)
    with pytest.raises(ValueError, match="image_size must be at least 1, got 0"):
        models.cifar("11pct", image_size=0)
