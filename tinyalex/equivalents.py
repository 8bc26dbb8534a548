"""What torch has and tinyalex does not: the nearest equivalent, or the reason.

`attribute_error` is raised by `__getattr__` of Tensor, and of the modules that share
names with torch's.
"""

import difflib
import dis
import sys
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any

RECURRENT = "tinyalex has layers for images, and no recurrent networks"
ATTENTION = "tinyalex has layers for images, and no attention: matmul and softmax compute it"
ONE_AXIS = "layers are for images (N, C, H, W): insert an axis of size 1 and use {}"
LOWER_PRECISION = "use ta.autocast() and ta.GradScaler()"
SOFTPLUS = "use x.clamp(min=0) + (-x.abs()).exp().log1p()"
NUMPYS = "it has no gradient here: compute it on x.numpy() with numpy.{}"

TENSOR = {
    "apply_": "use a function of the whole tensor, or ta.Tensor(f(x.numpy()))",
    "baddbmm": "use x + a @ b",
    "bfloat16": "NumPy has no bfloat16: use x.float() (float32) or x.half()",
    "bincount": NUMPYS.format("bincount"),
    "copy_": "use x.data = array, or x[...] = y within ta.no_grad()",
    "cumprod": NUMPYS.format("cumprod"),
    "data_ptr": "use x.data, the array",
    "diag": "use x[range(n), range(n)]",
    "erf": "there is none; nn.GELU computes it internally",
    "fill_": "use ta.full_like(x, value), or ta.nn.init.constant_(x, value)",
    "grad_fn": "use x.creator",
    "histc": NUMPYS.format("histogram"),
    "index_add_": "use y = x[index]: its backward pass adds",
    "inverse": NUMPYS.format("linalg.inv"),
    "is_contiguous": "how elements are stored is not visible",
    "logsumexp": "use m + (x - m).exp().sum(dim, True).log() with m = x.amax(dim, True)",
    "median": NUMPYS.format("median"),
    "mT": "use x.swapaxes(-1, -2)",
    "narrow": "use x[:, start:start + length]",
    "new_zeros": "use ta.zeros(shape, dtype=x.dtype, device=x.device)",
    "new_ones": "use ta.ones(shape, dtype=x.dtype, device=x.device)",
    "new_tensor": "use ta.tensor(values, dtype=x.dtype, device=x.device)",
    "nan": "use float('nan')",
    "nonzero": NUMPYS.format("argwhere"),
    "normal_": "use ta.randn(shape), or ta.nn.init.normal_(x, mean, std)",
    "pin_memory": "use x.to('cuda'): copies to a GPU are synchronous",
    "prod": NUMPYS.format("prod") + ", or x.log().sum().exp() for positive elements",
    "random_": "use ta.randint(low, high, shape)",
    "reshape_as": "use x.reshape(y.shape)",
    "retain_grad": "only leaves have a gradient: use x.detach().requires_grad_()",
    "scatter": "use ta.where, x[index] = values within ta.no_grad(), or F.one_hot",
    "scatter_": "use x[index] = values within ta.no_grad(); for labels, F.one_hot",
    "scatter_add_": "use y = x[index]: its backward pass adds",
    "share_memory_": "processes share nothing: see docs/scaling.md",
    "stride": "how elements are stored is not visible",
    "trace": "use x[range(n), range(n)].sum()",
    "tril": "use x * numpy.tril(numpy.ones(x.shape, 'float32'))",
    "triu": "use x * numpy.triu(numpy.ones(x.shape, 'float32'))",
    "where": "use ta.where(condition, x, other)",
    "type_as": "use x.to(y)",
    "uniform_": "use ta.rand(shape), or ta.nn.init.uniform_(x, a, b)",
    "unfold": "use slices; nn.Conv2d computes its patches itself",
    "unique": NUMPYS.format("unique"),
    "zero_": "use x = ta.zeros_like(x); for gradients, x.grad = None or optimizer.zero_grad()",
}

TINYALEX = {
    "amp": LOWER_PRECISION,
    "addmm": "use c + a @ b",
    "autograd": "use loss.backward() and .grad, or ta.Function for an operation of your own",
    "backends": "there is no cuDNN: delete the line. Results are reproducible, and for TF32 use "
    "tinyalex.device.allow_tf32()",
    "bernoulli": "use ta.rand(p.shape) < p",
    "bfloat16": "NumPy has no bfloat16: use ta.float32 or ta.float16",
    "bincount": NUMPYS.format("bincount"),
    "cdist": "use ((a[:, None] - b[None]) ** 2).sum(-1).sqrt()",
    "compile": "nothing to compile: delete it. ta.set_fast selects fast layers, as it does by "
    "default",
    "concat": "use ta.cat(tensors, dim)",
    "complex64": "only real numbers: give real and imaginary parts",
    "complex128": "only real numbers: give real and imaginary parts",
    "diag": "use x[range(n), range(n)]; for a diagonal matrix, ta.eye(n) * x",
    "distributed": "use mpirun and --parallel, or tinyalex.parallel: docs/scaling.md",
    "einsum": "use matmul (@), transposed and with sums: x @ w for 'ij,jk->ik'",
    "Generator": "use ta.manual_seed(n): random numbers are a function of the seed",
    "fft": NUMPYS.format("fft"),
    "hstack": "use ta.cat(tensors, dim=1)",
    "hub": "use models.alexnet() and models.load_weights(model, path)",
    "inf": "use float('inf')",
    "is_autocast_enabled": "the dtype of a matrix multiplication shows it: (x @ y).dtype",
    "jit": "nothing to compile; to run a network elsewhere, use models.export_onnx(model, path)",
    "linalg": NUMPYS.format("linalg"),
    "load_state_dict": "use model.load_state_dict(state)",
    "meshgrid": "use numpy.meshgrid, or broadcasting: x[:, None] + y[None]",
    "mps": "devices are 'cpu' and 'cuda'",
    "multinomial": "use ta.Tensor(numpy.random.default_rng(0).choice(n, size, p=p.numpy()))",
    "multiprocessing": "use mpirun: docs/scaling.md",
    "normal": "use mean + std * ta.randn(shape)",
    "nonzero": NUMPYS.format("argwhere"),
    "onnx": "use models.export_onnx(model, path)",
    "outer": "use a[:, None] * b[None]",
    "prod": NUMPYS.format("prod") + ", or x.log().sum().exp() for positive elements",
    "profiler": "use cProfile; model.summary(shape) counts the multiply-adds",
    "quantization": "tinyalex computes in floating dtypes only",
    "set_default_device": "use tinyalex.device.set_default('cuda')",
    "set_default_dtype": "new tensors from Python numbers are float32: use x.double() and "
    "model.to('float64')",
    "set_default_tensor_type": "use tinyalex.device.set_default('cuda'), and float32",
    "set_num_threads": "use tinyalex.device.limit_threads(n)",
    "set_printoptions": "use numpy.set_printoptions",
    "sparse": "use arrays of all elements",
    "tril": "use numpy.tril",
    "triu": "use numpy.triu",
    "unique": NUMPYS.format("unique"),
    "use_deterministic_algorithms": "results are reproducible: delete the line",
    "version": "use tinyalex.__version__",
    "vstack": "use ta.cat(tensors, dim=0)",
    "vmap": "write the function for a batch",
    **dict.fromkeys(
        ("FloatTensor", "DoubleTensor", "HalfTensor", "LongTensor", "IntTensor", "BoolTensor"),
        "use ta.tensor(values, dtype=ta.float32), or another dtype",
    ),
}

CUDA = {
    "amp": LOWER_PRECISION,
    "empty_cache": "CuPy's memory pool reuses its memory: delete the line",
    "get_device_name": "`tinyalex doctor` shows the GPUs",
    "max_memory_allocated": "use tinyalex.device.memory('cuda')",
    "memory_allocated": "use tinyalex.device.memory('cuda')",
    "set_device": "use tinyalex.device.set_default('cuda:1')",
    "synchronize": "reading a value waits for the GPU: loss.item()",
}

NN = {
    "AdaptiveMaxPool2d": "use MaxPool2d, with a window for the size of the image",
    "AvgPool1d": ONE_AXIS.format("AvgPool2d"),
    "BatchNorm1d": "tinyalex normalizes images: use BatchNorm2d on (N, C, 1, 1), or LayerNorm",
    "BatchNorm3d": "tinyalex has layers for images: use BatchNorm2d",
    "BCELoss": "use BCEWithLogitsLoss on the output before the sigmoid, which does not overflow",
    "Conv1d": ONE_AXIS.format("Conv2d with a kernel of (1, k)"),
    "Conv3d": "tinyalex has layers for images: use Conv2d",
    "ConvTranspose2d": "there is no transposed convolution: use x.repeat or Conv2d",
    "DataParallel": "use mpirun and --parallel, or tinyalex.parallel: docs/scaling.md",
    "ELU": "use LeakyReLU or GELU",
    "Embedding": "its gradient is sparse: use F.one_hot(y, n).float() @ weight",
    "GroupNorm": "use LocalResponseNorm, BatchNorm2d or LayerNorm",
    "GRU": RECURRENT,
    "GRUCell": RECURRENT,
    "HuberLoss": "use MSELoss or L1Loss",
    "InstanceNorm2d": "use LayerNorm or BatchNorm2d",
    "KLDivLoss": "use (p * (p.log() - log_q)).sum(1).mean()",
    "LSTM": RECURRENT,
    "LSTMCell": RECURRENT,
    "MaxPool1d": ONE_AXIS.format("MaxPool2d"),
    "ModuleDict": "use attributes, or an nn.ModuleList and a dict of positions",
    "MultiheadAttention": ATTENTION,
    "PReLU": "use LeakyReLU; exercise 4 of the lessons builds PReLU",
    "ReLU6": "use x.clamp(0, 6)",
    "RNN": RECURRENT,
    "SiLU": "use x * x.sigmoid()",
    "SmoothL1Loss": "use MSELoss or L1Loss",
    "Softplus": SOFTPLUS,
    "SyncBatchNorm": "use BatchNorm2d: each process has its own statistics",
    "Transformer": ATTENTION,
    "TransformerEncoder": ATTENTION,
    "TransformerEncoderLayer": ATTENTION,
    "Unfold": "Conv2d computes its patches itself",
    "Upsample": "repeat pixels: x.unsqueeze(3).unsqueeze(5), then repeat and reshape",
}

FUNCTIONAL = {
    "adaptive_max_pool2d": "use max_pool2d, with a window for the size of the image",
    "binary_cross_entropy": "use binary_cross_entropy_with_logits, which does not overflow",
    "conv1d": ONE_AXIS.format("conv2d with a kernel of (1, k)"),
    "conv_transpose2d": "there is no transposed convolution: use x.repeat or conv2d",
    "elu": "use leaky_relu or gelu",
    "embedding": "use one_hot(y, n).float() @ weight",
    "grid_sample": "tinyalex.data augments images before they become tensors",
    "interpolate": "repeat pixels: x.unsqueeze(3).unsqueeze(5), then repeat and reshape; or "
    "resize images with Pillow",
    "kl_div": "use (p * (p.log() - log_q)).sum(1).mean()",
    "relu6": "use x.clamp(0, 6)",
    "scaled_dot_product_attention": ATTENTION,
    "silu": "use x * x.sigmoid()",
    "smooth_l1_loss": "use mse_loss or l1_loss",
    "softplus": SOFTPLUS,
    "upsample": "repeat pixels: x.unsqueeze(3).unsqueeze(5), then repeat and reshape",
}

OPTIM = {
    **dict.fromkeys(
        ("Adadelta", "Adagrad", "Adamax", "NAdam", "RAdam", "RMSprop"), "use Adam, AdamW or SGD"
    ),
    "LBFGS": "it calls the loss several times in a step: use SGD, Adam or AdamW",
    "swa_utils": "average state_dict() of several epochs",
}

LR_SCHEDULER = dict.fromkeys(
    (
        *("ConstantLR", "CosineAnnealingWarmRestarts", "CyclicLR", "LinearLR", "MultiplicativeLR"),
        *("OneCycleLR", "PolynomialLR", "SequentialLR"),
    ),
    "use LambdaLR(optimizer, lambda epoch: factor), or CosineAnnealingLR",
)

DATA = {
    "ConcatDataset": "a Dataset of your own has __len__ and __getitem__; tensors are joined by "
    "ta.cat",
    "IterableDataset": "a DataLoader needs __len__ and __getitem__: loop over the batches yourself",
    "WeightedRandomSampler": "give Subset(dataset, indices) indices drawn with these weights",
}

INIT = {
    "dirac_": "use ta.nn.init.constant_(weight, 0), and weight.data[i, i, row, column] = 1",
    "orthogonal_": "use weight.data = array, with an array from numpy.linalg.qr",
    "trunc_normal_": "use ta.nn.init.normal_(tensor, mean, std)",
}

TABLES = {
    "Tensor": TENSOR,
    "tinyalex": TINYALEX,
    "tinyalex.cuda": CUDA,
    "tinyalex.nn": NN,
    "tinyalex.functional": FUNCTIONAL,
    "tinyalex.optim": OPTIM,
    "tinyalex.optim.lr_scheduler": LR_SCHEDULER,
    "tinyalex.utils.data": DATA,
    "tinyalex.nn.init": INIT,
}
"""The equivalents, by the class or the module that does not have the name."""


MIN_SIMILARITY = 0.8
"""Of a name to the one that it is taken for: `median` is not `min`."""


def attribute_error(owner: str, name: str, obj: Any) -> AttributeError:
    """The error for an attribute that `owner` (a key of TABLES) does not have."""
    advice = TABLES[owner].get(name)
    if advice is None and owner == "tinyalex":  # torch.median(x) is x.median()
        advice = TENSOR.get(name)
    if advice is None and owner == "Tensor" and name[-1] == "_" != name[0]:
        plain = name[:-1]
        known = hasattr(type(obj), plain)
        advice = (
            f"operations return a new tensor: use x = x.{plain}(...)"
            if known
            else ("operations return a new tensor, and do not change this one")
        )
    if advice is None:
        names = [] if name[0] == "_" else getattr(obj, "__all__", dir(obj))
        close = difflib.get_close_matches(name, names, 1, MIN_SIMILARITY)
        advice = f"did you mean `{close[0]}`?" if close else f"see help({owner})"
    return AttributeError(f"{owner} has no `{name}`: {advice}", name=name)


def module_getattr(module: ModuleType) -> Callable[[str], Any]:
    """The `__getattr__` of a module that is one of TABLES."""

    def __getattr__(name: str) -> Any:  # noqa: N807 - it becomes one
        error = attribute_error(module.__name__, name, module)
        if _imports_a_name(sys._getframe(1)):
            raise ImportError(str(error), name=name)
        raise error

    return __getattr__


def _imports_a_name(frame: FrameType) -> bool:
    """Whether a frame executes `from module import name`, for which Python replaces the
    text of an AttributeError by its own."""
    return dis.opname[frame.f_code.co_code[frame.f_lasti]] == "IMPORT_FROM"
