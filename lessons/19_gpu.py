# %% [markdown]
"""
# 19. What changes on a GPU?

    python lessons/19_gpu.py [--seed 1] [--device cuda]

A GPU executes the same small program many thousands of times at once; each execution is
a *thread*. tinyalex uses NumPy on a CPU, and on a GPU CuPy, a library with the same
functions, and *kernels* written in CUDA C++, NVIDIA's extension of C++ for its GPUs
(the folder tinyalex/kernels/cuda). In this lesson we read one of these kernels, count
how it accesses memory, and count what a training step asks of the GPU.

No GPU is needed. The kernels are compiled for the CPU with g++, a C++ compiler, and
CuPy runs on an *emulated* GPU (docs/emulator.md): it executes and counts everything
that a GPU does, but slowly. So all numbers of this lesson are counts. None is a time,
and none says how fast a GPU is. Without g++ or CuPy (`pip install -e '.[cuda-check]'`,
Linux) a part of the claims is not checked. With `--device cuda`, on a machine with a
GPU, the part from section 4 on runs on that GPU, and nothing is counted there.
"""

# %%
import time

import numpy as np

from tinyalex import device, nn, optim
from tinyalex import functional as F
from tinyalex.course import gpu as gpus
from tinyalex.course import kernels_on_cpu, lesson

args, gpu = gpus.options(__doc__)
rng = np.random.default_rng(args.seed)

# %% [markdown]
# ## 1. A kernel, line by line
#
# Here is ReLU (lesson 7), as tinyalex computes it on a GPU.

# %%
print(relu_source := kernels_on_cpu.kernel_source("activation.cu", "relu"))

# %% [markdown]
# The word `__global__` makes the function a kernel: the CPU *launches* it, and the GPU
# executes it in many threads. A launch says how many: the *grid*, a number of *blocks*,
# each of which has the same number of threads, in tinyalex 256. There is no loop over
# the elements. Each thread computes one.
#
# - `template <typename T>`: T is the type of the elements. `relu<float>` is the kernel
#   for float32.
# - `const T* x, T* y, int n`: an array is passed as the address of its first element,
#   without its size, so the size n is passed, too.
# - `thread_index()` is `blockIdx.x * blockDim.x + threadIdx.x`: the number of the
#   block, times the threads of a block, plus the number of the thread in its block. It
#   is the only value that differs between the threads.
# - `if (index >= n) return;` is the *bounds check*.
# - The last two lines read one element, compute, and write one element. (`Wide<T>` is
#   the type in which the kernel computes: float, if T is float. `T(...)` converts to
#   the type T, `a ? b : c` is Python's `b if a else c`, and `const` marks what is not
#   changed.)
#
# The same in Python, with loops in the place of the grid, for n elements in blocks of
# 256 threads:
#
# $$
# \textrm{blocks} = \lceil n / 256 \rceil, \qquad \textrm{index} = 256\,b + t
# $$
#
# **Before you run this:** n is 1000. How many threads are started, and how many of them
# have no element? What happens without the bounds check?


# %%
def relu_in_python(x, y, n):
    """What the GPU does at the same time, one thread after another."""
    started = without_element = 0
    for b in range((n + 255) // 256):
        for t in range(256):
            started, index = started + 1, 256 * b + t
            if index >= n:
                without_element += 1
                continue
            y[index] = x[index] if x[index] > 0 else 0
    return started, without_element


x, y = rng.standard_normal(1000).astype("f"), np.zeros(1000, "f")
started, without_element = relu_in_python(x, y, 1000)
print(f"{started} threads for {len(x)} elements, {without_element} without an element")

# %% answer [markdown]
# 4 blocks of 256 threads are 1,024, and 24 have no element. Without the bounds check
# they would read and write behind the end of the arrays. NumPy raises an error. A GPU
# does not know where an array ends: it changes whatever is stored behind it, and the
# program goes on with wrong values, or ends at a later line.

# %% claims
lesson.claim("the result is that of F.relu", np.array_equal(y, F.relu(x).numpy()))
text = f"{started} threads are started, and {without_element} have no element"
lesson.claim(text, (started, without_element) == (1024, 24))

# %% [markdown]
# ## 2. Memory is read in sectors
#
# The threads of a block are executed in groups of 32, called *warps*. The threads of a
# warp execute the same line at the same time. If the line reads an element of an array,
# the warp reads up to 32 elements at once.
#
# Memory is not read by elements, but in *sectors* of 32 bytes, which are 8 float32
# values. The number of sectors that a warp touches is what counts: the fewer the
# better. Accesses of neighbouring threads to neighbouring elements are called
# *coalesced*.
#
# Let thread t of a warp read the element s t of an array, which begins at the start of
# a sector. The number s is the *stride*. The *used fraction* is the part of the moved
# bytes that the threads asked for: it is the largest fraction of the memory's speed
# that such a line can use.
#
# **Before you run this:** conv1 of AlexNet moves its windows by 4 pixels, so im2col
# (lesson 5) reads with stride 4 if neighbouring threads copy neighbouring windows. How
# many sectors does a warp touch, and which part of the bytes does it use? From which
# stride on does it not become worse?

# %%
WARP = np.arange(32)


def sectors(index):
    """The number of sectors with these elements of a float32 array."""
    return len(set(index * 4 // 32))


for s in (1, 2, 3, 4, 8, 16):
    print(f"  stride {s:>2}: {sectors(s * WARP):>2} sectors, used {4 / sectors(s * WARP):.1%}")

# %% answer [markdown]
# If s divides 8, then of the 8 elements of a sector 8 / s are read. So 32 threads need
# 32 / (8 / s) = 4 s sectors, but never more than one each. They ask for 4 bytes each,
# and a sector has 32:
#
# $$
# \textrm{sectors} = \min(4\,s,\ 32), \qquad
# \textrm{used fraction} = \frac{32 \cdot 4}{32 \cdot \textrm{sectors}}
# $$
#
# With stride 4 a warp touches 16 sectors and uses a quarter of their bytes. From stride
# 8 on each thread needs a sector of its own, of which it uses an eighth. The formula is
# also right for stride 3, which does not divide 8.
#
# The unused bytes are not always lost: GPUs have caches, and if another warp needs them
# soon, they are still there. What a warp requests is the upper limit of what is moved.

# %% claims
for s in range(1, 40):
    assert sectors(s * WARP) == min(4 * s, 32), s
lesson.claim("the formula is right for the strides 1 to 39", sectors(4 * WARP) == 16)

# %% [markdown]
# ## 3. Two orders of one index
#
# After the matrix multiplication of a convolution (lesson 5), its result has the shape
# (O, T, P): filters, images, positions in a map. The kernel `from_columns` copies it to
# the order of images, (T, O, P), and adds the bias. Each thread computes one element,
# and must find out which: from its index it computes p, o and t. (`%` is the remainder,
# and `/` divides integers without it, as `//` does in Python. `__restrict__` promises
# that the arrays do not overlap. In the kernel, T is already the type of the elements,
# so the number of images is called `images`. With `relu` it also applies ReLU;
# `has_bias` says whether there is a bias. Below, both are 0.)

# %%
print(source := kernels_on_cpu.kernel_source("columns.cu", "from_columns"))

# %% [markdown]
# Here p changes fastest: neighbouring threads have neighbouring positions of one
# filter. We change two lines so that o changes fastest. Each thread then computes
# another element, and all threads together the same result.
#
# **Before you run this:** how many sectors does a warp touch when it reads, and when it
# writes, in each of the two orders?

# %%
other = source.replace("p = index % P, o = index / P % O", "o = index % O, p = index / O % P")
other = other.replace("y[index] =", "y[(t * O + o) * P + p] =").replace("from_columns", "swapped")

T, O, P = 1, 64, 27 * 27
orders = {"p fastest": (WARP % P, WARP // P % O), "o fastest": (WARP // O % P, WARP % O)}
predicted = {}
for name, (p, o) in orders.items():
    predicted[name] = {"load": sectors((o * T + 0) * P + p), "store": sectors((0 * O + o) * P + p)}
    print(f"  {name}: {predicted[name]} sectors per warp")

# %% answer [markdown]
# With o fastest, neighbouring threads are T P elements apart in the array that is read,
# and P in the one that is written (here T = 1). Both are more than 8: each load and
# each store touches 32 sectors instead of 4. The number of operations is the same, and
# so is the result. For conv1 with 128 images, the memory must move up to eight times
# 297 MB instead of once.
#
# It is not always possible to have both sides coalesced. If the innermost axis changes,
# as between (N, C, H, W) and (N, H, W, C), one side has a stride (exercise 3).

# %% claims
text = "a warp touches 4 sectors in one order and 32 in the other"
ideal = {"load": 4, "store": 4}
strided = {"load": 32, "store": 32}
lesson.claim(text, predicted == {"p fastest": ideal, "o fastest": strided})
conv1 = 2 * 4 * 128 * 96 * 55 * 55
lesson.claim(f"conv1, 128 images: {conv1 / 1e6:.0f} MB, read and written", 296e6 < conv1 < 298e6)

# %% [markdown]
# So far we have computed which elements the threads access. Now the kernels are
# executed: g++ compiles them for the CPU, each access is recorded, and the sectors of
# each warp are counted. (`tinyalex explain im2col` does this for each line of a
# kernel.) The claims do the same with im2col, for several strides, and with ReLU
# without its bounds check.

# %%
counted, results = {}, np.zeros((2, T, O, P), "f")
if not kernels_on_cpu.why_not_compiled():
    unchecked = relu_source.replace("relu(", "unchecked(").replace("if (index >= n) return;", "")
    more = kernels_on_cpu.kernel_source("columns.cu", "im2col") + unchecked
    names = [f"{name}<float>" for name in ("from_columns", "swapped", "im2col", "unchecked")]
    kernels = kernels_on_cpu.Kernels(source + other + more, *names)
    product = rng.standard_normal((O, T, P)).astype("f")
    for order, kernel, y in zip(orders, names, results, strict=False):
        counted[order] = kernels.run(kernel, y.size, product, product, y, T, O, P, False, False)
        print(f"  {order}: {counted[order]} sectors per warp")

# %% claims
STRIDES = (1, 2, 3, 4, 8, 16)
if counted:
    lesson.claim("from_columns: counted and computed sectors agree", counted == predicted)
    for s in STRIDES:  # a window of one pixel, moved by s pixels
        image, col = np.zeros((1, 1, 8, 64 * s), "f"), np.zeros((1, 1, 1, 1, 8, 64), "f")
        sizes = 1, 1, 8, 64 * s, 1, 1, 8, 64, 1, s, 0, 0, 1, 1
        counted[s] = kernels.run("im2col<float>", col.size, image, col, *sizes)
        print(f"  im2col, stride {s:>2}: {counted[s]} sectors per warp")
    formula = {s: {"load": min(4 * s, 32), "store": 4} for s in STRIDES}
    text = "im2col: they agree for each stride; its stores are coalesced"
    lesson.claim(text, {s: counted[s] for s in STRIDES} == formula)
    lesson.claim("the two orders write the same array", np.array_equal(*results))
    message = ""
    try:
        kernels.run("unchecked<float>", 1000, x, np.zeros_like(x), 1000)
    except Exception as raised:
        message = str(raised)
    text = "relu without the bounds check is detected: " + message.partition(": ")[2]
    lesson.claim(text, "out of bounds: element 1000" in message)
else:
    reason = kernels_on_cpu.why_not_compiled()
    lesson.skip("the counts of sectors are those of the formula", reason)
    lesson.skip("relu without the bounds check is detected", reason)

# %% plot
figure = lesson.figure(11, 3.8)
title = "Elements that a warp reads, by stride"
axes = lesson.axes(figure, 1, 2, 1, title=title, xlabel="elements of the array; a box is a sector")
shown = (1, 2, 4, 8)
for row, s in enumerate(shown):
    touched = sorted(set(s * WARP // 8))
    axes.barh([row] * len(touched), 7.4, left=[8 * i + 0.3 for i in touched], color="#d8dee4")
    axes.barh([row] * 32, 0.9, left=s * WARP + 0.3, color=lesson.BLUE, height=0.5)
axes.set_yticks(range(len(shown)), [f"{s}: {sectors(s * WARP)} sectors" for s in shown])
axes.set_xlim(0, 256)
axes.set_xticks(range(0, 257, 32))
axes.invert_yaxis()
axes.grid(visible=False)
title = "Sectors per warp" + ("" if counted else ", computed")
axes = lesson.axes(figure, 1, 2, 2, title=title, xlabel="stride", ylabel="sectors")
all_strides = np.arange(1, 17)
axes.plot(all_strides, np.minimum(4 * all_strides, 32), color=lesson.GREY, label="min(4 s, 32)")
if counted:
    loads = [counted[s]["load"] for s in STRIDES]
    axes.plot(STRIDES, loads, "o", color=lesson.BLUE, label="im2col, loads")
    stores = [counted[s]["store"] for s in STRIDES]
    axes.plot(STRIDES, stores, "s", color=lesson.GREEN, label="im2col, stores")
for name, colour in (("p fastest", lesson.GREEN), ("o fastest", lesson.RED)):
    axes.axhline(predicted[name]["store"], color=colour, linestyle=":", linewidth=1.5)
    axes.text(16, predicted[name]["store"] + 0.6, f"from_columns, {name}", ha="right", fontsize=8)
axes.set(ylim=(0, 36), xticks=[1, 2, 3, 4, 8, 16])
axes.legend(fontsize=8, loc="center right")
lesson.show(figure, "19_gpu")

# %% [markdown]
# ## 4. What a training step asks of the GPU
#
# A GPU has a memory of its own. For each step of training the CPU sends it the images
# and labels, and then launches kernels and matrix multiplications, one after another.
# Each launch has a cost of its own, whatever the number of elements. The CPU does not
# wait for the results: a launch puts the work into a *queue*, and the CPU goes on. Only
# when the program needs a value, as in `loss.item()`, it waits until all work is done,
# and copies the value: a *synchronisation*. While it waits it launches nothing, and
# then the GPU has nothing to do.
#
# We count launches, copied bytes and synchronisations of a network of linear layers.
# How many launches does one more layer of `nn.Linear` and `nn.ReLU` cost?
#
# - forward: a matrix multiplication; the bias and ReLU, in one kernel: 2;
# - backward: ReLU and the gradient of the bias, in one kernel; the gradients of the
#   input and of the weight, two matrix multiplications: 3;
# - SGD: none. One kernel updates the parameters of all layers.
#
# A step with a batch of B colour images of 32 x 32 pixels in float32, with labels of 8
# bytes, and with h such layers more, should therefore need
#
# $$
# \textrm{launches}(h) = \textrm{launches}(0) + 5\,h, \qquad
# \textrm{bytes} = B\,(4 \cdot 3072 + 8).
# $$
#
# **Before you run this:** the batch grows from 8 to 64 images. How many launches are
# added? We train for 20 steps, and print the loss in each of them, or only at the end.
# How often does the CPU wait?


# %%
def start_training(h, batch):
    """A network with h layers more, its optimizer, and a batch in the CPU's memory."""
    hidden = [layer for _ in range(h) for layer in (nn.Linear(64, 64), nn.ReLU())]
    layers = [nn.Flatten(), nn.Linear(3072, 64), nn.ReLU(), *hidden, nn.Linear(64, 10)]
    net = nn.Sequential(*layers).to(gpu.device)
    images = rng.standard_normal((batch, 3, 32, 32)).astype("f")
    optimizer = optim.SGD(net.parameters(), lr=0.001, momentum=0.9)
    return net, optimizer, images, rng.integers(0, 10, batch)


def train(h, batch, steps=1, read_each_loss=False):
    """The counts of what the GPU is asked to do in these steps."""
    net, optimizer, images, labels = start_training(h, batch)

    def step():
        loss = F.cross_entropy(net(device.to(images, gpu.device)), device.to(labels, gpu.device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step()  # the first one also copies the learning rates
    with gpu.counting() as counts:
        losses = [step().item() if read_each_loss else step() for _ in range(steps)]
        float(losses[-1])
    return counts


cases = {(h, batch): train(h, batch) for h in (0, 1, 2) for batch in (8, 64)}
# gemms: general matrix multiplications
launches = {case: counts.launches.total() + counts.gemms for case, counts in cases.items()}
copied = {batch: cases[0, batch].copied_bytes["to the GPU"] for batch in (8, 64)}
waits = {each: train(0, 8, 20, each).synchronizations.total() for each in (False, True)}
if not gpu.not_counted:
    print(f"launches by (h, images): {launches}; bytes to the GPU: {copied}")
    print(f"synchronisations in 20 steps, if the loss is read in each: {waits}")

# %% answer [markdown]
# None: the number of launches does not depend on the batch. Each launch costs the CPU
# the same time, so with a small batch this cost is shared by few images. The copied
# bytes are proportional to the batch. (Images can also be sent as uint8, with a quarter
# of the bytes, and converted to float32 on the GPU.)
#
# Reading the loss in every step makes the CPU wait 20 times instead of once. A program
# that has to show the loss can add the losses of several steps on the GPU, and read the
# sum.

# %% claims
if gpu.not_counted:
    lesson.skip("launches, bytes and synchronisations are those of the formulas", gpu.not_counted)
else:
    text = f"a layer more costs 5 launches: {launches[0, 8]}, {launches[1, 8]}, {launches[2, 8]}"
    lesson.claim(text, all(n == launches[0, 8] + 5 * h for (h, _), n in launches.items()))
    same = all(launches[h, 8] == launches[h, 64] for h, _ in launches)
    lesson.claim("the batch does not change the number of launches", same)
    expected = all(n == batch * (4 * 3072 + 8) for batch, n in copied.items())
    lesson.claim("the bytes are those of the images and labels", expected)
    text = "the CPU waits once for each loss that is read"
    lesson.claim(text, (waits[False], waits[True]) == (1, 20))

# %% [markdown]
# ## Break it
#
# The usual way to measure a time is to read a clock before and after. Here it is a
# training step whose loss is not read. After each part of the step, `gpu.pending()`
# returns how many operations in the queue are not done yet.
#
# **Before you run this:** how many of the step's operations are done at the time when
# the second clock is read?

# %%
net, optimizer, images, labels = start_training(0, 64)
images, labels = device.to(images, gpu.device), device.to(labels, gpu.device)
gpu.synchronize()
start = time.perf_counter()
queue = {"start": gpu.pending()}
loss = F.cross_entropy(net(images), labels, reduction="sum")
queue["forward"] = gpu.pending()
loss.backward()
queue["backward"] = gpu.pending()
optimizer.step()
queue["SGD"] = gpu.pending()
seconds = time.perf_counter() - start
was_done = gpu.is_done()
gpu.synchronize()
queue["synchronize"] = gpu.pending()
if not gpu.not_counted:
    print(f"operations in the queue after each part: {queue}; all done at the end: {was_done}")

# %% answer [markdown]
# None: all operations of the step are in the queue when the clock is read for the
# second time, and are done in `synchronize`. The emulated GPU of this lesson is *lazy*:
# it does nothing until the program waits for it, which is the extreme case of what a
# GPU may do. A real GPU begins at once, and has done some of them. In both cases
# `seconds` is the time that the CPU needed to launch the work, not the time of the
# work.
#
# The symptom to remember: a time that is much too short, and does not grow with the
# batch or with the size of the layers. The missing time appears at another line, the
# next one that waits, such as `loss.item()`. Call
# `cupy.cuda.get_current_stream().synchronize()` before each reading of the clock, or
# use CUDA's events, which are recorded in the queue itself (`cupyx.profiler.benchmark`
# does).

# %% claims
if gpu.not_counted:
    lesson.skip("at the second reading of the clock no operation is done", gpu.not_counted)
else:
    growing = queue["start"] < queue["forward"] < queue["backward"] < queue["SGD"]
    lesson.claim("the queue grows in each part of the step", growing and queue["start"] == 0)
    text = f"at the second reading of the clock {queue['SGD']} operations are not done"
    lesson.claim(text, not was_done and queue["SGD"] > 15)
    lesson.claim("after synchronize all are done", queue["synchronize"] == 0)

# %% plot
figure = lesson.figure(7, 3)
title = "Operations in the queue of the lazy GPU" + (" (not counted)" if gpu.not_counted else "")
axes = lesson.axes(figure, 1, 1, 1, title=title, ylabel="not done yet")
axes.plot(list(queue), list(queue.values()), "o-", color=lesson.BLUE)
for position, text in ((0, "first clock"), (3, "second clock")):
    axes.axvline(position, color=lesson.RED, linestyle=":")
    axes.text(position + 0.05, 1.3 * max(queue.values()), text, fontsize=8, va="top")
axes.set_ylim(-1, 1.35 * max(queue.values()) + 1)
lesson.show(figure, "19_gpu_timer")

# %% [markdown]
# ## Exercises
#
# 1. Write the function that counts the sectors and the used bytes of a warp for any
#    indices, also with threads that the bounds check has stopped: `tinyalex learn start
#    19` creates the file in `my/`, `tinyalex learn check 19` checks it.
# 2. `tinyalex explain im2col` counts 16.7 sectors for each load of conv1, and not 16,
#    and more than 4 for each store. Its maps are 55 x 55. Why?
# 3. `max_pool` reads windows that overlap: run `tinyalex explain max_pool`. Then
#    compute the sectors of a copy from (N, C, H, W) to (N, H, W, C) in both orders of
#    the index. Is there an order in which both sides touch 4?
# 4. Add Dropout (lesson 10) to `train`. How many launches does it add to a step?
