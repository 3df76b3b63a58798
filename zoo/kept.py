"""Keeps a group's training on disk while it is on its way, so that one that is killed goes on from there."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.errors import WeightlakeError
from schemas.weights import read_metadata, read_safetensors, write_safetensors
from zoo.group import Group
from zoo.results import Shard, Sitting, is_whole
from zoo.state import State

NOTE = "training"


class Kept(BaseModel):
    """What belongs to a state: of which training it is, and what that has left behind so far."""

    model_config = ConfigDict(frozen=True)

    group: Group
    dataset_sha256: str
    precision: str | None
    backend: str
    initialisations: list[str]
    checkpoints: dict[int, Shard]
    sittings: list[Sitting]

    def with_checkpoint(self, epoch: int, shard: Shard) -> Self:
        """The same with one more checkpoint."""
        return self.model_copy(update={"checkpoints": self.checkpoints | {epoch: shard}})

    def with_sitting(self, sitting: Sitting) -> Self:
        """The same with one more sitting."""
        return self.model_copy(update={"sittings": [*self.sittings, sitting]})


def keep(path: Path, kept: Kept, state: State) -> None:
    """Write a training's state in place of an earlier one, whole or not at all.

    Raises:
        OutsideError: The disk is full or cannot be written.
    """
    write_safetensors(path, state, {NOTE: kept.model_dump_json()})


def read_kept(path: Path, weights: Path, group: Group, dataset_sha256: str) -> tuple[Kept, State] | None:
    """Read a training's state; None unless it is whole, of this very group and data, and its shards are there."""
    try:
        kept = Kept.model_validate_json(read_metadata(path).get(NOTE, ""))
        state = read_safetensors(path)
    except (WeightlakeError, ValidationError):
        return None
    same = kept.group == group and kept.dataset_sha256 == dataset_sha256
    return (kept, state) if same and all(is_whole(weights, shard) for shard in kept.checkpoints.values()) else None
