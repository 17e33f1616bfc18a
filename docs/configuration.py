"""docs/configuration.md: the table of every setting."""

from pathlib import Path

from serving.settings import Settings, variables

INTRODUCTION = """\
# Configuration

<!-- Generated from serving/settings.py by `python -m docs`; edit that instead. -->

Each setting is an option of `python -m serving` and an environment variable; the option wins.
Where two variables are named, the first that is set counts. An empty variable counts as not set.
An invalid value stops the start with one line that names the option and its variables. Times are in
seconds and sizes in bytes.

| option | variable | default | meaning |
|---|---|---|---|
"""


def page() -> str:
    """Return the page."""
    rows = []
    for name, field in Settings.model_fields.items():
        option = f"`--{name.replace('_', '-')}`"
        names = ", ".join(f"`{variable}`" for variable in variables(name))
        rows.append(
            f"| {option} | {names} | {_default(field.default)} | {_escape(field.description)} |\n"
        )
    return INTRODUCTION + "".join(rows)


def _default(value: object) -> str:
    match value:
        case None | "":
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case int():
            return str(value)
        case Path():  # the checkout's, wherever that is
            return f"`{value.name}/` of the checkout"
    return f"`{value}`"


def _escape(text: str | None) -> str:
    return (text or "").replace("<", "&lt;")
