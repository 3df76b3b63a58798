"""Lets one process at a time build a population: the others would train the very same groups."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from schemas.errors import OutsideError

A_LOOK = 0.5
"""Seconds for which somebody who only looks whether a population is being built may hold its lock."""


def _lock(weights: Path, population_id: str) -> FileLock:
    return FileLock(str(weights / population_id / "build.lock"), poll_interval=A_LOOK / 10)


def is_being_built(weights: Path, population_id: str) -> bool:
    """Whether a process builds a population just now."""
    lock = _lock(weights, population_id)
    if not Path(lock.lock_file).exists():
        return False
    try:
        with lock.acquire(blocking=False):
            return False
    except Timeout:
        return True
    except OSError:  # a lake that may only be read: nobody can tell
        return False


@contextmanager
def sole_builder(weights: Path, population_id: str) -> Iterator[None]:
    """Hold a population's lock file for a block; the operating system frees it however the process ends.

    Raises:
        OutsideError: Another build of the population holds it, or the folder cannot be written.
    """
    lock = _lock(weights, population_id)
    try:
        (weights / population_id).mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=A_LOOK)
    except Timeout as error:
        raise OutsideError(
            f"{population_id} is being built by another process; its groups come into this lake as they are done, "
            "and the same build run again after it finds them there"
        ) from error
    except OSError as error:
        raise OutsideError(f"cannot write {lock.lock_file}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()
