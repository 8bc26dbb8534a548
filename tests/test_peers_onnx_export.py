"""ONNX files: ONNX Runtime computes the same outputs, and weights are read back."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import models, nn
from tinyalex.models.alexnet_variants import Dropout2012

onnx = pytest.importorskip("onnx", reason="onnx is not installed: make test-peers installs it")
onnxruntime = pytest.importorskip(
    "onnxruntime", reason="onnxruntime is not installed: make test-peers installs it"
)

pytestmark = pytest.mark.peers


def run(path, images):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["images"]
    return session.run(["logits"], {"images": images})[0]


def logits_of(model, images):
    with ta.no_grad():
        return model.eval()(images).numpy()


def assert_close(ours, theirs):
    """Compares with a tolerance of 1e-4 times the largest value."""
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())


def randomized(model, rng):
    """Sets weights that preserve the scale of activations, and nonzero biases."""
    for p in model.parameters():
        sigma = np.sqrt(2 / np.prod(p.shape[1:])) if p.ndim > 1 else 0.1
        p.data[...] = sigma * rng.standard_normal(p.shape, np.float32)
    return model


@pytest.mark.parametrize(
    ("variant", "image_size", "options"),
    [
        ("paper", 224, {}),
        ("paper", 71, {"column_lrn": True}),
        ("original", 68, {}),
        ("original", 90, {}),
        ("single", 67, {}),
        ("caffe", 68, {}),
        ("caffenet", 79, {}),
        ("torchvision", 224, {}),
        ("keras", 99, {}),
    ],
)
def test_every_variant_has_its_logits_in_onnx_runtime_and_is_read_back(
    variant, image_size, options, tmp_path, rng
):
    classes = 1000 if image_size == 224 else 10
    model = randomized(models.alexnet(variant, classes, image_size, **options), rng)
    images = 50 * rng.standard_normal((2, 3, image_size, image_size), np.float32)
    path = tmp_path / "model.onnx"
    models.export_onnx(model, path)
    assert_close(run(path, images), logits_of(model, images))

    before = model.state_dict()
    for p in model.parameters():
        p.data[...] = np.nan
    models.load_weights(model, path)
    for name, p in model.named_parameters():
        assert np.array_equal(p.numpy(), before[name]), name

    file = onnx.load(path)
    assert {entry.key: entry.value for entry in file.metadata_props} == model.metadata()
    assert (file.graph.name, file.producer_name, file.opset_import[0].version) == (
        variant,
        "tinyalex",
        17,
    )
    shapes = [
        [d.dim_param or d.dim_value for d in io.type.tensor_type.shape.dim]
        for io in (*file.graph.input, *file.graph.output)
    ]
    assert shapes == [["N", 3, image_size, image_size], ["N", classes]]
    assert models.read_weights(path).variant == variant


@pytest.mark.parametrize("name", ["quick", "alexnet"])
def test_the_cifar_networks_have_their_logits_in_onnx_runtime(name, tmp_path, rng):
    model = randomized(models.cifar(name), rng)
    images = rng.standard_normal((5, 3, 32, 32), np.float32)
    models.export_onnx(model, tmp_path / "x.onnx", image_size=32)
    assert_close(run(tmp_path / "x.onnx", images), logits_of(model, images))


LAYERS = {
    "conv strided": nn.Conv2d(
        4, 6, (3, 5), stride=(2, 3), padding=(1, 2), dilation=(2, 1), groups=2
    ),
    "conv same": nn.Conv2d(4, 6, (4, 3), padding="same", dilation=(1, 2), bias=False),
    "conv valid": nn.Conv2d(4, 6, 3, padding="valid"),
    "conv ceil": nn.Conv2d(4, 6, 5, stride=3, padding=1, ceil_mode=True),
    "relu": nn.ReLU(),
    "tanh": nn.Tanh(),
    "sigmoid": nn.Sigmoid(),
    "softmax": nn.Softmax(1),
    "max_pool": nn.MaxPool2d(3, 2, 1),
    "max_pool ceil": nn.MaxPool2d((2, 3), 3, ceil_mode=True),
    "max_pool dilated": nn.MaxPool2d(3, 2, 1, 2, ceil_mode=True),
    "avg_pool": nn.AvgPool2d(3, 2, 1),
    "avg_pool ceil": nn.AvgPool2d(3, 2, ceil_mode=True),
    "avg_pool padded ceil": nn.AvgPool2d(4, 3, 2, ceil_mode=True),
    "avg_pool without padding": nn.AvgPool2d(
        (2, 3), 2, (1, 0), ceil_mode=True, count_include_pad=False
    ),
    "avg_pool override": nn.AvgPool2d(3, divisor_override=4),
    "adaptive": nn.AdaptiveAvgPool2d((5, None)),
    "adaptive one": nn.AdaptiveAvgPool2d(1),
    "zero_pad": nn.ZeroPad2d((3, 0, 2, 1)),
    "zero_pad cut": nn.ZeroPad2d((-1, 0, 2, -3)),
    "lrn": nn.LocalResponseNorm(3, alpha=0.5, beta=0.5, k=2.0),
    "lrn sum in groups": nn.LocalResponseNorm(5, alpha=0.5, alpha_mode="sum", groups=2),
    "spatial_norm": nn.SpatialResponseNorm(3, alpha=0.5),
    "spatial_norm even sum": nn.SpatialResponseNorm(
        4, alpha=0.1, beta=0.5, k=2.0, alpha_mode="sum"
    ),
    "dropout": nn.Dropout(0.9),
    "dropout 2012": Dropout2012(0.9),
    "flatten": nn.Flatten(),
    "flatten positions": nn.Flatten(2),
    "flatten and linear": nn.Sequential(nn.Flatten(), nn.Linear(4 * 10 * 10, 3)),
    "linear without bias": nn.Sequential(nn.Flatten(), nn.Linear(4 * 10 * 10, 3, bias=False)),
    "nested": nn.Sequential(nn.Sequential({"logits": nn.ReLU(), "images": nn.Tanh()}), nn.ReLU()),
    "empty": nn.Sequential(),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_has_its_output_in_onnx_runtime(layer, tmp_path, rng):
    """For four channels of 10 x 10 values, after an identity convolution."""
    first = nn.Conv2d(4, 4, 1, bias=False)
    first.weight.data[...] = np.eye(4)[:, :, None, None]
    model = nn.Sequential({"first": first, "layer": LAYERS[layer]})
    images = rng.standard_normal((3, 4, 10, 10), np.float32)
    models.export_onnx(model, tmp_path / "x.onnx", 10)
    np.testing.assert_allclose(
        run(tmp_path / "x.onnx", images), logits_of(model, images), rtol=1e-5, atol=1e-6
    )


def test_parameters_of_a_layer_that_is_used_twice_are_stored_once(tmp_path, rng):
    conv = nn.Conv2d(3, 3, 3, padding=1)
    model = nn.Sequential(conv, nn.ReLU(), conv)
    images = rng.standard_normal((2, 3, 6, 6), np.float32)
    models.export_onnx(model, tmp_path / "x.onnx", 6)
    assert [tensor.name for tensor in onnx.load(tmp_path / "x.onnx").graph.initializer] == [
        "0.weight",
        "0.bias",
    ]
    np.testing.assert_allclose(
        run(tmp_path / "x.onnx", images), logits_of(model, images), rtol=1e-5, atol=1e-6
    )


def test_modes_are_restored_and_an_error_keeps_the_old_file(tmp_path):
    (tmp_path / "x.onnx").write_text("old")
    model = nn.Sequential(nn.Dropout(), nn.AdaptiveAvgPool2d(4))
    with pytest.raises(ValueError, match="an image_size that they divide evenly"):
        models.export_onnx(model, tmp_path / "x.onnx", 10)
    assert (tmp_path / "x.onnx").read_text() == "old"
    models.export_onnx(model, tmp_path / "x.onnx", 8)
    assert all(module.training for module in model.modules())


class Doubled(nn.Sequential):
    def forward(self, x):
        return super().forward(x) * 2


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"a": nn.CrossEntropyLoss()}, "export_onnx: a is a CrossEntropyLoss, which has no translation. Expected a Sequential of the layers in tinyalex.nn."),
        ({"a": nn.Sequential({"b": Doubled(nn.ReLU())})}, "export_onnx: a.b is a Doubled, which has no translation."),
        ({"a": nn.AdaptiveAvgPool2d(3)}, "export_onnx: a, AdaptiveAvgPool2d(3): the 3 x 3 windows differ in size on an input of 10 x 10, which ONNX does not support."),
        ({"a": nn.LocalResponseNorm(4)}, "export_onnx: a, LocalResponseNorm(4, alpha=0.0001, beta=0.75, k=1.0, alpha_mode='mean', groups=1): ONNX Runtime supports LRN for odd sizes"),
        ({"a": nn.Linear(10, 2)}, "export_onnx: a, Linear(10, 2): expected an input (N, features), got (1, 3, 10, 10). Put a Flatten before it."),
        ({"a": nn.Flatten(0)}, "export_onnx: a, Flatten(): it flattens the batch axis"),
    ],
)  # fmt: skip
def test_layers_that_onnx_does_not_support_are_refused(layers, message, tmp_path):
    with pytest.raises(ValueError, match=".") as info:
        models.export_onnx(nn.Sequential(layers), tmp_path / "x.onnx", 10)
    assert str(info.value).startswith(message)


def test_an_image_size_and_float32_are_required(tmp_path):
    with pytest.raises(
        ValueError, match="the image size of a Sequential is not known. Give image_size."
    ):
        models.export_onnx(nn.Sequential(nn.ReLU()), tmp_path / "x.onnx")
    with pytest.raises(
        ValueError,
        match="expected a float32 network, got float64. Convert it: model.to\\('float32'\\).",
    ):
        models.export_onnx(nn.Sequential(nn.Conv2d(3, 1, 1)).to("float64"), tmp_path / "x.onnx", 10)


# Graphs of other programs

FLOAT = onnx.TensorProto.FLOAT
W, B = np.arange(6, dtype="f").reshape(2, 3) + 1, np.array([0.5, -0.5], "f")


def write(path, nodes, arrays, inputs=("x",)):
    node = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [node(*arguments, **options) for arguments, options in nodes],
        "g",
        [onnx.helper.make_tensor_value_info(name, FLOAT, None) for name in inputs],
        [onnx.helper.make_tensor_value_info("y", FLOAT, None)],
        [
            a if isinstance(a, onnx.TensorProto) else onnx.numpy_helper.from_array(a, name)
            for name, a in arrays.items()
        ],
    )
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    return path


def loaded(path, outputs=2):
    model = nn.Sequential(nn.Linear(3, outputs))
    models.load_weights(model, path)
    return model[0]


@pytest.mark.parametrize(
    ("nodes", "arrays"),
    [
        ([(("Gemm", ["x", "w", "b"], ["y"]), {"transB": 1})], {"w": W, "b": B}),
        ([(("Gemm", ["x", "w", "b"], ["y"]), {})], {"b": B, "w": W.T}),
        (
            [(("MatMul", ["x", "w"], ["z"]), {}), (("Add", ["z", "b"], ["y"]), {})],
            {"w": W.T, "b": B},
        ),
        (
            [(("MatMul", ["x", "w"], ["z"]), {}), (("Add", ["b", "z"], ["y"]), {})],
            {"w": W.T, "b": B},
        ),
        (
            [(("Gemm", ["x", "w", "b"], ["y"]), {"transB": 1})],
            {"w": W.astype(np.float16), "b": B.astype(np.float16)},
        ),
        (
            [
                (("Constant", [], ["w"]), {"value": onnx.numpy_helper.from_array(W)}),
                (("Gemm", ["x", "w", "b"], ["y"]), {"transB": 1}),
            ],
            {"b": B},
        ),
        (
            [(("Gemm", ["x", "w", "b"], ["y"]), {"transB": 1})],
            {
                "w": onnx.helper.make_tensor("w", onnx.TensorProto.BFLOAT16, (2, 3), W.ravel()),
                "b": B,
            },
        ),
    ],
    ids=[
        "Gemm",
        "Gemm of (in, out)",
        "MatMul and Add",
        "Add, bias first",
        "float16",
        "Constant",
        "bfloat16",
    ],
)
def test_linear_layers_of_all_forms_are_read(nodes, arrays, tmp_path):
    layer = loaded(write(tmp_path / "x", nodes, arrays))
    assert (layer.weight.numpy() == W).all()
    assert (layer.bias.numpy() == B).all()


EXTERNAL = onnx.TensorProto(
    name="w", data_type=FLOAT, dims=[2, 3], data_location=onnx.TensorProto.EXTERNAL
)
EXTERNAL.external_data.add(key="location", value="/etc/passwd")
GEMM = [(("Gemm", ["x", "w", "b"], ["y"]), {"transB": 1})]


@pytest.mark.parametrize(
    ("nodes", "arrays", "reason"),
    [
        (GEMM, {"w": EXTERNAL, "b": B}, "the values of 'w' are in another file; expected a model in one file"),
        (GEMM, {"w": onnx.TensorProto(name="w", data_type=FLOAT, dims=[1 << 40], raw_data=b"1234"), "b": B}, "cannot read"),
        (GEMM, {"b": B}, "'w' is an input of the graph, not a constant in the file"),
        ([(("Transpose", ["v"], ["w"]), {}), *GEMM], {"v": W.T, "b": B}, "'w' is the output of Transpose of the graph"),
        ([(("Gemm", ["x", "w", "b"], ["y"]), {"alpha": 0.5})], {"w": W.T, "b": B}, "has alpha, beta or transA, which would change the weights"),
    ],
)  # fmt: skip
def test_weights_that_are_not_constants_in_the_file_are_refused(nodes, arrays, reason, tmp_path):
    with pytest.raises(ValueError, match=".") as info:
        loaded(write(tmp_path / "x", nodes, arrays, ("x", "w") if "an input" in reason else ("x",)))
    assert reason in str(info.value)


def test_the_error_lists_weights_that_do_not_fit(tmp_path):
    path = write(tmp_path / "x", GEMM, {"w": W, "b": B})
    with pytest.raises(ValueError, match=".") as info:
        loaded(path, outputs=4)
    assert str(info.value) == (
        f"load_weights: {str(path)!r} belongs to another network:\n"
        "  w has shape (2, 3), expected (4, 3) for 0.weight\n  b has shape (2,), expected (4,) for 0.bias\n"
        "Only the number of classes differs. Give num_classes=2."
    )
    model = nn.Sequential(nn.Linear(3, 2, bias=False))
    with pytest.raises(ValueError, match="\n  'b' is not a parameter of this network"):
        models.load_weights(model, path)
    with pytest.raises(ValueError, match="\n  1.weight is missing\n  1.bias is missing"):
        models.load_weights(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)), path)


def test_a_truncated_file_is_refused(tmp_path):
    whole = write(tmp_path / "x", GEMM, {"w": W, "b": B}).read_bytes()
    for size in range(1, len(whole)):
        (tmp_path / "x").write_bytes(whole[:size])
        with pytest.raises(ValueError, match="cannot read|expected"):
            loaded(tmp_path / "x")
