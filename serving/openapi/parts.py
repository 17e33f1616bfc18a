"""Parts of an OpenAPI document: operations, responses and schemas."""

from http import HTTPStatus
from typing import Any

from serving.http.parameters import Parameters
from serving.http.problems import CONTENT_TYPE

Json = dict[str, Any]

COUNT: Json = {"type": "integer", "minimum": 0}

# The service may refuse any request with a body so, before its route sees it.
OF_BODIES = (400, 408, 413, 415, 503)


def operation(summary: str, content: Json, **responses: Json) -> Json:
    """Describe an operation: the content of its 200 response, and other responses by status."""
    return {
        "summary": summary,
        "responses": {"200": {"description": "OK", "content": content}, **responses},
    }


def problems(*statuses: int) -> Json:
    """Describe error responses."""
    return {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "content": {CONTENT_TYPE: {"schema": reference("Problem")}},
        }
        for status in sorted(statuses)
    }


def members(kind: type[Parameters], models: list[str]) -> Json:
    """Describe parameters as members of a JSON object; `models` are those that may be named."""
    properties: Json = kind.model_json_schema()["properties"]
    for described in properties.values():
        del described["title"]
    if "model" in properties:
        name = {"type": "string", "enum": models}
        properties["model"]["anyOf"] = [{"type": "array", "items": name}, name]
    return properties


def in_query(kind: type[Parameters], models: list[str]) -> list[Json]:
    """Describe parameters in the query, none of which is null or has several types."""
    found = []
    for name, member in members(kind, models).items():
        schema = {key: value for key, value in member.items() if key != "description"}
        schema |= schema.pop("anyOf", [{}])[0]
        if schema["default"] in (None, []):
            del schema["default"]
        found.append(
            {"name": name, "in": "query", "schema": schema, "description": member["description"]}
        )
    return found


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


def list_of(items: Json) -> Json:
    """Return the schema of a list."""
    return {"type": "array", "items": items}
