import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from miners import modelzoo_co
from miners.http import HubClient
from miners.mining import mine
from schemas import HubError, Lake
from schemas.doctor import examine
from tests.conftest import ROOT
from tests.hub import Reply
from tests.sites import ModelZoo


def listed(slug: Any, **fields: Any) -> dict[str, Any]:
    categories = [{"id": 1, "slug": "computer-vision", "title": "Computer Vision", "short_title": "CV"}]
    return {"slug": slug, "title": slug, "stars": 5, "framework": "pytorch", "categories": categories, **fields}


def told(slug: str, **fields: Any) -> dict[str, Any]:
    papers = {"Net": "https://arxiv.org/abs/1703.06870", "Other": "http://papers.example/other.pdf"}
    return {
        "id": 7,
        "title": slug,
        "long_desc": f"# {slug}\nwords",
        "papers": papers,
        "link": "https://github.com/o/r",
    } | fields


def impatient(site: ModelZoo) -> HubClient:
    headers = {"referer": f"{site.url}/"}
    return HubClient(site.url, token=False, headers=headers, attempts=2, timeout=2, sleep=lambda seconds: None)


def test_a_model_has_what_the_listing_and_its_own_answer_say(lake: Lake) -> None:
    with ModelZoo([listed("mask-r-cnn")], {"mask-r-cnn": told("Mask R-CNN")}) as site:
        crawl = mine(lake, "modelzoo_co", endpoint=site.url)
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures, crawl.cards) == (1, 1, 0, 1)
    model = lake.sql("SELECT * FROM model").row(0, named=True)
    assert (model["model_id"], model["hub_id"], model["likes"]) == ("modelzoo_co:mask-r-cnn", "7", 5)
    assert model["library"] == "pytorch"
    links = set(lake.sql("SELECT kind, target FROM link").iter_rows())
    assert {("paper", "1703.06870"), ("paper", "http://papers.example/other.pdf")} <= links
    assert ("code", "https://github.com/o/r") in links
    assert lake.sql("SELECT tag, kind FROM tag").rows() == [("computer-vision", "category")]
    kept = pl.read_parquet(lake.raw / "modelzoo_co" / crawl.crawl_id / "*.parquet")
    assert kept.height == 2
    assert examine(lake).is_empty()


def test_the_referer_goes_to_the_site_and_to_no_other() -> None:
    with ModelZoo([], {}) as site, ModelZoo([], {}) as other, modelzoo_co.client(site.url) as client:
        site.misbehave("*", Reply(302, {"Location": f"{other.url}/api/models/0/"}))
        with pytest.raises(HubError):
            client.get("/api/models/0/")
        assert [request.headers.get("referer") for request in site.requests()] == [f"{site.url}/"]
        assert [request.headers.get("referer") for request in other.requests()] == [None]


def test_saved_answers_are_a_source(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "api" / "models"
    folder.mkdir(parents=True)
    (folder / "0.json").write_text(json.dumps({"models": [listed("net")]}))
    (folder / "net.json").write_text(json.dumps(told("net")))
    assert mine(lake, "modelzoo_co", source=tmp_path).rows_stored == 1
    assert lake.sql("SELECT count(*) FROM card").item() == 1


def test_odd_records_are_lost_and_odd_values_are_said(lake: Lake) -> None:
    records = [
        listed("fine", stars=None, framework=None, categories=None, description=None, link=None),
        listed("odd", stars="many", framework=["x"], categories=[1, None, {"slug": 2}], link=7, title=None),
        *[listed(slug) for slug in (None, "", 5, "../x", "a/b", "..", "x" * 300, "fine")],
        "text",
        None,
    ]
    details = {"fine": told("fine", papers=None, long_desc=None), "odd": told("odd", papers=["x"], id="7")}
    with ModelZoo(records, details) as site:
        crawl = mine(lake, "modelzoo_co", endpoint=site.url)
        asked = [request.path for request in site.requests()]
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (len(records), 2, len(records) - 2)
    assert asked == ["/api/models/0/", "/api/models/fine/", "/api/models/odd/"]
    failed = lake.sql("SELECT reason FROM failure WHERE stage = 'field' ORDER BY reason")["reason"].to_list()
    assert [reason.split()[0] for reason in failed] == ["library", "likes"]
    assert examine(lake).is_empty()


def test_a_model_whose_answer_fails_keeps_what_is_listed(lake: Lake) -> None:
    names = ["a", "b", "c"]
    with ModelZoo([listed(name) for name in names], {"a": told("a"), "c": told("c")}) as site:
        site.misbehave("/api/models/c/", "broken json")
        with impatient(site) as client:
            assert mine(lake, "modelzoo_co", client=client).rows_stored == 3
    subjects = lake.sql("SELECT subject FROM failure WHERE stage = 'file' ORDER BY ALL")["subject"].to_list()
    assert subjects == ["/api/models/b/", "api/models/c.json"]


def test_a_site_that_stops_answering_ends_the_run(lake: Lake) -> None:
    with ModelZoo([listed(f"m{number}") for number in range(40)], {}) as site, impatient(site) as client:
        with pytest.raises(HubError, match="has stopped answering"):
            mine(lake, "modelzoo_co", client=client)
        assert len(site.requests()) == 1 + 12


@pytest.mark.parametrize("body", [b"<html>This domain is for sale</html>", b"[]", b'{"models": 5}', b""])
def test_a_site_that_is_another_now_ends_in_one_sentence(lake: Lake, body: bytes) -> None:
    with ModelZoo([], {}) as site, impatient(site) as client:
        site.misbehave("*", Reply(200, {"Content-Type": "text/html"}, body))
        with pytest.raises(HubError, match="the site may be gone; give answers that were saved") as refused:
            mine(lake, "modelzoo_co", client=client)
    assert "\n" not in str(refused.value)


def test_a_site_that_is_gone_ends_the_command_in_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "weightlake.py", "mine", "modelzoo_co", "--lake", str(tmp_path / "lake")]
    with ModelZoo([], {}) as site:
        url = site.url
    done = subprocess.run([*command, "--endpoint", url], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "cannot be read" in done.stderr
    assert "check the address and the network" in done.stderr


def test_a_model_that_is_known_keeps_what_the_site_does_not_give_again(lake: Lake) -> None:
    with ModelZoo([listed("a"), listed("b")], {"a": told("a"), "b": told("b")}) as site:
        mine(lake, "modelzoo_co", endpoint=site.url)
        site.misbehave("/api/models/a/", "500", times=9)
        with impatient(site) as client:
            assert mine(lake, "modelzoo_co", client=client).rows_stored == 2
    kept = lake.sql("SELECT model_id FROM link WHERE kind = 'paper' AND target = '1703.06870' ORDER BY ALL")
    assert kept["model_id"].to_list() == ["modelzoo_co:a", "modelzoo_co:b"]
    assert lake.sql("SELECT count(*) FROM card").item() == 2
    assert lake.sql("SELECT count(*) FROM model WHERE deleted_at IS NULL").item() == 2
    assert examine(lake).is_empty()
