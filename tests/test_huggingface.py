import itertools
import json
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save, save_file

from miners.http import HubClient
from miners.mining import mine
from schemas import HubError, Lake, LakeBusy, UsageError, open_lake
from tests.hub import Reply, TestHub

SHA = "a" * 40


def record(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "sha": SHA, "tags": [], "siblings": [], **fields}


@pytest.fixture
def repositories(tmp_path: Path) -> Path:
    """Three repositories: one file of weights, two shards with an index, and a gated one."""
    folder = tmp_path / "repositories"
    whole, sharded = folder / "owner" / "whole", folder / "owner" / "sharded"
    for place in (whole, sharded):
        place.mkdir(parents=True)
    (whole / "README.md").write_text(
        "---\nlicense: mit\nbase_model: owner/parent\ndatasets: [digits]\nmodel-index:\n- results:\n"
        "  - task: {type: vision}\n    metrics: [{type: accuracy, value: 0.5}]\n---\n# Whole\nwords\n"
    )
    save_file({"weight": np.zeros((3, 4), np.float32), "bias": np.zeros(3, np.float16)}, whole / "model.safetensors")
    save_file({"other": np.zeros(100, np.float32)}, whole / "other.safetensors")
    save_file({"a": np.zeros((2, 2), np.float32)}, sharded / "model-00001-of-00002.safetensors")
    save_file({"b": np.zeros(5, np.int8)}, sharded / "model-00002-of-00002.safetensors")
    weight_map = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


@pytest.fixture
def client() -> Iterator[Callable[[TestHub], HubClient]]:
    """Clients that do not wait between their attempts."""
    made: list[HubClient] = []

    def make(hub: TestHub) -> HubClient:
        made.append(HubClient(hub.url, token=False, attempts=3, timeout=2, sleep=lambda seconds: None))
        return made[-1]

    yield make
    for one in made:
        one.close()


def names(lake: Lake) -> list[str]:
    return lake.sql("SELECT name FROM model ORDER BY name")["name"].to_list()


def failures(lake: Lake, stage: str) -> dict[str, str]:
    rows = lake.sql("SELECT subject, reason FROM failure WHERE stage = $stage ORDER BY subject", stage=stage)
    return dict(rows.iter_rows())


def test_all_pages_are_mined_and_kept_as_they_came(lake: Lake) -> None:
    with TestHub([record(f"owner/m{place:04d}", downloads=place) for place in range(2500)]) as hub:
        crawl = mine(lake, "huggingface", endpoint=hub.url)
        asked = hub.requests("/api/models")
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (2500, 2500, 0)
    assert len(names(lake)) == 2500
    assert len(asked) == 3
    assert {"siblings", "cardData", "safetensors"} <= set(asked[0].query["expand"])
    kept = pl.read_parquet(lake.raw / "huggingface" / crawl.crawl_id / "*.parquet")
    assert kept["status"].to_list() == [200, 200, 200]
    assert sum(len(json.loads(body)) for body in kept["body"]) == 2500
    row = lake.sql("SELECT * FROM crawl").row(0, named=True)
    assert (row["state"], row["cursor"], row["rows_seen"]) == ("finished", None, 2500)
    assert (row["source"], row["hub"]) == (hub.url, "huggingface")
    assert row["ended_at"] >= row["started_at"]


@pytest.mark.parametrize("limit", [1, 999, 1000, 1001, 2000])
def test_a_limit_is_kept_exactly(lake: Lake, limit: int) -> None:
    with TestHub([record(f"m{place}") for place in range(2500)]) as hub:
        crawl = mine(lake, "huggingface", endpoint=hub.url, limit=limit)
    assert crawl.rows_seen == len(names(lake)) == limit


def test_options_choose_and_order_the_models(lake: Lake) -> None:
    records = [
        record("a/one", pipeline_tag="vision", library_name="torch", likes=1),
        record("a/two", pipeline_tag="text", library_name="torch", likes=2, tags=["torch"]),
        record("b/one", pipeline_tag="vision", library_name="jax", likes=3),
    ]
    with TestHub(records) as hub:
        chosen = [{"author": "a"}, {"search": "One"}, {"task": "vision"}, {"library": "torch", "author": "a"}]
        seen = [mine(lake, "huggingface", endpoint=hub.url, **options).rows_seen for options in chosen]
        assert mine(lake, "huggingface", endpoint=hub.url, sort="likes", limit=1).rows_seen == 1
    assert seen == [2, 2, 2, 2]
    assert json.loads(lake.sql("SELECT query FROM crawl ORDER BY started_at")["query"][0])["author"] == "a"


def test_a_second_run_brings_models_up_to_date_and_notes_what_changed(lake: Lake) -> None:
    before = record("m", tags=["license:mit", "x"], gated=False, likes=1, siblings=[{"rfilename": "a"}])
    after = {**before, "tags": ["license:gpl-3.0", "y"], "gated": "auto", "likes": 5}
    for found in (before, {**after, "siblings": [{"rfilename": "b"}], "sha": "b" * 40}):
        with TestHub([found, record("same")]) as hub:
            mine(lake, "huggingface", endpoint=hub.url)
    model = lake.sql("SELECT * FROM model WHERE name = 'm'").row(0, named=True)
    assert (model["license"], model["gated"], model["likes"]) == ("gpl-3.0", "auto", 5)
    assert model["first_seen"] < model["last_seen"]
    assert lake.sql("SELECT tag FROM tag WHERE kind = 'plain'")["tag"].to_list() == ["y"]
    assert lake.sql("SELECT path FROM file")["path"].to_list() == ["b"]
    assert lake.sql("SELECT likes FROM observation WHERE model_id = 'huggingface:m' ORDER BY 1")["likes"].to_list() == [
        1,
        5,
    ]
    assert lake.sql("SELECT count(*) FROM revision").item() == 3
    events = lake.sql("SELECT kind, before, after FROM event ORDER BY kind").rows()
    assert events == [("gated", "no", "auto"), ("license", "mit", "gpl-3.0")]
    assert names(lake) == ["m", "same"]


def test_a_poorer_answer_takes_nothing_away(lake: Lake, repositories: Path) -> None:
    with TestHub(repositories=repositories) as hub:
        mine(lake, "huggingface", endpoint=hub.url, cards=True, tensors=True)
    before = everything(lake)
    with TestHub([{"id": "owner/whole"}, {"id": "owner/sharded"}]) as hub:
        mine(lake, "huggingface", endpoint=hub.url)
    after = everything(lake)
    assert {name: frame.rows() for name, frame in before.items()} == {
        name: frame.rows() for name, frame in after.items()
    }


def everything(lake: Lake) -> dict[str, pl.DataFrame]:
    tables = ("tag", "link", "lineage", "file", "evaluation", "tensor", "card", "card_section", "event")
    found = {table: lake.sql(f"SELECT * FROM {table} ORDER BY ALL") for table in tables}
    return {**found, "model": lake.sql("SELECT * EXCLUDE (last_seen, crawl_id) FROM model ORDER BY model_id")}


def test_cards_are_stored_with_all_that_they_say(lake: Lake, repositories: Path) -> None:
    with TestHub(repositories=repositories) as hub:
        crawl = mine(lake, "huggingface", endpoint=hub.url, cards=True)
        assert len(hub.requests("*README.md")) == 1
    assert crawl.cards == 1
    card = lake.sql("SELECT * FROM card").row(0, named=True)
    text = (repositories / "owner/whole/README.md").read_text()
    assert (card["text"], card["problems"], card["bytes"]) == (text, [], len(text))
    assert json.loads(card["metadata"])["license"] == "mit"
    assert lake.sql("SELECT heading FROM card_section")["heading"].to_list() == ["Whole"]
    assert lake.sql("SELECT parent_id, relation, source FROM lineage").rows() == [
        ("huggingface:owner/parent", "base", "card")
    ]
    assert lake.sql("SELECT kind, target, source FROM link").rows() == [("dataset", "digits", "card")]
    assert lake.sql("SELECT metric, value FROM evaluation").rows() == [("accuracy", 0.5)]


def test_a_card_that_is_gone_leaves_the_lake(lake: Lake, repositories: Path) -> None:
    for _ in range(2):
        with TestHub(repositories=repositories) as hub:
            mine(lake, "huggingface", endpoint=hub.url, cards=True)
        (repositories / "owner/whole/README.md").unlink(missing_ok=True)
    assert lake.sql("SELECT count(*) FROM card").item() == 0
    assert lake.sql("SELECT count(*) FROM card_section").item() == 0


def test_headers_are_read_and_weights_are_not(lake: Lake, repositories: Path) -> None:
    big = np.zeros((512, 1024), np.float32)
    save_file({"big": big}, repositories / "owner/whole/model.safetensors")
    with TestHub(repositories=repositories) as hub:
        crawl = mine(lake, "huggingface", endpoint=hub.url, tensors=True)
        ranges = [request.headers.get("range") for request in hub.requests("*.safetensors")]
    assert crawl.tensors == 3
    assert all(asked == "bytes=0-65535" for asked in ranges)
    rows = lake.sql("SELECT model_id, path, name, dtype, shape, begin_byte, end_byte FROM tensor ORDER BY name").rows()
    assert [(row[2], row[3], row[4]) for row in rows] == [
        ("a", "F32", [2, 2]),
        ("b", "I8", [5]),
        ("big", "F32", [512, 1024]),
    ]
    for model_id, path, _, _, _, begin, end in rows:
        place = repositories / model_id.removeprefix("huggingface:") / path
        assert place.read_bytes()[begin:end] == bytes(end - begin)
        assert end == place.stat().st_size
    parameters = dict(lake.sql("SELECT name, parameters FROM model").iter_rows())
    assert parameters == {"whole": 512 * 1024, "sharded": 9}


def test_a_long_header_takes_two_requests(lake: Lake, repositories: Path) -> None:
    tensors = {f"layer.{place}.weight": np.zeros(1, np.float32) for place in range(2000)}
    save_file(tensors, repositories / "owner/whole/model.safetensors")
    with TestHub(repositories=repositories) as hub:
        crawl = mine(lake, "huggingface", endpoint=hub.url, search="whole", tensors=True)
        answers = [request for request in hub.requests("*whole*model.safetensors") if request.status == 206]
    assert len(answers) == 2
    assert crawl.tensors == 2000


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "model.safetensors"),
        (b"abc", "has 3 bytes"),
        (struct.pack("<Q", 10**12), "claims 1000000000000 bytes"),
        (struct.pack("<Q", 100) + b"{}", "inside its header"),
        (struct.pack("<Q", 2) + b"[]", "expected a JSON object"),
        (save({"a": np.zeros(3, np.float32)})[:-1], "its header describes"),
    ],
)
def test_a_header_that_cannot_be_read_is_a_failure_and_the_others_are_read(
    lake: Lake, repositories: Path, content: bytes, reason: str
) -> None:
    (repositories / "owner/whole/model.safetensors").write_bytes(content)
    with TestHub(repositories=repositories) as hub:
        crawl = mine(lake, "huggingface", endpoint=hub.url, tensors=True)
    assert crawl.tensors == 2
    assert reason in failures(lake, "tensors")["huggingface:owner/whole"]


@pytest.mark.parametrize(
    "index", ["{", "[]", '{"weight_map": {"a": "../../x.safetensors"}}', '{"weight_map": {"a": 1}}']
)
def test_an_index_that_cannot_be_used_is_a_failure_and_the_shards_are_read(
    lake: Lake, repositories: Path, index: str
) -> None:
    (repositories / "owner/sharded/model.safetensors.index.json").write_text(index)
    with TestHub(repositories=repositories) as hub:
        crawl = mine(lake, "huggingface", endpoint=hub.url, tensors=True)
    assert crawl.tensors == 4
    assert "index" in failures(lake, "tensors")["huggingface:owner/sharded"]
    assert lake.sql("SELECT parameters FROM model WHERE name = 'sharded'").item() is None


def test_a_listed_number_of_parameters_stays(lake: Lake, repositories: Path) -> None:
    siblings = [{"rfilename": "model.safetensors"}]
    with TestHub([record("owner/whole", siblings=siblings, safetensors={"total": 77})], repositories) as hub:
        mine(lake, "huggingface", endpoint=hub.url, tensors=True)
    assert lake.sql("SELECT parameters FROM model").item() == 77


def test_what_the_hub_refuses_is_a_failure_and_the_run_goes_on(lake: Lake, repositories: Path) -> None:
    files = [{"rfilename": "README.md"}, {"rfilename": "model.safetensors"}]
    records = [record("owner/whole", siblings=files), record("owner/sharded", siblings=files, gated="manual")]
    with TestHub(records, repositories) as hub:
        crawl = mine(lake, "huggingface", endpoint=hub.url, cards=True, tensors=True)
    assert (crawl.rows_stored, crawl.cards, crawl.tensors) == (2, 1, 2)
    assert "gated" in failures(lake, "tensors")["huggingface:owner/sharded"]
    assert lake.sql("SELECT state FROM crawl").item() == "finished"


def test_one_broken_answer_is_a_failure_and_the_run_goes_on(
    lake: Lake, repositories: Path, client: Callable[[TestHub], HubClient]
) -> None:
    with TestHub(repositories=repositories) as hub:
        hub.misbehave("*README.md", "500", times=100)
        crawl = mine(lake, "huggingface", client=client(hub), cards=True)
    assert crawl.cards == 0
    assert "500" in failures(lake, "card")["huggingface:owner/whole"]


@pytest.mark.parametrize("kind", ["429", "503", "cut body", "broken json", "reset"])
def test_a_page_that_comes_broken_is_asked_for_again(
    lake: Lake, client: Callable[[TestHub], HubClient], kind: Any
) -> None:
    with TestHub([record(f"m{place}") for place in range(1500)]) as hub:
        hub.misbehave("/api/models", kind)
        crawl = mine(lake, "huggingface", client=client(hub))
    assert (crawl.rows_stored, crawl.failures) == (1500, 0)


def test_a_page_that_stays_broken_loses_what_is_broken(lake: Lake, client: Callable[[TestHub], HubClient]) -> None:
    body = b'[{"id": "good"}, {"id": "cut'
    with TestHub([record("m")]) as hub:
        hub.misbehave("/api/models", Reply(200, {"Content-Type": "application/json"}, body), times=100)
        crawl = mine(lake, "huggingface", client=client(hub))
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (2, 1, 1)
    assert names(lake) == ["good"]
    assert lake.sql("SELECT stage, hub, crawl_id FROM failure").rows() == [("listing", "huggingface", crawl.crawl_id)]


def test_a_hub_that_is_down_is_one_sentence_and_leaves_nothing(lake: Lake) -> None:
    with TestHub([]) as hub:
        url = hub.url
    with pytest.raises(HubError, match="cannot be read"):
        mine(lake, "huggingface", client=HubClient(url, sleep=lambda seconds: None))
    assert lake.sql("SELECT count(*) FROM crawl").item() == 0


def test_a_hub_that_dies_halfway_leaves_what_was_read_and_where_to_go_on(lake: Lake) -> None:
    answers: list[datetime] = []
    with TestHub([record(f"m{place}") for place in range(2500)]) as hub:

        def now() -> datetime:
            answers.append(datetime.now(UTC))
            if len(answers) == 2:
                hub.misbehave("/api/models", "503", times=100)
            return answers[-1]

        with (
            HubClient(hub.url, attempts=2, sleep=lambda seconds: None, now=now) as client,
            pytest.raises(HubError, match="503"),
        ):
            mine(lake, "huggingface", client=client)
    row = lake.sql("SELECT * FROM crawl").row(0, named=True)
    assert (row["state"], row["rows_seen"], row["rows_stored"]) == ("failed", 2000, 2000)
    assert "cursor=" in row["cursor"]
    assert len(names(lake)) == 2000


def test_a_killed_run_leaves_its_answers_and_a_sound_lake(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake")
    page = Reply(200, {"Link": '</api/models/slow>; rel="next"'}, b'[{"id": "m"}]')
    with TestHub([record("m")], patience=60) as hub:
        hub.misbehave("/api/models", page)
        hub.misbehave("/api/models/slow", "timeout")
        program = "from miners.mining import mine; from schemas import open_lake; import sys; "
        program += "mine(open_lake(sys.argv[1]), 'huggingface', endpoint=sys.argv[2])"
        process = subprocess.Popen([sys.executable, "-c", program, str(lake.path), hub.url])
        deadline = time.monotonic() + 60
        while not hub.requests("/api/models/slow"):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
        process.wait()
        assert [path.suffix for path in lake.raw.rglob("*.*")] == [".parquet"]
        assert lake.sql("SELECT state FROM crawl")["state"].to_list() == ["running"]
        assert mine(lake, "huggingface", endpoint=hub.url).rows_stored == 1
    assert lake.sql("SELECT state, rows_stored FROM crawl").rows() == [("finished", 1)]


def test_a_hub_that_leads_in_a_circle_is_left(lake: Lake) -> None:
    with TestHub([record("m")]) as hub:
        link = f'<{hub.url}/api/models?cursor=same>; rel="next"'
        hub.misbehave("/api/models", Reply(200, {"Link": link}, b'[{"id": "m"}]'), times=100)
        with pytest.raises(HubError, match="circle"):
            mine(lake, "huggingface", endpoint=hub.url)
    assert names(lake) == ["m"]


NOTEBOOK = """
import sys, time, duckdb
while True:
    try:
        with duckdb.connect(sys.argv[1], read_only=True):
            print("open", flush=True)
            time.sleep(7)
            break
    except duckdb.IOException:  # a commit of the run is under way
        time.sleep(0.01)
"""


def test_a_notebook_left_open_delays_a_run_and_loses_nothing(tmp_path: Path, repositories: Path) -> None:
    lake = open_lake(tmp_path / "lake", wait=1)
    notebooks: list[subprocess.Popen[str]] = []
    told: list[str] = []

    def progress(done: int, total: int | None, what: str) -> None:
        told.append(what)
        if not notebooks:
            command = [sys.executable, "-c", NOTEBOOK, str(lake.database)]
            notebooks.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            assert notebooks[0].stdout is not None
            assert notebooks[0].stdout.readline() == "open\n"

    ticking = itertools.count(step=10.0)  # every change is due for a commit, so that some are refused
    with TestHub(repositories=repositories) as hub:
        crawl = mine(
            lake,
            "huggingface",
            endpoint=hub.url,
            cards=True,
            tensors=True,
            progress=progress,
            clock=lambda: next(ticking),
        )
    with notebooks[0] as notebook:
        assert notebook.wait(timeout=30) == 0
    waits = [what for what in told if what.startswith("waiting: ")]
    assert waits
    assert all(f"held by process {notebook.pid}" in what for what in waits)
    assert (crawl.rows_stored, crawl.cards, crawl.tensors) == (2, 1, 4)
    counts = [lake.sql(f"SELECT count(*) AS rows FROM {table}")["rows"][0] for table in ("model", "card", "tensor")]
    assert counts == [2, 1, 4]
    assert lake.sql("SELECT state, rows_stored FROM crawl").rows() == [("finished", 2)]


def test_a_connection_left_open_in_the_same_process_is_no_reason_to_wait_for_ever(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake", wait=0.2)
    held: list[duckdb.DuckDBPyConnection] = []
    with TestHub([record(f"m{place}") for place in range(30)]) as hub:

        def progress(done: int, total: int | None, what: str) -> None:
            assert what == "models"
            held.append(duckdb.connect(str(lake.database)))

        with pytest.raises(LakeBusy, match="open"):
            mine(lake, "huggingface", endpoint=hub.url, progress=progress)
        held[0].close()
        assert len(list((lake.raw / "huggingface").rglob("*.parquet"))) == 1
        assert mine(lake, "huggingface", endpoint=hub.url).rows_stored == 30


def test_progress_is_told(lake: Lake, repositories: Path) -> None:
    told: list[tuple[int, int | None, str]] = []
    with TestHub(repositories=repositories) as hub:
        mine(
            lake,
            "huggingface",
            endpoint=hub.url,
            limit=2,
            cards=True,
            tensors=True,
            progress=lambda done, total, what: told.append((done, total, what)),
        )
    fetched = [(done, 2, what) for what in ("cards", "tensors") for done in (1, 2)]
    assert told == [(2, 2, "models"), *fetched]


def test_a_wrong_hub_or_option_is_answered_with_the_choices(lake: Lake) -> None:
    with pytest.raises(UsageError, match="no hub 'hugginface'; choose one of huggingface, local"):
        mine(lake, "hugginface")
    with pytest.raises(UsageError, match="no option 'cads'; choose from 'limit', 'search'"):
        mine(lake, "huggingface", cads=True)
    with pytest.raises(UsageError, match="needs the option 'folder'"):
        mine(lake, "local")
    with pytest.raises(UsageError, match="limit is 0"):
        mine(lake, "huggingface", limit=0)


@pytest.mark.parametrize("body", [b"<html>Please log in</html>", b'{"error": "x"}', b"", b"null"])
def test_something_else_than_a_hub_is_said_and_leaves_no_crawl(lake: Lake, body: bytes) -> None:
    with TestHub(records=[{"id": "owner/model"}]) as hub:
        hub.misbehave("/api/models", Reply(200, {"Content-Type": "text/html"}, body), times=9)
        with pytest.raises(HubError, match="expected a list of models"):
            mine(lake, "huggingface", endpoint=hub.url)
    assert lake.sql("SELECT * FROM crawl").is_empty()
