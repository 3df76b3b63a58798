"""Read cards -> rows of the lake."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from miners.batch import Batch
from miners.cards.reading import Card


class ReadCard(NamedTuple):
    """A card with the model and the commit that it is of, its file's size in bytes, and when it was read."""

    model_id: str
    sha: str | None
    card: Card
    size: int
    read_at: datetime


def add_cards(batch: Batch, cards: Sequence[ReadCard]) -> None:
    """Add the rows of cards: `card` and `card_section`. Many cards at once are quicker than one after the other."""
    batch.add_rows("card", [_card_row(one) for one in cards])
    batch.add_rows(
        "card_section",
        [(one.model_id, place, *section) for one in cards for place, section in enumerate(one.card.sections)],
    )


def _card_row(one: ReadCard) -> tuple[object, ...]:
    card = one.card
    metadata = None if card.metadata is None else json.dumps(card.metadata, ensure_ascii=False)
    return (one.model_id, one.sha, card.text, metadata, card.problems, one.size, one.read_at)
