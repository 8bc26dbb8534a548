"""Images to learn from, and their way into the network.

`cifar10`, `image_folder`, `image_folders` and `shapes` (drawn, no files needed) make a `Dataset`; a `Loader` hands it out in
batches, through `Augment` for training and `Normalize` for testing.

>>> train, test = shapes(1000, 200)
>>> mean = mean_image(train.images)
>>> for x, y in Loader(train, batch_size=500, shuffle=True, transform=Augment(mean)):
...     print(x.shape, y.shape)
(500, 3, 32, 32) (500,)
(500, 3, 32, 32) (500,)
"""

from tinyalex.data.augmentation import Augment, Normalize, colour_axes, mean_image
from tinyalex.data.cifar import cifar10
from tinyalex.data.dataset import Dataset
from tinyalex.data.drawing import shapes
from tinyalex.data.folders import image_folder, image_folders
from tinyalex.data.loading import Loader

__all__ = [
    "Augment",
    "Dataset",
    "Loader",
    "Normalize",
    "cifar10",
    "colour_axes",
    "image_folder",
    "image_folders",
    "mean_image",
    "shapes",
]
