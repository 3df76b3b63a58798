"""Loads the weights of models of every kind, one at a time or as a population that a SQL query selects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from schemas import DataError, Lake, UsageError
from schemas.lake import DATABASE, check_lake
from zoo.describe import Description, describe, describe_all
from zoo.device import device_of
from zoo.locate import locate
from zoo.placed import Placed, placed
from zoo.population import Weights
from zoo.precision import floating_type
from zoo.publishing.published import open_published
from zoo.selected import Population
from zoo.stacking import read_weights, stacked

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
    check_lake(lake)
    return read_weights(lake, locate(lake, [model_id], [epoch])[0])


def load_population(
    lake: Lake | str | Path,
    sql: str,
    tensors: str | Sequence[str] | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | str | None = None,
    **parameters: object,
) -> Population:
    """Load all models that a query selects, stacked, in the query's order.

    What lies in one shard as one run of rows is mapped into memory, and read when it is used.

    Args:
        lake: Where they are known; or a published dataset, its folder or `hf:owner/name`, of which only
            the bytes of these models are read, and of its tables what it takes to find them.
        sql: Any query that returns `model_id`, and `epoch` if not the final weights are meant; its
            other columns stay with the rows. Of a published dataset a condition on its models is
            enough: `width = 8`.
        tensors: Name of one to read, or of several in this order; without it all.
        device: Where they go.
        dtype: Floating point type that they are turned into, or its name; without it as they lie.
        parameters: Values for `$name` in the query.

    Raises:
        UsageError: As `load_weights`; or the query selects nothing, models of different shapes, or
            models without one of the tensors; or there is no such device here, or the type is none of
            floating point numbers.
        DataError: Files are damaged or gone.
        HubError: The hub cannot be reached, or shows no such dataset.
    """
    where, kind = device_of(device), floating_type(dtype)
    names = _names(tensors)
    if isinstance(lake, Lake):
        return _loaded(lake, placed(lake, sql, parameters), names, where, kind)
    if Path(lake, DATABASE).is_file():
        check_lake(lake)
    published = open_published(lake)
    rows = published.models(sql, **parameters)
    return _moved(Population(published.stacked(rows), rows, kin=published.kin), names, where, kind)


def load_populations(
    lake: Lake,
    sql: str,
    tensors: str | Sequence[str] | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | str | None = None,
    **parameters: object,
) -> list[Population]:
    """Load all models that a query selects as populations, one for each architecture and its shapes.

    They come in the order in which the query first names one of their models, and their models in
    the query's order. All of them have to be models that `zoo.describe` knows. Arguments and errors
    are those of `load_population`.
    """
    check_lake(lake)
    where, kind = device_of(device), floating_type(dtype)
    names = _names(tensors)
    models = placed(lake, sql, parameters)
    shapes = [description.shapes for description in describe_all(lake, models.rows["model_id"].to_list())]
    groups: dict[object, list[int]] = {}
    for index, shape in enumerate(shapes):
        groups.setdefault(shape, []).append(index)
    return [_loaded(lake, models.take(indices), names, where, kind) for indices in groups.values()]


def _names(tensors: str | Sequence[str] | None) -> Sequence[str] | None:
    if tensors is not None and not tensors:
        raise UsageError(f"tensors={tensors!r} names none; name one or several, or leave it out for all")
    return [tensors] if isinstance(tensors, str) else tensors


def _loaded(
    lake: Lake, models: Placed, names: Sequence[str] | None, device: torch.device, dtype: torch.dtype | None
) -> Population:
    return _moved(Population(stacked(lake, models, names), models.rows, lake), None, device, dtype)


def _moved(
    loaded: Population, names: Sequence[str] | None, device: torch.device, dtype: torch.dtype | None
) -> Population:
    """The same with only the tensors of these names, on a device and in a floating point type."""
    if missing := [name for name in names or () if name not in loaded.tensors]:
        have = ", ".join(list(loaded.tensors)[:10])
        raise UsageError(f"these models have no tensor {missing[0]!r}; they have {have}")
    chosen = {name: loaded.tensors[name] for name in (names if names is not None else loaded.tensors)}
    moved = {name: tensor.to(device, dtype if tensor.is_floating_point() else None) for name, tensor in chosen.items()}
    return replace(loaded, tensors=moved)


def load_module(lake: Lake, model_id: str, epoch: int | None = None) -> nn.Module:
    """Build a model that `describe` knows, with its weights.

    Raises:
        UsageError: As `load_weights` and `describe`.
        DataError: Its weights are not those of its architecture.
    """
    check_lake(lake)
    description = describe(lake, model_id)
    module = description.skeleton()
    try:
        module.load_state_dict(load_weights(lake, model_id, epoch), assign=True)
    except RuntimeError as error:
        raise DataError(f"the weights of {model_id} are not those of a {description.architecture}: {error}") from error
    return module
