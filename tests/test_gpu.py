"""Two devices, without synchronisation; on a GPU, or on emulated ones."""

import csv
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections import deque
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from made_images import class_folders

import tinyalex as ta
from tinyalex import data, emulator, kernels, models, nn, optim, training
from tinyalex import device as devices
from tinyalex import functional as F
from tinyalex.device import to_numpy
from tinyalex.functional import convolution
from tinyalex.kernels.cuda import selection
from tinyalex.kernels.fast_paths import fast

pytestmark = pytest.mark.gpu


@pytest.fixture
def by_im2col():
    """The CPU convolves as the GPU does: other algorithms round differently."""
    with fast(False):
        yield


on_the_emulator = pytest.mark.skipif(
    not emulator.is_installed(), reason="a GPU does not count waits and launches"
)


def on_cpu(*shape):
    return ta.Tensor(np.ones(shape, "f"), device="cpu")


def test_a_tensor_and_its_gradient_move_between_devices(device, rng):
    x = ta.Tensor(rng.standard_normal((2, 3)), requires_grad=True, device="cpu")
    y = x.to(device)
    assert (x.device, y.device) == ("cpu", device)
    assert y.to(device) is y
    (y * y).to("cpu").sum().backward()
    assert devices.of(x.grad) == "cpu"
    np.testing.assert_allclose(x.grad, 2 * x.data)


def test_arrays_of_two_devices_are_rejected(device):
    message = f"Add: input 0 is on {device}, but input 1 is on cpu. Move one of them, as in x.to\\('{device}'\\)"
    with pytest.raises(ValueError, match=message):
        on_cpu(2).to(device) + on_cpu(2)
    with pytest.raises(ValueError, match="cross_entropy: input 0 is on"):
        F.cross_entropy(on_cpu(2, 3).to(device), ta.Tensor(np.array([0, 1]), device="cpu"))
    y = on_cpu(2).to(device) * ta.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ValueError, match="backward: grad: input 0 is on"):
        y.backward(on_cpu(2))


def test_a_gradient_on_another_device_is_rejected(device):
    class OnCpu(ta.Function):
        def forward(self, x):
            return x * 2

        def backward(self, dy):
            return 2 * to_numpy(dy)

    x = ta.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ValueError, match="Compute it on the input's device"):
        OnCpu.apply(x).sum().backward()


def test_a_module_moves_with_its_parameters_and_its_optimizer(device, rng):
    devices.set_default("cpu")
    x, labels = rng.standard_normal((4, 3)).astype("f"), np.array([0, 1, 1, 0])

    def steps(model, optimizer, count, target):
        for _ in range(count):
            optimizer.zero_grad()
            logits = model(ta.Tensor(x, device=target))
            F.cross_entropy(logits, ta.Tensor(labels, device=target)).backward()
            optimizer.step()

    states = []
    for second_half in ("cpu", device):
        ta.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
        parameters = list(model.parameters())
        optimizer = optim.SGD(parameters, lr=0.1, momentum=0.9)
        steps(model, optimizer, 3, "cpu")
        assert model.to(second_half) is model
        assert all(p is q for p, q in zip(parameters, model.parameters(), strict=True))
        steps(model, optimizer, 3, second_half)
        assert {p.device for p in parameters} == {second_half}
        assert {devices.of(v) for group in optimizer.velocity for v in group} == {second_half}
        states.append(model.state_dict())
    for name, weights in states[0].items():
        np.testing.assert_allclose(states[1][name], weights, rtol=1e-5, atol=1e-6)


def test_a_saved_state_loads_on_either_device(device, tmp_path):
    model = nn.Linear(3, 2)
    ta.save(tmp_path / "linear.safetensors", model.state_dict())
    other = nn.Linear(3, 2).to("cpu")
    other.load_state_dict(ta.load(tmp_path / "linear.safetensors"))
    np.testing.assert_array_equal(other.weight.data, model.weight.numpy())
    model.load_state_dict(other.state_dict())
    assert model.weight.device == device


def test_dropout_draws_the_same_masks_on_both_devices(device):
    x = np.ones((3, 5, 7), "f")
    masks = []
    for target in ("cpu", device):
        ta.manual_seed(3)
        masks.append([])
        for step in (0, 5, 2**33):
            devices.set_step(step)
            masks[-1] += [F.dropout(ta.Tensor(x, device=target)).numpy() for _ in range(2)]
    np.testing.assert_array_equal(*masks)
    assert len({mask.tobytes() for mask in masks[0]}) == 6


class Rows:
    """A dataset in the host's memory, of which each batch is copied to a GPU."""

    def __init__(self, dataset):
        self.dataset, self.labels = dataset, dataset.labels

    def take(self, rows):
        return self.dataset.images[rows], self.labels[rows]


@pytest.mark.parametrize("dataset", [lambda train: train, Rows], ids=["at once", "by batch"])
def test_a_loader_returns_the_same_batches_on_both_devices(device, dataset):
    train, _ = data.shapes(30, 10)
    mean, axes = data.mean_image(train.images), data.colour_axes(train.images)
    transform = data.Augment(mean, scale=0.01, colours=axes)
    cpu_batches, gpu_batches = (
        data.Loader(dataset(train), 8, shuffle=True, transform=transform, device=target)
        for target in ("cpu", device)
    )
    for (x, labels), (gpu_x, gpu_labels) in zip(cpu_batches, gpu_batches, strict=True):
        assert devices.of(gpu_x) == devices.of(gpu_labels) == device
        np.testing.assert_allclose(to_numpy(gpu_x), x, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(to_numpy(gpu_labels), labels)


def test_small_tiles_give_the_same_gradients(device, rng, monkeypatch):
    x, w = (
        ta.Tensor(rng.standard_normal((7, 4, 9, 8)), requires_grad=True),
        ta.Tensor(rng.standard_normal((6, 2, 3, 3)), requires_grad=True),
    )
    gradients = []
    for bytes_ in (1 << 30, 1):
        monkeypatch.setattr(devices.tiles, "_gpu_tile_bytes", lambda name, bytes_=bytes_: bytes_)
        x.grad = w.grad = None
        F.conv2d(x, w, padding=1, groups=2).sum().backward()
        gradients.append((to_numpy(x.grad), to_numpy(w.grad)))
    for one, two in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12)


def test_leaving_a_loader_early_ends_its_uploads(device):
    train, _ = data.shapes(30, 10)
    loader = data.Loader(Rows(train), 2, device=device, prefetch=5)
    batches = loader.epoch(0)
    next(batches)
    batches.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("tinyalex-loader")]
    assert len(list(loader.epoch(0))) == 15


def test_training_on_the_device_equals_training_on_the_cpu(device, tmp_path, by_im2col):
    """Twenty steps of the CIFAR network: losses to six digits."""
    losses = {}
    for target in ("cpu", device):
        trainer = small_run(target, tmp_path / target.replace(":", ""))
        losses[target] = []
        for x, labels in [*trainer.train.epoch(0), *trainer.train.epoch(1)]:
            trainer.step(x, labels)
            losses[target] += [loss for loss, _, _ in trainer._pending.read()]
    assert len(losses[device]) == 20
    np.testing.assert_allclose(losses[device], losses["cpu"], rtol=2e-6)


def small_run(target, output):
    ta.manual_seed(0)
    train, valid = data.shapes(160, 16)
    mean = data.mean_image(train.images)
    augment = data.Augment(mean, scale=1 / 60)
    devices.set_default("cpu")
    model = models.cifar("quick").to(target)
    return training.Trainer(
        model,
        optim.SGD(optim.paper_groups(model, 0.01), lr=0.01, momentum=0.9),
        None,
        data.Loader(train, 16, shuffle=True, transform=augment, device=target),
        data.Loader(valid, 16, transform=data.Normalize(mean, scale=1 / 60), device=target),
        epochs=1,
        output=output,
        metadata={"variant": "test"},
    )


def test_a_run_trains_validates_and_saves(device, tmp_path):
    log = small_run(device, tmp_path).fit()
    assert np.isfinite(log[0].valid_loss)
    assert {f.name for f in tmp_path.iterdir()} == {
        "best.safetensors",
        "checkpoint.safetensors",
        "log.csv",
        "model.safetensors",
    }


@on_the_emulator
@pytest.mark.parametrize("amp", [False, True], ids=["float32", "half"])
def test_a_training_step_neither_synchronizes_nor_copies_nor_allocates(device, tmp_path, tell, amp):
    """Nor does the loader, whose images are on the device."""
    trainer = small_run(device, tmp_path)
    trainer.scheme.scaler = optim.GradScaler(enabled=amp)
    trainer.train.prefetch = 0  # load in this thread
    batches = trainer.train.epoch(0)
    for batch in islice(batches, 2):
        trainer.step(*batch)
    held = devices.memory(device)["holds"]
    with emulator.counting() as counts:
        for batch in islice(batches, 4):
            trainer.step(*batch)
    assert counts.synchronizations == {}
    assert counts.copied_bytes["to the host"] == counts.copied_bytes["between GPUs"] == 0
    assert counts.copied_bytes["to the GPU"] < batch[0].size  # of 4 batches: their indices
    assert devices.memory(device)["holds"] == held
    own = sum(n for name, n in counts.launches.items() if not name.startswith("cupy_"))
    tell(
        f"CIFAR quick network on CUDA{', in half precision' * amp}, per training step: {counts.launches.total() / 4:.0f} launches, {own / 4:.0f} of them our kernels, and {counts.gemms / 4:.0f} GEMMs"
    )


MAX_PAPER_LAUNCHES = {"float32": 37 + 23, "half": 88 + 23}
"""Kernels and matrix multiplications of a step of `paper` with one tile for each
convolution. In half precision, also the conversions between float32 and float16."""


@on_the_emulator
@pytest.mark.parametrize("precision", MAX_PAPER_LAUNCHES)
def test_a_step_of_the_paper_network_needs_few_launches(device, tmp_path, tell, precision):
    """Nor does it wait, or allocate. The kernels are recorded, not run."""
    with nn.init.skipped():
        model = models.alexnet("paper", 1000)
    images, labels = np.zeros((8, 3, 224, 224), np.uint8), np.arange(8)
    train = data.Dataset(images, labels, tuple(map(str, range(1000))))
    with emulator.recording(execute=False) as work, devices.on(device):
        model.to(device)
        trainer = training.Trainer(
            model,
            optim.SGD(optim.paper_groups(model, 0.01), lr=0.01, momentum=0.9),
            None,
            data.Loader(train, 4, device=device),
            None,
            epochs=1,
            output=tmp_path,
            metadata={},
            scaler=optim.GradScaler(enabled=precision == "half"),
        )
        batches = [
            (devices.to(x.astype("f"), device), devices.to(t, device))
            for x, t in zip(np.split(images, 2), np.split(labels, 2), strict=True)
        ]
        for _ in range(2):
            trainer.step(*batches[0])
        held = devices.memory(device)["holds"]
        work.clear()
        with emulator.counting() as counts:
            trainer.step(*batches[1])
        assert devices.memory(device)["holds"] == held
    assert counts.synchronizations == {}
    assert counts.copied_bytes["to the host"] == counts.copied_bytes["between GPUs"] == 0
    assert counts.copied_bytes["to the GPU"] <= 8  # the number of the step
    launches = counts.launches.total() + counts.gemms
    assert 0 < launches <= MAX_PAPER_LAUNCHES[precision], counts.report()
    assert counts.gemms == sum(w.name == "gemm" for w in work)
    tell(
        f"paper on CUDA, {precision}, per training step: {counts.launches.total()} launches and {counts.gemms} GEMMs"
    )


@on_the_emulator
@pytest.mark.parametrize(
    ("options", "tolerance"), [("--graph", 2e-6), ("--graph --amp", 2e-3)], ids=["float32", "half"]
)
def test_train_cifar_trains_on_cuda_as_on_the_cpu(device, tmp_path, options, tolerance):
    """Two epochs, 20 steps: the same losses to six digits, to three in half."""
    root = Path(__file__).resolve().parent.parent
    options += " --data shapes --subset 177 --batch-size 16 --epochs 2 --model quick"
    # Both convolve by im2col: other algorithms round differently.
    environment = os.environ | {"TINYALEX_FAST": "0"}
    losses = {}
    for target in ("cpu", device):
        output = tmp_path / target.replace(":", "")
        options_here = [*shlex.split(options), "--device", target, "--output", output]
        result = subprocess.run(
            [sys.executable, root / "train_cifar.py", *options_here],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
        )
        assert result.returncode == 0, result.stderr
        with open(output / "log.csv", newline="") as file:
            losses[target] = [float(line["train_loss"]) for line in csv.DictReader(file)]
    assert len(losses[device]) == 2
    np.testing.assert_allclose(losses[device], losses["cpu"], rtol=tolerance)


def test_ten_view_prediction_runs_on_the_device(device, tmp_path):
    source = data.find_images(class_folders(tmp_path))
    images = data.StoredImages(source.train, source.classes, 16)
    ta.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 10 * 10, 2)
    ).to(device)
    views = data.TenViews(np.full((3, 16, 16), 100.0), scale=0.01, size=12)
    cpu_batches, gpu_batches = (
        list(data.Loader(images, 5, transform=views, device=target)) for target in ("cpu", device)
    )
    for (x, _), (gpu_x, gpu_labels) in zip(cpu_batches, gpu_batches, strict=True):
        assert devices.of(gpu_x) == devices.of(gpu_labels) == device
        np.testing.assert_array_equal(to_numpy(gpu_x), x)
    one_by_one = np.concatenate(
        [F.softmax(model(x.reshape(-1, 3, 12, 12)), 1).numpy() for x, _ in cpu_batches]
    ).reshape(-1, 10, 2)
    np.testing.assert_allclose(
        np.exp(training.log_probabilities(model, gpu_batches)[0]),
        one_by_one.mean(axis=1),
        rtol=1e-5,
    )


@on_the_emulator
@pytest.mark.parametrize("target", ["cuda", "cuda:1"])
def test_train_imagenet_runs_on_cuda(target, tmp_path):
    root = Path(__file__).resolve().parent.parent
    photos = class_folders(tmp_path / "photos", train=4, val=2)
    options = shlex.split("--image-size 67 --resize 72 --batch-size 2 --epochs 1")
    options += ["--data", photos, "--device", target, "--output", tmp_path / "out"]
    options += ["--graph"] if target == "cuda" else []
    command = [sys.executable, root / "train_imagenet.py", *options]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"on {target}" in result.stdout
    assert len(re.findall(r"(one view |ten views)  .*best.safetensors: loss ", result.stdout)) == 2


def test_tf32_can_be_switched_on_and_off(device):
    x = ta.Tensor(np.full((64, 64), 1 + 2.0**-12, "f"))
    exact = (x @ x).numpy()
    try:
        devices.allow_tf32()
        rounded = (x @ x).numpy()
        if emulator.is_installed():
            assert (rounded != exact).any()
    finally:
        devices.allow_tf32(False)
    np.testing.assert_allclose(rounded, exact, rtol=1e-3)
    np.testing.assert_array_equal((x @ x).numpy(), exact)


def used_bytes(device):
    """Of CuPy's memory pool, or of the GPU if there is no pool."""
    memory = devices.memory(device)
    return memory["used"] or memory["total"] - memory["free"]


def test_a_training_step_frees_its_memory(device, tmp_path):
    trainer = small_run(device, tmp_path)
    used = []
    for x, labels in trainer.train.epoch(0):
        trainer.step(x, labels)
        trainer._read_results()
        del x, labels
        used.append(used_bytes(device))
    assert max(used[4:]) <= max(used[1:4])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_network_computes_in_each_floating_dtype(device, dtype, rng):
    model = models.cifar("quick").to(dtype)
    x = rng.standard_normal((2, 3, 32, 32)).astype(dtype)
    loss = F.cross_entropy(model(x), [1, 2])
    loss.backward()
    assert loss.dtype == dtype
    assert all(
        p.grad.dtype == dtype and np.isfinite(to_numpy(p.grad)).all() for p in model.parameters()
    )


def test_gradcheck_accepts_tensors_and_modules_on_the_device(device, rng):
    x = ta.Tensor(rng.standard_normal((2, 3)).astype("f"))
    linear = nn.Linear(3, 2)
    assert ta.gradcheck(linear, [x]).ok
    assert (x.device, linear.weight.device, linear.weight.dtype) == (device, device, "f4")


def test_kernels_of_an_array_are_those_of_its_device(device):
    assert kernels.of(ta.Tensor([1.0]).data) is kernels.cuda
    assert kernels.of(np.ones(1)) is kernels.cpu


def test_memory_statistics_are_consistent(device):
    held = ta.Tensor(np.zeros(1 << 20, "f"))
    memory = devices.memory(device)
    assert used_bytes(device) >= 1 << 22
    assert memory["used"] <= memory["holds"]
    assert 0 < memory["free"] <= memory["total"]
    assert held.size == 1 << 20


def test_a_zero_dimensional_array_keeps_its_shape(device):
    x = ta.Tensor(np.array(-2.0, "f"), requires_grad=True)
    y = F.relu(x)
    y.backward()
    assert x.shape == y.shape == x.grad.shape == ()
    assert nn.Parameter(np.array(2.0, "f")).shape == ()


# Launches


@pytest.fixture
def other_gpu(device):
    import cupy

    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("needs two GPUs")
    return "cuda:1" if device == "cuda" else "cuda"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda x: x.astype("float64"), TypeError, "relu: y must be float32, got float64"),
        (lambda x: x[::2], ValueError, "relu: y must be C-contiguous"),
        (lambda x: to_numpy(x[:1]), ValueError, "relu: y is on cpu, but the kernel runs on cuda"),
    ],
    ids=["dtype", "strides", "NumPy"],
)
def test_launch_rejects_arguments_that_cupy_would_misread(device, change, error, message):
    x = ta.Tensor(np.ones(4, "f")).data
    with devices.on(device), pytest.raises(error, match=message):
        kernels.cuda.relu(x, change(x))


def test_launch_rejects_an_array_on_another_gpu(device, other_gpu):
    x = ta.Tensor(np.ones(4, "f")).data
    message = f"relu: y is on {other_gpu}, but the kernel runs on {device}"
    with devices.on(device), pytest.raises(ValueError, match=message):
        kernels.cuda.relu(x, devices.to(x, other_gpu))


def test_a_kernel_runs_on_two_gpus(device, other_gpu):
    for name in (device, other_gpu, device):
        y = F.relu(ta.Tensor([-1.0, 2.0], device=name))
        assert (y.device, y.numpy().tolist()) == (name, [0, 2])


def test_views_give_the_same_results(device, rng):
    x = ta.Tensor(rng.standard_normal((4, 3, 2, 5)))
    view = x.transpose(3, 2, 1, 0)
    copy = ta.Tensor(view.numpy())
    np.testing.assert_array_equal(F.relu(view).numpy(), F.relu(copy).numpy())


def a_leaf(rng):
    return ta.Tensor(rng.standard_normal((3, 4)).astype("f"), requires_grad=True)


def gradients_of_two_leaves(rng):
    x, y = a_leaf(rng), a_leaf(rng)
    for _ in range(2):
        (x + y).sum().backward()
    return [x.grad, y.grad]


def a_gradient_that_a_hook_replaces(rng):
    x = a_leaf(rng)
    x.register_hook(lambda grad: 2 * grad)
    x.sum().backward()
    np.testing.assert_array_equal(to_numpy(x.grad), np.full((3, 4), 2))
    return [x.grad]


def a_loss_of_probabilities(rng):
    x = a_leaf(rng)
    loss = F.cross_entropy(x, ta.Tensor(np.full((3, 4), 0.25, "f")))
    loss.backward()
    return [loss.data, x.grad]


def a_parameter_of_a_view(rng):
    view = a_leaf(rng).T
    parameter = nn.Parameter(view)
    np.testing.assert_array_equal(parameter.numpy(), view.numpy())
    return [parameter.data]


def velocities_that_were_loaded(rng):
    x = a_leaf(rng)
    first, second = (optim.SGD([x], lr=0.1, momentum=0.9) for _ in range(2))
    x.sum().backward()
    first.step()
    second.load_state_dict(first.state_dict())
    np.testing.assert_array_equal(to_numpy(second.velocity[0][0]), to_numpy(first.velocity[0][0]))
    return [*first.velocity[0], *second.velocity[0]]


def transformed_images(rng):
    images = ta.Tensor(rng.integers(0, 256, (2, 3, 8, 8)).astype("uint8")).data
    mean = np.full((3, 8, 8), 100.0)
    return [data.Normalize(mean, scale=0.1)(images), data.TenViews(mean, size=4)(images)]


@pytest.mark.parametrize(
    "results",
    [
        gradients_of_two_leaves,
        a_gradient_that_a_hook_replaces,
        a_loss_of_probabilities,
        a_parameter_of_a_view,
        velocities_that_were_loaded,
        transformed_images,
        lambda rng: [a_leaf(rng).astype("int64").data],
    ],
    ids=["leaves", "hook", "loss", "parameter", "velocities", "images", "integers"],
)
def test_results_are_on_the_device_of_the_arguments(device, results, rng):
    """Also if another GPU is current, as in the tests on cuda:1."""
    assert {devices.of(x) for x in results(rng)} == {device}


def test_uploads_arrive_in_order(device, rng):
    """Of several lengths; each array is changed after its start."""
    sizes = 500, 1000, 1000, 700, 1000, 800, 1000
    arrays = [rng.standard_normal(size, dtype="f") for size in sizes]
    expected = [(x**2).sum() for x in arrays]
    uploader, sums, ahead = devices.Uploader(device), [], deque()
    with devices.on(device):
        for x in arrays:
            ahead.append(uploader.start(x))
            x[:] = 0
            if len(ahead) == 2:
                y = ahead.popleft()()
                sums.append((y * y).sum())
        y = ahead.popleft()()
        sums.append((y * y).sum())
    assert {devices.of(s) for s in sums} == {device}
    np.testing.assert_allclose([float(s) for s in sums], expected, rtol=1e-5)
    uploader.close()


@on_the_emulator
def test_uploads_leave_the_computations_alone(device):
    """They are read from pinned memory, in a stream of their own: nothing but the next
    use of the pinned memory waits, and not for the GPU's computations."""
    import cupy

    train, _ = data.shapes(30, 10)
    loader = data.Loader(Rows(train), 3, device=device, prefetch=0)
    with emulator.counting() as counts, devices.on(device):
        stream = cupy.cuda.get_current_stream()
        for images, _ in loader.epoch(0):
            (images * 2).sum()
    assert {where.partition(":")[0] for where in counts.synchronizations} == {"device/uploads.py"}
    uploader = devices.Uploader(device)
    uploader.start(np.ones(5, "f"))()
    buffer = uploader._free.get()
    pinned = cupy.cuda.runtime.pointerGetAttributes(buffer.pinned.ctypes.data)
    assert pinned.type == 1  # cudaMemoryTypeHost: not pageable memory
    assert buffer.stream.ptr not in (0, stream.ptr)


@pytest.mark.parametrize("method", ["fill", "take"])
def test_an_error_of_an_upload_leaves_its_buffer_free(device, monkeypatch, method):
    uploader, x = devices.Uploader(device), np.ones(5, "f")
    uploader.start(x)()
    with monkeypatch.context() as patch:
        patch.setattr(devices.uploads._Buffer, method, raises_memory_error)
        for _ in range(devices.uploads.DEPTH):
            with pytest.raises(MemoryError):
                uploader.start(x)()
    assert uploader._free.qsize() == devices.uploads.DEPTH
    np.testing.assert_array_equal(to_numpy(uploader.start(x)()), x)


def raises_memory_error(*arguments):
    raise MemoryError


@pytest.mark.parametrize("failing", ["fill", "take", "labels"])
def test_an_error_of_an_upload_ends_a_loader(device, monkeypatch, failing):
    """Which waits for its threads, and they for buffers."""
    train, _ = data.shapes(30, 10)
    loader = data.Loader(Rows(train), 2, device=device, prefetch=6)
    raised = []

    def iterate():
        batches = loader.epoch(0)
        next(batches)
        time.sleep(0.1)  # the threads prepare the next
        if failing == "labels":
            monkeypatch.setattr(devices, "to", raises_memory_error)
        else:
            monkeypatch.setattr(devices.uploads._Buffer, failing, raises_memory_error)
        try:
            for _ in batches:
                time.sleep(0.1)
        except MemoryError:
            raised.append(failing)

    thread = threading.Thread(target=iterate, daemon=True)
    thread.start()
    thread.join(10)
    assert raised == [failing]


def test_an_empty_array_is_uploaded(device):
    x = devices.Uploader(device).start(np.empty((0, 3), "f"))()
    assert (devices.of(x), x.shape, x.dtype) == (device, (0, 3), "f")


def test_an_array_on_the_device_is_not_uploaded(device):
    x = ta.Tensor([1.0]).data
    assert devices.Uploader(device).start(x)() is x


# Convolution algorithms


@on_the_emulator
def test_the_fastest_convolution_is_measured_once_and_not_in_a_capture(device, rng, monkeypatch):
    import cupy

    monkeypatch.setattr(selection, "_measured", {})
    monkeypatch.setattr(selection, "setting", "fastest")
    x = ta.Tensor(rng.standard_normal((2, 3, 9, 8)).astype("f"))
    w = ta.Tensor(rng.standard_normal((4, 3, 3, 3)).astype("f"), requires_grad=True)
    with devices.on(device), cupy.cuda.Stream(non_blocking=True) as stream:
        stream.begin_capture()
        captured = convolution.conv_algorithm(
            convolution.conv_shape(x.shape, w.shape), x.dtype, device, False
        )
        stream.end_capture()
    assert captured is convolution.Conv2d
    assert not selection._measured
    y = F.conv2d(x, w)
    assert list(selection._measured.values()) == [type(y.creator)]
    with emulator.counting() as counts:
        F.conv2d(x, w).sum().backward()
    assert counts.synchronizations == {}


@on_the_emulator
def test_a_measurement_of_convolutions_keeps_no_memory(device):
    import cupy

    shape = convolution.conv_shape((2, 3, 9, 8), (4, 3, 3, 3))
    with devices.on(device):
        pool = cupy.cuda.MemoryPool()
        key = shape, np.dtype("f"), device, True
        selection.milliseconds(convolution.Conv2d, *key)
        free = cupy.cuda.Device().mem_info[0]
        with cupy.cuda.using_allocator(pool.malloc):
            selection.milliseconds(convolution.Conv2d, *key)
        assert pool.total_bytes() == 0
        assert cupy.cuda.Device().mem_info[0] == free


@on_the_emulator
def test_an_implicit_convolution_can_be_captured(device, rng, monkeypatch):
    import cupy

    monkeypatch.setattr(selection, "setting", "implicit")
    x, w = (rng.standard_normal(s).astype("f") for s in ((2, 3, 9, 8), (4, 3, 3, 3)))
    expected = F.conv2d(x, w).numpy()
    with devices.on(device), cupy.cuda.Stream(non_blocking=True) as stream:
        image = ta.Tensor(np.zeros_like(x))
        weight = ta.Tensor(w)
        F.conv2d(image, weight)
        stream.begin_capture()
        y = F.conv2d(image, weight)
        graph = stream.end_capture()
        image.data[...] = ta.Tensor(x).data
        graph.launch()
        stream.synchronize()
        np.testing.assert_array_equal(y.numpy(), expected)


@on_the_emulator
def test_an_implicit_convolution_launches_one_kernel_for_each_product(device, rng, monkeypatch):
    monkeypatch.setattr(selection, "setting", "implicit")
    x = ta.Tensor(rng.standard_normal((2, 8, 20, 20)).astype("f"), requires_grad=True)
    w = ta.Tensor(rng.standard_normal((8, 8, 5, 5)).astype("f"), requires_grad=True)
    with emulator.counting() as counts:
        F.conv2d(x, w, padding=2).sum().backward()
    own = {name: n for name, n in counts.launches.items() if not name.startswith("cupy_")}
    kernels_of_it = "conv2d", "conv2d_input_grad", "conv2d_weight_grad"
    assert own == {f"{name}<float>": 1 for name in kernels_of_it}
    assert counts.gemms == 0
