"""docs/http.md: the HTTP reference, from the OpenAPI document and real answers."""

import io
import json
import math
import re
from itertools import islice
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from models.record import IMAGE_SIZE
from serving.app import create_app
from serving.settings import Settings

Json = dict[str, Any]

INTRODUCTION = """\
# HTTP reference

<!-- Generated from the service by `python -m docs`; edit serving/openapi/ instead. -->

One short answer for each route. The running service describes every field and status at
`/openapi.json`, and on a page to try it at `/docs/`. Here, long lists and deep objects are cut at
`…`.

Errors have the type `application/problem+json` ([RFC
9457](https://www.rfc-editor.org/rfc/rfc9457)). Their `detail` says what to do, and
[operations](operations.md#status-codes) what each status means. Booleans are
`true` or `false`. An unknown query parameter is an error.

Each route below `/v2/models/{name}` also exists below `/v2/models/{name}/versions/{version}`.

## Bodies

`/predict`, `/stability` and `/explanations` take a form with files in the field `image`, an image
file itself, or JSON: `{"image": "<base64 or data: URL>"}`, or `{"images": [...]}` for several
(`/predict` alone). The query parameters may also be in the form or the JSON:

```sh
curl --json '{"image": "'$(base64 -w 0 serving/static/ship.png)'", "top_k": 1}' http://127.0.0.1:8000/predict
```

The service fetches nothing: a URL of an image is refused. An image of another size than 32×32
pixels is cropped to its center square and resampled, unless `resize` is false; the answer says so
in `resampled`.
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
CHANGING = ("/stats",)  # paths whose answers differ between calls
MOST_ITEMS = 1  # of a list that is shown
MOST_NUMBERS = 4
MOST_FIELDS = 16  # of an object in a list
MOST_CHARACTERS = 48  # of a string
MOST_DIGITS = 6  # after the point
WIDTH = 110  # columns
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def page() -> str:
    """Return the page: each operation with an answer."""
    client = create_app(Settings(provider="cpu", api_key="")).test_client()
    document = client.get("/openapi.json").get_json()
    parts = [INTRODUCTION]
    for path, item in document["paths"].items():
        if "{version}" in path:
            continue
        for method in ("get", "post"):
            if method in item:
                shared = item.get("parameters", [])
                parts.append(_operation(client, method, path, item[method], shared))
    return "\n".join(parts)


def same(one: str, other: str) -> bool:
    """Compare two pages; on another processor, int8 may round a step differently."""
    if NUMBER.sub("#", one) != NUMBER.sub("#", other):
        return False
    pairs = zip(NUMBER.findall(one), NUMBER.findall(other), strict=True)
    return all(
        a == b or ("." in a + b and math.isclose(float(a), float(b), rel_tol=0.02, abs_tol=0.01))
        for a, b in pairs
    )


def _operation(
    client: FlaskClient, method: str, path: str, operation: Json, shared: list[Json]
) -> str:
    parameters = [*shared, *operation.get("parameters", [])]
    lines = [f"## {method.upper()} {path}", "", _sentence(operation["summary"])]
    if "description" in operation:
        lines[-1] += f" {operation['description']}"
    if named := [p for p in parameters if p["in"] != "path"]:
        lines += ["", "| parameter | type | meaning |", "|---|---|---|"]
        lines += [f"| {_name(p)} | {_type(p)} | {p.get('description', '')} |" for p in named]
    return "\n".join([*lines, *_example(client, method, path, operation, parameters), ""])


def _sentence(text: str) -> str:
    return text if text.endswith(("?", ".")) else f"{text}."


def _name(parameter: Json) -> str:
    return f"`{parameter['name']}`" + (", a header" if parameter["in"] == "header" else "")


def _example(
    client: FlaskClient, method: str, path: str, operation: Json, parameters: list[Json]
) -> list[str]:
    """Call the service; return the command and its answer, if that is JSON."""
    content = operation["responses"].get("200", {}).get("content", {})
    if "application/json" not in content or path.endswith(CHANGING):
        return []
    query = {
        p["name"]: EXAMPLE["name" if p["name"] == "model" else "version"]
        for p in parameters
        if p["in"] == "query" and p["name"] in {"model", "version"}
    }
    if any(p["name"] == "top_k" for p in parameters):
        query["top_k"] = "1"
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
    shown = _lay_out(_cut(answer.get_json()))
    return ["", "```sh", f"curl {options}'{ADDRESS}{address}'", "```", "", "```json", shown, "```"]


def _cut(value: Any) -> Any:
    """Return an answer with what is long in it cut short."""
    match value:
        case dict():
            fields = {key: _cut(item) for key, item in value.items()}
            long = {k for k, v in fields.items() if isinstance(v, dict) and len(str(v)) > WIDTH}
            return {key: "{…}" if key in long else item for key, item in fields.items()}
        case list():
            most = MOST_NUMBERS if all(isinstance(i, int | float) for i in value) else MOST_ITEMS
            shown = [_cut_fields(_cut(item)) for item in value[:most]]
            return [*shown, *(["…"] if len(value) > most else [])]
        case str() if len(value) > MOST_CHARACTERS:
            return f"{value[:MOST_CHARACTERS]}…"
        case float():
            return round(value, MOST_DIGITS)
    return value


def _cut_fields(item: Any) -> Any:
    if isinstance(item, dict) and len(item) > MOST_FIELDS:
        return dict([*islice(item.items(), MOST_FIELDS), ("…", "…")])
    return item


def _lay_out(value: Any, indent: int = 0) -> str:
    """Return JSON whose values are on one line each where they fit."""
    line = json.dumps(value, ensure_ascii=False)
    if indent + len(line) <= WIDTH or not isinstance(value, dict | list):
        return line
    inner = " " * (indent + 2)
    if isinstance(value, list):
        items = [f"{inner}{_lay_out(item, indent + 2)}" for item in value]
    else:
        items = [f'{inner}"{k}": {_lay_out(v, indent + 2)}' for k, v in value.items()]
    start, end = "[]" if isinstance(value, list) else "{}"
    return "\n".join([start, ",\n".join(items), " " * indent + end])


def _type(parameter: Json) -> str:
    """Return a parameter's type in words, with its default."""
    schema = parameter["schema"]
    default = f", `{json.dumps(schema['default'])}` by default" if "default" in schema else ""
    return _words(schema) + default


def _words(schema: Json) -> str:
    match schema:
        case {"enum": values}:
            return " or ".join(f"`{value}`" for value in values)
        case {"type": "array", "items": items}:
            return f"{_words(items)}, repeatable"
        case {"type": "number" | "integer" as kind, "minimum": least, "maximum": most}:
            return f"{kind}, {least} to {most}"
        case {"type": "integer", "minimum": least}:
            return f"integer, at least {least}"
        case {"type": "string"}:
            return "text"
        case {"type": kind}:
            return str(kind)
    return "any"
