"""The files that a build leaves beside its shards: what the population is, and what each group came to.

They are written before any row of the lake, and are what says how far a build has come:

    weights/<population>/population.json                what is built from what
    weights/<population>/<group>-e<epoch>.safetensors   the members' weights, stacked
    weights/<population>/<group>.json                   curves, states and shards: the group is done
    weights/<population>/build.lock                     held by the process that builds; empty
"""

from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

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


class GroupResult(BaseModel):
    """What training a group came to; lists go by the group's members."""

    model_config = ConfigDict(frozen=True)

    group: Group
    dataset_sha256: str
    parameters: int
    initialisations: list[str]
    diverged_epochs: list[int | None]
    backend: str | None = None
    """What trained the group, and why that; None in files that were written before it was kept."""
    backend_reason: str | None = None
    curves: Curves
    checkpoints: dict[int, Shard]


def population_file(weights: Path, population_id: str) -> Path:
    """Where a population's description lies, below the weight store's folder."""
    return weights / population_id / "population.json"


def result_file(weights: Path, population_id: str, group: str) -> Path:
    """Where a group's result lies, below the weight store's folder."""
    return weights / population_id / f"{group}.json"


def read_population(weights: Path, population_id: str) -> PopulationFile | None:
    """Read a population's description; None if it is not there or not whole."""
    try:
        return PopulationFile.model_validate_json(population_file(weights, population_id).read_bytes())
    except (OSError, ValidationError):
        return None


def read_result(weights: Path, population_id: str, group: Group, dataset_sha256: str) -> GroupResult | None:
    """Read what a group came to; None unless it is done: this very group, on this data, all shards there."""
    try:
        result = GroupResult.model_validate_json(result_file(weights, population_id, group.name).read_bytes())
        sizes = {shard.path: (weights / shard.path).stat().st_size for shard in result.checkpoints.values()}
    except (OSError, ValidationError):
        return None
    whole = all(sizes[shard.path] == shard.stored_bytes for shard in result.checkpoints.values())
    return result if whole and result.group == group and result.dataset_sha256 == dataset_sha256 else None
