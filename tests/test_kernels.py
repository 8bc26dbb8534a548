"""Every primitive on both devices, with the same arguments; errors of `launch`."""

import inspect

import numpy as np
import pytest

from tinyalex import device as devices
from tinyalex import emulator
from tinyalex.kernels import cpu, cuda
from tinyalex.kernels.cuda import source_files
from tinyalex.kernels.cuda.launching import launch
from tinyalex.kernels.examples import examples, on_arrays

CALLS = {(str(e), dtype): e for dtype in ("float16", "float32", "float64") for e in examples(dtype)}
TOLERANCE = {"float16": 2e-3, "float32": 1e-5, "float64": 1e-12}

every_call = pytest.mark.parametrize("call", CALLS, ids=" ".join)


def equals_numpy(call, device="cpu", primitives=cuda):
    """Compare a primitive, by default the kernel, with the CPU's in float64."""
    example = CALLS[call]
    expected = example.in_double().copies()
    with np.errstate(all="ignore"):
        getattr(cpu, example.primitive)(*expected)
    got = [on_arrays(lambda x: devices.to(x, device), x) for x in example.copies()]
    with np.errstate(all="ignore"):
        getattr(primitives, example.primitive)(*got)
    tolerance = TOLERANCE[call[1]]
    for i, each in enumerate(zip(got, expected, example.arguments, strict=True)):
        for mine, theirs, before in zip(*map(arrays_of, each), strict=True):
            mine = devices.to_numpy(mine)
            if i in example.written:
                np.testing.assert_allclose(
                    mine, theirs, rtol=tolerance, atol=tolerance, err_msg=f"argument {i}"
                )
            else:
                np.testing.assert_array_equal(mine, before)


def arrays_of(argument):
    """The arrays in an argument of a primitive."""
    return argument if isinstance(argument, list) else [argument] * devices.is_array(argument)


@pytest.mark.cuda
@pytest.mark.parametrize("order", [1, 7], ids=["backward", "shuffled"])
@every_call
def test_a_kernel_on_the_emulator_equals_numpy(call, order):
    with emulator.running(order=order):
        equals_numpy(call)


@pytest.mark.cuda
@every_call
def test_a_kernel_passes_the_checks_of_the_emulator(call):
    with emulator.running(check=True):
        equals_numpy(call)


@every_call
def test_a_kernel_on_the_device_equals_numpy(call, device):
    equals_numpy(call, device, cpu if device == "cpu" else cuda)


def test_both_devices_have_the_same_primitives_with_the_same_parameters():
    functions = inspect.getmembers(cuda, inspect.isfunction)
    own = [f for f in functions if f[1].__module__.startswith(cuda.__name__)]
    primitives = {f for f in own if f[0][0] != "_" and f[0] != "launch"}
    assert {name for name, _ in primitives} == set(cpu.__all__)
    for name, f in primitives:
        theirs = inspect.signature(getattr(cpu, name)).parameters
        assert list(inspect.signature(f).parameters) == list(theirs), name


def test_the_examples_call_every_kernel():
    kernels = {name for file in source_files.files() for name in source_files.signatures(file)}
    assert kernels == {e.primitive for e in CALLS.values()}


@pytest.mark.parametrize("real", ["float", "double", "__half"])
@pytest.mark.parametrize("file", source_files.files())
def test_a_file_instantiates_each_of_its_templates_for_every_type(file, real):
    listed = {name.split("<")[0] for name in source_files.instantiations(file, real)}
    assert listed == {
        name for name, signature in source_files.signatures(file).items() if signature.templates
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
            "relu: x must be one of float16, float32, float64, got int64. Use astype.",
        ),
        ((x(), [0.0], 4), "relu: y must be an array, got a list."),
        ((x((2, 4))[:, ::2], x(), 4), "must be C-contiguous"),
        ((x(), x()), "relu: expected 3 arguments, got 2."),
    ],
    ids=["dtype", "unsupported dtype", "list", "strides", "count"],
)
def test_launch_names_the_argument_that_does_not_match(arguments, message):
    with emulator.running(), pytest.raises((TypeError, ValueError)) as error:
        launch("activation.cu", "relu", 4, *arguments)
    assert message in str(error.value)


@pytest.mark.cuda
def test_launch_names_the_array_of_a_list_that_does_not_match():
    arrays, options = [x(), x(dtype="float64")], x((2, 4))
    with (
        emulator.running(),
        pytest.raises(TypeError, match=r"sgd_update: grads\[1\] must be float32"),
    ):
        launch("sgd.cu", "sgd_update", 8, [x(), x()], [x(), x()], arrays, options, options, 8, 0)


@pytest.mark.cuda
def test_an_empty_launch_runs_nothing():
    with emulator.running():
        cuda.relu(x((0, 3)), x((0, 3)))


@pytest.mark.cuda
def test_an_array_too_large_for_int_is_rejected():
    mask = np.empty(2**31, bool)  # never written, so it takes no memory
    with (
        emulator.running(),
        pytest.raises(ValueError, match="scale_kept: mask has 2147483648 elements"),
    ):
        launch("dropout.cu", "scale_kept", 1, x(), mask, x(), 1, 1.0)


@pytest.mark.cuda
@pytest.mark.parametrize("label", [-1, 10, 2**32 + 3])
def test_the_loss_of_an_invalid_label_is_nan(label):
    logits, t, p = np.arange(20, dtype="f").reshape(2, 10), np.array([label, 3]), x((2, 10))
    loss, weight = x((2,)), x((2,))
    with emulator.running(check=True):
        cuda.cross_entropy(logits, t, np.ones(10, "f"), p, loss, weight, -100)
    assert np.isnan([loss[0], weight[0]]).all()
    assert np.isfinite([loss[1], weight[1]]).all()
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
