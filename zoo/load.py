"""Loads the weights of models of every kind, one at a time or as a population that a SQL query selects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import polars as pl
import torch
from torch import Tensor, nn

from schemas import DataError, Lake, UsageError
from schemas.weights import read_safetensors
from zoo.describe import Description, describe, describe_all
from zoo.locate import InFiles, InShard, Place, locate, selection
from zoo.population import Weights
from zoo.publishing.published import open_published
from zoo.selected import Population

__all__ = [
    "Description",
    "Population",
    "describe",
    "describe_all",
    "load_module",
    "load_population",
    "load_populations",
    "load_weights",
    "read_weights",
]


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


def load_population(
    lake: Lake | str | Path,
    sql: str,
    tensors: Sequence[str] | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    **parameters: object,
) -> Population:
    """Load all models that a query selects, stacked, in the query's order.

    What lies in one shard as one run of rows is mapped into memory, and read when it is used.

    Args:
        lake: Where they are known; or a published dataset, its folder or `hf:owner/name`, of which only
            the bytes of these models are read.
        sql: Any query that returns `model_id`, and `epoch` if not the final weights are meant; its
            other columns stay with the rows. Of a published dataset a condition on its models is
            enough: `width = 8`.
        tensors: Names of those to read, in this order; without it all.
        device: Where they go.
        dtype: Floating point type that they are turned into; without it as they lie.
        parameters: Values for `$name` in the query.

    Raises:
        UsageError: As `load_weights`; or the query selects nothing, models of different shapes, or
            models without one of the tensors.
        DataError: Files are damaged or gone.
        HubError: The hub cannot be reached, or shows no such dataset.
    """
    if not isinstance(lake, Lake):
        return _moved(open_published(lake).population(sql, **parameters), tensors, device, dtype)
    rows = selection(lake, sql, parameters)
    return _loaded(lake, rows, tensors, device, dtype)


def load_populations(
    lake: Lake,
    sql: str,
    tensors: Sequence[str] | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    **parameters: object,
) -> list[Population]:
    """Load all models that a query selects as populations, one for each architecture and its shapes.

    They come in the order in which the query first names one of their models, and their models in
    the query's order. All of them have to be models that `zoo.describe` knows. Arguments and errors
    are those of `load_population`.
    """
    rows = selection(lake, sql, parameters)
    kinds = [description.shapes for description in describe_all(lake, rows["model_id"].to_list())]
    groups: dict[object, list[int]] = {}
    for index, kind in enumerate(kinds):
        groups.setdefault(kind, []).append(index)
    return [_loaded(lake, rows[indices], tensors, device, dtype) for indices in groups.values()]


def _loaded(
    lake: Lake,
    rows: pl.DataFrame,
    names: Sequence[str] | None,
    device: str | torch.device,
    dtype: torch.dtype | None,
) -> Population:
    ids: list[str] = rows.get_column("model_id").to_list()
    epochs: list[int | None] = rows.get_column("epoch").to_list() if "epoch" in rows.columns else [None] * len(ids)
    stacked = _stacked(lake, ids, locate(lake, ids, epochs), names)
    return _moved(Population(stacked, rows, lake), None, device, dtype)


def _moved(
    loaded: Population, names: Sequence[str] | None, device: str | torch.device, dtype: torch.dtype | None
) -> Population:
    """The same with only the tensors of these names, on a device and in a floating point type."""
    if missing := [name for name in names or () if name not in loaded.tensors]:
        have = ", ".join(list(loaded.tensors)[:10])
        raise UsageError(f"these models have no tensor {missing[0]!r}; they have {have}")
    chosen = {name: loaded.tensors[name] for name in (names if names is not None else loaded.tensors)}
    moved = {name: tensor.to(device, dtype if tensor.is_floating_point() else None) for name, tensor in chosen.items()}
    return Population(moved, loaded.rows, loaded.lake)


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


def _stacked(lake: Lake, ids: Sequence[str], places: Sequence[Place], names: Sequence[str] | None) -> Weights:
    """Read shard by shard, each once, and put every model into its row."""
    positions: dict[str | InFiles, list[int]] = {}
    for position, place in enumerate(places):
        positions.setdefault(place.shard if isinstance(place, InShard) else place, []).append(position)
    stacked: Weights = {}
    first = next(iter(positions.values()))[0]
    for source, targets in positions.items():
        part = _read_rows(lake, source, [places[target] for target in targets], names)
        if len(positions) == 1:
            return part
        if not stacked:
            stacked = {name: tensor.new_empty(len(ids), *tensor.shape[1:]) for name, tensor in part.items()}
        _check_alike(ids[first], stacked, ids[targets[0]], part)
        rows = _slice(targets)
        for name, tensor in part.items():
            _bytes(stacked[name])[rows] = _bytes(tensor)
    return stacked


def _slice(targets: list[int]) -> slice | list[int]:
    """A run of rows as a slice, which is copied as one piece."""
    run = targets[-1] - targets[0] + 1 == len(targets) and all(a < b for a, b in pairwise(targets))
    return slice(targets[0], targets[-1] + 1) if run else targets


def _read_rows(lake: Lake, source: str | InFiles, places: Sequence[Place], names: Sequence[str] | None) -> Weights:
    if isinstance(source, InFiles):
        read = _read_files(source)
        if missing := [name for name in names or () if name not in read]:
            raise UsageError(f"{source.paths[0]} has no tensor {missing[0]!r}; it has {', '.join(sorted(read)[:10])}")
        chosen = {name: read[name] for name in names} if names is not None else read
        return {name: tensor.expand(len(places), *tensor.shape) for name, tensor in chosen.items()}
    return lake.weights.read_members(source, [place.row for place in places if isinstance(place, InShard)], names)


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
