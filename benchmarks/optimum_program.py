"""Export and quantize a published encoder as optimum-onnx does by default. Runs in an environment of its own:

    python -m venv there && there/bin/pip install "optimum-onnx==0.1.0" torch==2.13.0 onnxruntime==1.32.0
    ECOMDEPLOY_OPTIMUM=there/bin/python python -m benchmarks optimize search

`optimum_program.py MODEL_FOLDER RESULT_FOLDER` writes `export/model.onnx`, the default export, and
`int8/model_quantized.onnx`, its dynamic quantization for AVX2 (huggingface.co/docs/optimum-onnx), and prints the
versions as JSON.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path


def main(source: str, result: str) -> None:
    from optimum.onnxruntime import ORTModelForFeatureExtraction, ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    exported, small = Path(result) / "export", Path(result) / "int8"
    ORTModelForFeatureExtraction.from_pretrained(source, export=True).save_pretrained(exported)
    quantizer = ORTQuantizer.from_pretrained(exported, file_name="model.onnx")
    configuration = AutoQuantizationConfig.avx2(is_static=False, per_channel=False)
    quantizer.quantize(save_dir=small, quantization_config=configuration)
    named = ("optimum", "optimum-onnx", "transformers", "torch", "onnxruntime")
    print(json.dumps({name: version(name) for name in named}))


if __name__ == "__main__":
    main(*sys.argv[1:])
