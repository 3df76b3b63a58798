"""What `weightlake mine` says when something is missing, odd or lost: one line that names all of it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import weightlake
from miners.mining import mine
from schemas import DataError, Lake
from tests.hub.messages import as_json
from tests.sites import Civitai, Kaggle, ModelScope

NO_MODELS = {"models": [], "nextPageToken": "", "totalResults": 48}


Said = Callable[..., tuple[int, list[str]]]


def kaggle(number: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"ref": f"o/m{place}", "id": place, **fields} for place in range(number)]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Said:
    """Run `weightlake mine`; gives its exit code and the lines that it says."""

    def command(hub: str, *options: object) -> tuple[int, list[str]]:
        words = ["weightlake", "mine", hub, "--lake", tmp_path / "lake", "--json", "--quiet", *options]
        monkeypatch.setattr(sys, "argv", list(map(str, words)))
        with pytest.raises(SystemExit) as ended:
            weightlake.main()
        return int(str(ended.value.code or 0)), capsys.readouterr().err.splitlines()

    return command


def test_models_that_are_claimed_and_not_listed_are_counted_in_one_line(said: Said) -> None:
    with Kaggle(kaggle(45), more=3) as site:
        code, (line,) = said("kaggle", "--endpoint", site.url)
    assert code == 0
    assert line.startswith("3 models are not listed; weightlake sql \"FROM failure WHERE crawl_id = '")
    assert line.endswith('" says why')


def test_everything_else_that_failed_is_in_the_same_line(said: Said) -> None:
    with Kaggle([*kaggle(2, voteCount="many", isPrivate="no"), {"ref": 7}], more=1) as site:
        code, (line,) = said("kaggle", "--endpoint", site.url)
    assert code == 0
    assert line.split("; ")[0] == (
        "1 of 3 could not be stored, and 1 model is not listed, and of 2 models a value was refused"
    )


def test_a_count_that_cannot_be_had_is_said(said: Said) -> None:
    with Civitai([{"id": 1, "modelVersions": []}]) as site:
        site.misbehave("/api/v1/creators", as_json({"error": "no"}), times=9)
        _, (line,) = said("civitai", "--endpoint", site.url)
    assert line.startswith("it is unknown how many models are not listed; ")


def test_results_of_no_model_are_counted(said: Said, tmp_path: Path) -> None:
    page = (
        "---\ntitle: Nets\n---\n```python\nimport torch\ntorch.hub.load('o/nets', 'net_a')\n```\n\n"
        "| Model | Top-1 error |\n|---|---|\n| net_a | 20.0 |\n| other | 30.0 |\n"
    )
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "o_nets.md").write_text(page)
    code, (line,) = said("pytorch_hub", "--source", str(tmp_path / "site"))
    assert code == 0
    assert line.startswith("1 result names no model of the page; ")


def test_a_run_that_lacks_nothing_says_nothing(said: Said) -> None:
    with Kaggle(kaggle(3)) as site:
        assert said("kaggle", "--endpoint", site.url) == (0, [])


LOST: list[tuple[Any, list[Any], str]] = [
    (Kaggle, [{"ref": 7}, {"ref": "a"}], "ref is 7, expected owner/model"),
    (ModelScope, [{"id": None}], "id is None, expected owner/name"),
    (Civitai, [{"id": "4"}], "it has no id"),
]


@pytest.mark.parametrize(("site", "records", "reason"), LOST)
def test_a_hub_of_which_every_record_is_lost_ends_in_a_sentence_each_time(
    lake: Lake, site: Any, records: list[Any], reason: str
) -> None:
    with site(records) as odd:
        for _ in range(2):
            with pytest.raises(DataError, match=r"gives no model, for .* reason") as refused:
                mine(lake, site.__name__.lower(), endpoint=odd.url)
            assert reason in str(refused.value)
    with site([{"id": 1, "ref": "a/b"} if site is not ModelScope else {"id": "a/b"}]) as mended:
        assert mine(lake, site.__name__.lower(), endpoint=mended.url).rows_stored == 1


def test_a_hub_that_lists_nothing_of_what_it_claims_ends_in_a_sentence_and_marks_nothing(
    said: Said, lake: Lake
) -> None:
    with Kaggle(kaggle(2)) as site:
        mine(lake, "kaggle", endpoint=site.url)
        wishes: list[dict[str, Any]] = [{}, {"limit": 5}]
        for options in wishes:
            site.misbehave("*", as_json(NO_MODELS))
            with pytest.raises(DataError, match=r"gives no model|lists no model"):
                mine(lake, "kaggle", endpoint=site.url, **options)
        site.misbehave("*", as_json(NO_MODELS))
        code, (line,) = said("kaggle", "--endpoint", site.url)
        assert (code, "the hub has 48 models for this and lists 0" in line) == (1, True)
        assert mine(lake, "kaggle", endpoint=site.url).rows_stored == 2
    assert lake.sql("SELECT count(*) FROM model WHERE deleted_at IS NOT NULL").item() == 0
    assert [json.loads(query) for query in lake.sql("SELECT DISTINCT query FROM crawl ORDER BY ALL")["query"]] == [
        {"limit": 5},
        {},
    ]
