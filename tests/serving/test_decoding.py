"""Decoding in processes: one that an image keeps is ended, and the next image gets another."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import gevent
import numpy as np
import numpy.typing as npt
import pytest
import requests
from PIL import Image

from serving.app import create_app
from serving.errors import (
    BrokenImageError,
    HungUpError,
    ImageSizeError,
    OverloadedError,
    TooLargeError,
)
from serving.images import process
from serving.images.decode import Upload
from serving.images.pool import Decoders
from serving.settings import Settings
from tests.helpers import HANG, check_problem, listening, png, run_python

LARGE = 2**23  # bytes
ROOM = 3  # large images that may wait


def few_decoders(*, wait: float = HANG, work: float = HANG) -> Decoders:
    return Decoders(1, max_pixels=10**8, max_held=ROOM * LARGE, wait=wait, work=work)


def upload(pixels: npt.NDArray[np.uint8]) -> Upload:
    return Upload("a.png", "a.png", png(pixels))


def decoders_of(pid: int) -> list[int]:
    """Return the ids of the decoder processes that a process has started."""
    found = subprocess.run(
        ["pgrep", "-P", str(pid), "-f", "serving.images.worker"],
        check=False,
        capture_output=True,
        text=True,
    )
    return [int(line) for line in found.stdout.split()]


@pytest.fixture
def noise() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


@pytest.fixture
def decoders(request: pytest.FixtureRequest) -> Iterator[Decoders]:
    kill_decoders()  # of earlier tests' applications
    yield few_decoders(**getattr(request, "param", {}))
    kill_decoders()


def kill_decoders() -> None:
    for pid in decoders_of(os.getpid()):
        os.kill(pid, signal.SIGKILL)


def test_a_process_decodes_as_this_one_does(
    decoders: Decoders, noise: npt.NDArray[np.uint8]
) -> None:
    (image,) = decoders.decode([upload(noise[:, :48])], resize=True)
    assert (image.width, image.height, image.pixels.shape) == (48, 64, (32, 32, 3))
    large = Upload("a.png", "a.png", png(noise) + bytes(2**14))
    with pytest.raises(ImageSizeError, match=r"^a.png is 64×64 pixels; the models take 32×32\.$"):
        decoders.decode([large], resize=False)
    assert len(decoders_of(os.getpid())) == 1


def test_a_decoder_keeps_a_lower_limit_of_the_systems() -> None:
    """To raise a hard limit, which root alone may, would end it."""
    code = """
import resource
from serving.images import worker
resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000, 1_600_000_000))
worker._limit_memory(10**7)
print(*resource.getrlimit(resource.RLIMIT_AS))
"""
    assert run_python("-c", code).stdout == "1500000000 1500000000\n"


@pytest.mark.usefixtures("_one_model")
def test_without_a_decoder_it_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    client = create_app(Settings(provider="cpu")).test_client()
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert "Cannot start a decoder: it exited with status 3" in answer.get_json()["detail"]
    monkeypatch.undo()
    try:
        assert client.get("/health/ready").status_code == 200
        [started] = decoders_of(os.getpid())
        assert client.get("/v2/health/ready").status_code == 200
        assert decoders_of(os.getpid()) == [started]
    finally:
        for pid in decoders_of(os.getpid()):
            os.kill(pid, signal.SIGKILL)


def test_a_decoder_that_takes_too_long_is_replaced(
    decoders: Decoders, noise: npt.NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = decoders.decode([upload(noise)], resize=True)[0].pixels
    (stuck,) = decoders_of(os.getpid())
    os.kill(stuck, signal.SIGSTOP)  # as an endless image would keep it, whatever it does
    monkeypatch.setattr(decoders, "_work", 0.2)
    with pytest.raises(TooLargeError, match=r"^a.png takes too long"):
        decoders.decode([upload(noise)], resize=True)
    monkeypatch.undo()
    assert not decoders_of(os.getpid())
    assert np.array_equal(decoders.decode([upload(noise)], resize=True)[0].pixels, expected)
    (idle,) = decoders_of(os.getpid())
    os.kill(idle, signal.SIGKILL)  # as a machine that is short of memory does
    assert np.array_equal(decoders.decode([upload(noise)], resize=True)[0].pixels, expected)


def test_the_memory_of_images_that_wait_for_a_decoder_is_bounded(
    decoders: Decoders, noise: npt.NDArray[np.uint8]
) -> None:
    for _ in range(ROOM + 1):
        with pytest.raises(BrokenImageError):
            decoders.decode([Upload("a.png", "a.png", b"\x89PNG".ljust(LARGE))], resize=True)
    (held,) = decoders_of(os.getpid())
    os.kill(held, signal.SIGSTOP)
    largest = Upload("a.png", "a.png", png(noise).ljust(LARGE, b"\0"))
    waiting = [gevent.spawn(decoders.decode, [largest], resize=True) for _ in range(ROOM)]
    gevent.sleep(0)  # so that they wait
    waiting.pop().kill()  # as where its client has gone
    waiting.append(gevent.spawn(decoders.decode, [largest], resize=True))
    gevent.sleep(0)
    with pytest.raises(OverloadedError, match="Too many images are waiting to be decoded"):
        decoders.decode([upload(noise)], resize=True)  # at once: the decoder is still held
    assert decoders.decode([upload(noise[:32, :32])], resize=True)  # needs no process
    os.kill(held, signal.SIGCONT)
    assert [len(request.get()) for request in waiting] == [1] * ROOM
    assert len(decoders.decode([largest], resize=True)) == 1  # there is room again


@pytest.mark.parametrize("decoders", [{"wait": 0.1}], indirect=True)
def test_the_wait_for_a_decoder_is_bounded(
    decoders: Decoders, noise: npt.NDArray[np.uint8]
) -> None:
    decoders.decode([upload(noise)], resize=True)
    (stuck,) = decoders_of(os.getpid())
    os.kill(stuck, signal.SIGSTOP)
    holder = gevent.spawn(decoders.decode, [upload(noise)], resize=True)
    gevent.sleep(0)  # so that it has the decoder
    with pytest.raises(OverloadedError, match="Too many images are waiting to be decoded"):
        decoders.decode([upload(noise)], resize=True)
    os.kill(stuck, signal.SIGCONT)
    assert len(holder.get()) == 1


def test_images_of_a_client_that_is_gone_are_not_decoded(
    decoders: Decoders, noise: npt.NDArray[np.uint8]
) -> None:
    for image, resize in ((noise, True), (noise[:32, :32], False)):
        for decode in (decoders.decode, decoders.decode_each):
            with pytest.raises(HungUpError):
                list(decode([upload(image)], lambda: True, resize=resize))
    assert decoders_of(os.getpid()) == []


def test_the_images_of_a_request_share_its_time(
    decoders: Decoders, noise: npt.NDArray[np.uint8]
) -> None:
    few = upload(np.asarray(Image.fromarray(noise).resize((400, 400))))
    with pytest.raises(TooLargeError, match="takes too long"):
        # Fewer pixels than the limit, but much more than a second.
        few_decoders(work=0.1).decode([few] * 40, resize=True)


def test_small_images_share_it_too(noise: npt.NDArray[np.uint8]) -> None:
    small = upload(noise[:32, :32])
    short = few_decoders(work=1e-6)
    assert short.decode([small], resize=False)
    with pytest.raises(TooLargeError, match="takes too long"):
        short.decode([small] * 2, resize=False)


@pytest.mark.slow
@pytest.mark.usefixtures("_one_model")
def test_the_server_goes_on_while_images_keep_its_decoders(noise: npt.NDArray[np.uint8]) -> None:
    environment = {
        "SERVING_DECODERS": "1",
        "SERVING_DECODER_TIMEOUT": "0.5",
        "SERVING_DECODE_TIMEOUT": "5",
    }
    command = (sys.executable, "-m", "serving", "--port", "0")
    with (
        listening(*command, environment=environment) as (server, service),
        ThreadPoolExecutor(2) as pool,
    ):
        url = f"{server}/predict"
        assert requests.post(url, data=png(noise)).status_code == 200
        (held,) = decoders_below(service)
        os.kill(held, signal.SIGSTOP)
        both = [pool.submit(requests.post, url, data=png(noise)) for _ in range(2)]
        refused, too_late = (request.result() for request in as_completed(both))
        check_problem(refused, 503, "Too many images are waiting to be decoded", "Retry")
        assert refused.headers["Retry-After"] == "1"
        check_problem(too_late, 413, "too long")  # it had the decoder
        assert requests.post(f"{server}/predict", data=png(noise[:32, :32])).status_code == 200
        assert requests.post(url, data=png(noise)).status_code == 200
        assert decoders_below(service) != [held]


def decoders_below(service: int) -> list[int]:
    """Return the ids of the decoders of a service, whose workers start them."""
    found = subprocess.run(
        ["pgrep", "-f", "serving.images.worker"], capture_output=True, text=True, check=True
    )
    return [pid for pid in map(int, found.stdout.split()) if _is_below(pid, service)]


def _is_below(pid: int, ancestor: int) -> bool:
    while pid > 1 and pid != ancestor:
        stat = Path(f"/proc/{pid}/stat").read_text()
        pid = int(stat.rpartition(")")[2].split()[1])
    return pid == ancestor
