"""Mutants of the CUDA kernels: each has one injected fault, which a test must detect.

comparison  with NumPy's results, in one of three orders of the threads
launch      an error that the emulator raises in any build
checks      an error in a build that checks memory accesses
compiler    g++, as well as NVRTC
NVRTC       NVRTC alone
"""

from dataclasses import dataclass

from tinyalex.kernels.cuda import source_files


@dataclass(frozen=True)
class Mutant:
    """A file in which `new` replaces `old`.

    found  what detects it, in the examples of `kernel` in `dtype`
    """

    what: str
    file: str
    kernel: str
    old: str
    new: str
    found: str = "comparison"
    dtype: str = "float32"

    def text(self) -> str:
        text = source_files.text(self.file)
        assert text.count(self.old) == 1, (
            f"{self.old!r} must be in {self.file} once, and is there {text.count(self.old)} times"
        )
        return text.replace(self.old, self.new)


def _mutants(file: str, kernel: str, *rows: tuple[str, ...]) -> list[Mutant]:
    return [Mutant(what, file, kernel, *row) for what, *row in rows]


# fmt: off
MUTANTS = [
    *_mutants("activation.cu", "relu",
        ("one thread too many", "index >= n) return;\n  const", "index > n) return;\n  const", "checks"),
        ("NaN becomes 0", "value <= 0 ? Wide<T>(0) : value", "value > 0 ? value : Wide<T>(0)"),
        ("written into the input as well", "y[index] = T(", "const_cast<T*>(x)[index] = y[index] = T("),
        ("the thread index in a byte", "int index = thread_index();\n  if (index >= n) return;\n  const", "signed char index = thread_index();\n  if (index >= n) return;\n  const"),
        ("the thread index in a short", "int index = thread_index();\n  if (index >= n) return;\n  const", "short index = thread_index();\n  if (index >= n) return;\n  const"),
    ),
    *_mutants("activation.cu", "relu_backward",
        ("an int for a half", "T(0.0f)", "0", "compiler", "float16"),
        ("the gradient where y is negative", "<= 0 ? T(0.0f)", ">= 0 ? T(0.0f)"),
    ),
    *_mutants("adam.cu", "adam_update",
        ("the options of the first array", "options += 8 * array;", ""),
        ("the mean is not corrected", "(m / c1) / (root", "m / (root"),
        ("the square is not corrected", "root(s / c2)", "root(s)"),
        ("no square root", "(root(s / c2) + eps)", "(s / c2 + eps)"),
        ("the square of the gradient without decay", "g * g - s", "(g - l2 * old) * (g - l2 * old) - s"),
        ("decoupled decay without the learning rate", "lr * decay * old", "decay * old"),
        ("decay with the wrong sign", "+ l2 * old", "- l2 * old"),
        ("one weight too few", "index >= n", "index >= n - 1"),
        ("no update of the mean", "m += a1 * (g - m);", ""),
    ),
    *_mutants("augmentation.cu", "augment",
        ("a mirrored row starts one pixel too far right", "OW - 1 - j", "OW - j"),
        ("one row below the image", "row < H", "row <= H"),
        ("the colour of a channel instead of an image", "colour[map]", "colour[c]"),
        ("each image shifted like the first", "i + moves[3 * n]", "i + moves[0]"),
        ("mirrored like another image", "moves[3 * n + 2]", "moves[n + 2]"),
    ),
    *_mutants("columns.cu", "from_columns",
        ("images and filters swapped", "product[(o * images + t) * P + p]", "product[(t * O + o) * P + p]"),
        ("ReLU before the bias", "if (has_bias) value +=", "if (relu && value <= 0) value = Wide<T>(0);\n  if (has_bias) value +="),
        ("NaN becomes 0", "relu && value <= 0", "relu && !(value > 0)"),
    ),
    *_mutants("columns.cu", "to_columns",
        ("images and filters swapped", "t = index / P % images", "t = index / P % O"),
        ("the output read at the index of the product", "Wide<T>(y[source])", "Wide<T>(y[index])"),
    ),
    *_mutants("dropout.cu", "random_mask",
        ("nine rounds", "round < 10", "round < 9"),
        ("one unit too many, the next sample's first", "unit < units", "unit <= units"),
        ("the step left out", "sample, *step, call", "sample, 0ull, call"),
        ("the counter starts at 0", "1ull + block", "0ull + block"),
        ("keys swapped", "philox(words, key0, key1)", "philox(words, key1, key0)"),
        ("the upper half of a word first", "32 * (i % 2)", "32 * (1 - i % 2)"),
        ("every block computes the same", "thread_index();\n  if (index >= samples", "threadIdx.x;\n  if (index >= samples"),
        ("a unit too likely by one in 2^32", "= bits < threshold", "= bits <= threshold"),
    ),
    *_mutants("dropout.cu", "scale_kept",
        ("not scaled", "mask[index] ? scale", "mask[index] ? Wide<T>(1)"),
        ("the others kept", "mask[index] ?", "!mask[index] ?"),
        ("NaN dropped", "Wide<T>(x[index]) * (mask[index] ? scale : Wide<T>(0))", "mask[index] ? Wide<T>(x[index]) * scale : Wide<T>(0)"),
    ),
    *_mutants("columns.cu", "im2col",
        ("strides swapped", "i * sh + u", "i * sw + u"),
        ("dilation left out", "v * dw - pw;\n      const bool", "v - pw;\n      const bool"),
        ("one row below the image", "row < H", "row <= H"),
        ("no bounds check of the threads", "if (index >= C * positions) return;", "", "checks"),
        ("the channels of col one kernel row apart", "c * KH * KW * positions", "c * KH * KH * positions"),
        ("a position in a short", "const int j = position", "const short j = position"),
    ),
    *_mutants("columns.cu", "col2im",
        ("positions between two strides counted", "down % sh != 0 || ", ""),
        ("summed in half precision", "Wide<T> sum = 0", "T sum = 0.0f", "comparison", "float16"),
        ("one output row too many", "down / sh >= OH", "down / sh > OH"),
    ),
    *_mutants("loss.cu", "cross_entropy",
        ("no barrier before the first halving", "shared[t] = value;\n  __syncthreads();", "shared[t] = value;"),
        ("the barrier in a branch", "if (t < half) shared[t] = combine(shared[t], shared[t + half]);\n    __syncthreads();", "if (t < half) {\n shared[t] = combine(shared[t], shared[t + half]);\n __syncthreads();\n }", "launch"),
        ("no barrier between halvings", "+ half]);\n    __syncthreads();", "+ half]);"),
        ("no barrier before shared memory is used again", "all = shared[0];\n  __syncthreads();", "all = shared[0];"),
        ("uninitialised shared memory", "shared[t] = value;", "if (t != 200) shared[t] = value;"),
        ("the reduction starts with half of the threads", "half = BLOCK_THREADS / 2", "half = BLOCK_THREADS / 4"),
        ("shared memory for half of the threads", "shared[BLOCK_THREADS];", "shared[BLOCK_THREADS / 2];", "checks"),
        ("the logit of an ignored label", "if (counts && valid) log_p", "if (true) log_p", "checks"),
        ("more shared memory than a block may have", "shared[BLOCK_THREADS];", "shared[64 * BLOCK_THREADS];", "NVRTC"),
        ("a constant that NVRTC does not define", "return __uint_as_float(0xff800000u)", "return -INFINITY", "NVRTC"),
    ),
    *_mutants("loss.cu", "weighted_mean",
        ("the mean without weights", "sum / weight", "sum / N"),
        ("summed in half precision", "Wide<T> sum = 0, weight = 0;\n  for (int n", "T sum = 0.0f, weight = 0.0f;\n  for (int n", "compiler", "float16"),
    ),
    *_mutants("loss.cu", "weighted_mean_backward",
        ("NaN if all samples are ignored", "*total == 0 ? T(0.0f) : ", ""),
        ("not divided", "Wide<T>(*dy) / *total", "Wide<T>(*dy)"),
    ),
    *_mutants("loss.cu", "cross_entropy_backward",
        ("rows as long as the batch", "n = index / C, c = index % C", "n = index / N, c = index % N"),
        ("the next class as the target", "t[n] == c", "t[n] == c + 1"),
    ),
    *_mutants("normalization.cu", "lrn",
        ("even windows too long", "min(c + (size - 1) / 2, edge + width - 1)", "min(c + size / 2, edge + width - 1)"),
        ("windows cross the groups' edges", "edge = c / width * width;\n\n  Wide<T> squares", "edge = 0;\n\n  Wide<T> squares"),
        ("summed in half precision", "Wide<T> squares = 0;\n  for (int j", "T squares = 0.0f;\n  for (int j", "comparison", "float16"),
    ),
    *_mutants("normalization.cu", "lrn_backward",
        ("the window not mirrored", "max(c - (size - 1) / 2, edge)", "max(c - size / 2, edge)"),
        ("summed in single precision", "Wide<T> neighbours = 0;\n  for (int j", "float neighbours = 0;\n  for (int j", "comparison", "float64"),
        ("a double constant", "                2 * a * beta * Wide<T>(x[index]) * neighbours);\n}\n\n// The same", "                2.1 * a * beta * Wide<T>(x[index]) * neighbours);\n}\n\n// The same", "NVRTC"),
    ),
    *_mutants("normalization.cu", "spatial_norm",
        ("the first row's window above the map", "max(h - size / 2, 0)", "h - size / 2"),
        ("the height of the map for its width", "index / (W * H) * H * W;\n\n  Wide<T> squares", "index / (W * H) * H * H;\n\n  Wide<T> squares"),
    ),
    *_mutants("normalization.cu", "spatial_norm_backward",
        ("maps mixed up", "map = index / (W * H) * H * W", "map = index / W * H * W"),
    ),
    *_mutants("pooling.cu", "max_pool",
        ("the kernel offset with the height of the window", "offset = u * KW + v", "offset = u * KH + v"),
        ("a window of -inf has no argmax", "offset < 0 || value", "value"),
        ("NaN is not the maximum", " || value != value", ""),
        ("NaN becomes 0", "relu && best <= 0", "relu && !(best > 0)"),
        ("ReLU always", "relu && best <= 0", "best <= 0"),
        ("the maximum is kept where the ReLU is 0", "offset = none;", ""),
        ("the kernel offset in a byte", "int offset = -1", "signed char offset = -1"),
        ("computed in single precision", "Wide<T> best", "float best", "comparison", "float64"),
    ),
    *_mutants("pooling.cu", "max_pool_backward",
        ("the argmax of another window", "argmax[window] == u * KW + v", "argmax[window] == u + v"),
        ("paddings swapped", "h + ph - u * dh", "h + pw - u * dh"),
        ("strides swapped", "const int window = first + down / sh * OW + across / sw", "const int window = first + down / sw * OW + across / sh"),
    ),
    *_mutants("pooling.cu", "avg_pool",
        ("pixels left of the image", "max(left, 0)", "left"),
        ("the divisor of another position", "divisor[index % (OH * OW)]", "divisor[index % OW]"),
        ("summed in half precision", "Wide<T> sum = 0;\n  for (int row", "T sum = 0.0f;\n  for (int row", "comparison", "float16"),
    ),
    *_mutants("pooling.cu", "avg_pool_backward",
        ("padding left out", "w + pw - v;", "w - v;"),
    ),
    *_mutants("error_function.cu", "error_function",
        ("the complement", "error_function_of(Wide<T>(x[index]))", "1 - error_function_of(Wide<T>(x[index]))"),
        ("computed in single precision", "{ return erf(x); }", "{ return erff(float(x)); }", "comparison", "float64"),
    ),
    *_mutants("loss_scale.cu", "find_not_finite",
        ("NaN is not found", "!(grad - grad == 0)", "grad - grad != grad - grad && grad == grad"),
        ("infinity is not found", "!(grad - grad == 0)", "grad != grad"),
        ("an ordinary store", "atomicExch(&state[1], 1.0f)", "state[1] = 1.0f", "checks"),
        ("the last element is not read", "index >= n", "index >= n - 1"),
    ),
    *_mutants("loss_scale.cu", "update_loss_scale",
        ("every thread", "if (thread_index() > 0) return;", ""),
        ("the factor grows also after a gradient that is not finite", "found ? 0 : state[2] + 1", "state[2] + 1"),
        ("the factor overflows", "if (scale - scale == 0) state[0]", "state[0]"),
        ("the flag stays", "state[1] = 0;", ""),
        ("a step too late", "steps >= interval", "steps > interval"),
        ("the steps are counted on", "grows ? 0 : steps", "steps"),
    ),
    *_mutants("sgd.cu", "sgd_update",
        ("decay without the learning rate", "decay * lr * old", "decay * old"),
        ("nesterov with the velocity before the step", "momentum * v - shrink", "momentum * Wide<T>(*velocity) - step"),
        ("nesterov always", "nesterov ? old", "true ? old"),
        ("momentum of the weight", "momentum * Wide<T>(*velocity)", "momentum * old"),
        ("the options of the first array", "options += 4 * array;", ""),
        ("the factor of the loss is not removed", "is_scaled ? scaling[0]", "false ? scaling[0]"),
        ("an update with gradients that are not finite", "is_scaled && scaling[1] != 0", "false"),
        ("the next array begins one weight late", "index >= size[array]", "index > size[array]"),
        ("the first array for all", "int array = 0;", "int array = 0;\n    return array;"),
        ("one weight too few", "index >= n", "index >= n - 1"),
    ),
]
# fmt: on
