"""Broken CUDA kernels: each one a mistake that people make, put into one of ours. CI must find them all (tests/test_kernel_breaks.py).

How: `comparison` with NumPy's results in one of three orders of the threads; `launch`, an error that the emulator raises in any build;
`checks`, an error in a build that watches memory; `compiler`, here g++ as well as NVRTC; `NVRTC` alone.
"""

from dataclasses import dataclass

from tinyalex.kernels.cuda import sources


@dataclass(frozen=True)
class Break:
    """`old` in the text of a file becomes `new`; the examples of `kernel` in `dtype` must show it, by what `found` says."""

    what: str
    file: str
    kernel: str
    old: str
    new: str
    found: str = "comparison"
    dtype: str = "float32"

    def text(self) -> str:
        text = sources.text(self.file)
        assert text.count(self.old) == 1, (
            f"{self.old!r} must be in {self.file} once, and is there {text.count(self.old)} times"
        )
        return text.replace(self.old, self.new)


def _breaks(file: str, kernel: str, *rows: tuple[str, ...]) -> list[Break]:
    return [Break(what, file, kernel, *row) for what, *row in rows]


# fmt: off
BREAKS = [
    *_breaks("activation.cu", "relu",
        ("one thread too many", "at >= n) return;\n  const", "at > n) return;\n  const", "checks"),
        ("NaN becomes 0", "number <= 0 ? Wide<T>(0) : number", "number > 0 ? number : Wide<T>(0)"),
        ("written into the input as well", "y[at] = T(", "const_cast<T*>(x)[at] = y[at] = T("),
        ("a thread's number in a byte", "int at = thread_number();\n  if (at >= n) return;\n  const", "signed char at = thread_number();\n  if (at >= n) return;\n  const"),
        ("a thread's number in a short", "int at = thread_number();\n  if (at >= n) return;\n  const", "short at = thread_number();\n  if (at >= n) return;\n  const"),
    ),
    *_breaks("activation.cu", "relu_backward",
        ("an int for a half", "T(0.0f)", "0", "compiler", "float16"),
        ("the gradient where y is negative", "<= 0 ? T(0.0f)", ">= 0 ? T(0.0f)"),
    ),
    *_breaks("augmentation.cu", "augment",
        ("a mirrored row begins one place too far right", "OW - 1 - j", "OW - j"),
        ("one row below the image", "row < H", "row <= H"),
        ("a channel's colour, not an image's", "colour[map]", "colour[c]"),
        ("each image moves like the first", "i + moves[3 * n]", "i + moves[0]"),
        ("another image's mirror", "moves[3 * n + 2]", "moves[n + 2]"),
    ),
    *_breaks("columns.cu", "from_columns",
        ("images and filters swapped", "product[(o * images + t) * P + p]", "product[(t * O + o) * P + p]"),
        ("rectified before the bias", "if (biased) number +=", "if (rectified && number <= 0) number = Wide<T>(0);\n  if (biased) number +="),
        ("a NaN becomes 0", "rectified && number <= 0", "rectified && !(number > 0)"),
    ),
    *_breaks("columns.cu", "to_columns",
        ("images and filters swapped", "t = at / P % images", "t = at / P % O"),
        ("the output read where the product lies", "Wide<T>(y[from])", "Wide<T>(y[at])"),
    ),
    *_breaks("dropout.cu", "random_mask",
        ("nine rounds", "round < 10", "round < 9"),
        ("one unit too many, the next sample's first", "unit < units", "unit <= units"),
        ("the counter begins at 0", "1ull + block", "0ull + block"),
        ("keys swapped", "philox(words, key0, key1)", "philox(words, key1, key0)"),
        ("the upper half of a word first", "32 * (i % 2)", "32 * (1 - i % 2)"),
        ("every block makes the same", "blockIdx.x * blockDim.x + threadIdx.x", "threadIdx.x"),
        ("a unit too likely by one in 2^32", "0xffffffffull) <", "0xffffffffull) <="),
    ),
    *_breaks("columns.cu", "im2col",
        ("strides swapped", "i * sh + u", "i * sw + u"),
        ("dilation left out", "v * dw - pw;\n      const bool", "v - pw;\n      const bool"),
        ("one row below the image", "row < H", "row <= H"),
        ("no end to the threads", "if (at >= C * positions) return;", "", "checks"),
        ("columns of a channel a tap apart", "c * KH * KW * positions", "c * KH * KH * positions"),
        ("a place in a short", "const int j = position", "const short j = position"),
    ),
    *_breaks("columns.cu", "col2im",
        ("positions between two strides", "down % sh != 0 || ", ""),
        ("added up in half precision", "Wide<T> sum = 0", "T sum = 0.0f", "comparison", "float16"),
        ("one output row too many", "down / sh >= OH", "down / sh > OH"),
    ),
    *_breaks("loss.cu", "cross_entropy",
        ("no barrier before the first halving", "shared[t] = mine;\n  __syncthreads();", "shared[t] = mine;"),
        ("the barrier in a branch", "if (t < half) shared[t] = combine(shared[t], shared[t + half]);\n    __syncthreads();", "if (t < half) {\n shared[t] = combine(shared[t], shared[t + half]);\n __syncthreads();\n }", "launch"),
        ("no barrier between halvings", "+ half]);\n    __syncthreads();", "+ half]);"),
        ("no barrier before shared memory is used again", "all = shared[0];\n  __syncthreads();", "all = shared[0];"),
        ("shared memory that nobody has written", "shared[t] = mine;", "if (t != 200) shared[t] = mine;"),
        ("half of the threads halve", "half = BLOCK / 2", "half = BLOCK / 4"),
        ("shared memory for half of the threads", "shared[BLOCK];", "shared[BLOCK / 2];", "checks"),
        ("the logit of a label that is ignored", "counts && exists ? Wide<T>(row", "true ? Wide<T>(row", "checks"),
        ("more shared memory than a block may have", "shared[BLOCK];", "shared[64 * BLOCK];", "NVRTC"),
        ("a number that NVRTC has no name for", "return __uint_as_float(0xff800000u)", "return -INFINITY", "NVRTC"),
    ),
    *_breaks("loss.cu", "cross_entropy_backward",
        ("rows as long as the batch", "n = at / C, c = at % C", "n = at / N, c = at % N"),
        ("a class counted as the next", "t[n] == c", "t[n] == c + 1"),
    ),
    *_breaks("normalization.cu", "lrn",
        ("even windows too long", "min(c + (size - 1) / 2, edge + width - 1)", "min(c + size / 2, edge + width - 1)"),
        ("windows cross the groups' edges", "edge = c / width * width;\n\n  Wide<T> squares", "edge = 0;\n\n  Wide<T> squares"),
        ("added up in half precision", "Wide<T> squares = 0;\n  for (int j", "T squares = 0.0f;\n  for (int j", "comparison", "float16"),
    ),
    *_breaks("normalization.cu", "lrn_backward",
        ("the window not mirrored", "max(c - (size - 1) / 2, edge)", "max(c - size / 2, edge)"),
        ("added up in single precision", "Wide<T> competition = 0;\n  for (int j", "float competition = 0;\n  for (int j", "comparison", "float64"),
        ("a double constant", "beta) - 2 * a * beta * Wide<T>(x[at]) * competition);\n}\n\n// The same", "beta) - 2.1 * a * beta * Wide<T>(x[at]) * competition);\n}\n\n// The same", "NVRTC"),
    ),
    *_breaks("normalization.cu", "spatial_norm",
        ("the first row's window above the map", "max(h - size / 2, 0)", "h - size / 2"),
        ("the map's height for its width", "at / (W * H) * H * W;\n\n  Wide<T> squares", "at / (W * H) * H * H;\n\n  Wide<T> squares"),
    ),
    *_breaks("normalization.cu", "spatial_norm_backward",
        ("maps mixed up", "map = at / (W * H) * H * W", "map = at / W * H * W"),
    ),
    *_breaks("pooling.cu", "max_pool",
        ("the tap by the window's height", "winner = u * KW + v", "winner = u * KH + v"),
        ("a window of -inf has no winner", "winner < 0 || number", "number"),
        ("NaN loses", " || number != number", ""),
        ("taps in a byte", "int winner = -1", "signed char winner = -1"),
        ("in single precision", "Wide<T> best", "float best", "comparison", "float64"),
    ),
    *_breaks("pooling.cu", "max_pool_backward",
        ("another window's winner", "argmax[window] == u * KW + v", "argmax[window] == u + v"),
        ("paddings swapped", "h + ph - u * dh", "h + pw - u * dh"),
        ("strides swapped", "const int window = first + down / sh * OW + across / sw", "const int window = first + down / sw * OW + across / sh"),
    ),
    *_breaks("pooling.cu", "avg_pool",
        ("pixels left of the image", "max(left, 0)", "left"),
        ("the divisor of another place", "divisor[at % (OH * OW)]", "divisor[at % OW]"),
        ("added up in half precision", "Wide<T> sum = 0;\n  for (int row", "T sum = 0.0f;\n  for (int row", "comparison", "float16"),
    ),
    *_breaks("pooling.cu", "avg_pool_backward",
        ("padding left out", "w + pw - v;", "w - v;"),
    ),
    *_breaks("sgd.cu", "sgd_update",
        ("decay without the learning rate", "decay * lr * old", "decay * old"),
        ("momentum of the weight", "momentum * Wide<T>(velocity[at])", "momentum * old"),
        ("one weight too many", "at >= n", "at > n", "checks"),
        ("one weight too few", "at >= n", "at >= n - 1"),
    ),
]
# fmt: on
