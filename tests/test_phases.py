"""What is fetched of each model beside the listing: for whoever lacks it, once a commit."""

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from huggingface_hub import HfApi

from miners.http import HubClient
from miners.mining import mine, plan
from miners.planning import quota
from schemas import Lake, UsageError, examine
from tests.hub import Histories, Reply, TestHub

COMMITS = [
    {
        "id": f"{number:040x}",
        "title": f"Commit {number}",
        "message": "",
        "authors": [{"user": "ada"}, {"user": "ben"}] if number % 2 else [{"user": "ada"}],
        "date": f"2024-03-01T00:{number % 60:02d}:00.000Z",
    }
    for number in reversed(range(120))
]
DISCUSSIONS = [
    {
        "num": number,
        "title": f"Question {number}",
        **({"author": {"name": "ada", "type": "user"}} if number % 2 else {}),
        "status": "open",
        "isPullRequest": number % 2 == 0,
        "createdAt": "2024-03-01T00:00:00.000Z",
        "repo": {"name": "owner/one", "type": "model"},
    }
    for number in reversed(range(1, 26))
]


@pytest.fixture
def repositories(tmp_path: Path) -> Path:
    folder = tmp_path / "repositories"
    for name in ("one", "two"):
        (folder / "owner" / name).mkdir(parents=True)
        (folder / "owner" / name / "README.md").write_text(f"# {name}\nwords\n")
    (folder / "owner/one/config.json").write_text('{"model_type": "bert", "layers": 12, "text": "\\u0000"}')
    (folder / "owner/one/weights").mkdir()
    (folder / "owner/one/weights/model.bin").write_bytes(b"weights")
    return folder


@pytest.fixture
def hub(repositories: Path) -> Iterator[TestHub]:
    histories = Histories({"owner/one": COMMITS}, {"owner/one": DISCUSSIONS})
    with TestHub(repositories=repositories, histories=histories) as running:
        yield running


def asked(hub: TestHub, begun: int = 0) -> list[str]:
    return sorted(request.path for request in hub.log[begun:] if request.path != "/api/models")


def outcomes(lake: Lake) -> list[tuple[str, str, str]]:
    return lake.sql("SELECT model_id, what, outcome FROM fetched ORDER BY ALL").rows()


def test_configurations(hub: TestHub, lake: Lake) -> None:
    assert mine(lake, "huggingface", endpoint=hub.url, configs=True).configs == 1
    [(model_id, config, size)] = lake.sql("SELECT model_id, config, bytes FROM config").rows()
    assert (model_id, json.loads(config)) == (
        "huggingface:owner/one",
        {"model_type": "bert", "layers": 12, "text": "\ufffd"},
    )
    assert size == 54
    assert outcomes(lake) == [
        ("huggingface:owner/one", "configs", "stored"),
        ("huggingface:owner/two", "configs", "absent"),
    ]
    assert len(asked(hub)) == 1


@pytest.mark.parametrize(
    ("config", "built"),
    [
        ({"architectures": ["BertModel", "Other"], "model_type": "bert"}, ("BertModel", "bert")),
        ({"architectures": [], "model_type": "bert"}, (None, "bert")),
        ({"architectures": "BertModel", "model_type": 3}, (None, None)),
        ({"architectures": [None], "model_type": " "}, (None, None)),
    ],
)
def test_a_configuration_names_the_architecture_where_the_listing_does_not(
    hub: TestHub, lake: Lake, repositories: Path, config: dict[str, object], built: tuple[str | None, str | None]
) -> None:
    (repositories / "owner/one/config.json").write_text(json.dumps(config))
    query = "SELECT architecture, model_type FROM model WHERE name = 'one'"
    for configs in (True, False):  # a later listing takes nothing back
        mine(lake, "huggingface", endpoint=hub.url, configs=configs)
        assert lake.sql(query).rows() == [built]


@pytest.mark.parametrize("body", ["[1]", "{", '{"a": NaN', "", "\xff", "[" * 100_000])
def test_a_configuration_that_is_none_is_a_failure(hub: TestHub, lake: Lake, repositories: Path, body: str) -> None:
    (repositories / "owner/one/config.json").write_text(body, encoding="latin-1")
    assert mine(lake, "huggingface", endpoint=hub.url, configs=True).configs == 0
    [(subject, reason)] = lake.sql("SELECT subject, reason FROM failure WHERE stage = 'config'").rows()
    assert subject == "huggingface:owner/one"
    assert "JSON" in reason
    assert outcomes(lake)[0] == ("huggingface:owner/one", "configs", "failed")


def test_commits_as_the_real_client_sees_them(hub: TestHub, lake: Lake) -> None:
    mine(lake, "huggingface", endpoint=hub.url, commits=True)
    rows = lake.sql(
        "SELECT sha, title, authors, committed_at FROM revision WHERE source = 'commits' ORDER BY 4 DESC, 1"
    )
    ours = {sha: (title, authors, at) for sha, title, authors, at in rows.iter_rows()}
    theirs = HfApi(endpoint=hub.url, token=False).list_repo_commits("owner/one")
    assert len(theirs) == 120
    for commit in theirs:
        assert ours[commit.commit_id] == (commit.title, ", ".join(commit.authors), commit.created_at)
    assert len(ours) == 121  # the other model's only one
    assert lake.sql("SELECT count(*) FROM revision WHERE source = 'listing'").item() == 1
    assert examine(lake).is_empty()


def test_discussions_as_the_real_client_sees_them(hub: TestHub, lake: Lake) -> None:
    assert mine(lake, "huggingface", endpoint=hub.url, discussions=True).discussions == 25
    rows = lake.sql("SELECT number, title, coalesce(author, 'deleted'), status, is_pull_request FROM discussion")
    found = HfApi(endpoint=hub.url, token=False).get_repo_discussions("owner/one")
    theirs = [(one.num, one.title, one.author or "deleted", one.status, one.is_pull_request) for one in found]
    assert sorted(rows.rows()) == sorted(theirs)


def test_files_with_sizes_and_hashes_stay_until_the_commit_changes(
    hub: TestHub, lake: Lake, repositories: Path
) -> None:
    assert mine(lake, "huggingface", endpoint=hub.url, files=True).files == 4
    query = "SELECT path, format, bytes, sha256, blob FROM file WHERE model_id = 'huggingface:owner/one' ORDER BY ALL"
    rows = {path: rest for path, *rest in lake.sql(query).iter_rows()}
    content = b"weights"
    assert rows["weights/model.bin"][:3] == ["pickle", 7, hashlib.sha256(content).hexdigest()]
    assert rows["README.md"][:3] == [None, 12, None]
    assert rows["README.md"][3] == hashlib.sha1(b"blob 12\0# one\nwords\n").hexdigest()
    before = lake.sql(query)
    assert mine(lake, "huggingface", endpoint=hub.url, full=True).rows_stored == 2
    assert lake.sql(query).equals(before)
    (repositories / "owner/one/new.bin").write_bytes(b"more")
    hub.change([{**record, "sha": "b" * 40, "siblings": []} for record in hub.site.catalogue.records])
    mine(lake, "huggingface", endpoint=hub.url, full=True)
    assert lake.sql("SELECT count(*) FROM file").item() == 0
    assert mine(lake, "huggingface", endpoint=hub.url, files=True).files == 5


WANTED = {"cards": True, "configs": True, "tensors": True, "files": True, "commits": True, "discussions": True}


def test_nothing_is_asked_twice_at_one_commit(hub: TestHub, lake: Lake) -> None:
    mine(lake, "huggingface", endpoint=hub.url, **WANTED)
    first, begun = outcomes(lake), len(hub.log)
    mine(lake, "huggingface", endpoint=hub.url, full=True, **WANTED)
    assert asked(hub, begun) == []
    assert outcomes(lake) == first
    assert len(first) == 12
    hub.change([{**record, "sha": "b" * 40} for record in hub.site.catalogue.records])
    mine(lake, "huggingface", endpoint=hub.url, full=True, cards=True)
    assert len(asked(hub, begun)) == 2
    assert examine(lake).is_empty()


def test_what_the_hub_refused_is_asked_again_after_a_month(hub: TestHub, lake: Lake) -> None:
    hub.misbehave("/owner/one/resolve/*", Reply(403), times=1)
    mine(lake, "huggingface", endpoint=hub.url, cards=True)
    assert outcomes(lake)[0] == ("huggingface:owner/one", "cards", "failed")
    for days, times in ((29, 2), (31, 3)):
        later = datetime.now(UTC) + timedelta(days=days)
        mine(lake, "huggingface", endpoint=hub.url, cards=True, now=lambda later=later: later)
        assert len(asked(hub)) == times
    assert outcomes(lake)[0] == ("huggingface:owner/one", "cards", "stored")
    assert lake.sql("SELECT count(*) FROM card").item() == 2


def test_what_the_hub_did_not_answer_is_asked_again_at_once(hub: TestHub, lake: Lake) -> None:
    hub.misbehave("/owner/one/resolve/*", "503", times=2)
    with HubClient(hub.url, token=False, attempts=2, sleep=lambda seconds: None) as client:
        assert mine(lake, "huggingface", client=client, cards=True).cards == 1
        assert [outcome for _, _, outcome in outcomes(lake)] == ["stored"]
        assert mine(lake, "huggingface", client=client, cards=True).cards == 1
    assert [reason for (reason,) in lake.sql("SELECT reason FROM failure").rows() if "503" in reason]


def test_a_choice_of_models_is_a_choice_of_what_is_fetched(hub: TestHub, lake: Lake) -> None:
    mine(lake, "huggingface", endpoint=hub.url)
    mine(lake, "huggingface", endpoint=hub.url, search="two", cards=True)
    assert [name for name, _, _ in outcomes(lake)] == ["huggingface:owner/two"]
    mine(lake, "huggingface", endpoint=hub.url, cards=True)
    assert len(outcomes(lake)) == 2


def test_models_from_a_snapshot_get_their_cards_and_those_of_another_hub_do_not(hub: TestHub, lake: Lake) -> None:
    sources = {"week": ("snapshot", "week.parquet"), "other": ("huggingface", "https://other.example")}
    with lake.write() as transaction:
        for name, (miner, source) in sources.items():
            said = {"crawl_id": name, "hub": miner, "source": source, "query": "{}", "state": "finished"}
            transaction.append("crawl", pl.DataFrame([said]))
            model = {"model_id": f"huggingface:{name}/m", "hub": "huggingface", "owner": name, "crawl_id": name}
            transaction.append("model", pl.DataFrame([model]))
    mine(lake, "huggingface", endpoint=hub.url, cards=True)
    assert [path for path in asked(hub) if "/m/" in path] == ["/week/m/resolve/main/README.md"]


def test_the_plan_says_what_will_be_asked(hub: TestHub, lake: Lake) -> None:
    mine(lake, "huggingface", endpoint=hub.url)
    begun = len(hub.log)
    told: list[str] = []
    steps = plan(lake, "huggingface", endpoint=hub.url, full=True, cards=True, files=True)
    assert len(hub.log) == begun + 1
    assert lake.sql("SELECT count(*) FROM crawl").item() == 1
    rows = steps.select("what", "quota", "requests").rows()
    assert rows == [("listing", "api", 1), ("cards", "resolvers", 2), ("files", "api", 2)]
    mine(lake, "huggingface", endpoint=hub.url, full=True, cards=True, say=told.append)
    assert "cards: about 2 requests (resolvers)" in told[0]
    assert "api 1,000,000 in 300 s" in told[0]
    with pytest.raises(UsageError, match="no quotas"):
        plan(lake, "local", folder="somewhere")


Announced = Callable[[str], tuple[int, float] | None]


def test_a_plan_for_a_hub_that_announces_nothing_is_that_for_nobody() -> None:
    def only_api(most: int) -> Announced:
        return lambda kind: (most, 300.0) if kind == "api" else None

    assert [quota(kind, lambda kind: None)[0] for kind in ("api", "resolvers")] == [500, 3000]
    assert quota("resolvers", only_api(500))[0] == 3000
    assert quota("resolvers", only_api(1000))[0] == 5000
