"""Which models are the same: kinds of evidence, groups, and the real catalogues beside a slow second reading."""

import csv
import io
import re
import subprocess
import sys
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from learners.sameness import _grouped, identify
from schemas import Lake
from schemas.doctor import examine
from tests.conftest import ROOT

SHA = {name: name * 64 for name in "abcdef"}
Model = tuple[str, str, str, int | None]
ROUNDED = {"timm"}
MODELS: list[Model] = [
    ("huggingface:timm/net.a", "huggingface", "net.a", 10_000_000),
    ("huggingface:o/copy", "huggingface", "copy", None),
    ("huggingface:o/net", "huggingface", "net", 10_000_000),
    ("timm:net.a", "timm", "net.a", 10_000_000),
    ("timm:net.b", "timm", "net.b", 10_000_000),
    ("pytorch_hub:o/r/net", "pytorch_hub", "net", None),
    ("pytorch_hub:o/r/other", "pytorch_hub", "other", None),
    ("onnx:timm/net_Opset16", "onnx", "net_Opset16", 10_000_900),
]


def filled(lake: Lake, models: Iterable[Model] = MODELS) -> Lake:
    with lake.write() as transaction:
        columns = ["model_id", "hub", "name", "parameters"]
        frame = pl.DataFrame(list(models), schema=columns, orient="row")
        rounded = pl.when(pl.col("hub").is_in(list(ROUNDED))).then(10_000)
        transaction.append("model", frame.with_columns(parameters_rounded_to=rounded))
    return lake


def say(lake: Lake, table: str, *rows: dict[str, object]) -> None:
    with lake.write() as transaction:
        transaction.append(table, pl.DataFrame(rows))


def link(model_id: str, kind: str, target: str, source: str = "listing") -> dict[str, object]:
    return {"model_id": model_id, "kind": kind, "target": target, "source": source}


def groups(lake: Lake) -> list[list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for model_id, group_id in lake.sql("SELECT model_id, group_id FROM same_model ORDER BY ALL").iter_rows():
        found[group_id].append(model_id)
    assert all(group_id == members[0] for group_id, members in found.items())
    return list(found.values())


def test_strong_evidence_makes_groups_through_others_and_weak_evidence_makes_none(lake: Lake) -> None:
    filled(lake)
    say(
        lake,
        "link",
        link("timm:net.a", "model", "huggingface:timm/net.a"),
        link("timm:net.b", "model", "huggingface:timm/net.b"),  # which this lake does not have
        link("timm:net.a", "known_as", "github.com/o/r#net"),
        link("pytorch_hub:o/r/net", "known_as", "github.com/O/R#net"),
        link("pytorch_hub:o/r/other", "known_as", "github.com/o/r#other"),
        *[link(model_id, "paper", "1512.03385") for model_id, *_ in MODELS],
        *[link(model_id, "architecture", "timm#net") for model_id in ("timm:net.a", "timm:net.b", MODELS[-1][0])],
        *[link(model_id, "code", "https://github.com/o/r", "text") for model_id in (MODELS[2][0], MODELS[5][0])],
    )
    found = identify(lake)
    assert groups(lake) == [["huggingface:timm/net.a", "pytorch_hub:o/r/net", "timm:net.a"]]
    counted = {row["kind"]: (row["models"], row["groups"], row["across_hubs"]) for row in found.rows(named=True)}
    assert counted == {
        "link": (2, 1, 1),
        "code": (2, 1, 1),
        "rounded": (3, 1, 1),
        "mention": (2, 1, 1),
        "paper": (8, 1, 1),
        **dict.fromkeys(["file", "library", "fingerprint", "architecture"], (0, 0, 0)),
    }
    pairs = lake.sql("SELECT other_id, kind FROM identities WHERE model_id = 'timm:net.a' AND strong ORDER BY ALL")
    assert pairs.rows() == [("huggingface:timm/net.a", "link"), ("pytorch_hub:o/r/net", "code")]
    assert examine(lake).is_empty()


def file(model_id: str, path: str, size: int | None, sha256: str | None, format: str | None) -> dict[str, object]:
    return {"model_id": model_id, "path": path, "format": format, "bytes": size, "sha256": sha256}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([("m.bin", 5, "a")], [("x.bin", 5, "a")], True),
        ([("m.bin", None, "a")], [("m.bin", 5, "a")], True),
        ([("m.bin", 5, "a")], [("m.bin", 5, "b")], False),
        ([("unet.bin", 9, "a"), ("vae.bin", 2, "c")], [("unet.bin", 9, "b"), ("vae.bin", 2, "c")], False),
        ([("unet.bin", 9, "a"), ("vae.bin", 2, "c")], [("unet.bin", 9, "a"), ("vae.bin", 2, "d")], True),
        ([("m.bin", 5, "a"), ("n.bin", None, "b")], [("m.bin", 5, "a")], False),  # n may be the larger one
        ([("m.bin", 9, None), ("n.bin", 5, "a")], [("n.bin", 5, "a")], False),
        ([("m.bin", 5, "a"), ("run/optimizer.pt", 9, "b")], [("m.bin", 5, "a")], True),
        ([("README.md", 5, "a")], [("README.md", 5, "a")], False),
    ],
)
def test_the_largest_file_of_weights_tells_that_weights_are_the_same(
    lake: Lake, one: list[tuple[str, int, str]], other: list[tuple[str, int, str]], same: bool
) -> None:
    filled(lake)
    for model_id, files in (("timm:net.a", one), ("huggingface:o/copy", other)):
        formats = {path: None if path.endswith("md") else "pickle" for path, *_ in files}
        say(lake, "file", *[file(model_id, path, size, sha and SHA[sha], formats[path]) for path, size, sha in files])
    identify(lake)
    assert groups(lake) == ([["huggingface:o/copy", "timm:net.a"]] if same else [])


def test_equal_tensors_are_evidence_only_where_as_many_parameters_are_counted(lake: Lake) -> None:
    filled(lake)
    row: dict[str, object] = {"format": "safetensors", "main": True, "fingerprint": "f", "parameters": 5}
    changes: list[dict[str, object]] = [{}, {"parameters": 6}, {"main": False}, {"fingerprint": None}, {}]
    say(lake, "weights", *[row | change | {"model_id": MODELS[place][0]} for place, change in enumerate(changes)])
    assert identify(lake).filter(kind="fingerprint").select("models", "groups").rows() == [(2, 1)]
    assert groups(lake) == []


def test_rounded_numbers_of_parameters_are_not_equal_to_exact_ones(lake: Lake) -> None:
    exact: list[Model] = [
        ("huggingface:a", "huggingface", "a", 10_000_900),
        ("onnx:a", "onnx", "a", 10_000_900),
        ("onnx:b", "onnx", "b", 10_000_100),
    ]
    filled(lake, exact)
    say(lake, "link", *[link(model_id, "architecture", "timm#net") for model_id, *_ in exact])
    found = {row["kind"]: (row["models"], row["groups"]) for row in identify(lake).rows(named=True)}
    assert (found["architecture"], found["rounded"]) == ((2, 1), (0, 0))
    filled(lake, [("timm:a", "timm", "a", 10_000_000), ("timm:b", "timm", "b", 10_000_000)])
    say(lake, "link", *[link(model_id, "architecture", "timm#net") for model_id in ("timm:a", "timm:b")])
    found = {row["kind"]: (row["models"], row["groups"]) for row in identify(lake).rows(named=True)}
    assert (found["architecture"], found["rounded"]) == ((2, 1), (5, 1))
    pairs = lake.sql("SELECT other_id FROM identities WHERE model_id = 'timm:a' AND kind = 'architecture'")
    assert pairs.is_empty()


@pytest.mark.parametrize(("rounded_to", "disputed"), [(None, True), (10_000, True), (1_000_000, False)])
def test_a_rounded_number_contradicts_an_exact_one_only_beyond_what_it_is_rounded_to(
    lake: Lake, rounded_to: int | None, disputed: bool
) -> None:
    filled(lake, [("onnx:a", "onnx", "a", 25_560_000), ("pytorch_hub:a", "pytorch_hub", "a", 25_000_000)])
    with lake.write() as transaction:
        transaction.sql("UPDATE model SET parameters_rounded_to = $to WHERE hub = 'pytorch_hub'", to=rounded_to)
    say(lake, "link", *[link(model_id, "known_as", "timm#a") for model_id in ("onnx:a", "pytorch_hub:a")])
    identify(lake)
    assert lake.sql("SELECT disputed FROM same_model_group").item() == disputed


def test_an_equal_file_on_another_hub_carries_its_parameters_over(lake: Lake) -> None:
    filled(lake, [("onnx:net/net-7", "onnx", "net-7", None), ("huggingface:zoo/net-7", "huggingface", "net-7", 61_000)])
    say(
        lake,
        "file",
        file("onnx:net/net-7", "validated/net/model/net-7.onnx", 5, SHA["a"], "onnx"),
        file("onnx:net/net-7", "validated/net/model/net-7.tar.gz", 9, SHA["b"], None),
        file("huggingface:zoo/net-7", "net-7.onnx", 5, SHA["a"], "onnx"),
    )
    result = {"model_id": "onnx:net/net-7", "dataset": "ILSVRC2012", "metric": "Top-1 accuracy (%)", "value": 54.8}
    say(lake, "evaluation", result)
    identify(lake)
    assert lake.sql("SELECT top1, parameters, counted_elsewhere FROM imagenet_top1").rows() == [(54.8, 61_000, True)]


def test_what_is_gone_or_trained_here_is_not_looked_at_and_nothing_is_kept_from_before(lake: Lake) -> None:
    trained = [("zoo:p/a", "zoo", "a", 5), ("made:soup/a", "made", "a", 5)]
    filled(lake, [*MODELS, *trained])
    ids = ["timm:net.a", "timm:net.b", "zoo:p/a", "made:soup/a"]
    say(lake, "link", *[link(model_id, "known_as", "timm#net") for model_id in ids])
    identify(lake)
    assert groups(lake) == [["timm:net.a", "timm:net.b"]]
    before = lake.sql("FROM identity ORDER BY ALL").rows()
    identify(lake)
    assert lake.sql("FROM identity ORDER BY ALL").rows() == before
    with lake.write() as transaction:
        transaction.sql("UPDATE model SET deleted_at = now() WHERE name = 'net.b'")
    identify(lake)
    assert (groups(lake), lake.sql("SELECT count(*) FROM identity").item()) == ([], 0)


def test_an_opinion_about_kinds_can_be_replaced(lake: Lake) -> None:
    filled(lake)
    say(lake, "link", *[link(model_id, "paper", "1512.03385") for model_id in ("timm:net.a", "timm:net.b")])
    with lake.write() as transaction:
        transaction.sql("UPDATE identity_kind SET strong = true, confidence = 0.7 WHERE kind = 'paper'")
    identify(lake)
    assert groups(lake) == [["timm:net.a", "timm:net.b"]]
    assert lake.sql("SELECT DISTINCT confidence FROM identity").item() == 0.7


def test_a_group_whose_members_contradict_each_other_is_disputed(lake: Lake) -> None:
    filled(lake, [*MODELS, ("timm:net.c", "timm", "net.c", 12_000_000)])
    say(lake, "link", *[link(model_id, "known_as", "timm#net") for model_id in ("timm:net.c", MODELS[-1][0])])
    say(lake, "link", *[link(model_id, "known_as", "timm#x") for model_id in ("timm:net.a", "huggingface:o/net")])
    identify(lake)
    rows = lake.sql("SELECT group_id, hubs, disputed FROM same_model_group ORDER BY ALL").rows()
    assert rows == [
        ("huggingface:o/net", ["huggingface", "timm"], False),
        ("onnx:timm/net_Opset16", ["onnx", "timm"], True),
    ]


names = st.integers(0, 12).map("m{}".format)


@given(st.lists(st.tuples(names, st.sampled_from("ab"), st.integers(0, 6).map(str)), max_size=30))
def test_groups_are_what_merging_one_by_one_gives(rows: list[tuple[str, str, str]]) -> None:
    frame = pl.DataFrame(rows, schema=["model_id", "kind", "key"], orient="row")
    merged: list[set[str]] = []
    for model_id, kind, key in rows:
        alike = {model_id} | {other for other, *shared in rows if shared == [kind, key]}
        apart = [group for group in merged if group.isdisjoint(alike)]
        merged = [*apart, alike.union(*(group for group in merged if group not in apart))]
    found: dict[str, set[str]] = defaultdict(set)
    for model_id, group_id in _grouped(frame):
        found[group_id].add(model_id)
    assert sorted(map(sorted, found.values())) == sorted(map(sorted, merged))
    assert all(group_id == min(group) for group_id, group in found.items())


def test_the_command_line_identifies(lake: Lake) -> None:
    filled(lake)
    command = [sys.executable, "weightlake.py", "identify", "--lake", str(lake.path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "fingerprint" in done.stdout
    absent = lake.path.with_name("absent")
    done = subprocess.run([*command[:-1], str(absent)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n"), absent.exists()) == (2, 1, False)


def members(packed: Path, ending: str) -> Iterator[tuple[str, str]]:
    with tarfile.open(packed) as archive:
        for member in archive:
            if member.name.endswith(ending):
                body = archive.extractfile(member)
                assert body is not None
                yield member.name.removeprefix("./"), body.read().decode()


def known_by_name(data: Path) -> dict[tuple[str, str], set[str]]:
    """The names that models of the three hubs go by in libraries, read once more, simply."""
    known: dict[tuple[str, str], set[str]] = defaultdict(set)
    for path, text in members(data / "onnx" / "onnx_models.tar.gz", "turnkey_stats.yaml"):
        said = yaml.load(text.partition("system_info:")[0], Loader=yaml.CBaseLoader)
        folder = path.split("/")[-2].removesuffix(f"_{said['author']}")
        known[said["author"], said["model_name"].lower()].add(f"onnx:{said['author']}/{folder}")
    for _, text in members(data / "timm" / "timm_results.tar.gz", ".csv"):
        for row in csv.DictReader(io.StringIO(text)):
            if "top1" in row or "pretrain" in row:
                known["timm", row["model"].lower()].add(f"timm:{row['model']}")
    entries = defaultdict(set)
    for _, text in members(data / "pytorch_hub" / "pytorch_hub.tar.gz", ".md"):
        for call in re.findall(
            r"torch\.hub\.load\(\s*#?\s*[\"']([^\"':]+)[^\"']*[\"'],\s*#?\s*[\"']([^\"']+)[\"']", text
        ):
            entries[call[1].lower()].add(f"pytorch_hub:{call[0]}/{call[1]}")
    for name, models in entries.items():
        if len(models) == 1:
            known["torch_hub", name] |= models
    return known


@pytest.mark.data
def test_names_in_libraries_are_those_of_a_second_reading(catalogues: Lake, data_folder: Path) -> None:
    expected = known_by_name(data_folder / "hubs")
    stored: dict[str, set[str]] = defaultdict(set)
    for key, model_id in catalogues.sql("SELECT key, model_id FROM identity WHERE kind = 'library'").iter_rows():
        stored[key].add(model_id)
    shared = {f"{library}#{name}": models for (library, name), models in expected.items() if len(models) > 1}
    assert stored == {key: models for key, models in shared.items() if not key.startswith("torchvision")}


@pytest.mark.data
def test_how_many_models_of_onnx_pytorch_hub_and_timm_are_the_same(catalogues: Lake) -> None:
    query = (
        "SELECT array_to_string(hubs, ' '), count(*), sum(models)::BIGINT FROM same_model_group GROUP BY 1 ORDER BY 1"
    )
    assert catalogues.sql(query).rows() == [
        ("onnx", 325, 863),
        ("onnx pytorch_hub", 6, 23),
        ("onnx pytorch_hub timm", 38, 226),
        ("onnx timm", 463, 1650),
    ]
    disputed = catalogues.sql("SELECT group_id FROM same_model_group WHERE disputed ORDER BY ALL")["group_id"].to_list()
    assert disputed == [
        *[f"onnx:timm/ig_resnext101_32x{width}d_Opset16" for width in (16, 32, 48)],  # exports of the smallest one
        *["onnx:timm/ssl_resnet18_Opset16", "onnx:timm/ssl_resnext101_32x4d_Opset16"],  # of which PyTorch Hub's page
        *["onnx:timm/swsl_resnet18_Opset16", "onnx:timm/swsl_resnext101_32x4d_Opset16"],  # says other numbers
        "onnx:torch_hub/inception_v3_Opset16",  # with its auxiliary head, or without
    ]
    assert examine(catalogues).is_empty()


@pytest.mark.data
def test_records_of_ptmtorrent_are_filled_from_every_hub(catalogues: Lake) -> None:
    shares = {
        (hub, field): (round(share * models), theirs)
        for hub, models, field, share, theirs in catalogues.sql("FROM filled_beside_ptmtorrent").iter_rows()
    }
    assert shares["onnx", "ModelArchitecture"] == (2190, "never")
    assert shares["onnx", "ModelTask"] == (2374, "always")
    assert shares["onnx", "Datasets"] == (146, "never")
    assert shares["onnx", "ModelPaperDOIs"] == (156, "never")
    assert shares["modelhub_ai", "Datasets"] == (11, "never")
    assert shares["modelhub_ai", "ModelPaperDOIs"] == (9, "never")
    assert shares["modelhub_ai", "ModelArchitecture"] == (12, "never")
    assert shares["pytorch_hub", "ModelPaperDOIs"] == (162, "never")
    assert shares["timm", "ModelArchitecture"] == (1788, None)
    records = catalogues.sql("SELECT ModelHub.ModelHubName AS hub, ModelURL FROM ptmtorrent_v1")
    assert records.height == 184 + 2190 + 52 + 118 + 33 + 1788
    assert all(url.startswith("https://") for url in records["ModelURL"])
    dois = catalogues.sql("SELECT DISTINCT unnest(ModelPaperDOIs) AS doi FROM ptmtorrent_v1")["doi"]
    assert all(re.fullmatch(r"10\.\S+/\S+", doi) and "://" not in doi for doi in dois)


SAMPLE = """
WITH sample AS (FROM same_model_group WHERE len(hubs) > 1 ORDER BY md5(group_id) LIMIT 30)
SELECT group_id, any_value(models) AS models, any_value(disputed) AS disputed,
    max(parameters) FILTER (hub = 'onnx') AS parameters,
    list(DISTINCT split_part(name, '.', 1)) FILTER (hub = 'timm') AS architectures
FROM sample JOIN same_model USING (group_id) JOIN model USING (model_id) GROUP BY group_id ORDER BY group_id
"""


@pytest.mark.data
def test_the_sample_that_was_checked_by_hand_is_what_is_found(catalogues: Lake, data_folder: Path) -> None:
    page = (ROOT / "docs" / "same_models.md").read_text(encoding="utf-8")
    written = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in page.splitlines() if "| `onnx" in line]
    found = catalogues.sql(SAMPLE).rows(named=True)
    assert [(cells[0], cells[1], cells[3], "not" in cells[5]) for cells in written] == [
        (row["group_id"], str(row["models"]), f"{row['parameters']:,}", row["disputed"]) for row in found
    ]
    counted: dict[str, str] = {}
    for _, text in members(data_folder / "hubs" / "timm" / "timm_results.tar.gz", ".csv"):
        for line in csv.DictReader(io.StringIO(text)):
            if "infer_samples_per_sec" in line or "train_samples_per_sec" in line:
                counted[line["model"]] = line["param_count"]
    for cells, row in zip(written, found, strict=True):
        assert float(cells[4]) in {float(counted[name]) for name in row["architectures"] if name in counted}
        assert (round(row["parameters"] / 1e6, 2) == float(cells[4])) != row["disputed"]
