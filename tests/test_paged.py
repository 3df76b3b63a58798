"""What all hubs have in common that list their models page by page: ended runs, sources, and what goes wrong there."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from miners.http import HubClient
from miners.mining import mine
from schemas import DataError, HubError, Lake, UsageError, open_lake
from schemas.doctor import examine
from tests.archives import archive
from tests.conftest import ROOT
from tests.hub import Reply
from tests.sites import Civitai, Kaggle, ModelScope

TABLES = ("model", "tag", "link", "file", "statement", "card", "lineage")
TIMES = {"model": "first_seen, last_seen, crawl_id", "card": "fetched_at"}


def models(number: int) -> list[dict[str, Any]]:
    return [{"id": f"o{place % 3}/m{place}", "tags": ["x"], "license": "mit"} for place in range(number)]


def rows(lake: Lake, table: str) -> list[tuple[Any, ...]]:
    columns = f"* EXCLUDE ({TIMES[table]})" if table in TIMES else "*"
    return lake.sql(f"SELECT {columns} FROM {table} ORDER BY ALL").rows()


@pytest.fixture
def client() -> Iterator[Callable[[str], HubClient]]:
    """Clients that do not wait between their attempts."""
    made: list[HubClient] = []

    def make(url: str) -> HubClient:
        made.append(HubClient(url, token=False, attempts=3, timeout=2, sleep=lambda seconds: None))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_run_that_was_ended_goes_on_where_it_was(lake: Lake, tmp_path: Path) -> None:
    whole = open_lake(tmp_path / "whole")
    with ModelScope(models(330)) as site:
        mine(whole, "modelscope", endpoint=site.url)
        for _ in range(3):
            assert mine(lake, "modelscope", endpoint=site.url, max_requests=2).state == "stopped"
        before = len(site.requests())
        crawl = mine(lake, "modelscope", endpoint=site.url)
        assert len(site.requests()) == before + 1
    assert (crawl.rows_seen, crawl.rows_stored, crawl.state) == (330, 330, "finished")
    assert lake.sql("SELECT count(*), max(rows_seen) FROM crawl").rows() == [(1, 330)]
    for table in TABLES:
        assert rows(lake, table) == rows(whole, table), table
    assert pl.read_parquet(lake.raw / "modelscope" / crawl.crawl_id / "*.parquet").height == 7
    assert examine(lake).is_empty()


def test_models_that_the_pages_name_twice_count_once_in_however_many_processes(lake: Lake) -> None:
    listed = models(120)
    listed[70] = listed[10]
    with ModelScope(listed) as site:
        mine(lake, "modelscope", endpoint=site.url, max_requests=1)
        crawl = mine(lake, "modelscope", endpoint=site.url)
    assert (crawl.rows_seen, crawl.rows_stored) == (119, 119)
    assert lake.sql("SELECT count(*) FROM model").item() == 119
    assert examine(lake).is_empty()


def test_a_run_can_begin_anew(lake: Lake) -> None:
    with ModelScope(models(120)) as site:
        mine(lake, "modelscope", endpoint=site.url, max_requests=1)
        crawl = mine(lake, "modelscope", endpoint=site.url, restart=True)
    assert crawl.rows_seen == 120
    assert lake.sql("SELECT count(*) FROM crawl").item() == 2


def test_another_question_is_another_run(lake: Lake) -> None:
    with ModelScope(models(120)) as site:
        mine(lake, "modelscope", endpoint=site.url, max_requests=1)
        assert mine(lake, "modelscope", endpoint=site.url, author="o1").rows_seen == 40
        assert mine(lake, "modelscope", endpoint=site.url).rows_seen == 120
    assert lake.sql("SELECT count(*) FROM crawl").item() == 2


def test_a_limit_stops_the_run_and_marks_nothing_as_gone(lake: Lake) -> None:
    with ModelScope(models(120)) as site:
        mine(lake, "modelscope", endpoint=site.url)
        crawl = mine(lake, "modelscope", endpoint=site.url, limit=60)
        assert (crawl.rows_seen, crawl.state, len(site.requests())) == (60, "finished", 3 + 2)
    assert lake.sql("SELECT count(*) FROM model WHERE deleted_at IS NULL").item() == 120
    assert lake.sql("SELECT count(*) FROM failure").item() == 0


def test_what_is_gone_is_marked_once_all_was_listed(lake: Lake) -> None:
    listed = models(120)
    with ModelScope(listed) as site:
        mine(lake, "modelscope", endpoint=site.url)
        del listed[7]
        mine(lake, "modelscope", endpoint=site.url, max_requests=2)
        assert lake.sql("SELECT count(*) FROM model WHERE deleted_at IS NOT NULL").item() == 0
        mine(lake, "modelscope", endpoint=site.url)
    gone = lake.sql("SELECT model_id FROM model WHERE deleted_at IS NOT NULL")["model_id"].to_list()
    assert gone == ["modelscope:o1/m7"]


@pytest.mark.parametrize("fault", ["429", "500", "503", "reset", "cut body", "broken json"])
def test_a_site_that_stumbles_is_asked_again(lake: Lake, client: Callable[[str], HubClient], fault: Any) -> None:
    with ModelScope(models(60)) as site:
        site.misbehave("*", fault, times=2)
        assert mine(lake, "modelscope", client=client(site.url)).rows_stored == 60
    assert lake.sql("SELECT count(*) FROM failure").item() == 0


@pytest.mark.parametrize(
    "body", [b"<html>for sale</html>", b"", b"[]", b"null", b'{"data": {"models": 5}}', b"[" * 100_000]
)
def test_a_site_that_is_another_now_ends_in_one_sentence(
    lake: Lake, client: Callable[[str], HubClient], body: bytes
) -> None:
    with ModelScope([]) as site:
        site.misbehave("*", Reply(200, {"Content-Type": "text/html"}, body), times=9)
        with pytest.raises(HubError, match="answers with no page of models") as refused:
            mine(lake, "modelscope", client=client(site.url))
    assert "\n" not in str(refused.value)
    assert lake.sql("SELECT state FROM crawl")["state"].to_list() == ["failed"]


def test_a_site_that_stops_answering_keeps_what_came_before(lake: Lake, client: Callable[[str], HubClient]) -> None:
    with ModelScope(models(120)) as site:
        mine(lake, "modelscope", client=client(site.url), max_requests=1)
        site.misbehave("*", "500", times=3)
        with pytest.raises(HubError, match="500"):
            mine(lake, "modelscope", client=client(site.url))
        assert lake.sql("SELECT count(*) FROM model").item() == 50
        assert mine(lake, "modelscope", client=client(site.url)).rows_seen == 120


def test_pages_that_lead_in_a_circle_end_the_run(lake: Lake, client: Callable[[str], HubClient]) -> None:
    page = {"models": [{"ref": "a/b"}], "nextPageToken": "again"}
    with Kaggle([]) as site:
        site.misbehave("*", Reply(200, {"Content-Type": "application/json"}, json.dumps(page).encode()), times=9)
        with pytest.raises(HubError, match="leads in a circle"):
            mine(lake, "kaggle", client=client(site.url))
    assert lake.sql("SELECT model_id FROM model")["model_id"].to_list() == ["kaggle:a/b"]


def test_saved_pages_are_a_source_as_a_folder_and_as_an_archive(lake: Lake, tmp_path: Path) -> None:
    pages = {
        f"pages/{place}.json": json.dumps({"data": {"models": models(120)[begin : begin + 50]}}).encode()
        for place, begin in enumerate(range(0, 120, 50))
    }
    (tmp_path / "pages.tar.gz").write_bytes(archive(pages))
    folder = tmp_path / "folder"
    for path, body in pages.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(body)
    other = open_lake(tmp_path / "other")
    crawl = mine(lake, "modelscope", source=tmp_path / "pages.tar.gz")
    assert (crawl.rows_seen, crawl.rows_stored, crawl.requests) == (120, 120, 0)
    mine(other, "modelscope", source=folder)
    with ModelScope(models(120)) as site:
        third = open_lake(tmp_path / "third")
        mine(third, "modelscope", endpoint=site.url)
    for table in TABLES:
        assert rows(lake, table) == rows(other, table) == rows(third, table), table
    (folder / "pages" / "0.json").write_text("{")
    mine(other, "modelscope", source=folder)
    assert other.sql("SELECT subject, stage FROM failure").rows() == [("pages/0.json", "file")]
    assert other.sql("SELECT count(*) FROM model WHERE deleted_at IS NULL").item() == 120
    for path in ("1", "2"):
        (folder / "pages" / f"{path}.json").unlink()
    with pytest.raises(DataError, match=r"gives no model, for 1 reason, the first: pages/0.json: "):
        mine(other, "modelscope", source=folder)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"task": "x"}, "the hub kaggle has no option 'task'; choose from search, author, sort"),
        ({"search": " "}, "search is ' ', expected a word"),
        ({"limit": 0}, "limit is 0, expected at least 1"),
        ({"cards": True}, "the hub kaggle has no option 'cards'"),
        ({"source": "absent", "limit": 5}, "leave out limit"),
        ({"source": "absent"}, "does not exist"),
        ({"polite": 7.0}, "polite is 7.0"),
        ({"max_hours": -1.0}, "max_hours is -1.0"),
    ],
)
def test_options_that_cannot_work_are_refused_before_anything_is_asked(
    lake: Lake, options: dict[str, Any], said: str
) -> None:
    with Kaggle([]) as site:
        with pytest.raises(UsageError) as refused:
            mine(lake, "kaggle", endpoint=site.url, **options)
        assert said in str(refused.value)
        assert site.requests() == []


def test_the_command_line_mines_by_page(tmp_path: Path) -> None:
    with ModelScope(models(60)) as site:
        command = [sys.executable, "weightlake.py", "mine", "modelscope", "--lake", str(tmp_path / "lake"), "--json"]
        done = subprocess.run(
            [*command, "--endpoint", site.url, "--author", "o1"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        url = site.url
    assert json.loads(done.stdout)[0]["rows_stored"] == 20
    done = subprocess.run([*command, "--endpoint", url], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize("site", [Civitai, Kaggle, ModelScope])
def test_a_hub_without_models_is_an_empty_crawl(lake: Lake, site: Any) -> None:
    with site([]) as empty:
        hub = site.__name__.lower()
        crawl = mine(lake, hub, endpoint=empty.url)
    assert (crawl.rows_seen, crawl.state) == (0, "finished")
