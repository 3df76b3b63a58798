"""Chooses an engine by its name."""

from collections.abc import Iterator
from contextlib import contextmanager

from schemas.errors import UsageError
from zoo.device import DEVICES
from zoo.engines.engine import Engine
from zoo.engines.local import Local
from zoo.mistakes import expected_one_of

ENGINES = ("local", "ray")


def check_engine(engine: str, device: str) -> None:
    """Raise UsageError unless there is an engine and a kind of device of these names."""
    if engine not in ENGINES:
        raise UsageError(f"engine {engine!r}: {expected_one_of(engine, ENGINES)}")
    if device not in DEVICES:
        raise UsageError(f"device {device!r}: {expected_one_of(device, DEVICES)}")


@contextmanager
def open_engine(engine: str = "local", device: str = "auto", workers: int | None = None) -> Iterator[Engine]:
    """Open an engine for a block.

    Args:
        engine: `local`, worker processes on this machine, or `ray`, a Ray cluster.
        device: `cpu`, `cuda`, or `auto`: cuda if there is one.
        workers: Jobs that are done at once; without it one a core or GPU.

    Raises:
        UsageError: There is no such engine, device or number of workers, or Ray is not installed.
        OutsideError: The Ray cluster cannot be reached.
    """
    check_engine(engine, device)
    if engine == "local":
        yield Local(device, workers)
        return
    from zoo.engines.ray_cluster import ray_cluster  # here, because Ray need not be installed

    with ray_cluster(device, workers) as cluster:
        yield cluster
