# %% [markdown]
"""
# 10. Why drop half the neurons?

    python lessons/10_dropout.py [--seed 1] [--device cuda] [--full]

A network with many weights can memorise a small training set. It then predicts the
training images correctly and does much worse on others: it *overfits*. The measure is
the gap between the training loss and the loss on other images, the test loss.

The paper's remedy (section 4.2) is *dropout*: in each training step each output of the
layers fc6 and fc7 is set to zero with a probability of one half. No unit can rely on
the presence of particular other units, so each must be useful by itself.
"""

# %%
import numpy as np

import tinyalex as ta
from tinyalex import data, device, nn, optim, training
from tinyalex import functional as F
from tinyalex.course import lesson
from tinyalex.models.alexnet_variants import Dropout2012
from tinyalex.nn import init

args = lesson.options(__doc__)
count, epochs = (2000, 60) if args.full else (400, 40)
train, test, _ = lesson.images(count, 2 * count)
normalize = data.Normalize(data.mean_image(train.images), 1 / 64)  # about -2 to 2
options = {"transform": normalize, "device": args.device}
train_loader, test_loader = (data.Loader(images, 400, **options) for images in (train, test))

# %% [markdown]
# ## With and without
#
# Two small networks with the same initial weights are trained on the same small
# training set in the same order, for many epochs. One has dropout after its two hidden
# linear layers, as in AlexNet.
#
# Before you run this: which has the lower training loss? Which has the lower test loss?
# And how does the test loss continue once the training loss is near zero?


# %%
def network(dropout, p=0.5):
    ta.manual_seed(args.seed)
    layers = [nn.Conv2d(3, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    layers += [nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten()]
    layers += [nn.Linear(32 * 7 * 7, 256), nn.ReLU(), dropout(p)]
    layers += [nn.Linear(256, 256), nn.ReLU(), dropout(p), nn.Linear(256, 10)]
    net = nn.Sequential(*layers)
    init.kaiming_(net)
    return net


def train_network(net):
    """Every fourth epoch: (epoch, score on the training images, on the test images)."""
    optimizer = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    loader = data.Loader(train, 50, shuffle=True, **options)
    log, step = [], 0
    for epoch in range(1, epochs + 1):
        for x, y in loader:
            device.set_step(step)  # the random mask depends on the seed and the step
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
            step += 1
        if epoch % 4 == 0:
            scores = (training.evaluate(net, images) for images in (train_loader, test_loader))
            log.append((epoch, *scores))
    return log


nets = {"without dropout": network(nn.Dropout, 0.0), "with dropout": network(nn.Dropout)}
logs = {name: train_network(net) for name, net in nets.items()}
for name, log in logs.items():
    print(f"{name}:")
    for epoch, on_train, on_test in log[1::2]:
        print(f"  epoch {epoch:>3}: training loss {on_train.loss:6.3f}", end="")
        print(f", test loss {on_test.loss:6.3f}; ", end="")
        print(f"errors {100 * on_train.error:5.1f} % and {100 * on_test.error:5.1f} %")
(_, on_train, on_test), (_, dropout_train, dropout_test) = (log[-1] for log in logs.values())
lowest = min(score.loss for _, _, score in logs["without dropout"])
memorised = on_train.error < 0.01
lesson.claim("without dropout the training images are memorised", memorised)
text = f"and the test loss, at first as low as {lowest:.2f}, has increased to {on_test.loss:.2f}"
lesson.claim(text, on_test.loss > 1.1 * lowest)
gap, dropout_gap = on_test.loss - on_train.loss, dropout_test.loss - dropout_train.loss
text = f"the gap is {gap:.2f} without dropout and {dropout_gap:.2f} with it"
lesson.claim(text, dropout_gap < 0.8 * gap)
text = f"with dropout the test loss is lower: {dropout_test.loss:.2f}"
lesson.claim(text, dropout_test.loss < on_test.loss)
fast, slow = (np.array([score.loss for _, score, _ in log]) for log in logs.values())
text = "but it learns more slowly: its training loss is always the higher one"
lesson.claim(text, (slow > fast).all())

# %% [markdown]
# Why can the test loss increase when the error does not? The loss measures how
# confident a prediction is (lesson 11), and a network that has memorised its training
# images is confident even where it is wrong. Compare the two test errors at the end as
# well: after so few steps the network with dropout is not yet fully trained, and its
# error can be the higher one. The paper needed dropout for 60 million weights, and
# reports that it roughly doubles the number of iterations.
#
# ## The factor two
#
# In training half of the values are zero; in testing all are present. So the next layer
# would receive sums twice as large as those it was trained on. The paper (section 4.2)
# halves the values in testing. Today the values that are kept are usually doubled in
# training: *inverted* dropout, which does nothing in testing. `nn.Dropout` is inverted,
# `Dropout2012` is the paper's. The gradient is multiplied by the same mask and the same
# factor.
#
# Before you run this: what does each of the two return for sixteen ones, in training
# and in testing?

# %%
ones = np.ones((1, 16), "f")
layers = {"inverted": nn.Dropout(0.5), "2012": Dropout2012(0.5)}
outputs = {}
for name, layer in layers.items():
    with device.same_draws():  # the same mask for both
        outputs[name] = layer.train()(ones).numpy(), layer.eval()(ones).numpy()
    in_training, in_testing = outputs[name]
    values = " ".join(f"{value:g}" for value in in_training[0])
    print(f"  {name:<8} in training {values}  in testing {in_testing[0, 0]:g} each")
double = all(np.array_equal(a, 2 * b) for a, b in zip(*outputs.values(), strict=True))
lesson.claim("inverted dropout always returns twice the values of the paper's", double)

# %% [markdown]
# The factor can be moved into the weights: with weights twice as large in the layer
# after each 2012 dropout, the two networks are equivalent. So we convert the trained
# network into a 2012 network, and compare the two in training mode and in testing mode.

# %%
new, old = nets["with dropout"], network(Dropout2012)
after = [f"{i + 1}.weight" for i, layer in enumerate(new) if isinstance(layer, nn.Dropout)]
state = new.state_dict()
old.load_state_dict(state | {name: 2 * state[name] for name in after})
x, labels = next(iter(data.Loader(test[np.arange(200)], 200, **options)))
labels = ta.Tensor(labels).numpy()


def log_probabilities(net):
    with ta.no_grad():
        return F.log_softmax(net(x), 1).numpy()


with device.same_draws():
    in_training = log_probabilities(new)
same = np.array_equal(in_training, log_probabilities(old))
lesson.claim("in training, with the same masks, the outputs are identical", same)
same = np.array_equal(log_probabilities(new.eval()), log_probabilities(old.eval()))
lesson.claim("they are also identical in testing", same)

# %% [markdown]
# ## Many networks in one
#
# Each mask selects a different *thinned* network with the same weights. Testing uses
# all weights at once, which the paper considers a good approximation to the *geometric
# mean* of the probabilities of very many thinned networks (the mean of their
# logarithms).
#
# Before you run this: which has the lowest test loss: one thinned network, the mean of
# 50 of them, or the whole network in testing mode?

# %%
new.train()
thinned = np.stack([log_probabilities(new) for _ in range(50)])
new.eval()
averaged = F.log_softmax(thinned.mean(axis=0), 1).numpy()  # normalised: probabilities sum to 1
one = float(np.mean([training.score(output, labels).loss for output in thinned]))
mean = training.score(averaged, labels).loss
whole = training.score(log_probabilities(new), labels).loss
print(f"  test loss: a thinned network {one:.3f}", end="")
print(f", the mean of {len(thinned)} {mean:.3f}, the whole network {whole:.3f}")
lesson.claim("a thinned network is worse than the whole network", one > 1.03 * whole)
percent = 100 * abs(whole / mean - 1)
text = f"the whole network is within {percent:.1f} % of the mean, at the cost of one"
lesson.claim(text, percent < 5)
text = "with other masks the outputs for the same images differ"
lesson.claim(text, not np.array_equal(thinned[0], thinned[1]))

# %% [markdown]
# The last line is the symptom of a missing `net.eval()`: the output for the same image
# differs each time.
#
# ## Break it
#
# The weights of a network from 2012 are loaded into a modern one. All names and shapes
# match. But inverted dropout has no effect in testing, where the 2012 network halves
# the values.
#
# Before you run this: how much will the error increase? And the loss?

# %%
unhalved = network(nn.Dropout)
unhalved.load_state_dict(old.state_dict())
wrong, right = training.evaluate(unhalved, test_loader), training.evaluate(old, test_loader)
print(f"  halved as in 2012:   {right}\n  without halving:     {wrong}")
lesson.claim("the error hardly changes", abs(wrong.error - right.error) < 0.05)
factor = wrong.loss / right.loss
lesson.claim(f"but the loss is {factor:.1f} times as large", factor > 1.4)

figure = lesson.figure(11, 4.2)
grid = figure.add_gridspec(1, 2, width_ratios=(1.6, 1))
labels = {"xlabel": "epoch", "ylabel": "loss"}
axes = lesson.axes(figure, grid[0], title="Overfitting with and without dropout", **labels)
for (name, log), colour in zip(logs.items(), (lesson.RED, lesson.BLUE), strict=True):
    epoch, on_train, on_test = zip(*log, strict=True)
    for images, scores, line in (("test", on_test, "-"), ("training", on_train, "--")):
        losses, label = [score.loss for score in scores], f"{name}: {images} images"
        axes.plot(epoch, losses, line, color=colour, linewidth=2, label=label)
axes.set_ylim(bottom=0)
axes.legend(frameon=False)
axes = lesson.axes(figure, grid[1], title="Testing the network with dropout", xlabel="test loss")
bars = {"without halving": wrong.loss, "one thinned": one, "mean of 50": mean, "whole": whole}
colours = [lesson.RED, lesson.GREY, lesson.GREY, lesson.BLUE]
axes.barh(list(bars), list(bars.values()), color=colours)
lesson.show(figure, "10_dropout")

# %% [markdown]
# The symptom to remember: as many correct predictions as before, and a loss that is far
# too large. Logits that are twice as large make the network overconfident. If only the
# error is reported, this is not noticed.
#
# ## Exercises
#
# 1. Write inverted dropout yourself, forward and backward: `tinyalex learn start 10`
#    creates the file in `my/`, `tinyalex learn check 10` checks it.
# 2. With twice as many images: does the gap of the network without dropout shrink by
#    more or by less than with dropout?
# 3. Drop a fifth instead of half (`network(nn.Dropout, 0.2)`). By what factor must a
#    2012 layer multiply in testing then? Which p is best here?
