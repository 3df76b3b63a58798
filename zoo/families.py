"""Finds models that must not be told apart by a split: of one parent, of one initial state, ingredients of one soup."""

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256

import networkx  # type: ignore[import-untyped]
import polars as pl

from schemas import Lake, UsageError
from zoo.mistakes import expected_one_of

SPLITS = {"train": 0.7, "validation": 0.15, "test": 0.15}
ANCESTORS = "relation <> 'initialised-from'"
TOGETHER = {"run": "false", "parent": ANCESTORS, "start": "true", "cell": ANCESTORS}
"""What ties models together, and which rows of lineage say so."""
CELLS = """
SELECT model_id, * EXCLUDE (model_id, seed, init_seed, state, diverged_epoch, backend, backend_reason, group_name,
    failed_epoch, reason)
FROM member WHERE model_id IN (SELECT unnest($ids))
"""
"""What members of one cell of a population's grid have in common: all but seeds, and what became of them."""
GENERATIONS = 100
KIN = ("model_id", "family", "parents")
"""Columns of published models that say who descends from whom."""

EDGES = """
SELECT child_id, parent_id FROM lineage WHERE child_id IN (SELECT unnest($ids)) AND {condition}
"""


def families(lake: Lake, model_ids: Sequence[str], together: str = "start") -> dict[str, str]:
    """Give each model the name of its family: the first of its models.

    Args:
        lake: Where their lineage is known.
        model_ids: The models.
        together: What keeps models together: `run` nothing but being one model, `parent` a common ancestor among
            models (fine-tunes, soups and their ingredients), `start` that, or equal initial weights, `cell` a common
            ancestor, or one cell of a population's grid: all that a recipe varies but seeds.

    Raises:
        UsageError: There is no such way to keep models together.
    """
    if together not in TOGETHER:
        raise UsageError(f"together = {together!r}: {expected_one_of(together, TOGETHER)}")
    graph = networkx.Graph()
    graph.add_nodes_from(model_ids)
    graph.add_edges_from(_edges(lake, model_ids, TOGETHER[together]))
    if together == "cell":
        cells = lake.sql(CELLS, ids=list(model_ids)).rows()
        graph.add_edges_from((model_id, ("cell", *cell)) for model_id, *cell in cells)
    return _named(graph, model_ids)


def families_of_rows(rows: pl.DataFrame, model_ids: Sequence[str]) -> dict[str, str]:
    """Give each model the name of its family by a common ancestor, as `families` does, from published rows.

    `parents` leads up to ancestors that were published, too. Beyond one that was not only `family` knows more,
    so that a family in which that happens stays together as a whole.

    Args:
        rows: model_id, family and parents of these models and of all that were published with them.
        model_ids: The models.

    Raises:
        UsageError: The rows lack one of these columns.
    """
    if missing := [name for name in KIN if name not in rows.columns]:
        raise UsageError(
            f"the rows have no column {missing[0]}, so that nobody knows which models descend from one another and a "
            "split could leak; load the population from a lake or from a published dataset that has it"
        )
    known = {model_id: (family, parents or ()) for model_id, family, parents in rows.select(KIN).iter_rows()}
    open_ended = {family for family, parents in known.values() if not known.keys() >= set(parents)}
    graph = networkx.Graph()
    graph.add_nodes_from(model_ids)
    asked, met = list(model_ids), set(model_ids)
    while asked:
        child = asked.pop()
        family, parents = known.get(child, (None, ()))
        graph.add_edges_from((child, parent) for parent in parents)
        if family in open_ended:
            graph.add_edge(child, ("family", family))
        asked += [parent for parent in parents if parent not in met]
        met |= set(parents)
    return _named(graph, model_ids)


def _named(graph: networkx.Graph, model_ids: Sequence[str]) -> dict[str, str]:
    """Each model's family by what hangs together, called after the first of its models."""
    wanted = set(model_ids)
    parts = [sorted(wanted & part) for part in networkx.connected_components(graph)]
    return {model_id: part[0] for part in parts for model_id in part}


def _edges(lake: Lake, model_ids: Sequence[str], condition: str) -> list[tuple[str, str]]:
    """Every step of lineage upwards from these models, their ancestors' too."""
    edges: list[tuple[str, str]] = []
    known, asked = set(model_ids), list(model_ids)
    for _ in range(GENERATIONS):
        if not asked:
            break
        found = lake.sql(EDGES.format(condition=condition), ids=asked)
        edges += found.rows()
        asked = sorted(set(found["parent_id"]) - known)
        known |= set(asked)
    return edges


def assign_splits(family_of: Mapping[str, str], seed: int = 0) -> dict[str, str]:
    """Give each model `train`, `validation` or `test`, families whole, near 70, 15 and 15 % of the models.

    Of two families one is for training and one for test; a family alone is for training.

    Args:
        family_of: A family for each model.
        seed: Which family goes where hangs on it.
    """
    sizes = Counter(family_of.values())
    shuffled = sorted(sizes, key=lambda family: sha256(f"{seed} {family}".encode()).digest())
    held_out = ["test", "validation"][: max(0, len(sizes) - 1)]
    smallest = sorted(shuffled, key=lambda family: sizes[family])
    split_of = dict(zip(smallest, held_out, strict=False))
    filled = Counter({split: sizes[family] for family, split in split_of.items()})
    for family in shuffled:
        if family not in split_of:
            allowed = [split for split in SPLITS if split == "train" or split in held_out]
            split = max(allowed, key=lambda split: SPLITS[split] * len(family_of) - filled[split])
            split_of[family] = split
            filled[split] += sizes[family]
    return {model_id: split_of[family] for model_id, family in family_of.items()}


def split_table(lake: Lake, model_ids: Sequence[str], together: str, seed: int) -> pl.DataFrame:
    """A row a model: model_id, family, split."""
    family_of = families(lake, model_ids, together)
    split_of = assign_splits(family_of, seed)
    columns = {"model_id": list(family_of), "family": list(family_of.values()), "split": list(split_of.values())}
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
