# The service alone: no TensorFlow, no compiler.
#   docker build -t classifier .                 with the NVIDIA libraries; runs on CPU without a GPU
#   docker build -t classifier --target cpu .    without them
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS build
ENV UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1
RUN pip install --no-cache-dir uv
WORKDIR /app
COPY pyproject.toml uv.lock ./
RUN uv sync --locked --no-cache
COPY models models
COPY serving serving

FROM build AS build-cpu
# The CUDA and TensorRT providers are most of the wheel's size.
RUN rm .venv/lib/python*/site-packages/onnxruntime/capi/libonnxruntime_providers_cuda.so \
       .venv/lib/python*/site-packages/onnxruntime/capi/libonnxruntime_providers_tensorrt.so

FROM build AS build-gpu
RUN uv sync --locked --no-cache --extra cuda

FROM ${BASE_IMAGE} AS runtime
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0 PORT=8000
WORKDIR /app
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=2s --start-period=10s CMD ["python", "-c", \
    "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health/ready')"]
CMD ["python", "-m", "serving"]

FROM runtime AS cpu
COPY --from=build-cpu /app /app

FROM runtime AS gpu
COPY --from=build-gpu /app /app
