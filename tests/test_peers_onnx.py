"""tinyalex returns the expected outputs of ONNX's test cases of single operations."""

import functools
import warnings
from collections import Counter

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F

onnx = pytest.importorskip("onnx", reason="onnx is not installed: make test-peers installs it")
node_cases = pytest.importorskip("onnx.backend.test.case.node")

pytestmark = pytest.mark.peers


# The operations for our tensors, with ONNX's attributes as options and a list of
# outputs.


def conv(x, w, b=None, *, strides=1, dilations=1, group=1, kernel_shape=None, **where):
    before, after = padding(x, w.shape[2:], strides, dilations, **where)
    if before != after:
        x, before = padded(x, before, after, 0.0), 0
    return [F.conv2d(x, w, b, strides, before, dilations, group)]


def max_pool(x, *, kernel_shape, strides=1, dilations=1, ceil_mode=0, storage_order=0, **where):
    before, after = padding(x, kernel_shape, strides, dilations, **where)
    if not torch_has(before, after, kernel_shape):
        x, before = padded(x, before, after, -np.inf), 0
    return [F.max_pool2d(x, kernel_shape, strides, before, dilations, bool(ceil_mode))]


def average_pool(
    x, *, kernel_shape, strides=1, ceil_mode=0, count_include_pad=0, dilations=None, **where
):
    unsupported = {} if dilations is None else {"dilation": dilations}
    pool = functools.partial(
        F.avg_pool2d,
        kernel_size=kernel_shape,
        stride=strides,
        ceil_mode=bool(ceil_mode),
        **unsupported,
    )
    before, after = padding(x, kernel_shape, strides, 1, **where)
    if torch_has(before, after, kernel_shape):
        return [pool(x, padding=before, count_include_pad=bool(count_include_pad))]
    y = pool(padded(x, before, after, 0.0))
    # The fraction of each window that is in the image.
    return [
        y
        if count_include_pad
        else y / pool(padded(ta.Tensor(np.ones_like(x.data)), before, after, 0.0))
    ]


def padding(x, kernel, strides, dilations, *, auto_pad=b"NOTSET", pads=None):
    """The padding before the rows and columns, and after them."""
    if x.ndim == 3:
        raise ValueError("1-D: tinyalex takes (N, C, L) for an image without N")
    if pads is not None:
        half = len(pads) // 2
        return tuple(pads[:half]), tuple(pads[half:])
    if auto_pad in (b"NOTSET", b"VALID"):
        return (0,) * len(kernel), (0,) * len(kernel)
    strides, dilations = np.broadcast_to(strides, 2), np.broadcast_to(dilations, 2)
    size = np.array(x.shape[2:])
    total = np.maximum(
        (-(-size // strides) - 1) * strides + (np.array(kernel) - 1) * dilations + 1 - size, 0
    )
    less, more = tuple((total // 2).tolist()), tuple((total - total // 2).tolist())
    return (less, more) if auto_pad == b"SAME_UPPER" else (more, less)


def torch_has(before, after, kernel):
    """Whether torch has such padding: equal at both ends, at most half a kernel."""
    return before == after and all(2 * p <= k for p, k in zip(before, kernel, strict=True))


def padded(x, before, after, value):
    (top, left), (bottom, right) = before, after
    return F.pad(x, (left, right, top, bottom), value=value)


def lrn(x, *, size, alpha=1e-4, beta=0.75, bias=1.0):
    return [F.local_response_norm(x, size, alpha, beta, bias)]


def gemm(a, b, c=0.0, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    return [(a.T if transA else a) @ (b.T if transB else b) * alpha + c * beta]


def loss(x, target, weight=None, *, reduction=b"mean", ignore_index=-100):
    return [
        F.cross_entropy(x, target, weight, ignore_index, reduction.decode()),
        F.log_softmax(x, 1),
    ]


OURS = {
    "Conv": conv,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "LRN": lrn,
    "Gemm": gemm,
    "Relu": lambda x: [F.relu(x)],
    "Softmax": lambda x, axis=-1: [F.softmax(x, axis)],
    "SoftmaxCrossEntropyLoss": loss,
}

UNSUPPORTED = {
    "MaxPool": {
        "max_pool2d: input is uint8, but must be floating",
        "expected (N, C, H, W)",
        "1-D: tinyalex takes (N, C, L) for an image without N",
        "1 output of 2: tinyalex does not return the indices of the maxima",
    },
    "AveragePool": {
        "expected (N, C, H, W)",
        "1-D: tinyalex takes (N, C, L) for an image without N",
        "avg_pool2d() got an unexpected keyword argument 'dilation'",
    },
}
"""The errors of cases that tinyalex does not support. All others must be equal."""

ROUNDED = {"test_averagepool_2d_ceil_last_window_starts_on_pad": 1e-3}
"""The relative error of expected values that have few digits."""


@functools.cache
def cases():
    """{operation: [(name, attributes, inputs, outputs)]} of the cases with one node."""
    with warnings.catch_warnings():  # other operations' cases overflow on purpose
        warnings.simplefilter("ignore")
        collected = node_cases.collect_testcases(None)
    found = {operation: [] for operation in OURS}
    for case in collected:
        nodes = case.model.graph.node if case.model else []
        if len(nodes) == 1 and nodes[0].op_type in OURS:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in nodes[0].attribute}
            found[nodes[0].op_type] += [
                (case.name, attributes, inputs, outputs) for inputs, outputs in case.data_sets
            ]
    return found


@pytest.mark.parametrize("operation", OURS)
def test_node_cases_have_the_outputs_of_onnx(operation, tell):
    equal, refusals = 0, Counter()
    for name, attributes, inputs, outputs in cases()[operation]:
        try:
            ys = OURS[operation](*map(ta.Tensor, inputs), **attributes)
            if len(ys) < len(outputs):
                raise ValueError(
                    "1 output of 2: tinyalex does not return the indices of the maxima"
                )
        except (TypeError, ValueError) as error:
            texts = [text for text in UNSUPPORTED.get(operation, ()) if text in str(error)]
            if not texts:
                raise
            refusals.update(texts)
            continue
        for y, expected in zip(ys, outputs, strict=False):  # log-probabilities are optional
            assert (y.dtype, y.shape) == (expected.dtype, expected.shape), name
            np.testing.assert_allclose(
                y.numpy(), expected, rtol=ROUNDED.get(name, 1e-5), atol=1e-6, err_msg=name
            )
        equal += 1
    assert equal > 0
    assert set(refusals) == UNSUPPORTED.get(operation, set())
    tell(
        f"ONNX's cases of {operation}: {equal} equal"
        + (f", {refusals.total()} unsupported" if refusals else "")
    )
