"""Model metadata, configuration and index entries, which clients read before inference."""

import csv
import io

from models.record import INPUT, OUTPUT
from serving.images.decode import ACCEPTED
from serving.inference.classifier import Classifier
from serving.inference.providers import CUDA
from serving.protocol.requests import IMAGE_SHAPE
from serving.protocol.responses import IndexEntry, ModelConfig, ModelMetadata

PLATFORM = "onnxruntime_onnx"


def metadata(classifier: Classifier, versions: list[str]) -> ModelMetadata:
    """Return a model's inputs and outputs; `versions` lists all its versions.

    There is one input, since clients send every one listed; `parameters` describes its other forms.
    """
    return {
        "name": classifier.record.name,
        "versions": versions,
        "platform": PLATFORM,
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, *IMAGE_SHAPE]}],
        "outputs": [
            {"name": OUTPUT, "datatype": "FP32", "shape": [-1, len(classifier.record.classes)]}
        ],
        "parameters": {
            "encoded_images": f"{INPUT} may also be BYTES of shape [N] or [N, 1], each element a "
            f"{ACCEPTED} file (base64 in JSON)",
            "resize": "files of other sizes are cropped to their center and resampled; the "
            "parameter resize=false of the request or the tensor refuses them",
            "labels": _labels(classifier),
        },
    }


def configuration(classifier: Classifier, max_images: int) -> ModelConfig:
    """Return a model's configuration as Triton's ModelConfig message, in JSON.

    https://github.com/triton-inference-server/common/blob/main/protobuf/model_config.proto
    """
    kind = "KIND_GPU" if classifier.provider == CUDA else "KIND_CPU"
    return {
        "name": classifier.record.name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "version_policy": {"all": {}},
        "max_batch_size": max_images,  # per request
        "input": [
            {
                "name": INPUT,
                "data_type": "TYPE_UINT8",
                "format": "FORMAT_NHWC",
                "dims": list(IMAGE_SHAPE),
                "is_shape_tensor": False,
                "optional": False,
            }
        ],
        "output": [
            {
                "name": OUTPUT,
                "data_type": "TYPE_FP32",
                "dims": [len(classifier.record.classes)],
                "label_filename": "",  # there is none; the classification extension has them
                "is_shape_tensor": False,
            }
        ],
        "dynamic_batching": {
            "preferred_batch_size": [classifier.max_batch],
            "max_queue_delay_microseconds": 0,
        },
        "instance_group": [{"name": classifier.record.name, "kind": kind, "count": 1}],
        "parameters": {"labels": {"string_value": _labels(classifier)}},
        "model_transaction_policy": {"decoupled": False},
    }


def _labels(classifier: Classifier) -> str:
    """Return the classes as a line of CSV (RFC 4180)."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(classifier.record.classes)
    return line.getvalue()


def index_entry(classifier: Classifier, *, fails: bool) -> IndexEntry:
    """Return a model's entry in the repository's index."""
    return {
        "name": classifier.record.name,
        "version": str(classifier.record.version),
        "state": "UNAVAILABLE" if fails else "READY",
        "reason": "Its last run failed; the log says why." if fails else "",
    }
