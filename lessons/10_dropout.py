# %% [markdown]
"""
# 10. Why drop half the neurons?

    python lessons/10_dropout.py [--seed 1] [--device cuda] [--full]

A network with many weights and few pictures can learn them by heart. It then answers rightly whatever it has seen, and knows little about
other pictures: it *overfits*. The measure is a gap, between its loss on the pictures it was trained on and on others, the test pictures.

The paper's answer (section 4.2) sounds like sabotage. In each training step every number that leaves the layers fc6 and fc7 is put to zero
with a probability of one half. This is *dropout*. No unit can rely on a certain other one to be there, so each must be useful by itself.
"""

# %%
import numpy as np

import tinyalex as ta
from tinyalex import data, device, nn, optim, training
from tinyalex import functional as F
from tinyalex.learning import lesson
from tinyalex.models.variants import Dropout2012
from tinyalex.nn import init

args = lesson.options(__doc__)
count, epochs = (2000, 60) if args.full else (400, 40)
train, test, source = lesson.images(count, 2 * count)
look = data.Normalize(data.mean_image(train.images), 1 / 64)  # about -2 to 2
few, others = (
    data.Loader(images, 400, transform=look, device=args.device) for images in (train, test)
)

# %% [markdown]
# ## With and without
#
# Two small networks with the same first weights see the same few pictures in the same order, again and again. One has dropout behind its
# two hidden linear layers, as AlexNet has.
#
# Before you run this: which is ahead on the pictures it trains on? Which on others? And how does the test loss go on, once the training
# loss is near zero?


# %%
def network(dropout, p=0.5):
    ta.manual_seed(args.seed)
    layers = [nn.Conv2d(3, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    layers += [nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten()]
    layers += [
        nn.Linear(32 * 7 * 7, 256),
        nn.ReLU(),
        dropout(p),
        nn.Linear(256, 256),
        nn.ReLU(),
        dropout(p),
        nn.Linear(256, 10),
    ]
    net = nn.Sequential(*layers)
    init.kaiming_(net)
    return net


def trained(net):
    """The losses and errors as training goes on: (epoch, on the training pictures, on the test pictures)."""
    optimizer = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    loader = data.Loader(train, 50, shuffle=True, transform=look, device=args.device)
    log, step = [], 0
    for epoch in range(1, epochs + 1):
        for x, y in loader:
            device.set_step(step)  # a mask depends on the seed and the step
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
            step += 1
        if epoch % 4 == 0:
            log.append((epoch, training.evaluate(net, few), training.evaluate(net, others)))
    return log


nets = {"without": network(nn.Dropout, 0.0), "with dropout": network(nn.Dropout)}
logs = {name: trained(net) for name, net in nets.items()}
for name, log in logs.items():
    print(f"{name}:")
    for epoch, seen, unseen in log[1::2]:
        print(
            f"  epoch {epoch:>3}: loss {seen.loss:6.3f} in training, {unseen.loss:6.3f} in testing; ",
            end="",
        )
        print(f"wrong answers {100 * seen.error:5.1f} % and {100 * unseen.error:5.1f} %")
(_, seen, unseen), (_, seen_d, unseen_d) = (log[-1] for log in logs.values())
lowest = min(unseen.loss for _, _, unseen in logs["without"])
lesson.claim("without dropout the training pictures are known by heart", seen.error < 0.01)
lesson.claim(
    f"and the test loss, once {lowest:.2f}, has risen to {unseen.loss:.2f}",
    unseen.loss > 1.1 * lowest,
)
gap, gap_d = unseen.loss - seen.loss, unseen_d.loss - seen_d.loss
lesson.claim(f"the gap is {gap:.2f} without dropout and {gap_d:.2f} with it", gap_d < 0.8 * gap)
lesson.claim(
    f"with dropout the test loss is lower: {unseen_d.loss:.2f}", unseen_d.loss < unseen.loss
)
fast, slow = (np.array([seen.loss for _, seen, _ in log]) for log in logs.values())
lesson.claim(
    "but it learns more slowly: its training loss is always above the other's", (slow > fast).all()
)

# %% [markdown]
# Why does a test loss rise while the errors hardly do? The loss asks how sure an answer is (lesson 11), and who knows everything by heart
# becomes sure, also of what is wrong. Compare the two errors at the end, too: on so few pictures, and for so short a time, dropout need not
# make fewer of them. The paper needed it for 60 million weights, and says that it takes about twice as many steps until they are trained.
#
# ## The factor two
#
# In training half of the numbers are missing; in testing all are there. So the next layer would get sums twice as large as those that it
# knows. The paper (section 4.2) halves the numbers in testing. Today nearly everybody doubles, in training, those that are left: *inverted*
# dropout, after which testing has nothing to do. `nn.Dropout` is of this kind, `Dropout2012` of the paper's.
#
# Before you run this: what do the two make of sixteen ones, in training and in testing?

# %%
ones = np.ones((1, 16), "f")
kinds = {"inverted": nn.Dropout(0.5), "2012": Dropout2012(0.5)}
out = {}
for name, layer in kinds.items():
    with device.same_draws():  # the same mask for both
        out[name] = layer.train()(ones).numpy(), layer.eval()(ones).numpy()
    print(
        f"  {name:<8} in training",
        *(f"{number:g}" for number in out[name][0][0]),
        " in testing",
        f"{out[name][1][0, 0]:g} each",
    )
lesson.claim(
    "one is always twice the other",
    all(np.array_equal(a, 2 * b) for a, b in zip(*out.values(), strict=True)),
)

# %% [markdown]
# The difference can be put into the weights: the layer behind a 2012 dropout needs weights twice as large, and then the two networks are
# the same. So we make a 2012 network of the one that we trained. Both have their training mode on; then both are tested.

# %%
new, old, forgetful = nets["with dropout"], network(Dropout2012), network(nn.Dropout)
behind = [f"{i + 1}.weight" for i, layer in enumerate(new) if isinstance(layer, nn.Dropout)]
state = new.state_dict()
old.load_state_dict(state | {name: 2 * state[name] for name in behind})
x, labels = next(iter(data.Loader(test[np.arange(200)], 200, transform=look, device=args.device)))
labels = ta.Tensor(labels).numpy()


def answers(net):
    with ta.no_grad():
        return F.log_softmax(net(x), 1).numpy()  # the logarithms of the probabilities


with device.same_draws():
    in_training = answers(new)
lesson.claim(
    "in training, with the same masks, the same answers", np.array_equal(in_training, answers(old))
)
lesson.claim("in testing, too", np.array_equal(answers(new.eval()), answers(old.eval())))

# %% [markdown]
# ## Many networks in one
#
# Each mask makes another, thinner network out of the same weights. Testing uses all weights at once, and the paper takes this for a good
# approximation of asking very many thin networks and taking the *geometric mean* of their probabilities: the mean of the logarithms.
#
# Before you run this: which has the lowest test loss: a thin network, the mean of 50 of them, or the whole network in testing mode?

# %%
new.train()
thin = np.stack([answers(new) for _ in range(50)])
new.eval()
together = F.log_softmax(
    thin.mean(axis=0), 1
).numpy()  # softmax makes the probabilities add up to 1 again
one = float(np.mean([training.score(said, labels).loss for said in thin]))
mean, whole = (training.score(said, labels).loss for said in (together, answers(new)))
print(
    f"  test loss: a thin network {one:.3f}, the mean of {len(thin)} {mean:.3f}, the whole network {whole:.3f}"
)
lesson.claim(
    "a mask in testing costs something: a thin network is worse than the whole", one > 1.03 * whole
)
lesson.claim(
    f"the whole one comes within {100 * abs(whole / mean - 1):.1f} % of the mean, at the cost of one",
    abs(whole / mean - 1) < 0.05,
)
lesson.claim(
    "thin networks do not even agree with themselves", not np.array_equal(thin[0], thin[1])
)

# %% [markdown]
# The last line is the symptom of a forgotten `net.eval()`: the same picture gets another answer each time.
#
# ## Break it
#
# Somebody finds the weights of a network from 2012 and loads them into a modern one. All names and shapes fit. Its dropout does nothing in
# testing; that the 2012 network would have halved there, nobody remembers.
#
# Before you run this: how many more answers will be wrong? And the loss?

# %%
forgetful.load_state_dict(old.state_dict())
wrong, fine = training.evaluate(forgetful, others), training.evaluate(old, others)
print(f"  halved as in 2012:   {fine}\n  halving forgotten:   {wrong}")
lesson.claim("hardly a change in the errors", abs(wrong.error - fine.error) < 0.05)
lesson.claim(
    f"but the loss is {wrong.loss / fine.loss:.1f} times as large", wrong.loss > 1.4 * fine.loss
)

figure = lesson.figure(11, 4.2)
grid = figure.add_gridspec(1, 2, width_ratios=(1.6, 1))
axes = lesson.axes(
    figure, grid[0], title="Known by heart is not known", xlabel="epoch", ylabel="loss"
)
for (name, log), ink in zip(logs.items(), (lesson.RED, lesson.BLUE), strict=True):
    when, seen, unseen = zip(*log, strict=True)
    axes.plot(
        when, [on.loss for on in unseen], color=ink, linewidth=2, label=f"{name}: test pictures"
    )
    axes.plot(
        when,
        [on.loss for on in seen],
        color=ink,
        linewidth=2,
        linestyle="--",
        label=f"{name}: training pictures",
    )
axes.set_ylim(bottom=0)
axes.legend(frameon=False)
axes = lesson.axes(figure, grid[1], title="Testing with dropout's weights", xlabel="test loss")
bars = {
    "halving forgotten": wrong.loss,
    "one thin network": one,
    "mean of many": mean,
    "whole network": whole,
}
axes.barh(
    list(bars), list(bars.values()), color=[lesson.RED, lesson.GREY, lesson.GREY, lesson.BLUE]
)
lesson.show(figure, "10_dropout")

# %% [markdown]
# The symptom to remember: as many right answers as ever, and a loss that is far too large. Twice as large sums make a network as sure as
# shouting does. Where only errors are looked at, nobody notices.
#
# ## Exercises
#
# 1. `tinyalex learn start 10` has you write inverted dropout, forward and backward; `tinyalex learn check 10` says what is wrong.
# 2. Twice as many pictures: does the gap of the network without dropout shrink by more or less than dropout made it shrink?
# 3. Drop a fifth instead of half (`network(nn.Dropout, 0.2)`). By what must a 2012 layer multiply in testing then? Which p is best here?
