"""What cards document: headings, filler, topics and the score."""

import json
import tarfile
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import huggingface_hub
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miners.batch import Batch
from miners.cards import read_card
from miners.cards.documentation import FIELDS, WEIGHTS, documented
from miners.cards.filler import without_filler
from miners.cards.rows import ReadCard, add_cards
from miners.cards.sections import cut, without_unseen
from miners.cards.topics import MITCHELL, RULES, TEMPLATE, topics_of, words
from schemas import Lake
from schemas.carded import merge_cards
from tests.slow_sections import slow_cut

TRAINER = """---
license: apache-2.0
datasets: [glue]
model-index:
- name: a
  results: [{task: {type: x}, dataset: {name: glue, type: glue}, metrics: [{type: accuracy, value: 0.5}]}]
---
<!-- This model card has been generated automatically according to the information the Trainer had access to. -->
# bert-finetuned

This model is a fine-tuned version of [bert](https://huggingface.co/bert) on the glue dataset.
It achieves the following results on the evaluation set:
- Loss: 0.3

## Model description

More information needed

## Intended uses & limitations

More information needed

## Training procedure

### Training hyperparameters

The following hyperparameters were used during training:
- seed: 42

### Framework versions

- Pytorch 1.10
"""


def rows(text: str, model_id: str = "m") -> dict[str, Any]:
    batch = Batch()
    add_cards(batch, [ReadCard(model_id, None, read_card(text.encode()), len(text), datetime.now(UTC))])
    return batch.tables("test", "crawl", datetime.now(UTC))


def filled(text: str) -> set[str]:
    (row,) = rows(text)["documentation"].iter_rows(named=True)
    return {section for section in MITCHELL if row[section]}


@given(st.text(alphabet="a#=-`~ \t\n>|*1.<", max_size=60))
def test_headings_are_found_as_line_by_line(text: str) -> None:
    assert list(cut(text)) == list(slow_cut(text))


@pytest.mark.parametrize(
    ("heading", "mitchell", "template"),
    [
        ("Model Details", {"model_details"}, "model_details"),
        ("## 3. Training Data [optional]", {"training_data"}, "training_data"),
        ("📊 **Evaluation Results:**", {"quantitative_analyses"}, "results"),
        ("Intended uses & limitations", {"intended_use", "caveats_and_recommendations"}, None),
        ("Limitations and bias", {"ethical_considerations", "caveats_and_recommendations"}, "bias_risks_limitations"),
        (
            "Bias, Risks, and Limitations",
            {"ethical_considerations", "caveats_and_recommendations"},
            "bias_risks_limitations",
        ),
        ("Testing Data, Factors & Metrics", {"evaluation_data", "factors", "metrics"}, None),
        ("Training and evaluation data", {"training_data", "evaluation_data"}, None),
        ("How to use this model in PyTorch", set(), "get_started"),
        ("[Citation](https://bias.org)", {"model_details"}, "citation"),
        ("Out-of-Scope Use", {"intended_use"}, "out_of_scope_use"),
    ],
)
def test_a_heading_names_its_topics(heading: str, mitchell: set[str], template: str | None) -> None:
    found = topics_of(heading)
    assert found is not None
    assert (set(found.mitchell), found.template) == (mitchell, template)


@pytest.mark.parametrize(
    "heading", ["bert-base-uncased", "", "###", "the", "Data science is fun", "日本語", "x" * 10_000]
)
def test_a_heading_that_no_rule_knows_names_nothing(heading: str) -> None:
    assert topics_of(heading) is None


def test_the_rules_are_sound() -> None:
    phrases = [(frozenset(words(phrase)), rule) for rule in RULES for phrase in rule["headings"]]
    homes: dict[frozenset[str], Any] = {}
    for key, rule in phrases:
        assert homes.setdefault(key, rule) is rule, f"{sorted(key)} stands in two rules"
    assert {topic for rule in RULES for topic in rule.get("mitchell", [])} == set(MITCHELL) == set(WEIGHTS)
    assert sum(WEIGHTS.values()) == 100


def test_every_heading_of_the_hubs_template_is_known() -> None:
    template = files(huggingface_hub).joinpath("templates", "modelcard_template.md").read_text(encoding="utf-8")
    headings = [heading for level, heading, _ in cut(template.split("---\n", 2)[2]) if level > 1]
    assert len(headings) > 30
    assert [heading for heading in headings if heading and topics_of(heading) is None] == []
    assert {topics.template for heading in headings if heading and (topics := topics_of(heading))} - {None} <= set(
        TEMPLATE
    )


def test_the_hubs_template_says_nothing_until_somebody_fills_it_in() -> None:
    content = huggingface_hub.ModelCard.from_template(huggingface_hub.ModelCardData()).content
    (row,) = rows(content)["documentation"].iter_rows(named=True)
    assert (row["score"], row["words"], row["template_sections"]) == (0, 0, 0)
    said = huggingface_hub.ModelCard.from_template(huggingface_hub.ModelCardData(), direct_use="Reading.").content
    assert filled(said) == {"intended_use"}


def test_what_a_trainer_writes_counts_for_what_it_says() -> None:
    tables = rows(TRAINER)
    (row,) = tables["documentation"].iter_rows(named=True)
    expected = {"model_details", "training_data", "evaluation_data", "metrics", "quantitative_analyses"}
    assert {section for section in MITCHELL if row[section]} == expected
    assert row["score"] == 0.65
    sections = {row[3]: row[4:] for row in tables["card_section"].iter_rows()}
    assert sections["bert-finetuned"] == (2, True, "- Loss: 0.3")
    assert sections["Model description"] == (0, False, None)
    assert sections["Training hyperparameters"] == (2, True, "- seed: 42")
    fields = tables["card_topic"].filter(pl.col("position").is_null()).select("scheme", "topic", "field").rows()
    assert ("mitchell", "training_data", "datasets") in fields
    assert {field for _, _, field in fields} == {"datasets", "model-index"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Words before any heading.", {"model_details"}),
        ("# Title\n\nWhat it is.", {"model_details"}),
        ("<p>\n\n# Title\n\nWhat it is.", {"model_details"}),
        ("# Title\n\n## Something\n\nwords", set()),
        ("# Title\n\n## Uses\n\n### Deeply\n\nwords", {"intended_use"}),
        ("# Title\n\n## Uses\n\n## Something\n\nwords", set()),
        ("# Training data\n\nwords\n\n# Bias\n\n![chart](bias.png)\n<br>", {"training_data"}),
        ("# T\n\n## Uses\n\nTODO: write this\n\n## Bias\n\nComing soon!\n\n## Metrics\n\nN/A", set()),
        ("# T\n\n## Factors\n\n| a | b |\n|---|---|\n", {"factors"}),
        ("", set()),
    ],
)
def test_sections_fill_what_they_are_about(text: str, expected: set[str]) -> None:
    assert filled(text) == expected


@pytest.mark.parametrize("value", [None, [], "", {}, [None], [{}], [{"results": 1}], [{"results": [{}, 2]}], 7])
def test_an_index_without_results_documents_nothing(value: Any) -> None:
    assert documented([], {"model-index": value}) == []


def test_every_field_fills_a_known_section() -> None:
    assert {topic for fields in FIELDS.values() for one in fields for topic in one.mitchell} <= set(MITCHELL)
    assert {one.template for fields in FIELDS.values() for one in fields} <= set(TEMPLATE)


@pytest.mark.parametrize(
    "text",
    [
        "[More Information Needed]",
        "- **Developed by:** [More Information Needed]",
        "needs more information",
        "More information needed for further recommendations.",
        "This model is a fine-tuned version of [a/b](https://c.d) on the [e](f) dataset.",
        "This model is a fine-tuned version of [a/b](https://c.d).",
        "This model was trained from scratch on an unknown dataset.",
        "[TODO: describe the data]",
        "- TODO",
        "TBD",
        "- **License:** N/A",
        "**Bias:** to be added.",
        "(to do)",
        "WIP",
        "Please add.",
        "```python\n# coming soon\n```",
        "```bash\n\n```",
        "- **Developed by:**\n- **Language:**\n",
        "I was made with [huggingtweets](https://github.com/borisdayma/huggingtweets).\n"
        "The model suffers from [the same limitations and bias as GPT-2](https://huggingface.co/gpt2#limitations).",
    ],
)
def test_filler_leaves_nothing(text: str) -> None:
    assert without_filler(text)[0].strip() == ""


@pytest.mark.parametrize(
    "text",
    [
        "This model is a fine-tuned BERT.",
        "For more information see the paper.",
        "Na/ACl",
        "A todo-list model.",
        "What we plan to do is more.",
        "Please add `trust_remote_code=True` when you load it.",
        "- **Uses:**\n  - speech\n  - text",
        "- **Uses:**\nspeech",
        "```\none\n```\n\n```\nother\n```",
        "The WIP model is bigger.",
    ],
)
def test_what_is_not_filler_stays(text: str) -> None:
    assert without_filler(text) == (text, text.lower())


def test_the_score_is_the_weights_in_the_lake(lake: Lake) -> None:
    cards = [TRAINER, "# A\n\nwords", "# A\n\n## Bias\n\nb\n\n## Uses\n\nu", ""]
    tables = [rows(card, f"m{place}") for place, card in enumerate(cards)]
    with lake.write() as transaction:
        for place, each in enumerate(tables):
            merge_cards(transaction, [f"m{place}"], each)
    weights = dict(lake.sql("SELECT section, weight FROM documentation_weight").iter_rows())
    assert {section: round(100 * weight) for section, weight in weights.items()} == WEIGHTS
    query = """
        SELECT score, (SELECT coalesce(sum(weight), 0) FROM documentation_weight WHERE section IN (
            SELECT topic FROM card_topic WHERE card_topic.model_id = documentation.model_id
                AND scheme = 'mitchell' AND filled))
        FROM documentation
    """
    found = lake.sql(query).rows()
    assert len(found) == len(cards)
    assert all(score == pytest.approx(again) for score, again in found)


def test_evidence_leads_back_to_the_card(lake: Lake) -> None:
    with lake.write() as transaction:
        merge_cards(transaction, ["m"], rows(TRAINER))
    query = "SELECT topic, heading, words, evidence FROM documentation_evidence WHERE scheme = 'mitchell' AND filled"
    assert set(lake.sql(query).iter_rows()) == {
        ("model_details", "bert-finetuned", 2, "- Loss: 0.3"),
        ("model_details", "Training hyperparameters", 2, "- seed: 42"),
        ("training_data", "metadata: datasets", None, None),
        *(
            (topic, "metadata: model-index", None, None)
            for topic in ("evaluation_data", "metrics", "quantitative_analyses")
        ),
    }


def test_a_card_that_is_read_again_leaves_every_row_once(lake: Lake) -> None:
    for _ in range(2):
        with lake.write() as transaction:
            merge_cards(transaction, ["m"], rows(TRAINER + "\nhttps://github.com/a/b\nco2 emissions (in grams): 3"))
    tables = ("card", "documentation", "footprint", "link")
    assert [lake.sql(f"FROM {table}").height for table in tables] == [1, 1, 1, 1]
    with lake.write() as transaction:
        merge_cards(transaction, ["m"], {})
    assert all(lake.sql(f"FROM {table}").is_empty() for table in (*tables, "card_topic", "card_section"))


@given(st.text(max_size=200), st.text(max_size=50))
def test_any_card_gives_rows(text: str, name: str) -> None:
    tables = rows(text, name)
    (row,) = tables["documentation"].iter_rows(named=True)
    assert 0 <= row["score"] <= 1
    assert json.loads(tables["card"]["metadata"][0] or "{}") is not None


def test_styles_and_scripts_are_no_text() -> None:
    page = "# Title\n<style>\n@media { p { margin: 0 } }\n</style>\n<script>alert(1)</script>\n## Uses\nSpeech."
    assert without_unseen(page).split() == ["#", "Title", "##", "Uses", "Speech."]
    assert without_unseen(page).count("\n") == page.count("\n")
    for open_one in ("<style> and no end", "<!-- <style>", "<script>" * 9):
        assert without_unseen(open_one) == open_one


def test_a_card_that_a_tool_wrote_alone_says_nothing_of_limits(data_folder: Path) -> None:
    """Real cards of one tool have the same section on limits and bias, word for word."""
    with tarfile.open(data_folder / "hubs" / "huggingface" / "cards_2022.tar.gz") as archive:
        member = next(one for one in archive if one.name.lstrip("./").startswith("huggingtweets/") and one.isfile())
        body = archive.extractfile(member)
        assert body is not None
        card = read_card(body.read())
    found = {section.heading: section.filled for section in card.sections}
    assert (found["Limitations and bias"], found["Training data"]) == (False, True)
