"""How a population is trained, which is no part of what it is."""

from dataclasses import dataclass
from typing import TypedDict

from schemas.errors import UsageError
from zoo.backends import AUTO
from zoo.task import KEEP_SECONDS


@dataclass(frozen=True)
class Manner:
    """How groups are trained, and where."""

    device: str = "auto"
    """`cpu`, `cuda`, or `auto`: cuda if there is one."""
    workers: int | None = None
    """Groups that are trained at once; without it one a core, or one a GPU."""
    engine: str = "local"
    """`local`, processes on this machine, or `ray`, a Ray cluster whose nodes share the lake's folder."""
    backend: str = AUTO
    """How a group's members are trained at once; `auto` is the fastest."""
    precision: str | None = None
    """`bfloat16` for forward and backward passes in it, in place of what the recipe says; part of what is built."""
    keep_seconds: float = KEEP_SECONDS
    """Seconds between two times that a training on its way is kept."""

    def __post_init__(self) -> None:
        if self.workers is not None and (not isinstance(self.workers, int) or self.workers < 1):
            raise UsageError(f"workers = {self.workers!r}: expected at least 1, or None for one a core or GPU")
        if not isinstance(self.keep_seconds, int | float) or not self.keep_seconds >= 0:
            raise UsageError(f"keep_seconds = {self.keep_seconds!r}: expected a number of seconds, 0 or more")


class How(TypedDict, total=False):
    """A `Manner` as keyword arguments, all of which may be left out."""

    device: str
    workers: int | None
    engine: str
    backend: str
    precision: str | None
    keep_seconds: float
