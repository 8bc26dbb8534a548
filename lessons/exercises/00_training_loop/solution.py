import numpy as np

from tinyalex import optim


def train(net, loss_function, batches, lr, epochs):
    optimizer = optim.SGD(net.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        total = 0.0
        for x, target in batches:
            optimizer.zero_grad()
            loss = loss_function(net(x), target)
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(batches))
    return np.array(losses)
