"""The schemas of requests and responses, derived from their types."""

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
from serving.protocol.requests import IndexRequest, InferenceRequest

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


REQUESTS = (InferenceRequest, IndexRequest)


class _Closed(GenerateJsonSchema):
    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> dict[str, Any]:
        return super().typed_dict_schema(schema) | {"additionalProperties": False}

    def model_field_schema(self, schema: core_schema.ModelField) -> dict[str, Any]:
        return _if_present(schema, super().model_field_schema(schema))

    def computed_field_schema(self, schema: core_schema.ComputedField) -> dict[str, Any]:
        return _if_present(schema, super().computed_field_schema(schema))


def _if_present(
    field: core_schema.ModelField | core_schema.ComputedField, described: dict[str, Any]
) -> dict[str, Any]:
    """Drop null and the default from the schema of a field that is omitted instead."""
    if "serialization_exclude_if" not in field:
        return described
    choices = described.get("anyOf", [])
    others = {key: described[key] for key in described if key not in {"anyOf", "default"}}
    return others | next((choice for choice in choices if choice != {"type": "null"}), {})


def all_schemas() -> Json:
    """Return a schema for each type of request and response, and for the types in them."""
    _, schemas = TypeAdapter.json_schemas(
        [
            *((answer, "serialization", TypeAdapter(answer)) for answer in ANSWERS),
            *((asked, "validation", TypeAdapter(asked)) for asked in REQUESTS),
        ],
        ref_template="#/components/schemas/{model}",
        schema_generator=_Closed,
    )
    definitions: Json = schemas["$defs"]
    return definitions
