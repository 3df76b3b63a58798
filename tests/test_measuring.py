"""Measuring a lake's models and giving a population its phases: rows, reasons, and nothing twice."""

import json
from pathlib import Path

import polars as pl
import pytest
from torch.nn.functional import cross_entropy

from learners import measure, phase_grid, phases_of_population
from learners.landscape.measuring.metrics import METRICS, PHASE_METRICS
from schemas import Lake, UsageError
from zoo.datasets import load_dataset
from zoo.describe import describe
from zoo.load import load_module

ALL = "SELECT model_id FROM member ORDER BY ALL"


def population_of(lake: Lake) -> str:
    return str(lake.sql("SELECT population_id FROM population").item())


def test_every_metric_becomes_rows_and_is_not_measured_twice(copied: Lake) -> None:
    done = measure(copied, ALL, list(METRICS))
    dead = done.filter(pl.col("without_value") > 0)["metric"]
    assert set(dead) <= {"cka", "biased_cka"}, done  # of networks without a living unit
    reasons = copied.sql("SELECT DISTINCT reason FROM pair_measurement WHERE value IS NULL")["reason"].to_list()
    assert all("the same for all samples" in reason for reason in reasons)
    members, pairs = copied.sql("SELECT count(*) FROM member").item(), 4
    wanted = [pairs if METRICS[name].pair else members for name in done["metric"]]
    assert (done["measured"] + done["without_value"]).to_list() == wanted
    again = measure(copied, ALL, list(METRICS))
    assert again["known"].to_list() == wanted
    assert again["measured"].to_list() == [0] * again.height
    rows = copied.sql("SELECT * FROM measurement WHERE metric = 'hessian_trace'")
    assert rows.null_count().select("value", "standard_error", "samples", "probes", "seed").sum_horizontal().item() == 0
    assert set(json.loads(rows["settings"][0])) >= {"trace_tolerance", "probes", "steps"}
    other = measure(copied, ALL, ["hessian_trace", "loss"], seed=1)
    assert dict(other.select("metric", "measured").rows()) == {"hessian_trace": members, "loss": 0}


def test_what_is_measured_is_what_plain_torch_gives(copied: Lake) -> None:
    measure(copied, ALL, ["loss", "error"])
    model_id = str(copied.sql(ALL)["model_id"][3])
    described, module = describe(copied, model_id), load_module(copied, model_id)
    train = load_dataset(described.dataset, described.split_seed).train
    logits = module(train.x).detach()
    values = dict(copied.sql("SELECT metric, value FROM measurement WHERE model_id = $m", m=model_id).iter_rows())
    assert values["loss"] == pytest.approx(float(cross_entropy(logits, train.y)), rel=1e-5)
    assert values["error"] == pytest.approx(100 * float((logits.argmax(dim=1) != train.y).double().mean()))


def test_pairs_differ_in_their_seeds_alone(copied: Lake) -> None:
    measure(copied, ALL, ["l2_distance"])
    query = """
        SELECT a.width = b.width AND a.batch_size = b.batch_size AND a.seed <> b.seed AS alike
        FROM pair_measurement JOIN member a ON a.model_id = first_id JOIN member b ON b.model_id = second_id
    """
    assert copied.sql(query)["alike"].to_list() == [True] * 4


def test_what_cannot_be_had_is_a_row_with_the_reason(copied: Lake) -> None:
    with copied.write() as transaction:
        transaction.sql("UPDATE checkpoint SET shard = 'gone.safetensors' WHERE model_id LIKE '%w3-b4-s0'")
    done = measure(copied, "SELECT model_id FROM member WHERE model_id LIKE '%w3-b4-s0'", ["loss", "hessian_trace"])
    assert done["without_value"].to_list() == [1, 1]
    rows = copied.sql("SELECT value, reason FROM measurement WHERE metric = 'loss'").rows()
    assert [value for value, _ in rows] == [None]
    assert "gone.safetensors" in rows[0][1]


@pytest.mark.parametrize(
    ("sql", "metrics", "says"),
    [
        (ALL, ["hesian_trace"], "did you mean 'hessian_trace'"),
        ("SELECT model_id, 1 AS epoch FROM member", ["loss"], "leave it out"),
        ("SELECT 1 AS x", ["loss"], "model_id"),
        ("SELECT 'local:a/b' AS model_id", ["loss"], "nobody here knows how"),
    ],
)
def test_mistakes_in_measuring_are_said(copied: Lake, sql: str, metrics: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        measure(copied, sql, metrics)
    assert copied.sql("SELECT count(*) FROM measurement").item() == 0


def test_a_population_gets_phases_a_grid_and_a_diagram(copied: Lake, tmp_path: Path) -> None:
    found = phases_of_population(copied, "tiny")
    assert found.population_id == population_of(copied)
    assert set(found.table["members"]) == {2}
    grid = phase_grid(found)
    assert (grid.height, grid.columns) == (2, ["width / batch_size", "4", "8"])
    rows = copied.sql("SELECT * FROM phases ORDER BY load, temperature")
    assert rows.height == 4
    assert rows["phase"].to_list() == found.table.sort("width", "batch_size")["phase"].to_list()
    assert rows.null_count().select("train_loss", "mode_connectivity", "test_accuracy").sum_horizontal().item() == 0
    wanted = copied.sql("SELECT avg(test_accuracy) FROM models WHERE width = 3 AND batch_size = 4").item()
    assert rows["test_accuracy"][0] == pytest.approx(wanted)
    phases_of_population(copied, found.population_id)
    assert copied.sql("SELECT count(*) FROM cell_phase").item() == 4
    assert copied.sql("SELECT rule, version FROM phase_rule").rows() == [("taxonomy", 1)]
    phases_of_population(copied, "tiny", "model-diagnosis")
    assert copied.sql("SELECT count(*) FROM phases").item() == 8
    assert found.draw(tmp_path / "phases.svg").stat().st_size > 1000
    counts = measure(copied, ALL, list(PHASE_METRICS))
    assert counts["measured"].to_list() == [0] * counts.height


def test_mistakes_in_phases_are_said(copied: Lake) -> None:
    with pytest.raises(UsageError, match="did you mean"):
        phases_of_population(copied, population_of(copied)[:-1])
    with copied.write() as transaction:
        transaction.sql("UPDATE member SET batch_size = 4")
    with pytest.raises(UsageError, match="varies no temperature"):
        phases_of_population(copied, "tiny")
