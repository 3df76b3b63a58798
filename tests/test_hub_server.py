"""The test hub as a server: quotas, misbehaviour on order, its log, its threads, and a process of its own."""

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfApi

from tests.hub import Fault, Quota, Record, Reply, StoppedClock, TestHub
from tests.hub.catalogue import name_of

ROOT = Path(__file__).parents[1]
RECORDS: list[Record] = [{"id": f"ada/model-{number}"} for number in range(50)]
CARD = "/ada/model-1/resolve/main/README.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    repository = tmp_path / "hub" / "ada" / "model-1"
    repository.mkdir(parents=True)
    (repository / "README.md").write_text("# one")
    return tmp_path / "hub"


@pytest.fixture
def hub(folder: Path) -> Iterator[TestHub]:
    with TestHub(RECORDS, folder) as running:
        yield running


@pytest.fixture
def plain(hub: TestHub) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=hub.url, timeout=5) as client:
        yield client


def test_quotas_are_told_and_enforced_and_end_with_their_window() -> None:
    clock = StoppedClock()
    with TestHub(RECORDS, quotas={"api": Quota(2, seconds=60)}, clock=clock.now) as hub:
        answers = [httpx2.get(f"{hub.url}/api/models?limit=1") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert [answer.headers["ratelimit"] for answer in answers] == [f'"api";r={left};t=60' for left in (1, 0, 0)]
        assert answers[0].headers["ratelimit-policy"] == '"fixed window";"api";q=2;w=60'
        assert httpx2.get(f"{hub.url}/ada/model-2/resolve/main/x").status_code == 404
        clock.sleep(60)
        assert httpx2.get(f"{hub.url}/api/models?limit=1").status_code == 200


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("429", 429),
        ("500", 500),
        ("503", 503),
        ("timeout", httpx2.ReadTimeout),
        ("cut body", httpx2.RemoteProtocolError),
        ("wrong content-length", httpx2.ReadTimeout),
        ("reset", httpx2.ReadError),
        ("broken json", json.JSONDecodeError),
    ],
)
def test_misbehaviour_comes_on_order_and_ends(hub: TestHub, fault: Fault, outcome: int | type[Exception]) -> None:
    hub.misbehave("/api/models", fault)
    with httpx2.Client(base_url=hub.url, timeout=0.5 if outcome is httpx2.ReadTimeout else 5) as client:
        assert client.get("/api/models/ada/model-1").status_code == 200
        if isinstance(outcome, int):
            assert client.get("/api/models").status_code == outcome
        else:
            with pytest.raises(outcome):
                client.get("/api/models").json()
        assert client.get("/api/models").status_code == 200


def test_a_fault_that_does_not_exist_is_refused(hub: TestHub) -> None:
    with pytest.raises(ValueError, match="'flood' is no misbehaviour; choose from 429, 500"):
        hub.misbehave("*", "flood")  # type: ignore[arg-type]  # the point of the test


def test_a_reply_of_the_test_s_own(hub: TestHub, plain: httpx2.Client) -> None:
    hub.misbehave("/api/*", Reply(418, {"X-Tea": "yes"}, b"short and stout"), times=2)
    assert [plain.get("/api/models").status_code for _ in range(3)] == [418, 418, 200]


def test_the_log_tells_what_was_asked(hub: TestHub, plain: httpx2.Client) -> None:
    plain.get("/api/models?filter=a&filter=b", headers={"Authorization": "Bearer x"})
    plain.head(CARD)
    asked, headed = hub.log
    assert (asked.method, asked.path, asked.query) == ("GET", "/api/models", {"filter": ["a", "b"]})
    assert (asked.status, asked.authorization, headed.authorization) == (200, "Bearer x", None)
    assert (headed.method, headed.status) == ("HEAD", 200)
    assert asked.time <= headed.time
    assert hub.requests("/api/*") == [asked]


def test_json_is_compressed_for_those_who_accept_it() -> None:
    with TestHub(RECORDS, compress=True) as hub:
        answer = httpx2.get(f"{hub.url}/api/models", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.json()) == len(RECORDS)


def test_closing_leaves_no_thread_behind(folder: Path) -> None:
    before = threading.active_count()
    with TestHub(repositories=folder) as hub, httpx2.Client(base_url=hub.url) as client:
        client.get("/api/models")
        assert threading.active_count() > before
        hub.close()
        assert threading.active_count() == before


def test_it_runs_as_a_process_of_its_own(folder: Path, tmp_path: Path) -> None:
    records = tmp_path / "records.jsonl.gz"
    records.write_bytes(gzip.compress(b"\n".join(json.dumps(record).encode() for record in RECORDS)))
    command = [sys.executable, "-m", "tests.hub", "--records", str(records), "--repositories", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert len(httpx2.get(f"{url}/api/models").json()) == len(RECORDS)
        assert httpx2.get(url + CARD).text == "# one"
        process.kill()


def test_it_takes_uploads_as_a_process_of_its_own(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.hub", "--uploads", str(tmp_path / "hub")]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (refused.returncode, "--uploads needs --token" in refused.stderr) == (2, True)
    with subprocess.Popen([*command, "--token", "hf_any"], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        api = HfApi(process.stdout.readline().strip(), token="hf_any")
        api.create_repo("ada/notes", repo_type="dataset")
        api.upload_file(path_or_fileobj=b"# notes", path_in_repo="README.md", repo_id="ada/notes", repo_type="dataset")
        process.kill()
    assert (tmp_path / "hub" / "datasets" / "ada" / "notes" / "README.md").read_text() == "# notes"


@pytest.mark.data
def test_the_real_records_are_listed_once_each(data_folder: Path) -> None:
    listings = sorted((data_folder / "hubs" / "huggingface").glob("models_*.jsonl.gz"))
    lines = [line for listing in listings for line in gzip.decompress(listing.read_bytes()).splitlines()]
    records = [json.loads(line) for line in lines]
    found: list[Record] = []
    with TestHub(records) as hub, httpx2.Client() as client:
        url: str | None = f"{hub.url}/api/models?full=true&limit=1000"
        while url is not None:
            answer = client.get(url)
            found += answer.json()
            url = answer.links.get("next", {}).get("url")
    assert len(hub.log) == 16
    assert [name_of(record) for record in found] == [name_of(record) for record in records]
