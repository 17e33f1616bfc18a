"""Options and variables, and which counts."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from serving import errors
from serving.__main__ import main
from serving.problems import status_of
from serving.settings import Settings, variables
from tests.helpers import refusal


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


def test_help_names_every_setting() -> None:
    shown = CliRunner().invoke(main, ["serve", "--help"], terminal_width=1000).output
    for name, field in Settings.model_fields.items():
        [line] = [line for line in shown.splitlines() if f"--{name.replace('_', '-')} " in line]
        assert field.description
        assert field.description in line
        for variable in variables(name):
            assert variable in line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "70000"], ["--port", "SERVING_PORT", "70000", "65535"]),
        (["--threads", "many"], ["--threads", "SERVING_THREADS", "many"]),
        (["--threads", "0"], ["--threads", "SERVING_THREADS", "0"]),
        (["--provider", "tpu"], ["--provider", "SERVING_PROVIDER", "tpu", "cuda"]),
        (
            ["--cors-origins", "https://a.com?"],
            ["--cors-origins", "is no origin", "https://a.com?"],
        ),
    ],
)
def test_a_wrong_value_is_named(options: list[str], words: list[str]) -> None:
    result = CliRunner().invoke(main, ["serve", *options])
    assert result.exit_code == 2
    for word in words:
        assert word in result.output


def test_an_option_without_a_default_is_taken(tmp_path: Path) -> None:
    # In a process of its own: it forks, and here there may be threads.
    options = ("--threads", "2", "--max-batch", "8", "--models-dir", str(tmp_path))
    assert "holds no models" in refusal(*options)


def test_every_error_has_a_status() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type)}
    wanted = {kind for kind in kinds if issubclass(kind, errors.ServingError)}
    assert {status_of(kind("")) for kind in wanted - {errors.ServingError}} <= set(
        errors.STATUSES.values()
    )
