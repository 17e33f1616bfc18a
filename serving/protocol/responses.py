"""Response types of the routes under /v2; see `serving.http.answers`."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, NonNegativeInt
from typing_extensions import TypedDict  # pydantic takes typing's from Python 3.12 on


class ServerMetadata(TypedDict):
    """The server's metadata."""

    name: str
    version: str
    extensions: list[str]


class Live(TypedDict):
    """The server is live."""

    live: bool


class Ready(TypedDict):
    """The server, or the named model, is ready."""

    name: NotRequired[str]
    ready: bool


class TensorMetadata(TypedDict):
    """An input or output; -1 in `shape` stands for any number of images."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(TypedDict):
    """A model's inputs and outputs."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: Annotated[
        dict[str, str],
        Field(description="Other forms of the input, and the output's labels."),
    ]


class ModelConfig(TypedDict):
    """Triton's ModelConfig message."""

    name: str
    platform: str
    backend: str
    version_policy: dict[str, Any]
    max_batch_size: Annotated[NonNegativeInt, Field(description="Maximum images per request.")]
    input: list[dict[str, Any]]
    output: list[dict[str, Any]]
    dynamic_batching: dict[str, Any]
    instance_group: list[dict[str, Any]]
    parameters: dict[str, Any]
    model_transaction_policy: dict[str, Any]


class IndexEntry(TypedDict):
    """A version in the repository's index; `reason` says why it is unavailable."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class Duration(TypedDict):
    """A number of events, and their total duration in nanoseconds."""

    count: NonNegativeInt
    ns: NonNegativeInt


class ModelStatistics(TypedDict):
    """A version's statistics since the start."""

    name: str
    version: str
    last_inference: Annotated[NonNegativeInt, Field(description="Milliseconds since 1970.")]
    inference_count: Annotated[NonNegativeInt, Field(description="Images.")]
    execution_count: Annotated[NonNegativeInt, Field(description="Batches run.")]
    inference_stats: Annotated[
        dict[str, Duration],
        Field(
            description="success and fail cover requests, queue their time in the queue, and "
            "compute_infer runs."
        ),
    ]
    batch_stats: Annotated[list[Any], Field(max_length=0)]


class Statistics(TypedDict):
    """The models' statistics since the start."""

    model_stats: list[ModelStatistics]


class OutputParameters(TypedDict):
    """The size in bytes of the binary data after the JSON, if any."""

    binary_data_size: NonNegativeInt


class OutputTensor(TypedDict):
    """The probabilities, or the most likely classes as strings: value:index:label."""

    name: str
    datatype: Literal["FP32", "BYTES"]
    shape: list[int]
    data: NotRequired[list[float] | list[str]]
    parameters: NotRequired[OutputParameters]


class InferenceResponse(TypedDict):
    """The response to an inference request."""

    id: NotRequired[str]
    model_name: str
    model_version: str
    outputs: list[OutputTensor]
