"""The API's description against the real service, by Schemathesis."""

import re
from typing import Any

import numpy as np
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from serving.app import create_app
from serving.images.decode import MIMETYPES
from serving.settings import Settings
from tests.helpers import png

_random = np.random.default_rng(0)
IMAGES = [
    png(_random.integers(0, 256, shape, dtype=np.uint8)) for shape in ((32, 32, 3), (20, 40, 3))
]
for mimetype in (*MIMETYPES, "application/octet-stream"):
    schemathesis.openapi.media_type(mimetype, st.sampled_from(IMAGES) | st.binary(max_size=64))


@pytest.fixture(scope="session")
def document(server: str) -> Any:
    return requests.get(f"{server}/openapi.json").json()


def test_the_document_is_valid(document: Any) -> None:
    validate(document)


def test_every_route_is_described(document: Any) -> None:
    app = create_app(Settings(provider="cpu"))
    routes = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
        if method in {"GET", "POST"} and not rule.rule.startswith(("/docs", "/static"))
    } - {("/", "get"), ("/openapi.json", "get")}
    described = {
        (path, method)
        for path, item in document["paths"].items()
        for method in item
        if method in {"get", "post"}
    }
    assert described == routes


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_the_service_conforms_to_it(server: str, mode: GenerationMode) -> None:
    api = schemathesis.openapi.from_url(f"{server}/openapi.json")
    operations: list[Any] = [result.ok() for result in api.get_all_operations()]  # type: ignore[union-attr]
    assert len(operations) > 15
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and not (operation.path_parameters or operation.body):
            continue  # there is nothing to get wrong

        @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy(generation_mode=mode))
        def keeps_to_it(case: Any) -> None:
            # A schema cannot say which bytes are an image, so valid requests may be refused.
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        keeps_to_it()


def test_the_documentation_page_is_local(server: str) -> None:
    page = requests.get(f"{server}/docs/")
    assert page.status_code == 200
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert address.startswith("./")
        assert requests.get(f"{server}/docs/{address}").status_code == 200
