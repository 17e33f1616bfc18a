"""Options and variables, and which counts."""

import pytest
from click.testing import CliRunner

from serving import errors
from serving.__main__ import main
from serving.http.problems import STATUSES, status_of
from serving.inference.registry import load_classifiers
from serving.settings import Settings, variables


def test_variables_have_one_prefix_but_for_what_platforms_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOST", "x86_64-conda-linux-gnu")  # as conda's compilers set it
    monkeypatch.setenv("PROVIDER", "nonsense")
    monkeypatch.setenv("PORT", "8001")
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    monkeypatch.setenv("SERVING_MAX_IMAGES", "")
    settings = Settings()
    assert (settings.host, settings.provider) == ("127.0.0.1", "auto")
    assert (settings.port, settings.workers, settings.max_images) == (8001, 3, 128)
    monkeypatch.setenv("SERVING_PORT", "8002")
    assert Settings().port == 8002
    assert Settings(port=8003).port == 8003


@pytest.mark.parametrize("command", [[], ["serve"]])
def test_help_names_every_setting(command: list[str]) -> None:
    shown = CliRunner().invoke(main, [*command, "--help"], terminal_width=1000).output
    for name, field in Settings.model_fields.items():
        _, _, described = shown.partition(f"  --{name.replace('_', '-')} ")
        described, *_ = described.split("\n  --")
        assert field.description
        assert field.description in described
        for variable in variables(name):
            assert variable in described


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "70000"], ["--port", "SERVING_PORT", "70000", "65535"]),
        (["--threads", "many"], ["--threads", "SERVING_THREADS", "many"]),
        (["--threads", "0"], ["--threads", "SERVING_THREADS", "0"]),
        (["--provider", "tpu"], ["--provider", "SERVING_PROVIDER", "tpu", "cuda"]),
        (
            ["--cors-origins", "https://a.com?"],
            ["--cors-origins", "is neither an origin", "https://a.com?"],
        ),
        (["--api-key", "a secret"], ["--api-key", "SERVING_API_KEY", "invalid"]),
        (["--metrics-need-key", "true"], ["--metrics-need-key", "SERVING_API_KEY"]),
    ],
)
def test_a_wrong_value_is_named(options: list[str], words: list[str]) -> None:
    result = CliRunner().invoke(main, ["serve", *options])
    assert result.exit_code == 2
    for word in words:
        assert word in result.output
    assert "secret" not in result.output


def test_a_batch_is_as_large_as_it_may_be() -> None:
    for asked, found in ((None, 16), (8, 8)):
        first, *_ = load_classifiers(Settings(provider="cpu", max_batch=asked))
        assert first.max_batch == found


def test_every_error_has_a_status() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type)}
    wanted = {kind for kind in kinds if issubclass(kind, errors.ServingError)}
    assert {status_of(kind("")) for kind in wanted - {errors.ServingError}} <= STATUSES
