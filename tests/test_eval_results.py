"""Results in `.eval_results/*.yaml`, as huggingface_hub writes and reads them."""

from pathlib import Path

import pytest
import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
from hypothesis import given
from hypothesis import strategies as st

from miners.batch import COLUMNS, Batch
from miners.eval_results import add_eval_results
from miners.mining import mine
from schemas import Lake
from tests.hub import TestHub


def batch_of(*bodies: bytes) -> Batch:
    batch = Batch()
    add_eval_results(batch, [f"m{place}" for place in range(len(bodies))], bodies)
    return batch


def test_what_the_real_client_writes_is_read() -> None:
    entries = [
        EvalResultEntry("cais/hle", "default", 20.9, date="2025-01-15T10:30:00Z", notes="no-tools"),
        EvalResultEntry("Idavidrein/gpqa", "gpqa_diamond", "41.2%", verify_token="eyJ", source_url="https://a.b"),
    ]
    batch = batch_of(yaml.dump(eval_result_entries_to_yaml(entries)).encode())
    (frame,) = batch.frames["evaluation"]
    assert frame.columns == list(COLUMNS["evaluation"])
    assert frame.rows() == [
        ("m0", "default", "cais/hle", None, None, None, 20.9, "20.9", None, "eval_results"),
        ("m0", "gpqa_diamond", "Idavidrein/gpqa", None, None, None, None, "41.2%", None, "eval_results"),
    ]
    assert batch.failures == []


def test_the_first_files_called_the_task_config() -> None:
    batch = batch_of(b"- dataset: {id: Idavidrein/gpqa, config: gpqa_diamond, split: test}\n  value: 0.412\n")
    assert batch.frames["evaluation"][0].select("task", "dataset", "split", "value").rows() == [
        ("gpqa_diamond", "Idavidrein/gpqa", "test", 0.412)
    ]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not a list of results"),
        (b"a: 1", "not a list of results"),
        (b"- 1", "not a list of results"),
        (b"[", "invalid YAML"),
        (b"\xff", "not UTF-8"),
        (b"- &a [*a]", "alias bomb"),
        (b" " * (2**20 + 1), "larger than 1048576 bytes"),
        (b"- {value: 1}", "entry is {'value': 1}, expected a dataset's id and a value"),
        (b"- {dataset: {id: a/b}}", "entry is {'dataset': {'id': 'a/b'}}, expected a dataset's id and a value"),
        (b"- {dataset: {id: 7}, value: 1}", "dataset.id is 7, expected text"),
        (b"- {dataset: [], value: 1}", "dataset is [], expected an object"),
    ],
)
def test_what_cannot_be_read_is_named(body: bytes, reason: str) -> None:
    batch = batch_of(body, b"- {dataset: {id: a/b}, value: 1}")
    assert [(failure.subject, failure.reason) for failure in batch.failures] == [("m0", f".eval_results: {reason}")]
    assert batch.frames["evaluation"][0]["model_id"].to_list() == ["m1"]


def write_results(place: Path, **results: float) -> None:
    (place / ".eval_results").mkdir(parents=True, exist_ok=True)
    for name, value in results.items():
        entries = [EvalResultEntry("cais/hle", name, value)]
        (place / ".eval_results" / f"{name}.yaml").write_text(yaml.dump(eval_result_entries_to_yaml(entries)))


INDEX = [{"name": "m", "results": [{"metrics": [{"type": "accuracy", "value": 0.5}]}]}]
CARD = f"---\n{yaml.dump({'model-index': INDEX})}---\n# A model\n"


def listed(name: str, place: Path, sha: str) -> dict[str, object]:
    paths = [path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()]
    siblings = [{"rfilename": path} for path in paths]
    return {"id": name, "sha": sha * 40, "tags": [], "siblings": siblings, "model-index": INDEX}


def results(lake: Lake) -> list[tuple[str, str | None, float]]:
    return lake.sql("SELECT source, task, value FROM evaluation ORDER BY ALL").rows()


def test_a_crawl_fetches_them_with_the_cards_and_keeps_them_up_to_date(lake: Lake, tmp_path: Path) -> None:
    place = tmp_path / "hub" / "owner" / "model"
    write_results(place, first=1.0, second=2.0)
    (place / "README.md").write_text(CARD)
    (place / ".eval_results" / "broken.yaml").write_text("[")
    with TestHub([listed("owner/model", place, "a")], tmp_path / "hub") as hub:
        assert mine(lake, "huggingface", endpoint=hub.url, cards=True).cards == 1
        assert results(lake) == [
            *(("eval_results", "first", 1.0), ("eval_results", "second", 2.0)),
            ("model-index", None, 0.5),
        ]
        assert lake.sql("SELECT stage, reason FROM failure").rows() == [("card", ".eval_results: invalid YAML")]
        (place / ".eval_results" / "second.yaml").unlink()
        write_results(place, third=3.0)
    with TestHub([listed("owner/model", place, "b")], tmp_path / "hub") as hub:
        mine(lake, "huggingface", endpoint=hub.url, full=True)
        assert len(results(lake)) == 3, "a listing says nothing of these files"
        mine(lake, "huggingface", endpoint=hub.url, full=True, cards=True)
        assert [task for _, task, _ in results(lake)] == ["first", "third", None]


def test_a_repository_may_have_results_and_no_card(lake: Lake, tmp_path: Path) -> None:
    place = tmp_path / "hub" / "owner" / "model"
    write_results(place, first=1.0)
    with TestHub([listed("owner/model", place, "a")], tmp_path / "hub") as hub:
        crawl = mine(lake, "huggingface", endpoint=hub.url, cards=True)
        asked = crawl.requests
        assert (crawl.cards, len(results(lake))) == (0, 2)
        assert mine(lake, "huggingface", endpoint=hub.url, cards=True, full=True).requests < asked, "once is enough"


def test_a_folder_has_them_too(lake: Lake, tmp_path: Path) -> None:
    place = tmp_path / "owner" / "model"
    write_results(place, first=1.0)
    (place / "README.md").write_text("# A model")
    (place / "config.json").write_text("{}")
    for _ in range(2):
        mine(lake, "local", folder=tmp_path)
        assert results(lake) == [("eval_results", "first", 1.0)]


@given(st.text(alphabet="- dataset:{}[]id,value1.&*\n", max_size=80))
def test_any_file_gives_rows_or_a_failure(text: str) -> None:
    batch = batch_of(text.encode())
    assert set(batch.frames) <= {"evaluation"}
