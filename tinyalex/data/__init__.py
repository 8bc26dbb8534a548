"""Images to learn from, and their way into the network.

`cifar10`, `image_folder`, `image_folders` and `shapes` (drawn, no files needed) make a `Dataset`; a `Loader` hands it out in
batches, through `Augment` for training and `Normalize` or `TenViews` for testing. Pictures of any size that are too many for the memory,
in folders, ImageNet's tars or shards, are found by `find_pictures` and read when they are needed by `StoredPictures`.

>>> train, test = shapes(1000, 200)
>>> mean = mean_image(train.images)
>>> for x, y in Loader(train, batch_size=500, shuffle=True, transform=Augment(mean)):
...     print(x.shape, y.shape)
(500, 3, 32, 32) (500,)
(500, 3, 32, 32) (500,)
"""

from tinyalex.data.augmentation import (
    IMAGENET_COLOURS,
    Augment,
    Normalize,
    TenViews,
    colour_axes,
    mean_image,
    principal_axes,
)
from tinyalex.data.cifar import cifar10
from tinyalex.data.dataset import Dataset
from tinyalex.data.drawing import shapes
from tinyalex.data.folders import image_folder, image_folders
from tinyalex.data.loading import Loader
from tinyalex.data.shards import read_index
from tinyalex.data.sources import Source, find_pictures
from tinyalex.data.stored import StoredPictures
from tinyalex.data.ten_classes import imagenette

__all__ = [
    "IMAGENET_COLOURS",
    "Augment",
    "Dataset",
    "Loader",
    "Normalize",
    "Source",
    "StoredPictures",
    "TenViews",
    "cifar10",
    "colour_axes",
    "find_pictures",
    "image_folder",
    "image_folders",
    "imagenette",
    "mean_image",
    "principal_axes",
    "read_index",
    "shapes",
]
