"""Measuring a lake's models and giving a population its phases: rows, reasons, and nothing twice."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy

from learners import StitchRecipe, measure, phase_grid, phases_of_population, stitch, uniform_soup
from learners.landscape.measuring.measuring import NoPairWarning
from learners.landscape.measuring.metrics import METRICS, PHASE_METRICS
from learners.landscape.measuring.selected import choose
from learners.landscape.phases.measured import measured
from learners.landscape.phases.rule import load_rule
from learners.stitching.repository import rebuild
from learners.stitching.training import StitchTraining
from miners import mine
from schemas import Lake, UsageError, open_lake
from tests.conftest import ROOT
from zoo import from_arrays
from zoo.datasets import load_dataset
from zoo.describe import describe
from zoo.load import load_module, load_weights
from zoo.population import Samples

ALL = "SELECT model_id FROM member ORDER BY ALL"


def population_of(lake: Lake) -> str:
    return str(lake.sql("SELECT population_id FROM population").item())


LIGHT: dict[str, float | int | str] = {
    **{"samples": 40, "epochs": 2, "points": 5, "draws": 3, "probes": 6, "steps": 6, "batch": 20, "count": 2},
    "eigenvalue_tolerance": 100.0,  # six steps know nothing well
}


def test_every_metric_becomes_rows_and_is_not_measured_twice(copied: Lake) -> None:
    done = measure(copied, ALL, list(METRICS), settings=LIGHT)
    without = copied.sql(
        "SELECT metric, reason FROM measurement WHERE value IS NULL UNION ALL "
        "SELECT metric, reason FROM pair_measurement WHERE value IS NULL"
    ).rows()
    assert {name for name, _ in without} <= DEAD, without  # of networks without a living unit
    said = ("the same for all samples", "is not defined", "no temperature is the best")
    assert [reason for _, reason in without if not any(words in reason for words in said)] == []
    members, pairs = copied.sql("SELECT count(*) FROM member").item(), 4
    examples = len(load_dataset(*copied.sql("SELECT dataset, split_seed FROM population").row(0)).train)
    counted = {True: examples, False: members}
    wanted = [pairs if METRICS[name].pair else counted[METRICS[name].examples] for name in done["metric"]]
    assert (done["measured"] + done["without_value"]).to_list() == wanted
    again = measure(copied, ALL, list(METRICS), settings=LIGHT)
    assert again["known"].to_list() == wanted
    assert again["measured"].to_list() == [0] * again.height


def test_what_is_measured_does_not_hang_on_the_order_of_rows(undisturbed: Lake) -> None:
    assert choose(undisturbed, ALL) == choose(undisturbed, f"{ALL} DESC")


DEAD = {"cka", "biased_cka", "layer_cka", "layer_biased_cka", "extreme_ratio", "spectral_density", "negative_share"} | {
    *("nc1", "nc2_norms", "nc2_angles", "nc3", "temperature"),
}


def test_a_row_has_all_that_its_value_depends_on(copied: Lake) -> None:
    measure(copied, ALL, ["hessian_trace", "loss"])
    rows = copied.sql("SELECT * FROM measurement WHERE metric = 'hessian_trace'")
    assert rows.null_count().select("value", "standard_error", "samples", "probes", "seed").sum_horizontal().item() == 0
    assert set(json.loads(rows["settings"][0])) >= {"trace_tolerance", "probes", "steps", "samples"}
    free = copied.sql(
        "SELECT count(*) AS n FROM measurement WHERE metric IN ('hessian_top_eigenvalue', 'error')"
    ).item()
    assert free == 2 * rows.height  # came with the others, and is not computed for them again
    other = measure(copied, ALL, ["hessian_trace", "loss"], seed=1)
    assert dict(other.select("metric", "measured").rows()) == {"hessian_trace": rows.height, "loss": 0}
    finer = measure(copied, ALL, ["hessian_trace"], settings={"trace_tolerance": "0.02"})
    assert finer["measured"].item() == rows.height


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
        WHERE metric = 'l2_distance'
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


def test_profiles_have_a_row_a_place_and_the_seeds_of_the_pair(copied: Lake) -> None:
    measure(copied, ALL, ["mode_connectivity"], settings={"epochs": 2})
    query = """
        SELECT first_id, second_id, metric, settings->>'$.seeds' AS seeds, count(*) AS rows,
            count(standard_error) AS errors, list(value ORDER BY (settings->>'$.place')::DOUBLE) AS along
        FROM pair_measurement GROUP BY ALL ORDER BY ALL
    """
    rows = copied.sql(query)
    assert dict(rows.select("metric", "rows").unique().iter_rows()) == {
        **dict.fromkeys(["curve_error", "curve_loss"], 21),
        **dict.fromkeys(["mode_connectivity", "curve_peak"], 1),
    }
    assert set(rows["seeds"]) == {"[0,1]"}
    assert rows["rows"].to_list() == rows["errors"].to_list()
    means = {(row[0], row[1]): row[6] for row in rows.iter_rows() if row[2] == "curve_error"}
    assert measure(copied, ALL, ["error"])["measured"].item() == 8
    errors = dict(copied.sql("SELECT model_id, value FROM measurement WHERE metric = 'error'").iter_rows())
    assert {first: along[0] for (first, _), along in means.items()} == pytest.approx(
        {first: errors[first] for first, _ in means}
    )


def test_layers_and_places_are_rows_of_their_own(copied: Lake) -> None:
    names = ["layer_hessian_trace", "layer_cka", "spectral_density", "loss_line", "loss_surface", "hessian_eigenvalue"]
    light = {name: value for name, value in LIGHT.items() if name not in ("epochs", "draws")}
    measure(copied, ALL, names, settings=light | {"direction": "hessian"})
    layers = copied.sql("SELECT DISTINCT settings->>'$.layer' AS layer FROM measurement WHERE metric LIKE 'layer%'")
    assert set(layers["layer"]) == {"linear1", "linear2", "linear3"}
    pairs = copied.sql("SELECT DISTINCT settings->>'$.layer' AS layer FROM pair_measurement WHERE metric = 'layer_cka'")
    assert set(pairs["layer"]) == {"linear1", "linear2", "linear3"}
    counts = dict(copied.sql("SELECT metric, count(*) // 8 FROM measurement GROUP BY ALL").iter_rows())
    assert (counts["loss_line"], counts["loss_surface"], counts["spectral_density"]) == (5, 25, 5)
    assert counts["hessian_eigenvalue"] == 2
    middle = """
        SELECT line.value - surface.value AS apart FROM measurement line JOIN measurement surface USING (model_id)
        WHERE line.metric = 'loss_line' AND surface.metric = 'loss_surface' AND line.settings->>'$.x' = '0.0'
        AND surface.settings->>'$.x' = '0.0' AND surface.settings->>'$.y' = '0.0'
    """
    assert copied.sql(middle)["apart"].to_list() == [0.0] * 8


def test_aligned_twins_are_no_distance_apart(copied: Lake) -> None:
    measure(copied, ALL, ["aligned_l2_distance", "l2_distance"])
    query = "PIVOT (SELECT first_id, metric, value FROM pair_measurement) ON metric USING first(value)"
    rows = copied.sql(query)
    assert (rows["aligned_l2_distance"] < rows["l2_distance"] + 1e-9).all()


def test_one_lost_shard_costs_the_others_nothing_and_is_tried_again(copied: Lake) -> None:
    lost = copied.sql("SELECT shard FROM checkpoint WHERE model_id LIKE '%w3-b4-s0' AND final").item()
    with copied.write() as transaction:
        transaction.sql("UPDATE checkpoint SET shard = 'gone.safetensors' WHERE model_id LIKE '%w3-b4-s0' AND final")
    assert measure(copied, ALL, ["loss", "l2_distance"]).rows() == [("loss", 7, 0, 1), ("l2_distance", 3, 0, 1)]
    assert measure(copied, ALL, ["loss"]).rows() == [("loss", 0, 7, 1)]
    assert copied.sql("SELECT count(*) FROM measurement WHERE metric = 'loss' AND value IS NULL").item() == 1
    with copied.write() as transaction:
        transaction.sql("UPDATE checkpoint SET shard = $lost WHERE shard = 'gone.safetensors'", lost=lost)
    assert measure(copied, ALL, ["loss", "l2_distance"]).rows() == [("loss", 1, 7, 0), ("l2_distance", 1, 3, 0)]
    assert copied.sql("SELECT count(*) FROM measurement WHERE value IS NULL").item() == 0


def test_scores_of_examples_are_means_over_all_widths(copied: Lake) -> None:
    done = measure(copied, ALL, ["el2n", "grand"])
    count = done["measured"][0]
    assert done["measured"].to_list() == [count, count]
    rows = copied.sql("SELECT * FROM example_measurement WHERE metric = 'el2n' ORDER BY example")
    assert (rows["example"].to_list(), set(rows["models"])) == (list(range(count)), {8})
    assert set(rows["population_id"]) == {population_of(copied)}
    scores = []
    for model_id in copied.sql(ALL)["model_id"]:
        described, module = describe(copied, model_id), load_module(copied, model_id)
        train = load_dataset(described.dataset, described.split_seed).train
        apart = module(train.x).detach().double().softmax(dim=1) - torch.nn.functional.one_hot(train.y, 3)
        scores.append(apart.norm(dim=1))
    each = torch.stack(scores)
    assert rows["value"].to_list() == pytest.approx(each.mean(dim=0).tolist(), rel=1e-5)
    assert rows["standard_error"].to_list() == pytest.approx((each.std(dim=0) / 8**0.5).tolist(), rel=1e-4)
    early = measure(copied, ALL, ["el2n"], settings={"epoch": 1})
    assert early["measured"].item() == count
    assert measure(copied, ALL, ["el2n"], settings={"epoch": 1})["known"].item() == count


def test_soups_and_stitches_are_measured_like_members(copied: Lake) -> None:
    cell = "SELECT model_id FROM member WHERE width = 3 AND batch_size = 4"
    soup = uniform_soup(copied, cell, force=True).model_id
    quick = StitchRecipe(training=StitchTraining(epochs=1))
    stitched = stitch(copied, "SELECT model_id FROM member WHERE batch_size = 4 AND seed = 0", quick).model_id
    names = ["loss", "error", "hessian_trace", "nc1", "ece", "layer_hessian_trace", "loss_line", "learning_curve_area"]
    query = f"SELECT unnest(['{soup}', '{stitched}']) AS model_id"
    done = measure(copied, query, names, settings={"samples": 40, "points": 3})
    dead = {"learning_curve_area": (0, 2)}
    assert all(row[1:] == (2, 0, 0) for row in done.rows() if row[0] not in (*dead, "nc1")), done
    with pytest.warns(NoPairWarning, match="no pair for cka, l2_distance: the query"):
        assert measure(copied, query, ["loss", "cka", "l2_distance"])["known"].to_list() == [2, 0, 0]
    assert measure(copied, query, names, settings={"samples": 40, "points": 3})["measured"].sum() == 0
    found = dict(copied.sql("SELECT model_id, value FROM measurement WHERE metric = 'error'").iter_rows())
    right = accuracy_of(load_module(copied, soup)(images_of(copied).x), copied)
    assert found[soup] == pytest.approx(100 * (1 - right))
    network = rebuild(
        json.loads(copied.sql("SELECT settings->>'$.network' FROM product WHERE model_id = $id", id=stitched).item()),
        load_weights(copied, stitched),
    )
    best = max(range(len(network.accuracies)), key=network.accuracies.__getitem__)
    assert found[stitched] == pytest.approx(100 * (1 - accuracy_of(network.at(best)(images_of(copied).x), copied)))


def images_of(lake: Lake) -> Samples:
    dataset, split_seed = lake.sql("SELECT dataset, split_seed FROM population").row(0)
    return load_dataset(dataset, split_seed).train


def accuracy_of(logits: torch.Tensor, lake: Lake) -> float:
    return float((logits.argmax(dim=1) == images_of(lake).y).double().mean())


class Mute(torch.nn.Sequential):
    """A network through which no gradient comes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = super().forward(x).detach()  # type: ignore[no-untyped-call] # torch's
        return out


def test_mined_models_are_measured_with_a_given_architecture_and_data(lake: Lake, tmp_path: Path) -> None:
    data = from_arrays("mine", 0, [(np.random.default_rng(0).random((90, 8, 8), dtype=np.float32), np.arange(90) % 3)])
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3))
    for number in range(2):
        torch.manual_seed(number)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter)
        folder = tmp_path / "hub" / "ada" / f"net{number}"
        folder.mkdir(parents=True)
        save_file(network.state_dict(), folder / "model.safetensors")
        (folder / "README.md").write_text("# A network\n")
    mine(lake, "local", folder=tmp_path / "hub")
    query = "SELECT model_id FROM model ORDER BY ALL"
    with pytest.raises(UsageError, match="nobody here knows how"):
        measure(lake, query, ["loss"])
    with pytest.raises(UsageError, match="needs data"):
        measure(lake, query, ["loss"], architecture=network)
    other = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))
    with pytest.raises(UsageError, match="expected"):
        measure(lake, query, ["loss"], architecture=other, data=data)
    names = ["loss", "hessian_trace", "cka", "aligned_l2_distance", "nc1", "ece", "learning_curve_area"]
    done = measure(lake, query, names, architecture=network, data=data)
    assert dict(done.select("metric", "measured").rows()) == {
        **dict.fromkeys(["loss", "hessian_trace", "nc1", "ece"], 2),
        **dict.fromkeys(["cka", "aligned_l2_distance"], 1),
        "learning_curve_area": 0,
    }
    reason = lake.sql("SELECT DISTINCT reason FROM measurement WHERE metric = 'learning_curve_area'").item()
    assert "not trained here" in reason
    fewer = from_arrays("mine", 1, [(np.random.default_rng(0).random((90, 8, 8), dtype=np.float32), np.arange(90) % 3)])
    assert measure(lake, query, ["loss"], architecture=network, data=fewer)["measured"].item() == 2
    mute = measure(lake, query, ["hessian_trace"], architecture=Mute(*network), data=data)
    assert mute["without_value"].item() == 2


@pytest.mark.parametrize(
    ("sql", "metrics", "says"),
    [
        (ALL, ["hesian_trace"], "did you mean 'hessian_trace'"),
        (ALL, [], "no metric"),
        ("SELECT model_id, 1 AS epoch FROM member", ["loss"], "leave it out"),
        ("SELECT 1 AS x", ["loss"], "model_id"),
        ("SELECT 'local:a/b' AS model_id", ["loss"], "nobody here knows how"),
    ],
)
def test_mistakes_in_measuring_are_said(copied: Lake, sql: str, metrics: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        measure(copied, sql, metrics)
    assert copied.sql("SELECT count(*) FROM measurement").item() == 0


def test_a_model_that_nobody_knows_how_to_build_blocks_no_others(copied: Lake, tmp_path: Path) -> None:
    repository = tmp_path / "repositories" / "owner" / "odd"
    repository.mkdir(parents=True)
    save_file({"w": torch.zeros(2, 2)}, repository / "model.safetensors")
    mine(copied, "local", folder=tmp_path / "repositories")
    query = f"(SELECT model_id FROM ({ALL}) LIMIT 2) UNION ALL SELECT 'local:owner/odd'"
    for _ in range(2):
        done = measure(copied, query, ["loss", "cka"])
        assert dict(done.select("metric", pl.sum_horizontal("measured", "known")).rows()) == {"loss": 2, "cka": 1}
        assert done.filter(metric="loss")["without_value"].item() == 1
    rows = copied.sql("SELECT metric, reason FROM measurement WHERE model_id = 'local:owner/odd'")
    assert rows["metric"].to_list() == ["loss"]  # once, and tried again each time
    assert "nobody here knows how local:owner/odd is built" in rows["reason"].item()
    scored = measure(copied, query, ["el2n"])
    assert scored["measured"].item() > 0
    with pytest.raises(UsageError, match="nobody here knows how local:owner/odd is built"):
        measure(copied, "SELECT 'local:owner/odd' AS model_id", ["loss"])


def test_a_selection_without_pairs_has_no_metric_of_pairs(copied: Lake) -> None:
    with pytest.raises(UsageError, match="cka compares two models, and the query selects no two"):
        measure(copied, f"SELECT model_id FROM ({ALL}) LIMIT 1", ["cka", "mode_connectivity"])
    with pytest.warns(NoPairWarning, match="no pair for cka: the query selects no two"):
        done = measure(copied, f"SELECT model_id FROM ({ALL}) LIMIT 1", ["cka", "loss"])
    assert done.rows() == [("cka", 0, 0, 0), ("loss", 1, 0, 0)]


def test_a_temperature_at_the_end_of_the_search_is_a_reason(lake: Lake, tmp_path: Path) -> None:
    """A network that is right of every sample has no best temperature."""
    repository = tmp_path / "repositories" / "owner" / "sure"
    repository.mkdir(parents=True)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))
    network[1].weight.data = torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1]])
    save_file(network.state_dict(), repository / "model.safetensors")
    mine(lake, "local", folder=tmp_path / "repositories")
    y = np.arange(60) % 2
    x = np.eye(2)[y][:, None, :, None] * np.ones((1, 1, 1, 2))
    data = from_arrays("halves", 0, [(x.astype(np.float32), y)])
    query = "SELECT model_id FROM model WHERE hub = 'local'"
    done = measure(lake, query, ["temperature", "scaled_nll", "nll"], architecture=network, data=data)
    assert done["without_value"].to_list() == [1, 0, 0]
    reason = lake.sql("SELECT reason FROM measurement WHERE metric = 'temperature'").item()
    assert reason.startswith("no temperature is the best: the colder the likelier")
    limits = lake.sql("SELECT metric, settings->>'$.temperature_limit' AS at FROM measurement")
    assert {name: at for name, at in limits.iter_rows() if name in ("scaled_nll", "nll")} == {
        "scaled_nll": "0.001",
        "nll": None,
    }


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"probs": 3}, "did you mean 'probes'"),
        ({"probes": "many"}, "expected a whole number"),
        ({"probes": "1e2"}, "expected a whole number"),
        ({"trace_tolerance": "few"}, "expected a number"),
        ({"probes": 0}, "2 or more"),
        ({"trace_tolerance": -1}, "more than 0"),
        ({"trace_tolerance": float("nan")}, "more than 0"),
        ({"direction": "adam"}, "expected one of"),
    ],
)
def test_mistakes_in_settings_are_said(copied: Lake, settings: dict[str, float | int | str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        measure(copied, ALL, ["hessian_trace"], settings=settings)


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
    query = "SELECT load, temperature, mode_connectivity FROM phases WHERE rule = 'taxonomy' ORDER BY ALL"
    slow = copied.sql(query)
    light = phases_of_population(copied, "tiny", settings={"epochs": 1, "runs": 1})
    assert not light.table["mode_connectivity"].equals(found.table["mode_connectivity"])
    assert (
        copied.sql("SELECT DISTINCT settings FROM cell_phase WHERE rule = 'taxonomy'").item()
        == '{"epochs": 1, "runs": 1}'
    )
    phases_of_population(copied, "tiny")
    assert copied.sql(query).equals(slow)  # what was measured in another way meanwhile does not count
    counts = measure(copied, ALL, list(PHASE_METRICS))
    assert counts["measured"].to_list() == [0] * counts.height


def test_phases_say_what_they_were_measured_with_and_that_curves_were_short(copied: Lake, tmp_path: Path) -> None:
    quick = {"epochs": 1, "runs": 2, "points": 3}
    found = phases_of_population(copied, "tiny", settings=quick)
    assert "mode_connectivity: epochs=1 batch_size=128 learning_rate=0.01 points=3 runs=2" in found.measured_with
    [note] = found.notes
    assert "mode_connectivity was measured with epochs=1, and the rule taxonomy holds for 20 or more" in note
    assert "holds for 20 or more" in found.draw(tmp_path / "phases.svg").read_text(encoding="utf-8")
    told = copied.sql("SELECT DISTINCT measured_with->>'$.mode_connectivity.epochs' FROM phases").rows()
    assert told == [("1",)]
    errors = found.judged.cells.errors["mode_connectivity"]
    known = copied.sql("SELECT standard_error FROM pair_measurement WHERE metric = 'mode_connectivity'").to_series()
    assert sorted(errors[~np.isnan(errors)].tolist()) == sorted(known.to_list())
    assert not np.isfinite(found.judged.cells.errors["train_loss"]).any()  # exact: these are what was trained on
    with copied.write() as transaction:  # one pair as another lake measured it
        transaction.sql("""
            UPDATE pair_measurement SET settings = json_merge_patch(settings, '{"epochs": 3, "landscape": "other"}')
            WHERE metric = 'mode_connectivity' AND first_id = (SELECT min(first_id) FROM pair_measurement)
        """)
    members = copied.sql("FROM member ORDER BY model_id")
    mixed = measured(copied, members, ("width", "batch_size"), quick)
    note, _ = mixed.notes(load_rule("taxonomy"))
    assert note.startswith("mode_connectivity was not measured alike in all cells (epochs=1 ")
    assert {json.loads(said)["mode_connectivity"]["epochs"] for said in mixed.of_cells()["measured_with"]} == {1, 3}


def test_phases_do_not_hang_on_which_group_was_trained_first(copied: Lake, tmp_path: Path) -> None:
    """Groups are registered as they are done, and curves between models of another order end elsewhere."""
    shutil.copytree(copied.path, tmp_path / "turned")
    turned = open_lake(tmp_path / "turned")
    with turned.write() as transaction:
        transaction.sql("CREATE TEMP TABLE kept AS SELECT * FROM member")
        transaction.sql("DELETE FROM member")
        transaction.sql("INSERT INTO member SELECT * FROM kept ORDER BY model_id DESC")
    assert turned.sql("FROM member")["model_id"][0] == copied.sql("SELECT max(model_id) FROM member").item()
    both = [phases_of_population(lake, "tiny", settings={"epochs": 1, "runs": 1}).table for lake in (copied, turned)]
    assert both[0].equals(both[1])


def test_mistakes_in_phases_are_said(copied: Lake) -> None:
    with pytest.raises(UsageError, match="did you mean"):
        phases_of_population(copied, population_of(copied)[:-1])
    with copied.write() as transaction:
        transaction.sql("UPDATE member SET batch_size = 4")
    with pytest.raises(UsageError, match="varies no temperature"):
        phases_of_population(copied, "tiny")


def test_the_documentation_names_every_metric_and_its_settings() -> None:
    lines = (ROOT / "docs" / "measuring.md").read_text(encoding="utf-8").splitlines()
    rows = {name: line for line in lines if line.startswith("|") for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert set(rows) == set(METRICS)
