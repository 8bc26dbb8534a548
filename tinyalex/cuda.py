"""torch.cuda's names for GPUs and their seeds."""

import sys

from tinyalex.device import cuda_is_available as is_available
from tinyalex.device import gpu_count as device_count
from tinyalex.device import manual_seed
from tinyalex.device import manual_seed as manual_seed_all
from tinyalex.equivalents import module_getattr

__all__ = ["device_count", "is_available", "manual_seed", "manual_seed_all"]

__getattr__ = module_getattr(sys.modules[__name__])
