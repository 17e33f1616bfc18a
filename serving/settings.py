"""Every option and limit of the service: its default, its reason and its environment variable."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "SERVING_"

Provider = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "int8"]

_KEY = re.compile(r"[\x21-\x7e]+")  # what a header can carry in every client
_ORIGIN = re.compile(r"\*|https?://[^/\s*]+")


def listed(text: str) -> list[str]:
    """Return what a text lists between commas."""
    return [item.strip() for item in text.split(",")] if text else []


def _check_keys(keys: str) -> str:
    if not all(_KEY.fullmatch(key) for key in listed(keys)):
        # An empty one would let everybody in.
        raise ValueError("keys are visible ASCII characters, with one comma between two of them")
    return keys


def _check_origins(origins: str) -> str:
    for origin in listed(origins):
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r} is no origin, such as https://example.com, nor *")
    return origins


class Settings(BaseSettings):
    """Read from arguments, else from SERVING_… variables, else the defaults.

    PORT and WEB_CONCURRENCY are read without the prefix, too, since platforms set them. HOST is
    not, since compilers' environments set it to what is no address.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, populate_by_name=True, frozen=True
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(
        8000,
        ge=0,
        le=65535,
        validation_alias=AliasChoices(f"{PREFIX}PORT", "PORT"),
        description="Port to listen on; 0 takes a free one.",
    )
    workers: PositiveInt = Field(
        1,
        validation_alias=AliasChoices(f"{PREFIX}WORKERS", "WEB_CONCURRENCY"),
        description="Processes that answer requests, each with models of its own; one serves large "
        "models from all cores, more serve small ones faster. Limits are each worker's.",
    )
    threads: PositiveInt | None = Field(
        None,
        description="Threads that run a model in each worker; the cores that the process may use, "
        "by affinity and container quota, divided by the workers.",
    )
    models_dir: Path = Field(
        Path(__file__).parents[1] / "models",
        description="Folder of <name>/<version>/ with a model and its record in each.",
    )
    provider: Provider = Field(
        "auto", description="What runs the models; auto takes CUDA where it works, else the CPU."
    )
    precision: Precision = Field(
        "float32",
        description="Arithmetic of the models; int8 is faster, and runs on the CPU alone.",
    )
    cuda_device: NonNegativeInt = Field(0, description="Number of the GPU, where CUDA is used.")
    cuda_memory: PositiveInt | None = Field(
        None, description="Bytes of GPU memory that each model may take; without it, no limit."
    )
    max_body: PositiveInt = Field(
        8 * 2**20, description="Bytes of a request's body; 128 images of 32×32 have 0.5 MB."
    )
    max_images: PositiveInt = Field(
        128, description="Images in one request, so that one holds up the others for a moment only."
    )
    max_waiting: PositiveInt = Field(
        768,
        description="Images that wait for a model or run, summed over the models, before "
        "requests are refused; two requests of 128 images for three models.",
    )
    max_batch: PositiveInt | None = Field(
        None, description="Images in one run of a model; 16 on a CPU, 128 on a GPU."
    )
    decoders: PositiveInt = Field(
        2,
        description="Processes that decode large images, each of which takes up to 500 MB.",
    )
    max_connections: PositiveInt = Field(
        800,
        description="Connections of a worker; with the files of their bodies they stay below the "
        "usual limit of 1,024 open files.",
    )
    client_timeout: PositiveInt = Field(
        120,
        description="Seconds until a connection's next request has come in, and until its body "
        "has; a load balancer keeps connections for up to 60.",
    )
    graceful_timeout: PositiveInt = Field(
        30, description="Seconds from SIGTERM until requests that are still being answered are cut."
    )
    worker_timeout: PositiveInt = Field(
        120, description="Seconds without a sign of life until a worker is killed and replaced."
    )
    decoder_timeout: PositiveFloat = Field(
        10.0,
        description="Seconds that a request's large images wait for decoders before it is refused.",
    )
    decode_timeout: PositiveFloat = Field(
        2.0,
        description="Seconds that a request's large images hold decoders before it is refused.",
    )
    api_key: Annotated[str, AfterValidator(_check_keys)] = Field(
        "",
        repr=False,
        description="Key that requests have to carry, or several, separated by commas, while "
        "clients change from one to another; without any, everybody is answered.",
    )
    metrics_need_key: bool = Field(
        False, description="Whether /metrics asks for the key, too; probes never do."
    )
    cors_origins: Annotated[str, AfterValidator(_check_origins)] = Field(
        "",
        description="Origins whose pages may ask the service from a browser, separated by commas "
        "(https://example.com); * is every one.",
    )
    trusted_proxies: NonNegativeInt = Field(
        0,
        description="Proxies in front, whose X-Forwarded-For, -Proto, -Host, -Port and -Prefix "
        "headers are believed; as many of each as there are proxies that set it.",
    )

    @property
    def read_limit(self) -> int:
        """Bytes that are read of a body that is refused, so that its client reads the answer."""
        return 2 * self.max_body


def variables(name: str) -> tuple[str, ...]:
    """Return the environment variables that set a field, the first that is set counting."""
    alias = Settings.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (f"{PREFIX}{name.upper()}",)
