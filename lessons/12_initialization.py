# %% [markdown]
"""
# 12. How should weights start?

    python lessons/12_initialization.py [--seed 1] [--device cuda] [--full]

Before the first step of training the weights must be something. They must not all be the same, as we will see at the end; so they are
drawn at random, mostly from the bell curve N(0, sigma): mean 0, and sigma is how far from it a typical number lies, the *standard
deviation*. The paper says sigma = 0.01, with biases of 1 in some layers (section 5). People who copy this number often report that
nothing happens: the loss stays at ln K, K being the number of classes, for a long time. What did they miss?
"""

# %%
import math
from functools import partial
from itertools import chain, count, islice

import numpy as np

import tinyalex as ta
from tinyalex import data, models, optim
from tinyalex import functional as F
from tinyalex.learning import lesson
from tinyalex.nn import init

args = lesson.options(__doc__)
photos = lesson.photos(16, size=224).pixels.astype(np.float32)
photos -= photos.mean(axis=(0, 2, 3), keepdims=True)  # the mean colour taken out: about -128 to 128
deviation = photos.std()
print(f"16 pictures; the standard deviation of their pixels is {deviation:.0f}")

# %% [markdown]
# ## What is left of a picture
#
# A network can only tell pictures apart if they make a difference in its last layer. So we send 16 of them through the untrained AlexNet
# of the paper, and ask in each layer: how far does a number go up and down *from picture to picture*? Its standard deviation over the
# pictures, averaged over all numbers of the layer, is the layer's *spread*.
#
# Three starts. The paper's, with pixels as in the paper: from 0 to 255, minus the mean. The paper's, with pixels divided by 255, which is
# how pictures mostly come today. And He's (He et al. 2015), which you will understand in a moment, with pixels of deviation 1.
#
# Before you run this: eight layers have weights. By what power of ten will the spread of the last one differ between the first two starts?


# %%
def spreads(net, pixels):
    """Of each layer's output, after its ReLU: the spread, the deviation of all its numbers together, and the share that is 0."""
    x, found = ta.Tensor(pixels), {}
    with ta.no_grad():
        for name, layer in net.eval().named_children():
            x = layer(x)
            if name.startswith("relu") or name == "fc8":
                numbers = x.numpy().reshape(len(pixels), -1)
                found[name] = numbers.std(axis=0).mean(), numbers.std(), (numbers == 0).mean()
    return found


alexnet = models.alexnet("paper")
starts = {
    "0.01, pixels to 255": spreads(alexnet, photos),
    "0.01, pixels to 1": spreads(alexnet, photos / 255),
}
weights = {name: p for name, p in alexnet.named_parameters() if p.ndim > 1}
paper_sigmas = np.array([p.numpy().std() for p in weights.values()])
init.kaiming_(alexnet)
starts["He, deviation 1"] = spreads(alexnet, photos / deviation)
print(f"  {'':<8}" + "".join(f"{name:>22}" for name in starts))
for layer in starts["He, deviation 1"]:
    print(f"  {layer:<8}" + "".join(f"{found[layer][0]:>22.5f}" for found in starts.values()))
large, small, he = (found["fc8"][0] for found in starts.values())
lesson.claim(
    f"with pixels to 255, the last layer's spread is {large / small:.0f} times that with pixels to 1",
    large > 50 * small,
)
lesson.claim(f"from He's weights, a picture still moves its numbers by {he:.2f}", he > 0.1)

# %% [markdown]
# A trap: the deviation of *all* numbers of a layer, which many programs plot, sees nothing of it. It is made of the differences between
# neurons, which the biases of 1 and the random weights bring about without any picture.

# %%
first, second = (starts[name]["relu7"][1] for name in ("0.01, pixels to 255", "0.01, pixels to 1"))
lesson.claim(
    f"by that measure, the last hidden layer looks the same in both: {first:.2f} and {second:.2f}",
    0.9 < first / second < 1.1,
)
closed = [starts[name]["relu4"][2] for name in ("0.01, pixels to 255", "He, deviation 1")]
lesson.claim(
    f"biases of 1 do open the ReLUs: in conv4 {closed[0]:.0%} give 0, without them {closed[1]:.0%}",
    closed[0] < 0.1 < closed[1],
)

# %% [markdown]
# Open ReLUs let gradients through from the start, and that is what the paper wants biases of 1 for (section 5).
#
# ## Where He's sigma comes from
#
# One output is a sum of products. How many there are is called the *fan-in*: channels times the window's height and width. Random numbers
# partly cancel in a sum: n of them have a deviation not n times but sqrt(n) times as large. So a layer multiplies the spread by about
# sigma * sqrt(fan-in), and ReLU, which makes half of the numbers 0, halves the squares. To keep the size of signals from layer to layer,
# sigma must be sqrt(2 / fan-in).
#
# Before you run this: is the paper's 0.01 too small for that, or too large?

# %%
fans = np.array([init.fan_in(p) for p in weights.values()])
he_sigmas = np.sqrt(2 / fans)
for name, fan_in, wanted, sigma in zip(weights, fans, he_sigmas, paper_sigmas, strict=True):
    print(f"  {name:<13} fan-in {fan_in:>5}: He's sigma {wanted:.4f}, the paper's {sigma:.4f}")
drawn = np.array([p.numpy().std() for p in weights.values()])
lesson.claim(
    "`init.kaiming_` draws with sqrt(2 / fan-in)", np.allclose(drawn, he_sigmas, rtol=0.03)
)
lesson.claim(
    "the paper's sigma is smaller than that in every layer", (paper_sigmas < he_sigmas).all()
)
shrunk = np.prod(he_sigmas / paper_sigmas)
lesson.claim(
    f"taken together, the eight layers shrink a signal {shrunk:,.0f} times as much as He's would",
    shrunk > 1000,
)

# %% [markdown]
# So the paper's start does not keep the size of signals. It begins with large ones and lives on that. Each recipe is a
# pair: *sigma and pixel scale*.
#
# ## The plateau
#
# Now a network that trains in seconds, cuda-convnet's small one for 32 x 32 pixels. All runs have the same images in the same order and
# the rate of the paper, 0.01. Biases start at 0, so that only sigma and pixel scale differ.
#
# The loss is minus the logarithm of the probability that the right class was given (lesson 11). A network that has nothing to go by had
# best give each of ten classes a tenth. Before you run this: what is its loss, and which of the three runs will stay there?

# %%
steps, classes = 1500 if args.full else 300, 10
train = lesson.images(2000).train
mean, small_deviation = data.mean_image(train.images), float(train.images.std())


def run(fill, scale, steps):
    """The network and its loss at each step. `fill` sets a weight's first numbers."""
    ta.manual_seed(args.seed)
    net = models.cifar("quick")
    for p in net.parameters():
        fill(p) if p.ndim > 1 else init.zeros_(p)
    optimizer = optim.SGD(optim.paper_groups(net, lr=0.01), lr=0.01, momentum=0.9)
    normalize, losses = data.Normalize(mean, scale=scale), []
    loader = data.Loader(
        train, 32, shuffle=True, transform=normalize, drop_last=True, device=args.device
    )
    for images, labels in islice(chain.from_iterable(map(loader.epoch, count())), steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return net, np.array(losses)


thin, he_plan = partial(init.normal_, std=0.01), (init.kaiming_normal_, 1 / small_deviation)
plans = dict(zip(starts, ((thin, 1), (thin, 1 / 255), he_plan), strict=True))
curves = {name: run(*plan, steps)[1] for name, plan in plans.items()}
floor = math.log(classes)
print(f"ln {classes} = {floor:.4f}; mean losses of {steps // 6} steps each:")
for name, losses in curves.items():
    print(f"  {name:<20} " + " ".join(f"{part.mean():.3f}" for part in np.split(losses, 6)))
large, small, he = (
    losses[:300].reshape(6, 50).mean(axis=1).min() for losses in curves.values()
)  # the lowest of six means
lesson.claim(
    "0.01 with pixels to 1: the loss has not moved from ln 10 in 300 steps",
    abs(small - floor) < 0.01 * floor,
)
lesson.claim("the very same weights learn with pixels to 255", large < 0.97 * floor)
lesson.claim("with He's weights and a deviation of 1 the network learns as well", he < 0.97 * floor)

begun = [run(*plan, 1)[0].conv1.weight for plan in plans.values()]
_, thin_pull, he_pull = (
    np.linalg.norm(ta.Tensor(w.grad).numpy()) / np.linalg.norm(w.numpy()) for w in begun
)
print(
    f"conv1's first gradient, relative to its weights: {thin_pull:.1e} from 0.01 with pixels to 1, {he_pull:.1e} from He's start"
)
lesson.claim(
    f"from He's start it is {he_pull / thin_pull:,.0f} times as large", he_pull > 100 * thin_pull
)

figure = lesson.figure(11, 4.2)
left = lesson.axes(
    figure,
    1,
    2,
    1,
    title="What is left of a picture in AlexNet",
    ylabel="spread between pictures",
    yscale="log",
)
right = lesson.axes(
    figure, 1, 2, 2, title="Learning, or not", xlabel="step", ylabel="loss (mean of 15 steps)"
)
for name, ink in zip(starts, (lesson.GREEN, lesson.RED, lesson.BLUE), strict=True):
    layers, spread = (
        [layer.replace("relu", "layer ") for layer in starts[name]],
        [found[0] for found in starts[name].values()],
    )
    left.plot(layers, spread, "o-", color=ink, label=name)
    means = curves[name].reshape(-1, 15).mean(axis=1)
    right.plot(np.arange(len(means)) * 15 + 7, means, color=ink, linewidth=2)
right.axhline(floor, color=lesson.GREY, linestyle=":")
right.text(steps, floor, "ln 10", va="bottom", ha="right")
left.legend(frameon=False)
lesson.show(figure, "12_initialization")

# %% [markdown]
# The loss stays where a network is that does not look. Gradients on their way back meet the same small weights, and hardly anything moves.
# When you see ln K, compare sigma and pixel scale first. Tinyalex's training scripts warn of it.
#
# ## Break it
#
# Why not start all weights at 0? Or, since then nothing goes through, all at the same small number?
#
# Before you run this: after some steps of training, how will the 32 filters of the first layer differ?

# %%
zeros, _ = run(init.zeros_, 1 / small_deviation, 30)
lesson.claim(
    "from zeros, no weight has moved",
    not any(p.numpy().any() for p in zeros.parameters() if p.ndim > 1),
)
same, _ = run(lambda p: init.constant_(p, 0.003), 1 / small_deviation, 30)
filters = same.conv1.weight.numpy()
moved, apart = abs(filters - 0.003).max(), abs(filters - filters[0]).max()
lesson.claim(
    f"from equal weights, filters move by up to {moved:.0e}, and differ by {apart:.0e} at most",
    apart < 0.01 * moved,
)

# %% [markdown]
# Neurons that are alike get gradients that are alike, and stay so: 32 filters do the work of one. Randomness is what tells them apart.
#
# ## Exercises
#
# 1. `tinyalex learn start 12` puts He's sigma into `my/`, for you to write; `tinyalex learn check 12` says what is wrong with it.
# 2. In `run`, start the biases of all layers but the last at 1. With which seeds and scales does it still learn?
# 3. How large must sigma be for the small network to learn with pixels to 1? Find it by trying, and compare with its fan-ins.
