"""Families: what a split may not part, and splits that part nothing."""

from collections import Counter

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import Lake, UsageError
from zoo.families import SPLITS, assign_splits, families

EDGES = [
    ("a1", "init:a", "initialised-from"),
    ("a2", "init:a", "initialised-from"),
    ("a3", "a1", "finetune"),
    ("b1", "init:b", "initialised-from"),
    ("b2", "init:c", "initialised-from"),
    ("soup", "b1", "soup"),
    ("soup", "b2", "soup"),
    ("x1", "elsewhere", "finetune"),
    ("x2", "elsewhere-too", "finetune"),
    ("elsewhere", "root", "finetune"),
    ("elsewhere-too", "root", "finetune"),
]
MODELS = ["a1", "a2", "a3", "b1", "b2", "soup", "x1", "x2", "lone"]


@pytest.mark.parametrize(
    ("together", "expected"),
    [
        ("run", [{model} for model in MODELS]),
        ("parent", [{"a1", "a3"}, {"a2"}, {"b1", "b2", "soup"}, {"x1", "x2"}, {"lone"}]),
        ("start", [{"a1", "a2", "a3"}, {"b1", "b2", "soup"}, {"x1", "x2"}, {"lone"}]),
        ("cell", [{"a1", "a2", "a3"}, {"b1", "b2", "soup", "lone"}, {"x1", "x2"}]),
    ],
)
def test_families_are_those_of_one_ancestor(lake: Lake, together: str, expected: list[set[str]]) -> None:
    with lake.write() as transaction:
        rows = [dict(zip(("child_id", "parent_id", "relation"), edge, strict=True)) for edge in EDGES]
        transaction.append("lineage", pl.DataFrame(rows))
        cells = [("a1", 8, 0), ("a2", 8, 1), ("b1", 16, 0), ("lone", 16, 1), ("x1", 32, 0)]
        members = pl.DataFrame(cells, schema=["model_id", "width", "seed"], orient="row")
        transaction.append("member", members.with_columns(population_id=pl.lit("grid"), group_name="model_id"))
    found = families(lake, MODELS, together)
    parts = {name: {model for model in MODELS if found[model] == name} for name in found.values()}
    assert sorted(map(sorted, parts.values())) == sorted(map(sorted, expected))
    assert all(name == min(part) for name, part in parts.items())


def test_a_way_that_does_not_exist_is_refused(lake: Lake) -> None:
    with pytest.raises(UsageError, match=r"together = 'parents': .*did you mean 'parent'"):
        families(lake, ["a"], "parents")


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(0, 3))
def test_splits_are_whole_families_near_their_shares(sizes: list[int], seed: int) -> None:
    family_of = {f"{family}-{i}": f"family {family}" for family, size in enumerate(sizes) for i in range(size)}
    split_of = assign_splits(family_of, seed)
    assert split_of == assign_splits(dict(reversed(family_of.items())), seed)
    assert len({(family_of[model], split) for model, split in split_of.items()}) == len(sizes)
    filled = Counter(split_of.values())
    assert set(filled) == set(list(SPLITS)[:: 2 if len(sizes) == 2 else 1][: len(sizes)])
    for split in filled:
        assert filled[split] <= SPLITS[split] * len(family_of) + max(sizes)


def test_the_seed_decides_which_families_are_held_out() -> None:
    family_of = {str(number): str(number) for number in range(40)}
    assert len({tuple(assign_splits(family_of, seed).items()) for seed in range(5)}) == 5
