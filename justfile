# Each habit is one command; `uvx --from rust-just just` runs it where just is not installed.

fast := "not (slow or browser or container)"

# List the commands.
_default:
    @just --list

# Start the service.
serve *options:
    uv run python -m serving {{options}}

# Run all tests, or those named.
test *options:
    uv run --group dev pytest {{options}}

# Run the tests that take seconds: no training, no browser, no container.
test-fast *options:
    uv run --group dev pytest -m "{{fast}}" --ignore tests/training {{options}}

# Run all tests, or those named, and show which lines none of them runs; slower than `just test`.
coverage *options:
    uv run --group dev pytest --cov --cov-report term-missing {{options}}

# Check the form, the lints and the types.
lint:
    uv run --group dev ruff format --check .
    uv run --group dev ruff check .
    uv run --group dev mypy

# Write every table, card, plot and generated page; with --check, only compare.
report *options:
    uv run --group training python -m training report {{options}}
    uv run --group training python -m docs {{options}}

# Take the screenshots of the page anew; needs Chromium.
screenshots:
    uv run --group dev python -m docs.screenshots

# Measure the service; needs wrk.
bench *options:
    uv run --group dev python -m benchmarks.service {{options}}

# Build the container image, without NVIDIA's libraries.
image:
    docker build -t classifier --target cpu .
