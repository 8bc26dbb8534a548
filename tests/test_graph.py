"""CUDA graphs: captured work that is repeated."""

import gc
import threading

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import data, emulator, nn, optim, training
from tinyalex import device as devices
from tinyalex import functional as F
from tinyalex.device import Graph, to_numpy

pytestmark = pytest.mark.gpu

on_the_emulator = pytest.mark.skipif(
    not emulator.is_installed(), reason="a GPU does not count launches"
)


def arrays(device, *values):
    return [ta.Tensor(np.asarray(x, "f"), device=device).data for x in values]


def test_a_graph_repeats_its_work_with_other_inputs(device, rng):
    (total,) = arrays(device, np.zeros(3))
    ran = []

    def function(x):
        ran.append(len(x))
        total[...] += x * 2
        return total.sum()

    graph, expected = Graph(function, device), np.zeros(3)
    for _ in range(4):
        x = rng.integers(0, 9, 3)
        expected += 2 * x
        result = graph(*arrays(device, x))
        assert float(result) == expected.sum()
    np.testing.assert_array_equal(to_numpy(total), expected)
    assert ran == [3, 3]


def test_a_graph_draws_another_dropout_mask_in_each_step(device):
    ones = arrays(device, np.ones((3, 50)))
    graph = Graph(lambda x: F.dropout(x).data, device)
    for step in (0, 1, 2, 9):
        devices.set_step(step)
        drawn = to_numpy(graph(*ones)).copy()
        devices.set_step(step)
        np.testing.assert_array_equal(drawn, F.dropout(*ones).numpy())


def test_a_device_has_one_array_of_the_step(device):
    with_index = f"cuda:{device.partition(':')[2] or 0}"
    assert devices.step_array(with_index) is devices.step_array(device)


def test_the_first_call_follows_the_work_before(device):
    graph = Graph(lambda x: x + 1, device)
    result = graph(*[x * 2 for x in arrays(device, np.ones(1000))])
    graph._stream.synchronize()  # and not the stream of the product
    assert (to_numpy(result) == 3).all()


def test_a_graph_without_inputs(device):
    (total,), ran = arrays(device, np.zeros(3)), []

    def function():
        ran.append(1)
        total[...] += 1
        return total.sum()

    graph = Graph(function, device)
    assert [float(graph()) for _ in range(4)] == [3, 6, 9, 12]
    assert len(ran) == 2


def test_a_graph_draws_for_another_seed_and_in_another_thread(device):
    ones = arrays(device, np.ones((3, 50)))
    graph, drawn = Graph(lambda x: F.dropout(x).data, device), []

    def draw(seed):
        for step in (7, 8, 9):
            devices.manual_seed(seed)
            devices.set_step(step)
            result = to_numpy(graph(*ones)).copy()
            devices.set_step(step)
            drawn.append((result, F.dropout(*ones).numpy()))

    draw(5)
    draw(6)
    for _ in range(2):
        thread = threading.Thread(target=lambda: draw(6))
        thread.start()
        thread.join()
    assert len(drawn) == 12
    for result, expected in drawn:
        np.testing.assert_array_equal(result, expected)


def test_memory_is_free_after_the_last_use(device):
    """Of a graph, and of its results."""
    import cupy

    with devices.on(device):
        (x,) = arrays(device, np.ones(1 << 20))
        before, kept = devices.memory(device)["free"], []
        for _ in range(3):
            graph = Graph(lambda x: (x + 1) * 2, device)
            kept = [graph(x), graph(x)]
            del graph
            gc.collect()
            assert float(kept[1][-1]) == 4
        del kept
        cupy.get_default_memory_pool().free_all_blocks()
        assert devices.memory(device)["free"] >= before


def test_a_graph_keeps_its_memory(device, rng):
    """Even if CuPy frees all memory that no array uses, as it does if a GPU is full."""
    import cupy

    x, w = arrays(device, rng.standard_normal((8, 8)), rng.standard_normal((8, 8)))

    def function(x):
        for _ in range(3):
            x = F.relu(F.linear(x, w)) + 1
        return x.data

    graph, expected = Graph(function, device), to_numpy(function(x))
    for _ in range(4):
        np.testing.assert_array_equal(to_numpy(graph(x)), expected)
        cupy.get_default_memory_pool().free_all_blocks()


@pytest.mark.parametrize("cached", ["divisors", "weights of classes"])
def test_a_graph_keeps_arrays_that_are_cached(device, rng, cached):
    import cupy

    (x,) = arrays(device, rng.standard_normal((3, 4, 4)))
    labels = ta.Tensor(np.arange(3), device=device)

    def function(x):
        if cached == "divisors":
            return F.avg_pool2d(x, 3, padding=1).data
        return F.cross_entropy(x.reshape(3, 16), labels).data

    graph, expected = Graph(function, device), to_numpy(function(x)).copy()
    for _ in range(2):
        graph(x)
    for size in range(3, 83):
        if cached == "divisors":
            F.avg_pool2d(*arrays(device, np.ones((1, size, 1))), 1)
        else:
            F.cross_entropy(*arrays(device, np.ones((3, size))), labels)
    cupy.get_default_memory_pool().free_all_blocks()
    np.testing.assert_array_equal(to_numpy(graph(x)), expected)


def test_what_waits_for_the_gpu_is_not_captured(device):
    graph = Graph(lambda x: x * float(x.sum()), device)
    x = arrays(device, [2.0])
    assert float(graph(*x)[0]) == 4
    for _ in range(2):  # the first error leaves no capture that has been begun
        with pytest.raises(RuntimeError, match="Graph: this work cannot be captured: .*captur"):
            graph(*x)
    assert float((x[0] + 1)[0]) == 3


def test_a_capture_on_a_full_gpu_ends_with_an_error(device, rng):
    """CuPy's pool would give memory that the captured work uses to other arrays."""
    sizes = [1, 1 << 50, 1]

    def function(x):
        with_memory = devices.xp(x).empty(sizes.pop(0), np.uint8)
        return x + with_memory.size

    graph = Graph(function, device)
    x = arrays(device, rng.integers(0, 9, 3))
    graph(*x)
    with pytest.raises(MemoryError, match="^Graph: the GPU has too little free memory to capture"):
        graph(*x)
    np.testing.assert_array_equal(to_numpy(graph(*x)), to_numpy(x[0]) + 1)


def test_a_call_after_an_error_in_the_first(device):
    def function(x):
        if errors:
            raise errors.pop()
        return x + 1

    graph, errors = Graph(function, device), [KeyError("no such layer")]
    with pytest.raises(KeyError, match="no such layer"):
        graph(*arrays(device, [2.0, 3.0]))
    for x in (4, 5, 6):
        assert to_numpy(graph(*arrays(device, [x]))) == x + 1


def test_an_error_of_the_function_is_not_changed(device):
    def function(x):
        if done:
            raise KeyError("no such layer")
        done.append(x)

    done, x = [], arrays(device, [2.0])
    graph = Graph(function, device)
    graph(*x)
    with pytest.raises(KeyError, match="no such layer"):
        graph(*x)
    assert float((x[0] + 1)[0]) == 3


def test_inputs_of_another_shape_are_refused(device):
    graph = Graph(lambda x: x + 1, device)
    graph(*arrays(device, [2.0, 3.0]))
    with pytest.raises(ValueError, match=r"expected an input \(2,\) float32.*got \(1,\) float32"):
        graph(*arrays(device, [2.0]))
    with pytest.raises(ValueError, match="expected 1 inputs, .*, got 0. Make another Graph"):
        graph()


def test_inputs_on_another_device_are_refused(device):
    graph = Graph(lambda x: x + 1, device)
    for _ in range(2):
        with pytest.raises(ValueError, match="expected inputs on cuda.*, got one on cpu. Give"):
            graph(np.ones(2, "f"))
        graph(*arrays(device, [2.0, 3.0]))


# Training


def with_momentum(model):
    return optim.SGD(optim.paper_groups(model, 0.05), lr=0.05, momentum=0.9)


def with_adam(model):
    """Whose factors change in each step."""
    return optim.Adam(model.parameters(), lr=0.01)


def trainer(device, output, make_optimizer=with_momentum, **options):
    """Epochs of four whole batches and a smaller one; dropout, and a rate that falls
    after each epoch."""
    ta.manual_seed(5)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (44, 3, 9, 9)).astype("u1"), rng.integers(0, 3, 44)
    dataset = data.Dataset(images, labels, ("a", "b", "c"))
    mean = data.mean_image(images)
    augment = data.Augment(mean, padding=1, scale=1 / 64)
    devices.set_default("cpu")
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.LocalResponseNorm(3),
        nn.Conv2d(8, 8, 3, groups=2),
        nn.MaxPool2d(3, 2),
        nn.LocallyConnected2d(8, 8, 3, padding=1, input_size=(3, 3)),
        nn.Flatten(),
        nn.Linear(72, 20),
        nn.Dropout(0.4),
        nn.Linear(20, 3),
    ).to(device)
    optimizer = make_optimizer(model)
    return training.Trainer(
        model,
        optimizer,
        optim.lr_scheduler.StepLR(optimizer, 1, 0.7),
        data.Loader(dataset, 10, shuffle=True, transform=augment, device=device),
        data.Loader(dataset, 20, transform=data.Normalize(mean, 1 / 64), device=device),
        epochs=3,
        output=output,
        metadata={},
        **options,
    )


def losses(trainer):
    """Of each step; and the lengths of the batches for which the network's code ran."""
    found, passes = [], []
    step, compute = trainer.step, trainer.scheme.compute_gradients

    def noted(images, labels):
        step(images, labels)
        found.extend(loss for loss, _, _ in trainer._pending.read())

    def counted(images, labels):
        passes.append(len(labels))
        return compute(images, labels)

    trainer.step, trainer.scheme.compute_gradients = noted, counted
    trainer.fit()
    return found, passes


@pytest.mark.parametrize(
    ("optimizer", "amp"),
    [(with_momentum, False), (with_adam, False), (with_momentum, True)],
    ids=["SGD", "Adam", "half"],
)
def test_training_with_a_graph_gives_the_same_bytes(device, tmp_path, optimizer, amp):
    def steps(name, graph):
        run = trainer(device, tmp_path / name, optimizer, graph=graph)
        # Skips steps, and grows later.
        run.scheme.scaler = optim.GradScaler(init_scale=2.0**19, growth_interval=3, enabled=amp)
        return losses(run)

    expected, _ = steps("launches", False)
    found, passes = steps("graph", True)
    assert passes == [10, 10, 4, 4, 4]  # smaller batches are not captured
    assert len(found) == 15
    files = [tmp_path / name / "model.safetensors" for name in ("launches", "graph")]
    if emulator.is_installed():
        assert found == expected
        assert files[0].read_bytes() == files[1].read_bytes()
    else:  # cuBLAS may select other algorithms with the graph's workspace
        np.testing.assert_allclose(found, expected, rtol=1e-4)


@on_the_emulator
def test_a_replayed_step_launches_what_a_step_does(device, tmp_path, tell):
    counted = []
    for is_captured in (False, True):
        steps = trainer(device, tmp_path, graph=is_captured)
        x, labels = next(steps.train.epoch(0))
        for _ in range(3):
            steps.step(x, labels)
        held = devices.memory(device)["holds"]
        with emulator.counting() as counts:
            steps.step(x, labels)
        assert counts.synchronizations == {}
        assert devices.memory(device)["holds"] == held
        counted.append(counts)
    launched, replayed = counted
    copies = {"cupy_copy__float32_float32": 1, "cupy_copy__bool_bool": 1}  # of loss and errors
    assert replayed.launches - launched.launches == copies
    assert launched.launches <= replayed.launches
    assert replayed.gemms == launched.gemms
    batch = x.nbytes + labels.nbytes
    assert replayed.copied_bytes - launched.copied_bytes == {"on a GPU": batch}
    with devices.on(device), emulator.counting() as inside:
        steps._captured._graph._graph.launch()
    results = replayed.launches.total() - inside.launches.total()
    assert (results, inside.gemms) == (2, replayed.gemms)
    tell(
        f"A captured step of a small network: {inside.launches.total()} kernels and {inside.gemms} "
        f"GEMMs in one launch, and {results} launches after it"
    )
