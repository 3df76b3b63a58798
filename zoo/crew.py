"""A crew of worker processes: hands out groups, hears how they come on, and lets no worker outlive it."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from zoo.task import Task

STDERR_TAIL = 2000
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class Epoch:
    """A group has completed an epoch."""

    group: str
    epoch: int


@dataclass(frozen=True)
class Done:
    """A group is trained, its shards and its result file are written."""

    group: str


@dataclass(frozen=True)
class Failed:
    """A group could not be trained."""

    group: str
    reason: str
    outside: bool = False
    """Whether the disk or another part of the world outside is to blame, so that all others would fail too."""


Event = Epoch | Done | Failed


class Crew:
    """Worker processes that share a list of tasks; a context manager that ends them all.

    Workers are plain child processes, not multiprocessing's: a script that builds needs no main
    guard, and a notebook works as well. Each has one thread, because two processes with two
    threads each on two cores are many times slower than with one each.
    """

    def __init__(self, tasks: Sequence[Task], workers: int) -> None:
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        for task in tasks:
            self._tasks.put(task)
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._workers: list[_Worker] = []
        self._lock = threading.Lock()
        self._closed = False
        count = min(workers, len(tasks))
        self._threads = [threading.Thread(target=self._hand_out, daemon=True) for _ in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._closed = True
            for worker in self._workers:
                worker.kill()
        for thread in self._threads:
            thread.join()

    def events(self) -> Iterator[Event]:
        """Say what happens, as it happens, until each task is done or has failed."""
        working = len(self._threads)
        while working:
            event = self._events.get()
            if event is None:
                working -= 1
            else:
                yield event

    def _hand_out(self) -> None:
        """Keep one worker busy; when it dies, the next task gets a new one."""
        try:
            while not self._closed and not self._tasks.empty():
                with self._worker() as worker:
                    while worker.alive() and (task := self._next()) is not None:
                        for event in worker.perform(task):
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

    def _next(self) -> Task | None:
        try:
            return self._tasks.get_nowait()
        except queue.Empty:
            return None


class _Worker:
    """One child process."""

    def __init__(self) -> None:
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process; `end` closes it
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "zoo.worker"],
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
        """Kill the process; what it had not finished was not begun, as far as the files say."""
        self.process.kill()

    def end(self) -> None:
        """Kill the process, wait for its end and close what led to it."""
        self.kill()
        self.stderr.close()
        with suppress(BrokenPipeError):
            self.process.__exit__(None, None, None)

    def perform(self, task: Task) -> Iterator[Event]:
        """Give the worker a task and say what comes of it."""
        group = task.group.name
        with suppress(BrokenPipeError):  # it died; no answer below says so
            self.input.write(task.model_dump_json() + "\n")
            self.input.flush()
        for line in self.answers:
            answer = json.loads(line)
            if answer["event"] == "epoch":
                yield Epoch(group, answer["epoch"])
                continue
            yield Done(group) if answer["event"] == "done" else Failed(group, answer["reason"], answer["outside"])
            return
        yield Failed(group, self._last_words())

    def _last_words(self) -> str:
        code = self.process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        size = self.stderr.seek(0, os.SEEK_END)
        self.stderr.seek(max(0, size - STDERR_TAIL))
        said = self.stderr.read().decode(errors="replace").strip()
        memory = " (out of memory?)" if code == -9 else ""
        return f"its worker {how}{memory}" + (f": {said}" if said else "")


def _environment() -> dict[str, str]:
    """This process's environment and import path, one thread for each library, reproducible cuBLAS."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # noqa: PTH109 - a string for a string
    threads = dict.fromkeys(ONE_THREAD, "1")
    return {**os.environ, **threads, "PYTHONPATH": path, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
