"""The rooms import one another downwards alone, as docs/architecture.md draws them."""

from importlinter.cli import lint_imports


def test_no_room_imports_upwards() -> None:
    # The contracts are in pyproject.toml.
    assert lint_imports(no_cache=True) == 0
