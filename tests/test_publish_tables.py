"""Mined tables published: others get the rows, and never e-mail addresses, folders, or cards that were not meant."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from huggingface_hub import DatasetCard, HfApi

from schemas import HubError, Lake, UsageError
from tests.hub import Reply, TestHub
from tests.published import everything_in, rows_of
from zoo import publish_tables
from zoo.publishing.published import open_published

SECRETS = ("ada@example.org", "ben.b+x@mail.example.co.uk", "(at) example", "/home/ada")
TEXT = "Write to ada@example.org or ben (at) example (dot) org. A secret recipe."


@pytest.fixture
def mined(lake: Lake) -> Lake:
    ids = ["local:ada/one", "local:ben/two"]
    with lake.write() as transaction:
        rows = {
            "model_id": ids,
            "hub": "local",
            "owner": ["ada", "ben"],
            "name": ["one", "two"],
            "downloads": [7, None],
        }
        said = {"license": ["mit", None], "license_spdx": ["MIT", None], "location": "/home/ada/one"}
        transaction.append("model", pl.DataFrame(rows | said))
        card = {"model_id": ids[:1], "text": TEXT, "metadata": '{"author": "ada@example.org"}', "bytes": 80}
        transaction.append("card", pl.DataFrame(card | {"problems": [["no ben.b+x@mail.example.co.uk"]]}))
        section = {"model_id": ids[:1], "position": [0], "heading": "ada@example.org", "evidence": "A secret recipe"}
        transaction.append("card_section", pl.DataFrame(section))
        transaction.append(
            "tag", pl.DataFrame({"model_id": ids, "tag": ["mail:ada@example.org", "x"], "kind": "plain"})
        )
        crawl = {
            "crawl_id": ["c"],
            "hub": "local",
            "source": "/home/ada",
            "query": '{"folder": "/home/ada"}',
            "state": "finished",
        }
        transaction.append("crawl", pl.DataFrame(crawl | {"rows_seen": [2], "rows_stored": [2], "failures": [0]}))
        failure = {"crawl_id": "c", "hub": "local", "subject": ["/home/ada/one", "local:ben/two"], "stage": "listing"}
        transaction.append(
            "failure", pl.DataFrame(failure | {"reason": ["torn", "is already the model in /home/ada/one; rename it"]})
        )
    return lake


def test_tables_arrive_whole_but_for_what_is_not_to_leave(mined: Lake, tmp_path: Path) -> None:
    tables = "model, tag, card, card_section, crawl, failure, event"
    files = publish_tables(mined, tables, tmp_path / "out", license_id="cc-by-4.0")
    assert files.filter(pl.col("rows").is_not_null())["file"].to_list() == [
        f"{table}/train-0.parquet" for table in ("model", "tag", "card", "card_section", "crawl", "failure")
    ]
    expected = mined.sql("SELECT * EXCLUDE (location) FROM model ORDER BY ALL")
    assert rows_of(tmp_path / "out", "model").drop("location").sort(pl.all()).equals(expected)
    shown = "\n".join(
        rows_of(tmp_path / "out", table).write_json() for table in ("model", "tag", "card", "card_section", "crawl")
    )
    assert not [secret for secret in (*SECRETS, "secret recipe", 'location":"') if secret in shown]
    assert not [
        secret
        for secret in SECRETS
        for content in everything_in(tmp_path / "out").values()
        if secret.encode() in content
    ]
    failures = rows_of(tmp_path / "out", "failure")[["subject", "reason"]].sort("reason")
    assert failures.rows() == [("local:ben/two", None), (None, "torn")]
    assert "| local | files of the publisher | 1 |" in (tmp_path / "out" / "README.md").read_text()
    assert rows_of(tmp_path / "out", "tag")["tag"].sort().to_list() == ["mail:[e-mail removed]", "x"]
    assert rows_of(tmp_path / "out", "card")["problems"].to_list() == [["no [e-mail removed]"]]


def test_cards_come_with_their_licences_where_they_are_meant(mined: Lake, tmp_path: Path) -> None:
    publish_tables(mined, "card", tmp_path / "out", with_cards=True)
    (card,) = rows_of(tmp_path / "out", "card").rows(named=True)
    assert card["text"] == "Write to [e-mail removed] or [e-mail removed]. A secret recipe."
    assert (card["license"], card["license_spdx"]) == ("mit", "MIT")
    assert json.loads(card["metadata"]) == {"author": "[e-mail removed]"}
    with pytest.raises(UsageError, match="may give texts of card without their licence; join model"):
        publish_tables(mined, "SELECT model_id, text FROM card", tmp_path / "out", with_cards=True)
    query = "SELECT model_id, text, license FROM card JOIN model USING (model_id)"
    publish_tables(mined, query, tmp_path / "out", name="texts", with_cards=True)
    assert rows_of(tmp_path / "out", "texts").columns == ["model_id", "text", "license"]
    assert not (tmp_path / "out" / "card").exists()


@pytest.mark.parametrize(
    "address",
    [
        *("müller@exämple.de", "o'brien@uni.edu", "josé@uni.es", "ada AT example DOT org", "ada&#64;example.org"),
        *("ada%40example.org", "{ada,ben}@uni.edu", "ben @ example . com", "ada [at] example [dot] org"),
    ],
)
def test_addresses_are_removed_however_they_are_written(mined: Lake, tmp_path: Path, address: str) -> None:
    with mined.write() as transaction:
        tag = {"model_id": ["local:ada/one"], "tag": [f"by {address} and more"], "kind": "plain"}
        transaction.append("tag", pl.DataFrame(tag))
    publish_tables(mined, "SELECT tag FROM tag WHERE tag LIKE 'by %'", tmp_path / "out")
    assert rows_of(tmp_path / "out", "query")["tag"].to_list() == ["by [e-mail removed] and more"]


@pytest.mark.parametrize(
    "text", ["transformers@v4.2", "huggingface.co/ada/one@main", "accuracy of 0.9. At last it works"]
)
def test_what_is_no_address_stays(mined: Lake, tmp_path: Path, text: str) -> None:
    with mined.write() as transaction:
        transaction.append("tag", pl.DataFrame({"model_id": ["local:ada/one"], "tag": [text], "kind": "plain"}))
    publish_tables(mined, "SELECT tag FROM tag WHERE tag NOT LIKE '%ada@%' AND tag <> 'x'", tmp_path / "out")
    assert rows_of(tmp_path / "out", "query")["tag"].to_list() == [text]


def test_a_quotation_that_ends_within_an_address_loses_it(mined: Lake, tmp_path: Path) -> None:
    with mined.write() as transaction:
        cut = {
            "model_id": ["local:ada/one"],
            "position": [1],
            "heading": ["Contact"],
            "evidence": ["Write to ada@exam"],
        }
        transaction.append("card_section", pl.DataFrame(cut))
    query = "SELECT evidence AS said, license FROM card_section JOIN model USING (model_id) WHERE position = 1"
    publish_tables(mined, query, tmp_path / "out", with_cards=True)
    assert rows_of(tmp_path / "out", "query")["said"].to_list() == ["Write to [e-mail removed]"]


@pytest.mark.parametrize("license_id", ["cc-by-4.0", "ask ada@example.org"])
def test_no_text_of_a_publication_has_an_address(mined: Lake, tmp_path: Path, license_id: str) -> None:
    """Neither the card, which shows the query and says names, nor a column's name, a structure or a kind of word."""
    query = """
        SELECT tag AS "ada@example.org", {'ada@example.org': 1} AS pair,
            'ada@example.org'::ENUM ('ada@example.org') AS word
        FROM tag WHERE tag LIKE '%ada@example.org%' OR tag = 'ben.b+x@mail.example.co.uk' OR tag LIKE '/home/ada/%'
    """
    out = tmp_path / "of ada@example.org"
    publish_tables(mined, query, out, license_id=license_id)
    assert rows_of(out, "query").columns == ["[e-mail removed]", "pair", "word"]
    for name, content in everything_in(out).items():
        assert not [secret for secret in SECRETS if secret.encode() in content], name
    card = DatasetCard.load(out / "README.md").data.to_dict()
    assert card["pretty_name"] == "of [e-mail removed]"
    assert card["license"] == license_id.replace("ada@example.org", "[e-mail removed]")
    assert "tag LIKE '%[e-mail removed]%' OR tag = '[e-mail removed]'" in (out / "README.md").read_text()


def test_views_over_cards_need_licences_too(mined: Lake, tmp_path: Path) -> None:
    with mined.write() as transaction:
        topic = {"model_id": ["local:ada/one"], "scheme": ["s"], "topic": ["t"], "filled": [True], "position": [0]}
        transaction.append("card_topic", pl.DataFrame(topic))
    with pytest.raises(UsageError, match="may give texts of documentation_evidence without their licence"):
        publish_tables(mined, "SELECT evidence FROM documentation_evidence", tmp_path / "out", with_cards=True)
    publish_tables(mined, "documentation_evidence", tmp_path / "out", with_cards=True)
    assert rows_of(tmp_path / "out", "documentation_evidence")["license"].to_list() == ["mit"]


def test_reasons_lose_the_folders_of_this_machine(mined: Lake, tmp_path: Path) -> None:
    failure = {"crawl_id": ["z"], "hub": "zoo", "subject": "trial", "stage": "weights"}
    with mined.write() as transaction:
        reason = {"reason": ["/home/ada/ray/checkpoint_1 is damaged; see https://example.org/a/b"]}
        transaction.append("failure", pl.DataFrame(failure | reason))
    publish_tables(mined, "SELECT reason FROM failure WHERE hub = 'zoo'", tmp_path / "out")
    shown = rows_of(tmp_path / "out", "query")["reason"].to_list()
    assert shown == ["[folder removed] is damaged; see https://example.org/a/b"]


@pytest.mark.parametrize(
    "query", ["SELECT text FROM card", "SELECT text FROM main.card", "WITH c AS (FROM card) SELECT text FROM c"]
)
def test_no_query_gets_at_cards_that_are_not_meant(mined: Lake, tmp_path: Path, query: str) -> None:
    publish_tables(mined, query, tmp_path / "out")
    assert rows_of(tmp_path / "out", "query")["text"].to_list() == [None]


def test_datasets_and_duckdb_read_a_query_s_rows(mined: Lake, tmp_path: Path) -> None:
    publish_tables(mined, "SELECT hub, count(*) AS models FROM models GROUP BY hub;", tmp_path / "out", name="hubs")
    assert duckdb.execute(f"SELECT hub, models FROM '{tmp_path}/out/hubs/*.parquet'").fetchall() == [("local", 2)]
    card = DatasetCard.load(tmp_path / "out" / "README.md")
    assert [config["config_name"] for config in card.data.to_dict()["configs"]] == ["hubs"]
    program = (
        "import datasets, sys; print(list(datasets.load_dataset(sys.argv[1], 'hubs', split='train', streaming=True)))"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "out")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "[{'hub': 'local', 'models': 2}]", done.stderr


@pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")  # huggingface_hub's
def test_tables_go_to_a_hub_and_are_read_from_there(mined: Lake, upload_hub: TestHub) -> None:
    files = publish_tables(mined, "model,tag", "hf:ada/mined")
    assert set(files["commit"]) == {1}
    back = open_published("hf:ada/mined").sql("SELECT model_id, downloads FROM model ORDER BY ALL")
    assert back.equals(mined.sql("SELECT model_id, downloads FROM model ORDER BY ALL"))
    assert not list((mined.path / "published").iterdir())


def test_progress_goes_over_the_rows_of_all_tables(mined: Lake, tmp_path: Path) -> None:
    heard: list[tuple[int, int | None, str]] = []
    publish_tables(mined, "model,tag,card", tmp_path / "out", progress=lambda *said: heard.append(said))
    assert heard == [(2, 5, "model"), (4, 5, "tag"), (5, 5, "card")]


def test_a_dry_run_counts_and_writes_nothing(mined: Lake, tmp_path: Path) -> None:
    plan = publish_tables(mined, "model,tag,event", tmp_path / "out", dry_run=True)
    assert plan.select("file", "rows").rows() == [
        ("model/train-0.parquet", 2),
        ("tag/train-0.parquet", 2),
        ("README.md", None),
    ]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("modl", "'modl' is no table of this lake: expected one of: .*did you mean 'model'"),
        ("model,tags", "'tags' is no table"),
        ("event", "'event' has no rows; there is nothing to publish"),
        ("SELECT nothing FROM model", "nothing"),
        ("SELECT text FROM lake.card", "name tables without the lake's name"),
        ("DELETE FROM model", "syntax|parser"),
    ],
)
def test_what_cannot_be_published_is_said(mined: Lake, tmp_path: Path, what: str, says: str) -> None:
    with pytest.raises(UsageError, match=f"(?i){says}"):
        publish_tables(mined, what, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="expected letters, digits and underscores"):
        publish_tables(mined, "model", tmp_path / "out", name="a/b")


@pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")  # huggingface_hub's
def test_tables_whose_upload_stopped_between_commits_go_on_there(
    mined: Lake, upload_hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first commit is there, the second is refused: nobody is shown a card, and the same call sends the rest."""
    monkeypatch.setattr("zoo.publishing.commits.portions.__defaults__", (2,))
    assert upload_hub.uploads is not None
    once = HfApi.upload_folder

    def then_refuse(api: HfApi, **said: Any) -> Any:
        done = once(api, **said)
        upload_hub.misbehave("*/commit/*", Reply(400, {}, b'{"error": "not now"}'))
        return done

    tables = "model,tag,failure"
    with monkeypatch.context() as stopping:
        stopping.setattr(HfApi, "upload_folder", then_refuse)
        with pytest.raises(HubError, match="the hub answers 400"):
            publish_tables(mined, tables, "hf:ada/mined")
    upload_hub.orders.clear()
    first = [set(paths) for _, paths in upload_hub.uploads.commits]
    assert len(first) == 1
    assert "README.md" not in first[0]
    publish_tables(mined, tables, "hf:ada/mined")
    commits = [set(paths) for _, paths in upload_hub.uploads.commits]
    assert commits[0] == first[0]
    assert not first[0].intersection(*commits[1:])
    publish_tables(mined, tables, tmp_folder := mined.path.parent / "local")
    published = open_published("hf:ada/mined")
    for table in tables.split(","):
        assert published.sql(f"FROM {table} ORDER BY ALL").equals(
            open_published(tmp_folder).sql(f"FROM {table} ORDER BY ALL")
        )
