"""The models folder: read, checked against its records, loaded and warmed up."""

import ctypes
import logging
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from models.bundle import (
    CURVES_FILE,
    INT8_MODEL_FILE,
    MODEL_FILE,
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
from serving.settings import Settings

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

    With int8, the records are those of the int8 files.

    Raises:
        StartError: there are no models; one is missing, altered or invalid; or the provider is
            `cuda`, but CUDA does not work here or the precision is int8.
    """
    models_dir, provider, precision = settings.models_dir, settings.provider, settings.precision
    if precision == "int8":
        if provider == "cuda":
            raise StartError(
                "precision int8 runs only on the CPU, but provider cuda is set; "
                "set --provider or SERVING_PROVIDER to cpu, "
                "or --precision or SERVING_PRECISION to float32"
            )
        provider = "cpu"
    try:
        models = [_read(folder, precision) for folder in version_folders(models_dir)]
    except BundleError as error:
        raise StartError(str(error)) from error
    if not models:
        raise StartError(
            f"{models_dir.resolve()} "
            f"{'contains no models' if models_dir.is_dir() else 'is not a folder'}; "
            "set --models-dir or SERVING_MODELS_DIR to the folder with <name>/<version>/"
        )
    providers = choose_providers(provider, settings, models[0][2])
    try:
        classifiers = _start(models, providers, settings)
    except StartError as error:
        if provider != "auto" or providers == [CPU]:
            raise
        logger.warning("%s; the models run on the CPU instead", error)
        classifiers = _start(models, [CPU], settings)
    del models  # the sessions have copies
    _return_freed_memory()
    return Classifiers(classifiers)


def _start(
    models: Sequence[tuple[Path, Record, bytes]], providers: list[str], settings: Settings
) -> list[Classifier]:
    options = session_options(settings.threads or usable_threads(settings.workers))
    logger.info(
        "provider: %s, precision: %s, threads: %d",
        providers[0],
        settings.precision,
        options.intra_op_num_threads,
    )
    max_batch = settings.max_batch or MAX_BATCH[providers[0]]
    provider_options = [cuda_options(settings) if name == CUDA else {} for name in providers]
    classifiers = []
    for path, record, onnx_file in models:
        classifier = Classifier(
            record=record,
            curves=path.with_name(CURVES_FILE).resolve(),
            session=start_session(
                path, onnx_file, len(record.classes), options, providers, provider_options
            ),
            max_batch=max_batch,
        )
        warm_up(classifier, path)
        classifiers.append(classifier)
        logger.info("%s", _summary(record))
    return classifiers


def _summary(record: Record) -> str:
    recipe = f" ({record.recipe} recipe)" if record.recipe else ""
    measured = (
        "test accuracy not measured"
        if record.test_accuracy is None
        else f"test accuracy {record.test_accuracy:.2%}"
    )
    epochs = f", after {record.epochs_completed} of {record.epochs} epochs" if record.epochs else ""
    return f"{record.name} version {record.version}{recipe}: {measured}{epochs}"


def _read(folder: Path, precision: str) -> tuple[Path, Record, bytes]:
    record, path = read_record(folder), folder / MODEL_FILE
    if precision == "int8":
        try:
            record, path = record.of_int8(), folder / INT8_MODEL_FILE
        except ValueError as error:
            raise StartError(
                f"{folder} has no {INT8_MODEL_FILE}; create it with python -m training quantize, "
                "or set --precision or SERVING_PRECISION to float32"
            ) from error
    return path, record, read_model(path, record.sha256)


def _return_freed_memory() -> None:
    """Return memory freed by loading to the system; glibc would keep tens of MiB of it."""
    if sys.platform == "linux":
        with suppress(AttributeError):  # another libc
            ctypes.CDLL(None).malloc_trim(0)
