"""The Open Inference Protocol, version 2, over HTTP: what KServe, Triton and MLServer speak.

https://github.com/kserve/open-inference-protocol, with Triton's binary tensor data extension:
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

import json
import math
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from flask import Blueprint, Response, abort, request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, Field, JsonValue, ValidationError

from models.record import CLASSES, IMAGE_SIZE, INPUT, OUTPUT
from serving import NAME, VERSION
from serving.classifier import Classifier
from serving.service import Service

HEADER_LENGTH = "Inference-Header-Content-Length"  # of the JSON before the binary data, in bytes
IMAGE_SHAPE = (IMAGE_SIZE, IMAGE_SIZE, 3)

METADATA = {
    "platform": "onnxruntime_onnx",
    "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, *IMAGE_SHAPE]}],
    "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, len(CLASSES)]}],
}


class InputTensor(BaseModel):
    """A tensor of the request: `data`, row by row, nested or flat, or that many binary bytes."""

    name: str
    datatype: str
    # Bounded, as the lists below are, so that not each of a million wrong elements gets an error.
    shape: Annotated[list[int], Field(max_length=4)]
    parameters: dict[str, JsonValue] = {}
    data: JsonValue = None


class RequestedOutput(BaseModel):
    """An output that the request names."""

    name: Literal["probabilities"]
    parameters: dict[str, JsonValue] = {}


class InferenceRequest(BaseModel):
    """The JSON of a request."""

    id: str | None = None
    parameters: dict[str, JsonValue] = {}
    inputs: Annotated[list[InputTensor], Field(max_length=1)]
    outputs: Annotated[list[RequestedOutput], Field(max_length=1)] = []


def create_blueprint(service: Service) -> Blueprint:
    """Return the routes under /v2."""
    blueprint = Blueprint("inference_protocol", __name__, url_prefix="/v2")
    classifiers = service.classifiers

    @blueprint.get("")
    def server_metadata() -> ResponseReturnValue:
        return {"name": NAME, "version": VERSION, "extensions": ["binary_tensor_data"]}

    @blueprint.get("/health/live")
    def live() -> ResponseReturnValue:
        return {"live": True}

    @blueprint.get("/health/ready")
    def ready() -> ResponseReturnValue:
        service.check_ready()
        return {"ready": True}

    @blueprint.get("/models/<name>")
    @blueprint.get("/models/<name>/versions/<version>")
    def model_metadata(name: str, version: str | None = None) -> ResponseReturnValue:
        classifiers.find(name, version)
        return {"name": name, "versions": classifiers.versions(name)} | METADATA

    @blueprint.get("/models/<name>/ready")
    @blueprint.get("/models/<name>/versions/<version>/ready")
    def model_ready(name: str, version: str | None = None) -> ResponseReturnValue:
        classifiers.find(name, version)
        service.check_ready()
        return {"name": name, "ready": True}

    @blueprint.post("/models/<name>/infer")
    @blueprint.post("/models/<name>/versions/<version>/infer")
    def infer(name: str, version: str | None = None) -> ResponseReturnValue:
        classifier = classifiers.find(name, version)
        with service.metrics.count_models([classifier]):
            asked, binary = _read_request()
            images = _read_images(asked, binary, service.settings.max_images)
            [probabilities] = service.batcher.classify([classifier], images)
        service.metrics.count_predictions([classifier], [probabilities])
        return _respond(classifier, asked, probabilities)

    return blueprint


def _read_request() -> tuple[InferenceRequest, bytes]:
    """Return the request's JSON and the binary data behind it."""
    body = request.get_data()
    length = request.headers.get(HEADER_LENGTH, str(len(body)))
    if not length.isdecimal() or len(length) > 20 or int(length) > len(body):
        abort(400, f"{HEADER_LENGTH} is {length[:20]!r}; the body has {len(body)} bytes.")
    header = int(length)
    try:
        asked = InferenceRequest.model_validate_json(body[:header])
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the body"
        abort(400, f"The request is not the Open Inference Protocol's: {field}: {first['msg']}.")
    return asked, body[header:]


def _read_images(asked: InferenceRequest, binary: bytes, max_images: int) -> npt.NDArray[np.uint8]:
    """Return the images, uint8 [N, 32, 32, 3]."""
    if [tensor.name for tensor in asked.inputs] != [INPUT]:
        names = ", ".join(repr(tensor.name) for tensor in asked.inputs) or "none"
        abort(400, f"The inputs are {names}; the model takes one, {INPUT!r}.")
    [tensor] = asked.inputs
    if tensor.datatype != "UINT8":
        abort(400, f"{INPUT} is declared as {tensor.datatype}; the model takes UINT8.")
    if tuple(tensor.shape[1:]) != IMAGE_SHAPE or len(tensor.shape) != 4 or tensor.shape[0] < 1:
        abort(400, f"{INPUT} has the shape {tensor.shape}; the model takes [N, 32, 32, 3].")
    if tensor.shape[0] > max_images:
        abort(413, f"{INPUT} holds {tensor.shape[0]} images; at most {max_images} are accepted.")
    size = math.prod(tensor.shape)
    if "binary_data_size" in tensor.parameters:
        declared = tensor.parameters["binary_data_size"]
        if declared != len(binary) or declared != size:
            abort(
                400,
                f"binary_data_size is {declared} and {len(binary)} bytes follow the JSON; "
                f"{INPUT} of the shape {tensor.shape} has {size}.",
            )
        return np.frombuffer(binary, np.uint8).reshape(tensor.shape)
    return _read_json_data(tensor.data, size).reshape(tensor.shape)


def _read_json_data(data: JsonValue, size: int) -> npt.NDArray[np.uint8]:
    try:
        # As objects: NumPy would make room for the longest text at each place.
        values = np.asarray(data, dtype=object)
    except ValueError:  # lists nested too deep
        abort(400, f"{INPUT}.data is not an array; it has {size} numbers, nested or flat.")
    if values.size != size or not all(type(v) is int and 0 <= v <= 255 for v in values.flat):
        abort(400, f"{INPUT}.data is not {size} whole numbers from 0 to 255, as the shape says.")
    return values.astype(np.uint8)


def _respond(
    classifier: Classifier, asked: InferenceRequest, probabilities: npt.NDArray[np.float32]
) -> Response:
    binary = asked.parameters.get("binary_data_output", False)
    for output in asked.outputs:
        binary = output.parameters.get("binary_data", binary)
    tensor: dict[str, Any] = {
        "name": OUTPUT,
        "datatype": "FP32",
        "shape": list(probabilities.shape),
    }
    answer: dict[str, Any] = {
        "model_name": classifier.record.name,
        "model_version": str(classifier.record.version),
        "outputs": [tensor],
    }
    if asked.id is not None:
        answer["id"] = asked.id
    if not binary:
        tensor["data"] = probabilities.ravel().tolist()
        return Response(json.dumps(answer), content_type="application/json")
    content = probabilities.astype("<f4").tobytes()
    tensor["parameters"] = {"binary_data_size": len(content)}
    header = json.dumps(answer).encode()
    return Response(
        header + content,
        headers={HEADER_LENGTH: str(len(header))},
        content_type="application/octet-stream",
    )
