"""ONNX Runtime on the CPU, with all graph optimizations."""

from __future__ import annotations

import numpy as np
import onnxruntime

from contenders.onnx_inference import OnnxInference


class Contender(OnnxInference):
    def compile(self, model: bytes, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])

    def run(self) -> np.ndarray:
        return self.session.run(None, {"images": self.images})[0]

    def versions(self) -> dict[str, str]:
        return {"onnxruntime": onnxruntime.__version__, "numpy": np.__version__}
