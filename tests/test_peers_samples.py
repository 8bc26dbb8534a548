"""tinyalex returns torch's values, gradients and errors for torch's own test inputs."""

import warnings
from collections import Counter

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import functional as F

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers installs it")
pytest.importorskip("expecttest", reason="torch's samples import it: make test-peers installs it")
with warnings.catch_warnings():  # deprecations within torch
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db
    from torch.utils import _pytree as pytree

pytestmark = pytest.mark.peers


def transpose(x, first, second):
    """torch swaps two axes, ours lists all. For shape (), torch accepts axis 0."""
    axes = np.arange(x.ndim or 1)
    axes[[first, second]] = axes[[second, first]]
    return x.transpose(axes.tolist()[: x.ndim])


def max_pool2d(x, *args, return_indices=False, **options):
    """torch's samples pass `return_indices` even where it is False."""
    return F.max_pool2d(x, *args, **options, **({"return_indices": True} if return_indices else {}))


OURS = {
    "add": lambda x, y, alpha=1: x + y * alpha,
    "sub": lambda x, y, alpha=1: x - y * alpha,
    "mul": lambda x, y: x * y,
    "div_no_rounding_mode": lambda x, y: x / y,
    "true_divide": lambda x, y: x / y,
    "pow": lambda x, y: x**y,
    "matmul": lambda x, y: x @ y,
    "__radd__": lambda x, y: y + x,
    "__rsub__": lambda x, y: y - x,
    "__rmul__": lambda x, y: y * x,
    "__rdiv__": lambda x, y: y / x,
    "__rpow__": lambda x, y: y**x,
    "__rmatmul__": lambda x, y: y @ x,
    "neg": lambda x: -x,
    "exp": lambda x: x.exp(),
    "log": lambda x: x.log(),
    "sum": lambda x, dim=None, keepdim=False: x.sum(dim, keepdim),
    "mean": lambda x, dim=None, keepdim=False: x.mean(dim, keepdim),
    "amax": lambda x, dim=None, keepdim=False: x.max(dim, keepdim),
    "max_reduction_no_dim": lambda x: x.max(),
    "__getitem__": lambda x, index: x[index],
    "reshape": lambda x, shape: x.reshape(shape),
    "permute": lambda x, dims: x.transpose(dims),
    "transpose": transpose,
    "T": lambda x: x.T,
    "flatten": F.flatten,
    "cat": F.cat,
    **{
        name: getattr(ta, name)
        for name in (
            *(
                "abs",
                "all",
                "allclose",
                "amin",
                "any",
                "argmax",
                "argmin",
                "argsort",
                "bmm",
                "ceil",
            ),
            *("chunk", "clamp", "clone", "cos", "cumsum", "dot", "eq", "equal", "flip", "floor"),
            *("gather", "ge", "gt", "index_select", "isclose", "isfinite", "isinf", "isnan", "le"),
            *(
                "log1p",
                "logical_and",
                "logical_not",
                "logical_or",
                "lt",
                "masked_fill",
                "maximum",
                "minimum",
                "mm",
                "mv",
                "ne",
            ),
            *("norm", "ones_like", "remainder", "round", "rsqrt", "sign", "sin", "sort", "split"),
            *("sqrt", "square", "squeeze", "stack", "std", "t", "topk", "transpose"),
            *("unbind", "unsqueeze", "var", "zeros_like", "full_like"),
        )
    },
    **{name: getattr(ta, name) for name in ("arange", "eye", "full", "linspace", "ones", "zeros")},
    "where": lambda x, mask, y: ta.where(mask, x, y),
    "__rmod__": lambda x, y: y % x,
    "__rand__": lambda x, y: y & x,
    "__ror__": lambda x, y: y | x,
    "__rxor__": lambda x, y: y ^ x,
    "bitwise_not": lambda x: ~x,
    "floor_divide": lambda x, y: x // y,
    "contiguous": lambda x: x.contiguous(),
    "expand": lambda x, shape: x.expand(shape),
    "expand_as": lambda x, y: x.expand_as(y),
    "max_binary": ta.max,
    "max_reduction_with_dim": ta.max,
    "min_binary": ta.min,
    "min_reduction_no_dim": ta.min,
    "min_reduction_with_dim": ta.min,
    "norm_fro": ta.norm,
    "norm_inf": ta.norm,
    "repeat": lambda x, sizes: x.repeat(sizes),
    "split_list_args": ta.split,
    "split_with_sizes": ta.split,
    "squeeze_multiple": ta.squeeze,
    "std_unbiased": ta.std,
    "tile": lambda x, sizes: x.repeat((1,) * (x.ndim - len(sizes)) + tuple(sizes)),
    "var_unbiased": ta.var,
    "view": lambda x, shape: x.view(shape),
    "view_as": lambda x, y: x.view_as(y),
    "tanh": F.tanh,
    "sigmoid": F.sigmoid,
    "softmax": F.softmax,
    "softmax_with_dtype": F.softmax,
    "log_softmax": F.log_softmax,
    "log_softmax_with_dtype": F.log_softmax,
    "nn_functional_relu": F.relu,
    "nn_functional_leaky_relu": F.leaky_relu,
    "nn_functional_gelu": F.gelu,
    "nn_functional_batch_norm": F.batch_norm,
    "nn_functional_layer_norm": F.layer_norm,
    "nn_functional_conv2d": F.conv2d,
    "nn_functional_max_pool2d": max_pool2d,
    "nn_functional_avg_pool2d": F.avg_pool2d,
    "nn_functional_adaptive_avg_pool2d": F.adaptive_avg_pool2d,
    "nn_functional_local_response_norm": F.local_response_norm,
    "nn_functional_linear": F.linear,
    "nn_functional_cross_entropy": F.cross_entropy,
    "nn_functional_normalize": F.normalize,
    "nn_functional_one_hot": F.one_hot,
    "nn_functional_nll_loss": F.nll_loss,
    "nn_functional_mse_loss": F.mse_loss,
    "nn_functional_l1_loss": F.l1_loss,
    "nn_functional_binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
    "nn_functional_pad_constant": F.pad,
    "nn_functional_pad_reflect": F.pad,
    "nn_functional_pad_replicate": F.pad,
    "nn_functional_pad_replicate_negative": F.pad,
    "nn_functional_pad_circular": F.pad,
}
"""The operations for our tensors, by the names of torch's samples."""

UNSUPPORTED = {
    "clamp": "clamp: limits must be numbers or None, got a Tensor",
    "cumsum": "Reductions.cumsum() got an unexpected keyword argument 'dtype'",
    "gather": "gather: an index of shape (2, 0) does not match a tensor of shape (5,)",
    "norm": "norm: p must be a positive number, infinity or 'fro'",
    "norm_inf": "norm: p must be a positive number, infinity or 'fro', got -inf",
    "softmax_with_dtype": "softmax() got an unexpected keyword argument 'dtype'",
    "log_softmax_with_dtype": "log_softmax() got an unexpected keyword argument 'dtype'",
    "nn_functional_batch_norm": "batch_norm: input has shape (0,), expected (N, C)",
    "nn_functional_normalize": "normalize: expected p=2",
    "nn_functional_max_pool2d": "max_pool2d() got an unexpected keyword argument 'return_indices'",
    "nn_functional_pad_reflect": "pad: mode='reflect' is not supported",
    "nn_functional_pad_replicate": "pad: mode='replicate' is not supported",
    "nn_functional_pad_replicate_negative": "pad: mode='replicate' is not supported",
    "nn_functional_pad_circular": "pad: mode='circular' is not supported",
}
"""The errors for samples that tinyalex does not support. All others must be equal."""

NUMBERS_ALLOWED = ["isclose", "logical_and", "logical_or", "maximum", "minimum"]
"""Operations that accept a number instead of the second tensor, unlike torch's."""

SAMPLED = {
    op.formatted_name: op
    for op in op_db
    if op.formatted_name in OURS or op.name == "nn.functional.dropout"
}
DROPOUT = SAMPLED.pop("nn_functional_dropout")  # random: tested separately


def test_each_operation_has_samples():
    assert sorted(SAMPLED) == sorted(OURS)


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")  # torch on its own speed
@pytest.mark.parametrize("name", OURS)
def test_samples_have_torchs_values_gradients_and_errors(name, tell):
    done = Counter(run(name, sample) for sample in samples(SAMPLED[name]))
    assert done["unsupported"] > 0 or name not in UNSUPPORTED
    if SAMPLED[name].error_inputs_func is not None:
        done.update(refuse(name, case.sample_input) for case in SAMPLED[name].error_inputs("cpu"))
    tell(
        f"torch's samples of {name}: "
        + ", ".join(f"{count} {what}" for what, count in sorted(done.items()))
    )


def samples(op):
    dtype = torch.float64 if torch.float64 in op.dtypes else torch.int64
    return op.sample_inputs(
        "cpu", dtype, requires_grad=op.supports_autograd and dtype.is_floating_point
    )


def run(name, sample):
    """Compare a sample: "equal" or "unsupported"; raises otherwise."""
    theirs = ((sample.input, *sample.args), sample.kwargs)
    for leaf in pytree.tree_leaves(theirs):
        if isinstance(leaf, torch.Tensor):
            leaf.grad = None  # samples may share tensors
    args, options = ours = pytree.tree_map(to_ours, theirs)
    try:
        ours_out = OURS[name](*args, **options)
    except (TypeError, ValueError, IndexError) as error:
        if name in UNSUPPORTED and str(error).startswith(UNSUPPORTED[name]):
            return "unsupported"
        raise
    theirs_out = SAMPLED[name](*theirs[0], **theirs[1])
    random = np.random.default_rng(0)
    for y, z in zip(pytree.tree_leaves(ours_out), pytree.tree_leaves(theirs_out), strict=True):
        if isinstance(z, bool):
            assert y is z
            continue
        assert (y.dtype, y.shape) == (z.detach().numpy().dtype, tuple(z.shape))
        assert_close(y.numpy(), z)
        if z.requires_grad:
            cotangent = random.standard_normal(y.shape)
            y.backward(cotangent, retain_graph=True)
            z.backward(torch.tensor(cotangent), retain_graph=True)
    for a, b in zip(pytree.tree_leaves(ours), pytree.tree_leaves(theirs), strict=True):
        if isinstance(a, ta.Tensor) and a.requires_grad:
            # If an input has no effect, one returns no gradient, the other zeros.
            assert_close(
                np.zeros(a.shape) if a.grad is None else a.grad,
                torch.zeros_like(b) if b.grad is None else b.grad,
            )
    return "equal"


def refuse(name, sample):
    """Check that torch's error is raised here too, unless it does not apply."""
    if isinstance(sample.input, int) or (name in NUMBERS_ALLOWED and sample.args == (2,)):
        return "errors apart (a number instead of a tensor)"
    if missing := sample.kwargs.keys() & {"out", "dtype"}:
        return f"errors apart ({min(missing)}=)"
    if isinstance(sample.input, torch.Tensor) and sample.input.ndim > 64:
        return "errors apart (more axes than NumPy's 64)"
    sample.kwargs.pop("return_indices", None)  # always refused: not the error of the sample
    with pytest.raises((TypeError, ValueError, IndexError)):
        OURS[name](
            *pytree.tree_map(to_ours, (sample.input, *sample.args)),
            **pytree.tree_map(to_ours, sample.kwargs),
        )
    return "errors refused"


def to_ours(x):
    """A tensor of torch as ours, with its strides; anything else unchanged."""
    if isinstance(x, torch.dtype):
        return np.dtype(str(x).removeprefix("torch."))
    return (
        ta.Tensor(x.detach().numpy(), requires_grad=x.requires_grad)
        if isinstance(x, torch.Tensor)
        else x
    )


def assert_close(ours, theirs):
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_dropout_multiplies_by_torchs_factors(tell):
    count = 0
    for sample in samples(DROPOUT):
        factors = np.unique(F.dropout(np.ones(1000), **sample.kwargs).numpy())
        assert_close(
            factors, torch.unique(DROPOUT(torch.ones(1000, dtype=torch.float64), **sample.kwargs))
        )
        x = to_ours(sample.input)
        y = F.dropout(x, **sample.kwargs)
        y.backward(np.ones(x.shape))
        assert np.isin(x.grad, factors).all()
        np.testing.assert_array_equal(y.numpy(), x.data * x.grad)
        count += 1
    tell(f"torch's samples of nn_functional_dropout: {count} with the same factors")
