"""ONNX Runtime's execution providers: CUDA if it works, else the CPU."""

import contextlib
import io
from pathlib import Path

import onnxruntime

from models.bundle import read_model, read_record
from serving.errors import StartError
from serving.settings import Settings

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
MAX_BATCH = {CPU: 16, CUDA: 128}  # images; measured only on the CPU
FATAL = 4  # ONNX Runtime's log severities
WARNING = 2


def choose_providers(settings: Settings, path: Path) -> list[str]:
    """Return a session's providers in order of preference; `path` is a model, to try CUDA with.

    Raises:
        StartError: the provider is cuda, but CUDA does not work here or the precision is int8.
        BundleError: CUDA does not work with this model because its file is damaged.
    """
    if settings.provider == "cuda" and settings.precision == "int8":
        raise StartError(
            "precision int8 runs only on the CPU, but provider cuda is set; "
            "set --provider or SERVING_PROVIDER to cpu, "
            "or --precision or SERVING_PRECISION to auto"
        )
    if settings.provider == "cpu" or settings.precision == "int8":
        return [CPU]
    if _cuda_works(settings, path):
        return [CUDA, CPU]
    if settings.provider == "cuda":
        read_model(path, read_record(path.parent).sha256)  # is it the file?
        raise StartError(
            "provider cuda is set, but CUDA does not work here: it needs an NVIDIA GPU, its driver "
            "and the libraries of the extra `cuda` (uv run --extra cuda python -m serving); "
            "otherwise set --provider or SERVING_PROVIDER to auto or cpu"
        )
    return [CPU]


def cuda_options(settings: Settings) -> dict[str, str]:
    """Return the GPU and its memory; not measured, since no GPU was available."""
    options = {
        "device_id": str(settings.cuda_device),
        # By default, every cuDNN algorithm is tried for each new batch size.
        "cudnn_conv_algo_search": "HEURISTIC",
    }
    if settings.cuda_memory:
        options["gpu_mem_limit"] = str(settings.cuda_memory)
    return options


def _cuda_works(settings: Settings, path: Path) -> bool:
    """Return whether a session runs on CUDA, by trying one without ONNX Runtime's red errors.

    `get_available_providers()` lists what the wheel was built with, not what the machine has.
    """
    if CUDA not in onnxruntime.get_available_providers():
        return False
    with contextlib.redirect_stdout(io.StringIO()):  # it prints missing libraries
        onnxruntime.preload_dlls()
    onnxruntime.set_default_logger_severity(FATAL)
    try:
        session = onnxruntime.InferenceSession(
            path,
            providers=[CUDA],
            provider_options=[cuda_options(settings)],
            enable_fallback=False,
        )
    except Exception:  # no GPU, no driver or one too old: the cause does not matter
        return False
    finally:
        onnxruntime.set_default_logger_severity(WARNING)
    return CUDA in session.get_providers()
