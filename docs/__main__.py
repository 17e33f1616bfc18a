"""Write the generated pages: `python -m docs`; `python -m docs --check` only compares."""

from collections.abc import Callable
from pathlib import Path

import click

from docs import configuration, http, reproduction
from training.files import write_text

FOLDER = Path(__file__).parent
PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": configuration.page,
    "http.md": http.page,
    "reproduction.md": reproduction.page,
}


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; fail if a page is out of date.")
def main(check: bool) -> None:
    """Write docs/*.md from the settings, the service and the records."""
    outdated = []
    for name, page in PAGES.items():
        path = FOLDER / name
        text = page()
        if path.exists() and http.same(path.read_text("utf-8"), text):
            continue
        if check:
            outdated.append(name)
        else:
            write_text(path, text)
    if outdated:
        raise click.ClickException(
            f"out of date: {', '.join(f'docs/{name}' for name in outdated)}; run: python -m docs"
        )


if __name__ == "__main__":
    main(prog_name="python -m docs")
