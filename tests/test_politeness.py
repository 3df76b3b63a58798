"""A crawl keeps inside what the hub allows in any window, and inside limits of its own; tokens stay secret."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from miners.http import HubClient
from miners.mining import mine
from miners.pacing import Enough
from schemas import HubError, Lake, open_lake
from tests.conftest import ROOT
from tests.hub import Quota, Reply, Request, StoppedClock, TestHub

TOKEN = "hf_secretsecretsecretsecret"
MODELS = 60
KINDS = {"api": Quota(7, seconds=30), "resolvers": Quota(11, seconds=20)}


@pytest.fixture
def repositories(tmp_path: Path) -> Path:
    folder = tmp_path / "repositories"
    for number in range(MODELS):
        place = folder / "owner" / f"m{number:02d}"
        place.mkdir(parents=True)
        (place / "README.md").write_text(f"# Model {number}\n")
        save_file({"w": np.zeros(2, np.float32)}, place / "model.safetensors")
    return folder


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def hub(repositories: Path, clock: StoppedClock) -> Iterator[TestHub]:
    with TestHub(repositories=repositories, quotas=KINDS, clock=clock.now, largest_page=7) as running:
        yield running


def kind(request: Request) -> str:
    return "resolvers" if "resolve" in request.segments else "api"


def most_in_a_window(hub: TestHub, of: str, seconds: float) -> int:
    """The most requests of a kind in any window of that length, wherever it begins."""
    times = sorted(request.time for request in hub.log if kind(request) == of and request.segments[0] != "blobs")
    return max(sum(begin <= time < begin + seconds for time in times) for begin in times)


def client(hub: TestHub, clock: StoppedClock, **options: Any) -> HubClient:
    return HubClient(hub.url, sleep=clock.sleep, clock=clock.now, **{"token": False, **options})


def test_no_window_has_more_requests_than_announced(hub: TestHub, lake: Lake, clock: StoppedClock) -> None:
    with client(hub, clock) as asking:
        crawl = mine(lake, "huggingface", client=asking, cards=True, tensors=True, files=True)
    assert (crawl.cards, crawl.tensors, crawl.files) == (MODELS, MODELS, 2 * MODELS)
    assert {request.status for request in hub.log} <= {200, 206, 302}
    for of, quota in KINDS.items():
        assert most_in_a_window(hub, of, quota.seconds) <= quota.requests


def test_a_polite_crawl_takes_its_share_only(hub: TestHub, lake: Lake, clock: StoppedClock) -> None:
    with client(hub, clock) as asking:
        mine(lake, "huggingface", client=asking, cards=True, polite=0.5)
    assert most_in_a_window(hub, "api", 30) <= 3
    assert most_in_a_window(hub, "resolvers", 20) <= 5


@pytest.mark.parametrize(("share", "api", "resolvers"), [(1.0, 7, 11), (0.5, 3, 5)])
def test_what_is_allowed_is_used(hub: TestHub, clock: StoppedClock, share: float, api: int, resolvers: int) -> None:
    """One thread, because on a stopped clock the sleeps of several add up."""
    with client(hub, clock) as asking:
        asking.limit(share=share)
        for path in ("/api/models", "/owner/m00/resolve/main/README.md"):
            for _ in range(4 * resolvers):
                asking.get(path)
    assert most_in_a_window(hub, "api", 30) == api
    assert most_in_a_window(hub, "resolvers", 20) == resolvers


def test_real_threads_on_a_real_clock_keep_to_it_too(repositories: Path, lake: Lake) -> None:
    quotas = {"api": Quota(20, seconds=1), "resolvers": Quota(40, seconds=1)}
    with TestHub(repositories=repositories, quotas=quotas) as hub:
        mine(lake, "huggingface", endpoint=hub.url, cards=True, tensors=True)
        assert {request.status for request in hub.log} <= {200, 206, 302}
        assert most_in_a_window(hub, "resolvers", 1) <= 40


def test_threads_ask_one_at_a_time_until_the_quota_is_known(hub: TestHub, clock: StoppedClock) -> None:
    with client(hub, clock) as asking:
        threads = [threading.Thread(target=asking.get, args=("/api/models",)) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {request.status for request in hub.log} == {200}
    assert most_in_a_window(hub, "api", 30) <= 7


@pytest.mark.parametrize("most", [1, 2, 9, 40])
def test_no_more_requests_than_allowed_and_then_one_goes_on(
    hub: TestHub, lake: Lake, clock: StoppedClock, most: int
) -> None:
    with client(hub, clock) as asking:
        crawl = mine(lake, "huggingface", client=asking, cards=True, max_requests=most)
    assert (crawl.state, crawl.requests, len(hub.log)) == ("stopped", most, most)
    assert lake.sql("SELECT state FROM crawl").item() == "stopped"
    with client(hub, clock) as asking:
        crawl = mine(lake, "huggingface", client=asking, cards=True)
    assert lake.sql("SELECT state, rows_stored FROM crawl").rows() == [("finished", MODELS)]
    assert lake.sql("SELECT count(*) FROM card").item() == MODELS
    assert lake.sql("SELECT count(*) FROM observation").item() == MODELS


def test_no_longer_than_allowed(hub: TestHub, lake: Lake, clock: StoppedClock) -> None:
    begun = clock.now()
    with client(hub, clock) as asking:
        crawl = mine(lake, "huggingface", client=asking, cards=True, max_hours=100 / 3600)
    assert crawl.state == "stopped"
    assert 60 < clock.now() - begun <= 100
    with client(hub, clock) as asking:
        assert mine(lake, "huggingface", client=asking, cards=True).state == "finished"
    assert lake.sql("SELECT count(*) FROM card").item() == MODELS


def test_a_client_that_has_had_enough_says_so(hub: TestHub, clock: StoppedClock) -> None:
    with client(hub, clock) as asking:
        asking.limit(requests=1)
        asking.get("/api/models")
        with pytest.raises(Enough, match="1 requests were sent"):
            asking.get("/api/models")


def test_a_hub_that_refuses_for_an_hour_delays_and_loses_nothing(hub: TestHub, lake: Lake, clock: StoppedClock) -> None:
    hub.misbehave("*/resolve/*", Reply(429, {"RateLimit": '"resolvers";r=0;t=3600'}), times=3)
    with client(hub, clock) as asking:
        assert mine(lake, "huggingface", client=asking, cards=True).cards == MODELS
    assert sum(clock.slept) > 3600


def test_a_network_that_is_gone_for_an_hour_ends_the_run_and_the_next_goes_on(
    hub: TestHub, lake: Lake, clock: StoppedClock
) -> None:
    def leave(done: int, total: int | None, what: str) -> None:
        if (what, done) == ("cards", 20):
            hub.misbehave("*", "reset", times=100_000)

    with client(hub, clock) as asking, pytest.raises(HubError, match=r"stopped answering.*the same command goes on"):
        mine(lake, "huggingface", client=asking, cards=True, progress=leave)
    assert lake.sql("SELECT state FROM crawl").item() == "failed"
    stored = lake.sql("SELECT count(*) FROM card").item()
    assert 20 <= stored < MODELS
    assert lake.sql("SELECT count(*) FROM failure").item() == 0
    hub.orders.clear()
    with client(hub, clock) as asking:
        assert mine(lake, "huggingface", client=asking, cards=True).cards == MODELS - stored
    assert lake.sql("SELECT state FROM crawl").item() == "finished"


def everything_said(lake: Lake) -> bytes:
    """Every value of every table, and every file of the lake as it lies on disk, raw answers unpacked."""
    tables = lake.sql("SELECT table_name FROM duckdb_tables()")["table_name"]
    rows = "".join(str(lake.sql(f"SELECT * FROM {table}").rows()) for table in tables)
    kept = "".join(str(pl.read_parquet(path).rows()) for path in lake.raw.rglob("*.parquet"))
    files = b"".join(path.read_bytes() for path in lake.path.rglob("*") if path.is_file())
    return rows.encode() + kept.encode() + files


def test_the_token_goes_to_its_hub_and_into_nothing_that_is_kept(
    repositories: Path, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [{"id": f"owner/m{number:02d}", "private": True} for number in range(3)]
    hub = TestHub(records, repositories, token=TOKEN, large_files="elsewhere")
    told: list[str] = []
    with hub, HubClient(hub.url, token=TOKEN, attempts=1, sleep=lambda seconds: None) as asking:
        echo = json.dumps({"error": f"no such thing for {TOKEN}"}).encode()
        hub.misbehave("/owner/m01/resolve/*", Reply(403, {"X-Error-Message": f"not for {TOKEN}"}, echo), times=2)
        crawl = mine(lake, "huggingface", client=asking, cards=True, tensors=True, say=told.append)
        assert (crawl.cards, crawl.tensors) == (2, 2)
        at_home = [request for request in hub.log if request.segments[0] != "blobs"]
        elsewhere = [request for request in hub.log if request.segments[0] == "blobs"]
        assert {request.authorization for request in at_home} == {f"Bearer {TOKEN}"}
        assert {request.authorization for request in elsewhere} == {None}
        assert elsewhere
        hub.misbehave("/api/models", Reply(500, {}, echo), times=5)
        with pytest.raises(HubError) as caught:
            mine(lake, "huggingface", client=asking, full=True)
    assert lake.sql("SELECT count(*) FROM failure").item() == 2
    said = capsys.readouterr()
    assert TOKEN not in f"{caught.value!r} {caught.value.__cause__!r} {told} {said.out} {said.err} {asking!r}"
    assert TOKEN.encode() not in everything_said(lake)


def test_ctrl_c_does_not_wait_for_the_end_of_a_window(repositories: Path, tmp_path: Path) -> None:
    with TestHub(repositories=repositories, quotas={"resolvers": Quota(20, seconds=300)}) as hub:
        asked = ["mine", "huggingface", "--endpoint", hub.url, "--cards", "--lake", str(tmp_path / "lake"), "--quiet"]
        command = [sys.executable, "-m", "weightlake", *asked]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
            deadline = time.monotonic() + 60
            while len(hub.requests("*/resolve/*")) < 20:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            interrupted = time.monotonic()
            _, said = process.communicate(timeout=60)
        assert time.monotonic() - interrupted < 30
        assert (process.returncode, "the same command does what is left" in said) == (130, True)
    lake = open_lake(tmp_path / "lake")
    assert lake.sql("SELECT state FROM crawl").item() == "failed"
    assert lake.sql("SELECT count(*) FROM model").item() == MODELS
