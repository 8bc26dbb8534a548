"""Locally connected layers, and a network of them, against torch's unfold, einsum."""

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import models, nn, optim

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers installs it")
TF = torch.nn.functional

pytestmark = pytest.mark.peers

CLOSE = {"rtol": 1e-10, "atol": 1e-11}


def in_torch(x, w, b, stride=1, padding=0):
    """x (N, C, H, W), w (OH, OW, O, C, KH, KW), b (OH, OW, O)."""
    oh, ow, o, *patch = w.shape
    columns = TF.unfold(x, patch[1:], padding=padding, stride=stride)  # (N, C*KH*KW, OH*OW)
    y = torch.einsum("nkp,pok->nop", columns, w.reshape(oh * ow, o, -1))
    return y.reshape(-1, o, oh, ow) + b.permute(2, 0, 1)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [((3, 3), 1, 1), ((2, 3), (2, 1), (0, 2)), ((1, 4), 3, 3)]
)
def test_locally_connected2d_has_the_values_and_gradients_of_unfold(kernel, stride, padding, rng):
    strides, paddings = np.broadcast_to(stride, 2), np.broadcast_to(padding, 2)
    out = (np.array([7, 6]) + 2 * paddings - kernel) // strides + 1
    shapes = (5, 3, 7, 6), (*out, 4, 3, *kernel), (*out, 4)
    arrays = [rng.standard_normal(shape) for shape in shapes]
    mine = [ta.Tensor(a, requires_grad=True) for a in arrays]
    other = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, z = F.locally_connected2d(*mine, stride, padding), in_torch(*other, stride, padding)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), **CLOSE)
    dy = rng.standard_normal(y.shape)
    y.backward(dy)
    z.backward(torch.tensor(dy))
    for a, b in zip(mine, other, strict=True):
        np.testing.assert_allclose(a.grad, b.grad.numpy(), **CLOSE)


def functions_in_torch(layer, parameters):
    """The layer as a function of torch's tensors."""
    match layer:
        case nn.Conv2d():
            w, b = parameters
            return lambda x: TF.conv2d(x, w, b, padding=layer.padding)
        case nn.LocallyConnected2d():
            w, b = parameters
            return lambda x: in_torch(x, w, b, layer.stride, layer.padding)
        case nn.Linear():
            return lambda x: TF.linear(x, *parameters)
        case nn.MaxPool2d():
            return lambda x: TF.max_pool2d(x, 3, 2, ceil_mode=True)
        case nn.LocalResponseNorm():
            return lambda x: TF.local_response_norm(x, layer.size, layer.alpha, 0.75, 1.0)
        case nn.ReLU():
            return TF.relu
        case nn.Flatten():
            return lambda x: x.flatten(1)


@pytest.mark.parametrize(("name", "lrn"), [("13pct", False), ("13pct", True), ("11pct", True)])
def test_a_locally_connected_network_trains_as_in_torch(name, lrn, rng):
    """Three steps in float64, with a decay by layer, and biases at twice the rate."""
    model = models.cifar(name, lrn=lrn).to("float64")
    assert any(isinstance(layer, nn.LocalResponseNorm) for layer in model) == lrn
    peers = {p: torch.tensor(p.numpy().copy(), requires_grad=True) for p in model.parameters()}
    layers = [functions_in_torch(layer, [peers[p] for p in layer.parameters()]) for layer in model]
    groups = optim.paper_groups(model, 1e-3, {"local3": 0.004, "fc": 0.01})
    ours = optim.SGD(groups, lr=1e-3, momentum=0.9)
    theirs = torch.optim.SGD(
        [group | {"params": [peers[p] for p in group["params"]]} for group in groups],
        lr=1e-3,
        momentum=0.9,
    )
    for _ in range(3):
        x, labels = 60 * rng.standard_normal((4, 3, 24, 24)), rng.integers(0, 10, 4)
        ours.zero_grad()
        theirs.zero_grad()
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
        z = torch.tensor(x)
        for layer in layers:
            z = layer(z)
        other = TF.cross_entropy(z, torch.tensor(labels))
        other.backward()
        assert loss.item() == pytest.approx(other.item(), rel=1e-10)
        for p, q in peers.items():
            np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-6, atol=1e-10)
        ours.step()
        theirs.step()
