"""Lineage: macros and views against networkx, the graph of a family and of everything, the command."""

import json
from pathlib import Path

import networkx as nx  # type: ignore[import-untyped]  # its types are a package of their own
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learners import family_table, lineage_graph
from schemas import Lake, UsageError, open_lake
from tests.test_command_line import Run, run

__all__ = ["run"]
Edges = list[tuple[int, int]]

EDGES = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=30, unique=True)


@pytest.fixture(scope="module")
def refilled(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake that each example fills anew."""
    return open_lake(tmp_path_factory.mktemp("lineage") / "lake")


def named(number: int) -> str:
    return f"huggingface:a/{number:02d}"


def fill(lake: Lake, edges: Edges, known: int = 12) -> nx.DiGraph:
    """Write lineage from (parent, child) and models 0 to `known`; give the same as a graph made by hand."""
    rows = [{"parent_id": named(parent), "child_id": named(child)} for parent, child in edges]
    schema = {"parent_id": pl.String(), "child_id": pl.String()}
    said = pl.DataFrame(rows, schema=schema).with_columns(
        relation=pl.lit("finetune"), source=pl.lit("tags"), confidence=1.0
    )
    models = pl.DataFrame({"model_id": [named(number) for number in range(known)], "hub": "huggingface"})
    with lake.write() as transaction:
        transaction.sql("DELETE FROM lineage")
        transaction.sql("DELETE FROM model")
        transaction.append("lineage", said)
        transaction.append("model", models)
    graph = nx.DiGraph([(named(parent), named(child)) for parent, child in edges])
    graph.add_nodes_from(models["model_id"])
    return graph


def pairs(lake: Lake, query: str, **parameters: object) -> dict[str, int]:
    return dict(lake.sql(query, **parameters).iter_rows())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edges=EDGES, start=st.integers(0, 11))
def test_sql_and_graph_agree_with_networkx_whatever_the_cycles(refilled: Lake, edges: Edges, start: int) -> None:
    graph = fill(refilled, edges)
    name = named(start)
    down = nx.single_source_shortest_path_length(graph, name)
    up = nx.single_source_shortest_path_length(graph.reverse(), name)
    down.pop(name)
    up.pop(name)
    assert pairs(refilled, "FROM descendants($name)", name=name) == down
    assert pairs(refilled, "FROM ancestors($name)", name=name) == up
    near = {other: depth for other, depth in down.items() if depth <= 2}
    assert pairs(refilled, "FROM descendants($name, levels := 2)", name=name) == near
    assert pairs(refilled, "SELECT ancestor_id, depth FROM lineage_tree WHERE model_id = $name", name=name) == up
    family = lineage_graph(refilled, name)
    assert set(family) == {name, *down, *up}
    assert set(family.edges) == set(graph.subgraph(family).edges)
    assert all(abs(depth) == min(up.get(n, 99), down.get(n, 99)) for n, depth in family.nodes("depth") if n != name)
    whole = lineage_graph(refilled)
    assert nx.utils.graphs_equal(nx.DiGraph(whole.edges), nx.DiGraph(graph.edges))
    assert set(whole) == set(graph)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edges=EDGES)
def test_what_cannot_be_right_is_kept_and_flagged(refilled: Lake, edges: Edges) -> None:
    graph = fill(refilled, edges, known=8)
    circles = [part for part in nx.strongly_connected_components(graph) if len(part) > 1]
    on_cycle = {(p, c) for p, c in graph.edges if p != c and any(p in part and c in part for part in circles)}
    expected = {
        "cycle": on_cycle,
        "self-parent": {(p, c) for p, c in graph.edges if p == c},
        "parent unknown": {(p, c) for p, c in graph.edges if int(p[-2:]) >= 8},
    }
    found = refilled.sql("SELECT problem, parent_id, child_id FROM lineage_problems").rows()
    assert sorted(found) == sorted((problem, *edge) for problem, these in expected.items() for edge in these)
    whole = lineage_graph(refilled)
    flagged = {(p, c): problem for p, c, problem in whole.edges(data="problem") if problem}
    assert flagged == dict.fromkeys(on_cycle, "cycle") | dict.fromkeys(expected["self-parent"], "self-parent")
    assert {name for name, known in whole.nodes("known") if not known} == {n for n in graph if int(n[-2:]) >= 8}


def test_a_family_has_what_the_tables_know(lake: Lake) -> None:
    fill(lake, [(0, 1), (1, 2), (1, 3), (20, 1)], known=4)
    with lake.write() as transaction:
        transaction.sql("UPDATE model SET downloads = 7, license = 'mit' WHERE model_id = 'huggingface:a/02'")
        transaction.sql("INSERT INTO lineage VALUES ('huggingface:a/02', 'huggingface:a/01', 'merge', 'card', 0.5)")
    family = lineage_graph(lake, named(1))
    assert dict(family.nodes("depth")) == {named(0): -1, named(20): -1, named(1): 0, named(2): 1, named(3): 1}
    assert family.nodes[named(2)] == {"depth": 1, "known": True, "hub": "huggingface", "downloads": 7, "license": "mit"}
    assert family.nodes[named(20)] == {"depth": -1, "known": False}
    both = {"relation": "finetune, merge", "source": "card, tags", "confidence": 1.0}
    assert family.edges[named(1), named(2)] == both
    assert set(lineage_graph(lake, named(0), down=1)) == {named(0), named(1)}
    assert set(lineage_graph(lake, named(3), up=0)) == {named(3)}
    assert lineage_graph(lake, named(2), up=0, attributes=["likes"]).nodes[named(2)] == {"depth": 0, "known": True}
    table = family_table(family)
    assert table["model_id"].to_list() == [named(0), named(20), named(1), named(2), named(3)]
    assert table.row(by_predicate=pl.col("model_id") == named(1), named=True)["parents"] == f"{named(0)}, {named(20)}"


def test_a_parent_that_the_lake_does_not_know_has_a_family_too(lake: Lake) -> None:
    fill(lake, [(20, 1), (1, 2)])
    assert set(lineage_graph(lake, named(20))) == {named(20), named(1), named(2)}
    assert dict(lake.sql("SELECT root_id, descendants FROM families").iter_rows()) == {named(20): 2}


def test_a_chain_is_followed_to_its_end(lake: Lake) -> None:
    fill(lake, [(number, number + 1) for number in range(60)], known=61)
    assert pairs(lake, "FROM descendants($name)", name=named(0)) == {named(n): n for n in range(1, 61)}
    assert lineage_graph(lake, named(60)).nodes[named(0)]["depth"] == -60


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"model_id": "a/77"}, "there is no model 'a/77'"),
        ({"model_id": named(1), "up": -1}, "steps is -1"),
        ({"model_id": named(1), "attributes": ["likez"]}, "no column 'likez'; choose from model_id"),
    ],
)
def test_a_mistake_is_said(lake: Lake, arguments: dict[str, object], says: str) -> None:
    fill(lake, [(0, 1)])
    with pytest.raises(UsageError, match=says):
        lineage_graph(lake, **arguments)  # type: ignore[arg-type]


def test_a_name_without_its_hub_is_that_of_the_hub_or_of_the_only_one(lake: Lake) -> None:
    fill(lake, [(0, 1), (40, 2)])
    other = pl.DataFrame({"model_id": ["timm:a/01", "timm:alone", "onnx:two", "timm:two"]})
    with lake.write() as transaction:
        transaction.append("model", other)
    assert set(lineage_graph(lake, "a/01")) == {named(0), named(1)}
    assert set(lineage_graph(lake, "a/40")) == {named(40), named(2)}
    assert set(lineage_graph(lake, "alone")) == {"timm:alone"}
    with pytest.raises(UsageError, match="'two' is the name of several models, say which: onnx:two, timm:two"):
        lineage_graph(lake, "two")


def test_one_family_reads_no_table_from_end_to_end(lake: Lake) -> None:
    """At two million models that would take a tenth of a second a step."""
    count = 20_000
    fill(lake, [(number // 3, number) for number in range(1, count)], known=count)
    for query in ("FROM ancestors('huggingface:a/700')", "FROM descendants('huggingface:a/700')"):
        plan = lake.sql(f"EXPLAIN ANALYZE {query}")["explain_value"][0]
        assert "Index Scan" in plan
        assert "Sequential Scan" not in plan


def test_the_command_shows_and_draws(run: Run, lake: Lake, tmp_path: Path) -> None:
    fill(lake, [(0, 1), (1, 2)])
    shown = json.loads(run("lineage", named(1), "--lake", lake.path, "--json").out)
    assert [(row["depth"], row["model_id"]) for row in shown] == [(-1, named(0)), (0, named(1)), (1, named(2))]
    drawn = json.loads(run("lineage", named(1), "--lake", lake.path, "--to", "family.svg", "--json").out)
    assert drawn == [{"models": 3, "drawing": "family.svg"}]
    assert (tmp_path / "family.svg").read_text(encoding="utf-8").startswith("<svg")
    wrong = run("lineage", named(1), "--lake", lake.path, "--to", "family.png")
    assert (wrong.code, ".svg or .html" in wrong.err) == (2, True)
    assert "there is no model" in run("lineage", "gpt2", "--lake", lake.path).err


def test_a_place_that_cannot_be_written_is_said_before_the_work(run: Run, lake: Lake, tmp_path: Path) -> None:
    """The model is one that the lake has not, and nobody looks for it."""
    (tmp_path / "file").touch()
    (tmp_path / "family.svg").mkdir()
    refused = run("lineage", "gpt2", "--lake", lake.path, "--to", tmp_path / "file" / "x.svg")
    assert (refused.code, f"cannot write to {tmp_path / 'file'}" in refused.err) == (1, True)
    refused = run("lineage", "gpt2", "--lake", lake.path, "--to", tmp_path / "family.svg")
    assert (refused.code, "is a folder; name a file" in refused.err) == (2, True)
    refused = run("report", "--lake", lake.path, "--population", "none", "--to", tmp_path / "file" / "x.html")
    assert (refused.code, f"cannot write to {tmp_path / 'file'}" in refused.err) == (1, True)
