"""Fetches model cards, and the files of published results beside them, at the commit that the listing names."""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from miners.batch import Batch
from miners.cards import SIZE_LIMIT, Card, read_card
from miners.cards.rows import ReadCard, add_cards
from miners.cards.statements import add_card_statements
from miners.eval_results import LIMIT, MOST_FILES, add_eval_results, holds_results
from miners.fetching import Fetched, failures, file_bytes
from miners.http import HubClient, NotFound, Refused, TooLarge
from miners.targets import CARD, Target


class Described(NamedTuple):
    """What a repository says of its model: the card (None: it has none), and the bodies of its files of results."""

    card: Card | None
    results: list[bytes]


def fetch_card(client: HubClient, target: Target) -> Fetched[Described]:
    """Fetch one card, of which one over the size limit comes in its first part, and the results beside it.

    Found is None where the repository has neither.
    """
    fetched: Fetched[Described] = Fetched(target)
    card = _card(client, target, fetched)
    results = _results(client, target, fetched)
    fetched.found = Described(card, results) if card or results else None
    return fetched


def _card(client: HubClient, target: Target, fetched: Fetched[Described]) -> Card | None:
    if target.paths is not None and CARD not in target.paths:
        return None
    address = target.address(CARD)
    try:
        answer = client.get(address, limit=SIZE_LIMIT)
    except NotFound:
        return None
    except TooLarge:
        answer = client.get(address, byte_range=(0, SIZE_LIMIT + 1), limit=SIZE_LIMIT + 1)
    fetched.answers.append(answer)
    return read_card(answer.body)


def _results(client: HubClient, target: Target, fetched: Fetched[Described]) -> list[bytes]:
    """Fetch the files of results that the hub lists; one that it does not give leaves a failure."""
    paths = sorted(filter(holds_results, target.paths or ()))
    bodies = []
    for path in paths[:MOST_FILES]:
        try:
            answer = client.get(target.address(path), limit=LIMIT)
        except (NotFound, Refused, TooLarge) as error:
            fetched.failures.append(str(error))
        else:
            fetched.answers.append(answer)
            bodies.append(answer.body)
    if len(paths) > MOST_FILES:
        fetched.failures.append(
            f"{len(paths) - MOST_FILES} files of results were not read, only the first {MOST_FILES}"
        )
    return bodies


def card_batch(portion: Sequence[Fetched[Described]]) -> Batch:
    """Give the rows of fetched cards: `card` and what belongs to it, what metadata and results say, and failures."""
    batch = failures(portion, "card")
    found = [(one, one.found) for one in portion if one.found is not None]
    cards = [(one, described.card) for one, described in found if described.card is not None]
    add_cards(batch, [_read_card(one, card) for one, card in cards])
    stated = [(one.target.model_id, card.metadata) for one, card in cards if card.metadata]
    if stated:
        add_card_statements(batch, pl.Series([name for name, _ in stated]), [metadata for _, metadata in stated])
    results = [(one.target.model_id, body) for one, described in found for body in described.results]
    add_eval_results(batch, [name for name, _ in results], [body for _, body in results])
    return batch


def _read_card(fetched: Fetched[Described], card: Card) -> ReadCard:
    answer = fetched.answers[0]
    size = file_bytes(answer) or len(answer.body)
    return ReadCard(fetched.target.model_id, fetched.target.sha, card, size, answer.fetched_at)
