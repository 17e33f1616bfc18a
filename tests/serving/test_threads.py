"""ONNX Runtime's threads: as many as the process may use, not as the host has cores."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT

COUNT = """
import os, pathlib
from serving.inference.registry import load_classifiers
from serving.settings import Settings
before = len(os.listdir("/proc/self/task"))
classifiers = [*load_classifiers(Settings(provider="cpu"))]
print(len(classifiers), len(os.listdir("/proc/self/task")) - before)
"""

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's /proc"),
    pytest.mark.usefixtures("_one_model"),
]


def started_threads(*prefix: str, **environment: str) -> tuple[int, int]:
    """Return the models and the threads that loading them starts."""
    result = subprocess.run(
        [*prefix, sys.executable, "-c", COUNT],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    models, threads = map(int, result.stdout.split())
    return models, threads


@pytest.mark.slow
def test_one_usable_core_makes_no_thread_besides_the_callers() -> None:
    assert started_threads("taskset", "-c", str(min(os.sched_getaffinity(0))))[1] == 0


@pytest.mark.slow
def test_each_session_has_the_threads_that_are_asked_for() -> None:
    models, threads = started_threads(SERVING_THREADS="3")
    assert threads == 2 * models


@pytest.mark.slow
def test_workers_share_the_cores() -> None:
    cores = len(os.sched_getaffinity(0))
    assert started_threads(WEB_CONCURRENCY=str(cores))[1] == 0


@pytest.mark.slow
def test_a_containers_quota_counts() -> None:
    """As a container sees it: cgroup v2's file at the root of its own view."""
    quota = 'mount -t tmpfs none /sys/fs/cgroup && echo "{} 100000" > /sys/fs/cgroup/cpu.max'
    view = ("unshare", "--mount", "sh", "-c")
    if (
        not shutil.which("unshare")
        or subprocess.run(
            [*view, quota.format(100_000)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("this user may not make a mount namespace")
    for share in (100_000, 200_000):
        models, threads = started_threads(*view, f'{quota.format(share)} && exec "$@"', "sh")
        cores = min(share // 100_000, len(os.sched_getaffinity(0)))
        assert threads == (cores - 1) * models
