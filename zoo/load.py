"""Loads the weights of models of every kind, one at a time or as a population that a SQL query selects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch
from torch import Tensor, nn

from schemas import DataError, Lake, UsageError
from schemas.weights import read_safetensors
from zoo import population
from zoo.describe import Description, describe, describe_all
from zoo.locate import InFiles, InShard, Place, locate, selection
from zoo.population import Weights
from zoo.publishing.published import open_published
from zoo.randomness import generator

__all__ = [
    "Description",
    "Population",
    "describe",
    "describe_all",
    "load_module",
    "load_population",
    "load_weights",
    "read_weights",
]


@dataclass(frozen=True)
class Population:
    """Models of the same shapes: their stacked weights `[N, ...]` by name, and a row for each."""

    tensors: Weights
    rows: pl.DataFrame

    def __len__(self) -> int:
        return self.rows.height

    def member(self, index: int) -> Weights:
        """Weights of one model, without the leading axis."""
        return population.member(self.tensors, index)

    def take(self, indices: Sequence[int]) -> Population:
        """The models of these indices, in this order."""
        tensors = {name: tensor[list(indices)] for name, tensor in self.tensors.items()}
        return Population(tensors, self.rows[list(indices)])

    def split(
        self, train: float = 0.7, validation: float = 0.15, test: float = 0.15, seed: int = 0
    ) -> dict[str, Population]:
        """Split by models into `train`, `validation` and `test`; all checkpoints of a model stay together.

        Args:
            train: Share of the models; what rounding leaves over goes here too.
            validation: Share of the models.
            test: Share of the models.
            seed: Which model goes where hangs on it.

        Raises:
            UsageError: The shares are negative or do not add up to 1.
        """
        if min(train, validation, test) < 0 or abs(train + validation + test - 1) > 1e-9:
            raise UsageError(
                f"train, validation and test = {train}, {validation}, {test}: expected shares that sum to 1"
            )
        ids = self.rows.get_column("model_id").to_list()
        models = sorted(set(ids))
        shuffled = [models[i] for i in torch.randperm(len(models), generator=generator("split models", seed)).tolist()]
        first, second = round(validation * len(models)), round(test * len(models))
        part_of = dict.fromkeys(shuffled, "train")
        part_of |= dict.fromkeys(shuffled[:first], "validation")
        part_of |= dict.fromkeys(shuffled[first : first + second], "test")
        parts = {part: [i for i, model_id in enumerate(ids) if part_of[model_id] == part] for part in _PARTS}
        return {part: self.take(indices) for part, indices in parts.items()}


_PARTS = ("train", "validation", "test")


def load_weights(lake: Lake, model_id: str, epoch: int | None = None) -> Weights:
    """Load the weights of one model: trained, made, or mined with its files on this machine.

    Args:
        lake: Where it is known.
        model_id: Its name in the lake.
        epoch: A checkpoint of a trained model; without it the final one.

    Raises:
        UsageError: It is unknown, has no such checkpoint, or its weights cannot be had; the message
            says what to do.
        DataError: Its files are damaged or gone.
    """
    return read_weights(lake, locate(lake, [model_id], [epoch])[0])


def load_population(lake: Lake | str | Path, sql: str, **parameters: object) -> Population:
    """Load all models that a query selects, stacked, in the query's order.

    Args:
        lake: Where they are known; or a published dataset, its folder or `hf:owner/name`, of which only
            the bytes of these models are read.
        sql: Any query that returns `model_id`, and `epoch` if not the final weights are meant; its
            other columns stay with the rows. Of a published dataset a condition on its models is
            enough: `width = 8`.
        parameters: Values for `$name` in the query.

    Raises:
        UsageError: As `load_weights`; or the query selects nothing, or models of different shapes.
        DataError: Files are damaged or gone.
        HubError: The hub cannot be reached, or shows no such dataset.
    """
    if not isinstance(lake, Lake):
        return open_published(lake).population(sql, **parameters)
    rows = selection(lake, sql, parameters)
    ids: list[str] = rows.get_column("model_id").to_list()
    epochs: list[int | None] = rows.get_column("epoch").to_list() if "epoch" in rows.columns else [None] * len(ids)
    return Population(_stacked(lake, ids, locate(lake, ids, epochs)), rows)


def load_module(lake: Lake, model_id: str, epoch: int | None = None) -> nn.Module:
    """Build a model that `describe` knows, with its weights.

    Raises:
        UsageError: As `load_weights` and `describe`.
        DataError: Its weights are not those of its architecture.
    """
    description = describe(lake, model_id)
    module = description.skeleton()
    try:
        module.load_state_dict(load_weights(lake, model_id, epoch), assign=True)
    except RuntimeError as error:
        raise DataError(f"the weights of {model_id} are not those of a {description.architecture}: {error}") from error
    return module


def read_weights(lake: Lake, place: Place) -> Weights:
    """Read the weights that lie in a place which `locate` found."""
    if isinstance(place, InShard):
        return lake.weights.read_member(place.shard, place.row)
    return _read_files(place)


def _read_files(place: InFiles) -> Weights:
    weights: Weights = {}
    for path in place.paths:
        tensors = read_safetensors(path)
        twice = weights.keys() & tensors.keys()
        if twice:
            raise DataError(f"{path.parent} has tensor {min(twice)} in several files, so its weights are ambiguous")
        weights |= tensors
    return weights


def _stacked(lake: Lake, ids: Sequence[str], places: Sequence[Place]) -> Weights:
    """Read shard by shard, each once, and put every model into its row."""
    positions: dict[str | InFiles, list[int]] = {}
    for position, place in enumerate(places):
        positions.setdefault(place.shard if isinstance(place, InShard) else place, []).append(position)
    stacked: Weights = {}
    first = next(iter(positions.values()))[0]
    for source, targets in positions.items():
        part = _read_rows(lake, source, [places[target] for target in targets])
        if len(positions) == 1:
            return part
        if not stacked:
            stacked = {name: tensor.new_empty(len(ids), *tensor.shape[1:]) for name, tensor in part.items()}
        _check_alike(ids[first], stacked, ids[targets[0]], part)
        for name, tensor in part.items():
            _bytes(stacked[name])[targets] = _bytes(tensor)
    return stacked


def _read_rows(lake: Lake, source: str | InFiles, places: Sequence[Place]) -> Weights:
    if isinstance(source, InFiles):
        return {name: tensor.expand(len(places), *tensor.shape) for name, tensor in _read_files(source).items()}
    return lake.weights.read_members(source, [place.row for place in places if isinstance(place, InShard)])


def _bytes(tensor: Tensor) -> Tensor:
    """Types of eight bits as plain bytes, since torch cannot index all of its small floats."""
    return tensor.view(torch.uint8) if tensor.dtype.itemsize == 1 else tensor


def _check_alike(first: str, stacked: Mapping[str, Tensor], other: str, part: Mapping[str, Tensor]) -> None:
    for name in sorted({*stacked, *part}):
        mine, theirs = _kind(stacked.get(name)), _kind(part.get(name))
        if mine != theirs:
            raise UsageError(
                f"these cannot be stacked: tensor {name} is {mine} in {first} and {theirs} in {other}; "
                "select models of the same shapes, e.g. with WHERE architecture = ... AND width = ..."
            )


def _kind(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else f"{list(tensor.shape[1:])} {str(tensor.dtype).removeprefix('torch.')}"
