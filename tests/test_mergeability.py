"""Whether models can be merged: the verdict, its reason and what would help, before a weight is read."""

import json
import math
import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from learners import merge, mergeability
from learners.soups.check.verdicts import Mergeability
from miners import mine
from schemas import Lake, UsageError, examine, open_lake
from tests.test_command_line import Run, run
from tests.transformer_folders import card, mined, write_transformer
from zoo import build, load_weights
from zoo.datasets import load_dataset
from zoo.population import Samples, evaluate

BOTH = "SELECT model_id FROM models ORDER BY model_id"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_transformer(tmp_path_factory.mktemp("base") / "base", 0)


def pair(base: Path, tmp_path: Path, **changes: Any) -> Lake:
    """A lake with the base and a fine-tune of it whose configuration or tensors are changed."""
    shutil.copytree(base, tmp_path / "models" / "one")
    folder = write_transformer(tmp_path / "models" / "two", 1, base)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes.pop("config", {})))
    if changes:
        weights = load_file(folder / "model.safetensors")
        for name, change in changes.items():
            name = name.replace("__", ".")
            if change is None:
                del weights[name]
            else:
                weights[name] = change(weights.get(name))
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return mined(tmp_path / "models", tmp_path / "lake")


def only(report: Mergeability) -> tuple[str, str, str]:
    """Verdict, reason and help of the only pair."""
    row = report.pairs.row(0, named=True)
    assert report.pairs.height == 1
    assert row["verdict"] == report.verdict
    return row["verdict"], row["reason"] or "", row["help"] or ""


def test_fine_tunes_are_known_by_their_weights_where_lineage_says_nothing(base: Path, tmp_path: Path) -> None:
    report = mergeability(pair(base, tmp_path), BOTH)
    assert report.verdict == "safe"
    row = report.pairs.row(0, named=True)
    assert row["common_start"] == "weights"
    assert row["weight_cosine"] > 0.5
    assert any("says that they started alike" in note for note in report.notes)


def test_what_started_apart_is_unwise(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "models" / "one")
    write_transformer(tmp_path / "models" / "two", 7)
    lake = mined(tmp_path / "models", tmp_path / "lake")
    verdict, reason, help = only(mergeability(lake, BOTH))
    assert verdict == "unwise"
    assert "local:one and local:two do not share an initialisation" in reason
    assert help == "train members with one init_seed, or take fine-tunes of one model"  # nobody here can run them
    with pytest.raises(UsageError, match=r"possible but unwise: .*force=True"):
        merge(lake, BOTH)
    assert "do not share an initialisation" in merge(lake, BOTH, force=True).warnings[0]


@pytest.mark.parametrize(
    ("changes", "verdict", "reason", "help"),
    [
        (
            {"model__norm__weight": None},
            "impossible",
            "local:two lacks model.norm.weight, which local:one has",
            "parts",
        ),
        ({"lm_head__weight": None}, "impossible", "local:two lacks lm_head.weight", "--keep"),
        (
            {"lm_head__weight": lambda _: torch.randn(10, 16)},
            "impossible",
            r"different heads or vocabularies: lm_head.weight is [64, 16] in local:one and [10, 16] in local:two",
            "--keep 'lm_head.weight'",
        ),
        (
            {"model__norm__weight": lambda old: old.to(torch.int8)},
            "impossible",
            "model.norm.weight is F32 in local:one and I8 in local:two",
            "convert",
        ),
        ({"model__norm__weight": lambda old: old.half()}, "safe", "model.norm.weight is F32", "float32 or float64"),
        (
            {"config": {"rope_theta": 7.0, "hidden_act": "relu"}},
            "unwise",
            "hidden_act is 'silu' and 'relu'",
            "select one",
        ),
        ({"config": {"tie_word_embeddings": True}}, "unwise", "local:two uses its embedding as output layer", "untie"),
        ({"config": {"quantization_config": {"bits": 4}}}, "impossible", "local:two is quantised", "quantised from"),
        ({"config": {"architectures": ["OtherModel"]}}, "unwise", "local:two a OtherModel", "select one architecture"),
        (
            {"model__norm__weight": lambda old: old * math.nan},
            "impossible",
            "local:two has values that are not finite",
            "leave that model out",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_verdicts_have_reasons_and_say_what_would_help(
    base: Path, tmp_path: Path, changes: dict[str, Any], verdict: str, reason: str, help: str
) -> None:
    found = only(mergeability(pair(base, tmp_path, **changes), BOTH))
    assert found[0] == verdict
    assert reason in found[1]
    assert help in found[2]


def test_label_sets_are_compared_by_their_names(base: Path, tmp_path: Path) -> None:
    lake = pair(base, tmp_path, config={"id2label": {"0": "cat", "1": "dog"}})
    one = tmp_path / "models" / "one" / "config.json"
    one.write_text(json.dumps(json.loads(one.read_text()) | {"id2label": {"0": "dog", "1": "cat"}}))
    verdict, reason, _ = only(mergeability(lake, BOTH))
    assert verdict == "unwise"
    assert "class 0 is 'dog' in local:one and 'cat' in local:two" in reason


def test_a_merge_that_is_impossible_is_refused_with_no_weights_at_hand(base: Path, tmp_path: Path) -> None:
    """The headers are in the lake, the files are gone: nothing can be read, and the reason is still the shape."""
    lake = pair(base, tmp_path, lm_head__weight=lambda _: torch.randn(10, 16))
    shutil.rmtree(tmp_path / "models")
    with pytest.raises(UsageError, match="cannot be merged: they have different heads"):
        merge(lake, BOTH)
    assert mergeability(lake, BOTH).models["at_hand"].to_list() == [False, False]


def test_models_that_are_not_here_are_judged_by_their_headers_and_cannot_be_merged(base: Path, tmp_path: Path) -> None:
    lake = pair(base, tmp_path)
    card(tmp_path / "models" / "two", "mit", "one")
    mine(lake, "local", folder=tmp_path / "models")
    shutil.rmtree(tmp_path / "models")
    report = mergeability(lake, BOTH)
    assert report.verdict == "safe"
    assert report.pairs["common_start"].to_list() == ["local:one"]
    assert report.pairs["distance"].to_list() == [None]
    with pytest.raises(UsageError, match=r"the weights of local:one cannot be read: .* is gone"):
        merge(lake, BOTH)


def test_one_model_is_no_merge(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 2 models, and the query selects 1"):
        mergeability(pair(base, tmp_path), f"{BOTH} LIMIT 1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = open_lake(tmp_path_factory.mktemp("mergeability") / "lake")
    build(lake, "digits-tiny")
    return lake


def test_distances_cosines_and_barriers_are_those_of_one_pair_after_the_other(trained: Lake) -> None:
    query = "SELECT model_id FROM models WHERE width = 16 AND batch_size = 32 ORDER BY model_id"
    report = mergeability(trained, query, samples=100)
    row = report.pairs.row(0, named=True)
    one, two = (load_weights(trained, row[key]) for key in ("first_id", "second_id"))
    flat = [torch.cat([weights[name].double().flatten() for name in one]) for weights in (one, two)]
    assert row["distance"] == pytest.approx(float((flat[0] - flat[1]).norm()))
    assert row["task_cosine"] == pytest.approx(-1)  # of two models from their mean
    matrices = [torch.cat([w[n].double().flatten() for n in one if one[n].ndim > 1]) for w in (one, two)]
    assert row["weight_cosine"] == pytest.approx(float(torch.cosine_similarity(matrices[0], matrices[1], dim=0)))
    validation = load_dataset("digits", 0).validation
    few = Samples(validation.x[:100], validation.y[:100])
    module = report.facts[0].description
    assert module is not None
    losses = []
    for a in (0, 0.25, 0.5, 0.75, 1):
        way = {name: (one[name] + a * (two[name] - one[name]))[None] for name in one}
        losses.append(float(evaluate(module.skeleton(), way, few).loss[0]))
    line = [(1 - a) * losses[0] + a * losses[-1] for a in (0.25, 0.5, 0.75)]
    assert row["barrier"] == pytest.approx(max(x - y for x, y in zip(losses[1:4], line, strict=True)), rel=1e-5)
    assert report.verdict == "unwise"  # seeds of their own
    stored = trained.sql("SELECT metric FROM pair_measurement WHERE first_id = $id", id=row["first_id"])
    assert set(stored["metric"]) >= {"distance", "weight_cosine", "barrier"}


def test_checkpoints_of_one_run_share_their_start(trained: Lake) -> None:
    query = "SELECT model_id, epoch FROM checkpoint WHERE model_id = (SELECT min(model_id) FROM member)"
    report = mergeability(trained, query)
    assert report.verdict == "safe"
    assert report.pairs["common_start"][0] == report.pairs["first_id"][0]


@pytest.mark.usefixtures(run.__name__)
def test_checkpoints_of_one_run_are_told_apart(trained: Lake, run: Run) -> None:
    query = "SELECT model_id, epoch FROM checkpoint WHERE model_id = (SELECT min(model_id) FROM member) ORDER BY epoch"
    names, epochs = (trained.sql(query)[column].to_list() for column in ("model_id", "epoch"))
    pairs = mergeability(trained, query).pairs
    assert pairs.select("first_epoch", "second_epoch").rows() == list(combinations(epochs, 2))
    said = run("merge", "--check", query, "--lake", trained.path)
    for epoch in epochs:
        assert f"{names[0]}@{epoch}" in said.out
    figures = "SELECT settings FROM pair_measurement WHERE first_id = second_id AND metric = 'distance'"
    stored = [json.loads(settings) for settings in trained.sql(figures)["settings"]]
    assert {(each["first_epoch"], each["second_epoch"]) for each in stored} == set(combinations(epochs, 2))


def test_reasons_name_checkpoints_by_their_epochs(trained: Lake) -> None:
    two = trained.sql("SELECT model_id FROM member WHERE width = 16 ORDER BY model_id")["model_id"].to_list()[:2]
    query = f"SELECT unnest({two}) AS model_id, unnest([0, 1]) AS epoch"
    report = mergeability(trained, query, measure=False)
    assert report.reasons[0].startswith(f"{two[0]}@0 and {two[1]}@1 do not share an initialisation")


def test_figures_stand_in_the_lake_once_each_under_what_they_hang_on(trained: Lake) -> None:
    query = "SELECT model_id FROM models WHERE width = 16 AND origin = 'trained' ORDER BY model_id"
    for asked in (query, query, f"{query} LIMIT 2"):
        mergeability(trained, asked, samples=100)
    mergeability(trained, f"{query} LIMIT 2", keep=["linear1.*"], samples=100)
    assert examine(trained).filter(check="unique").is_empty()
    first = report_of(trained, f"{query} LIMIT 2", "task_cosine")
    assert first["settings"].n_unique() == first.height >= 3  # from the mean of all, of two, and of what is not kept
    assert sorted(first["value"])[0] == pytest.approx(-1)
    settings = [json.loads(each) for each in report_of(trained, f"{query} LIMIT 2", "distance")["settings"]]
    assert sorted(map(str, settings)) == ["{'keep': ['linear1.*']}", "{}"]


def report_of(lake: Lake, pair: str, metric: str) -> pl.DataFrame:
    """What stands in the lake of a pair."""
    first, second = lake.sql(pair)["model_id"]
    query = "SELECT value, settings FROM pair_measurement WHERE first_id = $first AND second_id = $second"
    return lake.sql(f"{query} AND metric = $metric", first=first, second=second, metric=metric)


def test_widths_cannot_be_merged(trained: Lake) -> None:
    query = "SELECT min(model_id) AS model_id FROM models GROUP BY width"
    verdict, reason, help = only(mergeability(trained, query))
    assert verdict == "impossible"
    assert "has width 16" in reason
    assert help == "select one width"
