"""Datasets of labelled images, and their batches.

`cifar10`, `image_folder`, `image_folders` and `shapes` (synthetic, needs no files)
return a `Dataset`; a `Loader` yields its batches, transformed by `Augment` for training
and by `Normalize` or `TenViews` for testing. Images that do not fit into memory, in
folders, ImageNet's tars or shards, are found by `find_images` and decoded on demand by
`StoredImages`.

>>> train, test = shapes(1000, 200)
>>> mean = mean_image(train.images)
>>> for x, y in Loader(train, batch_size=500, shuffle=True, transform=Augment(mean)):
...     print(x.shape, y.shape)
(500, 3, 32, 32) (500,)
(500, 3, 32, 32) (500,)
"""

from tinyalex.data.cifar import cifar10, cifar10_source
from tinyalex.data.dataset import Dataset, StoredImages
from tinyalex.data.folders import image_folder, image_folders
from tinyalex.data.imagenette_archive import imagenette
from tinyalex.data.loading import Loader
from tinyalex.data.shards import read_index
from tinyalex.data.sources import Source, find_images
from tinyalex.data.statistics import IMAGENET_COLOURS, colour_axes, mean_image, principal_axes
from tinyalex.data.synthetic import shapes
from tinyalex.data.transforms import Augment, Normalize, TenViews

StoredPictures, find_pictures = StoredImages, find_images  # earlier names

__all__ = [
    "IMAGENET_COLOURS",
    "Augment",
    "Dataset",
    "Loader",
    "Normalize",
    "Source",
    "StoredImages",
    "StoredPictures",
    "TenViews",
    "cifar10",
    "cifar10_source",
    "colour_axes",
    "find_images",
    "find_pictures",
    "image_folder",
    "image_folders",
    "imagenette",
    "mean_image",
    "principal_axes",
    "read_index",
    "shapes",
]
