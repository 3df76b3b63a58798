"""The files that a build leaves beside its shards: what the population is, and what each group came to.

They are written before any row of the lake, and are what says how far a build has come:

    weights/<population>/population.json                what is built from what
    weights/<population>/build.plan                     what the last build set out to do
    weights/<population>/<group>-e<epoch>.safetensors   the members' weights, stacked
    weights/<population>/<group>.json                   curves, states and shards: the group is done
    weights/<population>/<group>.state                  a training on its way, to go on from
    weights/<population>/<group>.progress               how far it is, renewed every few seconds
    weights/<population>/<group>.failure                why the group could not be trained
    weights/<population>/build.lock                     held by the process that builds; empty
"""

from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.files import write_whole
from zoo.environment import Flag
from zoo.group import Group

Curves = dict[str, dict[str, list[list[float | None]]]]
"""By split and metric a list of epochs for each member; null where nothing was measured."""


class PopulationFile(BaseModel):
    """What a population is built from, fixed when its first build began."""

    model_config = ConfigDict(frozen=True)

    population_id: str
    name: str
    recipe: dict[str, Any]
    recipe_sha256: str
    architecture: str
    dataset: str
    dataset_sha256: str
    split_seed: int
    classes: int
    input_shape: tuple[int, ...]
    members: int
    device: str
    software: str
    created_at: datetime


class Shard(BaseModel):
    """A checkpoint of a group: one shard of the weight store, a row a member."""

    model_config = ConfigDict(frozen=True)

    path: str
    sha256: str
    stored_bytes: int


class Sitting(BaseModel):
    """One process that trained a group, or a part of its training, and on what."""

    model_config = ConfigDict(frozen=True)

    begun_at: datetime
    step: int
    """Steps that were done before it."""
    seconds: float
    device: str
    device_name: str
    software: str
    flags: dict[str, Flag]
    backend: str
    backend_reason: str
    peak_memory: int | None
    """Bytes: of the GPU's memory, or of the whole process on a CPU."""


class GroupResult(BaseModel):
    """What training a group came to; lists go by the group's members."""

    model_config = ConfigDict(frozen=True)

    group: Group
    dataset_sha256: str
    parameters: int
    initialisations: list[str]
    diverged_epochs: list[int | None]
    diverged_reasons: list[str | None] | None = None
    """What was not finite; None in files that were written before it was noted."""
    backend: str | None = None
    """What trained the group, and why that; None in files that were written before it was kept."""
    backend_reason: str | None = None
    curves: Curves
    checkpoints: dict[int, Shard]
    sittings: list[Sitting] = []


class Progress(BaseModel):
    """How far the training of a group is."""

    model_config = ConfigDict(frozen=True)

    step: int
    """Steps done."""
    steps: int
    """Steps in all."""
    epoch: int
    """Epochs done."""
    seconds_a_step: float | None
    """Mean over this sitting; None before its first step."""
    begun_at: datetime
    updated_at: datetime
    host: str
    process: int
    device: str


class Failure(BaseModel):
    """Why a group could not be trained."""

    model_config = ConfigDict(frozen=True)

    group: Group
    reason: str
    epoch: int
    """The epoch in which it failed, from 1."""
    happened_at: datetime


def population_file(weights: Path, population_id: str) -> Path:
    """Where a population's description lies, below the weight store's folder."""
    return weights / population_id / "population.json"


def result_file(weights: Path, population_id: str, group: str) -> Path:
    """Where a group's result lies, below the weight store's folder."""
    return weights / population_id / f"{group}.json"


def state_file(weights: Path, population_id: str, group: str) -> Path:
    """Where a group's training on its way is kept."""
    return weights / population_id / f"{group}.state"


def progress_file(weights: Path, population_id: str, group: str) -> Path:
    """Where a group's progress is said."""
    return weights / population_id / f"{group}.progress"


def failure_file(weights: Path, population_id: str, group: str) -> Path:
    """Where it is said why a group could not be trained."""
    return weights / population_id / f"{group}.failure"


Model = TypeVar("Model", bound=BaseModel)


def read_as(kind: type[Model], path: Path) -> Model | None:
    """Read a file of this kind; None if it is not there or not whole."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def write_model(path: Path, model: BaseModel, indent: int | None = None) -> None:
    """Write a file, whole or not at all; errors as in `schemas.files.written_whole`."""
    write_whole(path, model.model_dump_json(indent=indent).encode())


def read_population(weights: Path, population_id: str) -> PopulationFile | None:
    """Read a population's description; None if it is not there or not whole."""
    return read_as(PopulationFile, population_file(weights, population_id))


def read_result(weights: Path, population_id: str, group: Group, dataset_sha256: str) -> GroupResult | None:
    """Read what a group came to; None unless it is done: this very group, on this data, all shards there."""
    result = read_as(GroupResult, result_file(weights, population_id, group.name))
    if result is None or not all(is_whole(weights, shard) for shard in result.checkpoints.values()):
        return None
    return result if result.group == group and result.dataset_sha256 == dataset_sha256 else None


def is_whole(weights: Path, shard: Shard) -> bool:
    """Whether a shard is there at its full length."""
    try:
        return (weights / shard.path).stat().st_size == shard.stored_bytes
    except OSError:
        return False
