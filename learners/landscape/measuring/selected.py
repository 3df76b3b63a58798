"""What is to be measured: the selected models in groups of one shape and dataset, and the pairs among them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import torch
from torch import nn

from learners.landscape.measuring.given import Given
from learners.landscape.measuring.group import Group
from learners.landscape.measuring.stitches import Stitch, stitches
from learners.landscape.measuring.trained_on import WHOLE, TrainedOn, trained_on
from schemas import DataError, Lake, UsageError
from zoo.datasets import Dataset, load_dataset
from zoo.describe import Description, describe_each
from zoo.load import load_population, load_weights
from zoo.locate import selection
from zoo.population import Weights

MOST_PAIRS = 10
"""Pairs of a cell that are measured."""

CELLS = """
SELECT model_id, to_json(struct_pack(population_id, width, batch_size, learning_rate, weight_decay, label_noise, epochs,
    depth, activation, dropout, initialisation, optimizer, data_fraction, convection)) AS cell
FROM member WHERE model_id IN (SELECT unnest($ids))
"""
SEEDS = "SELECT model_id, seed FROM member WHERE model_id IN (SELECT unnest($ids))"
COEFFICIENTS = (
    "SELECT model_id, convection FROM member WHERE model_id IN (SELECT unnest($ids)) AND convection IS NOT NULL"
)
CURVES = """
SELECT model_id, value FROM training WHERE split = 'train' AND metric = 'loss' AND model_id IN (SELECT unnest($ids))
ORDER BY model_id, epoch
"""


@dataclass(frozen=True, eq=False)
class Unknown:
    """Why nobody knows how some models are built, by model_id."""

    reasons: Mapping[str, str]
    label: str = "models that nobody here knows how to build"


Origin = Description | Given | Stitch | Unknown


@dataclass(frozen=True)
class Chosen:
    """Models that are built alike and share their data."""

    ids: list[str]
    origin: Origin
    pairs: list[tuple[str, str]]
    """Members of one cell, which differ in their seeds alone; of models that are in no population all of the group."""
    trained_on: Mapping[str, TrainedOn] = field(default_factory=dict)
    """Of members that were not trained on all samples as they are, what they saw; alike for all but for seeds."""

    @property
    def seen(self) -> dict[str, object]:
        """What values depend on through that, as a part of `mark_of`."""
        return self.trained_on.get(self.ids[0], WHOLE).mark

    @property
    def label(self) -> str:
        """What to call them."""
        if isinstance(self.origin, Description):
            return f"{self.origin.architecture} of width {self.origin.width}"
        return self.origin.label


def choose(lake: Lake, sql: str, given: Given | None = None) -> list[Chosen]:
    """Group the models that a query selects.

    Args:
        lake: Where they are.
        sql: A query that returns `model_id`.
        given: How they are built and what they were trained on, where the lake does not know.

    Raises:
        UsageError: The query selects nothing, checkpoints, or models of which nobody knows how any is built.
    """
    rows = selection(lake, sql, {})
    if "epoch" in rows.columns and rows["epoch"].is_not_null().any():
        raise UsageError("the query returns an epoch, and final weights are what is measured; leave it out")
    ids: list[str] = sorted(set(rows["model_id"]))  # draws go by place, and the order of rows is nobody's choice
    cells = dict(lake.sql(CELLS, ids=ids).iter_rows())
    seen = trained_on(lake, ids) if given is None else {}
    groups: dict[tuple[Origin, str], list[str]] = {}
    for model_id, origin in zip(ids, _origins(lake, ids, given), strict=True):
        groups.setdefault((origin, str(seen.get(model_id, WHOLE).mark)), []).append(model_id)
    return [
        Chosen(members, origin, _pairs(members, cells, origin), {name: seen[name] for name in members if name in seen})
        for (origin, _), members in groups.items()
    ]


def _origins(lake: Lake, ids: list[str], given: Given | None) -> list[Origin]:
    """How each model is built, in their order.

    Raises:
        UsageError: Nobody knows it of any.
    """
    if given is not None:
        return [given] * len(ids)
    stitched = stitches(lake, ids)
    others = [model_id for model_id in ids if model_id not in stitched]
    described = describe_each(lake, others) if others else {}
    without = {name: one for name, one in described.items() if not isinstance(one, Description)}
    if without and len(without) == len(ids):
        raise next(iter(without.values()))
    origins: dict[str, Origin] = dict(stitched)
    for name, one in described.items():
        if isinstance(one, Description):
            origins[name] = one.model_copy(update={"init": None})
    unknown = Unknown({name: str(error) for name, error in without.items()})
    return [origins.get(model_id, unknown) for model_id in ids]


def _pairs(members: Sequence[str], cells: dict[str, str], origin: Origin) -> list[tuple[str, str]]:
    by_cell: dict[str, list[str]] = {}
    for model_id in members:
        if model_id not in cells and isinstance(origin, Unknown):  # nobody knows whether their shapes agree
            continue
        by_cell.setdefault(cells.get(model_id, ""), []).append(model_id)
    return [pair for cell in by_cell.values() for pair in balanced_pairs(sorted(cell))]


def balanced_pairs(members: Sequence[str], most: int = MOST_PAIRS) -> list[tuple[str, str]]:
    """At most so many pairs of models, each of them in about as many: those that are in the fewest come next.

    >>> balanced_pairs(["a", "b", "c", "d"], 4)
    [('a', 'b'), ('c', 'd'), ('a', 'c'), ('b', 'd')]
    """
    times = dict.fromkeys(members[: 2 * most], 0)
    left = {pair: number for number, pair in enumerate(combinations(times, 2))}
    chosen: list[tuple[str, str]] = []
    while left and len(chosen) < most:
        pair = min(left, key=lambda two: (times[two[0]] + times[two[1]], max(times[two[0]], times[two[1]]), left[two]))
        del left[pair]
        chosen.append(pair)
        times[pair[0]] += 1
        times[pair[1]] += 1
    return chosen


def unloadable(lake: Lake, chosen: Chosen, ids: Sequence[str]) -> dict[str, str]:
    """For each model whose weights or data are not to be had the reason.

    Raises:
        UsageError: Of an architecture that the caller gave, no model has the tensors.
    """
    if isinstance(chosen.origin, Unknown):
        return {model_id: chosen.origin.reasons[model_id] for model_id in ids}
    try:
        module, _ = built(lake, chosen.origin)
    except (UsageError, DataError) as error:
        return dict.fromkeys(ids, str(error))
    if isinstance(chosen.origin, Stitch):
        return {}
    try:
        _check(module, load_population(lake, "SELECT unnest($ids) AS model_id", ids=list(ids)).tensors, chosen)
    except (UsageError, DataError):
        reasons = {model_id: reason for model_id in ids if (reason := _reason(lake, module, chosen, model_id))}
        if isinstance(chosen.origin, Given) and reasons.keys() == set(chosen.ids):
            raise UsageError(f"{next(iter(reasons.values()))}; give the architecture that it was saved from") from None
        return reasons
    return {}


def _reason(lake: Lake, module: nn.Module, chosen: Chosen, model_id: str) -> str | None:
    try:
        weights = load_weights(lake, model_id)
    except (UsageError, DataError) as error:
        return str(error)
    try:
        _check(module, {name: tensor[None] for name, tensor in weights.items()}, chosen)
    except DataError as error:
        return f"{model_id}: {error}"
    return None


def _check(module: nn.Module, weights: Mapping[str, torch.Tensor], chosen: Chosen) -> None:
    """Hold stacked weights against the shapes of an architecture."""
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    here = {name: tuple(tensor.shape[1:]) for name, tensor in weights.items()}
    for name in sorted(wanted.keys() ^ here.keys()):
        where = "the architecture has no" if name in here else "there is no"
        raise DataError(f"its tensors are not those of {chosen.label}: {where} {name}")
    for name, shape in wanted.items():
        if here[name] != shape:
            raise DataError(f"its tensors are not those of {chosen.label}: {name} is {here[name]}, expected {shape}")


def built(lake: Lake, origin: Origin) -> tuple[nn.Module, Dataset]:
    """The network of models that are built alike, and their data.

    Raises:
        UsageError: The data are not on this machine, or nobody knows how the models are built.
        DataError: Something is damaged.
    """
    if isinstance(origin, Unknown):
        raise UsageError(origin.label)
    if isinstance(origin, Given):
        return origin.module, origin.data
    if isinstance(origin, Stitch):
        return origin.network(lake), load_dataset(origin.dataset, origin.split_seed)
    return origin.skeleton(), load_dataset(origin.dataset, origin.split_seed)


def loaded(
    lake: Lake, chosen: Chosen, ids: Sequence[str], seed: int, device: str = "cpu", epoch: int | None = None
) -> Group:
    """Load weights and data of some models of a group to a device; `unloadable` has said of which that can be done.

    `epoch` names other checkpoints than the final ones.
    """
    module, data = built(lake, chosen.origin)
    curves: dict[str, list[float]] = {}
    for model_id, value in lake.sql(CURVES, ids=list(ids)).iter_rows():
        curves.setdefault(model_id, []).append(value)
    if isinstance(chosen.origin, Stitch):
        weights: Weights = {name: tensor[None] for name, tensor in module.state_dict().items()}
    else:
        query = "SELECT unnest($ids) AS model_id, $epoch::INTEGER AS epoch"
        weights = load_population(lake, query, ids=list(ids), epoch=epoch).tensors
        weights = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    group = Group(list(ids), module, weights, data, seed, curves=curves, given=isinstance(chosen.origin, Given))
    group.seeds, group.coefficients = (
        dict(lake.sql(query, ids=list(ids)).iter_rows()) for query in (SEEDS, COEFFICIENTS)
    )
    group.trained_on = {name: chosen.trained_on[name] for name in ids if name in chosen.trained_on}
    return group.to(device)
