"""The local engine: a crew of worker processes that takes jobs, and of which no worker outlives it."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import torch

from schemas.errors import UsageError
from zoo.device import chosen_device
from zoo.engines.attempt import outcome
from zoo.engines.engine import Engine, Epoch, Event, Failed, Job

STDERR_TAIL = 2000
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Local(Engine):
    """Worker processes on this machine: one a core, or one a GPU, each with its device.

    Workers are plain child processes, not multiprocessing's: a script that builds needs no main
    guard, and a notebook works as well. Each has one thread, because two processes with two
    threads each on two cores are many times slower than with one each.

    Args:
        device: `cpu`, `cuda`, or `auto`: cuda if there is one.
        workers: Processes, which take the GPUs in turn; without it one a core, or one a GPU.

    Raises:
        UsageError: There is no GPU, though one is wanted, or the number is below 1.
    """

    def __init__(self, device: str, workers: int | None) -> None:
        if workers is not None and workers < 1:
            raise UsageError(f"workers = {workers}: expected at least 1, or None for one a core or GPU")
        self.device = chosen_device(device)
        gpus = torch.cuda.device_count() if self.device == "cuda" else 0
        places = [f"cuda:{number}" for number in range(gpus)] or ["cpu"]
        self.places = [places[number % len(places)] for number in range(workers or gpus or _cores())]

    @property
    def slots(self) -> int:
        """As `Engine.slots`."""
        return len(self.places)

    @contextmanager
    def events(self, jobs: Sequence[Job]) -> Iterator[Iterator[Event]]:
        """As `Engine.events`."""
        crew = _Crew(jobs, self.places)
        try:
            yield crew.events()
        finally:
            crew.end()


def _cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return cores or 1


class _Crew:
    """Worker processes that share a list of jobs."""

    def __init__(self, jobs: Sequence[Job], places: Sequence[str]) -> None:
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        for job in jobs:
            self._jobs.put(job)
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._workers: list[_Worker] = []
        self._lock = threading.Lock()
        self._closed = False
        busy = places[: len(jobs)]
        self._threads = [threading.Thread(target=self._hand_out, args=[place], daemon=True) for place in busy]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Kill all workers and wait until they are gone."""
        with self._lock:
            self._closed = True
            for worker in self._workers:
                worker.kill()
        for thread in self._threads:
            thread.join()

    def events(self) -> Iterator[Event]:
        """Say what happens, as it happens, until each job is done or has failed."""
        working = len(self._threads)
        while working:
            event = self._events.get()
            if event is None:
                working -= 1
            else:
                yield event

    def _hand_out(self, place: str) -> None:
        """Keep one worker busy; when it dies, the next job gets a new one."""
        try:
            while not self._closed and not self._jobs.empty():
                with self._worker() as worker:
                    while worker.alive() and (job := self._next()) is not None:
                        for event in worker.perform(job.model_copy(update={"device": place})):
                            self._events.put(event)
        finally:
            self._events.put(None)

    @contextmanager
    def _worker(self) -> "Iterator[_Worker]":
        with self._lock:
            worker = _Worker()
            self._workers.append(worker)
            if self._closed:
                worker.kill()
        try:
            yield worker
        finally:
            worker.end()

    def _next(self) -> Job | None:
        try:
            return self._jobs.get_nowait()
        except queue.Empty:
            return None


class _Worker:
    """One child process."""

    def __init__(self) -> None:
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process; `end` closes it
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "zoo.engines.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            env=_environment(),
            text=True,
        )
        assert self.process.stdin is not None  # noqa: S101 - it is a pipe
        assert self.process.stdout is not None  # noqa: S101 - it is a pipe
        self.input, self.answers = self.process.stdin, self.process.stdout

    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """Kill the process; what it had not kept was not begun, as far as the files say."""
        self.process.kill()

    def end(self) -> None:
        """Kill the process, wait for its end and close what led to it."""
        self.kill()
        self.stderr.close()
        with suppress(BrokenPipeError):
            self.process.__exit__(None, None, None)

    def perform(self, job: Job) -> Iterator[Event]:
        """Give the worker a job and say what comes of it."""
        with suppress(BrokenPipeError):  # it died; no answer below says so
            self.input.write(job.model_dump_json() + "\n")
            self.input.flush()
        for line in self.answers:
            answer = json.loads(line)
            if answer["event"] == "epoch":
                yield Epoch(job.name, answer["epoch"])
                continue
            yield outcome(job.name, answer)
            return
        yield Failed(job.name, self._last_words())

    def _last_words(self) -> str:
        code = self.process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        size = self.stderr.seek(0, os.SEEK_END)
        self.stderr.seek(max(0, size - STDERR_TAIL))
        said = self.stderr.read().decode(errors="replace").strip()
        memory = " (out of memory?)" if code == -9 else ""
        return f"its worker {how}{memory}" + (f": {said}" if said else "")


def _environment() -> dict[str, str]:
    """This process's environment and import path, and one thread for each library."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # noqa: PTH109 - a string for a string
    return {**os.environ, **dict.fromkeys(ONE_THREAD, "1"), "PYTHONPATH": path}
