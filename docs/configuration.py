"""docs/configuration.md: the table of every setting."""

from pathlib import Path

from serving.settings import Settings, variables

INTRODUCTION = """\
# Configuration

<!-- Generated from serving/settings.py by `python -m docs`; edit that instead. -->

Each setting is an option of `python -m serving` and an environment variable; the option wins. If a
row names two variables, the first one that is set counts. An empty variable counts as not set. An
invalid value stops the start with one line that names the option and its variables.

| to | set |
|---|---|
| answer more small requests on several cores | `--workers 2`; each loads its own models |
| run float32 on a CPU, too | `--precision float32` ([measurements](../benchmarks/README.md#int8)) |
| require an API key | `SERVING_API_KEY=one,two` |
| allow requests from other sites' pages (CORS) | `SERVING_CORS_ORIGINS=https://example.com` |
| run behind a proxy, at any path | `SERVING_TRUSTED_PROXIES=1`; trusts its `X-Forwarded-*` |
| run on an NVIDIA GPU | `uv run --extra cuda python -m serving`; installs CUDA's libraries |

Clients send a key as `Authorization: Bearer KEY` or `X-API-Key: KEY`.

Send SIGHUP to the main process to reload the models folder. Ctrl-C or SIGTERM stops the service. To
use your own [gunicorn](https://gunicorn.org) configuration, run
`uv run gunicorn --worker-class gevent 'serving.app:create_app()'`. On Windows, where gunicorn does
not run, gevent's own server takes its place, with one worker.

## All settings

Times are in seconds, sizes in bytes.

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
