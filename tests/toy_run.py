"""A training run of a tenth of a second, for tests."""

import numpy as np

import tinyalex as ta
from tinyalex import data, nn, optim, training


def toy(output, *, epochs, lr=0.05, schedule=None, validation=True, **options):
    """A convolutional net with dropout, on images of vertical and horizontal bars."""
    ta.manual_seed(5)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (96, 3, 8, 8)).astype("u1")
    labels = np.arange(96) % 2
    for image, label, position in zip(images, labels, rng.integers(1, 7, 96), strict=True):
        (image if label else image.transpose(0, 2, 1))[:, position] += 150
    dataset = data.Dataset(images, labels, ("vertical", "horizontal"))
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(72, 2),
    )
    optimizer = optim.SGD(optim.paper_groups(model, lr), lr=lr, momentum=0.9)
    mean = data.mean_image(images)
    valid = data.Loader(dataset[80:], 16, transform=data.Normalize(mean, scale=1 / 64))
    return training.Trainer(
        model,
        optimizer,
        optim.lr_scheduler.StepLR(optimizer, 3) if schedule is None else schedule(optimizer),
        data.Loader(
            dataset[:80], 16, shuffle=True, transform=data.Augment(mean, padding=1, scale=1 / 64)
        ),
        valid if validation else None,
        epochs=epochs,
        output=output,
        metadata={"variant": "toy"},
        **options,
    )
