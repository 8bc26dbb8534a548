"""The names of the 1000 classes of ImageNet's competition (ILSVRC2012)."""

from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple


class ImageNetClass(NamedTuple):
    """`wnid`: WordNet's ID and the folder's name. `name`: the first of the synonyms."""

    wnid: str
    name: str
    synonyms: tuple[str, ...]


@cache
def imagenet_classes() -> tuple[ImageNetClass, ...]:
    """The classes by label, in the order of wnid, as in torchvision, Caffe and Keras.

    >>> imagenet_classes()[207][:2]
    ('n02099601', 'golden retriever')
    """
    table = Path(__file__).with_name("imagenet_classes.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in table.splitlines()[1:])
    return tuple(
        ImageNetClass(wnid, name, tuple(synonyms.split(", "))) for _, wnid, name, synonyms in rows
    )


def names_by_wnid() -> dict[str, str]:
    """{wnid: the name in `class_names`}."""
    return {row.wnid: name for row, name in zip(imagenet_classes(), class_names(), strict=True)}


def class_names() -> tuple[str, ...]:
    """A unique name for each class: its wnid is added where two classes share a name.

    >>> class_names()[133:135]
    ('bittern', 'crane (n02012849)')
    """
    classes = imagenet_classes()
    uses = Counter(row.name for row in classes)
    return tuple(row.name if uses[row.name] == 1 else f"{row.name} ({row.wnid})" for row in classes)
