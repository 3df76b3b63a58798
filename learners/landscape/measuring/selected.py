"""What is to be measured: the selected models in groups of one shape and dataset, and the pairs among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from learners.landscape.measuring.group import Group
from schemas import Lake, UsageError
from zoo.datasets import load_dataset
from zoo.describe import Description, describe_all
from zoo.load import load_population
from zoo.locate import selection

MOST_PAIRS = 10
"""Pairs of a cell that are measured."""

CELLS = """
SELECT model_id, to_json(struct_pack(population_id, width, batch_size, learning_rate, weight_decay, label_noise, epochs,
    depth, activation, dropout, initialisation, optimizer, data_fraction, convection)) AS cell
FROM member WHERE model_id IN (SELECT unnest($ids))
"""


@dataclass(frozen=True)
class Chosen:
    """Models that are built alike and share their data."""

    ids: list[str]
    description: Description
    pairs: list[tuple[str, str]]
    """Members of one cell, which differ in their seeds alone; of models that are in no population all of the group."""


def choose(lake: Lake, sql: str, description: Description | None = None) -> list[Chosen]:
    """Group the models that a query selects.

    Args:
        lake: Where they are.
        sql: A query that returns `model_id`.
        description: How they are built and what they were trained on, where the lake does not know.

    Raises:
        UsageError: The query selects nothing, checkpoints, or a model of which nobody knows how it is built.
    """
    rows = selection(lake, sql, {})
    if "epoch" in rows.columns and rows["epoch"].is_not_null().any():
        raise UsageError("the query returns an epoch, and final weights are what is measured; leave it out")
    ids = list(dict.fromkeys(rows["model_id"].to_list()))
    descriptions = [description] * len(ids) if description else describe_all(lake, ids)
    cells = dict(lake.sql(CELLS, ids=ids).iter_rows())
    groups: dict[Description, list[str]] = {}
    for model_id, described in zip(ids, descriptions, strict=True):
        groups.setdefault(described.model_copy(update={"init": None}), []).append(model_id)
    return [Chosen(members, described, _pairs(members, cells)) for described, members in groups.items()]


def _pairs(members: Sequence[str], cells: dict[str, str]) -> list[tuple[str, str]]:
    by_cell: dict[str, list[str]] = {}
    for model_id in members:
        by_cell.setdefault(cells.get(model_id, ""), []).append(model_id)
    return [pair for cell in by_cell.values() for pair in list(combinations(sorted(cell), 2))[:MOST_PAIRS]]


def loaded(lake: Lake, chosen: Chosen, ids: Sequence[str], seed: int) -> Group:
    """Load weights and data of some models of a group.

    Raises:
        UsageError: The weights or the dataset are not on this machine.
        DataError: They are damaged.
    """
    described = chosen.description
    population = load_population(lake, "SELECT unnest($ids) AS model_id", ids=list(ids))
    dataset = load_dataset(described.dataset, described.split_seed)
    return Group(list(ids), described.skeleton(), population.tensors, dataset, seed)
