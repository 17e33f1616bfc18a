"""The schemas of the answers, from their types in `responses` of `serving` and the protocol."""

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from serving.http.answers import (
    ImageExplanation,
    ImageStability,
    Models,
    Predictions,
    Status,
    Study,
)
from serving.openapi.parts import Json
from serving.protocol import responses as protocol

ANSWERS = (
    Predictions,
    ImageStability,
    ImageExplanation,
    Models,
    Study,
    Status,
    protocol.ServerMetadata,
    protocol.Live,
    protocol.Ready,
    protocol.ModelMetadata,
    protocol.ModelConfig,
    protocol.IndexEntry,
    protocol.Statistics,
    protocol.InferenceResponse,
)


class _Closed(GenerateJsonSchema):
    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> dict[str, Any]:
        return super().typed_dict_schema(schema) | {"additionalProperties": False}


def answer_schemas() -> Json:
    """Return a schema for each type of answer, and for the types in them."""
    _, schemas = TypeAdapter.json_schemas(
        [(answer, "serialization", TypeAdapter(answer)) for answer in ANSWERS],
        ref_template="#/components/schemas/{model}",
        schema_generator=_Closed,
    )
    definitions: Json = schemas["$defs"]
    return definitions
