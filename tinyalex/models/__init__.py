"""Networks, their weights and their preprocessing."""

from tinyalex.models.alexnet_variants import VARIANTS, AlexNet, alexnet
from tinyalex.models.cifar_networks import cifar
from tinyalex.models.columns import Columns
from tinyalex.models.image_preprocessing import Preprocessing, preprocessing
from tinyalex.models.imagenet_classes import class_names, imagenet_classes, names_by_wnid
from tinyalex.models.onnx_export import export_onnx
from tinyalex.models.tracing import outline
from tinyalex.models.weights import TORCHVISION_WEIGHTS, fetch_weights, load_weights, read_weights

__all__ = [
    "TORCHVISION_WEIGHTS",
    "VARIANTS",
    "AlexNet",
    "Columns",
    "Preprocessing",
    "alexnet",
    "cifar",
    "class_names",
    "export_onnx",
    "fetch_weights",
    "imagenet_classes",
    "load_weights",
    "names_by_wnid",
    "outline",
    "preprocessing",
    "read_weights",
]
