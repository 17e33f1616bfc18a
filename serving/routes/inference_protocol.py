"""The Open Inference Protocol, version 2, over HTTP: what KServe, Triton and MLServer speak."""

from typing import NoReturn

import numpy as np
import numpy.typing as npt
from flask import Blueprint, Response, request

from serving import NAME, VERSION
from serving.errors import BadRequestError
from serving.protocol import EXTENSIONS, HEADER_LENGTH
from serving.protocol.answers import write_answer
from serving.protocol.descriptions import configuration, index_entry, metadata
from serving.protocol.images import read_encoded, read_pixels, read_tensor
from serving.protocol.requests import (
    ENCODED,
    InferenceRequest,
    first_of,
    read_index_request,
    read_output,
    read_request,
)
from serving.protocol.responses import (
    IndexEntry,
    Live,
    ModelConfig,
    ModelMetadata,
    Ready,
    ServerMetadata,
    Statistics,
)
from serving.protocol.statistics import statistics
from serving.service import Service


def create_blueprint(service: Service) -> Blueprint:
    """Return the routes under /v2."""
    blueprint = Blueprint("inference_protocol", __name__, url_prefix="/v2")
    classifiers, metrics = service.classifiers, service.metrics
    max_images = service.settings.max_images

    @blueprint.get("")
    def server_metadata() -> ServerMetadata:
        return {"name": NAME, "version": VERSION, "extensions": list(EXTENSIONS)}

    @blueprint.get("/health/live")
    def live() -> Live:
        return {"live": True}

    @blueprint.get("/health/ready")
    def ready() -> Ready:
        service.check_ready()
        return {"ready": True}

    @blueprint.get("/models/<name>")
    @blueprint.get("/models/<name>/versions/<version>")
    def model_metadata(name: str, version: str | None = None) -> ModelMetadata:
        return metadata(classifiers.find(name, version), classifiers.versions(name))

    @blueprint.get("/models/<name>/ready")
    @blueprint.get("/models/<name>/versions/<version>/ready")
    def model_ready(name: str, version: str | None = None) -> Ready:
        service.check_ready(classifiers.find(name, version))
        return {"name": name, "ready": True}

    @blueprint.get("/models/<name>/config")
    @blueprint.get("/models/<name>/versions/<version>/config")
    def model_configuration(name: str, version: str | None = None) -> ModelConfig:
        return configuration(classifiers.find(name, version), max_images)

    @blueprint.get("/models/stats")
    @blueprint.get("/models/<name>/stats")
    @blueprint.get("/models/<name>/versions/<version>/stats")
    def model_statistics(name: str | None = None, version: str | None = None) -> Statistics:
        if name is None:
            chosen = list(classifiers)
        elif version is None:
            classifiers.find(name)
            chosen = [classifiers.find(name, each) for each in classifiers.versions(name)]
        else:
            chosen = [classifiers.find(name, version)]
        return statistics(chosen, metrics)

    @blueprint.post("/models/<name>/infer")
    @blueprint.post("/models/<name>/versions/<version>/infer")
    def infer(name: str, version: str | None = None) -> Response:
        classifier = classifiers.find(name, version)
        with metrics.count_models([classifier]):
            length = request.headers.get(HEADER_LENGTH)
            asked, binary = read_request(request.get_data(cache=False), length, max_images)
            form = read_output(asked, len(classifier.record.classes))
            images = read_images(asked, binary)
            del binary  # free megabytes while the model runs
            [probabilities] = service.classify([classifier], images)
        header, content = write_answer(classifier, asked, form, probabilities)
        if content is None:
            return Response(header, content_type="application/json")
        return Response(
            header + content,
            headers={HEADER_LENGTH: str(len(header))},
            content_type="application/octet-stream",
        )

    def read_images(asked: InferenceRequest, binary: bytes) -> npt.NDArray[np.uint8]:
        """Return the images, uint8 [N, 32, 32, 3]."""
        tensor = read_tensor(asked, max_images)
        if tensor.datatype != ENCODED:
            return read_pixels(tensor, binary)
        resize = first_of(tensor.parameters.resize, asked.parameters.resize, default=True)
        uploads = read_encoded(tensor, binary)
        tensor.data = None  # free megabytes while the files wait for a decoder
        images = service.decode(uploads, resize=resize)
        return np.stack([image.pixels for image in images])

    @blueprint.post("/repository/index")
    def index() -> list[IndexEntry]:
        only_ready = read_index_request(request.get_data())
        entries = [
            index_entry(c, fails=bool(service.batcher.retry_failed([c]))) for c in classifiers
        ]
        return [entry for entry in entries if entry["state"] == "READY" or not only_ready]

    @blueprint.post("/repository/models/<name>/load")
    @blueprint.post("/repository/models/<name>/unload")
    def load(name: str) -> NoReturn:
        raise BadRequestError(
            f"Requests cannot load or unload models such as {name!r}. Change the models folder, "
            "then send SIGHUP to the service's main process (kill -HUP) to reload all models."
        )

    return blueprint
