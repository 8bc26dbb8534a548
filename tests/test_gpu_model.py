"""The model of a training step on a GPU (benchmarks/gpu_model.py)."""

import json

import numpy as np
import pytest
from benchmark_scripts import BENCHMARKS, run

from tinyalex.emulator.cuda.work_records import Work
from tinyalex.kernels.cuda import source_files

pytestmark = pytest.mark.cuda


def layer_bytes(channels, filters, size):
    """Of x, the columns, w, y and the bias of a 5 x 5 convolution of 3 images."""
    x, y, w = 3 * channels * size**2, 3 * filters * size**2, filters * channels * 25
    return [4 * n for n in (x, 25 * x, w, y, filters)]


def test_the_model_counts_the_work_of_a_step_by_layer(tmp_path):
    options = "--variant=quick", "--batch=3", "--card=a100"
    printed, found = run("gpu_model.py", *options, folder=tmp_path)
    rows = {(r["layer"], r["pass"]): r for r in found["rows"]}
    fc1 = rows["fc1", "forward"]
    assert fc1["flop"] == 2 * 3 * 1024 * 64
    # x, w and y of the product; y, b and y of the addition.
    assert fc1["bytes"] == 4 * (3 * 1024 + 64 * 1024 + 3 * 64) + 4 * (64 + 2 * 3 * 64)
    assert fc1["gpu_seconds"] == pytest.approx(fc1["bytes"] / 2039e9, rel=1e-4)
    assert fc1["bound"] == "launches"
    assert fc1["seconds"] == pytest.approx(fc1["launches"] * found["launch_seconds"])
    assert rows["update", "backward"]["bytes"] // (4 * 5) == 145_578
    assert rows["data", "forward"]["launches"] >= 1
    # The images need no gradient: half of the products of a backward pass.
    assert rows["conv1", "backward"]["flop"] == rows["conv1", "forward"]["flop"]
    assert rows["conv2", "backward"]["flop"] == 2 * rows["conv2", "forward"]["flop"]
    # conv1's ReLU is applied in the pooling.
    x, col, w, y, bias = layer_bytes(3, 32, 32)
    forms = {(r["layer"], r["pass"]): r["bytes"] for r in found["convolutions"]}
    assert forms["conv1", "forward"] == [x + 2 * col + w + 3 * y + bias, x + w + y + bias]
    # Its columns are kept; db is a sum of three segments.
    assert forms["conv1", "backward"][0] == col + w + 3 * y + 3 * bias + (3 * bias + bias)
    # conv2 has a ReLU, which reads y in the backward pass, and a dx.
    x, col, w, y, bias = layer_bytes(32, 32, 16)
    assert forms["conv2", "forward"] == [x + 2 * col + w + 3 * y + bias, x + w + y + bias]
    im2col, implicit = forms["conv2", "backward"]
    assert im2col == x + 3 * col + 2 * w + 5 * y + bias
    # The ReLU, dx, db, and dw, whose parts are written and read by their sum.
    parts, rest = divmod(implicit - 3 * y - (y + w + x) - (y + bias) - (x + y + w), 2 * w)
    assert (parts > 1, rest) == (True, 0)
    assert [r["flop"] for r in found["convolutions"]] == [
        rows[r["layer"], r["pass"]]["flop"] for r in found["convolutions"]
    ]
    # Columns are moved by im2col and two products; for dx by a product and col2im.
    found_columns = {r["layer"]: (r["bytes"], r["moved_bytes"]) for r in found["columns"]}
    assert found_columns["conv2"] == (col, 5 * col)
    assert found_columns["conv1"][1] == 3 * found_columns["conv1"][0]
    assert "A model, not a measurement" in printed
    assert "**Work on next:** " in printed


PAPER_MEGABYTES = {
    "data": (103,),
    "conv1": (1950, 1460),
    "pool1": (194, 194),
    "conv2": (2310, 3400),
    "pool2": (124, 124),
    "conv3": (525, 794),
    "conv4": (734, 1110),
    "conv5": (700, 1030),
    "pool5": (29, 29),
    "fc6": (163, 322),
    "fc7": (76, 149),
    "fc8": (21, 39),
    "loss": (1.1, 1.1),
}
"""Bounds of the traffic of `paper` with 128 images, forward and backward."""


def test_the_traffic_of_the_paper_network_is_bounded_by_layer(tmp_path, tell):
    options = "--variant=paper", "--batch=128", "--card=h100"
    printed, found = run("gpu_model.py", *options, folder=tmp_path)
    bounds = {
        (layer, which): 1e6 * size
        for layer, sizes in PAPER_MEGABYTES.items()
        for which, size in zip(("forward", "backward"), sizes, strict=False)
    } | {("update", "backward"): 1.22e9, ("other", "backward"): 0.52e6}
    rows = {(r["layer"], r["pass"]): r["bytes"] for r in found["rows"]}
    assert rows.keys() == bounds.keys()
    beyond = {key: size for key, size in rows.items() if not 0 < size <= bounds[key]}
    assert not beyond
    tell(
        "paper, batch 128, MB per step by layer: "
        + ", ".join(f"{layer} {which} {size / 1e6:.4g}" for (layer, which), size in rows.items())
    )
    # z of norm1 is written and read, as is its gradient.
    first = found["norms"][0]
    assert (first["layer"], first["uses"]) == ("norm1 + pool1", 1.5**2)
    assert first["bytes"] == 4 * 4 * 128 * 96 * 55 * 55
    assert first["seconds"] == pytest.approx(first["bytes"] / 3.35e12, rel=1e-3)
    assert "Saved, at most: " in printed


@pytest.mark.parametrize("precision", ["float32", "tf32", "half"])
def test_implicit_gemm_has_the_float32_peak_in_each_precision(scripts, precision):
    from convolution_forms import compared
    from gpu_cards import Card
    from recorded_step import Row

    card = Card("", 1.0, 1.0, {"float32": 1.0, "tf32": 10.0, "half": 100.0}, "")
    dtype = "float16" if precision == "half" else "float32"
    im2col = Row("conv", "backward", [Work("gemm", 3, 4000, dtype), Work("gemm", 3, 4000, dtype)])
    implicit = Row(
        "conv",
        "backward",
        [Work("conv2d_input_grad<T>", 5000), Work("conv2d_weight_grad<T>", 3), Work("sum", 7)],
    )
    (found,) = compared([im2col], [implicit, Row("pool", "forward", [])], card, precision)
    assert found["flop"] == 8000
    assert found["bytes"] == [6, 5010]
    assert found["seconds"] == [8000 / card.flops[precision], 5000 + 4000 + 7]


def test_a_norm_that_im2col_computes_is_a_part_of_both_forms(scripts):
    from convolution_forms import compared
    from gpu_cards import Card
    from recorded_step import Row

    card = Card("", 1.0, 1.0, {"float32": 1.0, "tf32": 1.0, "half": 1.0}, "")
    im2col = [Row("conv", which, [Work("gemm", 3, 40)]) for which in ("forward", "backward")]
    forward = [
        Row("conv", "forward", [Work("conv2d<T>", 5)]),
        Row("norm", "forward", [Work("lrn<T>", 7)]),
    ]
    backward = [
        Row("norm", "backward", [Work("lrn_backward<T>", 11)]),
        Row("conv", "backward", [Work("conv2d_weight_grad<T>", 13)]),
    ]
    found = compared(im2col, [*forward, *backward], card, "float32")
    assert [r["bytes"] for r in found] == [[3, 5 + 7], [3, 11 + 13]]


def test_columns_cost_the_traffic_that_a_cache_would_save(scripts):
    import convolution_forms
    from gpu_cards import LAUNCH_SECONDS, Card
    from recorded_step import Row

    layer = {"name": "conv", "kind": "conv", "in": 3, "kernel": 5, "shape": [7, 2, 2]}
    network = {"layers": [layer, {"name": "pool", "kind": "pool"}]}
    size = 2 * 10 * 3 * 25 * 4  # of float16
    works = [Work("im2col<T>", size + 5), Work("gemm", size + 50, 60, "float16"), Work("sum", 9)]
    rows = [Row("conv", "forward", works), Row("pool", "forward", [Work("pool", 1000)])]
    card = Card("", 1.0, size - 2, {"float32": 1.0, "tf32": 1.0, "half": 1.0}, "")
    (found,) = convolution_forms.columns(network, 10, rows, card, "half")
    assert (found["bytes"], found["moved_bytes"], found["tiles"]) == (size, 2 * size, 3)
    assert found["seconds"] - found["cached_seconds"] == 2 * size - 10
    assert found["host_seconds"] == pytest.approx(3 * 3 * LAUNCH_SECONDS)


def test_requests_that_no_cache_serves_take_longer(scripts):
    from gpu_cards import Card
    from recorded_step import Row
    from requested_bytes import uncached_seconds

    card = Card("", 1.0, 1.0, {"float32": 1.0, "tf32": 1.0, "half": 1.0}, "")
    rows = [Row("conv", "forward", [Work("im2col<T>", 10), Work("gemm", 3, 40)])]
    requests = [
        {"layer": "conv", "pass": "forward", "kernel": "im2col<T>", "bytes": 2, "requested": 7},
        {"layer": "conv", "pass": "backward", "kernel": "im2col<T>", "bytes": 2, "requested": 9},
    ]
    assert uncached_seconds(rows, requests, card, "float32") == 35 + 40


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


def test_the_kernels_of_the_committed_model_exist():
    found = json.loads((BENCHMARKS / "results" / "gpu-model-paper.json").read_text("utf-8"))
    kernels = {name for file in source_files.files() for name in source_files.signatures(file)}
    names = {name for row in found["rows"] for name in row["kernels"]}
    names |= {row["kernel"] for row in found["requests"]}
    other = "cupy_", "gemm", "copy "
    assert {name.partition("<")[0] for name in names if not name.startswith(other)} <= kernels
