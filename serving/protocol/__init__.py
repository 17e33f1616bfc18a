"""The Open Inference Protocol's requests and responses; see routes/inference_protocol.py.

https://github.com/kserve/open-inference-protocol, with Triton's extensions for binary tensor data,
classification, model configuration, model repository and statistics:
https://github.com/triton-inference-server/server/tree/main/docs/protocol
"""

HEADER_LENGTH = "Inference-Header-Content-Length"  # of the JSON before the binary data, in bytes
EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "statistics",
)
