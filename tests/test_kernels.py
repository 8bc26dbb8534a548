"""Every primitive on both devices, from one list of calls; and what the launch helper refuses."""

import inspect

import numpy as np
import pytest

from tinyalex import device as devices
from tinyalex import emulator
from tinyalex.kernels import cpu, cuda
from tinyalex.kernels.cuda import sources
from tinyalex.kernels.cuda.launching import launch
from tinyalex.kernels.examples import examples

CALLS = {(str(e), dtype): e for dtype in ("float16", "float32", "float64") for e in examples(dtype)}
TOLERANCE = {"float16": 2e-3, "float32": 1e-5, "float64": 1e-12}

every_call = pytest.mark.parametrize("call", CALLS, ids=" ".join)


def equals_numpy(call, place="cpu"):
    """Run an example's CUDA kernel and hold what it wrote to what the CPU's twin writes in float64."""
    example = CALLS[call]
    expected = example.in_double().copies()
    with np.errstate(all="ignore"):
        getattr(cpu, example.primitive)(*expected)
    given = example.copies()
    got = [devices.to(x, place) if isinstance(x, np.ndarray) else x for x in given]
    getattr(cuda, example.primitive)(*got)
    tolerance = TOLERANCE[call[1]]
    for i, (mine, theirs) in enumerate(zip(got, expected, strict=True)):
        if i in example.written:
            np.testing.assert_allclose(
                devices.to_numpy(mine),
                theirs,
                rtol=tolerance,
                atol=tolerance,
                err_msg=f"argument {i}",
            )
        elif isinstance(theirs, np.ndarray):
            np.testing.assert_array_equal(devices.to_numpy(mine), example.arguments[i])


@pytest.mark.cuda
@pytest.mark.parametrize("order", [0, 1, 7], ids=["forward", "backward", "shuffled"])
@every_call
def test_a_kernel_on_the_cpu_equals_numpy(call, order):
    with emulator.running(order=order):
        equals_numpy(call)


@pytest.mark.cuda
@every_call
def test_a_kernel_on_the_cpu_does_nothing_it_must_not(call):
    with emulator.running(check=True):
        equals_numpy(call)


@every_call
def test_a_kernel_on_the_device_equals_numpy(call, device):
    if device == "cpu":
        example = CALLS[call]  # the NumPy twin in its own dtype
        with np.errstate(all="ignore"):
            getattr(cpu, example.primitive)(*example.copies())
        return
    equals_numpy(call, device)


def primitives(module):
    return {
        name: f
        for name, f in vars(module).items()
        if inspect.isfunction(f) and f.__module__ == module.__name__ and name[0] != "_"
    }


def test_every_primitive_has_its_twin_with_the_same_parameters():
    theirs = primitives(cuda)
    assert primitives(cpu).keys() <= theirs.keys()
    for name in theirs:
        assert list(inspect.signature(getattr(cpu, name)).parameters) == list(
            inspect.signature(theirs[name]).parameters
        ), name


def test_the_list_of_calls_has_every_kernel():
    kernels = {name for file in sources.files() for name in sources.signatures(file)}
    assert kernels == {e.primitive for e in CALLS.values()}


@pytest.mark.parametrize("real", ["float", "double", "__half"])
@pytest.mark.parametrize("file", sources.files())
def test_a_file_lists_each_of_its_kernels_for_every_type(file, real):
    listed = {name.split("<")[0] for name in sources.instantiations(file, real)}
    assert listed == {
        name for name, signature in sources.signatures(file).items() if signature.templates
    }


def x(shape=(4,), dtype="float32"):
    return np.zeros(shape, dtype)


@pytest.mark.cuda
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((x(), x(dtype="float64"), 4), "relu: y must be float32, got float64. Use astype."),
        (
            (x(dtype="int64"), x(), 4),
            "relu: x must be float16, float32 or float64, got int64. Use astype.",
        ),
        ((x(), [0.0], 4), "relu: y must be an array, got a list."),
        ((x((2, 4))[:, ::2], x(), 4), "must be C-contiguous"),
        ((x(), x()), "relu: expected 3 arguments, got 2."),
    ],
    ids=["dtype", "no type of a kernel", "list", "strides", "count"],
)
def test_the_launch_helper_says_what_does_not_fit(arguments, message):
    with emulator.running(), pytest.raises((TypeError, ValueError)) as error:
        launch("activation.cu", "relu", 4, *arguments)
    assert message in str(error.value)


@pytest.mark.cuda
def test_an_empty_launch_runs_nothing():
    with emulator.running():
        cuda.relu(x((0, 3)), x((0, 3)))


@pytest.mark.cuda
def test_an_array_too_large_for_int_is_refused():
    mask = np.empty(2**31, bool)  # which is never touched, and so takes no memory
    with (
        emulator.running(),
        pytest.raises(ValueError, match="random_mask: mask has 2147483648 numbers"),
    ):
        launch("dropout.cu", "random_mask", 1, mask, *[0] * 9)


@pytest.mark.cuda
@pytest.mark.parametrize("label", [-1, 10, 2**32 + 3])
def test_a_label_that_does_not_exist_makes_its_loss_nan(label):
    logits, t, p = np.arange(20, dtype="f").reshape(2, 10), np.array([label, 3]), x((2, 10))
    loss, weight = x((2,)), x((2,))
    with emulator.running(check=True):
        cuda.cross_entropy(logits, t, np.ones(10, "f"), p, loss, weight, -100)
    assert np.isnan([loss[0], weight[0]]).all()
    assert np.isfinite([loss[1], weight[1]]).all()
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
