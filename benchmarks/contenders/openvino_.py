"""OpenVINO on the CPU, in float32, all threads for one request."""

from __future__ import annotations

import numpy as np
import openvino
from openvino import properties
from openvino.properties import hint

from contenders.onnx_inference import OnnxInference


class Contender(OnnxInference):
    def compile(self, model: bytes, threads: int) -> None:
        core = openvino.Core()
        options = {
            hint.performance_mode: hint.PerformanceMode.LATENCY,
            # The default is bfloat16 on processors that support it.
            hint.inference_precision: openvino.Type.f32,
            properties.inference_num_threads: threads,
        }
        compiled = core.compile_model(core.read_model(model), "CPU", options)
        self.request = compiled.create_infer_request()

    def run(self) -> np.ndarray:
        return self.request.infer([self.images], share_inputs=True, share_outputs=True)[0]

    def versions(self) -> dict[str, str]:
        return {"openvino": openvino.__version__, "numpy": np.__version__}
