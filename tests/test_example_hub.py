"""The small hub that comes with the package: mining it gives what mining the test hub's copy of it gives."""

from pathlib import Path

import httpx2
from polars.testing import assert_frame_equal

from commands.example_hub import example_hub
from commands.example_models import MODELS, record, write_example
from miners import mine
from schemas import Lake, examine, open_lake
from tests.hub import TestHub
from tests.hub.repositories import Repositories
from tests.hub.uploads import said_by_card

TABLES = ("model", "tag", "link", "lineage", "card", "card_section", "documentation", "tensor", "weights", "file")
TIMES = ("crawl_id", "first_seen", "last_seen", "fetched_at", "sha")


def test_mining_it_gives_what_the_test_hub_would_give(lake: Lake, tmp_path: Path) -> None:
    with example_hub() as hub:
        crawl = mine(lake, "huggingface", endpoint=hub.url, cards=True, tensors=True)
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (len(MODELS), len(MODELS), 0)
    repositories = write_example(tmp_path / "repositories")
    other = open_lake(tmp_path / "other")
    records = [record(repositories, each) for each in MODELS]
    with TestHub(records, repositories) as strict:
        mine(other, "huggingface", endpoint=strict.url, cards=True, tensors=True)
    for table in TABLES:
        ours, theirs = (
            each.sql(f"SELECT COLUMNS(lambda c: c NOT IN {TIMES}) FROM {table} ORDER BY ALL") for each in (lake, other)
        )
        assert_frame_equal(ours, theirs)
        assert ours.height or table == "link"
    assert examine(lake).is_empty()


def test_its_records_say_what_its_cards_say(tmp_path: Path) -> None:
    repositories = write_example(tmp_path)
    with TestHub(None, repositories) as strict:
        listed = {each["id"]: each for each in httpx2.get(f"{strict.url}/api/models?full=true").json()}
    assert set(listed) == {each.name for each in MODELS}
    for each in MODELS:
        said = record(repositories, each)
        assert {file["rfilename"] for file in listed[each.name]["siblings"]} == {
            file["rfilename"] for file in said["siblings"]
        }
        fields = said_by_card(Repositories(repositories), each.name)
        assert {key: said.get(key) for key in fields} == fields


def test_what_it_does_not_have_is_not_found() -> None:
    with example_hub() as hub:
        for path in ("/grove/oak/resolve/main/../../../../etc/passwd", "/grove/elm/resolve/main/README.md", "/x"):
            assert httpx2.get(f"{hub.url}{path}").status_code == 404
        part = httpx2.get(f"{hub.url}/grove/oak/resolve/main/README.md", headers={"range": "bytes=0-2"})
        assert (part.status_code, part.text, part.headers["content-range"][:10]) == (206, "---", "bytes 0-2/")
