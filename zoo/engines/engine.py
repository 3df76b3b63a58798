"""What every engine does: it takes jobs, and says what happens to them."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from zoo.task import Task
from zoo.trial import Trial

Job = Task | Trial


@dataclass(frozen=True)
class Epoch:
    """A group has completed an epoch."""

    group: str
    epoch: int


@dataclass(frozen=True)
class Done:
    """A job is done: a group is trained, its shards and its result file are written; or a trial has its answer."""

    group: str
    answer: str | None = None
    """What a trial found, as JSON."""


@dataclass(frozen=True)
class Failed:
    """A job could not be done."""

    group: str
    reason: str
    outside: bool = False
    """Whether the disk or another part of the world outside is to blame, so that all others would fail too."""
    again: bool = True
    """Whether it may go well when it is tried again with nothing changed."""


Event = Epoch | Done | Failed


class Engine(Protocol):
    """Does jobs, several at once."""

    device: str
    """`cpu` or `cuda`."""

    @property
    def slots(self) -> int:
        """How many jobs are done at once."""

    def events(self, jobs: Sequence[Job]) -> AbstractContextManager[Iterator[Event]]:
        """Do jobs, each alone, and say what happens, as it happens, until each is done or has failed.

        Leaving the context ends whatever is still going on.
        """
