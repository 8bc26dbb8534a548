"""Convolution by whole rows of the output: who gets it, and that it gives what tiles of images give."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import device as devices
from tinyalex import functional as F
from tinyalex.kernels.cpu import gemm
from tinyalex.kernels.cpu.convolution import winograd


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 2, 1), (2, 1, (1, 2)), (3, 0, 1)])
@pytest.mark.parametrize("cut", [True, False])
def test_weights_of_a_layer_that_needs_no_dx_get_the_same_gradients(
    dtype, relu, stride, padding, dilation, cut, rng, monkeypatch
):
    monkeypatch.setattr(devices, "workers", lambda: 2)
    monkeypatch.setattr(devices, "blas_multiplies_without_packing", lambda: cut)
    monkeypatch.setattr(gemm, "UNCOPIED", 65 * 24 * 70)
    x, w, b = (
        rng.standard_normal(shape).astype(dtype) for shape in ((6, 3, 40, 21), (24, 3, 5, 4), (24,))
    )

    def run(image_has_a_gradient, order):
        image = ta.Tensor(x, requires_grad=image_has_a_gradient)
        weight, bias = (ta.Tensor(a, requires_grad=True) for a in (w, b))
        y = F.conv2d(image, weight, bias, stride, padding, dilation, relu=relu)
        dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
        way = type(y.creator.fast).__name__
        y.backward(np.asarray(dy, order=order))
        return way, [y.numpy(), weight.grad, bias.grad]

    one, expected = run(True, "C")
    assert one == "NoneType"
    for order in "CF":
        other, got = run(False, order)
        assert other == "WholeRows"
        for mine, right in zip(got, expected, strict=True):
            np.testing.assert_allclose(
                mine,
                right,
                rtol=1e-3 if dtype == "float32" else 1e-9,
                atol=1e-4 if dtype == "float32" else 1e-10,
            )


def test_whole_rows_are_for_images_with_a_few_channels_and_many_rows(monkeypatch):
    monkeypatch.setattr(devices, "workers", lambda: 2)

    def way(x, w, **options):
        y = F.conv2d(np.zeros(x, "f"), ta.Tensor(np.zeros(w, "f"), requires_grad=True), **options)
        return type(y.creator.fast).__name__

    assert way((4, 3, 40, 40), (8, 3, 5, 5)) == "WholeRows"
    assert way((4, 4, 40, 40), (8, 2, 5, 5), groups=2) == "NoneType"
    assert way((4, 12, 40, 40), (8, 12, 5, 5)) == "NoneType"
    assert way((4, 3, 40, 40), (8, 3, 1, 1)) == "NoneType"
    assert (
        way((4, 3, 80, 80), (8, 3, 5, 5), stride=2) == "NoneType"
    )  # its strips would be larger than twice y
    assert way((4, 3, 5, 40), (8, 3, 5, 5)) == "NoneType"
    assert way((4, 3, 40, 40), (8, 3, 11, 11)) == "NoneType"
    assert way((4, 3, 40, 40), (8, 3, 5, 5), dilation=(2, 1)) == "NoneType"
    before = winograd.setting()
    try:
        winograd.use("off")
        assert way((4, 3, 40, 40), (8, 3, 5, 5)) == "NoneType"
    finally:
        winograd.use(before)
