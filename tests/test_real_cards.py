"""Every real card, beside what others say of the same cards: a slow twin, and the Hub's own tags."""

import gzip
import json
import tarfile
from pathlib import Path

import pytest

from miners.cards import Card, read_card
from miners.cards.documentation import documented
from miners.cards.filler import without_filler
from miners.cards.sections import cut, without_unseen
from miners.cards.topics import topics_of
from tests.slow_sections import slow_cut

pytestmark = pytest.mark.data
LACOSTE = "1910.09700"  # stands in a sentence of the Hub's template, which nobody has written for a model


@pytest.fixture(scope="module")
def cards(data_folder: Path) -> dict[str, Card]:
    found = {}
    for name in ("cards_2022", "cards_2025"):
        with tarfile.open(data_folder / "hubs" / "huggingface" / f"{name}.tar.gz") as archive:
            for member in archive:
                opened = archive.extractfile(member) if member.name.endswith("/README.md") else None
                if opened:
                    found[member.name.removeprefix("./").removesuffix("/README.md")] = read_card(opened.read())
    assert len(found) > 9_000
    return found


def test_headings_are_those_of_the_slow_way(cards: dict[str, Card]) -> None:
    for card in cards.values():
        text = without_filler(without_unseen(card.text.replace("\r\n", "\n").replace("\r", "\n")))[0]
        assert list(cut(text)) == list(slow_cut(text))


def test_papers_are_those_that_the_hub_finds(cards: dict[str, Card], data_folder: Path) -> None:
    both = missed = 0
    for name in ("models_2022", "models_2025"):
        with gzip.open(data_folder / "hubs" / "huggingface" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for record in map(json.loads, lines):
                card = cards.get(record.get("id") or record["modelId"])
                tagged = {tag.removeprefix("arxiv:").lower() for tag in record["tags"] if tag.startswith("arxiv:")}
                if card:
                    ours = {target for kind, target in card.mentions if kind == "paper"}
                    both += len(tagged & ours)
                    missed += len(tagged - ours - {LACOSTE})
    assert both > 2_000
    assert missed <= both / 200  # the Hub also reads what stands in comments


def test_most_headings_are_known_and_the_rest_are_mostly_titles(cards: dict[str, Card]) -> None:
    headings = [one.heading for card in cards.values() for one in card.sections[1:] if one.heading and one.level > 1]
    assert sum(topics_of(heading) is not None for heading in headings) > 0.85 * len(headings)


def test_every_card_has_its_documentation(cards: dict[str, Card]) -> None:
    for card in cards.values():
        places = {part.position for part in documented(card.sections, card.metadata)} - {None}
        assert places <= set(range(len(card.sections)))
        assert all(section.filled == bool(section.evidence) == (section.words > 0) for section in card.sections)
