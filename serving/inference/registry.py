"""The models folder: read, checked against its records, loaded and warmed up."""

import ctypes
import logging
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from models.bundle import (
    CURVES_FILE,
    INT8_MODEL_FILE,
    MODEL_FILE,
    Arithmetic,
    BundleError,
    read_model,
    read_record,
    version_folders,
)
from models.record import Record
from serving.errors import StartError, UnknownModelError
from serving.inference.classifier import (
    Classifier,
    session_options,
    start_session,
    usable_threads,
    warm_up,
)
from serving.inference.providers import CPU, CUDA, MAX_BATCH, choose_providers, cuda_options
from serving.settings import Precision, Settings

logger = logging.getLogger(__name__)


class Classifiers:
    """The loaded models, ordered by size, the newest version of each first."""

    def __init__(self, classifiers: Iterable[Classifier]) -> None:
        versions: dict[str, dict[str, Classifier]] = {}
        for classifier in sorted(classifiers, key=lambda c: -c.record.version):
            record = classifier.record
            versions.setdefault(record.name, {})[str(record.version)] = classifier

        def size(name: str) -> tuple[float, str]:
            newest = next(iter(versions[name].values()))
            return newest.record.parameters or math.inf, name

        # The article's order, by size; models of unknown size come last.
        self._versions = {name: versions[name] for name in sorted(versions, key=size)}

    def __iter__(self) -> Iterator[Classifier]:
        return (c for versions in self._versions.values() for c in versions.values())

    @property
    def names(self) -> list[str]:
        """Return each model's name once."""
        return list(self._versions)

    def versions(self, name: str) -> list[str]:
        """Return a model's versions, the newest first."""
        return list(self._versions[name])

    def choose(self, names: Iterable[str] = (), version: str | None = None) -> list[Classifier]:
        """Return a version of each named model once; of every model if none is named.

        Raises:
            UnknownModelError: one does not exist.
        """
        return [self.find(name, version) for name in dict.fromkeys(names) or self.names]

    def find(self, name: str, version: str | None = None) -> Classifier:
        """Return a model's version; the newest for None.

        Raises:
            UnknownModelError: it does not exist.
        """
        if name not in self._versions:
            raise UnknownModelError(
                f"Unknown model {name!r}; available models: {', '.join(self._versions)}."
            )
        versions = self._versions[name]
        if version is None:
            return next(iter(versions.values()))
        if version not in versions:
            raise UnknownModelError(
                f"Unknown version {version!r} of model {name}; available versions: "
                f"{', '.join(versions)}."
            )
        return versions[version]


def load_classifiers(settings: Settings) -> Classifiers:
    """Load, check and warm up every version of every model in `settings.models_dir`.

    Each record is that of the file that runs, float32 or int8.

    Raises:
        StartError: there are no models; one is missing, altered or invalid; or the provider is
            `cuda`, but CUDA does not work here or the precision is int8.
    """
    try:
        folders = version_folders(settings.models_dir)
        if not folders:
            raise StartError(
                f"{settings.models_dir.resolve()} "
                f"{'contains no models' if settings.models_dir.is_dir() else 'is not a folder'}; "
                "set --models-dir or SERVING_MODELS_DIR to the folder with <name>/<version>/"
            )
        classifiers = _start(folders, settings)
    except BundleError as error:
        raise StartError(str(error)) from error
    _return_freed_memory()
    return Classifiers(classifiers)


def _start(folders: Sequence[Path], settings: Settings) -> list[Classifier]:
    providers = choose_providers(settings, folders[0] / MODEL_FILE)
    models = [_read(folder, settings.precision, providers[0]) for folder in folders]
    try:
        return [_load(model, providers, settings) for model in models]
    except StartError as error:
        if settings.provider != "auto" or providers == [CPU]:
            raise
        logger.warning("%s; the models run on the CPU instead", error)
        return _start(folders, settings.model_copy(update={"provider": "cpu"}))


class _Model(NamedTuple):
    path: Path
    record: Record
    precision: Arithmetic
    content: bytes


def _load(model: _Model, providers: list[str], settings: Settings) -> Classifier:
    path, record, precision, content = model
    options = session_options(settings.threads or usable_threads(settings.workers))
    provider_options = [cuda_options(settings) if name == CUDA else {} for name in providers]
    classifier = Classifier(
        record=record,
        precision=precision,
        curves=path.with_name(CURVES_FILE).resolve(),
        session=start_session(
            path, content, len(record.classes), options, providers, provider_options
        ),
        max_batch=settings.max_batch or MAX_BATCH[providers[0]],
    )
    warm_up(classifier, path)
    logger.info("%s", _summary(classifier, options.intra_op_num_threads))
    return classifier


def _summary(classifier: Classifier, threads: int) -> str:
    record = classifier.record
    recipe = f" ({record.recipe} recipe)" if record.recipe else ""
    measured = (
        "test accuracy not measured"
        if record.test_accuracy is None
        else f"test accuracy {record.test_accuracy:.2%}"
    )
    epochs = f", after {record.epochs_completed} of {record.epochs} epochs" if record.epochs else ""
    return (
        f"{record.name} version {record.version}{recipe}: {measured}{epochs}; "
        f"{classifier.precision}, {classifier.provider}, threads: {threads}"
    )


def _read(folder: Path, precision: Precision, provider: str) -> _Model:
    """Read the file that runs with this precision on this provider."""
    record, path = read_record(folder), folder / INT8_MODEL_FILE
    found = record.int8 is not None and path.exists()
    if precision == "int8" and not found:
        raise StartError(
            f"{folder} has no {INT8_MODEL_FILE}; create it with python -m training quantize, "
            "or set --precision or SERVING_PRECISION to auto"
        )
    if found and precision != "float32" and provider == CPU:
        record = record.of_int8()
        return _Model(path, record, "int8", read_model(path, record.sha256))
    path = folder / MODEL_FILE
    return _Model(path, record, "float32", read_model(path, record.sha256))


def _return_freed_memory() -> None:
    """Return memory freed by loading to the system; glibc would keep tens of MiB of it."""
    if sys.platform == "linux":
        with suppress(AttributeError):  # another libc
            ctypes.CDLL(None).malloc_trim(0)
