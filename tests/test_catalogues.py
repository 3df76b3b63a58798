"""What all hubs have in common whose catalogue is a few files: sources, the live site, and what goes wrong there."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miners.github import github_client
from miners.http import HubClient
from miners.markdown import code_blocks
from miners.mining import mine
from schemas import DataError, HubError, Lake, UsageError, open_lake
from schemas.doctor import examine
from tests.archives import archive
from tests.conftest import ROOT
from tests.sites import GitHub
from tests.weight_file import onnx_model

SHA = "0123456789abcdef0123456789abcdef01234567"
TABLES = ("model", "tag", "link", "file", "evaluation", "statement", "card", "card_section", "revision")


def entry(name: str, **fields: Any) -> dict[str, Any]:
    path = f"validated/vision/classification/{name}/model/{name}-7.onnx"
    return {"model": name, "model_path": path, "opset_version": 7, "metadata": {"tags": ["vision"]}, **fields}


def checkout(*entries: object) -> dict[str, bytes]:
    return {
        "ONNX_HUB_MANIFEST.json": json.dumps(entries).encode(),
        "validated/vision/classification/one/README.md": b"<!--- SPDX-License-Identifier: MIT -->\n# One\nwords\n",
    }


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for path, body in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(body)
    return folder


def rows(lake: Lake, table: str) -> list[tuple[Any, ...]]:
    times = "first_seen, last_seen, crawl_id, sha" if table == "model" else ""
    without = {"model": times, "card": "fetched_at, sha", "revision": "sha"}.get(table)
    columns = f"* EXCLUDE ({without})" if without else "*"
    return lake.sql(f"SELECT {columns} FROM {table} ORDER BY ALL").rows()


@pytest.fixture
def client() -> Iterator[Callable[[str], HubClient]]:
    """Clients that do not wait between their attempts."""
    made: list[HubClient] = []

    def make(url: str) -> HubClient:
        made.append(HubClient(url, token="github-token", attempts=3, timeout=2, sleep=lambda seconds: None))
        return made[-1]

    yield make
    for one in made:
        one.close()


def packed(*entries: object) -> bytes:
    return archive({f"models-main/{path}": body for path, body in checkout(*entries).items()}, commit=SHA)


def test_the_live_site_a_folder_and_an_archive_give_the_same_rows(tmp_path: Path, lake: Lake) -> None:
    files = checkout(entry("one"), entry("two"))
    (tmp_path / "it.tar.gz").write_bytes(archive(files))
    lakes = [lake, open_lake(tmp_path / "second"), open_lake(tmp_path / "third")]
    mine(lakes[0], "onnx", source=written(tmp_path / "folder", files))
    mine(lakes[1], "onnx", source=tmp_path / "it.tar.gz")
    served = packed(entry("one"), entry("two"))
    with GitHub({"onnx/models": served}) as site:
        crawl = mine(lakes[2], "onnx", endpoint=site.url)
    for table in TABLES:
        if table != "revision":  # only an archive of GitHub's tells its commit
            assert rows(lakes[0], table) == rows(lakes[1], table) == rows(lakes[2], table), table
    assert lakes[2].sql("SELECT DISTINCT sha FROM model")["sha"].to_list() == [SHA]
    kept = lakes[2].raw / "onnx" / crawl.crawl_id / "archive.tar.gz"
    assert kept.read_bytes() == served


def test_statistics_which_may_lie_anywhere_do_not_hide_the_manifest(lake: Lake, tmp_path: Path) -> None:
    statistics = {"Vision/x_Opset16_timm/turnkey_stats.yaml": b"author: timm\nmodel_name: x\nparameters: 5\n"}
    files = checkout(entry("one"), entry("two")) | statistics
    served = archive({f"models-main/{path}": body for path, body in files.items()}, commit=SHA)
    (tmp_path / "it.tar.gz").write_bytes(served)
    checked_out = written(tmp_path / "parent" / "models-main", files)
    lakes = [lake, *(open_lake(tmp_path / name) for name in ("archived", "parent's", "site's"))]
    mine(lakes[0], "onnx", source=checked_out)
    mine(lakes[1], "onnx", source=tmp_path / "it.tar.gz")
    mine(lakes[2], "onnx", source=checked_out.parent)
    with GitHub({"onnx/models": served}) as site:
        mine(lakes[3], "onnx", endpoint=site.url)
    assert len(rows(lake, "model")) == 3
    for one in lakes[1:]:
        assert one.sql("SELECT count(*) FROM failure").item() == 0
        for table in TABLES:
            if table != "revision":
                assert rows(one, table) == rows(lake, table), table


def test_the_token_goes_to_github_and_not_to_where_it_redirects(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "github-secret")
    monkeypatch.setenv("HF_TOKEN", "hub-secret")
    with GitHub({"onnx/models": packed(entry("one"))}) as site:
        mine(lake, "onnx", endpoint=site.url)
        shown = [(site.url.endswith(request.host), request.authorization) for request in site.requests()]
    assert shown == [(True, "Bearer github-secret"), (False, None)]
    assert "secret" not in str([rows(lake, table) for table in (*TABLES, "failure", "crawl")])


def test_without_a_token_of_github_none_is_shown(monkeypatch: pytest.MonkeyPatch, lake: Lake) -> None:
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    monkeypatch.setenv("HF_TOKEN", "hub-secret")
    with GitHub({"onnx/models": packed(entry("one"))}) as site:
        mine(lake, "onnx", client=github_client(site.url))
        assert {request.authorization for request in site.requests()} == {None}


@pytest.mark.parametrize("fault", ["429", "500", "503", "reset", "cut body"])
def test_a_site_that_stumbles_is_asked_again(lake: Lake, client: Callable[[str], HubClient], fault: Any) -> None:
    with GitHub({"onnx/models": packed(entry("one"))}) as site:
        site.misbehave("*", fault, times=2)
        assert mine(lake, "onnx", client=client(site.url)).rows_stored == 1


def test_a_site_that_is_gone_ends_in_one_sentence(lake: Lake, client: Callable[[str], HubClient]) -> None:
    with GitHub() as site, pytest.raises(HubError, match="does not exist") as refused:
        mine(lake, "onnx", client=client(site.url))
    assert "\n" not in str(refused.value)
    assert lake.sql("SELECT state FROM crawl")["state"].to_list() == ["failed"]


def test_an_answer_that_is_no_archive_is_refused_and_kept(lake: Lake) -> None:
    with GitHub({"onnx/models": b"<html>Sorry</html>"}) as site, pytest.raises(DataError, match="no readable tar"):
        mine(lake, "onnx", endpoint=site.url)
    (kept,) = (lake.raw / "onnx").rglob("archive.tar.gz")
    assert kept.read_bytes() == b"<html>Sorry</html>"


def test_a_second_run_replaces_what_was_said_and_marks_what_is_gone(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    mine(lake, "onnx", source=written(folder, checkout(entry("one"), entry("two"))))
    first = {table: rows(lake, table) for table in TABLES}
    mine(lake, "onnx", source=folder)
    assert {table: rows(lake, table) for table in TABLES} == first
    changed = entry("one", metadata={"tags": ["text"]}, opset_version=8)
    mine(lake, "onnx", source=written(folder, checkout(changed)))
    gone = dict(lake.sql("SELECT name, deleted_at IS NOT NULL FROM model").iter_rows())
    assert gone == {"one-7": False, "two-7": True}
    one = "model_id = 'onnx:one/one-7'"
    assert lake.sql(f"SELECT tag FROM tag WHERE {one}")["tag"].to_list() == ["text"]
    assert lake.sql(f"SELECT number FROM statement WHERE {one} AND name = 'opset'")["number"].to_list() == [8.0]
    assert lake.sql("SELECT count(*) FROM observation").item() == 5
    assert examine(lake).is_empty()


def test_every_record_is_stored_or_a_failure(lake: Lake, tmp_path: Path) -> None:
    records = [
        entry("one"),
        entry("one"),
        entry("../../etc"),
        {"model": "without a path"},
        "no object",
        None,
        entry("x" * 300),
        {"model_path": "a/../b/model/c.onnx"},
        {"model_path": "a//model/c.onnx"},
        entry("bad", metadata={"model_bytes": -1, "model_sha": "xyz", "model_with_data_path": 7, "tags": "no list"}),
        entry("huge", metadata={"model_bytes": 10**30, "io_ports": [1], "tags": [1, None, ""]}, opset_version=[1]),
        entry("null", metadata=None, opset_version=None, model=None),
    ]
    crawl = mine(lake, "onnx", source=written(tmp_path / "folder", checkout(*records)))
    assert crawl.rows_seen == len(records) == crawl.rows_stored + crawl.failures
    assert len(rows(lake, "model")) == crawl.rows_stored == 4
    stages = dict(lake.sql("SELECT stage, count(*) FROM failure GROUP BY ALL").iter_rows())
    assert stages == {"listing": 8, "field": 4}
    assert examine(lake).is_empty()


def test_a_file_that_is_refused_is_said(lake: Lake, tmp_path: Path) -> None:
    folder = written(tmp_path / "folder", checkout(entry("one")))
    (folder / "README.md").symlink_to("/etc/passwd")
    mine(lake, "onnx", source=folder)
    assert [row[:2] for row in lake.sql("SELECT subject, stage FROM failure").rows()] == [("README.md", "file")]
    assert mine(lake, "onnx", source=folder).unread == 1


def test_a_source_of_another_hub_is_refused(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "results.txt").write_text("x")
    with pytest.raises(UsageError, match="none of the hub's files"):
        mine(lake, "onnx", source=tmp_path)


def test_the_command_line_takes_a_source(tmp_path: Path) -> None:
    folder = written(tmp_path / "folder", checkout(entry("one")))
    command = [sys.executable, "weightlake.py", "mine", "onnx", "--lake", str(tmp_path / "lake"), "--source"]
    done = subprocess.run([*command, str(folder), "--json"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)[0]["rows_stored"] == 1
    done = subprocess.run([*command, "absent"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "does not exist; name a folder or a tar archive" in done.stderr
    (folder / "README.md").symlink_to("/etc/passwd")
    done = subprocess.run([*command, str(folder)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.startswith("1 file could not be read; weightlake sql")
    (folder / "ONNX_HUB_MANIFEST.json").write_text("[]")
    done = subprocess.run([*command, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (1, 1, "")


def test_the_miner_of_the_documentation_works(lake: Lake, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "add_a_miner.md").read_text(encoding="utf-8")
    (code,) = [block for block in code_blocks(text) if "CATALOGUE = " in block]
    example: dict[str, Any] = {}
    exec(compile(code, "example.py", "exec"), example)
    listing = [{"name": "o/net", "task": "seeing", "paper": "https://arxiv.org/abs/1512.03385", "top1": 76.1}, {"x": 1}]
    (tmp_path / "models.json").write_text(json.dumps(listing))
    crawl = example["mine"](lake, source=tmp_path)
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (2, 1, 1)
    assert lake.sql("SELECT model_id, task FROM model").rows() == [("example:o/net", "seeing")]
    assert lake.sql("SELECT metric, value FROM evaluation").rows() == [("top1", 76.1)]
    assert lake.sql("SELECT target FROM link")["target"].to_list() == ["1512.03385"]


def test_what_cannot_be_read_this_time_marks_nothing_as_gone(lake: Lake, tmp_path: Path) -> None:
    folder = written(tmp_path / "folder", checkout(entry("one"), entry("two")))
    stats = folder / "Vision" / "x_Opset16_timm" / "turnkey_stats.yaml"
    stats.parent.mkdir(parents=True)
    stats.write_text("author: timm\nparameters: 5\n")
    mine(lake, "onnx", source=folder)
    stats.write_text("author: [")
    assert mine(lake, "onnx", source=folder).failures == 1
    (folder / "ONNX_HUB_MANIFEST.json").unlink()
    with pytest.raises(DataError, match="gives no model, for 2 reasons, the first"):
        mine(lake, "onnx", source=folder)
    assert lake.sql("SELECT count(*) FROM model WHERE deleted_at IS NULL").item() == 3


def test_a_source_that_gives_nothing_is_an_error_and_its_failures_are_kept(lake: Lake, tmp_path: Path) -> None:
    mine(lake, "onnx", source=written(tmp_path / "folder", checkout(entry("one"))))
    (tmp_path / "hostile.tar").write_bytes(archive({"ONNX_HUB_MANIFEST.json": b"[", "../README.md": b"x"}))
    (tmp_path / "empty.tar").write_bytes(archive({"ONNX_HUB_MANIFEST.json": b"[]"}))
    with pytest.raises(DataError, match=r"hostile.tar gives no model, for \d reasons, the first: .*; weightlake sql"):
        mine(lake, "onnx", source=tmp_path / "hostile.tar")
    with pytest.raises(DataError, match=r"empty.tar lists no model; nothing was stored"):
        mine(lake, "onnx", source=tmp_path / "empty.tar")
    assert lake.sql("SELECT state FROM crawl ORDER BY started_at")["state"].to_list() == [
        "finished",
        "failed",
        "failed",
    ]
    assert lake.sql("SELECT count(*) FROM failure WHERE stage = 'file' AND subject = '../README.md'").item() == 1
    assert lake.sql("SELECT count(*) FROM model WHERE deleted_at IS NULL").item() == 1


def test_weights_in_a_checkout_are_counted_and_pointers_are_passed_over(lake: Lake, tmp_path: Path) -> None:
    weights = onnx_model({"w": np.zeros((40, 30), np.float32), "b": np.zeros(30, np.float32)}).SerializeToString()
    one, two, three, four = (entry(name) for name in ("one", "two", "three", "four"))
    files = {
        **checkout(
            one | {"metadata": {"model_bytes": len(weights)}}, two, three, four | {"metadata": {"model_bytes": 9}}
        ),
        one["model_path"]: weights,
        two["model_path"]: b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 5\n",
        four["model_path"]: weights,
    }
    folder = written(tmp_path / "folder", files)
    (folder / three["model_path"]).parent.mkdir(parents=True)
    (folder / three["model_path"]).symlink_to(folder / one["model_path"])
    crawl = mine(lake, "onnx", source=folder)
    assert (crawl.rows_stored, crawl.failures, crawl.tensors) == (4, 0, 2)
    parameters = "SELECT name, parameters FROM model WHERE parameters IS NOT NULL"
    assert lake.sql(parameters).rows() == [("one-7", 40 * 30 + 30)]
    assert lake.sql("SELECT path, name FROM tensor ORDER BY name")["name"].to_list() == ["b", "w"]
    failures = lake.sql("SELECT subject, stage, reason FROM failure ORDER BY ALL").rows()
    assert [row[:2] for row in failures] == [("onnx:four/four-7", "tensors"), (three["model_path"], "file")]
    assert f"it has {len(weights)} bytes, and the catalogue says 9" in failures[0][2]
    (tmp_path / "it.tar").write_bytes(archive(files))
    mine(lake, "onnx", source=tmp_path / "it.tar")  # which has the weights too, but they are too large to be unpacked
    assert lake.sql(parameters).rows() == [("one-7", 40 * 30 + 30)]
    assert examine(lake).is_empty()


def test_what_was_asked_of_the_site_is_counted(lake: Lake) -> None:
    with GitHub({"onnx/models": packed(entry("one"))}) as site:
        assert mine(lake, "onnx", endpoint=site.url).requests == 1
        assert [site.url.endswith(request.host) for request in site.requests()] == [True, False]  # where it redirects


def test_records_of_ptmtorrent_name_where_they_were_read_from(lake: Lake, tmp_path: Path) -> None:
    path = "SELECT DISTINCT ModelHub.MetadataFilePath AS path FROM ptmtorrent_v1"
    folder = written(tmp_path / "folder", checkout(entry("one")))
    mine(lake, "onnx", source=folder)
    assert lake.sql(path)["path"].to_list() == [str(folder)]
    with GitHub({"onnx/models": packed(entry("one"))}) as site:
        mine(lake, "onnx", endpoint=site.url)
    (found,) = lake.sql(path)["path"].to_list()
    assert (lake.path / found).is_dir()
