"""Read cards -> rows of the lake."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from miners.batch import COLUMNS, Batch
from miners.cards.documentation import WEIGHTS, About, documented
from miners.cards.footprint import FIELD, Footprint
from miners.cards.reading import Card
from miners.records import nothing_to_collect

SECTION = {name: dtype for name, dtype in COLUMNS["card_section"].items() if name not in ("model_id", "position")}
ABOUT = {"position": pl.Int32(), "field": pl.String(), "kind": pl.UInt32(), "filled": pl.Boolean()}
NAMED = {"kind": pl.UInt32(), "scheme": pl.String(), "topic": pl.String()}
JSON = json.JSONEncoder(ensure_ascii=False)
MENTION = {"kind": pl.String(), "target": pl.String()}
FOOTPRINT = dict.fromkeys(Footprint._fields, pl.String()) | {"grams": pl.Float64(), "hours": pl.Float64()}


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
    if cards:
        with nothing_to_collect():
            _add_cards(batch, cards)


def _add_cards(batch: Batch, cards: Sequence[ReadCard]) -> None:
    ids = pl.Series("model_id", [one.model_id for one in cards])
    batch.add("card", _cards(ids, cards))
    sections = _owned(ids, [one.card.sections for one in cards], SECTION)
    places = [place for one in cards for place in range(len(one.card.sections))]
    sections = sections.with_columns(pl.Series("position", places, pl.Int32())).select(list(COLUMNS["card_section"]))
    batch.add("card_section", sections)
    topics = _topics(ids, [documented(one.card.sections, one.card.metadata) for one in cards])
    batch.add("card_topic", topics)
    batch.add("documentation", _documentation(ids, sections, topics))
    mentions = _owned(ids, [one.card.mentions for one in cards], MENTION)
    batch.add("link", mentions.with_columns(source=pl.lit("text")))
    footprints = _owned(ids, [one.card.footprints for one in cards], FOOTPRINT)
    batch.add("footprint", footprints)
    no_amounts = footprints.filter(pl.col("grams").is_null() & pl.col("stated").is_not_null())
    for model_id, stated in no_amounts.select("model_id", "stated").iter_rows():
        batch.fail(model_id, "card", f"{FIELD} is {stated[:80]!r}, expected an amount of grams, kilograms or tonnes")


def _cards(ids: pl.Series, cards: Sequence[ReadCard]) -> pl.DataFrame:
    problems = [tuple(one.card.problems) for one in cards]
    kinds = {found: kind for kind, found in enumerate(dict.fromkeys(problems))}  # each list costs as much as a card
    lists = pl.Series("problems", [list(found) for found in kinds], pl.List(pl.String()))
    columns: dict[str, list[Any]] = {
        "sha": [one.sha for one in cards],
        "text": [one.card.text for one in cards],
        "metadata": [None if one.card.metadata is None else JSON.encode(one.card.metadata) for one in cards],
        "bytes": [one.size for one in cards],
        "fetched_at": [one.read_at for one in cards],
    }
    series = [pl.Series(name, column, COLUMNS["card"][name]) for name, column in columns.items()]
    frame = pl.DataFrame([ids, lists.gather([kinds[found] for found in problems]), *series])
    return frame.select(list(COLUMNS["card"]))


def _owned(
    ids: pl.Series, lists: Sequence[Sequence[Sequence[object]]], schema: Mapping[str, pl.DataType]
) -> pl.DataFrame:
    """Give the tuples of all lists as rows, each with its owner's model_id."""
    columns = list(zip(*chain.from_iterable(lists), strict=True)) or [()] * len(schema)
    series = [pl.Series(name, column, dtype) for (name, dtype), column in zip(schema.items(), columns, strict=True)]
    owners = np.repeat(np.arange(len(lists)), [len(values) for values in lists])
    return pl.DataFrame([ids.gather(owners), *series])


def _topics(ids: pl.Series, parts: Sequence[Sequence[About]]) -> pl.DataFrame:
    """Give the rows of `card_topic`: for each part of a card one for each of its topics."""
    kinds = {topics: kind for kind, topics in enumerate({part.topics for card in parts for part in card})}
    named = [(kind, *name) for topics, kind in kinds.items() for name in topics.named()]
    rows = [[(part.position, part.field, kinds[part.topics], part.filled) for part in card] for card in parts]
    about = _owned(ids, rows, ABOUT).join(
        pl.DataFrame(named, NAMED, orient="row"), on="kind", maintain_order="left_right"
    )
    return about.select("model_id", "scheme", "topic", "position", "field", "filled")


def _documentation(ids: pl.Series, sections: pl.DataFrame, topics: pl.DataFrame) -> pl.DataFrame:
    """Give the rows of `documentation`, one for each card."""
    filled = topics.filter("filled")
    says = [((pl.col("scheme") == "mitchell") & (pl.col("topic") == topic)).any().alias(topic) for topic in WEIGHTS]
    in_template = pl.col("topic").filter(scheme="template").n_unique().cast(pl.Int32).alias("template_sections")
    found = filled.group_by("model_id").agg(*says, in_template)
    words = sections.group_by("model_id").agg(pl.col("words").sum().cast(pl.Int32))
    score = pl.sum_horizontal(pl.col(topic).cast(pl.Int32) * weight for topic, weight in WEIGHTS.items()) / 100
    joined = pl.DataFrame([ids]).join(found, on="model_id", how="left").join(words, on="model_id", how="left")
    columns = ["model_id", "score", "words", *WEIGHTS, "template_sections"]
    complete = joined.with_columns(pl.col(*WEIGHTS).fill_null(False), pl.col("words", "template_sections").fill_null(0))
    return complete.with_columns(score.alias("score")).select(columns)
