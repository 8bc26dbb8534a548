import numpy as np
import pytest

import tinyalex as ta
from tinyalex import device as devices
from tinyalex import functional as F
from tinyalex.device import to_numpy
from tinyalex.functional import convolution
from tinyalex.functional.convolution import Conv2d, conv2d_naive, conv_shape

pytestmark = pytest.mark.anywhere

GEOMETRIES = [
    {"groups": 1, "stride": 1, "padding": 0, "dilation": 1},
    {"groups": 2, "stride": 2, "padding": 1, "dilation": 1},
    {"groups": 4, "stride": 3, "padding": 2, "dilation": 2},
    {"groups": 1, "stride": (1, 2), "padding": (2, 0), "dilation": (1, 2)},
]
geometries = pytest.mark.parametrize(
    "geometry", GEOMETRIES, ids=lambda g: ",".join(map(str, g.values()))
)


def random_layer(rng, groups, dtype=np.float64, images=3):
    shapes = [(images, 8, 9, 10), (4, 8 // groups, 3, 2), (4,)]
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


@geometries
def test_conv2d_equals_its_naive_version(geometry, dtype, rng):
    x, w, b = random_layer(rng, geometry["groups"], dtype)
    pairs = {
        name: v if isinstance(v, tuple) else (v, v)
        for name, v in geometry.items()
        if name != "groups"
    }
    y = F.conv2d(x, w, b, **geometry)
    assert y.dtype == dtype
    np.testing.assert_allclose(
        y.numpy(), conv2d_naive(x, w, b, **pairs, groups=geometry["groups"]), rtol=1e-4, atol=1e-5
    )


def test_the_defaults_are_those_of_the_naive_version(dtype, rng):
    x, w, _ = random_layer(rng, 1, dtype)
    expected = conv2d_naive(x, w)
    assert expected.dtype == dtype
    np.testing.assert_allclose(F.conv2d(x, w).numpy(), expected, rtol=1e-4, atol=1e-5)
    shape = conv_shape(x.shape, w.shape)
    assert (shape.out, shape.groups) == (expected.shape[2:], 1)


@geometries
def test_conv2d_passes_gradcheck(geometry, rng):
    assert ta.gradcheck(
        lambda x, w, b: F.conv2d(x, w, b, **geometry),
        random_layer(rng, geometry["groups"], images=2),
    ).ok


def test_conv2d_without_bias_passes_gradcheck(rng):
    assert ta.gradcheck(
        lambda x, w: F.conv2d(x, w, padding=1), random_layer(rng, 1, images=2)[:2]
    ).ok


def test_tiles_and_threads_do_not_change_the_result(rng, monkeypatch):
    x, w, b = (ta.Tensor(a, requires_grad=True) for a in random_layer(rng, 2, images=7))
    dy = rng.standard_normal((7, 4, 9, 11))
    results = []
    for tile_bytes, threads in [(1 << 30, 1), (1, 1), (1, 3), (60_000, 2)]:
        monkeypatch.setattr(devices.tiles, "MAX_TILE_BYTES", tile_bytes)
        monkeypatch.setattr(devices.tiles, "workers", lambda threads=threads: threads)
        for t in (x, w, b):
            t.grad = None
        y = F.conv2d(x, w, b, padding=1, groups=2)
        y.backward(dy)
        results.append([y.numpy(), *(to_numpy(t.grad) for t in (x, w, b))])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12)


def test_padding_same_keeps_the_size_and_valid_adds_none(rng):
    x = rng.standard_normal((2, 3, 7, 8))
    w = rng.standard_normal((5, 3, 6, 3))
    assert F.conv2d(x, w, padding="same").shape == (2, 5, 7, 8)
    np.testing.assert_array_equal(F.conv2d(x, w, padding="valid").numpy(), F.conv2d(x, w).numpy())
    padded = np.pad(x, [(0, 0), (0, 0), (2, 3), (1, 1)])
    np.testing.assert_allclose(
        F.conv2d(x, w, padding="same").numpy(), F.conv2d(padded, w).numpy(), rtol=1e-12
    )


def test_ceil_mode_reads_zeros_beyond_the_edge_as_the_2012_code_does(rng):
    x = rng.standard_normal((1, 3, 224, 224)).astype("f")
    w = rng.standard_normal((4, 3, 11, 11)).astype("f")
    y = F.conv2d(x, w, stride=4, ceil_mode=True)
    assert y.shape == (1, 4, 55, 55)
    padded = np.pad(x, [(0, 0), (0, 0), (0, 3), (0, 3)])
    np.testing.assert_allclose(
        y.numpy(), F.conv2d(padded, w, stride=4).numpy(), rtol=1e-4, atol=1e-4
    )


def test_the_output_of_a_single_image_has_no_batch_dimension(rng):
    x, w, b = random_layer(rng, 1)
    np.testing.assert_array_equal(F.conv2d(x[0], w, b).numpy(), F.conv2d(x[:1], w, b).numpy()[0])


def test_no_images_give_no_outputs_and_zero_gradients(rng):
    x, w, b = (ta.Tensor(a, requires_grad=True) for a in random_layer(rng, 2, images=0))
    y = F.conv2d(x, w, b, groups=2)
    y.sum().backward()
    assert (y.shape, x.grad.shape) == ((0, 4, 7, 9), x.shape)
    assert not w.grad.any()
    assert not b.grad.any()


def test_the_memory_order_of_the_input_does_not_matter(rng):
    x, w, b = random_layer(rng, 2)
    other = np.asfortranarray(x)[:, ::-1][:, ::-1]
    np.testing.assert_array_equal(
        F.conv2d(x, w, b, groups=2).numpy(), F.conv2d(other, w, b, groups=2).numpy()
    )


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((1, 3, 8, 8), (64, 5, 3, 3)), {}, r"input has 3 channels, but weight \(64, 5, 3, 3\) with groups=1 expects 5\.\nGive the input 5 channels, or the weight shape \(64, 3, 3, 3\)"),
        (((1, 3, 8, 8), (4, 2, 3, 3)), {"groups": 2}, r"Give the input 4 channels\.$"),
        (((1, 4, 8, 8), (6, 1, 3, 3)), {"groups": 0}, "groups must be at least 1, got 0"),
        (((1, 4, 8, 8), (6, 1, 3, 3)), {"groups": 4}, "groups=4 does not divide the 6 filters"),
        (((1, 4, 8, 8), (8, 4, 3)), {}, r"weight has shape \(8, 4, 3\), expected \(O, C/groups, KH, KW\)"),
        (((8, 8), (8, 4, 3, 3)), {}, r"input has shape \(8, 8\), expected \(N, C, H, W\)"),
        (((1, 4, 2, 2), (8, 4, 3, 3)), {}, "a window of 3 x 3 pixels does not fit into an image of 2 x 2"),
        (((1, 4, 8, 8), (8, 4, 3, 3), (4,)), {}, r"bias has shape \(4,\), but weight .* has 8 outputs"),
        (((1, 4, 8, 8), (8, 4, 3, 3)), {"stride": 0}, "stride must be at least 1, got 0"),
        (((1, 4, 8, 8), (8, 4, 3, 3)), {"padding": -1}, "padding must be at least 0"),
        (((1, 4, 8, 8), (8, 4, 3, 3)), {"padding": "full"}, "padding='full', expected an integer, a pair, 'same' or 'valid'"),
        (((1, 4, 8, 8), (8, 4, 3, 3)), {"padding": "same", "stride": 2}, "padding='same' needs stride 1"),
    ],
)  # fmt: skip
def test_conv2d_names_shapes_and_options_that_do_not_match(shapes, options, message):
    with pytest.raises(ValueError, match=rf"^conv2d: [\s\S]*{message}"):
        F.conv2d(*(np.zeros(shape) for shape in shapes), **options)


def test_conv2d_rejects_mixed_and_integer_dtypes():
    x, w = np.zeros((1, 3, 8, 8), "f"), np.zeros((4, 3, 3, 3))
    with pytest.raises(TypeError, match="conv2d: input is float32, but weight is float64"):
        F.conv2d(x, w)
    with pytest.raises(
        TypeError,
        match=r"conv2d: input is uint8, but must be floating. Convert it: input.astype\('float32'\)",
    ):
        F.conv2d(x.astype("u1"), w)
    with pytest.raises(TypeError, match="conv2d: weight is None. Give a tensor or an array"):
        F.conv2d(w, None)
    with pytest.raises(TypeError, match=r"stride must be an integer or a pair, got 1\.5"):
        F.conv2d(w, w, stride=1.5)
    with pytest.raises(TypeError, match=r"groups must be an integer, got 2\.0"):
        F.conv2d(w, w, groups=2.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])  # Winograd and im2col, on the CPU
@pytest.mark.parametrize("bias", [True, False])
def test_fused_relu_equals_a_separate_relu_bit_for_bit(dtype, bias, rng):
    arrays = [
        rng.standard_normal(shape).astype(dtype)
        for shape in ((20, 32, 13, 13), (48, 32, 3, 3), (48,))
    ][: 2 + bias]
    arrays[0][0, 0, 0, 0] = np.nan
    dy = rng.standard_normal((20, 48, 13, 13)).astype(dtype)

    def run(f):
        tensors = [ta.Tensor(a, requires_grad=True) for a in arrays]
        y = f(*tensors)
        y.backward(ta.Tensor(dy).data)
        return [devices.to_numpy(a) for a in (y.data, *(t.grad for t in tensors))]

    fused = run(lambda *a: F.conv2d(*a, padding=1, relu=True))
    separate = run(lambda *a: F.relu(F.conv2d(*a, padding=1)))
    for one, other in zip(fused, separate, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.isnan(fused[0]).any()
    assert (fused[0] == 0).mean() > 0.4


def test_conv2d_with_relu_passes_gradcheck(rng):
    arrays = (
        rng.standard_normal((2, 4, 6, 5)),
        rng.standard_normal((6, 2, 3, 3)),
        rng.standard_normal(6),
    )
    assert ta.gradcheck(
        lambda *a: F.conv2d(*a, stride=2, padding=1, groups=2, relu=True), arrays
    ).ok


NORM = {"size": 5, "alpha": 0.5, "k": 2.0, "alpha_mode": "sum", "groups": 2}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "shapes", [((3, 4, 13, 13), (8, 2, 3, 3)), ((20, 32, 9, 9), (48, 16, 3, 3))]
)
def test_with_norm_it_equals_the_three_layers(shapes, bias, dtype, rng):
    arrays = [rng.standard_normal(s).astype(dtype) for s in (*shapes, shapes[1][:1])][: 2 + bias]
    results = []
    for f in (
        lambda *a: F.conv2d(*a, padding=1, groups=2, relu=True, norm=NORM),
        lambda *a: F.local_response_norm(F.relu(F.conv2d(*a, padding=1, groups=2)), **NORM),
    ):
        leaves = [ta.Tensor(a, requires_grad=True) for a in arrays]
        y = f(*leaves)
        dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
        y.backward(ta.Tensor(dy).data)
        results.append([devices.to_numpy(a) for a in (y.data, *(t.grad for t in leaves))])
    for one, other in zip(*results, strict=True):
        tolerance = 2e-2 if dtype == "float16" else 2e-5  # sums in another order
        scale = abs(other).max()
        np.testing.assert_allclose(one / scale, other / scale, rtol=0, atol=tolerance)


def test_conv2d_with_norm_passes_gradcheck(rng):
    arrays = [rng.standard_normal(shape) for shape in ((2, 4, 6, 5), (6, 2, 3, 3), (6,))]
    options = {"stride": 2, "padding": 1, "groups": 2, "relu": True, "norm": NORM}
    assert ta.gradcheck(lambda *a: F.conv2d(*a, **options), arrays).ok


def test_a_norm_that_does_not_fit_is_named(rng):
    x, w = np.zeros((1, 2, 5, 5)), np.zeros((3, 2, 3, 3))
    with pytest.raises(
        ValueError, match=r"conv2d: norm needs relu=True\. Apply local_response_norm"
    ):
        F.conv2d(x, w, norm=NORM)
    with pytest.raises(ValueError, match="response_norm: groups=2 does not divide the 3 channels"):
        F.conv2d(x, w, relu=True, norm=NORM)


@pytest.mark.parametrize("wants_dx", [False, True])
@pytest.mark.parametrize("channels", [3, 16])
def test_an_empty_batch_has_an_empty_output_and_zero_gradients(dtype, channels, wants_dx):
    x = ta.Tensor(np.empty((0, channels, 12, 12), dtype), requires_grad=wants_dx)
    w = ta.Tensor(np.ones((32, channels, 5, 5), dtype), requires_grad=True)
    y = F.conv2d(x, w, padding=2)
    assert y.shape == (0, 32, 12, 12)
    y.sum().backward()
    assert (w.grad == 0).all()
    assert not wants_dx or x.grad.shape == x.shape


def test_only_the_gradients_that_are_needed_are_computed(rng):
    arrays = random_layer(rng, 1)
    for needed in range(3):
        y = F.conv2d(*(ta.Tensor(a, requires_grad=i == needed) for i, a in enumerate(arrays)))
        gradients = y.creator.backward(y.data)
        assert [i for i, g in enumerate(gradients) if g is not None] == [needed]


def test_only_a_recorded_input_that_requires_a_gradient_wants_one(rng, monkeypatch):
    """What the selection of the algorithm is told."""
    wanted = []

    def select(shape, dtype, device, wants_dx):
        wanted.append(wants_dx)
        return Conv2d

    monkeypatch.setattr(convolution, "conv_algorithm", select)
    x, w, b = random_layer(rng, 1)
    leaf = ta.Tensor(x, requires_grad=True)
    F.conv2d(x, w, b)
    F.conv2d(leaf, w, b)
    with ta.no_grad():
        F.conv2d(leaf, w, b)
    assert wanted == [False, True, False]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_size_of_tiles_counts_all_bytes_of_their_workspace(dtype, rng):
    x, w, _ = (ta.Tensor(a).data for a in random_layer(rng, 2, dtype))
    layer = Conv2d()
    layer.x, layer.shape = x, conv_shape(x.shape, w.shape, stride=2, groups=2)
    scratch = devices.Scratch(devices.xp(x))
    assert layer.bytes_each() == layer.columns(scratch, 1).nbytes + layer.product(scratch, 1).nbytes
