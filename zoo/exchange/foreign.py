"""What a zoo from elsewhere says of itself: its members, their curves, and their weights block by block."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from schemas import DataError, UsageError
from zoo.exchange.fields import METRICS, real_number
from zoo.population import Weights

MOST_MEMBERS = 1_000_000
LONGEST_NAME = 100
ODD = re.compile(r"[^A-Za-z0-9._=,+-]+")

Point = tuple[int, str, str, float]
"""Epoch, split, metric and value."""


@dataclass
class ForeignMember:
    """A model of a zoo from elsewhere."""

    name: str
    """As the zoo calls it."""
    columns: dict[str, Any] = field(default_factory=dict)
    """What it says that has a column in the table `member`."""
    statements: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Everything that it says, by the file that says it."""
    curve: list[Point] = field(default_factory=list)
    measured: list[tuple[int | None, str, float]] = field(default_factory=list)
    """Other numbers: epoch, metric and value."""
    diverged: tuple[int, str] | None = None
    """The epoch from which on it is not finite, and what is not."""
    problems: list[str] = field(default_factory=list)
    """What of it could not be read."""

    def take_metric(self, epoch: int, key: str, value: Any, where: str) -> None:
        """Take a loss or an accuracy: a point of its curve, what is not finite, or among the problems what is neither.

        Args:
            epoch: The epochs that were done.
            key: One of `METRICS`.
            value: As it was read; None for nothing.
            where: The row that says so.
        """
        split, metric = METRICS[key]
        if (number := real_number(value)) is not None:
            self.curve.append((epoch, split, metric, number))
        elif isinstance(value, float):
            self.diverged = self.diverged or (epoch, f"{key} is {value}")
        elif value is not None:
            self.problems.append(f"{key} of {where} is {str(value)[:60]!r}; expected a number")


@dataclass(frozen=True)
class Block:
    """Weights of some members at one epoch, stacked under each tensor's name, `[k, ...]`."""

    epoch: int
    members: list[int]
    """Their numbers in the zoo's list."""
    tensors: Weights


@dataclass(frozen=True)
class Unreadable:
    """A checkpoint that could not be read, and why."""

    member: int
    epoch: int
    reason: str


@dataclass(frozen=True)
class About:
    """What holds for all members; None where the zoo does not say so."""

    architecture: str | None = None
    """One of `zoo.architectures.ARCHITECTURES`, or the format, a colon and the zoo's own word."""
    dataset: str | None = None
    dataset_sha256: str | None = None
    classes: int | None = None
    input_shape: tuple[int, ...] | None = None
    split_seed: int | None = None
    unlike: str | None = None
    """Why its architecture is not one of weightlake's, where it comes close to one."""


@dataclass
class ForeignZoo:
    """A zoo that was opened: its tables are read, its weights are still to come."""

    format: str
    members: list[ForeignMember]
    blocks: Callable[[], Iterator[Block | Unreadable]]
    """Reads the weights, in any order, every checkpoint once."""
    about: About = About()
    notes: dict[str, Any] = field(default_factory=dict)
    """What is said of the whole, e.g. how a matrix is laid out; it is kept with the population's recipe."""
    rename: Callable[[Weights], Weights] | None = None
    """Gives tensors the names of weightlake's architecture."""


def inside(root: Path, path: Path) -> Path:
    """Give a path back that leads to a file below `root`; links that lead out are not followed.

    Raises:
        DataError: It leads out, or is no file.
    """
    try:
        found = path.resolve()
        if not found.is_relative_to(root.resolve()):
            raise DataError(f"{path} leads out of {root}; it is not followed, put a copy there")
        if not found.is_file():
            raise DataError(f"{path} is missing or no file")
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{path} is no path that can be followed: {error}") from error
    return path


def read_bounded(root: Path, path: Path, most: int) -> bytes:
    """Read a file below `root` that has at most so many bytes.

    Raises:
        DataError: It leads out, is no file, is larger, or cannot be read.
    """
    try:
        with inside(root, path).open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > most:
        raise DataError(f"{path} is larger than {most:,} bytes, which is more than such a file may have")
    return content


def member_names(members: list[ForeignMember]) -> list[str]:
    """Names that can be part of a model_id: plain, short and each once, in the members' order.

    Names that differ in odd characters or in what was cut off get a piece of their hash.
    """
    if not 1 <= len(members) <= MOST_MEMBERS:
        raise UsageError(f"this zoo has {len(members):,} members; expected 1 to {MOST_MEMBERS:,}")
    taken: set[str] = set()
    names = []
    for member in members:
        plain = ODD.sub("-", member.name).strip("-.")[:LONGEST_NAME] or "member"
        if plain != member.name or plain in taken:
            plain = f"{plain}-{sha256(member.name.encode(errors='surrogatepass')).hexdigest()[:8]}"
        if plain in taken:
            raise DataError(f"two members are called {member.name!r}; each member needs a name of its own")
        taken.add(plain)
        names.append(plain)
    return names


def checked_shapes(tensors: Mapping[str, Any]) -> None:
    """Raise DataError for names that no safetensors file can hold."""
    for name in tensors:
        if not name or name == "__metadata__" or len(name) > 1000 or not name.isprintable():
            raise DataError(f"a tensor cannot be called {name[:60]!r}")
