"""What OpenAPI documents are made of: operations, answers and JSON schemas."""

from http import HTTPStatus
from typing import Any

from serving.http.problems import CONTENT_TYPE

Json = dict[str, Any]

STRING_OR_NULL: Json = {"type": ["string", "null"]}
INTEGER: Json = {"type": "integer"}
COUNT: Json = {**INTEGER, "minimum": 0}
BOOLEAN: Json = {"type": "boolean"}

# Any request with a body may be refused so, before its route sees it.
OF_BODIES = (400, 408, 413, 415, 503)


def operation(summary: str, content: Json, **responses: Json) -> Json:
    """Describe a method of a path: the content of its answer, and its other answers by status."""
    return {
        "summary": summary,
        "responses": {"200": {"description": "OK", "content": content}, **responses},
    }


def problems(*statuses: int) -> Json:
    """Describe the answers to errors."""
    return {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "content": {CONTENT_TYPE: {"schema": reference("Problem")}},
        }
        for status in sorted(statuses)
    }


def query(name: str, schema: Json, description: str) -> Json:
    """Describe a query parameter."""
    return {"name": name, "in": "query", "schema": schema, "description": description}


def in_path(name: str, choices: list[str]) -> Json:
    """Describe a part of the path that is one of `choices`."""
    schema = {"type": "string", "enum": choices}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def as_json(schema: str) -> Json:
    """Describe content by the name of its schema."""
    return {"application/json": {"schema": reference(schema)}}


def as_bytes(mimetype: str) -> Json:
    """Describe content that is not JSON."""
    return {mimetype: {}}


def reference(schema: str) -> Json:
    """Return the schema of that name among the document's components."""
    return {"$ref": f"#/components/schemas/{schema}"}


def object_of(optional: Json | None = None, **properties: Json) -> Json:
    """Return the schema of an object with `properties`, perhaps `optional`, and no others."""
    return {
        "type": "object",
        "properties": {**properties, **(optional or {})},
        "required": list(properties),
        "additionalProperties": False,
    }


def list_of(items: Json) -> Json:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def fixed(value: str) -> Json:
    """Return the schema of one fixed text."""
    return {"type": "string", "const": value}
