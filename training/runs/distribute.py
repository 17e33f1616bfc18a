"""Train one network on several workers: processes, usually one on each machine.

It uses Keras' distribution API, which needs the JAX backend: Keras 3 refuses to train under
TensorFlow's MultiWorkerMirroredStrategy (keras-team/keras#20585).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np

from training import SAME_COMMAND, WorkerError
from training.runs.strategy import SingleProcess

# Keras' own names, so that a launcher that knows Keras can set them.
ADDRESSES = "KERAS_DISTRIBUTION_JOB_ADDRESSES"
WORKERS = "KERAS_DISTRIBUTION_NUM_PROCESSES"
WORKER = "KERAS_DISTRIBUTION_PROCESS_ID"


@contextmanager
def distributed() -> Iterator[SingleProcess]:
    """Yield this worker's strategy; enter it before Keras creates a variable.

    Raises:
        WorkerError: the backend or the environment is not set up, a worker did not start or was
            lost, or the workers disagree on what to train.
    """
    if keras.backend.backend() != "jax":
        raise WorkerError(
            f"--distribute needs the JAX backend, not {keras.backend.backend()}; "
            "set KERAS_BACKEND=jax"
        )
    if missing := [name for name in (ADDRESSES, WORKERS, WORKER) if not os.environ.get(name)]:
        raise WorkerError(
            f"--distribute needs {', '.join(missing)}: set {ADDRESSES} to the host:port of worker "
            f"0, {WORKERS} to the number of workers and {WORKER} to this worker's number, from 0"
        )
    # Imported here because only --distribute needs it.
    import jax  # noqa: PLC0415

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # Otherwise JAX aborts the process when a worker is lost, before it can say what to do.
    jax.config.update("jax_enable_recoverability", True)
    try:
        keras.distribution.initialize()
        distribution = keras.distribution.DataParallel(auto_shard_dataset=False)
        with distribution.scope():
            yield Worker()
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        # JAX raises a plain ValueError when it waits for a result that has failed.
        if isinstance(error, ValueError) and "Gloo" not in str(error):
            raise
        raise WorkerError(
            f"a worker was lost, or did not start ({str(error).splitlines()[0]}); on each worker, "
            f"{SAME_COMMAND} resumes after the last finished epoch"
        ) from error


class Worker(SingleProcess):
    """One of the workers of `distributed`."""

    def __init__(self) -> None:
        distribution = keras.distribution.distribution()
        self.worker = distribution.data_shard_id
        self.workers = distribution.num_processes
        self.devices = distribution.num_model_replicas

    def check_agreement(self, **values: int) -> None:
        """Wait for all workers, and stop if they were given different work.

        Raises:
            WorkerError: a value is not the same on all workers.
        """
        from jax.experimental import multihost_utils  # noqa: PLC0415

        for name, value in values.items():
            found = multihost_utils.process_allgather(np.array(value)).tolist()
            if len(set(np.ravel(found))) > 1:
                raise WorkerError(
                    f"the workers disagree: {name} is {found}, in order; start all of them with "
                    "the same command and a shared --runs-dir"
                )

    @contextmanager
    def on_this_worker_alone(self) -> Iterator[None]:
        """Run the enclosed code on this worker only; otherwise Keras would wait for the others."""
        distribution = keras.distribution.distribution()
        keras.distribution.set_distribution(None)
        try:
            yield
        finally:
            keras.distribution.set_distribution(distribution)

    def device(self, model: keras.Model) -> str:
        """Return the devices of all workers."""
        return " and ".join(keras.distribution.list_devices())
