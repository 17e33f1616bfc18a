"""docs/http.md: the reference of the HTTP interface, from its OpenAPI document and real answers."""

import io
import json
import math
import re
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from models.record import CLASSES, IMAGE_SIZE
from serving.app import create_app
from serving.settings import Settings

Json = dict[str, Any]

INTRODUCTION = """\
# HTTP reference

<!-- Generated from the service by `python -m docs`; edit serving/openapi/ instead. -->

The service describes itself at `/openapi.json`, and at `/docs/` on a page to try it. This is the
same description, with answers of the bundled models. Long lists are cut, at `"…"`.

An error is a [problem](#problem) of type `application/problem+json`; its `detail` says what to do,
and [operations](operations.md#what-does-each-refusal-mean) what each status means. Unknown query
parameters are refused. Booleans are `true` or `false`.
"""
SHIP = Path("serving/static/ship.png")
ROOT = Path(__file__).parents[1]
ADDRESS = "http://127.0.0.1:8000"
EXAMPLE = {"name": "first", "version": "1"}  # a version that is not retrained
TENSOR = {
    "inputs": [
        {
            "name": "image",
            "datatype": "UINT8",
            "shape": [1, IMAGE_SIZE, IMAGE_SIZE, 3],
            "data": [0] * IMAGE_SIZE**2 * 3,
        }
    ]
}
CHANGING = ("/stats",)  # paths whose answers differ from call to call
MOST_ITEMS = 1  # of a list that is shown
MOST_NUMBERS = 4
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def page() -> str:
    """Return the page: each operation with its answer, then the schemas."""
    client = create_app(Settings(provider="cpu", api_key="")).test_client()
    document = client.get("/openapi.json").get_json()
    parts = [INTRODUCTION]
    for path, item in document["paths"].items():
        for method in ("get", "post"):
            if method in item:
                shared = item.get("parameters", [])
                parts.append(_operation(client, method, path, item[method], shared))
    parts.append("# Schemas\n")
    parts += [_schema(name, schema) for name, schema in document["components"]["schemas"].items()]
    return "\n".join(parts)


def same(one: str, other: str) -> bool:
    """Compare two pages; another processor may round a probability differently."""
    if NUMBER.sub("#", one) != NUMBER.sub("#", other):
        return False
    pairs = zip(NUMBER.findall(one), NUMBER.findall(other), strict=True)
    return all(
        a == b or ("." in a + b and math.isclose(float(a), float(b), rel_tol=1e-3, abs_tol=2e-5))
        for a, b in pairs
    )


def _operation(
    client: FlaskClient, method: str, path: str, operation: Json, shared: list[Json]
) -> str:
    parameters = [*shared, *operation.get("parameters", [])]
    lines = [f"## {method.upper()} {path}", "", f"{operation['summary']}"]
    if "description" in operation:
        lines += ["", operation["description"]]
    if parameters:
        lines += ["", "| parameter | in | type | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{p['name']}` | {p['in']} | {_parameter_type(p)} | {p.get('description', '')} |"
            for p in parameters
        ]
    if "requestBody" in operation:
        kinds = operation["requestBody"]["content"]
        lines += ["", f"Body: {', '.join(f'`{kind}`' for kind in kinds)}."]
    lines += ["", "| status | content |", "|---|---|"]
    for status, response in operation["responses"].items():
        for kind, content in response.get("content", {}).items():
            what = _type(content["schema"]) if "schema" in content else f"`{kind}`"
            lines.append(f"| {status} {response['description']} | {what} |")
    return "\n".join([*lines, *_example(client, method, path, operation, parameters), ""])


def _example(
    client: FlaskClient, method: str, path: str, operation: Json, parameters: list[Json]
) -> list[str]:
    """Call the service; return the command and its answer, if that is JSON."""
    content = operation["responses"].get("200", {}).get("content", {})
    if "application/json" not in content or path.endswith(CHANGING) or "{version}" in path:
        return []  # a version's answers have the form of its model's
    query = {
        p["name"]: EXAMPLE["name" if p["name"] == "model" else "version"]
        for p in parameters
        if p["in"] == "query" and p["name"] in {"model", "version"}
    }
    address = path.format(**EXAMPLE) + (
        "?" + "&".join(f"{name}={value}" for name, value in query.items()) if query else ""
    )
    body = operation.get("requestBody", {}).get("content", {})
    if method == "get":
        options, answer = "", client.get(address)
    elif "image/png" in body:
        options = f"-F image=@{SHIP} "
        file = (io.BytesIO((ROOT / SHIP).read_bytes()), SHIP.name)
        answer = client.post(address, data={"image": file})
    elif path.endswith("/infer"):
        options = "-H 'Content-Type: application/json' -d @tensor.json "
        answer = client.post(address, json=TENSOR)
    else:
        return []
    assert answer.status_code == 200, f"{method} {address}: {answer.text}"
    shown = json.dumps(_cut(answer.get_json()), indent=2, ensure_ascii=False)
    return ["", "```sh", f"curl {options}'{ADDRESS}{address}'", "```", "", "```json", shown, "```"]


def _cut(value: Any) -> Any:
    """Return an answer with its long lists cut short."""
    match value:
        case dict():
            return {key: _cut(item) for key, item in value.items()}
        case list():
            most = MOST_NUMBERS if all(isinstance(i, int | float) for i in value) else MOST_ITEMS
            return [*map(_cut, value[:most]), *(["…"] if len(value) > most else [])]
    return value


def _parameter_type(parameter: Json) -> str:
    if parameter["in"] == "path":  # the models and versions that are loaded
        return "text"
    schema = parameter["schema"]
    default = f", `{json.dumps(schema['default'])}` by default" if "default" in schema else ""
    return _type(schema) + default


def _schema(name: str, schema: Json) -> str:
    lines = [f"## {name}", ""]
    if "description" in schema:
        lines += [" ".join(schema["description"].split()), ""]
    lines += ["| field | type | meaning |", "|---|---|---|"]
    required = schema.get("required", [])
    for field, of in schema.get("properties", {}).items():
        optional = "" if field in required else ", optional"
        meaning = " ".join(of.get("description", "").split())
        lines.append(f"| `{field}` | {_type(of)}{optional} | {meaning} |")
    return "\n".join([*lines, ""])


def _type(schema: Json) -> str:
    """Return a schema in words."""
    match schema:
        case {"$ref": reference}:
            name = reference.rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        case {"const": value}:
            return f"`{json.dumps(value)}`"
        case {"enum": values}:
            return _choices(values)
        case {"anyOf": choices} | {"oneOf": choices}:
            return " or ".join(map(_type, choices))
        case {"type": [*kinds]}:
            return " or ".join(_type({**schema, "type": kind}) for kind in kinds)
        case {"type": "array", "items": items}:
            return f"list of {_type(items)}"
        case {"type": "object", "properties": fields}:
            return "object of " + ", ".join(f"`{name}`" for name in fields)
        case {"type": "number" | "integer" as kind, "minimum": least, "maximum": most}:
            return f"{kind}, {least} to {most}"
        case {"type": "string"}:
            return "text"
        case {"type": kind}:
            return str(kind)
    return "any"


def _choices(values: list[Any]) -> str:
    if set(values) - {None} == set(CLASSES):
        return "a class, or null" if None in values else "a class"
    return " or ".join(f"`{json.dumps(value)}`" for value in values)
