"""What the 1,000 classes of ImageNet's contest are called."""

from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple


class ImageNetClass(NamedTuple):
    """`wnid`: WordNet's number, which ImageNet's folders are named after. `name`: the first of the `synonyms`."""

    wnid: str
    name: str
    synonyms: tuple[str, ...]


@cache
def imagenet_classes() -> tuple[ImageNetClass, ...]:
    """The classes in the order of their labels, as torchvision, Caffe and Keras number them (by wnid).

    >>> imagenet_classes()[207]
    ImageNetClass(wnid='n02099601', name='golden retriever', synonyms=('golden retriever',))
    """
    lines = (
        Path(__file__)
        .with_name("imagenet_classes.tsv")
        .read_text(encoding="utf-8")
        .splitlines()[1:]
    )
    rows = (line.split("\t") for line in lines)
    return tuple(
        ImageNetClass(wnid, name, tuple(synonyms.split(", "))) for _, wnid, name, synonyms in rows
    )


def names_by_wnid() -> dict[str, str]:
    """The name of each class, by the wnid that its folder has."""
    return {row.wnid: name for row, name in zip(imagenet_classes(), class_names(), strict=True)}


def class_names() -> tuple[str, ...]:
    """A name for each class. Where two share one (the bird and the machine called crane), the wnid tells them apart.

    >>> class_names()[133:135]
    ('bittern', 'crane (n02012849)')
    """
    uses = Counter(row.name for row in imagenet_classes())
    return tuple(
        row.name if uses[row.name] == 1 else f"{row.name} ({row.wnid})"
        for row in imagenet_classes()
    )
