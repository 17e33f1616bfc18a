# The service alone: no TensorFlow, no compiler, no installer.
#   docker build -t classifier .                 with NVIDIA's libraries; without a GPU it uses the CPU
#   docker build -t classifier --target cpu .    without them
#   docker run -p 8000:8000 --read-only --tmpfs /tmp --stop-timeout 35 [--gpus all] classifier
# The cpu stages stand before the gpu ones: buildah builds every stage up to its target.
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS build-cuda-provider
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir uv
WORKDIR /app
COPY pyproject.toml uv.lock ./
RUN uv sync --locked

FROM build-cuda-provider AS build-cpu
# ONNX Runtime's CUDA and TensorRT providers are most of its wheel.
RUN rm -f .venv/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime_providers_cuda.so \
       .venv/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime_providers_tensorrt.so

FROM ${BASE_IMAGE} AS runtime
ARG VERSION=0.5.0
LABEL org.opencontainers.image.title="Image classification service" \
      org.opencontainers.image.description="Image classification over HTTP with bundled CNNs trained on CIFAR-10" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}"
ENV PATH=/app/.venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 SERVING_HOST=:: PORT=8000
WORKDIR /app
# A number, so that Kubernetes' runAsNonRoot can check it. It owns no file.
USER 10001:10001
EXPOSE 8000
# http.client takes no notice of the proxy that Docker may put into the environment.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-c", "\
import http.client, os, sys; \
server = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('SERVING_PORT') or os.environ['PORT'])); \
server.request('GET', '/health/ready'); \
sys.exit(server.getresponse().status != 200)"]
# A container's first process loses a SIGTERM that comes before it has a handler for it, unless the
# signal is blocked: the service's first lines set the handler, and unblock it.
CMD ["env", "--block-signal=TERM", "python", "-m", "serving"]

# What changes most comes last, so that a new model or new code leaves the libraries' layer alone.
# The user can read it whatever the umask of the checkout.
FROM runtime AS cpu
COPY --from=build-cpu /app/.venv .venv
COPY --chmod=755 models models
COPY --chmod=755 serving serving

FROM build-cuda-provider AS build-gpu
RUN uv sync --locked --extra cuda

FROM runtime AS gpu
COPY --from=build-gpu /app/.venv .venv
COPY --chmod=755 models models
COPY --chmod=755 serving serving
