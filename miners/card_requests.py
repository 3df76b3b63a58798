"""Fetches model cards: README.md of a repository at the commit that the listing names."""

from collections.abc import Sequence

import polars as pl

from miners.batch import Batch
from miners.cards import SIZE_LIMIT, Card, read_card
from miners.cards.rows import ReadCard, add_cards
from miners.cards.statements import add_card_statements
from miners.fetching import Fetched, failures, file_bytes
from miners.http import HubClient, NotFound, TooLarge
from miners.targets import CARD, Target


def fetch_card(client: HubClient, target: Target) -> Fetched[Card]:
    """Fetch one card; found is None where the repository has none. Of one over the size limit the first part comes."""
    if target.paths is not None and CARD not in target.paths:
        return Fetched(target)
    address = target.address(CARD)
    try:
        answer = client.get(address, limit=SIZE_LIMIT)
    except NotFound:
        return Fetched(target)
    except TooLarge:
        answer = client.get(address, byte_range=(0, SIZE_LIMIT + 1), limit=SIZE_LIMIT + 1)
    return Fetched(target, [answer], read_card(answer.body))


def card_batch(portion: Sequence[Fetched[Card]]) -> Batch:
    """Give the rows of fetched cards: `card` and what belongs to it, what their metadata says, and failures."""
    batch = failures(portion, "card")
    add_cards(batch, [_read_card(fetched, fetched.found) for fetched in portion if fetched.found is not None])
    described = [(one.target.model_id, one.found.metadata) for one in portion if one.found and one.found.metadata]
    if described:
        add_card_statements(batch, pl.Series([name for name, _ in described]), [metadata for _, metadata in described])
    return batch


def _read_card(fetched: Fetched[Card], card: Card) -> ReadCard:
    answer = fetched.answers[0]
    size = file_bytes(answer) or len(answer.body)
    return ReadCard(fetched.target.model_id, fetched.target.sha, card, size, answer.fetched_at)
