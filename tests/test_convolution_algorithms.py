"""The selection of a convolution algorithm, the switch for fast paths, the plan."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import device as devices
from tinyalex import functional as F
from tinyalex import models, nn
from tinyalex.functional.convolution import conv_algorithm, conv_shape
from tinyalex.kernels.fast_paths import switch


def algorithm(x, w, dtype="float32", wants_dx=True, device="cpu", **options):
    return conv_algorithm(conv_shape(x, w, **options), np.dtype(dtype), device, wants_dx).__name__


IMAGES, FILTERS = (8, 32, 13, 13), (32, 32, 3, 3)


@pytest.mark.parametrize(
    ("x", "w", "options"),
    [
        (IMAGES, FILTERS, {"dilation": 2, "padding": 1}),
        (IMAGES, (32, 32, 1, 1), {}),
        (IMAGES, (32, 32, 3, 5), {"padding": 1}),
        (IMAGES, FILTERS, {"stride": (1, 2), "padding": 1}),
        (IMAGES, FILTERS, {"padding": 3}),
        ((8, 3, 32, 32), (32, 3, 5, 5), {"padding": 2}),
        ((8, 32, 13, 13), (16, 16, 3, 3), {"groups": 2}),
        ((1, 32, 13, 13), FILTERS, {"padding": 1}),
    ],
    ids=[
        "dilated", "1x1", "not square", "two strides", "padding of a kernel", "three channels",
        "eight filters a group", "a single small image",
    ],
)  # fmt: skip
def test_im2col_is_selected_for_other_windows_and_small_batches(x, w, options):
    assert algorithm(x, w, **options) == "Conv2d"


def test_winograd_is_selected_for_float32_on_the_cpu_only():
    assert algorithm(IMAGES, FILTERS, padding=1) == "Winograd"
    assert algorithm(IMAGES, FILTERS, padding=1, dtype="float64") == "Conv2d"
    assert algorithm(IMAGES, FILTERS, padding=1, device="cuda") == "Conv2d"


def test_rowwise_is_selected_for_images_with_few_channels_and_many_rows(monkeypatch):
    monkeypatch.setattr(devices, "workers", lambda: 2)

    def rowwise(x, w, **options):
        return algorithm(x, w, wants_dx=False, **options) == "RowWise"

    x, w = (4, 3, 40, 40), (8, 3, 5, 5)
    assert rowwise(x, w)
    assert algorithm(x, w) == "Conv2d"  # dx is needed
    assert not rowwise(x, w, dtype="float64")
    assert not rowwise((4, 4, 40, 40), (8, 2, 5, 5), groups=2)
    assert not rowwise((4, 12, 40, 40), (8, 12, 5, 5))
    assert not rowwise(x, (8, 3, 1, 1))
    assert not rowwise((4, 3, 80, 80), w, stride=2)  # strips would be larger than twice y
    assert not rowwise((4, 3, 5, 40), w)
    assert not rowwise(x, (8, 3, 11, 11))
    assert not rowwise(x, w, dilation=(2, 1))


def test_conv2d_runs_the_algorithm_that_conv_algorithm_returns(monkeypatch, rng):
    monkeypatch.setattr(devices, "workers", lambda: 2)
    for x, w in (
        (IMAGES, FILTERS),
        ((4, 3, 40, 40), (8, 3, 5, 5)),
        ((1, 16, 5, 5), (16, 16, 3, 3)),
    ):
        for wants_dx in (True, False):
            image = ta.Tensor(np.zeros(x, "f"), requires_grad=wants_dx)
            y = F.conv2d(image, ta.Tensor(np.zeros(w, "f"), requires_grad=True))
            assert type(y.creator).__name__ == algorithm(x, w, wants_dx=wants_dx)


def test_fast_false_selects_im2col():
    def used():
        y = F.conv2d(np.zeros(IMAGES, "f"), ta.Tensor(np.zeros(FILTERS, "f"), requires_grad=True))
        return type(y.creator).__name__

    assert used() == "Winograd"
    with ta.fast(False):
        assert used() == "Conv2d"
        with ta.fast(True):
            assert used() == "Winograd"
        assert used() == "Conv2d"
    assert used() == "Winograd"
    try:
        ta.set_fast(False)
        assert used() == "Conv2d"
    finally:
        ta.set_fast(True)
    assert used() == "Winograd"


@pytest.mark.parametrize(("value", "expected"), [("0", "False"), ("1", "True"), ("", "True")])
def test_the_environment_variable_sets_the_switch_of_a_process(value, expected):
    program = "import tinyalex as ta; from tinyalex.kernels.fast_paths import switch; print(switch.enabled)"
    environment = os.environ | {"TINYALEX_FAST": value}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.stdout.strip() == expected, result.stderr


def plan(model, **options):
    table = model.summary((3, model.image_size, model.image_size), **options)
    return {line.split()[0]: line.split("  ")[-1].strip() for line in table.splitlines()[1:-1]}


def test_the_summary_names_algorithms_and_fusions():
    with nn.init.skipped():
        model = models.alexnet("torchvision")
    rows = plan(model, batch_size=128)
    assert rows["features.0"] == "Winograd F(5x5, 3x3)"
    assert rows["features.1"] == "fused with features.2"
    assert rows["features.3"] == "Winograd F(4x4, 5x5)"
    assert rows["features.7"] == "fused with features.6"
    assert plan(model, batch_size=1)["features.6"] == "im2col"
    assert plan(model, batch_size=128, dtype="float64")["features.6"] == "im2col"
    assert plan(model, batch_size=128, device="cuda")["features.6"] == "im2col"
    with ta.fast(False):
        rows = plan(model, batch_size=128)
    assert rows["features.0"] == "im2col"
    assert "fused" not in "".join(rows.values())


def test_fast_contexts_nest_recurse_and_belong_to_their_thread():
    @ta.fast(False)
    def recursive(depth):
        return recursive(depth - 1) if depth else switch.enabled

    assert not recursive(2)
    assert switch.enabled
    off = ta.fast(False)
    with off:
        with off:
            pass
        assert not switch.enabled
    assert switch.enabled
    entered, left = threading.Event(), threading.Event()

    def other():
        with ta.fast(False):
            entered.set()
            left.wait(20)

    thread = threading.Thread(target=other)
    thread.start()
    assert entered.wait(20)
    with ta.fast(False):
        left.set()
        thread.join()
        assert not switch.enabled
    assert switch.enabled


def test_the_plan_is_for_the_dtype_of_the_parameters():
    model = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1))
    assert "Winograd" in model.summary((16, 32, 32), batch_size=8)
    assert "im2col" in model.to("float64").summary((16, 32, 32), batch_size=8)


def test_the_plan_follows_the_graph():
    """Inputs that need no gradient: in a branch, or after frozen layers."""

    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Conv2d(3, 16, 3), nn.Conv2d(3, 16, 3)

        def forward(self, x):
            return self.left(x=x) + self.right(x)

    assert Branches().summary((3, 32, 32), batch_size=8).count("row-wise") == 1
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 32, 3))
    assert net.summary((3, 32, 32), batch_size=8).count("row-wise") == 1
    for p in net[0].parameters():
        p.requires_grad = False
    assert net.summary((3, 32, 32), batch_size=8).count("row-wise") == 2
    with ta.no_grad():
        assert net.summary((3, 32, 32), batch_size=8).count("row-wise") == 2


def test_the_plan_shows_only_the_fusions_that_are_computed():
    relu = nn.ReLU()
    twice = nn.Sequential(nn.Conv2d(3, 8, 3), relu, nn.LocalResponseNorm(3), relu)
    assert twice.summary((3, 16, 16), batch_size=8).count("fused with") == 1

    class Unfused(nn.Sequential):
        def forward(self, x):
            for layer in self:
                x = layer(x)
            return x

    plain = Unfused(nn.Conv2d(3, 8, 3), nn.ReLU())
    assert "fused with" not in plain.summary((3, 16, 16), batch_size=8)

    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu = nn.ReLU()
            self.conv = nn.Conv2d(3, 8, 3)
            self.head = nn.Sequential(nn.Conv2d(8, 8, 3), self.relu)

        def forward(self, x):
            return self.relu(self.conv(x))

    assert "fused with" not in Auxiliary().summary((3, 16, 16), batch_size=8)


def test_the_plan_of_an_unknown_device_is_refused():
    net = nn.Sequential(nn.Conv2d(3, 8, 3))
    with pytest.raises(ValueError, match="expected the device cpu, cuda or cuda:1, got 'gpu'"):
        net.summary((3, 16, 16), batch_size=8, device="gpu")
    assert "im2col" in net.summary((3, 16, 16), batch_size=8, device="cuda:1")


def test_another_value_of_the_environment_variable_is_ignored_with_a_warning():
    program = "import tinyalex as ta; ta.nn.Conv2d(3, 4, 3)(ta.Tensor([[[[1.0] * 9] * 9] * 3]))"
    environment = os.environ | {"TINYALEX_FAST": "off"}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert "TINYALEX_FAST: expected 0 or 1, got 'off'. It is ignored." in result.stderr
    assert result.returncode == 0
