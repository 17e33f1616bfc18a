"""An ONNX Runtime session for a model: from images to probabilities."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from loky import cpu_count

from models.bundle import Arithmetic
from models.record import BATCH, IMAGE_SIZE, INPUT, OUTPUT, Record
from serving.errors import StartError

_ACTIVATIONS = onnxruntime.OrtMemoryInfo(
    "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
)


@dataclass(frozen=True, eq=False)
class Classifier:
    """A loaded model."""

    record: Record  # of the file that runs
    precision: Arithmetic
    curves: Path
    session: onnxruntime.InferenceSession
    max_batch: int  # images in one run; larger batches only take more memory

    @property
    def provider(self) -> str:
        """The execution provider: CPUExecutionProvider or CUDAExecutionProvider."""
        provider: str = self.session.get_providers()[0]
        return provider

    def classify(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return probabilities [N, classes] for images [N, 32, 32, 3], RGB."""
        [probabilities] = self.session.run([OUTPUT], {INPUT: images})
        return probabilities  # type: ignore[no-any-return]  # ONNX Runtime is untyped


@dataclass(frozen=True)
class Run:
    """A batch's results: from all models, or from those before the one that failed."""

    probabilities: list[npt.NDArray[np.float32]]  # [N, classes] for each model
    seconds: list[float]
    error: Exception | None = None


def run_each(classifiers: Sequence[Classifier], images: npt.NDArray[np.uint8]) -> Run:
    """Run the models on images [N, 32, 32, 3], one after the other, up to the first that fails."""
    run = Run([], [])
    for classifier in classifiers:
        begun = time.perf_counter()
        try:
            run.probabilities.append(classifier.classify(images))
        except Exception as error:  # whatever the error, these requests get a response
            return Run(run.probabilities, run.seconds, error)
        run.seconds.append(time.perf_counter() - begun)
    return run


def usable_threads(workers: int = 1) -> int:
    """Return each worker's share of the cores that this process may use.

    By default, ONNX Runtime uses all the host's cores, whatever the affinity or container quota.
    """
    cores: int = cpu_count()
    return max(1, cores // workers)


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Return the best options for sessions that share their cores with a server.

    The models run one after another, so they share the memory for activations. They do not share
    ONNX Runtime's global thread pool, which has no limit on spinning.
    """
    options = onnxruntime.SessionOptions()
    onnxruntime.create_and_register_allocator(_ACTIVATIONS, None)  # a second call does nothing
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.intra_op_num_threads = threads
    # By default, idle threads spin on cores that HTTP and decoding need: on two cores, with all
    # three models and 32 clients, 89 requests/s with spinning and 147 without. 20 µs cover the
    # pause between two layers, and cut a single client's latency by a tenth.
    options.add_session_config_entry("session.intra_op.spin_duration_us", "20")
    return options


def start_session(
    path: Path,
    onnx_file: bytes,
    classes: int,
    options: onnxruntime.SessionOptions,
    providers: list[str],
    provider_options: list[dict[str, str]],
) -> onnxruntime.InferenceSession:
    """Load a model and check that it maps images to `classes` probabilities.

    Raises:
        StartError: it is not a model, has other inputs and outputs, or does not run on the first
            provider.
    """
    try:
        session = onnxruntime.InferenceSession(
            onnx_file, options, providers, provider_options, enable_fallback=False
        )
    except Exception as error:  # ONNX Runtime's exceptions share no narrower base
        raise StartError(
            f"ONNX Runtime cannot load {path} for {providers[0]}: {one_line(error)}"
        ) from error
    found = [(v.name, v.type, v.shape) for v in (*session.get_inputs(), *session.get_outputs())]
    contract = [
        (INPUT, "tensor(uint8)", [BATCH, IMAGE_SIZE, IMAGE_SIZE, 3]),
        (OUTPUT, "tensor(float)", [BATCH, classes]),
    ]
    if found != contract:
        raise StartError(f"{path} has inputs and outputs {found}; expected {contract}")
    if session.get_providers()[0] != providers[0]:
        raise StartError(f"{path} does not run on {providers[0]}")
    return session


def warm_up(classifier: Classifier, path: Path) -> None:
    """Run one image, two and a full batch, since the first run of each size is slower.

    Raises:
        StartError: the model in `path` fails on one of these.
    """
    for words, size in (("one image", 1), ("two images", 2), ("a batch", classifier.max_batch)):
        try:
            classifier.classify(np.zeros((size, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8))
        except Exception as error:  # ONNX Runtime's exceptions share no narrower base
            raise StartError(f"{path} loads, but fails on {words}: {one_line(error)}") from error


def one_line(error: Exception) -> str:
    """Return an error's message on one line; ONNX Runtime's messages end with a line break."""
    return " ".join(str(error).split()) or type(error).__name__
