"""Mutants of the host code for CUDA: each has one injected fault, which a test detects.

The test, the mutant's check, runs in a process of its own on emulated GPUs. There this
file is a plugin, `pytest -p host_mutants`, that imports the module of the mutant whose
index is in HOST_MUTANT with the fault.
"""

import os
import sys
from dataclasses import dataclass
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
VARIABLE = "HOST_MUTANT"


@dataclass(frozen=True)
class Mutant:
    """A file in which `new` replaces `old`.

    check    the test that must fail, in tests/
    error    a part of its error message
    device   TINYALEX_DEVICE
    setting  the emulator's: "lazy", "no pool" or "check"; "": the default
    """

    what: str
    file: str
    old: str
    new: str
    check: str
    error: str
    device: str = "cuda"
    setting: str = ""

    def text(self) -> str:
        text = (REPOSITORY / self.file).read_text(encoding="utf-8")
        assert text.count(self.old) == 1, (
            f"{self.old!r} must be in {self.file} once, and is there {text.count(self.old)} times"
        )
        return text.replace(self.old, self.new)

    @property
    def module(self) -> str:
        """The module's name: tinyalex.tensor of tinyalex/tensor.py."""
        name = self.file.removeprefix("tests/").removesuffix(".py").removesuffix("/__init__")
        return name.replace("/", ".")


def _mutants(file: str, *rows: tuple[str, ...]) -> list[Mutant]:
    return [Mutant(what, file, *row) for what, *row in rows]


KERNEL = "test_kernels.py::test_a_kernel_on_the_device_equals_numpy"
LAUNCH = "test_gpu.py::test_launch_rejects_arguments_that_cupy_would_misread"
STEP = "test_gpu.py::test_a_training_step_neither_synchronizes_nor_copies_nor_allocates[float32]"
RESULTS = "test_gpu.py::test_results_are_on_the_device_of_the_arguments"
GRAPH = "test_graph.py"
ALONE = "test_gpu.py::test_uploads_leave_the_computations_alone"
BATCHES = "test_gpu.py::test_a_loader_returns_the_same_batches_on_both_devices[at once]"
UPLOADS = "test_gpu.py::test_uploads_arrive_in_order"

PEER_ACCESS = "The device where the array resides (1) is different from the current device (0)"

# fmt: off
MUTANTS = [
    *_mutants("tinyalex/kernels/cuda/launching.py",
        ("an array of another dtype is launched", "if x.dtype != dtype:", "if False:", f"{LAUNCH}[dtype]", "DID NOT RAISE"),
        ("a strided view is launched as contiguous", "if not x.flags.c_contiguous:", "if False:", f"{LAUNCH}[strides]", "DID NOT RAISE"),
        ("a NumPy array is launched", "if current and device.of(x) != current:", "if current and 'cuda' in device.of(x) != current:", f"{LAUNCH}[NumPy]", "not memory of a GPU"),
        ("an array of the other GPU is launched", "if current and device.of(x) != current:", "if current and device.of(x) == 'cpu':", "test_gpu.py::test_launch_rejects_an_array_on_another_gpu", "DID NOT RAISE"),
        ("Python numbers are not cast", "return dtype.type(x)", "return x", f"{KERNEL}[lrn-paper's float32]", "argument 1"),
        ("the last, incomplete block is not launched", "(-(-threads // BLOCK_THREADS),)", "(max(1, threads // BLOCK_THREADS),)", f"{KERNEL}[relu-many float32]", "argument 1"),
        ("blocks of half the threads", "(BLOCK_THREADS,), values", "(BLOCK_THREADS // 2,), values", f"{KERNEL}[relu-many float32]", "argument 1"),
        ("a view is not copied", "return x if x.flags.c_contiguous else device.xp(x).ascontiguousarray(x)", "return x", "test_gpu.py::test_views_give_the_same_results", "must be C-contiguous"),
        ("a size of 2**31", "MAX_ELEMENTS = 2**31 - BLOCK_THREADS", "MAX_ELEMENTS = 2**31", "test_kernels.py::test_an_array_too_large_for_int_is_rejected", "DID NOT RAISE"),
        ("compiled functions cached without their device", 'function = _function(_load, current, file, _expression(signature, types), types.get("T", ""))', 'function = launch.__dict__.setdefault((name, *types.values()), _function(_load, current, file, _expression(signature, types), types.get("T", "")).kernel)', "test_gpu.py::test_a_kernel_runs_on_two_gpus", "was loaded on GPU 0, but is launched on GPU 1"),
    ),
    *_mutants("tinyalex/kernels/cuda/__init__.py",
        ("two arguments exchanged", "dy.size, dy, y, dx, dy.size)", "dy.size, y, dy, dx, dy.size)", f"{KERNEL}[relu_backward- float32]", "argument 2"),
        ("one thread per sample, not one block", "n * BLOCK_THREADS, x, t, w, p", "n, x, t, w, p", f"{KERNEL}[cross_entropy-10 classes float32]", "argument 3"),
        ("eight units per thread, rounded down", "octets = -(-units // 8)", "octets = units // 8", f"{KERNEL}[dropout-half float32]", "argument 1"),
        ("a size in bytes", '"relu", x.size, x, y, x.size)', '"relu", x.size, x, y, x.nbytes)', f"{KERNEL}[relu- float32]", "out of bounds", "cuda", "check"),
        ("labels checked on the host", '"""No check, which would synchronise. The loss of an invalid label is NaN."""', "assert (labels < classes).all()", STEP, "cuda/__init__.py"),
    ),
    *_mutants("tinyalex/kernels/cuda/convolution.py",
        ("the sums of the first segment", "xp.sum(parts, axis=0, out=sums)", "sums[...] = parts[0]", f"{KERNEL}[to_columns-several segments and sums float32]", "argument 3"),
    ),
    *_mutants("tinyalex/kernels/cuda/updates.py",
        ("velocities and gradients exchanged", "[weights, velocities, grads]", "[weights, grads, velocities]", f"{KERNEL}[sgd_update-one array float32]", "argument 0"),
        ("the options of the first 32 arrays for all", "(options[part], pointer", "(options, pointer", f"{KERNEL}[sgd_update-33 arrays float32]", "argument 0"),
        ("an updated copy is not copied back", "if copy is not a and not parameter.is_const:", "if False:", "test_optim.py::test_parameters_may_have_any_strides[SGD]", "Mismatched elements"),
    ),
    *_mutants("tinyalex/device/arrays.py",
        ("the device of an array not made current", "return on(of(x))", "return nullcontext()", "test_gpu.py::test_a_module_moves_with_its_parameters_and_its_optimizer", "weight is on cuda, but the kernel runs on cuda:1", "cuda:1"),
        ("the first GPU made current", "gpu_library().cuda.Device(gpu_index(name))", "gpu_library().cuda.Device(0)", "test_gpu.py::test_a_tensor_and_its_gradient_move_between_devices", "'cuda' != 'cuda:1'", "cuda:1"),
        ("a copy on the current device", "with on(name):\n        return gpu_library()", "with nullcontext():\n        return gpu_library()", "test_gpu.py::test_a_tensor_and_its_gradient_move_between_devices", "'cuda' != 'cuda:1'", "cuda:1"),
    ),
    *_mutants("tinyalex/function.py",
        ("forward on the current device", "with device.on(device.common(cls.__name__, arrays)), np.errstate", "with np.errstate", "test_gpu.py::test_a_zero_dimensional_array_keeps_its_shape", "relu: x is on cuda:1, but the kernel runs on cuda.", "cuda:1"),
        ("backward on the current device", "with device.on_device_of(grad_output):\n        grads", "if True:\n        grads", "test_gpu.py::test_a_zero_dimensional_array_keeps_its_shape", "relu_backward: dy is on cuda:1, but the kernel runs on cuda.", "cuda:1"),
    ),
    *_mutants("tinyalex/returned_gradients.py",
        ("a gradient copied on the current device", "with device.on_device_of(grad):", "if True:", f"{RESULTS}[leaves]", "assert {'cuda'} == {'cuda:1'}", "cuda:1"),
    ),
    *_mutants("tinyalex/tensor.py",
        ("hooks and sums of gradients on the current device", "with devices.on_device_of(grad):", "if True:", f"{RESULTS}[hook]", PEER_ACCESS, "cuda:1"),
        ("an array left on the host", "data = devices.to(data, devices.default())", "pass", "test_gpu.py::test_memory_statistics_are_consistent", "assert 1024 >= (1 << 22)"),
    ),
    *_mutants("tinyalex/functional/convolution.py",
        ("one scratch buffer for two arrays", 'scratch, "product"', 'scratch, "columns"', "test_convolution.py::test_conv2d_passes_gradcheck[2,2,1,1]", "WRONG"),
        ("dcol written over the columns that are kept", "dcol = self.columns(scratch, hi - lo)", "dcol = self.columns(scratch, hi - lo) if self.kept_columns is None else self.kept_columns", "test_gpu_fusion.py::test_columns_that_are_kept_are_not_computed_again", "Mismatched elements"),
    ),
    *_mutants("tinyalex/functional/pooling.py",
        ("an argmax too small", "k.activation(y.shape, offset_type)", "k.activation(y.shape[:3], offset_type)", "test_pooling.py::test_a_window_may_have_256_pixels_and_more[kernel1]", "wrote outside the", "cuda", "no pool"),
        ("a divisor left on the host", "return device.to((counts[0][:, None] * counts[1]).astype(dtype), device_name)", "return (counts[0][:, None] * counts[1]).astype(dtype)", "test_pooling.py::test_an_average_divides_by_the_window_its_pixels_or_the_override", "divisor is on cpu, but the kernel runs on cuda"),
        ("a divisor cached for all GPUs", "str(x.dtype), x.device)", "str(x.dtype), 'cuda')", "test_pooling.py::test_an_average_divides_by_the_window_its_pixels_or_the_override", "divisor is on cuda, but the kernel runs on cuda:1", "cuda:1"),
    ),
    *_mutants("tinyalex/functional/loss.py",
        ("a condition on the host", "        k.cross_entropy_backward(k.ready(dloss), self.p, self.t, self.counts, dx, self.total)", "        k.cross_entropy_backward(k.ready(dloss), self.p, self.t, self.counts, dx, self.total) if self.total else dx.fill(0)", STEP, "functional/loss.py"),
    ),
    *_mutants("tinyalex/data/loading.py",
        ("a thread reads to the first GPU", "with devices.on(self.device):  # the", "if True:  # the", BATCHES, PEER_ACCESS, "cuda:1"),
        ("a thread transforms on the first GPU", "receive, labels, *readable = batch\n        with devices.on(self.device):", "receive, labels, *readable = batch\n        if True:", BATCHES, "augment: images is on cuda:1, but the kernel runs on cuda.", "cuda:1"),
    ),
    *_mutants("tinyalex/data/transforms.py",
        ("shifts left on the host", "device.to(moves, name)", "moves", BATCHES, "moves is on cpu, but the kernel runs on cuda"),
    ),
    *_mutants("tinyalex/training/scheme.py",
        ("the loss is read in each step", "loss.device))\n", "loss.device))\n        self.last_loss = float(loss)\n", STEP, "methods/conversions.py"),
        ("the logits of each step are kept", "loss.device))\n", "loss.device))\n        self.__dict__.setdefault('losses', []).append(logits)\n", "test_gpu.py::test_a_training_step_frees_its_memory", "= max("),
    ),
    *_mutants("tinyalex/training/progress.py",
        ("results copied in each step", "self._results.append(result)", "self._results.append(result._replace(loss=device.to_numpy(result.loss)))", STEP, "device/arrays.py"),
    ),
    *_mutants("tinyalex/training/metrics.py",
        ("errors found on the first GPU", "    with device.on_device_of(logits):\n        wrong", "    if True:\n        wrong", STEP, "the kernel runs on cuda", "cuda:1"),
        ("errors selected by a mask", "        k.find_errors(k.ready(logits), k.ready(labels), wrong)", "        wrong = labels[logits.argmax(axis=1) != labels]", STEP, "training/metrics.py"),
    ),
    *_mutants("tinyalex/optim/optimizer.py",
        ("updates on the first GPU", "with device.on(name):\n                self", "if True:\n                self", "test_gpu.py::test_a_module_moves_with_its_parameters_and_its_optimizer", "sgd_update: weights[0] is on cuda:1, but the kernel runs on cuda.", "cuda:1"),
    ),
    *_mutants("tinyalex/device/graph.py",
        ("a graph that does not wait for its inputs", "        self._stream.wait_event(current.record())\n", "", f"{GRAPH}::test_the_first_call_follows_the_work_before", "assert", "cuda", "lazy"),
        ("a result used before it is computed", "current.wait_event(self._stream.record())", "pass", f"{GRAPH}::test_a_graph_repeats_its_work_with_other_inputs", "assert", "cuda", "lazy"),
        ("the mask of an earlier step", "step_array(self.name), seed()", "self._step if self._inputs else step_array(self.name), seed()", f"{GRAPH}::test_a_graph_draws_another_dropout_mask_in_each_step", "H2D transfers are disallowed"),
        ("the memory of a graph given to others", "allocating = gpu_library().cuda.using_allocator(self._pool.malloc)", "allocating = suppress()", f"{GRAPH}::test_a_graph_keeps_its_memory", "is not memory of a GPU"),
    ),
    *_mutants("tinyalex/training/captured_step.py",
        ("the rate of an earlier epoch", "                p.grad = grad\n            self.optimizer.prepare()\n", "                p.grad = grad\n", f"{GRAPH}::test_training_with_a_graph_gives_the_same_bytes[SGD]", "At index 6"),
    ),
    *_mutants("tinyalex/device/uploads.py",
        ("pinned memory reused before its copy is done", "        self.copied.synchronize()  # of the array before\n", "", UPLOADS, "Not equal to tolerance", "cuda", "lazy"),
        ("an array used before it is copied", "        current.wait_event(self.copied)\n", "", UPLOADS, "Not equal to tolerance", "cuda", "lazy"),
        ("an array overwritten while it is used", "        self.stream.wait_event(self.taken)\n", "", UPLOADS, "Not equal to tolerance", "cuda", "lazy"),
        ("memory that is not pinned", "np.frombuffer(cupy.cuda.alloc_pinned_memory(size), np.uint8, size)", "np.empty(size, np.uint8)", ALONE, "assert 0 == 1"),
        ("copies in the stream of the computations", "stream = gpu_library().cuda.Stream(non_blocking=True)", "stream = gpu_library().cuda.get_current_stream()", ALONE, "assert 0 not in (0, 0)"),
        ("an event recorded in the other stream", "self.copied.record(self.stream)", "self.copied.record()", UPLOADS, "Not equal to tolerance", "cuda", "lazy"),
    ),
]
# fmt: on


class _Loader(SourceFileLoader):
    """Loads a module from the text of a mutant, and not from its cached bytecode."""

    def get_code(self, name):
        return compile(MUTANTS[int(os.environ[VARIABLE])].text(), self.path, "exec")


class _Finder:
    """Finds the module of the mutant, before other finders do."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != MUTANTS[int(os.environ[VARIABLE])].module:
            return None
        spec = PathFinder.find_spec(name, path)
        spec.loader = _Loader(name, spec.origin)
        return spec


if VARIABLE in os.environ:
    sys.meta_path.insert(0, _Finder)
