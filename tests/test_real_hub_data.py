"""Everything that the real data set has of the Hugging Face Hub, mined from a hub on loopback."""

import gzip
import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from miners.crawl import Crawl
from miners.mining import mine
from schemas import Lake, open_lake
from schemas.doctor import examine
from tests.hub import TestHub

pytestmark = pytest.mark.data

Mined = tuple[Lake, Crawl, list[dict[str, Any]], dict[str, bytes]]


@pytest.fixture(scope="module")
def mined(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mined]:
    """All records and cards, mined with cards, once for all tests."""
    folder = data_folder / "hubs" / "huggingface"
    repositories = tmp_path_factory.mktemp("repositories")
    for name in ("cards_2022.tar.gz", "cards_2025.tar.gz"):
        with tarfile.open(folder / name) as archive:
            archive.extractall(repositories, filter="data")
    records = [record for name in ("models_2022", "models_2025") for record in lines(folder / f"{name}.jsonl.gz")]
    cards = {
        place.parent.relative_to(repositories).as_posix(): place.read_bytes()
        for place in repositories.rglob("README.md")
    }
    lake = open_lake(tmp_path_factory.mktemp("lakes") / "lake")
    with TestHub(records, repositories) as hub:
        yield lake, mine(lake, "huggingface", endpoint=hub.url, cards=True), records, cards


def lines(file: Path) -> list[dict[str, Any]]:
    with gzip.open(file, "rt", encoding="utf-8") as opened:
        return [json.loads(line) for line in opened]


def name_of(record: dict[str, Any]) -> str:
    return str(record.get("id") or record["modelId"])


def test_every_record_is_stored(mined: Mined) -> None:
    lake, crawl, records, _ = mined
    assert crawl.rows_seen == len(records) == 14_708 + 1_019
    assert crawl.rows_seen == crawl.rows_stored + crawl.failures
    assert crawl.failures == 0
    stored = set(lake.sql("SELECT model_id FROM model")["model_id"])
    assert stored == {f"huggingface:{name_of(record)}" for record in records}
    assert examine(lake).is_empty()


def test_scalars_and_lists_are_those_of_the_records(mined: Mined) -> None:
    lake, _, records, _ = mined
    columns = "model_id, sha, downloads, likes, private, files"
    stored = {row[0]: row[1:] for row in lake.sql(f"SELECT {columns} FROM model").iter_rows()}
    keys = ("sha", "downloads", "likes", "private")
    for record in records:
        expected = tuple(record.get(key) for key in keys)
        siblings = record.get("siblings")
        assert stored[f"huggingface:{name_of(record)}"] == (*expected, None if siblings is None else len(siblings))
    assert lake.sql("SELECT count(*) FROM file").item() == sum(len(record.get("siblings") or []) for record in records)
    licensed = Counter(tag for record in records for tag in set(record["tags"]) if tag.startswith("license:"))
    assert (
        dict(lake.sql("SELECT 'license:' || tag, count(*) FROM tag WHERE kind = 'license' GROUP BY 1").iter_rows())
        == licensed
    )
    times = lake.sql("SELECT count(modified_at) FROM model").item()
    assert times == sum("lastModified" in record for record in records)


def test_what_the_cards_say_reaches_the_models(mined: Mined) -> None:
    lake, _, records, _ = mined
    languages: dict[str, set[str]] = {}
    for model_id, tag in lake.sql("SELECT model_id, tag FROM tag WHERE kind = 'language'").iter_rows():
        languages.setdefault(model_id, set()).add(tag)
    listed = {f"huggingface:{name_of(record)}": record for record in records}
    filled = {row[0]: row[1:] for row in lake.sql("SELECT model_id, task, library, license FROM model").iter_rows()}
    for model_id, text in lake.sql("SELECT model_id, metadata FROM card WHERE metadata IS NOT NULL").iter_rows():
        metadata = json.loads(text)
        stated = metadata.get("language")
        spoken = {name for name in (stated if isinstance(stated, list) else [stated]) if name and type(name) is str}
        assert spoken <= languages.get(model_id, set())
        for place, key in enumerate(("pipeline_tag", "library_name")):
            expected = listed[model_id].get(key) or metadata.get(key)
            assert filled[model_id][place] == (expected if isinstance(expected, str) and expected else None)
        assert filled[model_id][2] or not isinstance(metadata.get("license"), str) or not metadata["license"]


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("tag", "model_id, tag, kind"),
        ("link", "model_id, kind, target"),
        ("lineage", "child_id, parent_id, relation"),
    ],
)
def test_nothing_is_said_twice(mined: Mined, table: str, key: str) -> None:
    lake = mined[0]
    assert lake.sql(f"SELECT {key} FROM {table} GROUP BY ALL HAVING count(*) > 1").is_empty()


def test_every_parent_is_there_once(mined: Mined) -> None:
    lake, _, records, _ = mined
    stored = lake.sql("SELECT child_id, parent_id FROM lineage WHERE source = 'tags'")
    expected = {
        (f"huggingface:{name_of(record)}", f"huggingface:{tag.rpartition(':')[2]}")
        for record in records
        for tag in record["tags"]
        if tag.startswith("base_model:")
    }
    assert len(stored) == len(expected)
    assert set(stored.iter_rows()) == expected


def test_every_card_is_stored_as_it_is(mined: Mined) -> None:
    lake, crawl, records, cards = mined
    names = {name_of(record) for record in records}
    served = {name: body for name, body in cards.items() if name in names}
    assert crawl.cards == len(served) > 9_000
    stored = dict(lake.sql("SELECT model_id, text FROM card").iter_rows())
    assert stored == {f"huggingface:{name}": body.decode("utf-8-sig", "replace") for name, body in served.items()}


def slow_problem(body: bytes) -> str | None:
    """The obvious check, one fault a card."""
    if not body.strip():
        return "empty"
    if body.startswith(b"version https://git-lfs"):
        return "LFS pointer"
    text = body.decode("utf-8-sig", "replace").replace("\r\n", "\n").lstrip()
    if not text.startswith("---") or text.split("\n")[0].strip() != "---":
        return "no front matter"
    if "---" not in [line.rstrip() for line in text.split("\n")[1:]]:
        return "front matter not closed"
    try:
        value = yaml.load("\n" + text.split("\n---", 1)[0][3:], Loader=yaml.CBaseLoader)
    except yaml.YAMLError:
        return "invalid YAML"
    return None if isinstance(value, dict) or not value else "not a map"


def is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_every_malformed_card_has_its_problem_named(mined: Mined) -> None:
    lake, _, _, cards = mined
    stored = dict(lake.sql("SELECT model_id, problems FROM card").iter_rows())
    expected = {name: slow_problem(body) for name, body in cards.items()}
    assert {"empty", "LFS pointer", "no front matter", "front matter not closed", "invalid YAML"} <= set(
        expected.values()
    )
    wrong = {}
    for model_id, problems in stored.items():
        name = model_id.removeprefix("huggingface:")
        faults = {expected[name], None if is_utf8(cards[name]) else "not UTF-8"} - {None}
        if faults != set(problems) - {"duplicate keys"}:
            wrong[name] = (faults, problems)
    assert wrong == {}
    assert sum(not is_utf8(body) for body in cards.values()) > 0


def test_good_front_matter_is_stored_as_json(mined: Mined) -> None:
    lake, _, _, _ = mined
    rows = lake.sql("SELECT metadata, len(problems) FROM card")
    assert all(metadata is not None or problems for metadata, problems in rows.iter_rows())
    assert lake.sql("SELECT count(*) FROM card WHERE json_type(metadata) <> 'OBJECT'").item() == 0
    assert lake.sql("SELECT count(*) FROM card WHERE metadata ->> 'license' = 'mit'").item() > 300
    assert lake.sql("SELECT count(DISTINCT model_id) FROM evaluation").item() > 500


def test_a_second_listing_changes_nothing_but_the_time(mined: Mined, data_folder: Path) -> None:
    lake, _, records, _ = mined
    tables = ("tag", "file", "card", "card_section", "lineage", "revision")
    before = [lake.sql(f"SELECT count(*), sum(hash(columns(*))) FROM {table}").rows() for table in tables]
    with TestHub(records) as hub:
        mine(lake, "huggingface", endpoint=hub.url)
    assert [lake.sql(f"SELECT count(*), sum(hash(columns(*))) FROM {table}").rows() for table in tables] == before
    assert lake.sql("SELECT count(*) FROM model").item() == len(records)
    assert lake.sql("SELECT count(*) FROM event").item() == 0
    assert lake.sql("SELECT count(*) FROM observation").item() == 2 * len(records)
