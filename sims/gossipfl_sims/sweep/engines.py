"""Engines: where runs take place. joblib starts them and carries what goes in and out; only its backend differs.

`local` is a process per core of this machine. `ray` is a cluster, for which there must be the package `ray`: the one
that RAY_ADDRESS or this machine knows, otherwise one is started here for as long as the sweep lasts. What a run is,
and what becomes of its result, is not known here.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import joblib
from joblib.externals.loky.process_executor import BrokenProcessPool
from joblib.parallel import register_parallel_backend

from gossipfl.errors import LocalError

ENGINES = ("local", "ray")
WATCH = 1.0
"""Seconds between two looks at whether the parent lives: a killed sweep shall not keep the cores busy for long."""
THREADS = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
"""One thread for each run: they are on all cores already, and sums over another number of threads differ."""
DIED = "a process of the sweep died, perhaps for want of memory; what was done before is kept"
T = TypeVar("T")


def stream(
    function: Callable[..., T], calls: Sequence[tuple[Any, ...]], engine: str, jobs: int | None
) -> Generator[T, None, None]:
    """What `function` gives for each of `calls`, whichever is over first.

    Args:
        function: of a module; it and its arguments go to other processes.
        calls: arguments.
        engine: one of ENGINES.
        jobs: runs at a time; as many as there are cores if None. One needs no other process.

    Raises:
        LocalError: there is no such engine, ray can't be had, or a process died, as of too little memory.
    """
    if jobs is not None and jobs < 1:
        raise LocalError(f"--jobs {jobs}: at least 1")
    if engine not in ENGINES:
        raise LocalError(f"--engine {engine}: allowed are {', '.join(ENGINES)}")
    with _local(jobs) if engine == "local" else _ray(jobs):
        work = joblib.Parallel(return_as="generator_unordered", batch_size=1)
        results = work(joblib.delayed(function)(*call) for call in calls)
        try:
            for result in results:  # noqa: UP028 - "yield from" would close them before the warnings are off
                yield result
        finally:
            with warnings.catch_warnings():
                # It warns of runs that are given up, which is what whoever closes this stream early wants.
                warnings.simplefilter("ignore")
                results.close()


@contextmanager
def _local(jobs: int | None) -> Iterator[None]:
    with joblib.parallel_config(
        "loky",
        n_jobs=jobs or joblib.cpu_count(),
        inner_max_num_threads=1,
        initializer=_serve,
        initargs=(os.getpid(), os.getcwd()),
    ):
        try:
            yield
        except BrokenProcessPool as error:
            raise LocalError(f"{DIED} ({type(error).__name__})") from error


def _serve(parent: int, folder: str) -> None:
    """Prepare a process to run for `parent`, to leave Ctrl-C to it, and to end when it ends, however that be.

    joblib keeps processes for the next sweep, but not when they were made for another folder than that of its files.
    """
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="watch the parent").start()


@contextmanager
def _ray(jobs: int | None) -> Iterator[None]:
    try:
        import ray  # noqa: PLC0415 - an extra, and a third of a second
        from ray.util.joblib.ray_backend import RayBackend  # noqa: PLC0415
    except ImportError as error:
        raise LocalError("--engine ray: there is no package ray; pip install 'gossipfl[ray]'") from error

    class Streaming(RayBackend):  # type: ignore[misc]  # ray has no types
        """As ray registers it; and its results may be had one by one, for ray has no pipe of joblib's to clog."""

        supports_return_generator = True

    register_parallel_backend("ray", Streaming)
    started = not ray.is_initialized()
    if started:
        quiet = {"logging_level": "ERROR", "log_to_driver": False, "runtime_env": {"env_vars": THREADS}}
        try:
            ray.init(address="auto", **quiet)
        except ConnectionError as error:
            if "RAY_ADDRESS" in os.environ:
                raise LocalError(f"RAY_ADDRESS={os.environ['RAY_ADDRESS']}: {error}") from error
            ray.init(address="local", num_cpus=jobs or joblib.cpu_count(), include_dashboard=False, **quiet)
    try:
        with joblib.parallel_config("ray", n_jobs=jobs or int(ray.cluster_resources()["CPU"])):
            yield
    except ray.exceptions.RayError as error:
        raise LocalError(f"{DIED} ({type(error).__name__})") from error
    finally:
        if started:
            ray.shutdown()
