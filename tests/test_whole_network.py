"""A whole AlexNet in float32, with fast paths, against the same network in float64.

Compared directly, their gradients differ by some thousandths: of millions of ReLUs and
pooling windows, a few select another value where two are nearly equal. The float64
network therefore uses the masks and maxima of the float32 network; the remaining
difference is rounding.
"""

import numpy as np
import pytest
from given_masks import Given, share_choices

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import models


def gradients(model, images, labels):
    F.cross_entropy(model(images), labels).backward()
    return {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("variant", ["torchvision", "paper"])
def test_gradients_equal_those_of_float64_with_the_same_masks_and_maxima(variant, seed):
    ta.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = models.alexnet(variant, num_classes=10).eval()  # without dropout
    for p in model.parameters():
        # He's sigmas: gradients would vanish with the paper's, for pixels up to 255.
        if p.ndim > 1:
            p.data[...] = rng.standard_normal(p.shape) * np.sqrt(2 / np.prod(p.shape[1:]))
        else:
            p.data[...] = rng.standard_normal(p.shape) * 0.1
    exact = models.alexnet(variant, num_classes=10).eval()
    exact.load_state_dict(model.state_dict())
    exact.to("float64")
    images, labels = rng.standard_normal((8, 3, 224, 224)).astype("f"), rng.integers(0, 10, 8)
    with ta.fast(True):
        fast = share_choices(model, exact, lambda net: gradients(net, images, labels))
    errors = {}
    for name, expected in gradients(exact, images.astype("d"), labels).items():
        errors[name] = np.linalg.norm(fast[name] - expected) / np.linalg.norm(expected)
    assert max(errors.values()) < 3e-5, errors
    assert sum(isinstance(m, Given) for m in exact.modules()) == 10
