"""The documentation is what the code says, and its links lead somewhere."""

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
import requests
from click.testing import CliRunner

from docs import configuration, http
from docs.__main__ import main
from serving.http.problems import STATUSES
from tests.helpers import ROOT, SHIP
from tests.promql import metrics_in

PAGES = sorted(  # every one; its links are written as LINKS finds them
    path
    for folder in (".", "docs", "models", "deploy", "benchmarks", "examples")
    for path in (ROOT / folder).glob("*.md" if folder != "models" else "**/*.md")
)
FENCES = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINKS = re.compile(r"\]\(([^)\s]+)\)")
HEADINGS = re.compile(r"^#+ (.+)$", re.MULTILINE)


def test_generated_pages_are_up_to_date() -> None:
    result = CliRunner().invoke(main, ["--check"])
    assert result.exit_code == 0, result.output


def test_another_default_or_answer_is_noticed() -> None:
    page = configuration.page()
    assert http.same(page, page)
    assert not http.same(page, page.replace("| 800 |", "| 801 |"))
    assert not http.same(page, page.replace("--workers", "--processes"))
    assert http.same('"confidence": 0.997533', '"confidence": 0.997534')
    assert not http.same('"confidence": 0.997533', '"confidence": 0.95')


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    found: set[str] = set()
    for heading in HEADINGS.findall(FENCES.sub("", page.read_text())):
        words = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = sum(re.fullmatch(rf"{re.escape(words)}(-\d+)?", anchor) is not None
                     for anchor in found)  # fmt: skip
        found.add(f"{words}-{number}" if number else words)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in LINKS.findall(FENCES.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):  # elsewhere
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{link}: there is no such file"
        if anchor:
            assert anchor in anchors(target), f"{link}: there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_that_are_named_exist(page: Path) -> None:
    named = re.findall(
        r"`((?:benchmarks|deploy|docs|models|serving|tests|training)/[\w./-]*)`", page.read_text()
    )
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_take_the_options_that_are_shown(page: Path) -> None:
    pytest.importorskip("training.__main__", reason="needs the training group")
    for module, arguments in re.findall(
        r"""python -m (benchmarks\.\w+|docs|serving|training)\b(?!\.)([^#|`"&\n]*)""",
        page.read_text(),
    ):
        name = module if "." in module else f"{module}.__main__"
        check_options(import_module(name).main, arguments.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_recipes_and_modules_that_are_named_exist(page: Path) -> None:
    text = page.read_text()
    recipes = re.findall(r"^([a-z][a-z-]*)[^:=\n]*:(?!=)", (ROOT / "justfile").read_text(), re.M)
    assert {*re.findall(r"`just ([a-z-]+)", text)} <= {*recipes}
    ours = r"python -m ((?:benchmarks|docs|examples|serving|training)\b[\w.]*)"
    for module in re.findall(ours, text):
        assert find_spec(module), f"there is no {module}"


def check_options(command: click.Command, words: list[str]) -> None:
    if isinstance(command, click.Group):
        named = [word for word in words if not word.startswith("-")]
        name = named[0] if named and named[0] in command.commands else command.default_cmd_name  # type: ignore[attr-defined]
        command = command.commands[name]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.split("=")[0] for word in words if word.startswith("--")} <= known | {"--help"}


def test_every_status_and_metric_of_operations_is_the_services(server: str) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    statuses = {int(status) for status in re.findall(r"^\| (\d{3}) \|", page, re.MULTILINE)}
    # Flask's own: a method that a path does not take, and an error that nobody foresaw.
    assert statuses == {*map(int, STATUSES), 405, 500}
    requests.post(f"{server}/predict", data=SHIP.read_bytes()).raise_for_status()
    exposed = set(re.findall(r"^(\w+)", requests.get(f"{server}/metrics").text, re.MULTILINE))
    [queries] = re.findall(r"```promql\n(.*?)```", page, re.DOTALL)
    used = set().union(*map(metrics_in, queries.strip().splitlines()))
    assert len(used) == 4
    assert used <= exposed
