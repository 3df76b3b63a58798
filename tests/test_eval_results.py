"""Results in `.eval_results/*.yaml`, as huggingface_hub writes and reads them."""

import pytest
import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
from hypothesis import given
from hypothesis import strategies as st

from miners.batch import COLUMNS, Batch
from miners.eval_results import add_eval_results


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


@given(st.text(alphabet="- dataset:{}[]id,value1.&*\n", max_size=80))
def test_any_file_gives_rows_or_a_failure(text: str) -> None:
    batch = batch_of(text.encode())
    assert set(batch.frames) <= {"evaluation"}
