"""A process that decodes images and can be killed: `python -m serving.images.worker`.

Its input has, for each image, a line of JSON with its number of `bytes` and images.decode()'s
`options`, then the bytes. Its output has a line once it is ready, then, for each image, a line of
JSON: the `seconds` of work, and `width` and `height`, followed by 3,072 bytes, or the `error` that
images.decode() raises and its `message`.
"""

import json
import signal
import sys
import time

if sys.platform != "win32":
    import resource

from serving.errors import ServingError
from serving.images.decode import decode

MEMORY_LIMIT = 2 * 2**30  # most bytes of address space, of which the libraries take 200 MB


def main() -> None:
    """Answer until the input ends, as it does when the service exits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the service handles Ctrl-C
    _limit_memory()
    images, answers = sys.stdin.buffer, sys.stdout.buffer
    answers.write(b"ready\n")
    answers.flush()
    while line := images.readline():
        order = json.loads(line)
        content = images.read(order["bytes"])
        pixels = b""
        begun = time.process_time()
        try:
            image = decode(content, **order["options"])
        except ServingError as error:
            answer: dict[str, object] = {"error": type(error).__name__, "message": error.args[0]}
        else:
            answer = {"width": image.width, "height": image.height}
            pixels = image.pixels.tobytes()
        answer["seconds"] = time.process_time() - begun
        answers.write(json.dumps(answer).encode() + b"\n" + pixels)
        answers.flush()


def _limit_memory() -> None:
    if sys.platform != "win32":
        allowed = {*resource.getrlimit(resource.RLIMIT_AS)} - {resource.RLIM_INFINITY}
        limit = min({MEMORY_LIMIT, *allowed})
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
