import gc
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miners.batch import Batch
from miners.evaluations import number
from miners.metadata import is_repository
from miners.pages import Page, Unreadable, records, storable
from miners.records import rows

AT = datetime(2025, 6, 1, 12, tzinfo=UTC)
SHA = "0" * 39 + "a"
MODERN = {
    "id": "owner/model",
    "modelId": "owner/model",
    "sha": SHA,
    "lastModified": "2025-03-28T02:25:35.000Z",
    "createdAt": "2024-11-26T08:12:11.000Z",
    "_id": "66a0",
    "private": False,
    "gated": "manual",
    "disabled": False,
    "downloads": 322,
    "downloadsAllTime": 4000,
    "likes": 27,
    "trendingScore": 1.5,
    "library_name": "diffusers",
    "pipeline_tag": "text-to-video",
    "tags": [
        *("diffusers", "en", "dataset:a/b", "arxiv:2411.17440", "base_model:x/y", "base_model:finetune:x/y"),
        *("license:apache-2.0", "region:us", "doi:10.57967/hf/1", "odd:one", "plain:"),
    ],
    "cardData": {"base_model": ["x/y", "z"], "datasets": ["a/b", "c"], "language": ["en", "de"], "license": "mit"},
    "config": {"architectures": ["BertModel", "Other"], "model_type": "bert"},
    "siblings": [
        {"rfilename": "README.md"},
        {"rfilename": "model.safetensors", "size": 10, "blobId": "b", "lfs": {"sha256": "s", "size": 10}},
    ],
    "spaces": ["s/one", "s/one"],
    "safetensors": {"parameters": {"F32": 5, "BF16": 7}, "total": 12},
    "usedStorage": 99,
    "model-index": [
        {
            "name": "model",
            "results": [
                {
                    "task": {"type": "classification"},
                    "dataset": {"type": "glue", "name": "GLUE", "config": "cola", "split": "test"},
                    "metrics": [
                        {"type": "accuracy", "value": 0.5, "verified": True},
                        {"name": "WER", "value": "93.1 %"},
                        {"type": "f1", "value": float("nan")},
                    ],
                }
            ],
        }
    ],
}


def page(*found: object) -> bytes:
    return json.dumps(found).encode()


def mined(*bodies: bytes, most: int | None = None) -> Batch:
    pages = [Page(f"https://hub.example/{place}", AT, body) for place, body in enumerate(bodies)]
    batch = rows(pages, "crawl", most)
    assert batch.seen == batch.stored + batch.failed
    return batch


def table(batch: Batch, name: str) -> list[dict[str, Any]]:
    frame = batch.tables("huggingface", "crawl", AT).get(name)
    return [] if frame is None else frame.to_dicts()


def one_model(record: dict[str, Any]) -> dict[str, Any]:
    [model] = table(mined(page({"id": "owner/model", **record})), "model")
    return model


def complaints(*bodies: bytes, stage: str = "field") -> list[str]:
    return [failure.reason for failure in mined(*bodies).failures if failure.stage == stage]


def test_a_record_of_today_fills_every_column() -> None:
    batch = mined(page(MODERN))
    assert table(batch, "model") == [
        {
            "model_id": "huggingface:owner/model",
            "hub_id": "66a0",
            "hub": "huggingface",
            "owner": "owner",
            "name": "model",
            "sha": SHA,
            "location": None,
            "task": "text-to-video",
            "library": "diffusers",
            "license": "apache-2.0",
            "license_spdx": "Apache-2.0",
            "architecture": "BertModel",
            "model_type": "bert",
            "parameters": 12,
            "stored_bytes": 99,
            "files": 2,
            "downloads": 322,
            "downloads_all_time": 4000,
            "likes": 27,
            "trending_score": 1.5,
            "gated": "manual",
            "private": False,
            "disabled": False,
            "created_at": datetime(2024, 11, 26, 8, 12, 11, tzinfo=UTC),
            "modified_at": datetime(2025, 3, 28, 2, 25, 35, tzinfo=UTC),
            "last_seen": AT,
            "crawl_id": "crawl",
            **dict.fromkeys(["says_tags", "says_card", "says_spaces", "says_files"], True),
        }
    ]
    assert batch.failures == []


def test_tags_have_kinds_and_the_cards_languages_are_among_them() -> None:
    found = [(row["kind"], row["tag"]) for row in table(mined(page(MODERN)), "tag")]
    assert sorted(found) == sorted(
        [
            ("plain", "diffusers"),
            ("language", "en"),
            ("dataset", "a/b"),
            ("arxiv", "2411.17440"),
            ("base_model", "x/y"),
            ("base_model", "finetune:x/y"),
            ("license", "apache-2.0"),
            ("region", "us"),
            ("doi", "10.57967/hf/1"),
            ("plain", "odd:one"),
            ("plain", "plain:"),
            ("language", "de"),
        ]
    )


def test_links_stand_there_once_with_the_first_source_that_names_them() -> None:
    found = {(row["kind"], row["target"], row["source"]) for row in table(mined(page(MODERN)), "link")}
    assert found == {
        ("dataset", "a/b", "tags"),
        ("dataset", "c", "card"),
        ("paper", "2411.17440", "tags"),
        ("doi", "10.57967/hf/1", "tags"),
        ("space", "s/one", "listing"),
    }
    assert len(table(mined(page(MODERN)), "link")) == 5


def lineage(record: dict[str, Any]) -> set[tuple[str, str, str]]:
    found = table(mined(page({"id": "owner/model", **record})), "lineage")
    assert all(row["child_id"] == "huggingface:owner/model" and row["confidence"] == 1 for row in found)
    assert len({row["parent_id"] for row in found}) == len(found)
    return {(row["parent_id"].removeprefix("huggingface:"), row["relation"], row["source"]) for row in found}


def test_a_parent_stands_there_once_with_the_relation_that_is_stated() -> None:
    assert lineage(MODERN) == {("x/y", "finetune", "tags"), ("z", "base", "card")}
    assert lineage({"tags": ["base_model:x/y"]}) == {("x/y", "base", "tags")}
    assert lineage({"tags": ["base_model:adapter:x", "base_model:x"]}) == {("x", "adapter", "tags")}
    card = {"base_model": "https://huggingface.co/x/y/", "base_model_relation": "merge"}
    assert lineage({"cardData": card}) == {("x/y", "merge", "card")}
    assert lineage({"cardData": card, "tags": ["base_model:x/y"]}) == {("x/y", "merge", "card")}
    several = {"base_model": ["a/b", "c/d", "a/b"], "base_model_relation": "quantized"}
    assert lineage({"cardData": several}) == {("a/b", "quantized", "card"), ("c/d", "quantized", "card")}


@pytest.mark.parametrize("parent", ["../etc", "a/b/c", "", "./here", "a b", "ä/ö", "x" * 300])
def test_what_can_be_no_parent_is_left_out_and_named(parent: str) -> None:
    record = {"id": "owner/model", "cardData": {"base_model": [parent, "x/y"]}}
    [only] = table(mined(page(record)), "lineage")
    assert only["parent_id"] == "huggingface:x/y"
    assert parent == "" or "base_model" in complaints(page(record))[0]


def test_a_model_that_names_itself_as_its_parent_is_kept() -> None:
    assert lineage({"cardData": {"base_model": "owner/model"}}) == {("owner/model", "base", "card")}
    assert complaints(page({"id": "owner/model", "cardData": {"base_model": "owner/model"}})) == []


def test_files_have_formats_sizes_and_hashes() -> None:
    assert [tuple(row.values())[1:] for row in table(mined(page(MODERN)), "file")] == [
        ("README.md", None, None, None, None),
        ("model.safetensors", "safetensors", 10, "s", "b"),
    ]
    names = ["a.GGUF", "b.onnx", "c.bin", "d.pt", "e.h5", "f.pb", "g.msgpack", "h.txt", "noending", "x/y.z/w", "a.GGUF"]
    found = table(mined(page({"id": "m", "siblings": [{"rfilename": name} for name in names]})), "file")
    expected = ["gguf", "onnx", "pickle", "pickle", "keras", "tensorflow", "flax", None, None, None]
    assert [row["format"] for row in found] == expected


def test_published_results_keep_their_value_as_written() -> None:
    found = table(mined(page(MODERN)), "evaluation")
    assert [(row["metric"], row["value"], row["value_text"], row["verified"]) for row in found] == [
        ("accuracy", 0.5, "0.5", True),
        ("WER", None, "93.1 %", None),
        ("f1", None, "NaN", None),
    ]
    assert {(row["task"], row["dataset"], row["config"], row["split"]) for row in found} == {
        ("classification", "glue", "cola", "test")
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((1, 1.0), ("10", 10.0), ("-1e3", -1000.0), ("1_0", None), ("93.1%", None), ("nan", None), ("inf", None)),
        *((True, None), (None, None), ([1], None), (10**400, None), ("", None)),
    ],
)
def test_only_what_spells_a_finite_number_is_one(value: object, expected: float | None) -> None:
    assert number(value) == expected


def test_a_record_of_2022_needs_only_its_old_name() -> None:
    record: dict[str, Any] = {"modelId": "gpt2", "sha": SHA, "lastModified": "2022-01-20T12:13:34.000Z"}
    record |= {
        "tags": [],
        "config": None,
        "pipeline_tag": None,
        "siblings": [{"rfilename": "a"}],
        "private": False,
        "likes": 0,
    }
    [model] = table(mined(page(record)), "model")
    assert (model["model_id"], model["owner"], model["name"]) == ("huggingface:gpt2", None, "gpt2")
    assert model["downloads"] is None
    assert model["likes"] == 0
    assert (model["says_tags"], model["says_card"], model["says_files"]) == (True, False, True)


def test_counters_and_commits_are_remembered_by_the_time_of_the_answer() -> None:
    batch = mined(page(MODERN), page({"id": "other"}))
    assert [row["observed_at"] for row in table(batch, "observation")] == [AT, AT]
    assert table(batch, "observation")[0]["downloads"] == 322
    assert [(row["model_id"], row["sha"]) for row in table(batch, "revision")] == [("huggingface:owner/model", SHA)]


@pytest.mark.parametrize(
    ("record", "column", "value"),
    [
        ({"gated": False}, "gated", "no"),
        ({"gated": "auto"}, "gated", "auto"),
        ({"gguf": {"total": 7, "architecture": "llama"}}, "parameters", 7),
        ({"gguf": {"total": 7, "architecture": "llama"}}, "model_type", "llama"),
        ({"safetensors": {"parameters": {"F32": 5, "I8": 2}}}, "parameters", 7),
        ({"config": {"diffusers": {"_class_name": "Pipeline"}}}, "architecture", "Pipeline"),
        ({"config": {"architectures": "One"}}, "architecture", "One"),
        ({"cardData": {"license": ["mit", "cc-by-4.0"]}}, "license", "mit, cc-by-4.0"),
        ({"cardData": {"license": ["mit", "cc-by-4.0"]}}, "license_spdx", "MIT AND CC-BY-4.0"),
        ({"lastModified": "2022-01-20T12:13:34+02:00"}, "modified_at", datetime(2022, 1, 20, 10, 13, 34, tzinfo=UTC)),
        ({"lastModified": "2022-01-20"}, "modified_at", datetime(2022, 1, 20, tzinfo=UTC)),
        ({"downloads": 3.0}, "downloads", 3),
        ({"pipeline_tag": ""}, "task", None),
    ],
)
def test_other_ways_to_say_it_are_understood(record: dict[str, Any], column: str, value: object) -> None:
    assert one_model(record)[column] == value
    assert complaints(page({"id": "owner/model", **record})) == []


@pytest.mark.parametrize(
    ("record", "column"),
    [
        ({"sha": 5}, "sha"),
        ({"sha": "../../etc"}, "sha"),
        ({"downloads": "many"}, "downloads"),
        ({"downloads": True}, "downloads"),
        ({"downloads": 2**63}, "downloads"),
        ({"downloads": 10**300}, "downloads"),
        ({"downloads": 1.5}, "downloads"),
        ({"downloads": float("inf")}, "downloads"),
        ({"trendingScore": float("nan")}, "trending_score"),
        ({"likes": [1]}, "likes"),
        ({"private": "no"}, "private"),
        ({"gated": True}, "gated"),
        ({"gated": "sometimes"}, "gated"),
        ({"gated": {"a": 1}}, "gated"),
        ({"createdAt": "yesterday"}, "created_at"),
        ({"createdAt": "2022-13-45T00:00:00.000Z"}, "created_at"),
        ({"createdAt": "0000-01-01T00:00:00.000Z"}, "created_at"),
        ({"createdAt": "0001-01-01T00:00:00+23:00"}, "created_at"),
        ({"pipeline_tag": {"a": 1}}, "task"),
        ({"config": "bert"}, "architecture"),
        ({"config": {"architectures": {"a": 1}}}, "architecture"),
        ({"config": {"architectures": [None, 1]}}, "architecture"),
        ({"safetensors": []}, "parameters"),
        ({"safetensors": {"total": "x"}}, "parameters"),
        ({"safetensors": {"parameters": {"F32": 2**63}}}, "parameters"),
        ({"cardData": ["a"]}, "license"),
        ({"cardData": {"license": {"a": 1}}}, "license"),
        ({"tags": {"a": 1}}, "license"),
        ({"tags": [1, ["license:mit"]]}, "license"),
        ({"spaces": 7}, "license"),
        ({"siblings": "a"}, "files"),
        ({"siblings": {"a": 1}}, "files"),
        ({"model-index": "a"}, "task"),
        ({"model-index": [{"results": [7]}]}, "task"),
        ({"model-index": [{"results": [{"task": 1, "metrics": "x"}]}]}, "task"),
    ],
)
def test_a_field_of_the_wrong_type_is_null_and_named_and_the_record_is_stored(
    record: dict[str, Any], column: str
) -> None:
    assert one_model({**record, "library_name": "kept"})[column] is None
    assert one_model({**record, "library_name": "kept"})["library"] == "kept"
    [complaint] = complaints(page({"id": "owner/model", **record}))
    assert next(iter(record)) in complaint


def test_a_wrong_item_of_a_list_does_not_take_the_others_with_it() -> None:
    record = {"id": "m", "tags": ["a", 1, "b"], "siblings": [{"rfilename": "x"}, 3, {"no": 1}, {"rfilename": ["y"]}]}
    batch = mined(page(record, {"id": "n", "tags": ["c"]}))
    assert [(row["model_id"], row["tag"]) for row in table(batch, "tag")] == [
        ("huggingface:m", "a"),
        ("huggingface:m", "b"),
        ("huggingface:n", "c"),
    ]
    assert [row["path"] for row in table(batch, "file")] == ["x"]
    [failure] = batch.failures
    assert failure.subject == "huggingface:m"
    assert failure.reason.count("expected") == 4


@pytest.mark.parametrize("language", [False, ["no"], "no", [False]])
def test_norwegian_is_not_false(language: object) -> None:
    assert [row["tag"] for row in table(mined(page({"id": "m", "cardData": {"language": language}})), "tag")] == ["no"]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, "expected an object"),
        (7, "expected an object"),
        (["id"], "expected an object"),
        ({}, "no id"),
        ({"id": None, "modelId": 3}, "expected a repository"),
        ({"id": ""}, "expected a repository"),
        ({"id": "../../etc/passwd"}, "expected a repository"),
        ({"id": "a/.."}, "expected a repository"),
        ({"id": "a/b?c"}, "expected a repository"),
        ({"id": "a\nb"}, "expected a repository"),
        ({"id": "a/b\n"}, "expected a repository"),
        ({"id": "x" * 257}, "expected a repository"),
    ],
)
def test_a_record_without_a_usable_name_is_a_failure_and_the_others_are_stored(record: object, reason: str) -> None:
    batch = mined(page({"id": "first"}, record, {"id": "last"}))
    assert [row["name"] for row in table(batch, "model")] == ["first", "last"]
    [failure] = table(batch, "failure")
    assert reason in failure["reason"]
    assert (failure["subject"], failure["stage"], failure["hub"]) == (
        "https://hub.example/0#1",
        "listing",
        "huggingface",
    )


def test_the_old_name_counts_where_the_new_one_is_unusable() -> None:
    assert [row["name"] for row in table(mined(page({"id": 3, "modelId": "m"})), "model")] == ["m"]


def test_names_that_differ_by_case_are_two_models_and_of_equal_ones_the_last_counts() -> None:
    batch = mined(page({"id": "A", "likes": 1}, {"id": "a", "likes": 2}), page({"id": "A", "likes": 3}))
    assert {row["name"]: row["likes"] for row in table(batch, "model")} == {"A": 3, "a": 2}
    assert (batch.seen, batch.stored) == (3, 3)


def test_no_more_records_are_read_than_asked_for() -> None:
    batch = mined(page({"id": "a"}, {"id": "b"}), page({"id": "c"}), most=1)
    assert [row["name"] for row in table(batch, "model")] == ["a"]


DEEP = b"[" * 5000 + b"]" * 5000


@pytest.mark.parametrize(
    ("body", "stored", "failed"),
    [
        (b"", 0, 1),
        (b"nonsense", 0, 1),
        (b"{}", 0, 1),
        (b'{"error": "busy"}', 0, 1),
        (b"null", 0, 1),
        (b"[]", 0, 0),
        (b"\xef\xbb\xbf[]", 0, 0),
        (b'[{"id": "a"}, {"id": "b"', 1, 1),
        (b'[{"id": "a"}, {"id": "b"}', 2, 0),
        (b'[{"id": "a"}, {"id": "b", "x": "unclosed', 1, 1),
        (b'[{"id": "a"}, {"id": b}, {"id": "c"}]', 2, 1),
        (b'[{"id": "a", "x": "],[\\"{"}, {"id": oops}]', 1, 1),
        (b'[{"id": "a"}, {"id": "b", "config": ' + DEEP + b'}, {"id": "c"}]', 2, 1),
        (b'[{"id": "a", "downloads": ' + b"9" * 5000 + b"}]", 1, 0),
        (b'[{"id": "a", "likes": NaN, "downloads": -Infinity}]', 1, 0),
        (b'[{"id": "a", "tags": ["caf\xe9", "\xed\xa0\x80"]}]', 1, 0),
        (b'[{"id": "a", "tags": ["x\0y"]}]', 1, 0),
    ],
)
def test_a_damaged_page_loses_no_more_than_what_is_damaged(body: bytes, stored: int, failed: int) -> None:
    batch = mined(body)
    assert (batch.stored, batch.failed) == (stored, failed)
    assert len(table(batch, "model")) == stored


def test_a_page_cut_off_behind_many_quotes_takes_no_time() -> None:
    began = time.process_time()
    assert len(records(b'[{"id": "' + b'\\"' * 200_000 + b"\\")) == 1
    assert time.process_time() - began < 1


def test_half_surrogates_and_nul_become_replacement_characters() -> None:
    body = rb'[{"id": "a", "tags": ["\ud83d\ude00", "\ud83d", "x\u0000", "\\ud83d", "\udc00\ud800"]}]'
    tags = [row["tag"] for row in table(mined(body), "tag")]
    assert tags == ["\U0001f600", "\ufffd", "x\ufffd", "\\ud83d", "\ufffd\ufffd"]


def test_parsing_leaves_the_garbage_collector_as_it_was() -> None:
    mined(page(MODERN))
    assert gc.isenabled()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=6), inside, max_size=3),
    max_leaves=6,
)
random_records = st.fixed_dictionaries(
    {"id": st.just("owner/model") | json_values},
    optional={name: json_values for name in MODERN if name != "id"}
    | {"gguf": json_values}
    | {"siblings": st.lists(st.fixed_dictionaries({}, optional={"rfilename": json_values, "lfs": json_values}))}
    | {"cardData": st.fixed_dictionaries({}, optional=dict.fromkeys(("license", "base_model"), json_values))},
)


@given(st.lists(random_records, max_size=4))
def test_any_record_is_stored_or_a_failure(found: list[dict[str, Any]]) -> None:
    batch = mined(page(*found))
    assert batch.seen == len(found)
    batch.tables("huggingface", "crawl", AT)


@given(st.binary(max_size=100) | st.text(alphabet='[]{},:"\\ua0d8 1n', max_size=60).map(str.encode))
def test_any_bytes_are_records_or_say_why_not(body: bytes) -> None:
    assert all(value.reason for value in records(body) if isinstance(value, Unreadable))
    mined(body)


@given(st.lists(st.dictionaries(st.text(), json_values, max_size=3), min_size=1, max_size=5))
def test_cutting_a_page_by_hand_equals_parsing_it(found: list[dict[str, Any]]) -> None:
    body = json.dumps(found).encode()
    assert repr(records(body)) == repr(json.loads(body)) or b"\\ud" in body or b"u0000" in body
    assert len(records(body[:-1] + b", oops]")) == len(found) + 1


@given(st.text(max_size=12))
def test_names_of_repositories_have_no_way_out(name: str) -> None:
    if is_repository(name):
        assert ".." not in name.split("/")
        assert name.isascii()
        assert name.count("/") <= 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(JSON)
def test_pages_are_parsed_as_python_parses_json(value: object) -> None:
    text = json.dumps([value])
    assert repr(records(text.encode())) == repr(json.loads(storable(text)))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "NaN",
            "-Infinity",
            "1e999",
            "1e-400",
            "-0",
            "-0.0",
            "1E5",
            "18446744073709551616",
            "9" * 4000,
            "0." + "3" * 400,
        ),
        *('{"a":1,"a":2}', '"\\/\\u0041"', "5e-324", "179769313486231580793e289", "9007199254740993.0"),
    ],
)
def test_odd_numbers_are_what_they_are_to_python(text: str) -> None:
    assert repr(records(f"[{text}]".encode())) == repr(json.loads(f"[{text}]"))
