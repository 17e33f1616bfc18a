"""Metrics as Prometheus' own parser reads them, log lines, request ids, traces."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import requests
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from serving.observability.telemetry import start_tracing
from tests.helpers import (
    ROOT,
    connect,
    free_port,
    png,
    run_server,
    takes_connections,
    upload,
    wait_for,
)


def samples(server: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    response = requests.get(f"{server}/metrics")
    assert response.headers["Content-Type"].startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_metrics_count_what_happened(server: str, image: npt.NDArray[np.uint8]) -> None:
    record = requests.get(f"{server}/models/first?version=1").json()
    before = samples(server)
    for _ in range(2):
        requests.post(
            f"{server}/predict?model=first&version=1",
            files=upload(*[("a.png", png(image))] * 3),
        ).raise_for_status()
    assert requests.post(f"{server}/predict?model=first", data=b"no").status_code == 400
    after = samples(server)

    def grown(name: str, **labels: str) -> float:
        key = name, tuple(sorted(labels.items()))
        return after[key] - before.get(key, 0)

    assert grown("serving_http_requests_total", method="POST", route="/predict", status="200") == 2
    assert grown("serving_http_requests_total", method="POST", route="/predict", status="400") == 1
    assert grown("serving_http_request_duration_seconds_count", route="/predict") == 3
    assert grown("serving_model_requests_total", model="first", version="1", status="200") == 2
    assert grown("serving_decode_duration_seconds_count") == 3
    for stage in ("success", "queue", "infer"):
        of_first = {"model": "first", "version": "1", "stage": stage}
        assert grown("serving_model_duration_seconds_count", **of_first) == 2
    assert grown("serving_batch_images_sum", model="first") == 6
    assert grown("serving_prediction_confidence_count", model="first", version="1") == 6
    predictions = [
        grown(name, **dict(labels)) for name, labels in after if name == "serving_predictions_total"
    ]
    assert sum(predictions) == 6
    assert after["process_resident_memory_bytes", ()] > 2**27
    assert after["serving_queue_images", ()] == 0
    assert after["serving_http_requests_in_flight", ()] == 1  # the one that asks
    accuracy = after["serving_model_test_accuracy", (("model", "first"), ("version", "1"))]
    assert accuracy == record["test_accuracy"]
    [provider] = {
        dict(labels)["provider"] for name, labels in after if name == "serving_model_info"
    }
    assert provider.endswith("ExecutionProvider")


@pytest.mark.slow
def test_a_slow_upload_is_not_the_services_time(server: str, image: npt.NDArray[np.uint8]) -> None:
    body = png(image)
    name = "serving_http_request_duration_seconds_sum", (("route", "/predict"),)
    before = samples(server).get(name, 0)
    begun = time.monotonic()
    with connect(server) as client:
        client.sendall(
            b"POST /predict HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: image/png\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        time.sleep(1)
        upload_took = time.monotonic() - begun
        client.sendall(body)
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    took = time.monotonic() - begun
    assert 0 < samples(server)[name] - before < took - upload_took / 2


def logged(log: list[str], answer: requests.Response) -> Any:
    """Wait for an answer's line in the log, and return its fields."""
    quoted = f'"{answer.headers["X-Request-ID"]}"'
    wait_for(lambda: any(quoted in line for line in log))
    [line] = [line for line in log if quoted in line]
    return json.loads(line)


def test_a_request_has_an_id_in_its_answer_and_its_log_line(
    server: str, server_log: list[str]
) -> None:
    given = requests.get(f"{server}/health/live", headers={"X-Request-ID": "mine-42"})
    assert given.headers["X-Request-ID"] == "mine-42"
    line = logged(server_log, given)
    rfc_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
    assert rfc_3339.fullmatch(line["time"])
    assert (line["method"], line["path"], line["status"]) == ("GET", "/health/live", 200)
    made = requests.get(f"{server}/nothing", headers={"X-Request-ID": "two words"})
    assert made.headers["X-Request-ID"] not in ("", "two words")
    assert logged(server_log, made)["status"] == 404


def test_no_client_can_make_up_series_or_log_lines(server: str, server_log: list[str]) -> None:
    for method in ("BREW", "MAKE"):
        assert requests.request(method, f"{server}/predict").status_code == 405
    forged = logged(server_log, requests.get(f"{server}/x%0Aforged%1b[31m"))
    metrics = requests.get(f"{server}/metrics").text
    assert "BREW" not in metrics
    assert 'method="other",route="none"' in metrics or 'method="other",route="/predict"' in metrics
    assert "\nforged" not in forged["message"]
    assert not any("\x1b" in line for line in server_log)


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """Address of an OTLP receiver, and what it received."""
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}", received
        httpd.shutdown()


@pytest.mark.slow
@pytest.mark.usefixtures("_one_model")
def test_traces_go_where_the_usual_variables_say(collector: tuple[str, list[bytes]]) -> None:
    trace = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    address, received = collector
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_SERVICE_NAME": "images"}
    with run_server(environment=settings) as server:
        requests.get(f"{server}/models/first")
    [resource] = trace.ExportTraceServiceRequest.FromString(received[0]).resource_spans
    attributes = {a.key: a.value.string_value for a in resource.resource.attributes}
    assert attributes["service.name"] == "images"
    [span] = [span for scope in resource.scope_spans for span in scope.spans]
    assert span.name == "GET /models/<name>"


@pytest.mark.parametrize(
    ("variable", "value"), [("OTEL_TRACES_EXPORTER", "none"), ("OTEL_SDK_DISABLED", "true")]
)
def test_traces_can_be_switched_off(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv(variable, value)
    app = Flask(__name__)
    before = app.wsgi_app
    start_tracing(app)
    assert app.wsgi_app == before


@pytest.mark.slow
@pytest.mark.usefixtures("_one_model")
def test_a_collector_that_does_not_answer_is_not_tried_for_long() -> None:
    pytest.importorskip("opentelemetry.distro")
    tries: list[socket.socket] = []

    def hang_up(listener: socket.socket) -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                connection, _ = listener.accept()
                connection.close()
                tries.append(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=hang_up, args=[listener])
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with run_server(environment={"OTEL_EXPORTER_OTLP_ENDPOINT": address}) as server:
            requests.get(f"{server}/models")
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert 1 <= len(tries) <= 4  # two, and what urllib3 tries again by itself


def test_what_is_not_installed_for_traces_is_named() -> None:
    pytest.importorskip("opentelemetry.distro")
    result = subprocess.run(
        [sys.executable, "-m", "serving", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, "OTEL_TRACES_EXPORTER": "zipkin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "OTEL_" in result.stderr
    assert "zipkin" in result.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("_one_model")
def test_a_full_disk_for_the_log_stops_no_answer(image: npt.NDArray[np.uint8]) -> None:
    port = free_port()
    command = [sys.executable, "-m", "serving", "--port", str(port)]
    with (
        Path("/dev/full").open("w") as full,  # each write to it fails with "no space left"
        subprocess.Popen(command, cwd=ROOT, stderr=full) as process,
    ):
        try:
            wait_for(lambda: takes_connections(port))
            url = f"http://127.0.0.1:{port}/predict?model=first"
            for _ in range(3):
                answer = requests.post(url, data=png(image))
                assert answer.status_code == 200
        finally:
            process.terminate()
    assert process.returncode == 0
