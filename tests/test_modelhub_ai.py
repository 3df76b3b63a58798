import json
import re
import tarfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from miners.catalogue import Described
from miners.http import HubClient
from miners.mining import mine
from miners.modelhub_ai import describe
from schemas import Lake, open_lake
from schemas.doctor import examine
from tests.sites import GitHub
from zoo import publish_tables

RECORD = {
    "id": "1",
    "name": "net",
    "task_extended": "Seeing",
    "github": "https://github.com/modelhub-ai/net",
    "github_branch": "main",
    "backend": ["keras", "tensorflow"],
}
CONFIG = {
    "meta": {"task": "Classification", "data_type": "X-ray", "data_source": "http://data.example/"},
    "publication": {"title": "Net", "year": 2016, "url": "https://arxiv.org/abs/1608.06993", "bibtex": "doi={10.1/x}"},
    "model": {"architecture": "CNN", "provenance": "https://github.com/o/r", "io": {"input": {"dim_limits": [1]}}},
}
MIT = "Copyright\n\nPermission is hereby granted, free of charge, to any person obtaining a copy\nof this software and"
FILES = {
    "contrib_src/model/config.json": json.dumps(CONFIG),
    "contrib_src/license/model": MIT,
    "init/init.json": json.dumps(
        {"external_contrib_files": [{"src_url": "http://w/x.h5", "dest_file_path": "/c/x.h5"}]}
    ),
    "README.md": "# Net\n",
}


def described(records: list[Any], files: dict[str, str]) -> Described:
    held = {f"models/net/{path}": text.encode() for path, text in files.items()}
    return describe({"models.json": json.dumps(records).encode(), **held})


def test_a_model_has_what_the_listing_and_its_repository_say() -> None:
    (net,) = described([RECORD], FILES).packages
    assert (net.name, net.hub_id, net.library) == ("modelhub-ai/net", "1", None)  # two libraries, which are tags
    assert (net.task, net.architecture, net.licenses) == ("Classification", "CNN", ["MIT"])
    assert {("paper", "1608.06993", "listing"), ("dataset", "http://data.example/", "listing")} <= set(net.links)
    assert ("code", "https://github.com/o/r", "listing") in net.links
    assert [file.path for file in net.files] == ["c/x.h5"]
    said = {one.name: one for one in net.statements}
    assert said["license"].evidence is not None
    assert said["license"].evidence.startswith("Permission is hereby granted, free of charge, to any person")
    assert (said["publication.year"].number, said["meta.data_type"].value) == (2016, "X-ray")
    assert json.loads(said["model.io"].value) == {"input": {"dim_limits": [1]}}


def test_a_model_without_a_repository_has_what_the_listing_says() -> None:
    (net,) = described([RECORD], {}).packages
    assert (net.task, net.architecture, net.licenses, net.card) == ("Seeing", None, [], None)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000])
def test_a_configuration_that_cannot_be_read_is_said(text: str) -> None:
    found = described([RECORD], {"contrib_src/model/config.json": text})
    assert (len(found.packages), [one.subject for one in found.unread]) == (
        1,
        ["models/net/contrib_src/model/config.json"],
    )


@pytest.mark.parametrize(
    "github",
    [None, 7, "", "https://github.com/", "https://evil.example/o/r", "https://github.com/../..", "file:///etc"],
)
def test_a_record_without_a_repository_on_github_is_lost_and_said(github: object, lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "models.json").write_text(json.dumps([{**RECORD, "github": github}, RECORD, "text"]))
    crawl = mine(lake, "modelhub_ai", source=tmp_path)
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (3, 1, 2)
    assert lake.sql("SELECT count(*) FROM failure WHERE stage = 'listing'").item() == 2


def test_configurations_of_odd_types_are_stored_as_far_as_they_go(lake: Lake, tmp_path: Path) -> None:
    odd = {"meta": {"task": ["a"], "data_source": 7}, "publication": [], "model": {"architecture": {}, "io": "x"}}
    place = tmp_path / "models" / "net" / "contrib_src" / "model" / "config.json"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(odd))
    (tmp_path / "models.json").write_text(
        json.dumps([{**RECORD, "backend": "x", "id": 5, "task_extended": "a\ud800\0"}])
    )
    assert mine(lake, "modelhub_ai", source=tmp_path).rows_stored == 1
    assert lake.sql("SELECT count(*) FROM failure WHERE stage = 'field'").item() == 3
    assert lake.sql("SELECT task FROM model")["task"].to_list() == ["a\ufffd\ufffd"]


def test_the_live_site_gives_each_models_files_and_keeps_the_answers(lake: Lake) -> None:
    other = {**RECORD, "id": "2", "github": "https://github.com/someone/other", "github_branch": "../../x"}
    bare = {**RECORD, "id": "3", "github": "https://github.com/modelhub-ai/bare"}
    raw = {"modelhub-ai/modelhub/master/models.json": json.dumps([RECORD, other, bare]).encode()}
    raw |= {f"modelhub-ai/net/main/{path}": text.encode() for path, text in FILES.items()}
    with GitHub(raw=raw) as site:
        site.misbehave("/modelhub-ai/net/raw/main/init/init.json", "500", times=9)
        client = HubClient(site.url, token=False, attempts=2, sleep=lambda seconds: None)
        crawl = mine(lake, "modelhub_ai", client=client)
        client.close()
    assert (crawl.rows_stored, crawl.failures) == (3, 0)
    model = lake.sql("SELECT * FROM model WHERE name = 'net'").row(0, named=True)
    assert (model["license_spdx"], model["task"], model["files"]) == ("MIT", "Classification", None)
    failed = lake.sql("SELECT subject FROM failure WHERE stage = 'file' ORDER BY subject")["subject"].to_list()
    assert failed == ["https://github.com/modelhub-ai/net: init/init.json", "https://github.com/someone/other"]
    kept = pl.read_parquet(lake.raw / "modelhub_ai" / crawl.crawl_id / "*.parquet")
    assert kept.height == 1 + 3


@pytest.mark.data
def test_all_models_and_configurations_are_stored(data_folder: Path, tmp_path: Path) -> None:
    packed = data_folder / "hubs" / "modelhub_ai" / "modelhub_ai.tar.gz"
    with tarfile.open(packed) as opened:
        opened.extractall(tmp_path / "checkout", filter="data")
    lake = open_lake(tmp_path / "lake")
    crawl = mine(lake, "modelhub_ai", source=packed)
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (33, 33, 0)
    assert lake.sql("SELECT count(*) FROM failure").item() == 0
    stored = dict(lake.sql("SELECT model_id, value FROM statement WHERE name = 'publication.title'").iter_rows())
    expected = {}
    for place in (tmp_path / "checkout" / "models").glob("*/contrib_src/model/config.json"):
        config = json.loads(place.read_bytes())
        expected[f"modelhub_ai:modelhub-ai/{place.parents[2].name}"] = config["publication"]["title"].strip()
    assert stored == expected
    assert len(expected) == 12
    assert lake.sql("SELECT count(*) FROM model WHERE license_spdx IS NOT NULL").item() == 12
    named = {record["id"] for record in json.loads((tmp_path / "checkout" / "models.json").read_bytes())}
    assert set(lake.sql("SELECT hub_id FROM model")["hub_id"]) == named
    assert examine(lake).is_empty()


@pytest.mark.data
def test_no_address_of_an_author_leaves_the_lake(catalogues: Lake, tmp_path: Path) -> None:
    address = r"[\w.+-]+@[\w-]+\.[a-z]{2,}"
    said = "SELECT count(*) FROM statement WHERE regexp_matches(value, $address)"
    assert catalogues.sql(said, address=address).item() >= 7
    publish_tables(catalogues, "statement,model,link,tag,failure,ptmtorrent_v1", tmp_path / "data", with_cards=True)
    published = list((tmp_path / "data").rglob("*.parquet"))
    assert len(published) == 6
    for place in published:
        assert not re.search(address, pl.read_parquet(place).write_ndjson()), place
    records = pl.read_parquet(tmp_path / "data" / "ptmtorrent_v1")
    assert {hub["MetadataFilePath"] for hub in map(json.loads, records["ModelHub"])} == {""}  # archives of this machine
    values = pl.read_parquet(next((tmp_path / "data" / "statement").glob("*.parquet")))
    assert values.filter(name="publication.email")["value"].unique().to_list() == ["[e-mail removed]"]
