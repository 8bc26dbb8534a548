import numpy as np


def warp_traffic(index, active, item_bytes):
    read = index[active]
    elements = set(read.tolist())
    if not elements:
        return 0, 0.0
    sectors = len({element * item_bytes // 32 for element in elements})
    return sectors, len(elements) * item_bytes / (32 * sectors)
