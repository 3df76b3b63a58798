"""The view `mergeable` beside the same groups found the slow way, by walking the lineage of every model."""

import random
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby

import polars as pl
import pytest

from learners.soups.check.facts import gather_facts
from learners.soups.check.problems import common_start
from schemas import Lake

Edges = list[tuple[str, str]]


def filled(lake: Lake, fingerprints: Mapping[str, str | None], edges: Edges, deleted: Collection[str] = ()) -> None:
    models = sorted(fingerprints)
    weights = {"model_id": models, "fingerprint": [fingerprints[name] for name in models]}
    with lake.write() as transaction:
        gone = pl.Series([1 if name in deleted else None for name in models]).cast(pl.Datetime("us", "UTC"))
        transaction.append("model", pl.DataFrame({"model_id": models, "deleted_at": gone}))
        frame = pl.DataFrame(weights, schema_overrides={"fingerprint": pl.String})
        transaction.append("weights", frame.with_columns(main=True, format=pl.lit("safetensors")))
        if edges:
            transaction.append("lineage", pl.DataFrame(edges, schema=["child_id", "parent_id"], orient="row"))


def related(lake: Lake, edges: Sequence[tuple[str, str, str]]) -> None:
    with lake.write() as transaction:
        transaction.append("lineage", pl.DataFrame(edges, schema=["child_id", "parent_id", "relation"], orient="row"))


def groups(lake: Lake) -> dict[tuple[str, str], list[str]]:
    rows = lake.sql("SELECT ancestor_id, fingerprint, model_id, models FROM mergeable ORDER BY ALL").rows()
    found = {key: [row[2] for row in group] for key, group in groupby(rows, key=lambda row: (row[0], row[1]))}
    assert all(row[3] == len(found[row[0], row[1]]) for row in rows)
    return found


def test_siblings_with_equal_tensors_are_a_group_and_others_are_not(lake: Lake) -> None:
    prints = {"root": "x", "a": "x", "b": "x", "grandchild": "x", "bigger": "y", "stranger": "x", "unread": None}
    edges = [
        ("a", "root"),
        ("b", "root"),
        ("grandchild", "b"),
        ("bigger", "root"),
        ("unread", "root"),
        ("root", "root"),
    ]
    filled(lake, prints, edges)
    assert groups(lake) == {("root", "x"): ["a", "b", "grandchild", "root"]}


def test_an_ancestor_need_not_be_in_the_lake_and_deleted_models_are_left_out(lake: Lake) -> None:
    filled(lake, {"a": "x", "b": "x", "c": "x"}, [("a", "gone"), ("b", "gone"), ("c", "gone")], {"c"})
    assert groups(lake) == {("gone", "x"): ["a", "b"]}


def test_a_merge_is_in_the_groups_of_both_its_families(lake: Lake) -> None:
    prints = dict.fromkeys(["a", "b", "merge", "other"], "x")
    filled(lake, prints, [("merge", "a"), ("merge", "b"), ("other", "b")])
    assert groups(lake) == {("a", "x"): ["a", "merge"], ("b", "x"): ["b", "merge", "other"]}


@pytest.mark.parametrize("relation", ["aligned", "permuted"])
def test_a_twin_with_its_units_in_another_order_is_in_no_group_of_its_originals(lake: Lake, relation: str) -> None:
    filled(lake, dict.fromkeys(["root", "a", "twin", "reference", "below", "beside"], "x"), [])
    edges = [("twin", "a", relation), ("twin", "reference", relation)]
    tuned = [("a", "root"), ("below", "twin"), ("beside", "twin")]
    related(lake, [*edges, *((child, parent, "finetune") for child, parent in tuned)])
    assert groups(lake) == {("root", "x"): ["a", "root"], ("twin", "x"): ["below", "beside", "twin"]}


def test_groups_are_of_models_that_lineage_gives_a_common_start(lake: Lake) -> None:
    relations = ["finetune", "base", "initialised-from", "stitch", "aligned", "permuted", "quantized", "adapter"]
    filled(lake, dict.fromkeys(["root", *relations], "x"), [])
    related(lake, [(relation, "root", relation) for relation in relations])
    root, *children = gather_facts(lake, ["root", *relations], [None] * (1 + len(relations)))
    expected = ["root", *(each.model_id for each in children if common_start(root, each) is not None)]
    assert groups(lake) == {("root", "x"): sorted(expected)}
    assert set(relations) - set(expected) == {"aligned", "permuted"}


def test_circles_end_and_stand_under_one_name(lake: Lake) -> None:
    prints = dict.fromkeys(["a", "b", "c", "below", "beside", "root"], "x")
    edges = [("a", "b"), ("b", "c"), ("c", "a"), ("below", "b"), ("beside", "below"), ("beside", "root")]
    filled(lake, prints, edges)
    assert groups(lake) == {("a", "x"): ["a", "b", "below", "beside", "c"], ("root", "x"): ["beside", "root"]}


def test_a_long_chain_is_one_group(lake: Lake) -> None:
    names = [f"m{place:04d}" for place in range(500)]
    filled(lake, dict.fromkeys(names, "x"), list(zip(names[1:], names, strict=False)))
    assert groups(lake) == {("m0000", "x"): names}


@pytest.mark.parametrize("seed", range(5))
def test_two_models_share_a_group_exactly_if_they_share_an_ancestor(lake: Lake, seed: int) -> None:
    source = random.Random(seed)
    names = [f"m{place:02d}" for place in range(40)]
    edges = [(source.choice(names), source.choice(names)) for _ in range(35)]
    prints = {name: source.choice("xyz") for name in names}
    filled(lake, prints, edges)

    def ancestors(name: str) -> set[str]:
        found = {name}
        while more := {parent for child, parent in edges if child in found} - found:
            found |= more
        return found

    above = {name: ancestors(name) for name in names}
    expected = {(a, b) for a in names for b in names if a < b and prints[a] == prints[b] and above[a] & above[b]}
    paired = {(a, b) for members in groups(lake).values() for a in members for b in members if a < b}
    assert paired == expected
