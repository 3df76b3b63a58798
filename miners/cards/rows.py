"""Read cards -> rows of the lake."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import polars as pl

from miners.batch import COLUMNS, Batch
from miners.cards.documentation import WEIGHTS, Documented, documented, filled, score
from miners.cards.footprint import FIELD, Footprint
from miners.cards.reading import Card

TEXT, WHOLE, NUMBER, FLAG = pl.String(), pl.Int32(), pl.Float64(), pl.Boolean()
SCHEMAS: dict[str, dict[str, pl.DataType]] = {
    **{table: COLUMNS[table] for table in ("card", "card_section", "link")},
    "card_topic": dict.fromkeys(["model_id", "scheme", "topic"], TEXT)
    | {"position": WHOLE, "field": TEXT, "filled": FLAG},
    "documentation": {"model_id": TEXT, "score": NUMBER, "words": WHOLE, **dict.fromkeys(WEIGHTS, FLAG)}
    | {"template_sections": WHOLE},
    "footprint": {"model_id": TEXT, **dict.fromkeys(Footprint._fields, TEXT), "grams": NUMBER, "hours": NUMBER},
}


class ReadCard(NamedTuple):
    """A card with the model and the commit that it is of, its file's size in bytes, and when it was read."""

    model_id: str
    sha: str | None
    card: Card
    size: int
    read_at: datetime


def add_cards(batch: Batch, cards: Sequence[ReadCard]) -> None:
    """Add the rows of cards: what they are, what they are about, and what their text says.

    These are rows of `card`, `card_section`, `card_topic`, `documentation` and `footprint`, and those of `link` with
    source `text`. Many cards at once are quicker than one after the other.
    """
    topics = [documented(one.card.sections, one.card.metadata) for one in cards]
    _add(batch, "card", map(_card, cards))
    _add(batch, "card_section", ((c.model_id, place, *s) for c in cards for place, s in enumerate(c.card.sections)))
    _add(batch, "card_topic", ((c.model_id, *topic) for c, found in zip(cards, topics, strict=True) for topic in found))
    _add(batch, "documentation", map(_documentation, cards, topics))
    _add(batch, "link", ((c.model_id, *mention, "text") for c in cards for mention in c.card.mentions))
    _add(batch, "footprint", ((c.model_id, *footprint) for c in cards for footprint in c.card.footprints))
    for one in cards:
        for footprint in one.card.footprints:
            if footprint.stated and footprint.grams is None:
                expected = "an amount of grams, kilograms or tonnes"
                batch.fail(one.model_id, "card", f"{FIELD} is {footprint.stated[:80]!r}, expected {expected}")


def _add(batch: Batch, table: str, rows: Iterable[Sequence[object]]) -> None:
    columns = list(zip(*rows, strict=True))
    if columns:
        schema = zip(SCHEMAS[table].items(), columns, strict=True)
        batch.add(table, pl.DataFrame([pl.Series(name, column, dtype) for (name, dtype), column in schema]))


def _card(one: ReadCard) -> tuple[object, ...]:
    card = one.card
    metadata = None if card.metadata is None else json.dumps(card.metadata, ensure_ascii=False)
    return (one.model_id, one.sha, card.text, metadata, card.problems, one.size, one.read_at)


def _documentation(one: ReadCard, topics: Sequence[Documented]) -> tuple[object, ...]:
    sections, words = filled(topics, "mitchell"), sum(section.words for section in one.card.sections)
    return (one.model_id, score(topics), words, *(s in sections for s in WEIGHTS), len(filled(topics, "template")))
