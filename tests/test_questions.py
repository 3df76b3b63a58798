"""The documented questions: their answers are true, and every one of them runs on an empty lake too."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # its types are a package of their own

from docs import questions
from schemas import Lake, open_lake
from tests.conftest import ROOT

QUERIES = questions.queries()
NAMED = {"type": "string"}
PTMTORRENT = {  # ptmSchema.json of PTMTorrent
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "ModelHub": {
            "type": "object",
            "properties": {
                **dict.fromkeys(["ModelHubName", "ModelHubURL", "MetadataFilePath"], NAMED),
                "MetadataObjectID": {"type": "integer"},
            },
            "required": ["ModelHubName", "ModelHubURL", "MetadataFilePath", "MetadataObjectID"],
        },
        "Datasets": {
            "type": "array",
            "items": {"required": ["DatasetName", "DatasetOwner", "DatasetURL", "DatasetOwnerURL"]},
        },
        "ModelPaperDOIs": {"type": "array", "items": NAMED},
        **dict.fromkeys(["ModelName", "ModelOwner", "ModelURL", "ModelOwnerURL", "LatestGitCommitSHA"], NAMED),
        **dict.fromkeys(["ModelTask", "ModelArchitecture"], NAMED),
    },
    "required": ["id", "ModelHub", "ModelName", "ModelOwner", "ModelURL", "ModelOwnerURL", "LatestGitCommitSHA"],
}
CORE = ("tag", "library", "framework", "license", "language", "dataset", "paper", "author", "architecture")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, data_folder: Path) -> Lake:
    """The lake that the page speaks of."""
    return questions.mined(tmp_path_factory.mktemp("sample"), questions.DATA)


@pytest.fixture
def filled(lake: Lake) -> Lake:
    """Three models of the Hub, one of them without owner, one deleted, and one of this machine."""
    model = {
        "model_id": ["huggingface:a/base", "huggingface:gpt2", "huggingface:a/gone", "local:x/y"],
        "hub": ["huggingface"] * 3 + ["local"],
        "owner": ["a", None, "a", "x"],
        "name": ["base", "gpt2", "gone", "y"],
        "task": ["fill-mask", None, "fill-mask", "fill-mask"],
        "library": ["transformers", None, "transformers", "transformers"],
        "license": ["mit, apache-2.0", None, "mit", "mit"],
        "model_type": ["bert", "gpt2", None, None],
        "architecture": ["BertForMaskedLM", None, None, None],
        "downloads": [10, 30, 5, 1],
        "sha": ["0" * 40, None, None, None],
        "crawl_id": ["c"] * 4,
    }
    tags = [
        ("fill-mask", "plain"),
        ("pytorch", "plain"),
        ("transformers", "plain"),
        ("mit", "license"),
        ("en", "language"),
    ]
    links = [("paper", "1810.04805"), ("dataset", "bookcorpus"), ("dataset", "b/wiki"), ("doi", "10.1/x")]
    owned = {"model_id": "huggingface:a/base"}
    commit = owned | {"sha": "0" * 40, "source": "listing"}
    with lake.write() as transaction:
        transaction.append("model", pl.DataFrame(model))
        transaction.append("tag", pl.DataFrame([owned | {"tag": tag, "kind": kind} for tag, kind in tags]))
        transaction.append("link", pl.DataFrame([owned | {"kind": kind, "target": name} for kind, name in links]))
        transaction.append("revision", pl.DataFrame([commit]))
        transaction.sql("UPDATE revision SET committed_at = '2023-05-31 12:00:00+00'")
        transaction.sql("UPDATE model SET deleted_at = now() WHERE name = 'gone'")
    return lake


@pytest.mark.data
def test_the_page_says_what_the_sample_says(sample: Lake) -> None:
    text = questions.PAGE.read_text(encoding="utf-8")
    assert questions.answered(sample, text) == text


@pytest.mark.data
def test_the_picture_shows_what_the_sample_says(sample: Lake) -> None:
    drawn = questions.picture(sample)
    assert drawn == questions.PICTURE.read_text(encoding="utf-8")
    shown = Counter(re.findall(r'fill="(#[0-9A-F]{6})"', drawn))
    models = dict(sample.sql("SELECT hub, count(*) FROM imagenet_top1 GROUP BY hub").iter_rows())
    assert shown == {questions.COLOURS[hub]: count + 1 for hub, count in models.items()}  # and one in the legend


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_every_question_can_be_asked_of_an_empty_lake(lake: Lake, query: str) -> None:
    lake.sql(query)


def test_every_view_for_questions_is_on_the_page() -> None:
    text = questions.PAGE.read_text(encoding="utf-8")
    assert len(QUERIES) > 20
    migrations = ["0006_questions.sql", "0009_identity.sql"]
    created = [(ROOT / "schemas" / "migrations" / name).read_text(encoding="utf-8") for name in migrations]
    for view in re.findall(r"CREATE (?:VIEW|MACRO) (\w+)[\s(]", "\n".join(created)):
        assert view in text or view in ("peatmoss", "identity_evidence")


@pytest.mark.parametrize(
    ("dataset", "metric", "split", "value", "top1"),
    [
        ("ImageNet-1k", "top1", "validation", 80.1, 80.1),
        ("ImageNet", "Top-1 error", None, 30.24, 69.76),
        ("ImageNet (ILSVRC2012)", "Top-1 accuracy (%)", None, 70.5, 70.5),
        ("imagenet-1k", "Accuracy", "test", 0.801, 80.1),
        ("imagenet_1k", "acc", None, 55, 55),
        ("ImageNet", "top-1 error", None, 0.25, 75),
        ("ILSVRC2012", "Top-1 accuracy (%)", None, 0.7, 0.7),
        ("ILSVRC2015", "Top-1 accuracy (%)", None, 70, None),
        ("ImageNet-1k", "top5", "validation", 95, None),
        ("ImageNet-1k", "top10", "validation", 99, None),
        ("ImageNet-1k", "top1", "validation, the 200 classes of ImageNet-A", 97, None),
        ("ImageNetV2", "top1", None, 70, None),
        ("ImageNet-A", "top1", "test", 70, None),
        ("imagenette", "accuracy", None, 0.9, None),
        ("COCO", "top1", None, 70, None),
        ("ImageNet", "top1", None, 400, None),
    ],
)
def test_accuracy_on_imagenet_is_read_in_every_way_of_saying_it(
    lake: Lake, dataset: str, metric: str, split: str | None, value: float, top1: float | None
) -> None:
    said = {"dataset": dataset, "metric": metric, "split": split, "value": value, "model_id": "timm:a"}
    ids = ["timm:a", "onnx:a", "onnx:b"]
    models = {"model_id": ids, "hub": ["timm", "onnx", "onnx"], "parameters": [None, 10_000, 20_000]}
    groups = {"model_id": ids[:2], "group_id": ["onnx:a"] * 2}
    with lake.write() as transaction:
        transaction.append("model", pl.DataFrame(models))
        transaction.append("same_model", pl.DataFrame(groups))
        transaction.append("evaluation", pl.DataFrame([said, said | {"value": value * 0.99}]))
    is_share = value <= 1 and "%" not in metric
    best = top1 if "err" not in metric else 100 - value * 0.99 * (100 if is_share else 1)
    expected = [] if top1 is None else [("timm:a", pytest.approx(best))]
    assert lake.sql("SELECT model_id, top1 FROM imagenet_top1").rows() == expected
    if expected:
        counted = "SELECT parameters, parameters_rounded_to, counted_elsewhere FROM imagenet_top1"
        assert lake.sql(counted).rows() == [(10_000, None, True)]


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("SELECT context_id, downloads FROM Model ORDER BY downloads DESC LIMIT 100", [("gpt2", 30), ("a/base", 10)]),
        (
            "SELECT tag.name, hf_commit.created_at FROM model"
            " INNER JOIN model_to_tag ON model.id = model_to_tag.model_id"
            " INNER JOIN tag ON model_to_tag.tag_id = tag.id"
            " INNER JOIN hf_commit ON hf_commit.model_id = model.id WHERE model.model_hub_id = 1",
            [("fill-mask", "2023-05-31 12:00:00")],
        ),
        (
            "SELECT model.repo_url, hf_commit.created_at FROM model"
            " INNER JOIN hf_commit ON hf_commit.model_id = model.id WHERE model.repo_url IN ('https://huggingface.co/a/base')",
            [("https://huggingface.co/a/base", "2023-05-31 12:00:00")],
        ),
        (
            "SELECT license.name, context_id FROM license LEFT JOIN model_to_license ON license.id = license_id"
            " LEFT JOIN model ON model.id = model_id ORDER BY ALL",
            [("apache-2.0", "a/base"), ("mit", "a/base")],
        ),
        (
            "SELECT library.name FROM library JOIN model_to_library ON library.id = library_id ORDER BY ALL",
            [("pytorch",), ("transformers",)],
        ),
        ("SELECT name, url FROM model_hub", [("HuggingFace", "https://huggingface.co/models")]),
        ("SELECT name FROM framework ORDER BY ALL", [("bert",), ("gpt2",)]),
        ("SELECT name FROM paper", [("https://arxiv.org/abs/1810.04805",)]),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_queries_written_for_peatmoss_run(filled: Lake, query: str, answer: list[tuple[object, ...]]) -> None:
    assert filled.sql(f"USE peatmoss; {query}").rows() == answer


@pytest.mark.parametrize("name", CORE)
def test_peatmoss_has_its_published_columns(filled: Lake, name: str) -> None:
    columns = ["id", "name", "abbreviation"] if name == "language" else ["id", "name"]
    assert filled.sql(f"FROM peatmoss.{name}").columns == columns
    assert filled.sql(f"FROM peatmoss.model_to_{name}").columns == ["model_id", f"{name}_id"]
    found = filled.sql(f"FROM peatmoss.model_to_{name} SEMI JOIN peatmoss.{name} ON {name}_id = id").height
    assert found == filled.sql(f"FROM peatmoss.model_to_{name}").height > 0


def test_records_are_those_of_ptmtorrent(filled: Lake) -> None:
    records = json.loads(filled.sql("FROM ptmtorrent_v1 ORDER BY ModelName").write_json())
    assert [record["ModelName"] for record in records] == ["base", "gpt2"]
    for record in records:
        Draft202012Validator(PTMTORRENT).validate(record)
    assert records[0]["ModelPaperDOIs"] in (
        ["10.1/x", "10.48550/arXiv.1810.04805"],
        ["10.48550/arXiv.1810.04805", "10.1/x"],
    )
    assert records[0]["Datasets"][0] == {
        "DatasetName": "wiki",
        "DatasetOwner": "b",
        "DatasetURL": "https://huggingface.co/datasets/b/wiki",
        "DatasetOwnerURL": "https://huggingface.co/b",
    }
    assert (records[1]["ModelURL"], records[1]["ModelOwner"]) == ("https://huggingface.co/gpt2", "")


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return open_lake(tmp_path_factory.mktemp("counted") / "lake")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(downloads=st.lists(st.integers(0, 50) | st.integers(0, 10**9), min_size=1, max_size=250))
def test_concentration_is_that_of_the_definition(counted: Lake, downloads: list[int]) -> None:
    """Gini as the mean difference of all pairs over twice the mean; the top by sorting."""
    with counted.write() as transaction:
        transaction.sql("DELETE FROM model")
        ids = [f"huggingface:a/{number}" for number in range(len(downloads))]
        transaction.append("model", pl.DataFrame({"model_id": ids, "hub": "huggingface", "downloads": downloads}))
    (row,) = counted.sql("FROM download_concentration").rows(named=True)
    values = np.sort(np.array(downloads, dtype=np.float64))
    assert (row["models"], row["downloads"]) == (len(downloads), sum(downloads))
    assert row["never_downloaded_share"] == pytest.approx(np.mean(values == 0))
    if not sum(downloads):
        assert (row["gini"], row["top_percent_share"]) == (None, None)
        return
    gini = np.abs(values[:, None] - values[None, :]).mean() / (2 * values.mean())
    assert row["gini"] == pytest.approx(gini, abs=1e-9)
    top = values[-int(np.ceil(len(values) * 0.01)) :]
    assert row["top_percent_share"] == pytest.approx(top.sum() / values.sum())


def test_a_licence_that_changes_and_one_that_is_not_inherited_are_told(filled: Lake) -> None:
    with filled.write() as transaction:
        transaction.sql("INSERT INTO lineage VALUES ('huggingface:gpt2', 'huggingface:a/base', 'quantized', 'tags', 1)")
        transaction.sql(
            "INSERT INTO event BY NAME SELECT 'huggingface:gpt2' AS model_id, 'license' AS kind, 'mit' AS before"
        )
    told = filled.sql("SELECT how, model_id, from_id, before, after FROM license_drift ORDER BY how").rows()
    assert told == [
        ("changed", "huggingface:gpt2", "huggingface:gpt2", "mit", None),
        ("inherited", "huggingface:gpt2", "huggingface:a/base", "mit, apache-2.0", None),
    ]
    assert filled.sql("FROM quantizations").rows() == [("huggingface:a/base", 1, 0, 30)]


def test_the_series_of_a_models_downloads(lake: Lake) -> None:
    with lake.write() as transaction:
        transaction.sql("""
            INSERT INTO observation BY NAME FROM (VALUES
                ('huggingface:a/b', TIMESTAMPTZ '2025-01-08 00:00:00+00', 30),
                ('huggingface:a/b', '2025-01-01 00:00:00+00', 10)
            ) AS seen(model_id, observed_at, downloads)
        """)
    rows = lake.sql("SELECT downloads, change, days FROM download_series ORDER BY observed_at").rows()
    assert rows == [(10, None, None), (30, 20, 7.0)]
