"""The model of a training step on a GPU (benchmarks/gpu_model.py)."""

import numpy as np
import pytest
from benchmark_scripts import run

pytestmark = pytest.mark.cuda


def test_the_model_counts_the_work_of_a_step_by_layer(tmp_path):
    options = "--variant=quick", "--batch=3", "--card=a100"
    printed, found = run("gpu_model.py", *options, folder=tmp_path)
    rows = {(r["layer"], r["pass"]): r for r in found["rows"]}
    fc1 = rows["fc1", "forward"]
    assert fc1["flop"] == 2 * 3 * 1024 * 64
    # x, w and y of the product; y, b and y of the addition.
    assert fc1["bytes"] == 4 * (3 * 1024 + 64 * 1024 + 3 * 64) + 4 * (64 + 3 * 64)
    assert fc1["gpu_seconds"] == pytest.approx(fc1["bytes"] / 2039e9, rel=1e-4)
    assert fc1["bound"] == "launches"
    assert fc1["seconds"] == pytest.approx(fc1["launches"] * found["launch_seconds"])
    assert rows["update", "backward"]["bytes"] // (4 * 5) == 145_578
    assert rows["data", "forward"]["launches"] >= 1
    # The images need no gradient: half of the products of a backward pass.
    assert rows["conv1", "backward"]["flop"] == rows["conv1", "forward"]["flop"]
    assert rows["conv2", "backward"]["flop"] == 2 * rows["conv2", "forward"]["flop"]
    im2col = {(r["layer"], r["pass"]): r["bytes"][0] for r in found["convolutions"]}
    # conv1's ReLU is applied in the pooling. db is a sum of dy.
    y, bias = 4 * 3 * 32 * 32 * 32, 4 * 32
    assert rows["conv1", "backward"]["bytes"] == im2col["conv1", "dw"] + (y + bias)
    # conv2's bias is read, too. Backward, its ReLU reads y.
    y //= 4
    assert rows["conv2", "forward"]["bytes"] == im2col["conv2", "forward"] + bias
    backward = im2col["conv2", "dw"] + im2col["conv2", "dx"] + y + (y + bias)
    assert rows["conv2", "backward"]["bytes"] == backward
    assert "A model, not a measurement" in printed
    assert "**Work on next:** " in printed


def test_implicit_gemm_reads_the_image_once_per_tile_of_filters(scripts):
    import convolution_forms

    shapes = {"in": 96, "out": 256, "seen": [96, 27, 27], "shape": [256, 27, 27]}
    conv2 = {"name": "conv2", "kind": "conv", "kernel": 5, "groups": 2, "multiply_adds": 7}
    network = {"layers": [{"name": "norm1", "kind": "lrn"}, conv2 | shapes, conv2 | shapes]}
    forward, dw, *_, dx = convolution_forms.passes(network, 2)
    x, y, w, col = 2 * 96 * 27 * 27, 2 * 256 * 27 * 27, 256 * 48 * 25, 2 * 96 * 25 * 27 * 27
    # Two groups: each has two tiles of its 128 filters, and reads its half of x.
    assert forward.implicit_bytes == 4 * (2 * x + w + y)
    assert dw.implicit_bytes == 4 * (2 * x + 19 * y + w)
    assert dx.implicit_bytes == 4 * (y + w + x)
    assert [p.im2col_bytes for p in (forward, dw, dx)] == [
        4 * (x + 2 * col + w + 3 * y),
        4 * (x + 2 * col + w + 3 * y),
        4 * (x + 2 * col + w + y),
    ]
    assert forward.seconds(1.0, 1e30) == (forward.im2col_bytes, forward.implicit_bytes)
    assert forward.seconds(1e30, 1.0) == (2 * 2 * 7, 2 * 2 * 7)


def test_the_first_convolution_has_no_gradient_of_its_input(scripts):
    import convolution_forms
    import networks

    found = [(p.layer, p.which) for p in convolution_forms.passes(networks.describe("quick"), 2)]
    assert found[:5] == [("conv1", "forward"), ("conv1", "dw")] + [
        ("conv2", which) for which in ("forward", "dw", "dx")
    ]


def test_each_ceiling_has_a_source(scripts):
    from gpu_cards import CARDS
    from precision import PRECISIONS

    assert list(CARDS) == ["h100", "a100", "t4", "rtx4090"]
    for card in CARDS.values():
        assert "https://" in card.source
        assert tuple(card.flops) == PRECISIONS
        assert card.flops["half"] > card.flops["float32"]


def test_a_column_of_a_matrix_requests_a_sector_per_element(scripts):
    import requested_bytes

    source = """extern "C" __global__ void scale(const float* x, float* y, int stride) {
      y[threadIdx.x] = 2 * x[stride * threadIdx.x];
    }"""

    class Array(np.ndarray):
        """With the pointer of a CuPy array."""

        @property
        def data(self):
            return type("Memory", (), {"ptr": self.ctypes.data})

    x, y = np.ones(512, "f").view(Array), np.ones(32, "f").view(Array)
    for stride, sectors in ((1, 4 + 4), (8, 32 + 4)):
        launch = "scale", (1,), (32,), (x, y, np.int32(stride))
        found = requested_bytes.of_launch(source, "scale.cu", *launch)
        assert found == 32 * sectors
