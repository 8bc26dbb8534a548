"""AlexNet and its weights against PyTorch, BVLC's graph in ONNX Runtime, and Keras."""

import re
from pathlib import Path

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import models, nn, optim

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers installs it")
tnn = torch.nn

pytestmark = pytest.mark.peers


def assert_close(ours, theirs, share=1e-4):
    """Compares with a tolerance of `share` times the largest value."""
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=share * np.abs(theirs).max())


def outputs(model, images):
    with ta.no_grad():
        return model.eval()(images).numpy()


def torch_outputs(model, images):
    with torch.no_grad():
        return model.eval()(torch.from_numpy(images)).numpy()


def randomized(model, rng):
    """Sets weights that preserve the scale of activations, and nonzero biases."""
    for p in model.parameters():
        sigma = np.sqrt(2 / np.prod(p.shape[1:])) if p.ndim > 1 else 0.1
        p.data[...] = sigma * rng.standard_normal(p.shape, np.float32)
    return model


def assert_same_updates(ours, theirs, rng, scale):
    """Three steps in evaluation mode change the parameters alike.

    The tolerance is 1e-6 of a parameter's largest change. In float64: in float32
    gradients agree to 1e-6, but some maxima and ReLUs then differ, and biases that
    started at 0 are as small as the differences.
    """
    ours.eval().to("float64"), theirs.eval().double()
    before = ours.state_dict()
    options = {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005}
    mine, other = (
        optim.SGD(ours.parameters(), **options),
        torch.optim.SGD(theirs.parameters(), **options),
    )
    for _ in range(3):
        images, labels = scale * rng.standard_normal((2, 3, 224, 224)), rng.integers(0, 1000, 2)
        mine.zero_grad(), other.zero_grad()
        F.cross_entropy(ours(images), labels).backward()
        tnn.functional.cross_entropy(
            theirs(torch.from_numpy(images)), torch.from_numpy(labels)
        ).backward()
        mine.step(), other.step()
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        p, q = p.numpy(), q.detach().numpy()
        change = np.abs(q - before[name]).max()
        assert change > 0, name
        assert np.abs(p - q).max() <= 1e-6 * change, name


def torchvisions(num_classes=1000):
    """torchvision's network, with the names and shapes of its published state_dict."""
    channels, features = 3, []
    for width, kernel, stride, padding, pool in [
        (64, 11, 4, 2, 1),
        (192, 5, 1, 2, 1),
        (384, 3, 1, 1, 0),
        (256, 3, 1, 1, 0),
        (256, 3, 1, 1, 1),
    ]:
        features += [tnn.Conv2d(channels, width, kernel, stride, padding), tnn.ReLU(inplace=True)]
        features += [tnn.MaxPool2d(3, 2)] if pool else []
        channels = width
    classifier = [
        tnn.Dropout(),
        tnn.Linear(256 * 6 * 6, 4096),
        tnn.ReLU(),
        tnn.Dropout(),
        tnn.Linear(4096, 4096),
        tnn.ReLU(),
    ]
    parts = {
        "features": tnn.Sequential(*features),
        "avgpool": tnn.AdaptiveAvgPool2d(6),
        "flatten": tnn.Flatten(),
    }
    model = tnn.Sequential()
    for name, part in (
        parts | {"classifier": tnn.Sequential(*classifier, tnn.Linear(4096, num_classes))}
    ).items():
        model.add_module(name, part)
    return model


def papers():
    """The paper's network. Its alpha of 1e-4 for a sum is 5e-4 for a mean of 5."""

    def conv(i, o, kernel, groups=1, **options):
        return [tnn.Conv2d(i, o, kernel, groups=groups, **options), tnn.ReLU()]

    def norm_and_pool():
        return [tnn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0), tnn.MaxPool2d(3, 2)]

    return tnn.Sequential(
        *conv(3, 96, 11, stride=4, padding=2), *norm_and_pool(),
        *conv(96, 256, 5, 2, padding=2), *norm_and_pool(),
        *conv(256, 384, 3, padding=1), *conv(384, 384, 3, 2, padding=1), *conv(384, 256, 3, 2, padding=1), tnn.MaxPool2d(3, 2),
        tnn.Flatten(), tnn.Linear(9216, 4096), tnn.ReLU(), tnn.Dropout(), tnn.Linear(4096, 4096), tnn.ReLU(), tnn.Dropout(), tnn.Linear(4096, 1000),
    )  # fmt: skip


def test_torchvisions_network_has_torchs_logits_and_updates(tmp_path, rng):
    torch.manual_seed(0)
    theirs = torchvisions()
    torch.save(theirs.state_dict(), tmp_path / "alexnet.pth")
    ours = models.alexnet("torchvision")
    models.load_weights(ours, tmp_path / "alexnet.pth")
    images = rng.standard_normal((2, 3, 224, 224), np.float32)
    assert_close(outputs(ours, images), torch_outputs(theirs, images))
    assert_same_updates(ours, theirs, rng, scale=1)


def test_the_papers_network_has_torchs_logits_and_updates(rng):
    ours, theirs = models.alexnet("paper"), papers()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        q.data = torch.from_numpy(p.numpy().copy())
    images = 60 * rng.standard_normal((2, 3, 224, 224), np.float32)
    assert_close(outputs(ours, images), torch_outputs(theirs, images))
    assert_same_updates(ours, theirs, rng, scale=60)


def test_caffes_network_has_the_logits_of_bvlcs_graph(tmp_path, rng):
    """The graph in the package onnx, with random weights and an input of 227 x 227."""
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    source = (
        Path(onnx.__file__).parent
        / "backend"
        / "test"
        / "data"
        / "light"
        / "light_bvlc_alexnet.onnx"
    )
    ours = models.alexnet("caffe")
    with pytest.raises(
        ValueError,
        match=re.escape(
            "'conv1_w_0' is the output of ConstantOfShape of the graph, not a constant in the file"
        ),
    ):
        models.load_weights(ours, source)

    file = onnx.load(source)
    graph = file.graph
    shapes = {
        t.name.removesuffix("__SHAPE"): onnx.numpy_helper.to_array(t)
        for t in graph.initializer
        if t.name.endswith("__SHAPE")
    }
    arrays = {}
    for name in (name for node in graph.node for name in node.output if name in shapes):
        sigma = np.sqrt(2 / np.prod(shapes[name][1:])) if len(shapes[name]) > 1 else 0.1
        arrays[name] = (sigma * rng.standard_normal(shapes[name])).astype("f")
    computed = [node for node in graph.node if node.op_type != "ConstantOfShape"]
    kept = [t for t in graph.initializer if not t.name.endswith("__SHAPE")]
    inputs = [i for i in graph.input if not i.name.endswith("__SHAPE")]
    for field, values in ((graph.node, computed), (graph.initializer, kept), (graph.input, inputs)):
        values = [type(value).FromString(value.SerializeToString()) for value in values]
        del field[:]
        field.extend(values)
    graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()
    )
    for d in graph.input[0].type.tensor_type.shape.dim[2:]:
        d.dim_value = 227
    logits = graph.node[-1].input[0]
    graph.output.append(
        onnx.helper.make_tensor_value_info(logits, onnx.TensorProto.FLOAT, [1, 1000])
    )
    onnx.save(file, tmp_path / "bvlc.onnx")

    models.load_weights(ours, tmp_path / "bvlc.onnx")
    images = 60 * rng.standard_normal((2, 3, 227, 227), np.float32)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        tmp_path / "bvlc.onnx", options, providers=["CPUExecutionProvider"]
    )
    theirs = [session.run(["prob_1", logits], {"data_0": image[None]}) for image in images]
    mine = outputs(ours, images)
    assert_close(mine, np.concatenate([y for _, y in theirs]))
    assert_close(F.softmax(mine, 1).numpy(), np.concatenate([p for p, _ in theirs]))


def keras_port(keras):
    """The popular port, for images (N, H, W, 3). Keras has no layer for LRN."""
    layers, ops = keras.layers, keras.ops

    def norm(x):
        channels = x.shape[-1]
        squares = ops.pad(x * x, ((0, 0), (0, 0), (0, 0), (5, 5)))
        return x / ops.sqrt(1 + sum(squares[..., i : i + channels] for i in range(11)))

    def conv(width, kernel, **options):
        return layers.Conv2D(width, kernel, **({"padding": "same"} | options))

    images = x = keras.Input((224, 224, 3))
    x = conv(96, 11, strides=4, padding="valid")(layers.ZeroPadding2D(((3, 0), (3, 0)))(x))
    x = layers.MaxPooling2D()(layers.ReLU()(norm(x)))
    x = layers.MaxPooling2D()(layers.ReLU()(norm(conv(256, 5)(x))))
    x = conv(384, 3)(conv(384, 3)(x))
    x = layers.Flatten()(layers.MaxPooling2D()(conv(256, 3, activation="relu")(x)))
    for _ in range(2):
        x = layers.Dropout(0.5)(layers.Dense(4096, activation="relu")(x))
    return keras.Model(images, layers.Dense(1000, activation="softmax")(x))


def test_the_keras_port_has_the_probabilities_of_keras(tmp_path, rng, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))  # for its settings
    keras = pytest.importorskip(
        "keras", reason="keras is not installed: make test-peers installs it"
    )
    ours, theirs = randomized(models.alexnet("keras"), rng), keras_port(keras)
    weights = []
    for name, p in ours.named_parameters():
        w = p.numpy()
        if name == "fc6.weight":  # Keras flattens maps in the order H, W, C
            w = w.reshape(4096, 256, 6, 6).transpose(0, 2, 3, 1).reshape(4096, -1)
        weights.append(w.transpose(2, 3, 1, 0) if w.ndim == 4 else w.T)
    theirs.set_weights(weights)
    images = 60 * rng.standard_normal((2, 3, 224, 224), np.float32)
    probabilities = theirs(images.transpose(0, 2, 3, 1), training=False).detach().numpy()
    assert 0.005 < probabilities.max() < 0.9  # neither uniform nor one-hot
    assert_close(F.softmax(outputs(ours, images), 1).numpy(), probabilities)


# Files of torch


def small():
    torch.manual_seed(1)
    return tnn.Sequential(tnn.Conv2d(3, 4, 3), tnn.ReLU(), tnn.Flatten(), tnn.Linear(4 * 4 * 4, 5))


def ours_from(path):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4 * 4, 5))
    models.load_weights(model, path)
    return model


def strided(state):
    shared = torch.randn(2000)
    return {
        name: torch.as_strided(shared, t.shape, [1, 3, 7, 11][: t.ndim], 5)
        for name, t in state.items()
    }


def training_checkpoint(state):
    model = tnn.DataParallel(small())
    model.module.load_state_dict(state)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.randn(1, 3, 6, 6)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "arch": "alexnet",
        "state_dict": model.state_dict(),
        "best_acc1": torch.tensor(0.5),
        "optimizer": optimizer.state_dict(),
    }


STATES = {
    "state_dict": lambda state: state,
    "strided": strided,
    "parameters": lambda state: {name: tnn.Parameter(t) for name, t in state.items()},
    "half": lambda state: {name: t.half() for name, t in state.items()},
    "bfloat16": lambda state: {name: t.bfloat16() for name, t in state.items()},
    "double": lambda state: {name: t.double() for name, t in state.items()},
    "checkpoint": training_checkpoint,
    "model": lambda state: {"model": state, "epoch": 2},
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", STATES)
def test_weights_saved_by_torch_are_loaded(kind, zipped, protocol, tmp_path):
    saved = STATES[kind](small().state_dict())
    torch.save(
        saved, tmp_path / "w", _use_new_zipfile_serialization=zipped, pickle_protocol=protocol
    )
    state = saved.get("state_dict", saved.get("model", saved))
    theirs = {name.removeprefix("module."): t.detach().float().numpy() for name, t in state.items()}
    for name, p in ours_from(tmp_path / "w").named_parameters():
        np.testing.assert_array_equal(p.numpy(), theirs[name], err_msg=name)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_model_is_refused_naming_its_class(zipped, tmp_path):
    torch.save(small(), tmp_path / "w", _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        ValueError,
        match=re.escape(
            "refers to 'torch.nn.modules.container.Sequential', which it does not need"
        ),
    ):
        ours_from(tmp_path / "w")
