"""`tinyalex.utils.data`, with the names of torch.utils.data."""

from tinyalex.utils import data

__all__ = ["data"]
