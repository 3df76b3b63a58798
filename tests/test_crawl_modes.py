"""Which models a crawl is about: what changed, all of them, exactly these, a sample, or the answer to a query."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from miners.mining import mine
from schemas import Lake, OutsideError, UsageError, examine
from tests.hub import TestHub

LONG_AGO = "2024-01-01T00:00:00.000Z"


def record(name: str, **fields: Any) -> dict[str, Any]:
    plain = {"_id": f"id of {name}", "id": name, "sha": "a" * 40, "tags": [], "siblings": []}
    return {**plain, "gated": False, "private": False, "createdAt": LONG_AGO, "lastModified": LONG_AGO, **fields}


def soon(minutes: int) -> str:
    return f"{datetime.now(UTC) + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%S.000Z}"


@pytest.fixture
def hub() -> Iterator[TestHub]:
    records = [record(f"owner/m{number:03d}") for number in range(100)]
    with TestHub(records, largest_page=10) as running:
        yield running


def listed(hub: TestHub) -> dict[str, dict[str, Any]]:
    """What the hub lists now, to be changed and given back."""
    return {str(record["id"]): dict(record) for record in hub.site.catalogue.records}


def events(lake: Lake) -> list[tuple[Any, ...]]:
    return lake.sql("SELECT model_id, kind, before, after FROM event ORDER BY ALL").rows()


def pages_asked(hub: TestHub, since: int) -> int:
    return sum(request.path == "/api/models" for request in hub.log[since:])


def test_the_first_run_lists_all_and_the_next_ones_what_was_changed(hub: TestHub, lake: Lake) -> None:
    assert mine(lake, "huggingface", endpoint=hub.url).rows_stored == 100
    assert hub.log[0].query["sort"] == ["createdAt"]
    now = listed(hub)
    now["owner/m050"]["lastModified"] = soon(1)
    now["owner/new"] = record("owner/new", createdAt=soon(1), lastModified=soon(1))
    del now["owner/m001"]
    hub.change(now.values())
    begun = len(hub.log)
    crawl = mine(lake, "huggingface", endpoint=hub.url)
    assert (crawl.rows_seen, pages_asked(hub, begun)) == (10, 1)
    assert hub.log[begun].query["sort"] == ["lastModified"]
    seen = lake.sql("SELECT name FROM model WHERE crawl_id = $crawl_id", crawl_id=crawl.crawl_id)["name"]
    assert {"m050", "new"} <= set(seen)
    assert lake.sql("SELECT count(*) FROM model").item() == 101
    assert events(lake) == []


def test_changes_that_happen_during_a_crawl_are_found_by_the_next(hub: TestHub, lake: Lake) -> None:
    def change(done: int, total: int | None, what: str) -> None:
        now = listed(hub)
        now["owner/m000"] |= {"lastModified": soon(0), "likes": 7}
        hub.change(now.values())

    mine(lake, "huggingface", endpoint=hub.url, progress=change)
    mine(lake, "huggingface", endpoint=hub.url)
    assert lake.sql("SELECT likes FROM model WHERE name = 'm000'").item() == 7


def test_an_incremental_crawl_reads_back_over_several_pages(hub: TestHub, lake: Lake) -> None:
    mine(lake, "huggingface", endpoint=hub.url)
    now = listed(hub)
    for number in range(25):
        now[f"owner/m{number:03d}"] |= {"lastModified": soon(number), "likes": 1}
    hub.change(now.values())
    assert mine(lake, "huggingface", endpoint=hub.url).rows_seen == 30
    assert lake.sql("SELECT sum(likes) FROM model").item() == 25


def test_a_full_crawl_finds_what_vanished_and_what_became_of_it(hub: TestHub, lake: Lake) -> None:
    mine(lake, "huggingface", endpoint=hub.url)
    now = listed(hub)
    del now["owner/m001"]
    now["owner/m002"] |= {"tags": ["license:mit"], "gated": "auto"}
    now["other/m003"] = {**now.pop("owner/m003"), "id": "other/m003"}
    now["other/m004"] = {**now.pop("owner/m004"), "id": "other/m004", "_id": None}
    now["owner/m005"]["tags"] = ["base_model:finetune:owner/m002"]
    hub.change(now.values(), moved={"owner/m004": "other/m004"})
    begun = len(hub.log)
    crawl = mine(lake, "huggingface", endpoint=hub.url, full=True)
    assert (crawl.rows_stored, crawl.state) == (99, "finished")
    assert events(lake) == [
        ("huggingface:owner/m001", "deleted", None, None),
        ("huggingface:owner/m002", "gated", "no", "auto"),
        ("huggingface:owner/m002", "license", None, "mit"),
        ("huggingface:owner/m003", "renamed", "huggingface:owner/m003", "huggingface:other/m003"),
        ("huggingface:owner/m004", "renamed", "huggingface:owner/m004", "huggingface:other/m004"),
        ("huggingface:owner/m005", "base_model", None, "huggingface:owner/m002"),
    ]
    asked = [request.path for request in hub.log[begun:] if request.path != "/api/models"]
    assert sorted(asked) == ["/api/models/other/m004", "/api/models/owner/m001", "/api/models/owner/m004"]
    gone = lake.sql("SELECT name FROM model WHERE deleted_at IS NOT NULL ORDER BY 1")["name"].to_list()
    assert gone == ["m001", "m003", "m004"]
    assert examine(lake).is_empty()


def test_what_is_only_left_out_of_the_listing_is_not_deleted(hub: TestHub, lake: Lake) -> None:
    mine(lake, "huggingface", endpoint=hub.url)
    now = listed(hub)
    hidden = now.pop("owner/m001")
    hub.change([*now.values(), {**hidden, "private": True}])
    hub.site.catalogue.records.pop()  # listed no more, but still answered for
    hub.site.catalogue.find("owner/m001")["private"] = False  # type: ignore[index]  # a record of ours
    mine(lake, "huggingface", endpoint=hub.url, full=True)
    assert events(lake) == []
    assert lake.sql("SELECT count(*) FROM model WHERE deleted_at IS NULL").item() == 100


def test_a_model_that_comes_back_is_restored(hub: TestHub, lake: Lake) -> None:
    before = listed(hub)
    for records in (before, {name: before[name] for name in list(before)[1:]}, before):
        hub.change(records.values())
        mine(lake, "huggingface", endpoint=hub.url, full=True)
    assert [(name, kind) for name, kind, _, _ in events(lake)] == [
        ("huggingface:owner/m000", "deleted"),
        ("huggingface:owner/m000", "restored"),
    ]
    assert lake.sql("SELECT count(*) FROM model WHERE deleted_at IS NOT NULL").item() == 0


def test_a_query_neither_marks_anything_nor_moves_the_watermark(hub: TestHub, lake: Lake) -> None:
    mine(lake, "huggingface", endpoint=hub.url)
    newest = lake.sql("SELECT max(watermark) FROM crawl").item()
    now = listed(hub)
    now["owner/m007"] |= {"likes": 7, "lastModified": soon(1)}
    del now["owner/m001"]
    hub.change(now.values())
    for options in ({"limit": 5}, {"search": "m00"}, {"sort": "likes", "limit": 1}):
        mine(lake, "huggingface", endpoint=hub.url, **options)
    assert lake.sql("SELECT max(watermark) FROM crawl").item() == newest
    assert lake.sql("SELECT count(*) FROM crawl WHERE watermark IS NULL").item() == 3
    assert events(lake) == []


def test_exactly_these_from_a_file(hub: TestHub, lake: Lake, tmp_path: Path) -> None:
    hub.change(listed(hub).values(), moved={"owner/old": "owner/m003"})
    place = tmp_path / "ids.txt"
    place.write_text("owner/m001\n\nhuggingface:owner/m002\nowner/gone\nowner/old\nowner/m001\n")
    crawl = mine(lake, "huggingface", endpoint=hub.url, ids=str(place))
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (4, 3, 1)
    assert lake.sql("SELECT name FROM model ORDER BY 1")["name"].to_list() == ["m001", "m002", "m003"]
    [(subject, stage)] = lake.sql("SELECT subject, stage FROM failure").rows()
    assert (subject, stage) == ("huggingface:owner/gone", "listing")
    assert examine(lake).is_empty()


def test_exactly_these_from_a_query(hub: TestHub, lake: Lake) -> None:
    mine(lake, "huggingface", endpoint=hub.url)
    now = listed(hub)
    del now["owner/m001"]
    hub.change(now.values())
    query = "SELECT model_id FROM model WHERE name < 'm010'"
    crawl = mine(lake, "huggingface", endpoint=hub.url, ids=query)
    assert (crawl.rows_seen, crawl.rows_stored) == (10, 9)
    assert events(lake) == [("huggingface:owner/m001", "deleted", None, None)]


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        ("absent.txt", "neither a file nor a query"),
        ("SELECT name FROM model", "expected a column model_id"),
        ("SELECT 'a b' AS model_id", "'a b' is no model"),
        ("SELECT model_id FROM model", "names no model"),
        ("SELECT nothing FROM nowhere", "nowhere"),
    ],
)
def test_ids_that_cannot_be_used_are_said_before_anything_is_asked(
    hub: TestHub, lake: Lake, ids: str, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        mine(lake, "huggingface", endpoint=hub.url, ids=ids)
    assert hub.log == []


def sampled(lake: Lake, hub: TestHub, **options: Any) -> set[str]:
    begun = len(hub.log)
    mine(lake, "huggingface", endpoint=hub.url, **options)
    return {request.path for request in hub.log[begun:] if request.path != "/api/models"}


def test_a_sample_is_proportional_and_the_same_for_the_same_seed(lake: Lake) -> None:
    tasks = {"text": 60, "vision": 30, "audio": 10}
    names = [(f"{task}/m{number:02d}", task) for task, count in tasks.items() for number in range(count)]
    with TestHub([record(name, pipeline_tag=task, downloads=10 ** (len(name) % 3)) for name, task in names]) as hub:
        mine(lake, "huggingface", endpoint=hub.url)
        first = sampled(lake, hub, sample=20, stratify=["task"], seed=1)
        assert first == sampled(lake, hub, sample=20, stratify=["task"], seed=1)
        assert first != sampled(lake, hub, sample=20, stratify=["task"], seed=2)
        assert Counter(path.split("/")[3] for path in first) == {"text": 12, "vision": 6, "audio": 2}
        odd = Counter(path.split("/")[3] for path in sampled(lake, hub, sample=7, stratify=["task", "library"]))
        assert odd == {"text": 4, "vision": 2, "audio": 1}
        assert len(sampled(lake, hub, sample=33, stratify=["popularity"])) == 33
        with pytest.raises(UsageError, match="fewer than the sample of 101"):
            mine(lake, "huggingface", endpoint=hub.url, sample=101)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"full": True, "limit": 3}, "exclude each other"),
        ({"ids": "x", "sample": 3}, "exclude each other"),
        ({"stratify": ["task"]}, "give sample=N"),
        ({"sample": 3, "stratify": ["taste"]}, "task, library, popularity"),
        ({"polite": 1.5}, "polite is 1.5"),
        ({"max_hours": 0.0}, "max_hours is 0"),
        ({"max_requests": 0}, "max_requests is 0"),
    ],
)
def test_orders_that_make_no_sense_are_refused(hub: TestHub, lake: Lake, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        mine(lake, "huggingface", endpoint=hub.url, **options)
    assert hub.log == []


def test_a_crawl_that_was_stopped_is_gone_on_with_and_restart_begins_anew(hub: TestHub, lake: Lake) -> None:
    told: list[str] = []
    ran = [mine(lake, "huggingface", endpoint=hub.url, max_requests=3, say=told.append) for _ in range(2)]
    assert [crawl.state for crawl in ran] == ["stopped", "stopped"]
    assert [crawl.rows_seen for crawl in ran] == [30, 60]
    assert (len(hub.log), "going on" in told[0], "going on" in told[1]) == (6, False, True)
    assert mine(lake, "huggingface", endpoint=hub.url, limit=5).rows_seen == 5
    anew = mine(lake, "huggingface", endpoint=hub.url, max_requests=2, restart=True)
    assert anew.rows_seen == 20
    assert mine(lake, "huggingface", endpoint=hub.url).rows_seen == 100
    states = lake.sql("SELECT state, count(*) AS runs FROM crawl GROUP BY ALL ORDER BY ALL").rows()
    assert states == [("finished", 2), ("stopped", 1)]


def test_models_asked_for_one_by_one_are_gone_on_with_too(hub: TestHub, lake: Lake, tmp_path: Path) -> None:
    place = tmp_path / "ids.txt"
    place.write_text("".join(f"owner/m{number:03d}\n" for number in range(50)))
    first = mine(lake, "huggingface", endpoint=hub.url, ids=str(place), max_requests=21)
    assert (first.state, first.rows_seen) == ("stopped", 20)
    place.write_text("owner/m099\n")  # what was asked for at the start still holds
    second = mine(lake, "huggingface", endpoint=hub.url, ids=str(place))
    assert (second.state, second.rows_seen, second.crawl_id) == ("finished", 50, first.crawl_id)
    paths = Counter(request.path for request in hub.log if request.path != "/api/models")
    assert set(paths.values()) == {1}
    assert lake.sql("SELECT count(*) FROM observation").item() == 50


def test_two_processes_do_not_go_on_with_one_crawl(hub: TestHub, lake: Lake) -> None:
    mine(lake, "huggingface", endpoint=hub.url, max_requests=3)
    refusals: list[OutsideError] = []

    def meanwhile(done: int, total: int | None, what: str) -> None:
        if not refusals:
            with pytest.raises(OutsideError, match="another process is at the crawl") as caught:
                mine(lake, "huggingface", endpoint=hub.url)
            refusals.append(caught.value)

    assert mine(lake, "huggingface", endpoint=hub.url, progress=meanwhile).rows_seen == 100
    assert len(refusals) == 1
    assert lake.sql("SELECT count(*) FROM observation").item() == 100


def test_a_cursor_that_the_hub_forgot_is_said(hub: TestHub, lake: Lake) -> None:
    from schemas import HubError

    mine(lake, "huggingface", endpoint=hub.url, max_requests=3)
    with lake.write() as transaction:
        transaction.sql("UPDATE crawl SET cursor = regexp_replace(cursor, 'cursor=[^&]*', 'cursor=old')")
    with pytest.raises(HubError, match="--restart"):
        mine(lake, "huggingface", endpoint=hub.url)
    with lake.write() as transaction:
        transaction.sql("UPDATE crawl SET cursor = 'https://elsewhere.example/api/models?cursor=x'")
    with pytest.raises(HubError, match="--restart"):
        mine(lake, "huggingface", endpoint=hub.url)
    assert json.loads(lake.sql("SELECT query FROM crawl").item())["mode"] == "incremental"
