"""What listings, tags and cards say about one model ends as one row each, in whatever order it comes."""

from pathlib import Path
from typing import Any

import pytest

from miners.mining import mine
from schemas import Lake
from tests.hub import TestHub

NAME = "owner/model"
CARD = """---
license: mit
language: [de, no, en]
pipeline_tag: fill-mask
library_name: torch
datasets: [squad]
base_model: x/y
---
# A model
It speaks.
"""
LISTED: dict[str, Any] = {"id": NAME, "sha": "a" * 40, "tags": [], "siblings": [{"rfilename": "README.md"}]}
STATED = ("mit", "MIT", "fill-mask", "torch")


@pytest.fixture
def repositories(tmp_path: Path) -> Path:
    return with_card(tmp_path / "repositories", CARD)


def with_card(folder: Path, card: str) -> Path:
    (folder / NAME).mkdir(parents=True, exist_ok=True)
    (folder / NAME / "README.md").write_text(card)
    return folder


def listed(lake: Lake, repositories: Path | None, cards: bool = False, **fields: Any) -> None:
    with TestHub([{**LISTED, **fields}], repositories) as hub:
        mine(lake, "huggingface", endpoint=hub.url, cards=cards)


def tags(lake: Lake) -> list[tuple[str, str]]:
    return lake.sql("SELECT tag, kind FROM tag ORDER BY ALL").rows()


def stated(lake: Lake) -> tuple[Any, ...]:
    return lake.sql("SELECT license, license_spdx, task, library FROM model").row(0)


def parents(lake: Lake) -> list[tuple[str, str]]:
    return lake.sql("SELECT relation, source FROM lineage WHERE parent_id = 'huggingface:x/y' ORDER BY ALL").rows()


def test_what_a_card_says_reaches_the_model_and_its_tags(lake: Lake, repositories: Path) -> None:
    listed(lake, repositories, cards=True)
    assert stated(lake) == STATED
    assert tags(lake) == [("de", "language"), ("en", "language"), ("no", "language")]


def test_what_the_hub_says_outranks_the_card(lake: Lake, repositories: Path) -> None:
    said = {"tags": ["en", "license:other"], "pipeline_tag": "token-classification", "library_name": "jax"}
    listed(lake, repositories, cards=True, **said)
    assert stated(lake) == ("other", None, "token-classification", "jax")
    assert tags(lake) == [("de", "language"), ("en", "language"), ("no", "language"), ("other", "license")]


def test_what_a_card_says_holds_until_an_answer_speaks_of_another(lake: Lake, repositories: Path) -> None:
    listed(lake, repositories, cards=True)
    listed(lake, None, tags=["en", "torch"])
    assert stated(lake) == STATED
    assert tags(lake) == [("de", "language"), ("en", "language"), ("no", "language"), ("torch", "plain")]
    assert lake.sql("SELECT * FROM event").is_empty()
    listed(lake, None, tags=["license:other"])
    assert stated(lake)[:2] == ("other", None)
    listed(lake, None, cardData={"language": "de"}, tags=["license:other"])
    assert stated(lake) == ("other", None, "fill-mask", "torch")
    listed(lake, None, cardData={"language": "fr"}, sha="b" * 40)
    assert stated(lake) == (None, None, None, None)
    assert tags(lake) == [("fr", "language")]


def test_a_card_mined_twice_leaves_every_row_once(lake: Lake, repositories: Path) -> None:
    for _ in range(2):
        listed(lake, repositories, cards=True, tags=["en", "dataset:squad", "base_model:x/y"])
    assert tags(lake) == [
        ("de", "language"),
        ("en", "language"),
        ("no", "language"),
        ("squad", "dataset"),
        ("x/y", "base_model"),
    ]
    assert lake.sql("SELECT target, source FROM link").rows() == [("squad", "tags")]
    assert parents(lake) == [("base", "tags")]


def test_tags_that_repeat_what_a_card_said_take_its_place(lake: Lake, repositories: Path) -> None:
    listed(lake, repositories, cards=True)
    assert parents(lake) == [("base", "card")]
    listed(lake, None, tags=["dataset:squad", "base_model:finetune:x/y"])
    assert lake.sql("SELECT kind, target, source FROM link").rows() == [("dataset", "squad", "tags")]
    assert parents(lake) == [("finetune", "tags")]


def test_a_relation_that_the_card_states_outranks_none(lake: Lake, repositories: Path) -> None:
    with_card(repositories, CARD.replace("datasets", "base_model_relation: merge\ndatasets"))
    listed(lake, repositories, cards=True, tags=["base_model:x/y"])
    assert parents(lake) == [("merge", "card")]
    listed(lake, None, tags=["base_model:x/y"])
    assert parents(lake) == [("merge", "card")]
    listed(lake, repositories, cards=True, tags=["base_model:adapter:x/y"])
    assert parents(lake) == [("adapter", "tags"), ("merge", "card")]


def test_one_listing_that_says_it_three_times_leaves_one_row(lake: Lake) -> None:
    said = ["en", "language:en", "base_model:x/y", "base_model:adapter:x/y", "base_model:merge:x/y"]
    for _ in range(2):
        listed(lake, None, tags=said, cardData={"language": "en", "base_model": "x/y"})
    assert [row for row in tags(lake) if row[0] == "en"] == [("en", "language")]
    assert parents(lake) == [("adapter", "tags"), ("merge", "tags")]
    listed(lake, None, tags=["en", "language:en"])
    assert tags(lake) == [("en", "language")]
