"""Every option and limit of the service: its default, its reason and its environment variable."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from serving.images.decode import MAX_PIXELS

PREFIX = "SERVING_"

Provider = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "int8"]

_KEY = re.compile(r"[\x21-\x7e]+")  # what a header can carry in every client
# Without the characters that Flask-CORS takes for a regular expression's.
_ORIGIN = re.compile(r"\*|[A-Za-z][\w.+-]*://[\w.:-]+")


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

    host: str = Field(
        "127.0.0.1",
        description="Address to listen on; :: is every one, of IPv6 and IPv4, or of IPv4 alone "
        "where the host has no IPv6.",
    )
    port: int = Field(
        8000,
        ge=0,
        le=65535,
        validation_alias=AliasChoices(f"{PREFIX}PORT", "PORT"),
        description="Port to listen on; 0 picks a free one.",
    )
    workers: PositiveInt = Field(
        1,
        validation_alias=AliasChoices(f"{PREFIX}WORKERS", "WEB_CONCURRENCY"),
        description="Worker processes, each with its own models; one runs large models on all "
        "cores, several answer requests for small ones faster. Limits apply to each worker.",
    )
    threads: PositiveInt | None = Field(
        None,
        description="Threads that run a model in each worker; by default the cores that the "
        "process may use (affinity, container quota), divided by the workers.",
    )
    models_dir: Path = Field(
        Path(__file__).parents[1] / "models",
        description="Folder of the models: <name>/<version>/ with a model and its record.",
    )
    provider: Provider = Field(
        "auto", description="Execution provider; auto takes CUDA where it works, else the CPU."
    )
    precision: Precision = Field(
        "float32",
        description="Arithmetic of the models; int8 is faster, and runs only on the CPU.",
    )
    cuda_device: NonNegativeInt = Field(0, description="Number of the GPU, where CUDA is used.")
    cuda_memory: PositiveInt | None = Field(
        None, description="Bytes of GPU memory that each model may allocate; no limit by default."
    )
    max_body: PositiveInt = Field(
        8 * 2**20, description="Maximum size of a request's body; 128 images of 32×32 take 0.5 MB."
    )
    max_head: int = Field(
        2**16,
        ge=2**10,
        description="Maximum size of a request's head, which holds the cookies and tokens of a "
        "single sign-on.",
    )
    max_images: PositiveInt = Field(
        128, description="Maximum images in a request, so that none holds up the others for long."
    )
    max_pixels: PositiveInt = Field(
        MAX_PIXELS,
        le=178_956_970,  # Pillow's own limit
        description="Maximum pixels of a request's images as they are sent; by default those of a "
        "50-megapixel phone, which take up to two seconds to decode.",
    )
    max_waiting: PositiveInt = Field(
        768,
        description="Images that wait for a model or run, summed over the models, before "
        "requests are refused; room for two requests of 128 images for three models.",
    )
    max_batch: PositiveInt | None = Field(
        None, description="Maximum images in a batch; by default 16 on a CPU, 128 on a GPU."
    )
    decoders: PositiveInt = Field(
        2,
        description="Processes that decode images to resize, files over 16 KiB, AVIF, and files "
        "with a color profile; each takes up to 22 bytes a pixel.",
    )
    max_connections: PositiveInt = Field(
        800,
        description="Maximum connections of a worker; fewer if the limit on open files does not "
        "allow two for each, the socket and its body, and 200 others.",
    )
    client_timeout: PositiveInt = Field(
        120,
        description="Seconds for a connection's next request to arrive, and again for its body; "
        "set more than your load balancer keeps idle connections (AWS 60 s, Google Cloud 600).",
    )
    graceful_timeout: PositiveInt = Field(
        30, description="Seconds after SIGTERM before requests still in progress are cut off."
    )
    worker_timeout: NonNegativeInt = Field(
        120,
        description="Seconds without a heartbeat before a worker is killed and replaced; 0 never "
        "does that.",
    )
    decoder_timeout: PositiveFloat = Field(
        10.0,
        description="Seconds that a request's images may wait for a free decoder.",
    )
    decode_timeout: PositiveFloat = Field(
        2.0,
        description="Seconds that decoding a request's images may take.",
    )
    api_key: Annotated[str, AfterValidator(_check_keys)] = Field(
        "",
        repr=False,
        description="Key that requests must carry, or several separated by commas while clients "
        "change from one to another; without a key, the service answers anyone.",
    )
    metrics_need_key: bool = Field(
        False, description="Whether /metrics requires the key too; probes never do."
    )
    cors_origins: Annotated[str, AfterValidator(_check_origins)] = Field(
        "",
        description="Origins whose pages may call the service from a browser, separated by commas "
        "(https://example.com); * allows all.",
    )
    trusted_proxies: NonNegativeInt = Field(
        0,
        description="Number of proxies in front of the service; that many values of each header "
        "are trusted: X-Forwarded-For, -Proto, -Host, -Port and -Prefix.",
    )

    @model_validator(mode="after")
    def _check_metrics_key(self) -> Self:
        if self.metrics_need_key and not self.api_key:
            raise ValueError(
                "--metrics-need-key (SERVING_METRICS_NEED_KEY) is true, but there is no key; set "
                "SERVING_API_KEY"
            )
        return self

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
