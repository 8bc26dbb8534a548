# %% [markdown]
"""
# 15. What is inside AlexNet?

    python lessons/15_inside_alexnet.py [--device cuda]

The summary of the paper says that the network has 60 million parameters and 650,000
neurons, five convolutional layers and three linear ones. It does not say where these
millions are, or how much work an image takes. Three short formulas answer that for any
network of this kind, before it is built: the size of each layer's output, the number of
its parameters, and the number of its multiplications. In this lesson you fill in the
table of AlexNet with them, until its totals agree with those of the library. Then you
use the table to check ten sentences that are often written about AlexNet.
"""

# %%
import math
from collections import namedtuple

import numpy as np

import tinyalex as ta
from tinyalex import functional as F
from tinyalex import models, nn
from tinyalex.course import lesson
from tinyalex.nn import init

args = lesson.options(__doc__)

# %% [markdown]
# ## Three formulas
#
# Take a convolution of C input channels with F filters of K x K weights, with stride S
# and padding P (lesson 5). A window of K pixels in a row of H + 2P pixels can start at
# 0, S, 2S, ..., up to H + 2P - K. Counting these positions gives the size of the output
# (the brackets mean: rounded down):
#
# $$
# \text{size} = \left\lfloor \frac{H + 2P - K}{S} \right\rfloor + 1
# $$
#
# **Groups.** The authors used two GPUs of 3 GB of memory each (lesson 20 asks whether
# one is enough). Each GPU had half of the filters of every layer (section 3.2). In
# conv2, conv4 and conv5 a filter reads only the channels that are computed on its own
# GPU; in conv3 it reads all. Today this is an option of the convolution: with
# `groups=G`, the channels and the filters are divided into G groups, and a filter reads
# the C/G channels of its own group. The paper's layers have G = 2 or G = 1.
#
# **Parameters.** So each of the F filters has one weight for every element of a window
# of K x K in C/G channels, and one bias:
#
# $$
# \text{parameters} = F \left( \frac{C}{G} K^2 + 1 \right)
# $$
#
# **Arithmetic.** Each output value is the dot product of a filter and a patch. It takes
# $(C/G) K^2$ multiplications and about as many additions. One of each, `y += w * x`, is
# called a *multiply-add*, and is two floating-point operations. The F filters have size
# x size outputs each:
#
# $$
# \text{multiply-adds} = F \cdot \text{size}^2 \cdot \frac{C}{G} K^2
# $$
#
# Additions of biases, ReLU, LRN and pooling are usually not counted; they are few.
#
# **Linear layers** need no formulas of their own: a linear layer is a convolution whose
# window is the whole input, so that there is one position. For fc6, which reads 256
# maps of 6 x 6, C = 256 and K = 6. For a layer that reads 4096 values, C = 4096 and K =
# 1.
#
# ## Fill in the table
#
# The description of AlexNet. Pooling layers, after conv1, conv2 and conv5, have windows
# of 3 x 3 with stride 2 and no padding; their output size follows from the first
# formula. The image has 224 x 224 pixels, and conv1 is padded by 2 (lesson 5).
#
# | layer | C | F | K | S | P | G | size | parameters | multiply-adds |
# |---|---|---|---|---|---|---|---|---|---|
# | conv1 | 3 | 96 | 11 | 4 | 2 | 1 | 55 | 34,944 | 105,415,200 |
# | conv2 | 96 | 256 | 5 | 1 | 2 | 2 | ... | ... | ... |
# | conv3 | 256 | 384 | 3 | 1 | 1 | 1 | ... | ... | ... |
# | conv4 | 384 | 384 | 3 | 1 | 1 | 2 | ... | ... | ... |
# | conv5 | 384 | 256 | 3 | 1 | 1 | 2 | ... | ... | ... |
# | fc6 | 256 | 4096 | 6 | 1 | 0 | 1 | 1 | ... | ... |
# | fc7 | 4096 | 4096 | 1 | 1 | 0 | 1 | 1 | ... | ... |
# | fc8 | 4096 | 1000 | 1 | 1 | 0 | 1 | 1 | ... | ... |
#
# conv1, as an example: (224 + 4 - 11) / 4 + 1 = 55.25, so 55; 96 * (3 * 121 + 1) =
# 34,944; 96 * 55 * 55 * 3 * 121 = 105,415,200.
#
# **Before you run this:** fill in the other rows, with a pocket calculator or with a
# function of your own (this is exercise 1). Your totals should be 60,965,224 parameters
# and 724,406,816 multiply-adds. If this is too much: which layer has the most
# parameters, and which the most multiply-adds? The next cell has an answer of the
# exercise; read it when your totals agree.


# %%
Layer = namedtuple("Layer", "c f k s p g pooled", defaults=(0, 1, 0, 1, False))
Row = namedtuple("Row", "size parameters multiply_adds outputs")
PAPER = {
    "conv1": Layer(3, 96, 11, s=4, p=2, pooled=True),
    "conv2": Layer(96, 256, 5, p=2, g=2, pooled=True),
    "conv3": Layer(256, 384, 3, p=1),
    "conv4": Layer(384, 384, 3, p=1, g=2),
    "conv5": Layer(384, 256, 3, p=1, g=2, pooled=True),
    "fc6": Layer(256, 4096),  # without k: the window is the whole input
    "fc7": Layer(4096, 4096),
    "fc8": Layer(4096, 1000),
}


def table(layers, size=224):
    """The row of each layer."""
    rows = {}
    for name, layer in layers.items():
        k = layer.k or size
        size = (size + 2 * layer.p - k) // layer.s + 1
        products = layer.c // layer.g * k**2  # of one output value
        outputs = layer.f * size**2
        rows[name] = Row(size, layer.f * (products + 1), outputs * products, outputs)
        size = (size - 3) // 2 + 1 if layer.pooled else size
    return rows


def total(rows, column, names=""):
    """The sum of a column, over the layers whose name starts with `names`."""
    return sum(getattr(row, column) for name, row in rows.items() if name.startswith(names))


paper = table(PAPER)
for name, row in paper.items():
    print(f"  {name:<6}{row.size:>4}{row.parameters:>12,}{row.multiply_adds:>13,}")
parameters, multiply_adds = total(paper, "parameters"), total(paper, "multiply_adds")
print(f"  total     {parameters:>12,}{multiply_adds:>13,}")

with init.skipped():  # zeros instead of random weights: only shapes are used
    alexnet = models.alexnet("paper")
summary = alexnet.summary((3, 224, 224))
print(summary)

# %% plot
figure = lesson.figure(11, 4.2)
names = list(paper)
colours = [lesson.BLUE if name.startswith("conv") else lesson.RED for name in names]
columns = ("outputs", "values in the output"), ("parameters", "parameters")
columns += (("multiply_adds", "multiply-adds"),)
for position, (column, title) in enumerate(columns, 1):
    values = np.array([getattr(row, column) for row in paper.values()])
    axes = lesson.axes(figure, 1, 3, position, title=f"{title}: {values.sum():,}")
    bars = axes.barh(names, 100 * values / values.sum(), color=colours)
    shares = [f"{share:.1f} %" for share in 100 * values / values.sum()]
    axes.bar_label(bars, shares, padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlim=(0, 75), xlabel="percent of the total")
    axes.grid(axis="y", visible=False)
lesson.show(figure, "15_inside_alexnet")

# %% answer [markdown]
# The library's `summary` counts the same. The two questions have different answers. The
# convolutions (blue) have nearly all of the multiply-adds, conv2 the most, and
# hardly any parameters. The linear layers (red) have nearly all parameters: fc6 alone
# has more than all others together.
#
# The reason is in the formulas. Divide the multiply-adds by the number of weights:
#
# $$
# \frac{\text{multiply-adds}}{\text{weights}}
# = \frac{F \cdot \text{size}^2 \cdot (C/G) K^2}{F \cdot (C/G) K^2} = \text{size}^2
# $$
#
# A weight is used once at each position of the output: those of conv1 3025 times in
# each image, those of fc6 once. A convolution has few parameters because all positions
# share them, and it is expensive because there are many positions.
#
# This has practical consequences. To make the network faster, change the convolutions
# (lesson 18). To make its file smaller, or to send fewer gradients from one machine to
# another (lesson 20), change the linear layers: later networks replaced fc6 and fc7 by
# an average over all positions.

# %% claims
lines = {line.split()[0]: line.split()[-2:] for line in summary.splitlines()[1:]}
same = all([f"{r.parameters:,}", f"{r.multiply_adds:,}"] == lines[n] for n, r in paper.items())
lesson.claim("all eight rows agree with the library's summary", same)
agree = lines["total"] == [f"{parameters:,}", f"{multiply_adds:,}"]
text = f"so do the totals: {parameters:,} parameters, {multiply_adds:,} multiply-adds"
lesson.claim(text, agree and (parameters, multiply_adds) == (60_965_224, 724_406_816))
share = paper["fc6"].parameters / parameters
lesson.claim(f"fc6 has {share:.0%} of the parameters", share > 0.5)
share = total(paper, "multiply_adds", "conv") / multiply_adds
lesson.claim(f"the convolutions have {share:.0%} of the multiply-adds", share > 0.9)
most = max(paper, key=lambda name: paper[name].multiply_adds)
lesson.claim(f"the layer with most multiply-adds is {most}", most == "conv2")
uses = {n: r.multiply_adds / (r.parameters - PAPER[n].f) for n, r in paper.items()}
lesson.claim("each weight is used size**2 times", all(uses[n] == paper[n].size ** 2 for n in uses))

# %% [markdown]
# ## What groups change
#
# With two groups, a filter of conv2 reads 48 of the 96 channels. Such a layer can be
# computed as two convolutions, each with half of the channels and half of the filters.
# Or as one convolution without groups, in which the weights for the other half are 0.
#
# In both formulas, parameters and multiply-adds are divided by G (if biases are left
# out). Three of the eight layers have G = 2.
#
# **Before you run this:** if these three had G = 1, as on a single GPU, by what
# percentage would the network's parameters grow? And its multiply-adds?

# %%
single = {name: layer._replace(g=1) for name, layer in PAPER.items()}
for column in ("parameters", "multiply_adds"):
    one, two = total(table(single), column), total(paper, column)
    print(f"  {column}: {one:,} without groups, {two:,} with; {one / two - 1:+.1%}")

rng = np.random.default_rng(args.seed)
x, w = rng.standard_normal((2, 6, 9, 9)), rng.standard_normal((8, 3, 5, 5))
grouped = F.conv2d(x, w, groups=2).numpy()
halves = [F.conv2d(x[:, :3], w[:4]).numpy(), F.conv2d(x[:, 3:], w[4:]).numpy()]
halves = np.concatenate(halves, axis=1)
whole = np.zeros((8, 6, 5, 5))
whole[:4, :3], whole[4:, 3:] = w[:4], w[4:]
with_zeros = F.conv2d(x, whole).numpy()

# %% plot
figure = lesson.figure(11, 3.6)
convolutions = [item for item in PAPER.items() if item[1].k]
for position, (name, layer) in enumerate(convolutions, 1):
    axes = figure.add_subplot(1, 5, position)
    rows, columns = layer.f // layer.g, layer.c // layer.g
    for g in range(layer.g):
        style = {"color": (lesson.BLUE, lesson.RED)[g] if layer.g > 1 else lesson.GREY}
        axes.fill_between([g * columns, (g + 1) * columns], g * rows, (g + 1) * rows, **style)
    axes.set(xlim=(0, layer.c), ylim=(layer.f, 0), xlabel="channel", title=name)
    axes.set(xticks=[0, layer.c], yticks=[0, layer.f], aspect="auto")
    if position == 1:
        axes.set_ylabel("filter")
figure.suptitle("Which channels each filter reads (coloured)", x=0.01, ha="left", fontsize=11)
lesson.show(figure, "15_inside_alexnet_groups")

# %% answer [markdown]
# The parameters grow by little, since the convolutions have few. The multiply-adds grow
# by more than half. So the paper's division among two GPUs also saves a third of the
# arithmetic. `models.alexnet("single")` is the network without groups. It is often
# called AlexNet too, which explains some of the numbers below.

# %% claims
with init.skipped():
    built = sum(p.size for p in models.alexnet("single").parameters())
one = total(table(single), "parameters")
text = f"without groups there are {one:,} parameters, as in models.alexnet('single')"
lesson.claim(text, one == built == 62_378_344)
both = "parameters", "multiply_adds"
more, much_more = (total(table(single), c) / total(paper, c) - 1 for c in both)
text = f"groups=1 adds {more:.1%} of parameters and {much_more:.0%} of multiply-adds"
lesson.claim(text, more < 0.03 and much_more > 0.5)
same = np.allclose(grouped, halves) and np.allclose(grouped, with_zeros)
lesson.claim("groups=2 is two convolutions, or one with zeros", same)

# %% [markdown]
# ## Memory
#
# A float32 value takes 4 bytes. Parameters are stored once. The outputs of the layers,
# the *activations*, are stored for each image of a batch, because the backward pass
# needs them. If every layer of the summary, also ReLU, LRN, pooling and dropout, keeps
# its own output, with $A$ values in all for one image, a batch of N images needs
#
# $$
# 4 N A \ \text{bytes for activations,} \qquad 4 \cdot \text{parameters for the network}
# $$
#
# **Before you run this:** from which N on do the activations take more memory than the
# parameters: 3, 30, 300 or 3000 images?

# %%
steps = nn.tracing.trace(alexnet, (3, 224, 224))  # the rows of the summary, as objects
stored = sum(math.prod(step.shape) for step in steps if step.name != "flatten")
print(f"  activations of an image: {stored:,} values, {4e-6 * stored:.1f} MB")
print(f"  of 128 images: {4e-6 * 128 * stored:,.0f} MB; parameters: {4e-6 * parameters:.0f} MB")

# %% answer [markdown]
# From about 32 images on. At the paper's batch size of 128, the activations of the
# forward pass alone are about a third of the 3 GB of one GPU of 2012. Training needs
# more: gradients, the velocity of lesson 13, and memory for intermediate results.
# Lesson 20 measures all of it. (tinyalex stores less than this sum, because it computes
# some pairs of layers in one pass.)

# %% claims
equal = parameters / stored
text = f"activations exceed the parameters from {math.ceil(equal)} images on"
lesson.claim(text, 25 < equal < 40)
lesson.claim("with 128 images they are four times as large", 3.5 < 128 / equal < 4.5)

# %% [markdown]
# ## Ten sentences about AlexNet
#
# Sentences like these are found in courses, articles and on question-and-answer sites.
#
# 1. "It has 62.4 million parameters."
# 2. "It has 61.1 million parameters."
# 3. "A forward pass takes 1.1 billion multiply-adds."
# 4. "A forward pass takes 1.4 billion floating-point operations."
# 5. "The paper's 224 is a mistake: only 227 x 227 pixels give 55 x 55 outputs."
# 6. "It has 60 million parameters because of its convolutions."
# 7. "Most of the arithmetic is in its large linear layers."
# 8. "It has 11 layers."
# 9. "conv1 has 253,440 neurons" (figure 2 of the paper).
# 10. "fc6 reads the 256 x 13 x 13 outputs of conv5."
#
# **Before you run this:** which of them are right for the network of the paper? Each
# can be decided with the table, or with the table of a network that is built in another
# way.

# %%
widths = zip(single.items(), (64, 192, 384, 256, 256), (3, 64, 192, 384, 256), strict=False)
other = single | {name: layer._replace(f=f, c=c) for (name, layer), f, c in widths}
other = total(table(other), "parameters")
no_padding = PAPER | {"conv1": PAPER["conv1"]._replace(p=0)}
same = table(no_padding, 227) == paper
one_column = f"{total(table(single), 'parameters'):,}, {total(table(single), 'multiply_adds'):,}"
conv_share = total(paper, "parameters", "conv") / parameters
linear_share = total(paper, "multiply_adds", "fc") / multiply_adds
neurons = total(paper, "outputs")
unpooled = table(PAPER | {"conv5": PAPER["conv5"]._replace(pooled=False)})
print(f"   1. and 3. without groups: {one_column}; with groups: {parameters:,}, {multiply_adds:,}")
print(f"   2. 64, 192, 384, 256, 256 filters, no groups: {other:,} parameters")
print(f"   4. two for each multiply-add: {2 * multiply_adds:,}")
print(f"   5. 227 without padding and 224 with padding 2 have equal tables: {same}")
print(f"   6. share of the convolutions in the parameters: {conv_share:.1%}")
print(f"   7. share of the linear layers in the multiply-adds: {linear_share:.1%}")
print(f"   8. layers with weights: {len(PAPER)}; with the three poolings: {len(PAPER) + 3}")
print(f"   9. 96 * 55 * 55 = {96 * 55 * 55:,}, 96 * 55 * 48 = {96 * 55 * 48:,}; all: {neurons:,}")
print(f"  10. parameters without the third pooling: {total(unpooled, 'parameters'):,}")

# %% answer [markdown]
# Only sentence 4 is right.
#
# 1. and 3. describe the network without groups. 2. describes torchvision's `alexnet`,
# which follows a later paper (Krizhevsky 2014) and has other numbers of filters.
#
# 4. is right, and does not contradict 0.7 billion: one counts multiplications and
# additions as two operations, the other multiply-adds as one. Ask which, before
# comparing two tables.
#
# 5. 227 pixels without padding fit exactly. But the code of 2012 reads 224 and rounds
# the quotient 53.25 up, to 54, so that the size is 55; and a padding of 2 gives 55 too.
# All three have the same table.
#
# 6. and 7. exchange the two kinds of layers. 8. counts poolings as layers. They have no
# weights; the paper counts eight layers.
#
# 9. 253,440 is 55 * 48 * 96, with 48 instead of 55: an error in the figure. With 96 *
# 55 * 55, the outputs of the eight layers add up to about 659,000, which are the
# 650,000 neurons of the paper's summary.
#
# 10. forgets the third pooling. The network would have more than three times as many
# parameters.

# %% claims
text = f"the paper's 650,000 neurons are {neurons:,}"
lesson.claim(text, abs(neurons / 650_000 - 1) < 0.02)
with init.skipped():
    built = sum(p.size for p in models.alexnet("torchvision").parameters())
lesson.claim(f"torchvision's alexnet has {built:,} parameters", built == other == 61_100_840)
lesson.claim("227 without padding and 224 with padding 2 have the same table", same)
text = f"the convolutions have {conv_share:.1%} of the parameters, the linear layers "
text += f"{linear_share:.1%} of the multiply-adds"
lesson.claim(text, conv_share < 0.05 and linear_share < 0.1)
times = total(unpooled, "parameters") / parameters
lesson.claim(f"without pool5 there are {times:.1f} times as many parameters", times > 3)

# %% [markdown]
# ## Break it: conv1 without padding
#
# The paper mentions no padding. So a reader builds conv1 without one, on 224 x 224
# pixels, and lets the program compute how many values fc6 reads, as many libraries do.
#
# **Before you run this:** will there be an error? And how many parameters has this
# network: more, fewer, or equally many?

# %%
broken = table(no_padding)
fc6_inputs = broken["fc6"].parameters // 4096 - 1

with init.skipped(), ta.no_grad():
    network = models.alexnet("paper").eval()
    network.conv1.padding, network.fc6 = 0, nn.Linear(fc6_inputs, 4096)
    logits = network(np.zeros((1, 3, 224, 224), "f"))
print(f"  logits of an image {logits.shape}; fc6 reads {fc6_inputs} values", end="")
print(f"; {total(broken, 'parameters'):,} parameters")
try:
    network.load_state_dict(alexnet.state_dict())  # the weights of the right network
except ValueError as error:
    message = str(error)
    print(message)

# %% answer [markdown]
# There is no error: the network computes an output, and it can be trained. Its maps are
# smaller by one pixel after conv1, and because pooling halves and rounds down, 5 x 5
# instead of 6 x 6 at the end. fc6 reads 6400 values instead of 9216, so a fifth of all
# parameters is missing. It is another network.
#
# **The symptom to remember: published weights fit every layer except the first linear
# one.** Then an output size before it is different: compare padding and rounding, layer
# by layer, with a table like the one above. The total number of parameters is the
# fastest check of all: a network that is not built as intended rarely has the right
# one.

# %% claims
fewer = 1 - total(broken, "parameters") / parameters
lesson.claim(f"the network has {fewer:.0%} fewer parameters, and runs", 0.15 < fewer < 0.25)
built = sum(p.size for p in network.parameters())
lesson.claim("the table of the broken network is right too", built == total(broken, "parameters"))
only = "fc6" in message and not any(name in message for name in PAPER if name != "fc6")
lesson.claim("loading weights fails, and names fc6 only", only)

# %% [markdown]
# ## Exercises
#
# 1. Write the function that computes a row of the table: `tinyalex learn start 15`
#    creates the file in `my/`, `tinyalex learn check 15` checks it.
# 2. conv1 has stride 4. By what factor would the network's multiply-adds grow with
#    stride 2, if fc6 were adapted? Estimate first, then change the table.
# 3. Replace the 11 x 11 filters of conv1 by 7 x 7 filters with stride 2, as Zeiler and
#    Fergus did in 2013. How do the multiply-adds change, and why?
# 4. Replace fc6 and fc7 by an average of each of the 256 maps over its 6 x 6 positions,
#    followed by one linear layer. How many parameters are left? Does the time of a
#    forward pass change as much?
