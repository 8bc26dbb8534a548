"""The seven variants, and the differences of the 2012 code from the paper."""

from functools import cache

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import models, nn
from tinyalex.models.alexnet_variants import Dropout2012

GROUPED, WHOLE, OWT = (
    (60_965_224, 724_406_816),
    (62_378_344, 1_135_256_096),
    (61_100_840, 714_188_480),
)

FACTS = {
    "paper": (
        GROUPED,
        [(96, 55), (96, 27), (256, 27), (256, 13), (384, 13), (384, 13), (256, 13), (256, 6)],
    ),
    "original": (
        GROUPED,
        [(96, 55), (96, 27), (256, 27), (256, 13), (384, 13), (384, 13), (256, 13), (256, 6)],
    ),
    "single": (
        WHOLE,
        [(96, 55), (96, 27), (256, 27), (256, 13), (384, 13), (384, 13), (256, 13), (256, 6)],
    ),
    "caffe": (
        GROUPED,
        [(96, 55), (96, 27), (256, 27), (256, 13), (384, 13), (384, 13), (256, 13), (256, 6)],
    ),
    "caffenet": (
        GROUPED,
        [(96, 55), (96, 27), (256, 27), (256, 13), (384, 13), (384, 13), (256, 13), (256, 6)],
    ),
    "torchvision": (
        OWT,
        [(64, 55), (64, 27), (192, 27), (192, 13), (384, 13), (256, 13), (256, 13), (256, 6)],
    ),
    "keras": (
        WHOLE,
        [(96, 55), (96, 27), (256, 27), (256, 13), (384, 13), (384, 13), (256, 13), (256, 6)],
    ),
}
"""(parameters, multiply-adds), and (channels, height) after conv1, pool1, conv2, pool2,
conv3, conv4, conv5, pool5."""


@pytest.mark.slow
@pytest.mark.parametrize("variant", models.VARIANTS)
def test_a_variant_has_its_published_parameters_sizes_and_multiply_adds(variant):
    (parameters, work), maps = FACTS[variant]
    model = models.alexnet(variant)
    seen = []
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.MaxPool2d)):
            module.register_forward_hook(
                lambda module, inputs, output: seen.append((output.shape[1], output.shape[2]))
            )
    total = model.summary((3, model.image_size, model.image_size)).splitlines()[-1].split()
    assert total == ["total", f"{parameters:,}", f"{work:,}"]
    assert seen == maps
    assert (model.variant, model.image_size) == (
        variant,
        227 if variant.startswith("caffe") else 224,
    )


def small(variant, **options):
    return models.alexnet(variant, num_classes=10, image_size=67, **options)


@pytest.mark.parametrize("variant", models.VARIANTS)
def test_every_variant_trains_at_another_image_size(variant, rng):
    model = small(variant)
    logits = model(rng.standard_normal((2, 3, 67, 67)).astype("f"))
    ta.functional.cross_entropy(logits, [3, 7]).backward()
    assert logits.shape == (2, 10)
    assert all(p.grad is not None and np.isfinite(p.grad).all() for p in model.parameters())


def test_the_seed_determines_the_initial_values():
    first, second = (models.alexnet("single", 2, 67).state_dict() for _ in range(2))
    ta.manual_seed(0)
    again = models.alexnet("single", 2, 67).state_dict()
    assert all((first[name] == again[name]).all() for name in first)
    assert (first["conv1.weight"] != second["conv1.weight"]).any()


def layers(model):
    return dict(model.named_children())


def deviation(layer):
    return float(layer.weight.data.std())


CONV, HIDDEN = ("conv1", "conv2", "conv3", "conv4", "conv5"), ("fc6", "fc7")

SIGMAS = {
    "paper": dict.fromkeys([*CONV, *HIDDEN, "fc8"], 0.01),
    "original": dict.fromkeys(["conv1", "conv2", *HIDDEN, "fc8"], 0.01)
    | dict.fromkeys(["conv3", "conv4", "conv5"], 0.03),
    "single": dict.fromkeys([*CONV, *HIDDEN, "fc8"], 0.01),
    "caffe": dict.fromkeys([*CONV, "fc8"], 0.01) | dict.fromkeys(HIDDEN, 0.005),
    "caffenet": dict.fromkeys([*CONV, "fc8"], 0.01) | dict.fromkeys(HIDDEN, 0.005),
    "keras": dict.fromkeys([*CONV, *HIDDEN], 0.01) | {"fc8": np.sqrt(2 / (4096 + 10))},  # Glorot's
}
BIASES = {"paper": 1.0, "original": 1.0, "single": 1.0, "caffe": 0.1, "caffenet": 1.0, "keras": 0.0}
"""Biases of conv2, conv4, conv5, fc6 and fc7; all others are 0."""


@pytest.mark.parametrize("variant", SIGMAS)
def test_every_layer_has_the_initial_values_of_its_variant(variant):
    found = {
        name: layer
        for name, layer in layers(small(variant)).items()
        if isinstance(layer, (nn.Conv2d, nn.Linear))
    }
    assert found.keys() == SIGMAS[variant].keys()
    for name, layer in found.items():
        assert deviation(layer) == pytest.approx(SIGMAS[variant][name], rel=0.05), name
        bias = BIASES[variant] if name in ("conv2", "conv4", "conv5", *HIDDEN) else 0.0
        assert set(layer.bias.data.tolist()) == {float(np.float32(bias))}, name


def test_torchvision_has_the_initial_values_of_torch():
    for name, weight in small("torchvision").state_dict().items():
        if name.endswith("weight"):
            assert np.abs(weight).max() == pytest.approx(1 / np.sqrt(weight[0].size), rel=0.01), (
                name
            )


def test_column_lrn_stays_within_each_column():
    whole, columns = small("paper"), small("paper", column_lrn=True)
    assert (whole.norm1.groups, columns.norm1.groups, columns.norm2.groups) == (1, 2, 2)
    x = np.zeros((1, 96, 1, 1), "f")
    x[0, 48] = 100  # the first channel of the second column
    x[0, 47] = 1
    assert columns.norm1(x)[0, 47, 0, 0].item() > whole.norm1(x)[0, 47, 0, 0].item()


@cache
def paper_and_original():
    return layers(small("paper")), layers(small("original"))


class TestOriginalAndPaper:
    """The differences of the 2012 code (layers-145) from the paper."""

    @pytest.fixture
    def both(self):
        return paper_and_original()

    def test_the_same_layers_have_the_same_parameters(self, both):
        paper, original = (
            {
                name: layer
                for name, layer in net.items()
                if isinstance(layer, (nn.Conv2d, nn.Linear))
            }
            for net in both
        )
        assert list(paper) == list(original)
        conv = [name for name in paper if name.startswith("conv")]
        assert [paper[name].weight.shape for name in conv] == [
            original[name].weight.shape for name in conv
        ]

    def test_conv1_has_no_padding_and_its_last_windows_extend_past_the_edge(self, both):
        paper, original = both
        assert (paper["conv1"].padding, paper["conv1"].ceil_mode) == (2, False)
        assert (original["conv1"].padding, original["conv1"].ceil_mode) == (0, True)
        x = np.zeros((1, 3, 224, 224), "f")
        assert paper["conv1"](x).shape == original["conv1"](x).shape == (1, 96, 55, 55)

    def test_norm1_and_pool1_come_before_relu1(self, both):
        assert [list(net)[1:4] for net in both] == [
            ["relu1", "norm1", "pool1"],
            ["norm1", "pool1", "relu1"],
        ]

    def test_lrn_divides_alpha_by_its_size_and_does_not_cross_columns(self, both):
        for name in ("norm1", "norm2"):
            paper, original = (net[name] for net in both)
            assert (paper.alpha_mode, paper.groups) == ("sum", 1)
            assert (original.alpha_mode, original.groups) == ("mean", 2)
            assert (
                (paper.size, paper.alpha, paper.beta, paper.k)
                == (original.size, original.alpha, original.beta, original.k)
                == (5, 1e-4, 0.75, 2.0)
            )

    def test_conv2_has_a_second_norm_within_each_channel(self, both):
        paper, original = both
        assert "cnorm2" not in paper
        assert list(original)[5:9] == ["relu2", "norm2", "cnorm2", "pool2"]
        norm = original["cnorm2"]
        assert (norm.size, norm.alpha, norm.beta, norm.k, norm.alpha_mode) == (
            5,
            1e-3,
            0.75,
            1.0,
            "mean",
        )

    def test_pooling_rounds_up(self, both):
        for name in ("pool1", "pool2", "pool5"):
            assert [net[name].ceil_mode for net in both] == [False, True]

    def test_pool5_comes_before_relu5(self, both):
        paper, original = (list(net) for net in both)
        assert (
            paper.index("relu5") < paper.index("pool5"),
            original.index("relu5") < original.index("pool5"),
        ) == (True, False)

    def test_all_other_attributes_of_the_layers_are_the_same(self, both):
        differ = {
            "conv1": {"padding"},
            "norm1": {"alpha_mode", "groups"},
            "norm2": {"alpha_mode", "groups"},
        }
        for name in both[0].keys() & both[1].keys() - {"drop6", "drop7"}:
            paper, original = (
                {
                    key: value
                    for key, value in vars(net[name]).items()
                    if key not in ("weight", "bias", "ceil_mode", "training")
                }
                for net in both
            )
            assert type(both[0][name]) is type(both[1][name])
            assert {key for key in paper if paper[key] != original[key]} == differ.get(
                name, set()
            ), name

    def test_dropout_halves_in_testing_and_does_not_double_in_training(self, both):
        paper, original = both
        assert (type(paper["drop6"]), type(original["drop6"])) == (nn.Dropout, Dropout2012)
        x = np.ones((4, 1000), "f")
        for dropout, in_training, in_testing in (
            (paper["drop6"], {0.0, 2.0}, 1.0),
            (original["drop6"], {0.0, 1.0}, 0.5),
        ):
            assert set(dropout.train()(x).numpy().ravel().tolist()) == in_training
            assert (dropout.eval()(x).numpy() == in_testing).all()


def test_caffenet_pools_before_normalization():
    assert [list(layers(small(name)))[1:4] for name in ("caffe", "caffenet")] == [
        ["relu1", "norm1", "pool1"],
        ["relu1", "pool1", "norm1"],
    ]


def test_caffe_has_its_biases_and_sigmas():
    caffe, caffenet = layers(small("caffe")), layers(small("caffenet"))
    assert (caffe["conv2"].bias.data[0], caffenet["conv2"].bias.data[0]) == (np.float32(0.1), 1.0)
    for net in (caffe, caffenet):
        assert deviation(net["fc6"]) == pytest.approx(0.005, rel=0.05)
        assert (net["norm1"].alpha_mode, net["norm1"].k) == ("mean", 1.0)


def test_torchvision_has_the_names_of_torch_and_dropout_before_the_linear_layers():
    model = small("torchvision")
    weights = [name for name in model.state_dict() if name.endswith("weight")]
    assert weights == [f"features.{i}.weight" for i in (0, 3, 6, 8, 10)] + [
        f"classifier.{i}.weight" for i in (1, 4, 6)
    ]
    assert [type(layer).__name__ for layer in model.classifier] == [
        "Dropout",
        "Linear",
        "ReLU",
        "Dropout",
        "Linear",
        "ReLU",
        "Linear",
    ]


def test_keras_normalizes_by_the_sum_of_eleven_channels_and_lacks_two_relus():
    net = layers(small("keras"))
    norm = net["norm1"]
    assert (norm.size, norm.alpha, norm.beta, norm.k, norm.alpha_mode) == (11, 1.0, 0.5, 1.0, "sum")
    assert list(net)[9:13] == ["conv3", "conv4", "conv5", "relu5"]
    assert deviation(net["fc8"]) == pytest.approx(np.sqrt(2 / (4096 + 10)), rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"variant": "alexnet"}, ValueError, "expected one of paper, original, single, caffe, caffenet, torchvision, keras, got 'alexnet'"),
        ({"image_size": 20}, ValueError, "alexnet: image_size=20 is too small: "),
        ({"num_classes": 0}, ValueError, "num_classes must be at least 1, got 0"),
        ({"image_size": 2.5}, TypeError, "image_size must be an integer, got 2.5"),
        ({"variant": "caffe", "column_lrn": True}, TypeError, "variant 'caffe' does not have the options column_lrn; 'paper' has column_lrn"),
    ],
)  # fmt: skip
def test_invalid_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        models.alexnet(**arguments)


USUAL_CLASS = """
class AlexNet(nn.Module):
    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(p=dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.features(x)
        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        x = self.classifier(x)
        return x
"""


def test_the_usual_pytorch_class_runs_after_a_change_of_its_imports(rng):
    names = {}
    exec(
        "import tinyalex as torch\nfrom tinyalex import nn\n" + USUAL_CLASS, names
    )  # instead of import torch, import torch.nn as nn
    theirs, ours = names["AlexNet"](num_classes=10).eval(), small("torchvision").eval()
    assert {name: w.shape for name, w in theirs.state_dict().items()} == {
        name: w.shape for name, w in ours.state_dict().items()
    }
    ours.load_state_dict(theirs.state_dict())
    x = rng.standard_normal((2, 3, 67, 67)).astype("f")
    np.testing.assert_array_equal(theirs(x).numpy(), ours(x).numpy())
