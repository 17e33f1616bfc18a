"""The service's options and limits: defaults, reasons and environment variables."""

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
Precision = Literal["auto", "float32", "int8"]

_KEY = re.compile(r"[\x21-\x7e]+")  # every client can send these in a header
# Excludes characters that make Flask-CORS treat an origin as a regular expression.
_ORIGIN = re.compile(r"\*|[A-Za-z][\w.+-]*://[\w.:-]+")


def listed(text: str) -> list[str]:
    """Split a comma-separated list."""
    return [item.strip() for item in text.split(",")] if text else []


def _check_keys(keys: str) -> str:
    if not all(_KEY.fullmatch(key) for key in listed(keys)):
        # An empty key would let everyone in.
        raise ValueError("keys must be visible ASCII characters, separated by single commas")
    return keys


def _check_origins(origins: str) -> str:
    for origin in listed(origins):
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r} is neither an origin (such as https://example.com) nor *")
    return origins


class Settings(BaseSettings):
    """Read from arguments, else from SERVING_… variables, else the defaults.

    PORT and WEB_CONCURRENCY also work without the prefix, since platforms set them. HOST does not,
    since compiler environments set it to something other than an address.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, populate_by_name=True, frozen=True
    )

    host: str = Field(
        "127.0.0.1",
        description="Address to listen on; :: means all IPv6 and IPv4 addresses (IPv4 only on "
        "hosts without IPv6).",
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
        description="Worker processes, each with its own copy of the models; one is best for "
        "large models, several for small ones. Limits apply per worker.",
    )
    threads: PositiveInt | None = Field(
        None,
        description="Inference threads per worker; by default, the cores available to the "
        "process (CPU affinity, container quota) divided by the workers.",
    )
    models_dir: Path = Field(
        Path(__file__).parents[1] / "models",
        description="Models folder: <name>/<version>/ with a model and its metadata.json.",
    )
    provider: Provider = Field(
        "auto", description="Execution provider; auto uses CUDA if it works, else the CPU."
    )
    precision: Precision = Field(
        "auto",
        description="Precision of the models; auto uses int8 on the CPU, which is faster and takes "
        "less memory, for models with an int8 file, else float32.",
    )
    cuda_device: NonNegativeInt = Field(0, description="Index of the GPU to use with CUDA.")
    cuda_memory: PositiveInt | None = Field(
        None, description="Maximum GPU memory per model, in bytes; unlimited by default."
    )
    max_body: PositiveInt = Field(
        8 * 2**20,
        description="Maximum size of a request body, in bytes; 128 images of 32×32 take 0.5 MB.",
    )
    max_head: int = Field(
        2**16,
        ge=2**10,
        description="Maximum size of a request's headers, in bytes; single sign-on needs room "
        "for its cookies and tokens.",
    )
    max_images: PositiveInt = Field(
        128, description="Maximum images per request, so that none delays the others for long."
    )
    max_pixels: PositiveInt = Field(
        MAX_PIXELS,
        le=178_956_970,  # Pillow's own limit
        description="Maximum pixels of a request's images before resizing; the default allows a "
        "50-megapixel phone photo, which takes up to two seconds to decode.",
    )
    max_wait: PositiveFloat = Field(
        5.0,
        description="Maximum seconds to wait for the models; a request that would wait longer, at "
        "the speed of the last runs, is refused with 503.",
    )
    max_batch: PositiveInt | None = Field(
        None, description="Maximum batch size; by default 16 on a CPU, 128 on a GPU."
    )
    decoders: PositiveInt = Field(
        2,
        description="Decoder processes, for images to resize, files over 16 KiB, AVIF, and files "
        "with a color profile; each uses up to 22 bytes per pixel.",
    )
    max_connections: PositiveInt = Field(
        800,
        description="Maximum connections per worker; fewer if the limit on open files is below "
        "two per connection (socket and body) plus 200.",
    )
    client_timeout: PositiveInt = Field(
        120,
        description="Seconds to wait for a connection's next request, and again for its body; set "
        "it above your load balancer's idle timeout (AWS 60 s, Google Cloud 600 s).",
    )
    graceful_timeout: PositiveInt = Field(
        30, description="Seconds for requests in progress to finish after SIGTERM."
    )
    worker_timeout: NonNegativeInt = Field(
        120,
        description="Seconds without a heartbeat before a worker is killed and replaced; 0 "
        "disables this.",
    )
    decoder_timeout: PositiveFloat = Field(
        10.0,
        description="Maximum seconds that a request's images wait for a free decoder.",
    )
    decode_timeout: PositiveFloat = Field(
        2.0,
        description="Maximum seconds to decode a request's images.",
    )
    api_key: Annotated[str, AfterValidator(_check_keys)] = Field(
        "",
        repr=False,
        description="API key that requests must send, or several separated by commas during a "
        "rotation; without one, the service is open to everyone.",
    )
    metrics_need_key: bool = Field(
        False, description="Whether /metrics requires the API key, too; health probes never do."
    )
    cors_origins: Annotated[str, AfterValidator(_check_origins)] = Field(
        "",
        description="Origins whose pages may call the service from a browser, separated by commas "
        "(https://example.com); * allows all.",
    )
    trusted_proxies: NonNegativeInt = Field(
        0,
        description="Number of proxies in front of the service to trust for the headers "
        "X-Forwarded-For, -Proto, -Host, -Port and -Prefix.",
    )

    @model_validator(mode="after")
    def _check_metrics_key(self) -> Self:
        if self.metrics_need_key and not self.api_key:
            raise ValueError(
                "--metrics-need-key (SERVING_METRICS_NEED_KEY) is true, but no key is set; set "
                "SERVING_API_KEY"
            )
        return self

    @property
    def read_limit(self) -> int:
        """Bytes to read of a refused body, so that its client gets the response."""
        return 2 * self.max_body


def variables(name: str) -> tuple[str, ...]:
    """Return the environment variables of a field; the first one set wins."""
    alias = Settings.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (f"{PREFIX}{name.upper()}",)
