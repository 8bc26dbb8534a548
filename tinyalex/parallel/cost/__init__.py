"""The cost model: what the schemes send, and how long a training step takes.

layers        the shapes of a network's layers
traffic       the bytes that each worker sends, and the parameters that it holds
operations    the rates of a worker, and the times of collective operations
step_time     the prediction
calibration   the rates and times of this machine, by the program `measurements`
"""

from tinyalex.parallel.cost.layers import (
    LayerShape,
    has_columns,
    layer_shapes,
    linear_layers,
    reading_both_columns,
)
from tinyalex.parallel.cost.operations import LIBRARIES, Machine
from tinyalex.parallel.cost.step_time import ComputeTimes, Prediction, predict
from tinyalex.parallel.cost.traffic import (
    SCHEMES,
    buckets,
    images_held,
    parameters_held,
    sent_by_purpose,
    sent_bytes,
)

__all__ = [
    "LIBRARIES",
    "SCHEMES",
    "ComputeTimes",
    "LayerShape",
    "Machine",
    "Prediction",
    "buckets",
    "has_columns",
    "images_held",
    "layer_shapes",
    "linear_layers",
    "parameters_held",
    "predict",
    "reading_both_columns",
    "sent_by_purpose",
    "sent_bytes",
]
