"""Published datasets read back, from a folder and from a hub: the same rows and weights, and no bytes but those."""

import io
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
import torch
from huggingface_hub import snapshot_download
from hypothesis import given
from hypothesis import strategies as st

from schemas import DataError, HubError, Lake, UsageError
from tests.hub import Reply, TestHub
from tests.mined_models import equal
from zoo import load_population, load_weights, publish_population
from zoo.families import SPLITS
from zoo.load import Population
from zoo.publishing.address import OnHub, parse_address
from zoo.publishing.pieces import Pieces
from zoo.publishing.published import open_published
from zoo.publishing.ranges import joined

REPOSITORY = "ada/tiny-zoo"
WIDE = 200_000
"""Parameters of a member of the population whose bytes are counted."""


@pytest.fixture(scope="module")
def uploads(undisturbed: Lake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    publish_population(undisturbed, "tiny", folder / "datasets" / REPOSITORY, license_id="cc-by-4.0")
    return folder


@pytest.fixture
def hub(uploads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestHub]:
    with TestHub(uploads=uploads, large_files="elsewhere") as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        yield running


def test_a_folder_gives_the_weights_of_the_lake(undisturbed: Lake, uploads: Path) -> None:
    population = load_population(uploads / "datasets" / REPOSITORY, "width = 3 AND batch_size = $size", size=4)
    assert len(population) == 2
    assert population.rows["train_loss"].null_count() == 0
    for index, model_id in enumerate(population.rows["model_id"]):
        assert equal(population.member(index), load_weights(undisturbed, model_id))


def test_a_query_chooses_epochs_and_order(undisturbed: Lake, uploads: Path) -> None:
    query = """
    SELECT DISTINCT model_id, epoch, hash(model_id || epoch) AS place FROM tensors JOIN models USING (model_id)
    WHERE width = 4 ORDER BY place
    """
    population = load_population(str(uploads / "datasets" / REPOSITORY), query)
    assert len(population) == 4 * 3
    for index, (model_id, epoch, _) in enumerate(population.rows.iter_rows()):
        assert equal(population.member(index), load_weights(undisturbed, model_id, epoch))


def test_a_hub_gives_the_same(undisturbed: Lake, uploads: Path, hub: TestHub) -> None:
    condition = "width = 4 AND seed = 1"
    here = load_population(uploads / "datasets" / REPOSITORY, condition)
    there = load_population(f"hf:{REPOSITORY}", condition)
    assert equal(here.tensors, there.tensors)
    assert here.rows.equals(there.rows)
    assert not [request for request in hub.requests("*training*") if request.method == "GET"]


def test_tables_of_a_hub_are_asked_in_sql(undisturbed: Lake, hub: TestHub) -> None:
    published = open_published(f"hf:{REPOSITORY}")
    assert set(published.tables) == {"models", "training", "populations", "tensors"}
    query = "SELECT model_id, max(epoch) AS epochs FROM training GROUP BY ALL ORDER BY ALL"
    assert published.sql(query).equals(undisturbed.sql(query))
    assert [request.path for request in hub.requests("*/resolve/*.parquet") if "models/" in request.path] == []


def test_splits_of_published_models_keep_together_what_the_lake_does(copied: Lake, tmp_path: Path) -> None:
    """Three of four models descend from one that was not published, one of them by way of another."""
    ids = copied.sql("SELECT model_id FROM member WHERE width = 3 ORDER BY ALL")["model_id"].to_list()
    lines = [(ids[0], "a"), (ids[1], ids[0]), ("b", "a"), (ids[3], "b")]
    with copied.write() as transaction:
        steps = pl.DataFrame(lines, schema=["child_id", "parent_id"], orient="row")
        transaction.append("lineage", steps.with_columns(relation=pl.lit("finetune")))
    publish_population(copied, "tiny", tmp_path / "published", license_id="cc0-1.0", together="parent")
    checkpoints = (
        "SELECT DISTINCT model_id, epoch FROM tensors JOIN models USING (model_id) WHERE width = 3 ORDER BY 1, 2"
    )
    for query, epochs in (("width = 3", 1), (checkpoints, 3)):
        population = load_population(tmp_path / "published", query)
        for seed in range(5):
            parts = population.split(0.5, 0.0, 0.5, seed)
            kin = [part for part, models in parts.items() if {child for child, _ in lines} & {*models.rows["model_id"]}]
            assert len(kin) == 1
            assert sorted(map(len, parts.values())) == [0, epochs, 3 * epochs]
    related = load_population(tmp_path / "published", "list_contains($ids, model_id)", ids=[ids[0], ids[3]])
    with pytest.raises(UsageError, match="there is no family of models for the part test: 2 of them descend from or"):
        related.split(0.5, 0.0, 0.5)
    unknown = Population(population.tensors, population.rows)
    with pytest.raises(
        UsageError, match=r"the rows have no column family, .* a split could leak; load the population from"
    ):
        unknown.split(0.5, 0.0, 0.5)


def test_only_the_bytes_asked_for_are_fetched(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that the hub sends, tables and listings too, is within ten per cent of the tensors' size."""
    stack = {"weight": torch.randn(40, WIDE), "steps": torch.arange(40)}
    digest = lake.weights.write("wide.safetensors", stack)
    ids = [f"zoo:wide/{index:02}" for index in range(40)]
    places = {"epoch": 5, "final": True, "shard": "wide.safetensors", "shard_sha256": digest}
    with lake.write() as transaction:
        transaction.append("model", pl.DataFrame({"model_id": ids, "hub": "zoo", "architecture": "mlp"}))
        members = {"model_id": ids, "population_id": "wide", "width": [i % 8 for i in range(40)], "state": "trained"}
        transaction.append("member", pl.DataFrame(members))
        transaction.append(
            "checkpoint", pl.DataFrame([{"model_id": name, "row": row, **places} for row, name in enumerate(ids)])
        )
        transaction.sql("INSERT INTO population BY NAME SELECT 'wide' AS population_id, 'wide' AS name, 40 AS members")
    publish_population(lake, "wide", tmp_path / "hub" / "datasets" / "ada" / "wide", license_id="cc0-1.0")
    with TestHub(uploads=tmp_path / "hub") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        population = load_population("hf:ada/wide", "width IN (2, 5)")
        assert len(population) == 10
        for index, model_id in enumerate(population.rows["model_id"]):
            assert torch.equal(population.tensors["weight"][index], stack["weight"][ids.index(model_id)])
            assert population.tensors["steps"][index] == ids.index(model_id)
        size = sum(tensor.nbytes for tensor in population.tensors.values())
        assert size <= hub.served <= 1.1 * size
        weights = sum(request.served for request in hub.requests("*blobs*.safetensors"))
        assert size <= weights <= 1.05 * size


def test_one_of_thousands_takes_a_part_of_the_tables_too(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of 6,000 costs a part of the tables by which they are found, a cell little more, and no byte comes twice."""
    groups, seeds = 40, 150
    rows = []
    for group in range(groups):
        shard, cell = f"many/{group}.safetensors", {"width": group // 8, "batch_size": 2 ** (group % 8)}
        digest = lake.weights.write(shard, {"w": torch.randn(seeds, 5, 9), "b": torch.randn(seeds, 5)})
        place = {"shard": shard, "shard_sha256": digest, "epoch": 5, "final": True}
        name = f"zoo:many/w{group // 8}-b{2 ** (group % 8)}"
        rows += [{"model_id": f"{name}-s{seed}", "row": seed, **place, **cell} for seed in range(seeds)]
    frame = pl.DataFrame(rows)
    curves = pl.DataFrame(
        [(row["model_id"], 5, split, "accuracy", torch.rand(()).item()) for row in rows for split in SPLITS],
        schema=["model_id", "epoch", "split", "metric", "value"],
        orient="row",
    )
    starts = frame.select(
        child_id="model_id",
        parent_id=pl.format("state:{}", pl.col("model_id").hash()),
        relation=pl.lit("initialised-from"),
    )
    with lake.write() as transaction:
        transaction.append("checkpoint", frame.drop("width", "batch_size"))
        transaction.append("model", frame.select("model_id", hub=pl.lit("zoo"), architecture=pl.lit("mlp")))
        transaction.append("training", curves)
        transaction.append("lineage", starts)
        members = frame.select("model_id", "width", "batch_size", population_id=pl.lit("many"), state=pl.lit("trained"))
        transaction.append("member", members)
        transaction.sql("INSERT INTO population BY NAME SELECT 'many' AS population_id, 'many' AS name, 1 AS members")
    folder = tmp_path / "hub" / "datasets" / "ada" / "many"
    publish_population(lake, "many", folder)
    tables = sum(path.stat().st_size for config in ("models", "tensors") for path in (folder / config).iterdir())
    for condition, count in {
        f"model_id = '{rows[1234]['model_id']}'": 1,
        "width = 3 AND batch_size = 4": seeds,
    }.items():
        with TestHub(uploads=tmp_path / "hub", large_files="elsewhere") as hub:
            monkeypatch.setenv("HF_ENDPOINT", hub.url)
            monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
            population = load_population("hf:ada/many", condition)
        for index in {0, count - 1}:
            assert equal(population.member(index), load_weights(lake, population.rows["model_id"][index]))
        size = sum(tensor.nbytes for tensor in population.tensors.values())
        assert sum(request.served for request in hub.requests("*.safetensors")) <= 1.05 * size + 1000
        assert hub.served - size < tables * (0.6 if count == 1 else 0.9)
        for table in {request.path for request in hub.requests("*blobs*.parquet")}:
            asked = [request.headers["range"] for request in hub.requests(table)]
            pieces = sorted(tuple(map(int, each.removeprefix("bytes=").split("-"))) for each in asked)
            assert all(before[1] < after[0] for before, after in pairwise(pieces)), table


def test_a_hub_that_breaks_off_within_a_table_is_named(hub: TestHub) -> None:
    hub.misbehave("*blobs*.parquet", "wrong content-range", times=9)
    with pytest.raises(HubError, match=r"asked for the bytes .* the hub sends others"):
        load_population(f"hf:{REPOSITORY}", "width = 3")


def test_tables_in_the_cache_of_the_client_are_read_from_there(undisturbed: Lake, hub: TestHub) -> None:
    snapshot_download(REPOSITORY, repo_type="dataset", endpoint=hub.url, allow_patterns="training/*")
    hub.log.clear()
    published = open_published(f"hf:{REPOSITORY}")
    query = "SELECT count(*) AS n FROM training"
    assert published.sql(query).equals(undisturbed.sql(query))
    assert not hub.requests("*.parquet")


@given(st.lists(st.tuples(st.integers(0, 30_000), st.integers(0, 9_000)), max_size=20), st.integers(0, 3), st.data())
def test_pieces_are_the_file_and_none_is_fetched_twice(
    asked: list[tuple[int, int]], groups: int, data: st.DataObject
) -> None:
    """Read anywhere in a table of several groups of rows, in any order; or in a file that is no table."""
    written = io.BytesIO()
    numbers = pl.DataFrame({"a": range(2000), "b": [f"{number**3}" for number in range(2000)], "c": [None] * 2000})
    numbers.write_parquet(written, row_group_size=max(1, 2000 // max(1, groups)))
    whole = written.getvalue() if groups else data.draw(st.binary(max_size=9_000))
    fetched: list[tuple[int, int]] = []

    def fetch(piece: tuple[int, int]) -> bytes:
        fetched.append(piece)
        return whole[slice(*piece)]

    pieces = Pieces(len(whole), fetch)
    for begin, length in asked:
        assert pieces.read(begin, begin + length) == whole[begin : begin + length]
    assert all(before[1] <= after[0] for before, after in pairwise(sorted(fetched)))
    assert all(0 <= begin < end <= len(whole) for begin, end in fetched)


@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 60)).map(lambda pair: (pair[0], sum(pair))), max_size=30),
    st.integers(1, 100),
)
def test_joined_ranges_cover_what_is_asked_and_little_else(ranges: list[tuple[int, int]], largest: int) -> None:
    wanted = {byte for begin, end in ranges for byte in range(begin, end)}
    found = joined(ranges, largest=largest)
    covered = [byte for begin, end in found for byte in range(begin, end)]
    assert len(covered) == len(set(covered))
    assert covered == sorted(covered)
    assert wanted <= set(covered)
    assert len(covered) <= 1.05 * len(wanted)
    assert all(0 < end - begin <= largest for begin, end in found)


def test_a_dataset_that_changes_is_read_as_it_was_opened(uploads: Path, hub: TestHub) -> None:
    published = open_published(f"hf:{REPOSITORY}")
    assert all(len(tensor) == 4 for tensor in published.stacked(published.models("width = 3")).values())
    assert f"/{published.source.revision}/" in hub.requests("*resolve*")[-1].path  # type: ignore[attr-defined] # a hub's


@pytest.mark.parametrize("fault", ["503", "reset", "cut body"])
def test_a_hub_that_stumbles_is_asked_again(uploads: Path, hub: TestHub, fault: str) -> None:
    hub.misbehave("*blobs*.safetensors", fault)  # type: ignore[arg-type] # each is a Fault
    assert len(load_population(f"hf:{REPOSITORY}", "width = 3")) == 4


def test_an_address_that_has_expired_is_asked_for_anew(hub: TestHub) -> None:
    hub.misbehave("*blobs*.safetensors", Reply(403, {}, b"<Error><Code>AccessDenied</Code></Error>"))
    assert len(load_population(f"hf:{REPOSITORY}", "width = 3")) == 4


def test_other_bytes_than_those_asked_for_are_refused(hub: TestHub) -> None:
    hub.misbehave("*blobs*.safetensors", "wrong content-range", times=9)
    with pytest.raises(HubError, match=r"asked for the bytes .* the hub sends others"):
        load_population(f"hf:{REPOSITORY}", "width = 3")


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("width = 'x", "unterminated"),
        (" ", "the condition is empty; try width = 8, or true for all"),
        ("hight = 3", r"hight.*the tables of .*: models, populations, tensors, training"),
        ("width = 99", "selects no model of"),
        ("SELECT width FROM models", "it has to return model_id"),
        ("SELECT model_id FROM model", "model does not exist"),
        ("true", "these cannot be stacked: tensor linear1.bias is not alike in all 8 models"),
        ("SELECT model_id, 2 AS epoch FROM models", "has no checkpoint of epoch 2 for zoo:tiny"),
        ("width = $width", "the query has .width in it, and no value is given for it"),
        ("SELECT 'nobody' AS model_id", "has no weights for nobody"),
    ],
)
def test_what_cannot_be_loaded_is_said(uploads: Path, condition: str, says: str) -> None:
    with pytest.raises(UsageError, match=f"(?is){says}"):
        load_population(uploads / "datasets" / REPOSITORY, condition)


@pytest.mark.parametrize("condition", ["width =", "width = 3 AND", "width = 3 AND )"])
def test_a_complaint_names_no_word_that_nobody_wrote(uploads: Path, condition: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_population(uploads / "datasets" / REPOSITORY, condition)
    (near,) = re.findall(r'syntax error at or near "(.+?)"', str(caught.value))
    assert near in condition


def test_what_a_condition_selects_is_in_order(uploads: Path) -> None:
    names = open_published(uploads / "datasets" / REPOSITORY).models("true")["model_id"].to_list()
    assert names == sorted(names)


def test_a_dataset_that_is_not_there_is_said(hub: TestHub, tmp_path: Path) -> None:
    with pytest.raises(HubError, match="hf:ada/nothing does not exist, or is private"):
        load_population("hf:ada/nothing", "true")
    with pytest.raises(UsageError, match="has no such revision"):
        load_population(f"hf:{REPOSITORY}@v7", "true")
    with pytest.raises(UsageError, match="expected a published dataset"):
        load_population(tmp_path / "nowhere", "true")
    with pytest.raises(UsageError, match="is no published dataset: there is no table in it"):
        load_population(tmp_path, "true")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"shard": "README.md"}, "which are not there"),
        ({"shard": "weights/../README.md"}, "which are not there"),
        ({"end_byte": 10**12}, "which are not there"),
        ({"begin_byte": 0}, "gives tensor"),
        ({"dtype": "pickle"}, "gives tensor"),
        ({"shape": [10**9]}, "gives tensor"),
        ({"shape": [None]}, "says of a tensor nothing, or twice"),
        ({"shape": [-1, -1]}, "says of a tensor nothing, or twice"),
        ({"shard": None}, "says of a tensor nothing, or twice"),
        ({"begin_byte": None}, "says of a tensor nothing, or twice"),
        ({"name": "w"}, "says of a tensor nothing, or twice"),
        ({"shard": ""}, "which are not there"),
    ],
)
def test_an_index_is_not_believed(undisturbed: Lake, tmp_path: Path, change: dict[str, object], says: str) -> None:
    publish_population(
        undisturbed, "SELECT model_id, NULL AS epoch FROM member WHERE width = 3 AND seed = 0", tmp_path / "out"
    )
    index = tmp_path / "out" / "tensors" / "train-0.parquet"
    frame = pl.read_parquet(index)
    frame.with_columns(**{name: pl.lit(value, frame.schema[name]) for name, value in change.items()}).write_parquet(
        index
    )
    with pytest.raises(DataError, match=says):
        load_population(tmp_path / "out", "width = 3")


def test_damaged_tables_are_told_from_mistakes(undisturbed: Lake, tmp_path: Path) -> None:
    publish_population(undisturbed, "SELECT model_id FROM member WHERE width = 3 AND seed = 0", tmp_path / "out")
    models, index = (tmp_path / "out" / config / "train-0.parquet" for config in ("models", "tensors"))
    content = models.read_bytes()
    for damaged in (content[:-100], b"PAR1" + b"\xff" * 400 + b"PAR1", b""):
        models.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a table of .* cannot be read"):
            load_population(tmp_path / "out", "width = 3")
    models.write_bytes(content)
    for config in ("tensors/train-0.parquet", "tensors/test-0.parquet"):
        (tmp_path / "out" / config).unlink(missing_ok=True)
    assert not index.exists()
    with pytest.raises(UsageError, match="holds no weights: it has no table tensors, only models"):
        load_population(tmp_path / "out", "width = 3")


@pytest.mark.parametrize("text", ["hf:", "hf:ada", "hf:a/b/c", "hf:../x/y", "hf:ada/..", "hf:ada/b c", "hf:a--b/c"])
def test_what_is_no_address_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="expected hf:owner/name"):
        parse_address(text)


def test_addresses_are_folders_or_repositories() -> None:
    assert parse_address("hf:ada/zoo@v1") == OnHub("ada/zoo", "v1")
    assert str(parse_address("hf:ada/zoo")) == "hf:ada/zoo"
    assert parse_address("some/folder") == Path("some/folder")
